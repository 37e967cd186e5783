"""Long sequences in little memory: keep a few states, run the steps between them again.

A window is a number of consecutive steps. Forward runs the windows one after the other and
keeps the state at the beginning of each; backward takes them from the last to the first, runs
each again from its state, this time keeping the gates, and goes back through it. The steps are
computed twice, the memory is that of one window. Chen et al. 2016, arXiv:1604.06174.
"""

import copy
import math
import re
import sys

import numpy as np

from pygru import noise as noises
from pygru import passes
from pygru.core import _core, threads, validation
from pygru.core.memory import POOL, allocate
from pygru.tape import Tape

POLICIES = {"gates": _core.KEEP_GATES, "outputs": _core.KEEP_OUTPUTS}
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BUDGET = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)b?\s*", re.IGNORECASE | re.ASCII)


# ---- what to keep ------------------------------------------------------------------------


def check_memory(memory):
    """Return the bytes that a ``memory`` argument allows, None for the name of a policy."""
    if isinstance(memory, str):
        if memory in (*POLICIES, "sqrt"):
            return None
        text = BUDGET.fullmatch(memory)
        if text is not None:
            # A number beyond the range of a float is more than any tape takes.
            return int(min(float(text[1]) * UNITS[text[2].lower()], sys.maxsize))
    elif isinstance(memory, (int, np.integer)) and not isinstance(memory, bool) and memory > 0:
        return int(memory)
    raise ValueError(
        "memory must be one of 'gates', 'outputs', 'sqrt', or a number of bytes such as "
        f"2**20 or '500 MB', got {validation.shown(memory)}"
    )


def choose(gru, batch, memory, n_threads):
    """What to keep of a batch: one of ``KEEP_*``, and the steps of a window or None."""
    budget = check_memory(memory)
    if memory in POLICIES:
        return POLICIES[memory], None
    if memory == "sqrt":
        if gru.bidirectional:
            raise ValueError(_ONE_DIRECTION.format("memory='sqrt'"))
        return _core.KEEP_GATES, max(1, math.isqrt(batch.T))
    passes.refuse_huge(gru, batch)
    needs = []
    for keep in POLICIES.values():
        needs.append(_bytes_of_whole(gru, batch, keep, n_threads))
        if needs[-1] <= budget:
            return keep, None
    window = batch.T
    while window > 1 and not gru.bidirectional:
        window = (window + 1) // 2
        needs.append(_bytes_in_windows(gru, batch, window, n_threads))
        if needs[-1] <= budget:
            return _core.KEEP_GATES, window
    raise ValueError(
        f"memory={memory!r} is too little: {batch.T} steps of {batch.B} sequences need at "
        f"least {min(needs)} bytes for the tape and for backward"
        + ("; " + _ONE_DIRECTION.format("less") if gru.bidirectional else "")
    )


_ONE_DIRECTION = (
    "{} needs a GRU of one direction: the reverse direction would need every window's future"
)


def _bytes_of_whole(gru, batch, keep, n_threads):
    plan, sizes = gru._runner.plan(batch.T, batch.B, batch.lengths, keep)
    sizes = plan.sizes(threads.threads_for(n_threads, sizes))
    return sizes["tape"] * gru.dtype.itemsize + sizes["backward_workspace"]


def _bytes_in_windows(gru, batch, window, n_threads):
    """Of the longest window, and of what is kept between the passes."""
    plan, sizes = gru._runner.plan(window, batch.B, None, _core.KEEP_GATES)
    sizes = plan.sizes(threads.threads_for(n_threads, sizes))
    states = math.prod(batch.state_shape())
    elements = (
        sizes["tape"]
        + window * batch.B * gru.hidden_size  # the output of the window, not used again
        + (math.ceil(batch.T / window) + 2) * states
        + batch.T * batch.B * gru.input_size  # the tape's copy of x
        + sizes["parameters"]
    )
    return elements * gru.dtype.itemsize + sizes["backward_workspace"]


# ---- windows -----------------------------------------------------------------------------


class _Window:
    """Steps [begin, end) of a batch."""

    def __init__(self, gru, batch, begin, end):
        self.gru = gru
        self.begin, self.end = begin, end
        self.lengths = None
        if batch.lengths is not None:
            self.lengths = np.clip(batch.lengths - begin, 0, end - begin)
        self.B = batch.B

    def plan(self, keep, n_threads):
        """The window's plan, its sizes and the number of threads."""
        T = self.end - self.begin
        plan, sizes = self.gru._runner.plan(T, self.B, self.lengths, keep)
        n_used = threads.threads_for(n_threads, sizes)
        return plan, plan.sizes(n_used), n_used

    def of(self, array):
        """The window of a (T, B, ...) array, None of None."""
        return None if array is None else array[self.begin : self.end]


def _windows(gru, batch, size):
    return [
        _Window(gru, batch, begin, min(begin + size, batch.T))
        for begin in range(0, batch.T, size)
    ]


