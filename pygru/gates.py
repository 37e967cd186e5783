"""The values of the gates, unpacked from a tape into arrays like the output."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru import gate_order
from pygru.tape import WholeTape
from pygru.typing import Floats


class Gates(NamedTuple):
    """What one layer computed at every step in one direction, shaped like the output.

    Attributes
    ----------
    r, z, n, h : ndarray
        Reset gate, update gate, candidate and new state, (T, B, H). With ``batch_first`` or
        unbatched input their axes are those of the output. After the end of a sequence they
        are 0.
    """

    r: Floats
    z: Floats
    n: Floats
    h: Floats


def gates_of(tape: WholeTape) -> list[Gates]:
    """Unpack a tape that holds gates; see ``GRU.gates``."""
    rows = tape.plan.sizes(1)["rows"]
    step, sequence = np.empty(rows, np.int64), np.empty(rows, np.int64)
    tape.plan.rows(step, sequence)
    return [
        _cell_gates(tape, layer, direction, step, sequence)
        for layer in range(tape.gru.num_layers)
        for direction in range(tape.gru.num_directions)
    ]


def _cell_gates(
    tape: WholeTape,
    layer: int,
    direction: int,
    step: NDArray[np.int64],
    sequence: NDArray[np.int64],
) -> Gates:
    """Unpack the part of one layer and direction."""
    inputs, H = tape.inputs, tape.gru.hidden_size
    length = inputs.full_lengths()
    view = tape.plan.tape_view(layer, direction)

    def part(begin: int, *shape: int) -> Floats:
        return tape.memory[begin : begin + math.prod(shape)].reshape(shape)

    columns = part(view["gates"], len(step), len(gate_order.TAPE) + 1, H)
    h_prev = part(view["h_prev"], len(step), H)
    h_last = part(view["h_last"], inputs.B, H)
    backward = tape.gru.options.reads_backwards[direction]
    time = length[sequence] - 1 - step if backward else step
    result = Gates(*(np.zeros(inputs.shape_of(H), tape.gru.dtype) for _ in Gates._fields))
    for column, gate in enumerate(gate_order.TAPE):
        inputs.time_major(getattr(result, gate))[time, sequence] = columns[:, column]
    # The state after a step is the state before the next one. The last one is stored apart.
    h = inputs.time_major(result.h)
    later = step > 0
    h[(time + 1 if backward else time - 1)[later], sequence[later]] = h_prev[later]
    ran = np.flatnonzero(length)
    h[np.zeros_like(ran) if backward else length[ran] - 1, ran] = h_last[ran]
    return result
