"""Runs the core on tensors: forward and backward of one batch, without autograd.

The core reads and writes the memory of the tensors. Only what it cannot read is copied first:
a tensor whose last axis is not dense, and packed sequences of different lengths, which it reads
with padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pygru.core import _core, threads
from pygru.core.memory import POOL
from pygru.noise import Bytes, Noise
from pygru.runner import Planned
from pygru.torch.packed_rows import PackedRows
from pygru.torch.weights import Kind, Snapshot
from pygru.typing import Floats


class Call(NamedTuple):
    """What forward and backward of one batch have in common, beside weights and masks."""

    kind: Kind
    planned: Planned
    packed_rows: PackedRows | None
    dropout: float
    batch_first: bool
    T: int
    B: int


def prepare(
    kind: Kind,
    shape: Sequence[int],
    batch_sizes: Tensor | None,
    dropout: float,
    batch_first: bool,
    keep: bool,
) -> Call:
    """Plan a batch.

    Parameters
    ----------
    kind : Kind
        The sizes and the precision.
    shape : sequence of int
        The shape of x: (T, B, I), (B, T, I) with ``batch_first``, or that of the rows (R, I) of
        packed sequences.
    batch_sizes : Tensor or None
        (T,) how many of the packed sequences have each step.
    dropout : float
        The share of the outputs between two layers that is dropped.
    batch_first, keep : bool
        The layout of ``x``, and whether there will be a tape.
    """
    packed_rows = None
    if batch_sizes is not None:
        packed_rows = PackedRows(batch_sizes.numpy())
        T, B = packed_rows.T, packed_rows.B
    elif batch_first:
        B, T = shape[:2]
    else:
        T, B = shape[:2]
    lengths = None if packed_rows is None else packed_rows.lengths
    what = _core.KEEP_GATES if keep else _core.KEEP_NOTHING
    planned = kind.runner.plan(T, B, lengths, what)
    return Call(kind, planned, packed_rows, dropout, batch_first, T, B)


def ordered_noise(call: Call, mask: Tensor | None) -> Noise | None:
    """Return the noise of a call from the mask of ``GRU._dropout_mask``: True is kept.

    The rows of the mask, (L-1, R, D*H), are ordered by steps, and then by sequences. Those of
    the noise have the order of the core.
    """
    if mask is None:
        return None
    rows = call.packed_rows
    starts = np.arange(call.T) * call.B if rows is None else rows.starts
    step, sequence = np.empty((2, call.planned.sizes["rows"]), np.int64)
    call.planned.plan.rows(step, sequence)
    bits: Bytes = mask.numpy().view(np.uint8)
    of_rows: Bytes = bits[:, starts[step] + sequence]
    return noise_of(call, of_rows.reshape(-1))


def noise_of(call: Call, mask: Bytes) -> Noise:
    """Return the noise from a mask that has the order of the core."""
    return Noise(mask, 1 / (1 - call.dropout) if call.dropout < 1 else 0.0)


def forward(
    call: Call, snapshot: Snapshot, noise: Noise | None, x: Tensor, hx: Tensor | None
) -> tuple[Tensor, Tensor, Floats]:
    """Return output, h_n and the tape as an array, which is empty if nothing is kept."""
    kind, rows = call.kind, call.packed_rows
    output = torch.empty((*x.shape[:-1], kind.output_size), dtype=kind.dtype)
    h_n = torch.empty((kind.num_states, call.B, kind.hidden_size), dtype=kind.dtype)
    plan, sizes = call.planned
    # The pool keeps large tapes for the next call; a tensor refers to its array.
    tape = POOL.take(sizes["tape"], kind.numpy_dtype, "the tape")
    tape[tape.size - kind.tape_slack :] = 0  # the core leaves these as they are
    if rows is not None and hx is not None and hx.shape[1] != call.B:
        raise RuntimeError(f"hx must have {call.B} sequences, got {hx.shape[1]}")
    if call.B == 0:
        return output, h_n, tape
    n_threads = _threads(sizes)
    y = _target(output, call)
    kind.runner.forward(
        plan,
        sizes if n_threads == 1 else plan.sizes(n_threads),
        n_threads,
        x=_input(x, call),
        h0=None if hx is None else _flat(hx),
        y=y,
        h_n=h_n.numpy().reshape(-1),
        tape=tape,
        noise=noise,
        packed=snapshot.packed,
        parameters=snapshot.flat,
    )
    if rows is not None:
        rows.unpad(y, output.numpy())
    return output, h_n, tape


def backward(
    call: Call,
    snapshot: Snapshot,
    noise: Noise | None,
    tape: Tensor,
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    shape: Sequence[int],
    needs_d_x: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x (empty if it is not needed), of hx, and of all weights, flat.

    ``tape`` is dense, and ``shape`` is that of x.
    """
    kind, rows = call.kind, call.packed_rows
    d_x = torch.empty(tuple(shape) if needs_d_x else 0, dtype=kind.dtype)
    d_hx = torch.empty((kind.num_states, call.B, kind.hidden_size), dtype=kind.dtype)
    d_weights = torch.zeros(kind.count, dtype=kind.dtype)
    if call.B == 0:
        return d_x, d_hx, d_weights
    plan, sizes = call.planned
    of_x = _target(d_x, call) if needs_d_x else None
    n_threads = _threads(sizes)
    kind.runner.backward(
        plan,
        n_threads,
        sizes=sizes if n_threads == 1 else None,
        packed=snapshot.packed,
        tape=tape.numpy(),
        noise=noise,
        d_y=None if d_output is None else _input(d_output, call),
        d_h_n=None if d_h_n is None else _flat(d_h_n),
        d_x=of_x,
        d_h0=d_hx.numpy().reshape(-1),
        grads=d_weights.numpy(),
        parameters=snapshot.flat,
    )
    if of_x is not None and rows is not None:
        rows.unpad(of_x, d_x.numpy())
    return d_x, d_hx, d_weights


def _threads(sizes: dict[str, int]) -> int:
    """Return the threads of a call: no more than PyTorch and pygru's own settings allow."""
    of_torch: int = torch.get_num_threads()
    return min(threads.threads_for(None, sizes), of_torch)


def _input(tensor: Tensor, call: Call) -> Floats:
    """Return a tensor shaped like x or the output as a (T, B, width) array to read.

    The array is the memory of the tensor if the core can read it, and else a copy.
    """
    tensor = _readable(tensor)
    if tensor.stride(-1) != 1 and tensor.shape[-1] != 1:
        tensor = tensor.contiguous()
    array: Floats = tensor.numpy()
    if call.packed_rows is not None:
        return call.packed_rows.pad(array)
    return array.swapaxes(0, 1) if call.batch_first else array


def _target(tensor: Tensor, call: Call) -> Floats:
    """Return the (T, B, width) array that the core writes for a new tensor."""
    array: Floats = tensor.numpy()
    if call.packed_rows is not None:
        return call.packed_rows.target(array)
    return array.swapaxes(0, 1) if call.batch_first else array


def _flat(tensor: Tensor) -> Floats:
    """Return the values of a tensor as a flat array, without a copy if they are dense."""
    array: Floats = _readable(tensor).contiguous().numpy().reshape(-1)
    return array


def _readable(tensor: Tensor) -> Tensor:
    """Return a tensor whose memory holds its values: PyTorch may have put off a negation."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    return tensor.resolve_neg() if tensor.is_neg() else tensor