class _WindowNoise:
    """The noise of each window, which backward draws a second time instead of keeping it."""

    def __init__(self, gru, training):
        self.gru = gru
        self.training = training
        self.recurrent = None  # the mask of whole sequences, the same for every window
        self.states = []  # of the generator, before each window

    def draw(self, sizes):
        """The noise of the next window of the forward pass."""
        if not self.training:
            return noises.expected(self.gru)
        noise = self._room(sizes)
        if noise is not None:
            self.states.append(self.gru.generator.bit_generator.state)
            noises.draw_steps(self.gru, noise, self.gru.generator)
        return noise

    def draw_again(self, number, sizes):
        """The noise of a window once more, for the backward pass."""
        if not self.training:
            return noises.expected(self.gru)
        noise = self._room(sizes)
        if noise is not None:
            generator = copy.deepcopy(self.gru.generator)
            generator.bit_generator.state = self.states[number]
            noises.draw_steps(self.gru, noise, generator)
        return noise

    def _room(self, sizes):
        noise = noises.allocate_noise(self.gru, sizes)
        if noise is None or noise.recurrent is None:
            return noise
        if self.recurrent is None:
            noises.draw_sequences(self.gru, noise, self.gru.generator)
            self.recurrent = noise.recurrent
        return noise._replace(recurrent=self.recurrent)

    @property
    def nbytes(self):
        """Bytes that are kept between the passes."""
        return 0 if self.recurrent is None else self.recurrent.nbytes


class CheckpointTape(Tape):
    """A tape that keeps the input, and the state at the beginning of every window."""

    def __init__(self, gru, batch, windows, x, states, noise, n_threads, fingerprint, learned):
        super().__init__(gru, batch, None, x, noise, n_threads, fingerprint, learned)
        self.windows = windows
        self.states = states

    @property
    def nbytes(self):
        """Bytes of memory that this tape holds."""
        return super().nbytes + self.states.nbytes


# ---- the two passes ----------------------------------------------------------------------


def forward(gru, batch, size, training, n_threads):
    """Run a batch in windows of ``size`` steps; return output, h_n and a tape."""
    threads.resolve(n_threads)
    passes.refuse_huge(gru, batch)
    windows = _windows(gru, batch, size)
    output = passes.new_output(gru, batch, None)
    memory = POOL.take(batch.x.size, gru.dtype, "the tape's copy of x")
    x = memory.reshape(batch.x.shape)
    x[...] = batch.x
    # The flat state before each window, and after the last.
    shape = (len(windows) + 1, math.prod(batch.state_shape()))
    states = allocate(shape, gru.dtype, "the states between windows")
    packed, fingerprint = gru._runner.packed_weights_and_fingerprint()
    h0, learned = passes.initial_state(gru, batch)
    states[0] = 0 if h0 is None else h0
    y = batch.time_major(output)
    noise = _WindowNoise(gru, training)
    with passes.drawing(gru, training):
        for number, window in enumerate(windows):
            plan, sizes, n_used = window.plan(_core.KEEP_NOTHING, n_threads)
            gru._runner.forward(
                plan,
                sizes,
                n_used,
                x=window.of(x),
                h0=states[number],
                y=window.of(y),
                h_n=states[number + 1],
                tape=None,
                noise=noise.draw(sizes),
                packed=packed,
            )
    tape = CheckpointTape(
        gru, batch, windows, memory, states, noise, n_threads, fingerprint, learned
    )
    batch.x = batch.h0 = None  # the tape has its own copies
    return batch.sequences(output), states[-1].reshape(batch.state_shape()).copy(), tape


def backward(gru, tape, d_output, d_h_n):
    """Add the gradients of such a tape to ``gru.grads``; return d_x and d_h0."""
    packed = passes.check_tape(gru, tape)
    batch = tape.batch
    d_y = passes.output_gradient(gru, batch, d_output)
    d_h = allocate(math.prod(batch.state_shape()), gru.dtype, "the gradient of a state")
    d_h0 = allocate(d_h.size, gru.dtype, "d_h0")
    d_x = allocate(batch.shape_of(gru.input_size), gru.dtype, "d_x")
    # Only the gradient of the whole call may reach the caller's.
    grads = allocate(gru.flat_grads.size, gru.dtype, "the gradients of all windows")
    grads.fill(0)
    d_h_n = batch.state("d_h_n", d_h_n)
    d_h0[...] = 0 if d_h_n is None else d_h_n
    x = tape.memory.reshape(batch.T, batch.B, gru.input_size)
    d_x_rows = batch.time_major(d_x)
    for number in reversed(range(len(tape.windows))):
        window = tape.windows[number]
        d_h, d_h0 = d_h0, d_h
        _window_backward(
            gru,
            tape,
            number,
            packed,
            x=window.of(x),
            d_y=window.of(d_y),
            d_h_n=d_h,
            d_x=window.of(d_x_rows),
            d_h0=d_h0,
            grads=grads,
        )
    gru.flat_grads[...] += grads
    passes.add_h0_gradient(gru, tape, d_h0)
    return batch.sequences(d_x), d_h0.reshape(batch.state_shape())


def _window_backward(gru, tape, number, packed, *, x, **arrays):
    """Run a window again, keeping its gates, and go back through it."""
    plan, sizes, n_used = tape.windows[number].plan(_core.KEEP_GATES, tape.n_threads)
    memory = POOL.take(sizes["tape"], gru.dtype, "the tape of a window")
    width = gru.num_directions * gru.hidden_size
    noise = tape.noise.draw_again(number, sizes)
    gru._runner.forward(
        plan,
        sizes,
        n_used,
        x=x,
        h0=tape.states[number],
        y=allocate((*x.shape[:2], width), gru.dtype, "the output of a window"),
        h_n=allocate(tape.states.shape[1], gru.dtype, "the state after a window"),
        tape=memory,
        noise=noise,
        packed=packed,
    )
    gru._runner.backward(plan, n_used, packed=packed, tape=memory, noise=noise, **arrays)
