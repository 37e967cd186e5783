"""Forward and backward of one batch: everything is allocated, then the core runs once.

Flow of a call: ``Batch`` has brought the arguments to arrays that the core can walk, a plan
cuts the batch into work, all memory is allocated, then the core runs without the GIL.
"""

import contextlib
import math
import sys

import numpy as np

from pygru import noise as noises
from pygru.core import _core, threads, validation
from pygru.core.memory import POOL, allocate
from pygru.data.padding import pad_sequences
from pygru.tape import Tape

# Multiply-adds of a call that ends within about a millisecond.
SHORT = 20_000_000


# ---- what both passes use ----------------------------------------------------------------


def initial_state(gru, batch):
    """The flat h0 of a batch (None for zeros), and whether it is the GRU's own parameter."""
    if batch.h0 is not None or not gru.learn_h0:
        return batch.h0, False
    count = gru.num_layers * gru.num_directions
    h0 = allocate((count, batch.B, gru.hidden_size), gru.dtype, "h0")
    h0[...] = gru.parameters["h0"][:, np.newaxis]
    return h0.reshape(-1), True


def refuse_huge(gru, batch):
    """Raise if the output of a batch cannot be addressed."""
    width = gru.num_directions * gru.hidden_size
    if batch.T * batch.B * width * gru.dtype.itemsize > sys.maxsize:
        raise ValueError(f"output of shape {batch.shape_of(width)} is too big")


@contextlib.contextmanager
def drawing(gru, draws):
    """If what happens inside fails and ``draws`` is true, nothing has been drawn by it."""
    before = gru.generator.bit_generator.state if draws else None
    try:
        yield
    except BaseException:
        if draws:
            gru.generator.bit_generator.state = before
        raise


# ---- forward -----------------------------------------------------------------------------


def forward(gru, batch, keep, training, out, n_threads):
    """Run a batch; return output, h_n and, if something is kept, a tape."""
    threads.resolve(n_threads)  # refuse a bad argument before anything is allocated
    refuse_huge(gru, batch)
    runner = gru._runner
    plan, sizes = runner.plan(batch.T, batch.B, batch.lengths, keep)
    n_used = threads.threads_for(n_threads, sizes)
    if n_used > 1:
        sizes = plan.sizes(n_used)
    output = new_output(gru, batch, out)
    target = output if out is None else _writable(gru, out, batch)
    h_n = allocate(math.prod(batch.state_shape()), gru.dtype, "h_n")
    tape = POOL.take(sizes["tape"], gru.dtype, f"the tape of {batch.T} steps")
    if keep == _core.KEEP_NOTHING:
        packed, fingerprint = runner.packed_weights(), None
    else:
        packed, fingerprint = runner.packed_weights_and_fingerprint()
    h0, learned = initial_state(gru, batch)
    noise = noises.allocate_noise(gru, sizes) if training else noises.expected(gru)
    with drawing(gru, training and noise is not None):
        if training:
            noises.draw(gru, noise, gru.generator)
        runner.forward(
            plan,
            sizes,
            n_used,
            x=batch.x,
            h0=h0,
            y=batch.time_major(target),
            h_n=h_n,
            tape=tape,
            noise=noise,
            packed=packed,
        )
    if target is not output:
        output[...] = target
    kept = None
    if keep != _core.KEEP_NOTHING:
        kept = Tape(gru, batch, plan, tape, noise, n_threads, fingerprint, learned)
        batch.x = batch.h0 = None  # the tape has its own copies
    return batch.sequences(output), h_n.reshape(batch.state_shape()), kept


def run_short(gru, x):
    """What :func:`forward` does, for a short call like one before it; else None.

    An array that the core can take as it stands, and work for one thread that ends within a
    millisecond: there, looking at every argument would be seen in the time.
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


def new_output(gru, batch, out):
    """The array for the output: ``out`` if it fits, or a new one."""
    shape = batch.shape_of(gru.num_directions * gru.hidden_size)
    if out is None:
        return allocate(shape, gru.dtype, "the output")
    if batch.is_list:
        raise ValueError("out must be None when x is a list of sequences")
    validation.check_out("out", out, gru.dtype, shape)
    return out


def _writable(gru, out, batch):
    """``out`` itself if the core can write it while it reads x and h0, or a stand-in."""
    inputs = [array for array in (batch.x, batch.h0) if array is not None]
    inputs.append(gru._parameters_owner.borrow())
    if (
        validation.dense_last_axis(out) is not out
        or not out.flags.aligned
        or any(np.may_share_memory(out, array) for array in inputs)
    ):
        return allocate(out.shape, gru.dtype, "the output")
    return out


# ---- backward ----------------------------------------------------------------------------


def backward(gru, tape, d_output, d_h_n):
    """Add the gradients of a tape to ``gru.grads``; return d_x and d_h0."""
    packed = check_tape(gru, tape)
    batch, plan = tape.batch, tape.plan
    d_y = output_gradient(gru, batch, d_output)
    d_h_n = batch.state("d_h_n", d_h_n)
    n_used = threads.threads_for(tape.n_threads, plan.sizes(1))
    d_x = allocate(batch.shape_of(gru.input_size), gru.dtype, "d_x")
    d_h0 = allocate(math.prod(batch.state_shape()), gru.dtype, "d_h0")
    gru._runner.backward(
        plan,
        n_used,
        packed=packed,
        tape=tape.memory,
        noise=tape.noise,
        d_y=d_y,
        d_h_n=d_h_n,
        d_x=batch.time_major(d_x),
        d_h0=d_h0,
        grads=gru._grads_owner.borrow(),
    )
    add_h0_gradient(gru, tape, d_h0)
    return batch.sequences(d_x), d_h0.reshape(batch.state_shape())


def check_tape(gru, tape):
    """Raise if a tape is of other weights or another GRU; return the packed weights."""
    if tape.gru is not gru:
        raise ValueError("tape belongs to another GRU")
    packed, fingerprint = gru._runner.packed_weights_and_fingerprint()
    if tape.fingerprint != fingerprint:
        raise RuntimeError("weights changed since forward: the tape no longer fits them")
    return packed


def add_h0_gradient(gru, tape, d_h0):
    """If the sequences began at the GRU's own h0, its gradient is the sum of theirs."""
    if tape.learned_h0:
        of_sequences = d_h0.reshape(-1, tape.batch.B, gru.hidden_size)
        gru.grads["h0"][...] += of_sequences.sum(axis=1)


def output_gradient(gru, batch, d_output):
    """``d_output`` as a (T, B, D*H) array the core can walk, or None."""
    if d_output is None:
        return None
    if batch.is_list and isinstance(d_output, (list, tuple)):
        d_output, lengths = pad_sequences(
            d_output, dtype=gru.dtype, batch_first=gru.batch_first
        )
        if not np.array_equal(lengths, batch.lengths):
            raise ValueError(
                f"d_output must be a list of arrays of lengths {batch.lengths.tolist()}, "
                f"got {lengths.tolist()}"
            )
    array = validation.as_real("d_output", d_output, gru.dtype)
    shape = batch.shape_of(gru.num_directions * gru.hidden_size)
    axes = "(time, D*H)" if batch.is_single else "(time, batch, D*H)"
    if gru.batch_first and not batch.is_single:
        axes = "(batch, time, D*H)"
    validation.check_shape("d_output", array, shape, f"{axes} = {shape}")
    return validation.dense_last_axis(batch.time_major(array))
