"""Calls with a mask, with resets, or with merged directions: what they do around the core.

``pieces.py`` says which steps count and which sequences they make. Here these are gathered
into shorter batches, ``passes.py`` or ``segments.py`` runs each as a call of its own, and the
results are put back. So a step that does not count is never read and costs no arithmetic, and
every way to keep a tape works. Calls that need none of this never come here.

What a state is before an episode, in reading order: the forward direction enters a row at its
first episode and leaves it at its last one, and a direction that reads backwards does the
opposite. An episode that the row is not entered at begins with the initial state of the GRU, or
with h0 too if ``reset_to="h0"``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from pygru import merging, passes, segments
from pygru.core import _core, validation
from pygru.core.memory import allocate
from pygru.gates import Gates, gates_of
from pygru.inputs import Inputs
from pygru.noise import Bytes
from pygru.pieces import Group, Pieces
from pygru.segments import SegmentTape
from pygru.tape import Tape, WholeTape
from pygru.typing import Floats, Integers

if TYPE_CHECKING:
    from pygru.gru_base import GRUBase
    from pygru.gru_inference import GRUInference

#: What ``reset_to`` may be: the initial state of a call without h0, or the h0 of the call.
RESETS = ("initial", "h0")

#: Runs one batch in the form of the core: its output, its last states and its tape.
Run = Callable[[Inputs], tuple[Any, Floats, Tape | None]]


class Request(NamedTuple):
    """The pieces of a batch, and what their episodes begin with."""

    pieces: Pieces
    reset_to: str


class Part(NamedTuple):
    """One batch that the core ran; without a group it is the whole batch."""

    group: Group | None
    tape: Tape


class PartsTape(Tape):
    """The tapes of the batches that a call has run."""

    parts: Sequence[Part]
    request: Request | None
    has_h0: bool  # whether the call was given an h0
    both: Floats | None  # the outputs of two directions, if backward needs them

    def __init__(
        self,
        gru: GRUBase,
        inputs: Inputs,
        parts: Sequence[Part],
        request: Request | None,
        has_h0: bool,
        both: Floats | None,
    ) -> None:
        self._fix(
            gru=gru,
            inputs=inputs,
            parts=parts,
            request=request,
            has_h0=has_h0,
            both=both,
            fingerprint=parts[0].tape.fingerprint,
        )

    @property
    def nbytes(self) -> int:
        """The bytes of memory that this tape occupies."""
        kept = 0 if self.both is None else self.both.nbytes
        return kept + sum(part.tape.nbytes for part in self.parts)


def request_of(
    gru: GRUInference, inputs: Inputs, mask: Any, reset: Any, reset_to: str
) -> Request | None:
    """Return the pieces of a batch; None if every valid step counts and nothing is reset.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    validation.check_choice("reset_to", reset_to, RESETS)
    steps_that_count = inputs.step_flags("mask", mask)
    begins = inputs.step_flags("reset", reset)
    if steps_that_count is None and begins is None:
        return None
    pieces = Pieces(inputs.full_lengths(), steps_that_count, begins)
    changes = pieces.leaves_out or len(pieces) > inputs.B or pieces.is_fresh.any()
    return Request(pieces, reset_to) if changes else None


# ---- states ------------------------------------------------------------------------------


def _entered(pieces: Pieces, backwards: bool) -> tuple[Integers, Integers]:
    """Return the pieces that begin with the h0 of their rows, and these rows."""
    rows = np.arange(len(pieces.first))
    if backwards:
        return pieces.last, rows
    rows = rows[~pieces.is_fresh]
    return pieces.first[rows], rows


def _left(pieces: Pieces, backwards: bool) -> Integers:
    """Return the piece of each row whose last state is that of the row."""
    return pieces.first if backwards else pieces.last


