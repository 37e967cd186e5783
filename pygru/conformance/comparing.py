"""Compares the results of a target with the right ones, and says where they differ first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.case import Arrays, Case
from pygru.conformance.forward import reading_order

#: The largest difference that counts as rounding, by the size of a number in bytes. It is
#: multiplied by the largest number that is expected, if that is above 1.
TOLERANCES = {2: 3e-2, 4: 1e-4, 8: 1e-9}

GATES = ("r", "z", "n")


class Difference(NamedTuple):
    """The first difference of one result: where it is, and both numbers.

    ``place`` has a name and a number, or a letter, for each axis: step, row and unit.
    ``largest`` is the largest difference anywhere in this result.
    """

    result: str
    place: dict[str, int | str]
    got: float
    expected: float
    largest: float

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value}" for name, value in self.place.items())
        numbers = f"got {self.got:.6g}, expected {self.expected:.6g}"
        if f"{self.got:.6g}" == f"{self.expected:.6g}":
            numbers += f", off by {abs(self.got - self.expected):.1g}"
        return f"{self.result}, {place}: {numbers}"


def tolerance_of(got: NDArray[Any], expected: NDArray[Any], tolerance: float | None) -> float:
    """Return the largest allowed difference of a result."""
    chosen = TOLERANCES.get(got.dtype.itemsize, 1e-9) if tolerance is None else tolerance
    return chosen * max(1.0, float(abs(expected).max(initial=0)))


def agrees(got: NDArray[Any], expected: NDArray[Any], tolerance: float | None) -> bool:
    """Whether a result is right up to rounding; NaN never is."""
    off = abs(got.astype(float) - expected)
    return bool((off <= tolerance_of(got, expected, tolerance)).all())


def all_agree(got: Arrays, expected: Arrays, tolerance: float | None) -> bool:
    """Whether all results that there are agree."""
    return all(agrees(array, expected[name], tolerance) for name, array in got.items())


def first_difference(
    case: Case, name: str, got: NDArray[Any], tolerance: float | None
) -> Difference | None:
    """Return the first wrong number of a result, or None if it is right.

    First means first in the order of reading for what has a time axis.
    """
    expected = case.expected[name]
    got = got.astype(float) if got.dtype.itemsize == 8 else got
    off = abs(got.astype(float) - expected)
    wrong = ~(off <= tolerance_of(got, expected, tolerance))
    if not wrong.any():
        return None
    index = _first(case, name, wrong)
    largest = float("nan") if np.isnan(off).any() else float(off.max())
    place = _place(case, name, index)
    return Difference(name, place, float(got[index]), float(expected[index]), largest)


def _first(case: Case, name: str, wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    if name != "output":
        return tuple(int(i) for i in np.argwhere(wrong)[0])
    H = case.hidden_size
    for d, suffix in enumerate(case.directions):
        for t in reading_order(case, suffix):
            found = np.argwhere(wrong[t, :, d * H : (d + 1) * H])
            if len(found):
                row, unit = (int(i) for i in found[0])
                return t, row, d * H + unit
    raise AssertionError("there is no difference")


def _place(case: Case, name: str, index: tuple[int, ...]) -> dict[str, int | str]:
    """Return what the indices of a result mean."""
    H, D = case.hidden_size, len(case.directions)
    direction = ("forward", "backward") if D == 2 else ("only",)
    if name == "output":
        t, row, unit = index
        place: dict[str, int | str] = {"step": t, "row": row, "unit": unit % H}
        return {"direction": direction[unit // H], **place} if D == 2 else place
    if name in ("h_n", "d_h0"):
        place = {"layer": index[0] // D, "direction": direction[index[0] % D]}
        if D == 1:
            del place["direction"]
        return {**place, "row": index[1], "unit": index[2]}
    if name == "d_x":
        return dict(zip(("step", "row", "feature"), index, strict=True))
    place = {"gate": GATES[index[0] // H], "unit": index[0] % H}
    return {**place, "column": index[1]} if len(index) == 2 else place
