"""Which number of an epoch a callback watches, and whether smaller or larger is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pygru.core import validation
from pygru.core.pickled import CheckedState, refuse

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer

MODES = ("auto", "min", "max")


class Monitor(CheckedState):
    """A number of an epoch that a callback watches.

    Parameters
    ----------
    name : str
        ``"loss"``, the name of a metric, either with ``"val_"`` before it, or a number that
        another callback puts into the record.
    mode : {"auto", "min", "max"}
        Whether the smallest or the largest value is the best. ``"auto"`` knows it for losses
        and for metrics that are given by their names.
    """

    _changing = frozenset({"_sign"})

    def __init__(self, name: str, mode: str) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"monitor must be the name of a number, got {name!r}")
        self.name = name
        self.mode = validation.check_choice("mode", mode, MODES)
        self._sign = -1.0 if mode == "max" else 1.0

    def _restore(self) -> None:
        if self._sign not in (-1.0, 1.0):
            raise ValueError(f"_sign must be 1 or -1, got {validation.shown(self._sign)}")
        if self.mode != "auto" and self._sign != Monitor(self.name, self.mode)._sign:
            raise ValueError(f"_sign must be that of mode={self.mode!r}, got {self._sign}")

    @property
    def worst(self) -> float:
        """The value than which every other one is better."""
        return self._sign * float("inf")

    def begin(self, trainer: Trainer, callback: object) -> None:
        """Find out which direction is better.

        Raises
        ------
        ValueError
            If nobody has said it.
        """
        if self.mode != "auto":
            return
        plain = self.name.removeprefix("val_")
        known: dict[str, bool | None] = {"loss": False}
        known |= {metric.name: metric.greater_is_better for metric in trainer.metrics}
        if plain not in known:
            names = ", ".join(f"{name}, val_{name}" for name in known)
            raise ValueError(
                f"{type(callback).__name__} monitors {self.name!r}, but training has only "
                f"{names}; if a callback adds that number, pass mode='min' or mode='max'"
            )
        greater = known[plain]
        if greater is None:
            raise ValueError(
                f"{type(callback).__name__} monitors {self.name!r}, a function of yours: pass "
                "mode='min' or mode='max'"
            )
        self._sign = -1.0 if greater else 1.0

    def is_better(self, value: float, best: float, min_delta: float = 0.0) -> bool:
        """Whether a value is better by more than ``min_delta``; NaN is not."""
        return self._sign * value < self._sign * best - min_delta

    def value(self, record: Mapping[str, Any], callback: object) -> float:
        """Return the number in the record of an epoch."""
        if self.name not in record:
            lacks = self.name.startswith("val_") and "val_loss" not in record
            hint = "; pass validation= to fit" if lacks else ""
            others = ("epoch", "seconds", "sequences", "learning_rate")
            names = [name for name in record if name not in others]
            raise ValueError(
                f"{type(callback).__name__} monitors {self.name!r}, but training has only "
                f"{', '.join(names)}{hint}"
            )
        return float(record[self.name])


class Watching(CheckedState):
    """Mixin of callbacks that watch a number; another name may be assigned before ``fit``."""

    _made_again = frozenset({"monitor"})  # an attribute in older pickles
    _watched: Monitor

    @classmethod
    def _arguments_in(cls, attributes: dict[str, Any]) -> dict[str, Any]:
        watched = attributes.get("_watched")
        if not isinstance(watched, Monitor):
            refuse(cls, f"_watched must be a Monitor, got {validation.type_name(watched)}")
        return {**attributes, "monitor": watched.name, "mode": watched.mode}

    @property
    def monitor(self) -> str:
        """The name of the number that is watched."""
        return self._watched.name

    @monitor.setter
    def monitor(self, name: str) -> None:
        self._watched = Monitor(name, self._watched.mode)


class Comparing(Watching):
    """Mixin of callbacks that look for the best value of the number that they watch."""

    _made_again = frozenset({"mode"})

    @property
    def mode(self) -> str:
        """Whether the smallest or the largest value is the best, or ``"auto"``."""
        return self._watched.mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._watched = Monitor(self._watched.name, mode)
