"""Forecasting one series, gaps and season included, with a GRU: what ``pygru train`` runs.

The GRU does not read the raw values. With a season of S steps it reads and predicts the change
over one season, d_t = y_t - y_{t-S}. Without a season it reads and predicts the values. In both
cases they are relative to an anchor, a value that is known at the time of the forecast. So the
model only has to learn how the truth differs from the naive forecast. A forecast made at time t
never uses a value from after t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.baselines import (
    Values,
    as_origins,
    as_values,
    fill_forward,
    last_value,
    seasonal_naive,
)
from pygru.core import validation
from pygru.errors import FormatError
from pygru.gru import GRU
from pygru.io.native import load_with_metadata, save
from pygru.nn.dropout import Dropout
from pygru.nn.last import Last
from pygru.nn.linear import Linear
from pygru.nn.losses import mse
from pygru.nn.sequential import Sequential
from pygru.train.callbacks import EarlyStopping
from pygru.train.history import History
from pygru.train.optimizers import Adam
from pygru.train.schedules import Schedule
from pygru.train.trainer import Trainer
from pygru.typing import Path, Seed

Origins = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Where a series is divided: training up to ``validation``, then validation, then test.

    ``validation`` and ``test`` are the indices of the first step of their part, and ``end`` is
    one past the last step. Every forecast that is scored lies completely in its part. Its
    origin is the step before it.
    """

    validation: int
    test: int
    end: int

    def check(self, length: int) -> None:
        """Raise unless the parts follow one another in a series of ``length`` steps."""
        steps = [
            validation.check_int(f"split.{name}", getattr(self, name), 0)
            for name in ("validation", "test", "end")
        ]
        if sorted(steps) != steps or steps[-1] > length:
            raise ValueError(
                f"split must have validation <= test <= end <= {length}, the steps of the "
                f"series, got {steps}"
            )


def _loss(prediction: Any, target: Any, mask: Any = None) -> Any:
    """Mean squared error over the observed steps; target has values, and 1 if observed."""
    return mse(prediction, target[..., 0], mask=target[..., 1] > 0)


@dataclass(frozen=True)
class Task:
    """The horizon of a forecast, the season, and what the GRU reads.

    Attributes
    ----------
    horizon : int
        Steps to forecast.
    season : int or None
        Steps of one season.
    window : int
        Steps that the GRU reads.
    """

    horizon: int
    season: int | None
    window: int

    def __post_init__(self) -> None:
        checked = {
            "horizon": validation.check_int("horizon", self.horizon, 1),
            "season": None
            if self.season is None
            else validation.check_int("season", self.season, 2),
            "window": validation.check_int("window", self.window, 2),
        }
        self.__dict__.update(checked)

    @classmethod
    def create(cls, horizon: int, season: int | None = None, window: int | None = None) -> Self:
        """Return a task; the default window is two seasons, or twice the horizon."""
        horizon = validation.check_int("horizon", horizon, 1)
        season = None if season is None else validation.check_int("season", season, 2)
        if window is None:
            window = 2 * season if season else max(2 * horizon, 32)
        return cls(horizon, season, window)

    @property
    def history(self) -> int:
        """Steps that must lie before the first forecast."""
        return self.window + (self.season or 0)

    def differences(self, values: Values) -> Values:
        """Return the series that the GRU reads, with NaN where a value is unknown."""
        if self.season is None:
            return values.copy()
        result = np.full(len(values), np.nan)
        result[self.season :] = values[self.season :] - values[: -self.season]
        return result


