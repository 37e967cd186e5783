"""One measured row, what follows from its times, and the means over rows."""

import dataclasses
import math

SGEMM = "sgemm"  # the name under which SciPy's large product stands among the functions


@dataclasses.dataclass
class Row:
    """The times of one cell.

    A name that begins with "pygru" is this library in some form. "sgemm" is SciPy's product of
    large matrices, and every other name is a rival.
    """

    kind: str
    cell: tuple  # B, T, I, H
    dtype: str
    threads: int
    seconds: dict  # name -> median
    spread: dict  # name -> distance of the quartiles / median
    operations: float | None = None  # of one call; a multiply-add counts as two
    call: str | None = None  # which call, of the kinds "calls" and "torch"
    stream_steps: float | None = None  # the time of a call, in steps of a stream
    of_limit: float | None = None
    of_sgemm: float | None = None
    speed_up: float | None = None  # of several threads over one
    of_variants: dict = dataclasses.field(default_factory=dict)  # time / that of "pytorch"
    differences: dict = dataclasses.field(default_factory=dict)  # largest and RMS, of states
    failed: dict = dataclasses.field(default_factory=dict)  # name -> message

    @property
    def best(self):
        """The name of pygru's figure that is compared with the rivals."""
        return next((n for n in ("pygru 8 bits", "pygru.torch") if n in self.seconds), "pygru")

    @property
    def ratios(self):
        """Time of each rival / time of pygru."""
        names = [n for n in self.seconds if n != SGEMM and not n.startswith("pygru")]
        return {name: self.seconds[name] / self.seconds[self.best] for name in names}

    @property
    def fastest(self):
        """The name of the fastest rival, or None."""
        return min(self.ratios, key=self.ratios.get, default=None)

    @property
    def ratio(self):
        """Time of the fastest rival / time of pygru, or None."""
        return self.ratios.get(self.fastest)

    @property
    def operations_per_second(self):
        """Of pygru; None if the operations were not counted."""
        return None if self.operations is None else self.operations / self.seconds[self.best]

    def as_dict(self):
        """Everything, ready for JSON."""
        derived = ("ratios", "fastest", "ratio", "operations_per_second")
        return dataclasses.asdict(self) | {name: getattr(self, name) for name in derived}


def geometric_mean(values):
    """The geometric mean of some numbers, or None if there are none."""
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def means(rows):
    """By kind: the geometric mean of the ratios to the fastest rival, and their number."""
    found = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        ratios = [row.ratio for row in rows if row.kind == kind and row.ratio is not None]
        if ratios:
            found[kind] = {"mean": geometric_mean(ratios), "cells": len(ratios)}
    return found
