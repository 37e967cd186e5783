"""Forward and backward of one batch: everything is allocated, then the core runs once.

Flow of a call: ``Inputs`` has converted the arguments to arrays that the core can read. A plan
divides the work of the batch, all memory is allocated, and then the ``Runner`` calls the core.
Errors occur before the core runs, or the core itself changes nothing. In both cases gradients
and the random generator remain as they were.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pygru import noise as noises
from pygru.budget import refuse_huge
from pygru.core import _core, threads, validation
from pygru.core._uninterrupted import Undone
from pygru.core.memory import POOL, allocate
from pygru.data.padding import pad_sequences
from pygru.inputs import Inputs
from pygru.noise import Bytes
from pygru.tape import Tape, WholeTape
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase

# Multiply-adds of a call that ends within about a millisecond.
SHORT = 20_000_000


# ---- what both passes use ----------------------------------------------------------------


def initial_state(gru: GRUBase, inputs: Inputs) -> tuple[Floats | None, bool]:
    """Return the flat h0 of a batch (None for zeros), and whether it is the GRU's parameter."""
    if inputs.h0 is not None or not gru.learn_h0:
        return inputs.h0, False
    h0 = allocate((gru.options.num_states, inputs.B, gru.hidden_size), gru.dtype, "h0")
    h0[...] = gru.parameters["h0"][:, np.newaxis]
    return h0.reshape(-1), True


def drawing(gru: GRUBase, draws: bool) -> Undone:
    """A block that restores the random generator if it fails and ``draws`` is true."""
    bits = gru.generator.bit_generator
    return Undone([(setattr, bits, "state", bits.state)] if draws else [])


# ---- forward -----------------------------------------------------------------------------


def forward(
    gru: GRUBase,
    inputs: Inputs,
    keep: int,
    training: bool,
    out: Floats | None,
    n_threads: int | None,
) -> tuple[Floats | list[Floats], Floats, WholeTape | None]:
    """Run a batch; return output, h_n and, if something is kept, a tape."""
    threads.resolve(n_threads)  # refuse a bad argument before anything is allocated
    refuse_huge(gru, inputs)
    runner = gru._runner
    plan, sizes = runner.plan(inputs.T, inputs.B, inputs.lengths, keep)
    n_used = threads.threads_for(n_threads, sizes)
    if n_used > 1:
        sizes = plan.sizes(n_used)
    output = new_output(gru, inputs, out)
    target = output if out is None else _writable(gru, out, inputs)
    h_n = allocate(math.prod(inputs.state_shape()), gru.dtype, "h_n")
    memory = POOL.take(sizes["tape"], gru.dtype, f"the tape of {inputs.T} steps")
    h0, learned = initial_state(gru, inputs)
    noise = noises.allocate_noise(gru, sizes) if training else noises.expected(gru)
    tape = None
    if keep == _core.KEEP_NOTHING:
        packed = runner.packed_weights()
    else:
        packed, fingerprint = runner.packed_weights_and_fingerprint()
        tape = WholeTape(gru, inputs, plan, memory, noise, n_threads, fingerprint, learned)
    result = inputs.sequences(output), h_n.reshape(inputs.state_shape()), tape
    with drawing(gru, training and noise is not None):
        if training:
            noises.draw(gru, noise, gru.generator)
        runner.forward(
            plan,
            sizes,
            n_used,
            x=inputs.x,
            h0=h0,
            y=inputs.time_major(target),
            h_n=h_n,
            tape=memory,
            noise=noise,
            packed=packed,
        )
        if target is not output:
            output[...] = target
    inputs.release()
    return result


def run_short(gru: GRUBase, x: Any) -> tuple[Floats, Floats] | None:
    """Do what :func:`forward` does for a short call like an earlier one; None for others.

    It accepts an array that needs no conversion, and work for one thread that ends within a
    millisecond. Checking every argument would be a large part of such a call's time.
    """
    if type(x) is not np.ndarray or x.ndim != 3:
        return None
    if not (x.flags.c_contiguous and x.flags.aligned):
        return None
    if gru.batch_first:
        x = x.swapaxes(0, 1)
    T, B, I = x.shape
    runner = gru._runner
    planned = runner.known_plan(T, B, _core.KEEP_NOTHING)
    if planned is None or gru.input_size != I or x.dtype != gru.dtype or gru.learn_h0:
        return None
    plan, sizes = planned
    alone = sizes["max_threads"] == 1 or sizes["operations"] < threads.SERIAL_OPERATIONS
    if not alone or sizes["operations"] > SHORT or not runner.is_simd:
        return None
    count, H = gru.num_layers * gru.num_directions, gru.hidden_size
    width = gru.num_directions * H
    shape = (B, T, width) if gru.batch_first else (T, B, width)
    output = allocate(shape, gru.dtype, "the output")
    h_n = allocate((count, B, H), gru.dtype, "h_n")
    runner.forward(
        plan,
        sizes,
        1,
        x=x,
        h0=None,
        y=output.swapaxes(0, 1) if gru.batch_first else output,
        h_n=h_n.reshape(-1),
        tape=None,
        noise=noises.expected(gru),
        packed=runner.packed_weights(),
    )
    return output, h_n


def new_output(gru: GRUBase, inputs: Inputs, out: Floats | None) -> Floats:
    """Return the array for the output: ``out`` if it fits, or a new one."""
    shape = inputs.shape_of(inputs.output_size)
    if out is None:
        return allocate(shape, gru.dtype, "the output")
    if inputs.is_list:
        raise ValueError("out must be None when x is a list of sequences")
    validation.check_out("out", out, gru.dtype, shape)
    return out