class Forecaster:
    """A GRU that forecasts the next ``horizon`` steps of a series.

    Parameters
    ----------
    task : Task
        Horizon, season and window.
    hidden_size, num_layers, variant, seed
        Options of the GRU.

    Attributes
    ----------
    model : Sequential
    scale : float or None
        What the values that the model reads are divided by; None before :meth:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.forecasting import Forecaster, Split, Task
    >>> values = np.sin(np.arange(400) / 5)
    >>> forecaster = Forecaster(Task.create(horizon=4), hidden_size=8, seed=0)
    >>> history = forecaster.fit(values, Split(300, 350, 400), epochs=2)
    >>> forecaster.predict(values).shape
    (4,)
    """

    def __init__(
        self,
        task: Task,
        *,
        hidden_size: int = 32,
        num_layers: int = 1,
        variant: str = "chung",
        seed: Seed = 0,
    ) -> None:
        if not isinstance(task, Task):
            raise TypeError(
                f"task must be a Task, as Task.create(horizon) makes it, "
                f"got {validation.type_name(task)}"
            )
        self.task = task
        self.scale: float | None = None
        self.model = Sequential(
            GRU(2, hidden_size, num_layers, batch_first=True, variant=variant, seed=seed),
            Last(),
            Dropout(0.2, seed=seed),
            Linear(hidden_size, task.horizon, seed=seed),
        )

    def _windows(
        self, values: Values, origins: Origins, scale: float
    ) -> tuple[NDArray[np.float32], Values]:
        """The inputs at each origin (M, window, 2), and the anchors (M,)."""
        task = self.task
        differences = task.differences(values)
        observed = ~np.isnan(differences)
        # Without any observed change over a season, each is taken to be 0.
        filled = fill_forward(differences) if observed.any() else np.zeros(len(values))
        steps = origins[:, np.newaxis] + np.arange(1 - task.window, 1)
        seen = filled[steps]
        anchors = seen.mean(axis=1) if task.season else seen[:, -1]
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            relative = ((seen - anchors[:, np.newaxis]) / scale).astype(np.float32)
        _refuse_infinite(relative)
        return np.stack([relative, observed[steps].astype(np.float32)], -1), anchors

    def _targets(
        self, values: Values, origins: Origins, anchors: Values, scale: float
    ) -> NDArray[np.float32]:
        """The targets (M, horizon, 2): scaled differences, and 1 if observed."""
        steps = origins[:, np.newaxis] + np.arange(1, self.task.horizon + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            wanted = (self.task.differences(values)[steps] - anchors[:, np.newaxis]) / scale
            observed = ~np.isnan(wanted)
            targets = np.where(observed, wanted, 0).astype(np.float32)
        _refuse_infinite(targets)
        return np.stack([targets, observed.astype(np.float32)], -1)

    def origins(self, begin: int, end: int) -> Origins:
        """Return the last known steps of all forecasts that lie within [begin, end)."""
        first = max(begin - 1, self.task.history - 1)
        return np.arange(first, end - self.task.horizon)

    def fit(
        self,
        values: ArrayLike,
        split: Split,
        *,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float | Schedule = 1e-3,
        seed: Seed = 0,
        n_threads: int | None = None,
        progress: bool | None = None,
    ) -> History:
        """Train on the part before ``split.validation``; the validation part chooses the epoch.

        The scale is computed from the training part too.

        Parameters
        ----------
        values : array_like
            (N,) the series; NaN where a value is missing.
        split : Split
            Where the parts end.
        epochs, batch_size, learning_rate, seed, n_threads, progress
            As for :class:`Trainer`, its ``fit``, and :class:`Adam`.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, or if a part is too short for a single forecast or has
            no observed value.
        """
        series = as_values("values", values)
        batch_size = validation.check_int("batch_size", batch_size, 1)
        _check_split(split, len(series))
        scale = self._scale_of(series[: split.validation])
        parts = []
        for name, begin, end in (
            ("training", 0, split.validation),
            ("validation", split.validation, split.test),
        ):
            origins = self.origins(begin, end)
            if len(origins) == 0:
                raise ValueError(
                    f"the {name} part is too short: it has {end - begin} steps, and one "
                    f"forecast needs {self.task.history} steps before it and "
                    f"{self.task.horizon} to compare with"
                )
            inputs, anchors = self._windows(series, origins, scale)
            targets = self._targets(series, origins, anchors, scale)
            if not targets[..., 1].any():
                raise ValueError(f"the {name} part has no observed value to compare with")
            parts.append((inputs, targets))
        trainer = Trainer(
            self.model,
            loss=_loss,
            optimizer=Adam(learning_rate),
            clip_norm=1.0,
            callbacks=[EarlyStopping(patience=15)],
            seed=seed,
            n_threads=n_threads,
        )
        self.scale = scale
        return trainer.fit(
            *parts[0],
            epochs=epochs,
            batch_size=min(batch_size, len(parts[0][0])),
            validation=parts[1],
            progress=progress,
        )

    def _scale_of(self, known: Values) -> float:
        """What the changes in the training part are divided by: their standard deviation."""
        if len(known) and np.isnan(known).all():
            raise ValueError("the training part has no observed value")
        changes = self.task.differences(known)
        changes = changes[~np.isnan(changes)]
        with np.errstate(over="ignore", invalid="ignore"):
            spread = float(np.std(changes)) if changes.size else 0.0
        if not np.isfinite(spread):
            raise ValueError("the values are too large: their variance has no float64")
        return spread or 1.0

    def _fitted_scale(self) -> float:
        if self.scale is None:
            raise RuntimeError("the forecaster is not fitted yet: call fit first")
        return self.scale

    def predict(self, values: ArrayLike, origins: ArrayLike | None = None) -> Values:
        """Forecast the steps after the end of ``values``, or after each of ``origins``.

        Parameters
        ----------
        values : array_like
            (N,) the series; NaN where a value is missing.
        origins : array_like of int, optional
            (M,) indices of the last known step of each forecast; values after it are not used.

        Returns
        -------
        ndarray
            (horizon,) or (M, horizon), in the units of the series.

        Raises
        ------
        RuntimeError
            If the forecaster has not been fitted.
        TypeError, ValueError
            If an argument does not fit, or the series is too short or has no observed value.
        """
        scale = self._fitted_scale()
        series = as_values("values", values)
        single = origins is None
        chosen = [len(series) - 1] if origins is None else origins
        known = as_origins(chosen, self.task.history - 1, len(series))
        if np.isnan(series[: known.max(initial=-1) + 1]).all() and known.size:
            raise ValueError("the series has no observed value before a forecast")
        inputs, anchors = self._windows(series, known, scale)
        predicted: Any = self.model(inputs)
        forecasts = np.asarray(predicted * scale + anchors[:, np.newaxis], np.float64)
        if self.task.season:
            forecasts += self._one_season_before(series, known, forecasts)
        result: Values = forecasts[0] if single else forecasts
        return result

    def _one_season_before(self, values: Values, origins: Origins, changes: Values) -> Values:
        """The value to which each predicted change is added: observed, or forecast before."""
        task, season = self.task, self.task.season or 1
        result = np.empty_like(changes)
        for row, origin in enumerate(origins):
            past = fill_forward(values[: origin + 1])
            for step in range(task.horizon):
                if step < season:
                    result[row, step] = past[origin + 1 + step - season]
                else:
                    back = step - season
                    result[row, step] = result[row, back] + changes[row, back]
        return result

    def save(self, path: Path, target: str) -> None:
        """Save to a ``.safetensors`` file; ``target`` is the name of the column in the data.

        Raises
        ------
        RuntimeError
            If the forecaster has not been fitted.
        TypeError
            If ``target`` is not a str.
        OSError
            If the file cannot be written.
        """
        if not isinstance(target, str):
            raise TypeError(f"target must be a str, got {validation.type_name(target)}")
        note = {"task": asdict(self.task), "scale": self._fitted_scale(), "target": target}
        save(self.model, path, {"forecaster": note})

    @classmethod
    def load(cls, path: Path) -> tuple[Self, str]:
        """Return the forecaster and the target's name that :meth:`save` has written.

        Raises
        ------
        FormatError
            If the file contains no forecaster, or is damaged.
        OSError
            If it cannot be read.
        """
        model, metadata = load_with_metadata(path)
        note = metadata.get("forecaster")
        if not isinstance(note, dict):
            raise FormatError(f"{path}: the model is not a forecaster")
        forecaster = cls.__new__(cls)
        try:
            forecaster.task = Task.create(**note["task"])
            forecaster.scale = validation.check_positive("scale", note["scale"])
            target = note["target"]
            if not isinstance(target, str):
                raise TypeError(f"target must be a str, got {validation.type_name(target)}")
            output = model(np.zeros((1, 1, 2), np.float32)).shape
            if output != (1, forecaster.task.horizon):
                raise ValueError(f"the model's output has the shape {output}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(
                f"{path}: the forecaster's settings are not valid: {error}"
            ) from None
        forecaster.model = model
        return forecaster, target


def evaluate(
    forecaster: Forecaster, values: ArrayLike, split: Split
) -> dict[str, dict[str, Any]]:
    """Compare a forecaster with the baselines on all forecasts within the test part.

    Returns
    -------
    dict of str to dict
        Name of the method -> ``mae``, ``rmse`` over all observed steps, and ``by_step``, the
        mean absolute error at each step of the horizon.

    Raises
    ------
    ValueError
        If the test part is too short for a forecast or has no observed value.
    """
    if not isinstance(forecaster, Forecaster):
        raise TypeError(
            f"forecaster must be a Forecaster, got {validation.type_name(forecaster)}"
        )
    task = forecaster.task
    series = as_values("values", values)
    _check_split(split, len(series))
    origins = forecaster.origins(split.test, split.end)
    if len(origins) == 0:
        raise ValueError(
            f"the test part is too short: it has {split.end - split.test} steps, and one "
            f"forecast has {task.horizon}"
        )
    truth = series[origins[:, np.newaxis] + np.arange(1, task.horizon + 1)]
    if np.isnan(truth).all():
        raise ValueError("the test part has no observed value")
    forecasts = {"GRU": forecaster.predict(series, origins)}
    if task.season:
        forecasts["seasonal naive"] = _all(seasonal_naive, series, origins, task, task.season)
        forecasts["seasonal naive + drift"] = _all(
            seasonal_naive, series, origins, task, task.season, True
        )
    forecasts["last value"] = _all(last_value, series, origins, task)
    scores = {}
    for name, forecast in forecasts.items():
        error = np.abs(forecast - truth)
        counts = np.maximum((~np.isnan(error)).sum(axis=0), 1)
        scores[name] = {
            "mae": float(np.nanmean(error)),
            "rmse": float(np.sqrt(np.nanmean(error**2))),
            "by_step": (np.nansum(error, axis=0) / counts).tolist(),
        }
    return scores


def _check_split(split: object, length: int) -> None:
    if not isinstance(split, Split):
        raise TypeError(f"split must be a Split, got {validation.type_name(split)}")
    split.check(length)


def _all(
    method: Callable[..., Values], values: Values, origins: Origins, task: Task, *arguments: Any
) -> Values:
    return np.array([method(values, origin, task.horizon, *arguments) for origin in origins])


def _refuse_infinite(scaled: NDArray[np.float32]) -> None:
    if not np.isfinite(scaled).all():
        raise ValueError(
            "a value is too far from the others: divided by their standard deviation in the "
            "training part, it is beyond the range of float32"
        )
