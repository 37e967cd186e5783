"""Forecasting one series, gaps and season included, with a GRU: what ``pygru train`` runs.

The GRU does not read the raw values. With a season of S steps it reads and predicts the change
over one season, d_t = y_t - y_{t-S}. Without a season it reads and predicts the values. In both
cases they are relative to an anchor, a value that is known at the time of the forecast. So the
model only has to learn how the truth differs from the naive forecast. A forecast made at time t
never uses a value from after t.
"""

from dataclasses import asdict, dataclass

import numpy as np

from pygru.core import validation
from pygru.errors import FormatError
from pygru.gru import GRU
from pygru.io.native import load, read_metadata, save
from pygru.nn.dropout import Dropout
from pygru.nn.last import Last
from pygru.nn.linear import Linear
from pygru.nn.losses import mse
from pygru.nn.sequential import Sequential
from pygru.train.callbacks import EarlyStopping
from pygru.train.optimizers import Adam
from pygru.train.trainer import Trainer


def fill_forward(values):
    """Return a copy in which each missing value is the last observed one before it.

    Missing values at the very beginning become the first observed one.
    """
    observed = np.flatnonzero(~np.isnan(values))
    last = np.searchsorted(observed, np.arange(len(values)), side="right") - 1
    return values[observed[np.maximum(last, 0)]]


def last_value(values, origin, horizon):
    """Forecast the steps after ``origin`` by the last observed value."""
    return np.full(horizon, fill_forward(values[: origin + 1])[-1])


def seasonal_naive(values, origin, horizon, season, drift=False):
    """Forecast each step by the value one season (or several) before it.

    With ``drift`` the mean change over the last season is added for each season ahead.
    """
    past = fill_forward(values[: origin + 1])
    steps = np.arange(1, horizon + 1)
    seasons = (steps - 1) // season + 1
    forecast = past[origin + steps - seasons * season]
    if drift:
        forecast = forecast + seasons * np.mean(past[-season:] - past[-2 * season : -season])
    return forecast


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


