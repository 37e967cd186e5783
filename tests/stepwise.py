"""A GRU with masks and episodes, written as the rule of a single step. Not a test file.

It has the cell of reference.py, and nothing else of it or of pygru. There are no pieces and no
gathering here: every step of every row is visited in reading order, and an ``if`` decides. All
arrays may be complex, as in reference.py.
"""

from typing import Any, NamedTuple

import numpy as np
import reference


class Rules(NamedTuple):
    """What is not a number: the options of the GRU, and the flags of the call."""

    reset: str
    update: str
    num_layers: int = 1
    reads_backwards: tuple = (False,)
    mask: Any = None  # (T, B)
    begins: Any = None  # (T, B)
    lengths: Any = None
    reset_to_h0: bool = False
    zero_output: bool = False
    merge: str = "concat"
    style: reference.Style = reference.PLAIN
    kept: float = 0.0  # of a state, by zoneout in inference


def forward(parameters, x, h0, initial, rules):
    """Return output and h_n; ``initial`` (L*D, H) is the state to which resets go."""
    T, B = x.shape[:2]
    D, H = len(rules.reads_backwards), h0.shape[2]
    mask = np.ones((T, B), bool) if rules.mask is None else rules.mask
    begins = np.zeros((T, B), bool) if rules.begins is None else rules.begins
    lengths = [T] * B if rules.lengths is None else rules.lengths
    dtype = np.result_type(np.float64, x, h0, initial, *parameters.values())
    h_n = np.zeros(h0.shape, dtype)
    for layer in range(rules.num_layers):
        states = np.zeros((T, B, D * H), dtype)
        for d, backwards in enumerate(rules.reads_backwards):
            suffix = "_reverse" if d else ""
            cell = reference.Cell(
                parameters, f"l{layer}{suffix}", rules.reset, rules.update, style=rules.style
            )
            index = layer * D + d
            for b in range(B):
                h = h0[index, b]
                steps = range(lengths[b])
                for t in reversed(steps) if backwards else steps:
                    # An episode ends before the step at which the next one begins.
                    boundary = t + 1 if backwards else t
                    if boundary < lengths[b] and begins[boundary, b]:
                        h = h0[index, b] if rules.reset_to_h0 else initial[index]
                    if mask[t, b]:
                        new = cell.step(x[t, b], h)[-1]
                        h = rules.kept * h + (1 - rules.kept) * new
                    states[t, b, d * H : (d + 1) * H] = h
                h_n[index, b] = h
        x = states
    if rules.zero_output:
        states = states * mask[..., np.newaxis]
    first, second = states[..., :H], states[..., H:]
    merged = {
        "concat": lambda: states,
        "sum": lambda: first + second,
        "mul": lambda: first * second,
        "ave": lambda: (first + second) / 2,
    }
    return merged[rules.merge](), h_n
