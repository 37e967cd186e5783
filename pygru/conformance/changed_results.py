"""What mistakes do to results that are otherwise right.

Each function takes a case and its results, and returns them as a target with the mistake does.
"""

from __future__ import annotations

import numpy as np

from pygru.conformance.case import Arrays, Case


def _backward_columns(case: Case) -> slice:
    """The columns of the output that belong to the direction that reads backwards."""
    if case.direction == "forward":
        return slice(0, 0)
    return slice(case.hidden_size if case.direction == "both" else 0, None)


def last_output_in_order_of_reading(case: Case, results: Arrays) -> Arrays:
    """The last layer's backward output in reversed time order."""
    output = results["output"].copy()
    columns = _backward_columns(case)
    output[:, :, columns] = output[::-1, :, columns]
    return {**results, "output": output}


def halves_exchanged(case: Case, results: Arrays) -> Arrays:
    """The output with the backward direction first."""
    if case.direction != "both":
        return results
    return {**results, "output": np.roll(results["output"], case.hidden_size, axis=2)}


def h_n_direction_major(case: Case, results: Arrays) -> Arrays:
    """The last states in the order direction, layer."""
    L, D = case.num_layers, len(case.directions)
    h_n = results["h_n"]
    return {
        **results,
        "h_n": h_n.reshape(L, D, *h_n.shape[1:]).swapaxes(0, 1).reshape(h_n.shape),
    }


def _last_layer_h_n(case: Case, results: Arrays, steps: tuple[int, int]) -> Arrays:
    """Take h_n of the last layer from the output, at a step for each way of reading."""
    h_n, H = results["h_n"].copy(), case.hidden_size
    for d in range(len(case.directions)):
        backwards = d == 1 or case.direction == "reverse"
        part = results["output"][steps[backwards], :, d * H : (d + 1) * H]
        h_n[d - len(case.directions)] = part
    return {**results, "h_n": h_n}


def h_n_of_the_padded_end(case: Case, results: Arrays) -> Arrays:
    """The last states, taken from the output where the padded batch ends."""
    return _last_layer_h_n(case, results, (-1, 0))


def h_n_of_the_last_step(case: Case, results: Arrays) -> Arrays:
    """The last states, taken from the output at the last step in time."""
    return _last_layer_h_n(case, results, (-1, -1))


def state_after_the_end(case: Case, results: Arrays) -> Arrays:
    """The last state as the output after the end of a sequence."""
    if case.lengths is None:
        return results
    output = results["output"].copy()
    last = np.concatenate(list(results["h_n"][-len(case.directions) :]), axis=1)
    over = np.arange(len(output))[:, None] >= case.lengths
    return {**results, "output": np.where(over[:, :, None], last, output)}


def nothing_for_empty(case: Case, results: Arrays) -> Arrays:
    """Zeros as the last state of a sequence of length 0."""
    if case.lengths is None:
        return results
    return {**results, "h_n": np.where((case.lengths == 0)[:, None], 0, results["h_n"])}


def state_before_each_step(case: Case, results: Arrays) -> Arrays:
    """The output, one step late."""
    if case.num_layers > 1 or case.direction != "forward":
        return results
    first = np.zeros_like(results["h_n"][0]) if case.h0 is None else case.h0[0]
    return {**results, "output": np.concatenate([first[None], results["output"][:-1]])}
