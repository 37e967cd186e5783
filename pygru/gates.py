"""The values of the gates, unpacked from a tape into arrays like the output."""

import math
from typing import NamedTuple

import numpy as np


class Gates(NamedTuple):
    """What one layer computed at every step in one direction, shaped like the output.

    Attributes
    ----------
    r, z, n, h : ndarray
        Reset gate, update gate, candidate and new state, (T, B, H). With ``batch_first`` or
        unbatched input their axes are those of the output. After the end of a sequence they
        are 0.
    """

    r: np.ndarray
    z: np.ndarray
    n: np.ndarray
    h: np.ndarray


def gates_of(tape):
    """Unpack a tape that contains gates; see ``GRU.gates``."""
    gru, batch = tape.gru, tape.batch
    rows = tape.plan.sizes(1)["rows"]
    step, sequence = np.empty(rows, np.int64), np.empty(rows, np.int64)
    tape.plan.rows(step, sequence)
    length = np.full(batch.B, batch.T) if batch.lengths is None else batch.lengths
    return [
        _cell_gates(tape, layer, direction, step, sequence, length)
        for layer in range(gru.num_layers)
        for direction in range(gru.num_directions)
    ]


def _cell_gates(tape, layer, direction, step, sequence, length):
    """Unpack the part of one layer and direction."""
    batch, H = tape.batch, tape.gru.hidden_size
    view = tape.plan.tape_view(layer, direction)

    def part(begin, *shape):
        return tape.memory[begin : begin + math.prod(shape)].reshape(shape)

    gates = part(view["gates"], len(step), 4, H)  # n | r | z | hn, see pygru.h
    h_prev = part(view["h_prev"], len(step), H)
    h_last = part(view["h_last"], batch.B, H)
    time = length[sequence] - 1 - step if direction else step
    result = Gates(*(np.zeros(batch.shape_of(H), tape.gru.dtype) for _ in Gates._fields))
    for array, column in zip(result, (1, 2, 0), strict=False):
        batch.time_major(array)[time, sequence] = gates[:, column]
    # The state after a step is the state before the next one. The last one is stored apart.
    h = batch.time_major(result.h)
    later = step > 0
    h[(time + 1 if direction else time - 1)[later], sequence[later]] = h_prev[later]
    ran = np.flatnonzero(length)
    h[np.zeros_like(ran) if direction else length[ran] - 1, ran] = h_last[ran]
    return result
