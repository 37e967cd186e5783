"""The options of a forecaster, checked; they have no effect before ``fit``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from pygru.core import threads, validation
from pygru.forecasting.task import check_steps
from pygru.nn.seeds import generator_for
from pygru.train.clipping import check_norm
from pygru.train.optimizers import Adam
from pygru.train.schedules import Schedule
from pygru.typing import Seed
from pygru.variant import Variant

MEDIAN = 0.5


@dataclass(frozen=True)
class Settings:
    """The arguments of :class:`GRUForecaster`, which describes them."""

    horizon: int
    season: int | str | None
    window: int | None
    quantiles: tuple[float, ...]
    hidden_size: int
    num_layers: int
    variant: str
    dropout: float
    epochs: int
    batch_size: int
    learning_rate: float | Schedule
    clip_norm: float | None
    patience: int
    seed: Seed
    n_threads: int | None
    progress: bool | None

    @classmethod
    def checked(cls, arguments: dict[str, Any]) -> Self:
        """Return the settings; raise for the first argument that does not fit."""
        a = arguments
        generator_for(a["seed"], "GRUForecaster")  # raises for what is no seed
        threads.resolve(a["n_threads"])
        Adam(a["learning_rate"])
        variant = Variant.named(a["variant"])
        if variant.name is None:
            raise ValueError(f"variant must be one that has a name, got {variant}")
        dropout = validation.check_fraction("dropout", a["dropout"])
        if dropout == 1:
            raise ValueError("dropout must be a number in [0, 1), got 1.0")
        window, progress = a["window"], a["progress"]
        return cls(
            horizon=check_steps("horizon", a["horizon"], 1),
            season=_season(a["season"]),
            window=None if window is None else check_steps("window", window, 2),
            quantiles=_quantiles(a["quantiles"]),
            hidden_size=validation.check_int("hidden_size", a["hidden_size"], 1),
            num_layers=validation.check_int("num_layers", a["num_layers"], 1),
            variant=variant.name,
            dropout=dropout,
            epochs=validation.check_int("epochs", a["epochs"], 1),
            batch_size=validation.check_int("batch_size", a["batch_size"], 1),
            learning_rate=a["learning_rate"],
            clip_norm=check_norm("clip_norm", a["clip_norm"]),
            patience=validation.check_int("patience", a["patience"], 1),
            seed=a["seed"],
            n_threads=a["n_threads"],
            progress=None if progress is None else validation.check_bool("progress", progress),
        )

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantiles that the network returns: those asked for, and the median."""
        return tuple(sorted({*self.quantiles, MEDIAN}))


def _season(value: Any) -> int | str | None:
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    if isinstance(value, str):
        raise ValueError(
            f"season must be an int, 'auto' or None, got {validation.shown(value)}"
        )
    return check_steps("season", value, 2)


def _quantiles(values: Any) -> tuple[float, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(
            f"quantiles must be a list of numbers in (0, 1), got {validation.shown(values)}"
        )
    numbers = [validation.check_number("quantiles", value) for value in values]
    for number in numbers:
        if not 0 < number < 1:
            raise ValueError(f"quantiles must be numbers in (0, 1), got {number}")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"quantiles must differ from one another, got {numbers}")
    result = tuple(sorted(numbers))
    # The same object where that is possible, as scikit-learn's clone wants it.
    return values if isinstance(values, tuple) and values == result else result