def _initial_states(gru: GRUInference, inputs: Inputs, request: Request) -> Floats | None:
    """Return the state before every piece (L*D, P, H); None for zeros."""
    if inputs.h0 is None and not gru.learn_h0:
        return None
    pieces, count, H = request.pieces, gru.options.num_states, gru.hidden_size
    own: Any = gru.parameters["h0"][:, np.newaxis] if gru.learn_h0 else 0
    states: Floats = allocate((count, len(pieces), H), gru.dtype, "the states before episodes")
    states[...] = own
    if inputs.h0 is not None:
        given = inputs.h0.reshape(count, inputs.B, H)
        if request.reset_to == "h0":
            states[...] = given[:, pieces.row]
        else:
            for index, backwards in enumerate(gru.options.reads_backwards * gru.num_layers):
                entered, rows = _entered(pieces, backwards)
                states[index, entered] = given[index, rows]
    return states


def _gradients_of_initial(
    gru: GRUBase, inputs: Inputs, request: Request, d_states: Floats, has_h0: bool
) -> tuple[Floats, Floats]:
    """Return the gradients of the h0 of every row, (L*D, B, H), and of the learned one.

    ``d_states`` (L*D, P, H) are those of :func:`_initial_states`, and ``has_h0`` says whether
    the call was given an h0.
    """
    pieces, count = request.pieces, gru.options.num_states
    d_h0 = np.zeros((count, inputs.B, gru.hidden_size), gru.dtype)
    is_learned = np.ones((count, len(pieces)), np.bool_)
    if request.reset_to == "h0" and inputs.B:
        np.add.reduceat(d_states, pieces.first, axis=1, out=d_h0)
        is_learned[...] = not has_h0
    else:
        for index, backwards in enumerate(gru.options.reads_backwards * gru.num_layers):
            entered, rows = _entered(pieces, backwards)
            d_h0[index, rows] = d_states[index, entered]
            is_learned[index, entered] = not has_h0
    if is_learned.all():
        return d_h0, np.sum(d_states, axis=1)
    return d_h0, np.sum(d_states, axis=1, where=is_learned[..., np.newaxis])


# ---- forward -----------------------------------------------------------------------------


def forward(
    gru: GRUInference,
    inputs: Inputs,
    request: Request | None,
    run: Run,
    out: Floats | None = None,
) -> tuple[Floats | list[Floats], Floats, PartsTape | None]:
    """Run a batch by calls of ``run``; return output, h_n and a tape, if they keep one."""
    output = passes.new_output(gru, inputs, out)
    target = inputs.time_major(output)
    shape = (inputs.T, inputs.B, gru.options.states_size)
    both = target if gru.merge == "concat" else allocate(shape, gru.dtype, "both directions")
    parts: list[tuple[Group | None, Tape | None]]
    h_n = allocate(inputs.state_shape(), gru.dtype, "h_n")
    if request is None:
        part = Inputs.of_core(gru, inputs.x, inputs.h0, inputs.lengths)
        both, state, tape = run(part)
        h_n[...] = state.reshape(h_n.shape)
        parts = [(None, tape)]
    else:
        parts = _run_pieces(gru, inputs, request, run, both, h_n)
    kept = both if gru.merge == "mul" else None
    if gru.merge != "concat":
        merging.merge(gru.merge, both, target)
    tapes = [Part(group, tape) for group, tape in parts if tape is not None]
    result = None
    if tapes:
        result = PartsTape(
            cast("GRUBase", gru), inputs, tapes, request, inputs.h0 is not None, kept
        )
    inputs.release()
    return inputs.sequences(output), h_n, result


def _run_pieces(
    gru: GRUInference,
    inputs: Inputs,
    request: Request,
    run: Run,
    both: Floats,
    h_n: Floats,
) -> list[tuple[Group | None, Tape | None]]:
    """Run all pieces, write the results into ``both`` and ``h_n``, and return the tapes."""
    pieces, count, H = request.pieces, gru.options.num_states, gru.hidden_size
    initial = _initial_states(gru, inputs, request)
    x = pieces.take(inputs.x)
    y = allocate((len(x), gru.options.states_size), gru.dtype, "the steps of the output")
    states = allocate((count, len(pieces), H), gru.dtype, "the states after episodes")
    parts: list[tuple[Group | None, Tape | None]] = []
    for group in pieces.groups:
        h0 = None
        if initial is not None:
            h0 = np.ascontiguousarray(initial[:, group.members]).reshape(-1)
        part = Inputs.of_core(gru, group.batch(x), h0, group.lengths)
        y_part, state, tape = run(part)
        group.read(y_part, y)
        states[:, group.members] = state
        parts.append((group, tape))
    _put_back(gru, request, y, initial, both)
    of_rows = h_n.reshape(count, inputs.B, H)
    for index, backwards in enumerate(gru.options.reads_backwards * gru.num_layers):
        of_rows[index] = states[index, _left(pieces, backwards)]
    return parts


