"""Long sequences in little memory: keeps a few states and runs the steps between them again.

A segment is a number of consecutive steps of a batch. Forward runs the segments one after the
other and keeps the state at the beginning of each. Backward takes them from the last to the
first: it runs each again from its state, this time keeping the gates, and goes back through it.
The steps are computed twice, and the memory is that of one segment. Chen et al. 2016,
arXiv:1604.06174.

``budget.py`` decides how long the segments are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru import passes
from pygru.core import _core, _plans, threads
from pygru.core.memory import POOL, allocate
from pygru.inputs import Inputs
from pygru.noise import Bytes, Noise, PackedNoise
from pygru.tape import Tape
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase


class Segment(NamedTuple):
    """Steps [begin, end) of a batch, and how many of them each sequence has."""

    begin: int
    end: int
    lengths: NDArray[np.int64] | None

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.end - self.begin

    def of(self, array: Floats) -> Floats:
        """Return the segment of a (T, B, ...) array."""
        return array[self.begin : self.end]


def _segments(gru: GRUBase, inputs: Inputs, size: int) -> list[Segment]:
    """Return the segments in the order in which the GRU reads them."""
    segments = []
    for begin in range(0, inputs.T, size):
        end, lengths = min(begin + size, inputs.T), None
        if inputs.lengths is not None:
            lengths = np.clip(inputs.lengths - begin, 0, end - begin)
        segments.append(Segment(begin, end, lengths))
    return segments[::-1] if gru.reverse else segments


class _Plan(NamedTuple):
    """The plan of a segment, and the settings of its calls."""

    plan: _plans.Plan
    sizes: dict[str, int]
    n_threads: int

    def noise(self, masks: PackedNoise | None, gru: GRUBase, segment: Segment) -> Noise | None:
        """Return the noise of a segment; without masks, that of inference."""
        if masks is None:
            return gru._runner.expected_noise
        if not masks.nbytes:
            return None
        rows = self.sizes["rows"]
        step, sequence = np.empty(rows, np.int64), np.empty(rows, np.int64)
        self.plan.rows(step, sequence)
        return masks.segment(segment.begin, segment.end, step, sequence)


def _plan(gru: GRUBase, B: int, segment: Segment, keep: int, n_threads: int | None) -> _Plan:
    plan, sizes = gru._runner.plan(segment.steps, B, segment.lengths, keep)
    n_used = threads.threads_for(n_threads, sizes)
    return _Plan(plan, plan.sizes(n_used), n_used)


class _Room:
    """Memory that the segments of a call use one after the other.

    It is enough for the longest segment if no sequence ends in it, and so for every segment.
    """

    def __init__(
        self, gru: GRUBase, B: int, segments: list[Segment], keep: int, n_threads: int | None
    ) -> None:
        steps = max((segment.steps for segment in segments), default=0)
        sizes = _plan(gru, B, Segment(0, steps, None), keep, n_threads).sizes
        size = sizes["forward_workspace"]
        if keep == _core.KEEP_GATES:
            size = max(size, sizes["backward_workspace"])
            self.tape = POOL.take(sizes["tape"], gru.dtype, "the tape of a segment")
            self.y = allocate((steps, B, gru.hidden_size), gru.dtype, "the output of a segment")
            states = gru.num_layers * B * gru.hidden_size
            self.h_n = allocate(states, gru.dtype, "the state after a segment")
        self.workspace = POOL.take(size, np.uint8, "the workspace of segments")


class SegmentTape(Tape):
    """A tape that keeps the input, and the state at the beginning of every segment."""

    segments: list[Segment]
    states: Floats
    noise: PackedNoise | None

    def __init__(
        self,
        gru: GRUBase,
        inputs: Inputs,
        segments: list[Segment],
        x: Floats,
        states: Floats,
        noise: PackedNoise | None,
        n_threads: int | None,
        fingerprint: int,
        learned_h0: bool,
    ) -> None:
        self._fix(
            gru=gru,
            inputs=inputs,
            segments=segments,
            memory=x,
            states=states,
            noise=noise,
            n_threads=n_threads,
            fingerprint=fingerprint,
            learned_h0=learned_h0,
        )

    @property
    def nbytes(self) -> int:
        """The bytes of memory that this tape occupies."""
        return super().nbytes + self.states.nbytes


def forward(
    gru: GRUBase, inputs: Inputs, size: int, training: bool, n_threads: int | None
) -> tuple[Floats | list[Floats], Floats, Tape]:
    """Run a batch in segments of ``size`` steps; return output, h_n and a tape."""
    threads.resolve(n_threads)  # refuse a bad argument before anything is allocated
    inputs.refuse_huge()
    segments = _segments(gru, inputs, size)
    output = passes.new_output(gru, inputs, None)
    memory = POOL.take(inputs.x.size, gru.dtype, "the tape's copy of x")
    x = memory.reshape(inputs.x.shape)
    x[...] = inputs.x
    # The flat state before each segment, and after the last one.
    shape = (len(segments) + 1, math.prod(inputs.state_shape()))
    states = allocate(shape, gru.dtype, "the states between segments")
    packed, fingerprint = gru._runner.packed_weights_and_fingerprint()
    h0, learned = passes.initial_state(gru, inputs)
    states[0] = 0 if h0 is None else h0.reshape(-1)
    y = inputs.time_major(output)
    noise = PackedNoise(gru, inputs, gru._runner.chunk_rows(inputs.B)) if training else None
    tape = SegmentTape(
        gru, inputs, segments, memory, states, noise, n_threads, fingerprint, learned
    )
    h_n = allocate(shape[1], gru.dtype, "h_n")
    room = _Room(gru, inputs.B, segments, _core.KEEP_NOTHING, n_threads)
    result = inputs.sequences(output), h_n.reshape(inputs.state_shape()), tape
    with passes.drawing(gru, noise is not None and noise.nbytes > 0):
        if noise is not None:
            noise.draw(gru.generator)
        for number, segment in enumerate(segments):
            planned = _plan(gru, inputs.B, segment, _core.KEEP_NOTHING, n_threads)
            gru._runner.forward(
                planned.plan,
                planned.sizes,
                planned.n_threads,
                x=segment.of(x),
                h0=states[number],
                y=segment.of(y),
                h_n=states[number + 1],
                tape=None,
                noise=planned.noise(noise, gru, segment),
                packed=packed,
                workspace=room.workspace,
            )
        h_n[...] = states[-1]
    inputs.release()
    return result


def backward(
    gru: GRUBase, tape: SegmentTape, d_output: ArrayLike | None, d_h_n: ArrayLike | None
) -> tuple[Floats | list[Floats], Floats]:
    """Add the gradients of such a tape to ``gru.grads``; return d_x and d_h0."""
    packed = passes.check_tape(gru, tape)
    inputs = tape.inputs
    d_y = passes.output_gradient(gru, inputs, d_output)
    if d_y is not None:
        d_y = inputs.time_major(d_y)
    given = passes.flat_state(inputs, "d_h_n", d_h_n)
    d_h0 = allocate(math.prod(inputs.state_shape()), gru.dtype, "d_h0")
    d_x = allocate(inputs.shape_of(gru.input_size), gru.dtype, "d_x")
    # Only the complete gradient of the call is added to that of the caller.
    grads = passes.zeros_like_grads(gru)
    of_list = inputs.sequences(d_x)
    go_back(gru, tape, packed, d_y, given, inputs.time_major(d_x), d_h0, grads)
    result = of_list, d_h0.reshape(inputs.state_shape())
    passes.add_gradients(gru, tape, grads, d_h0)
    return result


def go_back(
    gru: GRUBase,
    tape: SegmentTape,
    packed: Bytes | None,
    d_y: Floats | None,
    d_h_n: Floats | None,
    d_x: Floats,
    d_h0: Floats,
    grads: Floats,
) -> None:
    """Do what :func:`pygru.passes.go_back` does, for a tape of segments."""
    inputs = tape.inputs
    d_before = allocate(d_h0.size, gru.dtype, "the gradient of a state")
    d_after = allocate(d_h0.size, gru.dtype, "the gradient of a state")
    d_before[...] = 0 if d_h_n is None else d_h_n
    x = tape.memory.reshape(inputs.T, inputs.B, gru.input_size)
    room = _Room(gru, inputs.B, tape.segments, _core.KEEP_GATES, tape.n_threads)
    for number in reversed(range(len(tape.segments))):
        segment = tape.segments[number]
        d_after, d_before = d_before, d_after
        _segment_backward(
            gru,
            tape,
            number,
            packed,
            room,
            x=segment.of(x),
            d_y=None if d_y is None else segment.of(d_y),
            d_h_n=d_after,
            d_x=segment.of(d_x),
            d_h0=d_before,
            grads=grads,
        )
    d_h0[...] = d_before


def _segment_backward(
    gru: GRUBase,
    tape: SegmentTape,
    number: int,
    packed: Bytes | None,
    room: _Room,
    *,
    x: Floats,
    d_y: Floats | None,
    d_h_n: Floats,
    d_x: Floats,
    d_h0: Floats,
    grads: Floats,
) -> None:
    """Run a segment again, keeping its gates, and go back through it."""
    segment = tape.segments[number]
    planned = _plan(gru, tape.inputs.B, segment, _core.KEEP_GATES, tape.n_threads)
    noise = planned.noise(tape.noise, gru, segment)
    gru._runner.forward(
        planned.plan,
        planned.sizes,
        planned.n_threads,
        x=x,
        h0=tape.states[number],
        y=room.y[: segment.steps],
        h_n=room.h_n,
        tape=room.tape,
        noise=noise,
        packed=packed,
        workspace=room.workspace,
    )
    gru._runner.backward(
        planned.plan,
        planned.n_threads,
        packed=packed,
        tape=room.tape,
        noise=noise,
        d_y=d_y,
        d_h_n=d_h_n,
        d_x=d_x,
        d_h0=d_h0,
        grads=grads,
        workspace=room.workspace,
    )
