"""The result of a backtest: forecasts from many origins, what came true, and the scores.

rolling.py makes the forecasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pygru.core import validation
from pygru.core.pickled import CheckedState
from pygru.forecasting import scores as scoring
from pygru.forecasting.panel import Panel, check_panel
from pygru.forecasting.stack import Origins, Values
from pygru.typing import Booleans

if TYPE_CHECKING:
    import pandas as pd

GRU = "GRU"


@dataclass(frozen=True)
class Made:
    """The forecasts of one method: (M, horizon, n), and its quantiles (M, horizon, n, Q)."""

    point: Values
    quantiles: Values


@dataclass(frozen=True)
class Backtest(CheckedState):
    """Forecasts from many origins, with what came true, by the GRU and by simple methods.

    Attributes
    ----------
    scores : DataFrame
        A row for each method; columns MAE, RMSE, MASE, pinball and coverage. The last two are
        NaN without quantiles.
    forecasts : DataFrame
        A row for each origin, step and target, with a column for each method and for each
        quantile of the GRU.

    Notes
    -----
    The methods are the last value; with a season the seasonal naive forecast, and the same with
    the mean change over the last season added ("drift"); and a linear autoregression by least
    squares, direct for each step, on what the GRU reads of the target. It is fitted to all that
    comes before the first origin. The quantiles of the simple methods are the forecast plus the
    quantiles of its errors before the first origin, in units of the scale of each series.

    MAE and RMSE are the mean absolute and the root mean squared error over all forecasts. MASE
    is the mean absolute error divided by that of the one-step (seasonal) naive forecast before
    the first origin (Hyndman and Koehler 2006); series for which that is 0 do not count in it.
    The pinball loss is the mean of ``max(q * d, (q - 1) * d)`` with ``d = actual - quantile``
    over all quantiles (Koenker and Bassett 1978). Coverage is the part of the actual values
    between the lowest and the highest quantile.
    """

    _made_again = frozenset({"scores", "forecasts"})  # tables, which take long to pickle

    _panel: Panel
    _origins: Origins  # the rows are steps within their series
    _actual: Values
    _made: Mapping[str, Made]
    _quantiles: tuple[float, ...]
    _gap: int
    _scale: Values  # (S, n)

    def _restore(self) -> None:
        check_panel(self._panel, self._panel.schema)
        rows, series = self._origins.rows, self._origins.series
        M, H, n = self._actual.shape
        lengths = np.array([len(one) for one in self._panel.series])
        if not (rows.shape == series.shape == (M,) and rows.dtype == series.dtype == np.int64):
            raise ValueError(f"_origins must be {M} int64 rows and series")
        if M and not (series.min() >= 0 and series.max() < len(lengths)):
            raise ValueError("_origins must be of the series of the data")
        gap = validation.check_int("_gap", self._gap, 0)
        if M and not (rows.min() >= 0 and (rows + gap + H < lengths[series]).all()):
            raise ValueError("_origins must lie so that their forecasts are within the series")
        if n != self._panel.schema.width("targets") or GRU not in self._made:
            raise ValueError(f"_actual and _made must be of {GRU} and of the targets")
        for name, made in self._made.items():
            wanted = {"point": (M, H, n), "quantiles": (M, H, n, len(self._quantiles))}
            for what, shape in wanted.items():
                if getattr(made, what).shape != shape:
                    raise ValueError(f"{what} of {name} must have shape {shape}")
        if self._scale.shape != (len(lengths), n):
            raise ValueError(f"_scale must have shape {(len(lengths), n)}")

    def __repr__(self) -> str:
        return f"Backtest of {len(self._origins)} origins\n{self.scores}"

    def _repr_html_(self) -> str:
        table = self.scores.to_html(border=0)
        return f"<div><p>Backtest of {len(self._origins)} origins</p>{table}</div>"

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, the GRU first."""
        return tuple(self._made)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The table of scores over all forecasts."""
        return self._table(np.ones(self._actual.shape, np.bool_))

    def scores_by(self, key: str) -> pd.DataFrame:
        """Return the scores for each step ahead, each target or each series.

        Parameters
        ----------
        key : {"step", "target", "id"}
            What to distinguish.

        Returns
        -------
        DataFrame
            Its index has ``key`` and the method.
        """
        import pandas as pd

        validation.check_choice("key", key, ("step", "target", "id"))
        tables = {name: self._table(chosen) for name, chosen in self._groups(key)}
        return pd.concat(tables, names=[key, "method"])

    def _groups(self, key: str) -> Iterator[tuple[Any, Booleans]]:
        shape = self._actual.shape
        if key == "id":
            for number, one in enumerate(self._panel.series):
                rows = self._origins.series == number
                if rows.any():
                    yield one.id, np.broadcast_to(rows[:, np.newaxis, np.newaxis], shape)
            return
        axis = 1 if key == "step" else 2
        names: Sequence[Any] = self._panel.schema.target_names
        if key == "step":
            names = range(self._gap + 1, self._gap + 1 + shape[1])
        for place, name in enumerate(names):
            chosen = np.zeros(shape, np.bool_)
            chosen[(slice(None),) * axis + (place,)] = True
            yield name, chosen

    def _table(self, chosen: Booleans) -> pd.DataFrame:
        import pandas as pd

        actual = self._actual[chosen]
        scale = np.broadcast_to(
            self._scale[self._origins.series][:, np.newaxis], self._actual.shape
        )[chosen]
        rows = {}
        for name, made in self._made.items():
            point, quantiles = made.point[chosen], made.quantiles[chosen]
            rows[name] = (
                scoring.mean_absolute_error(actual, point),
                scoring.root_mean_squared_error(actual, point),
                scoring.mean_absolute_scaled_error(actual, point, scale),
                scoring.pinball_loss(actual, quantiles, self._quantiles),
                scoring.coverage(actual, quantiles, self._quantiles),
            )
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(scoring.NAMES))

    @property
    def id_columns(self) -> tuple[Any, ...]:
        """The columns of ``forecasts`` with the ids.

        They have the names of the table, and ``_id`` behind a name that ``forecasts`` needs.
        """
        own = {"origin", "time", "step", "target", "actual", *self.methods}
        own |= {f"q{q:g}" for q in self._quantiles}
        return tuple(f"{n}_id" if n in own else n for n in self._panel.schema.id)

    @cached_property
    def forecasts(self) -> pd.DataFrame:
        """The forecasts, a row for each origin, step and target."""
        import pandas as pd

        panel, steps, number = self._panel, self._origins.rows, self._origins.series
        M, H, n = self._actual.shape
        index = panel.series[0].index
        if len(panel.series) > 1:
            index = index.append([one.index for one in panel.series[1:]])
        lengths = [len(one.targets) for one in panel.series]
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)[number]
        ahead = np.arange(self._gap + 1, self._gap + 1 + H)
        times = (first + steps)[:, np.newaxis] + ahead
        columns: dict[Any, Any] = {}
        for place, name in enumerate(self.id_columns):
            ids: list[Any] = [one.id for one in panel.series]
            if len(panel.schema.id) > 1:
                ids = [each[place] for each in ids]
            columns[name] = np.repeat(pd.Index(ids).to_numpy()[number], H * n)
        columns["origin"] = index.take(np.repeat(first + steps, H * n))
        columns["time"] = index.take(np.repeat(times.ravel(), n))
        columns["step"] = np.tile(np.repeat(ahead, n), M)
        names = pd.Index(list(panel.schema.target_names), tupleize_cols=False)
        columns["target"] = names.take(np.tile(np.arange(n), M * H))
        columns["actual"] = self._actual.ravel()
        for method, made in self._made.items():
            columns[method] = made.point.ravel()
        for place, q in enumerate(self._quantiles):
            columns[f"q{q:g}"] = self._made[GRU].quantiles[..., place].ravel()
        return pd.DataFrame(columns)
