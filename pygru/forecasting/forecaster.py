"""GRUForecaster: forecasts of time series with a GRU, for one series or a table of many.

The GRU does not read the raw values. With a season of S steps it reads the change over one
season, y_t - y_{t-S}; without one it reads the values; both relative to a value that is known
at the time of the forecast. It predicts by how much the truth differs from the naive forecast
and a linear autoregression. A forecast made at a step uses no target and no past covariate
from after that step. This file holds the interface; fitting.py fits, rolling.py judges, and
files.py saves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pygru.core.atomic import attributes, commit
from pygru.core.fixed import FixedAttributes
from pygru.core.pickled import CheckedState
from pygru.data.messages import cut
from pygru.forecasting import files
from pygru.forecasting.backtest import Backtest
from pygru.forecasting.fitting import Fitted, fit_panel
from pygru.forecasting.panel import (
    Panel,
    check_panel,
    future_index,
    read_panel,
    require_future,
    to_frame,
    with_future,
)
from pygru.forecasting.rolling import run_backtest
from pygru.forecasting.schema import Schema
from pygru.forecasting.settings import MEDIAN, Settings
from pygru.forecasting.stack import joined
from pygru.shown import html_properties
from pygru.train.history import History
from pygru.train.ranks import team_of
from pygru.train.schedules import Schedule
from pygru.typing import Path, Seed

if TYPE_CHECKING:
    import pandas as pd


class GRUForecaster(CheckedState, FixedAttributes):
    """Forecasts the next ``horizon`` steps of one or many time series with a GRU.

    One model is trained for all series. Each series is scaled by itself. The forecast of each
    step is the naive forecast, plus a linear autoregression, plus what the GRU adds to it.

    Parameters
    ----------
    horizon : int
        Steps to forecast.
    season : int, "auto" or None
        Steps of one season, such as 12 for months. With it the model forecasts changes over a
        season. ``"auto"`` finds it in the training part: the lag at which the variance of
        changes is smallest, compared with that of smaller lags (the difference function of the
        YIN method, de Cheveigne and Kawahara 2002). None means that there is none.
    window : int, optional
        Steps that the GRU reads; by default two seasons, or without a season twice the horizon
        and at least 32.
    quantiles : sequence of float
        Quantiles to forecast besides the point forecast, such as ``(0.1, 0.9)``. All are
        trained together with the pinball loss. The point forecast is the median, which has the
        smallest mean absolute error.
    hidden_size, num_layers, variant
        As for :class:`pygru.GRU`.
    dropout : float
        In [0, 1), between the GRU and the last layer.
    epochs : int
        The most epochs of training.
    batch_size : int
        Windows per step of the optimiser.
    learning_rate : float or Schedule
        Of :class:`pygru.Adam`.
    clip_norm : float or None
        Largest joint norm of all gradients.
    patience : int
        Epochs without a smaller validation loss before training ends.
    seed : int, Generator or None
        Seed of the parameters, of dropout and of the order of the windows.
    n_threads : int, optional
        As in :func:`pygru.set_num_threads`.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.

    Attributes
    ----------
    history_ : History
        The epochs of the last ``fit``.
    season_ : int or None
        The season that is used.
    window_ : int
        The steps that the GRU reads.
    schema_ : Schema
        The columns and the steps of the data: names, categories, frequency.
    model_ : ForecastNetwork
        The trained network.

    Notes
    -----
    Missing values are NaN. The GRU is told which values were observed; a gap is filled only
    from values before it. The scale of a target is the root mean square of the naive forecast's
    errors in the training part. A target that did not vary there, but for rounding, is
    forecast by the naive forecast alone.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.forecasting import GRUForecaster
    >>> y = np.sin(np.arange(400) / 5)
    >>> forecaster = GRUForecaster(horizon=4, hidden_size=8, epochs=2, progress=False)
    >>> forecaster.fit(y[:300]).predict(y).index.tolist()
    [400, 401, 402, 403]
    >>> forecaster.backtest(y).scores.index[0]
    'GRU'
    """

    _changing = frozenset({"_fitted", "_data"})

    horizon: int
    quantiles: tuple[float, ...]
    _settings: Settings

    def __init__(
        self,
        horizon: int,
        *,
        season: int | str | None = None,
        window: int | None = None,
        quantiles: Any = (),
        hidden_size: int = 32,
        num_layers: int = 1,
        variant: str = "chung",
        dropout: float = 0.2,
        epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float | Schedule = 1e-3,
        clip_norm: float | None = 1.0,
        patience: int = 15,
        seed: Seed = 0,
        n_threads: int | None = None,
        progress: bool | None = None,
    ) -> None:
        settings = Settings.checked(
            {
                "horizon": horizon,
                "season": season,
                "window": window,
                "quantiles": quantiles,
                "hidden_size": hidden_size,
                "num_layers": num_layers,
                "variant": variant,
                "dropout": dropout,
                "epochs": epochs,
                "batch_size": batch_size,
                "learning_rate": learning_rate,
                "clip_norm": clip_norm,
                "patience": patience,
                "seed": seed,
                "n_threads": n_threads,
                "progress": progress,
            }
        )
        self._fix(_settings=settings, **vars(settings))
        self._fitted: Fitted | None = None
        self._data: Panel | None = None

    def _restore(self) -> None:
        if self._fitted is not None:
            files.check_fitted(self._fitted, self._settings)
        if self._data is not None:
            if self._fitted is None:
                raise ValueError("_data must be None before fit")
            check_panel(self._data, self._fitted.schema)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments of the constructor by name; ``deep`` has no effect."""
        return dict(vars(self._settings))

    def __repr__(self) -> str:
        defaults = type(self).__init__.__kwdefaults__ or {}
        options = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if name != "horizon" and value is not defaults[name] and value != defaults[name]
        ]
        return f"GRUForecaster({', '.join([f'horizon={self.horizon}', *options])})"

    def _repr_html_(self) -> str:
        model = "" if self._fitted is None else self._fitted.model._repr_html_()
        options = [(name, repr(value)) for name, value in self.get_params().items()]
        return html_properties(type(self).__name__, options, model)

    # ---- fitting ---------------------------------------------------------------------------

    def fit(
        self,
        y: Any,
        past: Any = None,
        future: Any = None,
        *,
        id: Any = None,
        time: Any = None,
        target: Any = None,
        static: Any = None,
        freq: Any = None,
        validation_size: int | float | None = None,
        comm: Any = None,
    ) -> Self:
        """Train on one or many series.

        Parameters
        ----------
        y : array_like, Series or DataFrame
            (T,) or (T, n) numbers; a Series; a DataFrame with a column for each target; or a
            long table with ``id``.
        past, future : list of column names, or DataFrame, optional
            Covariates that are known up to the time of a forecast, or for its steps too. At the
            steps that are forecast the model reads those of ``future``.
        id, time, target : column names, optional
            Columns of ``y``. Without ``time`` the index is the time.
        static : list of column names, or DataFrame, optional
            Covariates that are constant within a series.
        freq : str, DateOffset or int, optional
            The frequency of the steps; by default it is found.
        validation_size : int or float, optional
            How many steps of each series are held out, at least ``horizon``, or which part of
            it; they decide which epoch is the best. The default is a fifth, at least
            ``horizon``. With 0 nothing is held out, and training takes all epochs. A series
            that is too short for both parts is trained on as a whole.
        comm : mpi4py.MPI.Comm, optional
            The processes that train together, as for :class:`pygru.Trainer`. Each of them calls
            ``fit`` with the same data, and has the same forecaster afterwards.

        Returns
        -------
        GRUForecaster
            The forecaster itself.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, if there are too few rows, or if no value is observed
            in the training part. The forecaster is then as it was before.
        DivergenceError
            As for :meth:`Trainer.fit`; the forecaster is as it was before.
        KeyboardInterrupt
            After Ctrl-C, if an epoch has ended, the forecaster has the best weights so far.
        """
        team = team_of(comm)
        with team.together():
            panel = read_panel(
                y, past, future, id=id, time=time, target=target, static=static, freq=freq
            )

            def keep(fitted: Fitted) -> None:
                commit([attributes(self, _fitted=fitted, _data=panel)])

            keep(fit_panel(self._settings, panel, validation_size, team, on_interrupt=keep))
        return self

    def _found(self) -> Fitted:
        if self._fitted is None:
            raise RuntimeError("the forecaster is not fitted yet: call fit first")
        return self._fitted

    @property
    def history_(self) -> History:
        """The epochs of the last ``fit``."""
        return self._found().history

    @property
    def season_(self) -> int | None:
        """The season that is used."""
        return self._found().task.season

    @property
    def window_(self) -> int:
        """The steps that the GRU reads."""
        return self._found().task.window

    @property
    def schema_(self) -> Schema:
        """The columns and the steps of the data of the last ``fit``."""
        return self._found().schema

    @property
    def model_(self) -> Any:
        """The trained network."""
        return self._found().model

    def quantized(self, bits: int = 8) -> Self:
        """Return a forecaster whose GRU has weights of 8 bits: it forecasts and is not trained.

        Its ``backtest`` says what this costs. :meth:`fit` would make a new network of floats.

        Parameters
        ----------
        bits : int
            The bits of a weight; only 8 are possible.

        Raises
        ------
        RuntimeError
            If the forecaster has not been fitted.
        ValueError
            If ``bits`` is not 8, or the weights are integers already.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru.forecasting import GRUForecaster
        >>> y = np.sin(np.arange(200) / 5)
        >>> forecaster = GRUForecaster(horizon=4, hidden_size=32, epochs=1, progress=False)
        >>> quantized = forecaster.fit(y).quantized()
        >>> bool(np.abs(quantized.predict(y) - forecaster.predict(y)).to_numpy().max() < 0.01)
        True
        """
        fitted = self._found()
        model = fitted.model.quantized(bits)
        other = type(self)(**self.get_params())
        commit([attributes(other, _fitted=replace(fitted, model=model), _data=self._data)])
        return other

    # ---- forecasts -------------------------------------------------------------------------

    def predict(
        self, y: Any = None, past: Any = None, future: Any = None, *, static: Any = None
    ) -> pd.DataFrame:
        """Forecast the ``horizon`` steps after the end of each series.

        Parameters
        ----------
        y, past, future, static
            Series that go on from those of ``fit``, or others, in the same form; by default
            those of ``fit``. ``future`` must cover the steps of the forecast. Series that
            ``fit`` has not seen are scaled by their own values.

        Returns
        -------
        DataFrame
            The steps in the index, or in columns as in ``y``, with a column for each target.
            With quantiles, columns such as ``sales_q0.1`` follow.

        Raises
        ------
        RuntimeError
            If the forecaster has not been fitted, or was loaded and ``y`` is not given.
        TypeError, ValueError
            If the data do not fit those of ``fit``, or a series has no observed value.
        """
        fitted = self._found()
        panel = self._panel(fitted, y, past, future, static)
        require_future(panel, self.horizon)
        series = panel.series
        for one in series:
            if np.isnan(one.targets).all():
                which = "the series" if one.id is None else f"the series {cut(one.id)}"
                hint = "" if one.id is None else "; leave out its rows"
                raise ValueError(f"{which} has no observed value before the forecast{hint}")
        windows = fitted.windows(series, [len(one.targets) for one in series])
        origins = joined(
            windows.stack.at(number, np.array([len(one.targets) - 1]))
            for number, one in enumerate(series)
        )
        forecasts = fitted.forecast(windows, origins)
        names = list(panel.schema.target_names)
        levels = self._settings.levels
        columns = names + [f"{name}_q{q:g}" for name in names for q in self.quantiles]
        blocks = []
        for one, grid in zip(series, forecasts, strict=True):
            parts = [grid[..., levels.index(MEDIAN)]]
            for target in range(len(names)):
                chosen = [levels.index(q) for q in self.quantiles]
                parts.append(grid[:, target, chosen])
            blocks.append(
                (one, future_index(one, self.horizon), np.concatenate(parts, 1), columns)
            )
        frame: pd.DataFrame = to_frame(panel.schema, blocks)
        return frame

    def _panel(self, fitted: Fitted, y: Any, past: Any, future: Any, static: Any) -> Panel:
        if y is not None:
            return read_panel(y, past, future, static=static, schema=fitted.schema)
        if past is not None or static is not None:
            raise TypeError("past and static need y: without it they are those of fit")
        if self._data is None:
            raise RuntimeError(
                "the forecaster was loaded from a file, which holds no data: give y"
            )
        return self._data if future is None else with_future(self._data, future)

    def backtest(
        self,
        y: Any,
        past: Any = None,
        future: Any = None,
        *,
        static: Any = None,
        start: Any = None,
        step: int = 1,
        gap: int = 0,
        refit: bool = False,
    ) -> Backtest:
        """Forecast from many origins, and compare with simple methods ("rolling origin").

        Each forecast uses only what was known at its origin: Tashman 2000, "Out-of-sample tests
        of forecasting accuracy", International Journal of Forecasting 16. Only forecasts whose
        steps all lie within the series are made. Time and memory are linear in the rows.

        Parameters
        ----------
        y, past, future, static
            As for :meth:`predict`; ``y`` has the steps to compare with, and those before them.
        start : label or int, optional
            The first step that is forecast, a label of the index such as a date. An int is the
            number of a step, counted from the end if it is negative. The default is the step
            after the end of the data of ``fit``.
            Before that, errors are too small without ``refit``, because ``fit`` has seen these
            steps; a ``pygru.DataWarning`` says so.
        step : int
            Steps from one origin to the next.
        gap : int
            So many steps after each origin are not judged, as if data came late. It is below
            ``horizon``.
        refit : bool
            Whether the forecaster is fitted again at each origin, to all that is known there.
            Otherwise the model of ``fit`` makes all forecasts.

        Returns
        -------
        Backtest

        Raises
        ------
        RuntimeError
            If the forecaster has not been fitted.
        TypeError, ValueError
            If an argument does not fit, or there is nothing to compare with.
        """
        fitted = self._found()
        panel = read_panel(y, past, future, static=static, schema=fitted.schema)
        return run_backtest(
            fitted, panel, self._data, start=start, step=step, gap=gap, refit=refit
        )

    # ---- files -----------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Save to a ``.safetensors`` file, without pickle.

        It holds the settings, the weights, the names and categories of columns, and the scales
        and ids of the series; no other data.

        Raises
        ------
        RuntimeError
            If the forecaster has not been fitted.
        TypeError
            If ``learning_rate`` or ``seed`` is not a number or None.
        ValueError
            If a weight is NaN or infinite.
        OSError
            If the file cannot be written.
        """
        files.save(self._found(), path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the forecaster that :meth:`save` has written.

        Raises
        ------
        FormatError
            If the file contains no forecaster, or is damaged.
        OSError
            If it cannot be read.
        """
        fitted = files.load(path)
        forecaster = cls(**vars(fitted.settings))
        forecaster._fitted = fitted
        return forecaster