def _loss(prediction, target, mask=None):
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

    @classmethod
    def create(cls, horizon, season=None, window=None):
        """Check the sizes and choose a window: two seasons, or twice the horizon."""
        horizon = validation.check_int("horizon", horizon, 1)
        season = None if season is None else validation.check_int("season", season, 2)
        if window is None:
            window = 2 * season if season else max(2 * horizon, 32)
        return cls(horizon, season, validation.check_int("window", window, 2))

    @property
    def history(self):
        """Steps that must lie before the first forecast."""
        return self.window + (self.season or 0)

    def differences(self, values):
        """The series that the GRU reads, with NaN where a value is unknown."""
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

    def __init__(self, task, *, hidden_size=32, num_layers=1, variant="chung", seed=0):
        self.task = task
        self.scale = None
        self.model = Sequential(
            GRU(2, hidden_size, num_layers, batch_first=True, variant=variant, seed=seed),
            Last(),
            Dropout(0.2, seed=seed),
            Linear(hidden_size, task.horizon, seed=seed),
        )

    def _windows(self, values, origins):
        """The inputs at each origin (M, window, 2), and the anchors (M,)."""
        task = self.task
        differences = task.differences(values)
        observed = ~np.isnan(differences)
        filled = np.where(np.isnan(fill_forward(differences)), 0, fill_forward(differences))
        steps = np.asarray(origins)[:, np.newaxis] + np.arange(1 - task.window, 1)
        seen = filled[steps]
        anchors = seen.mean(axis=1) if task.season else seen[:, -1]
        inputs = np.stack([(seen - anchors[:, np.newaxis]) / self.scale, observed[steps]], -1)
        return inputs.astype(np.float32), anchors

    def _targets(self, values, origins, anchors):
        """The targets (M, horizon, 2): scaled differences, and 1 if observed."""
        steps = np.asarray(origins)[:, np.newaxis] + np.arange(1, self.task.horizon + 1)
        wanted = (self.task.differences(values)[steps] - anchors[:, np.newaxis]) / self.scale
        observed = ~np.isnan(wanted)
        return np.stack([np.where(observed, wanted, 0), observed], -1).astype(np.float32)

    def origins(self, begin, end):
        """The last known steps of all forecasts that lie within [begin, end)."""
        first = max(begin - 1, self.task.history - 1)
        return np.arange(first, end - self.task.horizon)

    def fit(
        self,
        values,
        split,
        *,
        epochs=100,
        batch_size=64,
        learning_rate=1e-3,
        seed=0,
        n_threads=None,
        progress=None,
    ):
        """Train on the part before ``split.validation``; the validation part chooses the epoch.

        The scale is computed from the training part too. Returns the :class:`History`.

        Raises
        ------
        ValueError
            If a part is too short for a single forecast.
        """
        known = self.task.differences(values)[: split.validation]
        spread = np.nanstd(known) if (~np.isnan(known)).any() else 0.0
        self.scale = float(spread) or 1.0
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
            inputs, anchors = self._windows(values, origins)
            parts.append((inputs, self._targets(values, origins, anchors)))
        trainer = Trainer(
            self.model,
            loss=_loss,
            optimizer=Adam(learning_rate),
            clip_norm=1.0,
            callbacks=[EarlyStopping(patience=15)],
            seed=seed,
            n_threads=n_threads,
        )
        return trainer.fit(
            *parts[0],
            epochs=epochs,
            batch_size=min(batch_size, len(parts[0][0])),
            validation=parts[1],
            progress=progress,
        )

    def predict(self, values, origins=None):
        """Forecast the steps after the end of ``values``, or after each of ``origins``.

        Parameters
        ----------
        values : ndarray
            (N,) the series; NaN where a value is missing.
        origins : array_like of int, optional
            Indices of the last known step of each forecast; values after it are not used.

        Returns
        -------
        ndarray
            (horizon,) or (len(origins), horizon), in the units of the series.

        Raises
        ------
        ValueError
            If the series is too short.
        """
        single = origins is None
        origins = np.array([len(values) - 1]) if single else np.asarray(origins)
        if origins.min() + 1 < self.task.history:
            raise ValueError(
                f"the series must have at least {self.task.history} steps before a forecast, "
                f"got {origins.min() + 1}"
            )
        inputs, anchors = self._windows(values, origins)
        forecasts = self.model(inputs) * self.scale + anchors[:, np.newaxis]
        if self.task.season:
            forecasts += self._one_season_before(values, origins, forecasts)
        return forecasts[0] if single else forecasts

    def _one_season_before(self, values, origins, changes):
        """The value to which each predicted change is added: observed, or forecast before."""
        task = self.task
        result = np.empty_like(changes)
        for row, origin in enumerate(origins):
            past = fill_forward(values[: origin + 1])
            for step in range(task.horizon):
                if step < task.season:
                    result[row, step] = past[origin + 1 + step - task.season]
                else:
                    back = step - task.season
                    result[row, step] = result[row, back] + changes[row, back]
        return result

    def save(self, path, target):
        """Save to a ``.safetensors`` file; ``target`` is the name of the column in the data."""
        note = {"task": asdict(self.task), "scale": self.scale, "target": target}
        save(self.model, path, {"forecaster": note})

    @classmethod
    def load(cls, path):
        """Return the forecaster and the target's name that :meth:`save` has written.

        Raises
        ------
        FormatError
            If the file contains no forecaster, or is damaged.
        """
        note = read_metadata(path).get("forecaster")
        if not isinstance(note, dict):
            raise FormatError(f"{path}: the model is not a forecaster")
        forecaster = cls.__new__(cls)
        try:
            forecaster.task = Task.create(**note["task"])
            forecaster.scale = validation.check_positive("scale", note["scale"])
            target = str(note["target"])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{path}: the forecaster's settings are not valid: {error}"
            ) from None
        forecaster.model = load(path)
        return forecaster, target


def evaluate(forecaster, values, split):
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
    task = forecaster.task
    origins = forecaster.origins(split.test, split.end)
    if len(origins) == 0:
        raise ValueError(
            f"the test part is too short: it has {split.end - split.test} steps, and one "
            f"forecast has {task.horizon}"
        )
    truth = values[origins[:, np.newaxis] + np.arange(1, task.horizon + 1)]
    if np.isnan(truth).all():
        raise ValueError("the test part has no observed value")
    forecasts = {"GRU": forecaster.predict(values, origins)}
    if task.season:
        forecasts["seasonal naive"] = _all(seasonal_naive, values, origins, task, task.season)
        forecasts["seasonal naive + drift"] = _all(
            seasonal_naive, values, origins, task, task.season, True
        )
    forecasts["last value"] = _all(last_value, values, origins, task)
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


def _all(method, values, origins, task, *arguments):
    return np.array([method(values, origin, task.horizon, *arguments) for origin in origins])