def _put_back(
    gru: GRUInference, request: Request, y: Floats, initial: Floats | None, both: Floats
) -> None:
    """Write the counted steps of the output, and what stands at the others, into ``both``."""
    pieces, H = request.pieces, gru.hidden_size
    if len(y) < both.shape[0] * both.shape[1]:
        both[...] = 0
    pieces.put(y, both)
    if not pieces.leaves_out or gru.zero_output_for_mask:
        return
    last_layer = gru.options.num_states - gru.num_directions
    for index, backwards in enumerate(gru.options.reads_backwards):
        columns = slice(index * H, (index + 1) * H)
        before = None if initial is None else initial[last_layer + index]
        pieces.repeat(y[:, columns], before, both[..., columns], backwards)


# ---- backward ----------------------------------------------------------------------------


def backward(
    gru: GRUBase, tape: PartsTape, d_output: ArrayLike | None, d_h_n: ArrayLike | None
) -> tuple[Floats | list[Floats], Floats]:
    """Add the gradients of such a tape to ``gru.grads``; return d_x and d_h0."""
    packed = passes.check_tape(gru, tape)
    inputs, request = tape.inputs, tape.request
    d_y = passes.output_gradient(gru, inputs, d_output)
    if d_y is not None:
        d_y = inputs.time_major(d_y)
    d_last = passes.flat_state(inputs, "d_h_n", d_h_n)
    if d_y is not None and gru.merge != "concat":
        d_both = allocate((*d_y.shape[:2], gru.options.states_size), gru.dtype, "d_output")
        merging.merge_backward(gru.merge, tape.both, d_y, d_both)
        d_y = d_both
    d_x = allocate(inputs.shape_of(gru.input_size), gru.dtype, "d_x")
    d_x_rows = inputs.time_major(d_x)
    # Only the complete gradient of the call is added to that of the caller.
    grads = passes.zeros_like_grads(gru)
    count, H = gru.options.num_states, gru.hidden_size
    if request is None:
        d_h0 = allocate((count, inputs.B, H), gru.dtype, "d_h0")
        part = tape.parts[0].tape
        _go_back(gru, part, packed, d_y, d_last, d_x_rows, d_h0.reshape(-1), grads)
        learned = np.sum(d_h0, axis=1) if part.learned_h0 else None
    else:
        d_states = _pieces_back(gru, tape, request, packed, d_y, d_last, d_x_rows, grads)
        d_h0, learned = _gradients_of_initial(gru, inputs, request, d_states, tape.has_h0)
    if learned is not None and gru.learn_h0:
        grads[grads.size - count * H :] = learned.reshape(-1)  # the last parameter
    result = inputs.sequences(d_x), d_h0.reshape(inputs.state_shape())
    total = gru.flat_grads
    np.add(total, grads, out=total)
    return result


