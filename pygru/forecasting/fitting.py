"""Fits a forecaster to a panel: the parts, the season, the scales, and the training.

The last part of each series is held out; it decides which epoch is the best, and nothing else
is taken from it. :class:`Fitted` is all that a forecast needs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import threads, validation
from pygru.data.messages import cut, warn
from pygru.forecasting.bands import begin_with_quantiles
from pygru.forecasting.linear import fit_autoregression, order_for
from pygru.forecasting.network import ForecastNetwork, Shape, forecasts_in_order, loss_for
from pygru.forecasting.panel import OneSeries, Panel
from pygru.forecasting.scaling import LARGEST, Affine, Spread, affine_of
from pygru.forecasting.schema import Column, Schema
from pygru.forecasting.season import find_season
from pygru.forecasting.settings import Settings
from pygru.forecasting.stack import Origins, Stack, Values, joined
from pygru.forecasting.task import Task, default_window
from pygru.forecasting.training import WindowData, train
from pygru.forecasting.windows import Scaling, Windows, measure
from pygru.train.callbacks import Callback, EarlyStopping
from pygru.train.history import History
from pygru.train.optimizers import Adam
from pygru.train.ranks import Alone
from pygru.train.trainer import Trainer
from pygru.typing import Floats

BATCH = 256  # windows per call of the network when it forecasts
HELD_OUT = 5  # one part in so many of each series is held out by default


@dataclass(frozen=True)
class Fitted:
    """What training has found out.

    Attributes
    ----------
    settings : Settings
    task : Task
    schema : Schema
    model : ForecastNetwork
    spreads : dict
        The :class:`Spread` of each series, by id.
    ratio : ndarray
        (n,) the typical error of the naive forecast per spread of what is read, for series
        that are too short to measure it.
    past, future, static : Affine
        The scaling of the covariates.
    validation_size : int, float or None
        As given to ``fit``.
    history : History
    """

    settings: Settings
    task: Task
    schema: Schema
    model: ForecastNetwork
    spreads: dict[Hashable, Spread]
    ratio: Values
    past: Affine
    future: Affine
    static: Affine
    validation_size: int | float | None
    history: History

    def windows(self, series: Sequence[OneSeries], ends: Sequence[int]) -> Windows:
        """Return the windows of series, whose steps up to ``ends`` may tell their scale."""
        check_values(series)
        stack = Stack(series, self.task)
        spreads = []
        for number, (one, end) in enumerate(zip(series, ends, strict=True)):
            known = self.spreads.get(one.id)
            spreads.append(self._measured(stack, number, end) if known is None else known)
        scaling = Scaling(tuple(spreads), self.past, self.future, self.static)
        return Windows(stack, scaling)

    def _measured(self, stack: Stack, number: int, end: int) -> Spread:
        """The spread of a series that training has not seen."""
        spread = measure(stack, number, usable(stack, training_origins(stack, number, end)))
        return Spread(
            spread.read, np.where(spread.error > 0, spread.error, spread.read * self.ratio)
        )

    def forecast(self, windows: Windows, origins: Origins) -> Values:
        """Return the forecasts (M, horizon, n, L) of the levels of the settings.

        Raises
        ------
        ValueError
            If the network returns what is not a number.
        """
        parts = []
        with (
            threads.single_threaded_blas(),
            threads.num_threads(threads.resolve(self.settings.n_threads)),
        ):
            for first in range(0, len(origins), BATCH):
                some = origins.take(slice(first, first + BATCH))
                output: Floats = self.model.infer(windows.inputs(some))
                if not np.isfinite(output).all():
                    raise ValueError(
                        "the model returns NaN or infinity: its weights are not usable"
                    )
                parts.append(windows.forecasts(some, forecasts_in_order(output)))
        if parts:
            return np.concatenate(parts)
        shape = self.model.shape
        return np.zeros((0, shape.horizon, shape.targets, shape.levels))


def shape_of(settings: Settings, task: Task, schema: Schema, order: int) -> Shape:
    """Return the sizes of the network for settings, columns and lags."""
    n, p, q, k = (schema.width(role) for role in ("targets", "past", "future", "static"))
    return Shape(
        features=2 * (n + p + q) + k,
        window=task.window,
        horizon=task.horizon,
        targets=n,
        levels=len(settings.levels),
        order=order,
        reads_on=q > 0,
    )


def check_values(series: Sequence[OneSeries]) -> None:
    """Raise for values that have no place in the arithmetic."""
    for one in series:
        for name in ("targets", "past", "future", "static"):
            values = getattr(one, name)
            wrong = (
                np.abs(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)) > LARGEST
            )
            if wrong.any():
                place = tuple(int(i) for i in np.argwhere(wrong)[0])
                which = "" if one.id is None else f" of series {cut(one.id)}"
                raise ValueError(
                    f"{name}{which} must be between {-LARGEST:g} and {LARGEST:g}, got "
                    f"{values[place]:g} at step {place[0]}"
                )


# ---- the parts ---------------------------------------------------------------------------


def check_validation_size(value: Any, horizon: int) -> int | float | None:
    """Return ``validation_size``: None, 0, a number of steps, or a share of each series."""
    if value is None:
        return None
    if isinstance(value, (float, np.floating)):
        share = validation.check_fraction("validation_size", value)
        if share == 1:
            raise ValueError("validation_size must be below 1 as a share, got 1.0")
        return share
    size = validation.check_int("validation_size", value, 0)
    if 0 < size < horizon:
        raise ValueError(
            f"validation_size must be 0 or at least the horizon of {horizon} steps, got {size}"
        )
    return size


def training_end(length: int, horizon: int, size: int | float | None) -> int:
    """Return the number of steps of a series that are trained on; the others are held out.

    A series that is too short for both parts is trained on as a whole.
    """
    if size is None:
        held_out = max(horizon, length // HELD_OUT)
    else:
        held_out = round(size * length) if isinstance(size, float) else size
    if size is not None and held_out == 0:
        return length
    return length - held_out if horizon <= held_out <= length - horizon - 1 else length


def training_origins(stack: Stack, number: int, end: int) -> Origins:
    """Return the origins to train on of a series whose first ``end`` steps are for training.

    The first of them has as much before it as the GRU reads, unless the series is so short
    that this would leave less than half of the origins.
    """
    start = int(stack.starts[number])
    seen = np.flatnonzero(~np.isnan(stack.values[start : start + end]).all(axis=1))
    first = int(seen[0]) if seen.size else end
    whole = stack.task.window + (stack.task.season or 0)
    skipped = min(whole, max((end - first - stack.task.horizon + 1) // 2, 1))
    return stack.origins(number, first + skipped, end)


def usable(stack: Stack, origins: Origins) -> Origins:
    """Return the origins with a known value before them and an observed one to compare with."""
    rows, until = origins.rows, stack.observed_before
    has_target = until[rows + stack.task.horizon + 1] > until[rows + 1]
    return origins.take(np.flatnonzero(has_target & ~np.isnan(stack.filled[rows]).all(axis=1)))


# ---- fitting -----------------------------------------------------------------------------


def fit_panel(
    settings: Settings,
    panel: Panel,
    validation_size: int | float | None,
    team: Alone | None = None,
    on_interrupt: Callable[[Fitted], None] = lambda fitted: None,
) -> Fitted:
    """Return what training on a panel gives, with the ranks of a team or alone.

    After Ctrl-C ``on_interrupt`` is called with the best weights so far, if an epoch has ended,
    before KeyboardInterrupt goes on.
    """
    series = panel.series
    check_values(series)
    size = check_validation_size(validation_size, settings.horizon)
    ends = [training_end(len(one.targets), settings.horizon, size) for one in series]
    _check_rows(settings, panel, ends, size)
    season = _season(settings, series, ends)
    window = settings.window or default_window(settings.horizon, season)
    stack = Stack(series, Task(settings.horizon, season, window))
    parts = [usable(stack, training_origins(stack, i, end)) for i, end in enumerate(ends)]
    origins = joined(parts)
    if not len(origins):
        raise ValueError("the training part has no observed value to learn a forecast from")
    held_out = _held_out(stack, ends)
    if size != 0 and not len(held_out):
        warn(
            "the validation part has no observed value: it decides nothing, and training "
            f"takes all {settings.epochs} epochs"
        )
    spreads, ratio = _spreads(stack, parts)
    fitted = Fitted(
        settings,
        stack.task,
        panel.schema,
        _network(settings, stack.task, panel.schema, order_for(window, len(origins))),
        {one.id: spread for one, spread in zip(series, spreads, strict=True)},
        ratio,
        *_affines(panel, ends),
        validation_size=size,
        history=History(),
    )
    windows = Windows(stack, Scaling(tuple(spreads), fitted.past, fitted.future, fitted.static))
    _train(fitted, windows, origins, held_out, team, on_interrupt)
    return fitted


def _season(settings: Settings, series: Sequence[OneSeries], ends: Sequence[int]) -> int | None:
    """The season of the settings, or the one that is found in the training part."""
    if not isinstance(settings.season, str):
        return settings.season
    parts = [one.targets[:end] for one, end in zip(series, ends, strict=True)]
    return find_season([column for part in parts for column in part.T])


def _held_out(stack: Stack, ends: Sequence[int]) -> Origins:
    """The origins whose forecasts lie after the training part of their series."""
    lengths = stack.lengths.tolist()
    parts = [stack.origins(i, end, lengths[i]) for i, end in enumerate(ends)]
    return usable(stack, joined(parts))


def _spreads(stack: Stack, parts: Sequence[Origins]) -> tuple[list[Spread], Values]:
    """The spread of each series in its training part, and what ``Fitted.ratio`` is."""
    spreads = [measure(stack, number, part) for number, part in enumerate(parts)]
    ratio = _ratio(spreads)
    for number, (spread, part) in enumerate(zip(spreads, parts, strict=True)):
        if not len(part):  # too short for a window
            spreads[number] = Spread(spread.read, spread.read * ratio)
    return spreads, ratio


def _affines(panel: Panel, ends: Sequence[int]) -> tuple[Affine, Affine, Affine]:
    """The scaling of past, future and static covariates from the training parts."""
    series, schema = panel.series, panel.schema
    both = list(zip(series, ends, strict=True))
    return (
        affine_of([one.past[:end] for one, end in both], numeric(schema.past)),
        affine_of([one.future[:end] for one, end in both], numeric(schema.future)),
        affine_of([np.stack([one.static for one in series])], numeric(schema.static)),
    )


def _network(settings: Settings, task: Task, schema: Schema, order: int) -> ForecastNetwork:
    """The network with its initial parameters."""
    return ForecastNetwork(
        **asdict(shape_of(settings, task, schema, order)),
        hidden_size=settings.hidden_size,
        num_layers=settings.num_layers,
        variant=settings.variant,
        dropout=settings.dropout,
        seed=settings.seed,
    )


def _train(
    fitted: Fitted,
    windows: Windows,
    origins: Origins,
    held_out: Origins,
    team: Alone | None,
    on_interrupt: Callable[[Fitted], None],
) -> None:
    settings, model = fitted.settings, fitted.model
    fit_autoregression(windows, origins, model.autoregression)
    if len(settings.levels) > 1:
        begin_with_quantiles(windows, origins, model, settings.levels)
    callbacks: list[Callback] = []
    validation_data = None
    if len(held_out):
        callbacks.append(EarlyStopping(patience=settings.patience))
        validation_data = WindowData(windows, held_out)
    trainer = Trainer(
        model,
        loss=loss_for(settings.levels),
        optimizer=Adam(settings.learning_rate),
        clip_norm=settings.clip_norm,
        callbacks=callbacks,
        seed=settings.seed,
        n_threads=settings.n_threads,
        comm=team,
    )
    try:
        train(
            trainer,
            WindowData(windows, origins),
            validation_data,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            progress=settings.progress,
        )
        fitted.history.records[:] = trainer.history.records
    except KeyboardInterrupt:
        if len(trainer.history):
            fitted.history.records[:] = trainer.history.records
            on_interrupt(fitted)
        raise


def _check_rows(
    settings: Settings, panel: Panel, ends: Sequence[int], size: int | float | None
) -> None:
    """Raise if no series is long enough, or if no value of a target is observed."""
    horizon, series, schema = settings.horizon, panel.series, panel.schema
    lengths = [len(one.targets) for one in series]
    longest = max(lengths, default=0)
    splits = any(end < length for end, length in zip(ends, lengths, strict=True))
    if longest < horizon + 1 or (size != 0 and not splits):
        held_out = 0 if size == 0 else horizon if size is None else size
        text = f"{held_out:g} of the steps" if isinstance(held_out, float) else f"{held_out}"
        raise ValueError(
            f"too few rows: the longest series has {longest} steps; a horizon of {horizon} "
            f"needs at least {horizon + 1} to train on and {text} to be held out; use a "
            "smaller horizon, or validation_size=0"
        )
    for place, column in enumerate(schema.targets):
        which = f" {cut(column.name)}" if len(schema.targets) > 1 else ""
        if all(np.isnan(one.targets[:, place]).all() for one in series):
            raise ValueError(f"all values of the target{which} are missing")
        parts = (one.targets[:end, place] for one, end in zip(series, ends, strict=True))
        if all(np.isnan(part).all() for part in parts):
            raise ValueError(
                f"all values of the target{which} in the training part are missing"
            )


def _ratio(spreads: Sequence[Spread]) -> Values:
    """The median over the series of error per spread, for each target; 1 if none has both."""
    read = np.array([spread.read for spread in spreads])
    error = np.array([spread.error for spread in spreads])
    result = np.ones(read.shape[1])
    for target in range(read.shape[1]):
        both = (read[:, target] > 0) & (error[:, target] > 0)
        if both.any():
            result[target] = np.median(error[both, target] / read[both, target])
    return result


def numeric(columns: Sequence[Column]) -> NDArray[np.bool_]:
    """Return which of the encoded columns are numbers and not categories."""
    kinds = [column.categories is None for column in columns for _ in range(column.width)]
    return np.array(kinds, np.bool_)
