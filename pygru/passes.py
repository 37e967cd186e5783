"""Forward and backward of one batch: everything is allocated, then the core runs once.

The compiled ``Sequences`` does this for arguments that fit. Here is what stands around it: the
masks of training, and arguments that need a conversion or an explanation. Errors occur before
the core runs, or the core itself changes nothing. In both cases gradients and the random
generator remain as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from pygru import noise as noises
from pygru.core import threads, validation
from pygru.core._sequences import NO_OUTPUT
from pygru.core._uninterrupted import Undone
from pygru.core.memory import allocate
from pygru.data.padding import pad_sequences
from pygru.errors import InternalError
from pygru.inputs import Inputs
from pygru.noise import Bytes
from pygru.tape import Tape, WholeTape
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase
    from pygru.gru_inference import GRUInference

# ---- what both passes use ----------------------------------------------------------------


def initial_state(gru: GRUInference, inputs: Inputs) -> tuple[Floats | None, bool]:
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
    gru: GRUInference,
    inputs: Inputs,
    keep: int,
    training: bool,
    out: Floats | None,
    n_threads: int | None,
) -> tuple[Floats | list[Floats], Floats, WholeTape | None]:
    """Run a batch; return output, h_n and, if something is kept, a tape."""
    if training and gru._runner.is_noisy:
        return _noisy_forward(cast("GRUBase", gru), inputs, keep, n_threads)
    noise = None if training else gru._runner.expected_noise
    run = gru._runner.sequences.forward
    try:
        result = run(gru, inputs, keep, noise, out, n_threads)
    except InternalError:
        new_output(gru, inputs, out)  # the core refuses elements that overlap: this says so
        raise
    if result is None:  # the core cannot write to ``out`` while it reads
        output = new_output(gru, inputs, out)
        result = run(gru, inputs, keep, noise, None, n_threads)
        assert result is not None
        output[...] = result[0]
        return output, *result[1:]
    if inputs.is_list:
        return inputs.sequences(result[0]), *result[1:]
    return result


def _noisy_forward(
    gru: GRUBase, inputs: Inputs, keep: int, n_threads: int | None, out: Any = None
) -> tuple[Any, Floats, WholeTape | None]:
    """Run a batch with masks that are drawn now; after an error they have not been drawn."""
    threads.resolve(n_threads)  # refuse a bad argument before anything is allocated
    inputs.refuse_huge()
    planned = gru._runner.plan(inputs.T, inputs.B, inputs.lengths, keep)
    noise = noises.allocate_noise(gru, planned.sizes)
    with drawing(gru, noise is not None):
        noises.draw(gru, noise, gru.generator)
        run = gru._runner.sequences.forward
        result = run(gru, inputs, keep, noise, out, n_threads)
        assert result is not None
        output, h_n, tape = result
        return inputs.sequences(output) if inputs.is_list else output, h_n, tape


def new_output(gru: GRUInference, inputs: Inputs, out: Floats | None) -> Floats:
    """Return the array for the output: ``out`` if it fits, or a new one."""
    shape = inputs.shape_of(inputs.output_size)
    if out is None:
        return allocate(shape, gru.dtype, "the output")
    if inputs.is_list:
        raise ValueError("out must be None when x is a list of sequences")
    validation.check_out("out", out, gru.dtype, shape)
    return out


def forward_to_end(
    gru: GRUBase, inputs: Inputs, keep: int, training: bool, n_threads: int | None
) -> tuple[Floats, WholeTape | None]:
    """Do what :func:`forward` does without the output: return h_n and the tape."""
    if training and gru._runner.is_noisy:
        _, h_n, tape = _noisy_forward(gru, inputs, keep, n_threads, NO_OUTPUT)
    else:
        noise = None if training else gru._runner.expected_noise
        run = gru._runner.sequences.forward
        result = run(gru, inputs, keep, noise, NO_OUTPUT, n_threads)
        assert result is not None
        _, h_n, tape = result
    return h_n, tape


# ---- backward ----------------------------------------------------------------------------


def backward(
    gru: GRUBase, tape: WholeTape, d_output: ArrayLike | None, d_h_n: ArrayLike | None
) -> tuple[Floats | list[Floats], Floats]:
    """Add the gradients of a tape to ``gru.grads``; return d_x and d_h0."""
    d_x, d_h0 = _go_back_into(gru, tape, d_output, d_h_n, True)
    return tape.inputs.sequences(d_x) if tape.inputs.is_list else d_x, d_h0


def accumulate(
    gru: GRUBase,
    tape: WholeTape,
    d_output: ArrayLike | None,
    d_h_n: ArrayLike | None = None,
) -> None:
    """Do what :func:`backward` does without d_x, which takes a tenth of its time or more."""
    _go_back_into(gru, tape, d_output, d_h_n, False)


def _go_back_into(
    gru: GRUBase,
    tape: WholeTape,
    d_output: ArrayLike | None,
    d_h_n: ArrayLike | None,
    wants_d_x: bool,
) -> tuple[Any, Floats]:
    """Add the gradients of a tape to ``gru.grads``; return d_x, which may be None, and d_h0."""
    if tape.gru is not gru:
        raise _of_another_gru()
    # The gradient of a learned h0 comes after that of the weights; both are added in one step.
    aside = zeros_like_grads(gru) if tape.learned_h0 else None
    run = gru._runner.sequences.backward
    result = run(tape, d_output, d_h_n, wants_d_x, aside)
    if result is None:
        check_tape(gru, tape)
        d_y = output_gradient(gru, tape.inputs, d_output)
        result = run(tape, d_y, tape.inputs.state("d_h_n", d_h_n), wants_d_x, aside)
        if result is None:
            raise _of_other_weights()
    if aside is not None:
        add_gradients(gru, tape, aside, result[1])
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
        raise _of_another_gru()
    packed, fingerprint = gru._runner.packed_weights_and_fingerprint()
    if tape.fingerprint != fingerprint:
        raise _of_other_weights()
    return packed


def _of_another_gru() -> ValueError:
    return ValueError("tape belongs to another GRU")


def _of_other_weights() -> RuntimeError:
    return RuntimeError("weights changed since forward: the tape no longer fits them")


def flat_state(inputs: Inputs, name: str, value: ArrayLike | None) -> Floats | None:
    """Check a state and return it flat, as the core reads it, or None."""
    state = inputs.state(name, value)
    return None if state is None else state.reshape(-1)


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
    """Return ``d_output`` as an array that the core can read, in the caller's layout."""
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
    return validation.dense_last_axis(array)