def _pieces_back(
    gru: GRUBase,
    tape: PartsTape,
    request: Request,
    packed: Bytes | None,
    d_y: Floats | None,
    d_last: Floats | None,
    d_x: Floats,
    grads: Floats,
) -> Floats:
    """Go back through all pieces; write ``d_x`` and return the gradients of their states."""
    pieces, count, H = request.pieces, gru.options.num_states, gru.hidden_size
    d_rows, d_before = (None, None) if d_y is None else _gradients_at(gru, pieces, d_y)
    d_x_counted = allocate((len(pieces.time), gru.input_size), gru.dtype, "d_x")
    d_states = allocate((count, len(pieces), H), gru.dtype, "the gradients of the states")
    d_ends = None
    if d_last is not None:
        d_ends = np.zeros((count, len(pieces), H), gru.dtype)
        of_rows = d_last.reshape(count, tape.inputs.B, H)
        for index, backwards in enumerate(gru.options.reads_backwards * gru.num_layers):
            d_ends[index, _left(pieces, backwards)] = of_rows[index]
    for group, part in tape.parts:
        assert group is not None
        members = len(group.members)
        d_x_part = allocate((part.inputs.T, members, gru.input_size), gru.dtype, "d_x")
        d_h0 = allocate((count, members, H), gru.dtype, "d_h0")
        d_end = None
        if d_ends is not None:
            d_end = np.ascontiguousarray(d_ends[:, group.members]).reshape(-1)
        d_y_part = None if d_rows is None else group.batch(d_rows)
        _go_back(gru, part, packed, d_y_part, d_end, d_x_part, d_h0.reshape(-1), grads)
        group.read(d_x_part, d_x_counted)
        d_states[:, group.members] = d_h0
    if d_before is not None:
        d_states[count - gru.num_directions :] += d_before
    d_x[...] = 0
    pieces.put(d_x_counted, d_x)
    return d_states


def _gradients_at(gru: GRUBase, pieces: Pieces, d_y: Floats) -> tuple[Floats, Floats | None]:
    """Return the gradients of the counted steps, and of the last layer before each piece.

    A step that repeats a state passes its gradient on to it.
    """
    if not pieces.leaves_out or gru.zero_output_for_mask:
        return pieces.take(d_y), None
    H = gru.hidden_size
    d_rows = allocate((len(pieces.time), d_y.shape[2]), gru.dtype, "d_output")
    d_before = allocate((gru.num_directions, len(pieces), H), gru.dtype, "d_h0")
    for index, backwards in enumerate(gru.options.reads_backwards):
        columns = slice(index * H, (index + 1) * H)
        sums = pieces.sum_repeats(d_y[..., columns], backwards)
        d_rows[:, columns], d_before[index] = sums
    return d_rows, d_before


def _go_back(
    gru: GRUBase,
    tape: Tape,
    packed: Bytes | None,
    d_y: Floats | None,
    d_h_n: Floats | None,
    d_x: Floats,
    d_h0: Floats,
    grads: Floats,
) -> None:
    """Go back through one part, whichever kind of tape it has."""
    if isinstance(tape, SegmentTape):
        segments.go_back(gru, tape, packed, d_y, d_h_n, d_x, d_h0, grads)
    else:
        assert isinstance(tape, WholeTape)
        passes.go_back(gru, tape, packed, d_y, d_h_n, d_x, d_h0, grads)


# ---- gates -------------------------------------------------------------------------------


def gates(gru: GRUBase, inputs: Inputs, request: Request) -> list[Gates]:
    """Return the gates of every layer and direction.

    At a step that does not count the gates are 0, and h is the state that stays.
    """
    pieces, H = request.pieces, gru.hidden_size
    initial = _initial_states(gru, inputs, request)
    x = pieces.take(inputs.x)
    cells = range(gru.options.num_states)
    rows = [Gates(*(np.zeros((len(x), H), gru.dtype) for _ in Gates._fields)) for _ in cells]
    for group in pieces.groups:
        h0 = None
        if initial is not None:
            h0 = np.ascontiguousarray(initial[:, group.members]).reshape(-1)
        part = Inputs.of_core(gru, group.batch(x), h0, group.lengths)
        _, _, tape = passes.forward(gru, part, _core.KEEP_GATES, False, None, None)
        assert tape is not None
        for values, found in zip(rows, gates_of(tape), strict=True):
            for value, each in zip(values, found, strict=True):
                group.read(each, value)
    results = []
    backwards = gru.options.reads_backwards * gru.num_layers
    for cell in cells:
        result = Gates(*(np.zeros(inputs.shape_of(H), gru.dtype) for _ in Gates._fields))
        for value, array in zip(rows[cell], result, strict=True):
            pieces.put(value, inputs.time_major(array))
        if pieces.leaves_out:
            before = None if initial is None else initial[cell]
            pieces.repeat(rows[cell].h, before, inputs.time_major(result.h), backwards[cell])
        results.append(result)
    return results