def _writable(gru: GRUBase, out: Floats, inputs: Inputs) -> Floats:
    """Return ``out`` if the core can write it while it reads x and h0, or another array."""
    read = [array for array in (inputs.x, inputs.h0) if array is not None]
    read.append(gru._parameters_owner.borrow())
    if (
        validation.dense_last_axis(out) is not out
        or not out.flags.aligned
        or any(np.may_share_memory(out, array) for array in read)
    ):
        return allocate(out.shape, gru.dtype, "the output")
    return out


# ---- backward ----------------------------------------------------------------------------


def backward(
    gru: GRUBase, tape: WholeTape, d_output: ArrayLike | None, d_h_n: ArrayLike | None
) -> tuple[Floats | list[Floats], Floats]:
    """Add the gradients of a tape to ``gru.grads``; return d_x and d_h0."""
    packed = check_tape(gru, tape)
    inputs = tape.inputs
    d_x = allocate(inputs.shape_of(gru.input_size), gru.dtype, "d_x")
    of_x = inputs.sequences(d_x)
    return of_x, _go_back_into(gru, tape, packed, d_output, d_h_n, inputs.time_major(d_x))


def accumulate(gru: GRUBase, tape: WholeTape, d_output: ArrayLike | None) -> None:
    """Do what :func:`backward` does without d_x, which takes a tenth of its time or more."""
    _go_back_into(gru, tape, check_tape(gru, tape), d_output, None, None)


def _go_back_into(
    gru: GRUBase,
    tape: WholeTape,
    packed: Bytes | None,
    d_output: ArrayLike | None,
    d_h_n: ArrayLike | None,
    d_x: Floats | None,
) -> Floats:
    """Add the gradients of a tape to ``gru.grads``, write d_x (T, B, I), and return d_h0."""
    inputs = tape.inputs
    d_y = output_gradient(gru, inputs, d_output)
    d_h = inputs.state("d_h_n", d_h_n)
    d_h0 = allocate(math.prod(inputs.state_shape()), gru.dtype, "d_h0")
    grads = gru.flat_grads
    # The gradient of a learned h0 comes after that of the weights; both are added in one step.
    aside = zeros_like_grads(gru) if tape.learned_h0 else None
    result = d_h0.reshape(inputs.state_shape())
    go_back(gru, tape, packed, d_y, d_h, d_x, d_h0, grads if aside is None else aside)
    if aside is not None:
        add_gradients(gru, tape, aside, d_h0)
    return result


def go_back(
    gru: GRUBase,
    tape: WholeTape,
    packed: Bytes | None,
    d_y: Floats | None,
    d_h_n: Floats | None,
    d_x: Floats | None,
    d_h0: Floats,
    grads: Floats,
) -> None:
    """Go back through a tape: write d_x (T, B, I) and d_h0, flat, and add to ``grads``.

    ``d_x`` is None if nobody wants it. ``d_y`` (T, B, D*H) and ``d_h_n``, flat, are the
    gradients of the results; None for zeros.
    """
    gru._runner.backward(
        tape.plan,
        threads.threads_for(tape.n_threads, tape.plan.sizes(1)),
        packed=packed,
        tape=tape.memory,
        noise=tape.noise,
        d_y=d_y,
        d_h_n=d_h_n,
        d_x=d_x,
        d_h0=d_h0,
        grads=grads,
    )


def check_tape(gru: GRUBase, tape: Tape) -> Bytes | None:
    """Raise if a tape belongs to other weights or another GRU; return the packed weights."""
    if tape.gru is not gru:
        raise ValueError("tape belongs to another GRU")
    packed, fingerprint = gru._runner.packed_weights_and_fingerprint()
    if tape.fingerprint != fingerprint:
        raise RuntimeError("weights changed since forward: the tape no longer fits them")
    return packed


def zeros_like_grads(gru: GRUBase) -> Floats:
    """Return a flat array for gradients, which are later added to the GRU's in one step."""
    grads = allocate(gru.flat_grads.size, gru.dtype, "the gradients of a call")
    grads.fill(0)
    return grads


def add_gradients(gru: GRUBase, tape: Tape, aside: Floats, d_h0: Floats) -> None:
    """Add flat gradients to the GRU's, with that of a learned h0 if the tape began with it.

    The addition is one call of a compiled function: an interrupt comes before or after it.
    """
    if tape.learned_h0:
        count, H = gru.options.num_states, gru.hidden_size
        of_h0 = aside[aside.size - count * H :].reshape(count, H)  # the last parameter
        np.sum(d_h0.reshape(count, tape.inputs.B, H), axis=1, out=of_h0)
    grads = gru.flat_grads
    np.add(grads, aside, out=grads)


def output_gradient(gru: GRUBase, inputs: Inputs, d_output: ArrayLike | None) -> Floats | None:
    """Return ``d_output`` as a (T, B, D*H) array that the core can read, or None."""
    if d_output is None:
        return None
    if inputs.is_list and isinstance(d_output, (list, tuple)):
        d_output, lengths = pad_sequences(
            d_output, dtype=gru.dtype, batch_first=gru.batch_first
        )
        if not np.array_equal(lengths, inputs.full_lengths()):
            raise ValueError(
                "d_output must be a list of arrays of lengths "
                f"{inputs.full_lengths().tolist()}, got {lengths.tolist()}"
            )
    array = validation.as_real("d_output", d_output, gru.dtype)
    shape = inputs.shape_of(inputs.output_size)
    width = "D*H" if gru.merge == "concat" else "H"
    axes = "time" if inputs.is_single else "time, batch"
    if gru.batch_first and not inputs.is_single:
        axes = "batch, time"
    validation.check_shape("d_output", array, shape, f"({axes}, {width}) = {shape}")
    return validation.dense_last_axis(inputs.time_major(array))
