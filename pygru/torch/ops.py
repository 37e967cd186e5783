"""The operators ``pygru::gru`` and ``pygru::gru_backward``, for autograd and ``torch.compile``.

The operators are functions of tensors and plain numbers. What backward needs is an output of
forward, the tape, so that a compiler can save it like any other tensor. In plain eager code
``recorded.py`` does the same with less work per call.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pygru.torch import calls
from pygru.torch.weights import Kind, cached_snapshot, kind_of

SETTINGS = (
    "Tensor[] weights, Tensor? batch_sizes, Tensor? mask, "
    "SymInt num_layers, bool bias, bool bidirectional, bool batch_first, float dropout"
)


def cpu_operator(name: str, arguments: str) -> Any:
    """Make an operator of a function that changes no argument and returns three tensors.

    PyTorch 2.4 cannot read the types of the arguments from annotations that are strings.
    """
    return torch.library.custom_op(
        f"pygru::{name}",
        mutates_args=(),
        device_types="cpu",
        schema=f"({arguments}) -> (Tensor, Tensor, Tensor)",
    )


def kind_of_weights(weights: list[Tensor], num_layers: int, bias: bool, two: bool) -> Kind:
    """Return the kind of GRU that has these weights, in the order of ``torch.nn.GRU``."""
    input_size, hidden_size = weights[0].shape[1], weights[1].shape[1]
    return kind_of(int(input_size), int(hidden_size), num_layers, bias, two, weights[0].dtype)


@cpu_operator(  # type: ignore[untyped-decorator]
    "gru", f"Tensor x, Tensor? hx, {SETTINGS}, bool keep, SymInt cache"
)
def gru(
    x: Tensor,
    hx: Tensor | None,
    weights: list[Tensor],
    batch_sizes: Tensor | None,
    mask: Tensor | None,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    batch_first: bool,
    dropout: float,
    keep: bool,
    cache: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return output, h_n and the tape; see ``calls.prepare`` for the arguments."""
    kind = kind_of_weights(weights, num_layers, bias, bidirectional)
    snapshot = cached_snapshot(cache, kind, weights)
    call = calls.prepare(kind, x.shape, batch_sizes, dropout, batch_first, keep)
    output, h_n, tape = calls.forward(call, snapshot, calls.ordered_noise(call, mask), x, hx)
    return output, h_n, torch.from_numpy(tape)


@gru.register_fake  # type: ignore[untyped-decorator]
def _(
    x: Tensor,
    hx: Tensor | None,
    weights: list[Tensor],
    batch_sizes: Tensor | None,
    mask: Tensor | None,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    batch_first: bool,
    dropout: float,
    keep: bool,
    cache: int,
) -> tuple[Tensor, Tensor, Tensor]:
    kind = kind_of_weights(weights, num_layers, bias, bidirectional)
    if batch_sizes is None:
        B = x.shape[0 if batch_first else 1]
    else:
        assert hx is not None  # only the initial states tell how many sequences there are
        B = hx.shape[1]
    rows = math.prod(x.shape[:-1])
    return (
        x.new_empty((*x.shape[:-1], kind.output_size)),
        x.new_empty((kind.num_states, B, kind.hidden_size)),
        x.new_empty(kind.tape_size(rows, B) if keep else 0),
    )


@cpu_operator(  # type: ignore[untyped-decorator]
    "gru_backward",
    "Tensor? d_output, Tensor? d_h_n, Tensor tape, SymInt[] shape, SymInt batch, "
    f"{SETTINGS}, bool needs_d_x, SymInt cache",
)
def gru_backward(
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    tape: Tensor,
    shape: list[int],
    batch: int,
    weights: list[Tensor],
    batch_sizes: Tensor | None,
    mask: Tensor | None,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    batch_first: bool,
    dropout: float,
    needs_d_x: bool,
    cache: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x (empty if it is not needed), hx, and all weights, flat.

    ``shape`` is that of x, and ``batch`` the number of sequences.
    """
    kind = kind_of_weights(weights, num_layers, bias, bidirectional)
    snapshot = cached_snapshot(cache, kind, weights)
    call = calls.prepare(kind, shape, batch_sizes, dropout, batch_first, keep=True)
    noise = calls.ordered_noise(call, mask)
    return calls.backward(call, snapshot, noise, tape, d_output, d_h_n, shape, needs_d_x)


@gru_backward.register_fake  # type: ignore[untyped-decorator]
def _(
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    tape: Tensor,
    shape: list[int],
    batch: int,
    weights: list[Tensor],
    batch_sizes: Tensor | None,
    mask: Tensor | None,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    batch_first: bool,
    dropout: float,
    needs_d_x: bool,
    cache: int,
) -> tuple[Tensor, Tensor, Tensor]:
    kind = kind_of_weights(weights, num_layers, bias, bidirectional)
    return (
        tape.new_empty(shape if needs_d_x else 0),
        tape.new_empty((kind.num_states, batch, kind.hidden_size)),
        tape.new_empty(kind.count),
    )


# ---- autograd ----------------------------------------------------------------------------


def _set_up(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep the tape and the weights for backward; PyTorch notices weights that have changed."""
    x, _, weights, batch_sizes, mask, *settings, _, cache = inputs
    _, h_n, tape = output
    ctx.save_for_backward(tape, batch_sizes, mask, *weights)
    ctx.shape, ctx.batch = x.shape, h_n.shape[1]
    ctx.settings, ctx.cache = settings, cache
    ctx.mark_non_differentiable(tape)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, d_output: Tensor | None, d_h_n: Tensor | None, _: None) -> Any:
    tape, batch_sizes, mask, *weights = ctx.saved_tensors
    needs_d_x, needs_d_hx, needs_d_weights, *_ = ctx.needs_input_grad
    num_layers, bias, bidirectional, *_ = ctx.settings
    d_x, d_hx, flat = gru_backward(
        d_output,
        d_h_n,
        tape,
        ctx.shape,
        ctx.batch,
        weights,
        batch_sizes,
        mask,
        *ctx.settings,
        needs_d_x,
        ctx.cache,
    )
    d_weights = kind_of_weights(weights, num_layers, bias, bidirectional).split(flat)
    of_weights = [
        d_weight if needed else None
        for d_weight, needed in zip(d_weights, needs_d_weights, strict=True)
    ]
    no_others = (None,) * (4 + len(ctx.settings))
    return (d_x if needs_d_x else None, d_hx if needs_d_hx else None, of_weights, *no_others)


gru.register_autograd(_backward, setup_context=_set_up)


def refuse_second(*_: Any) -> Any:
    """Say why there are no gradients of gradients."""
    raise NotImplementedError(
        "pygru.torch.GRU has first derivatives only: its gradients cannot be differentiated "
        "again (create_graph=True); use torch.nn.GRU where that is needed"
    )


gru_backward.register_autograd(refuse_second)
