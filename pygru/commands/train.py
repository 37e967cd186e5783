"""``pygru train``: a forecaster of columns of a table, compared with simple forecasts.

The last part of the table is the test: training never sees it. Everything that can be checked
is checked before the training begins, the files to be written included. Ctrl-C during training
keeps the best weights so far.

Several processes that mpiexec has started train together. Each of them reads the table; the
first one tests the forecaster and writes the files.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pygru.commands import world
from pygru.commands.errors import CommandError, InterruptedRun, UsageError
from pygru.commands.output import ReportStream

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pygru.commands.columns import Chosen
    from pygru.forecasting import Backtest, GRUForecaster
    from pygru.forecasting.panel import Panel
    from pygru.train.ranks import Alone

MODEL, HISTORY, PICTURE = "model.safetensors", "history.json", "forecast.png"


@dataclass(frozen=True)
class Plan:
    """The parts of the data: training, then validation, then the test.

    Attributes
    ----------
    rows : DataFrame
        All rows, in the order of time, so that it is noted once that they were in another.
    before : ndarray of bool
        (N,) whether a row is before the test. ``GRUForecaster.fit`` gets these.
    index : Index
        The times from the begin of the longest series to the end of all.
    start : Timestamp, Period or int
        The first time of the test.
    validation_size, test_size : int
        The steps of the last two parts, counted back from the end of ``index``.
    season : int or None
        As given, or found in the training part.
    """

    rows: pd.DataFrame
    before: NDArray[np.bool_]
    index: Any
    start: Any
    validation_size: int
    test_size: int
    season: int | None


def run(options: argparse.Namespace) -> None:
    """Run ``pygru train``; it writes its files also if nobody reads what it prints."""
    ranks = world.team()
    with world.together(ranks), contextlib.ExitStack() as output:
        if sys.stdout is not None:
            output.enter_context(contextlib.redirect_stdout(ReportStream(sys.stdout)))
        _run(options, ranks)


def _run(options: argparse.Namespace, ranks: Alone) -> None:
    import pygru.forecasting  # noqa: F401 (first, since it says how to install pandas)
    from pygru.commands import report
    from pygru.commands.wording import FileWords
    from pygru.forecasting.panel import read_panel

    if options.data == "-":
        world.share_standard_input(ranks)
    chosen = _data(options)
    words = FileWords(chosen.table)
    with words:
        panel = read_panel(chosen.frame, freq=options.freq, **chosen.arguments())
    plan = _plan(chosen, panel, options)
    draws = importlib.util.find_spec("matplotlib") is not None
    paths = [Path(options.output) / name for name in [MODEL, HISTORY] + [PICTURE] * draws]
    if ranks.is_main:
        check_outputs(Path(options.output), paths, options.force)
    forecaster = _forecaster(options, plan.season)
    report.say_data(chosen, panel)
    _say_plan(options, panel, plan, ranks.size)
    report.say_files(paths, draws)
    print(flush=True)
    try:
        with words:
            forecaster.fit(
                plan.rows[plan.before],
                freq=options.freq,
                validation_size=plan.validation_size,
                comm=ranks,
                **chosen.arguments(),
            )
            if not ranks.is_main:
                return
            backtest = forecaster.backtest(plan.rows, start=plan.start)
    except KeyboardInterrupt:
        if not ranks.is_main:
            raise
        _keep_the_best(forecaster, paths)
    _say_result(forecaster, backtest, options.horizon)
    _write(forecaster, backtest, panel, plan, paths)
    for path in paths:
        print(f"wrote {path}")


# ---- before training ---------------------------------------------------------------------


def _data(options: argparse.Namespace) -> Chosen:
    from pygru.commands import columns
    from pygru.data import load_co2
    from pygru.forecasting.file_table import Table

    if options.data is not None:
        if options.horizon is None:
            raise UsageError("a data file needs --horizon, the number of steps to forecast")
        table = columns.read(options.data, options, columns.names(options.id))
        return columns.choose(table, options)
    for role in columns.ROLES:
        if getattr(options, role) not in (None, "co2" if role == "target" else None):
            raise UsageError(
                f"--{role.replace('_', '-')} needs a data file; the series that ships with "
                "pygru has the column co2"
            )
    options.horizon = options.horizon or 52
    options.season = 52 if options.season == "auto" else options.season
    options.test_size = options.test_size or 260
    table = Table("weekly CO2 at Mauna Loa in ppm", load_co2().reset_index())
    return columns.choose(table, options)


def _plan(chosen: Chosen, panel: Panel, options: argparse.Namespace) -> Plan:
    import numpy as np

    from pygru.commands.report import stamp
    from pygru.forecasting.season import find_season

    index = _timeline(panel)
    n = len(index)
    test_size = options.test_size or max(options.horizon, n // 5)
    validation_size = options.validation_size or test_size
    if test_size < options.horizon or validation_size < options.horizon:
        raise CommandError(
            f"validation and test need {options.horizon} steps each, as many as --horizon, got "
            f"{validation_size} and {test_size}"
        )
    least = validation_size + test_size + options.horizon
    if n <= least:
        raise CommandError(
            f"{n:,} steps are too few: validation, test and at least one forecast in training "
            f"need more than {least:,} together; use a smaller --horizon or --test-size"
        )
    start = index[-test_size]
    tested = [each.targets[each.index >= start] for each in panel.series]
    if all(np.isnan(each.targets).all() for each in panel.series):
        raise CommandError(f"{chosen.table.name}: all values of the target are missing")
    if all(np.isnan(values).all() for values in tested):
        raise CommandError(
            f"{chosen.table.name}: the test part, from {stamp(start)} on, has no value to "
            "compare with"
        )
    rows = chosen.frame
    if chosen.time is None:
        before = np.arange(len(rows)) < start
    else:
        rows = rows.sort_values(chosen.time, kind="stable", ignore_index=True)
        before = np.asarray(rows[chosen.time] < start)
    season = options.season
    if season == "auto":
        begin = index[-test_size - validation_size]
        parts = [each.targets[: int(each.index.searchsorted(begin))] for each in panel.series]
        season = find_season([column for part in parts for column in part.T])
    return Plan(rows, before, index, start, validation_size, test_size, season)


def _timeline(panel: Panel) -> Any:
    """The times from the first one of the longest series to the end of all series."""
    from pygru.forecasting.panel import future_index

    longest = max(panel.series, key=len)
    end = max(series.index[-1] for series in panel.series)
    index, more = longest.index, 1
    while index[-1] < end:
        index = longest.index.append(future_index(longest, more))
        more *= 2
    return index[index <= end]


def check_outputs(folder: Path, paths: Sequence[Path], force: bool) -> None:
    """Raise unless each of the files can be written.

    A folder that is not there is made when there is something to write.
    """
    there = folder if folder.exists() else folder.parent
    if not there.is_dir():
        raise CommandError(f"{there} is not a folder")
    if not os.access(there, os.W_OK):
        raise CommandError(f"{there} is not writable")
    if not folder.exists():  # some places can be written to, but not hold a folder
        folder.mkdir()
        folder.rmdir()
    for path in paths:
        if path.is_dir():
            raise CommandError(f"{path} is a folder; use --output FOLDER")
        if path.exists() and not force:
            raise CommandError(f"{path} exists; use --force to replace it, or --output FOLDER")


def _forecaster(options: argparse.Namespace, season: int | None) -> GRUForecaster:
    from pygru.forecasting import GRUForecaster

    return GRUForecaster(
        options.horizon,
        season=season,
        window=options.window,
        quantiles=options.quantiles,
        hidden_size=options.hidden_size,
        num_layers=options.layers,
        variant=options.variant,
        dropout=options.dropout,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        clip_norm=options.clip_norm,
        patience=options.patience,
        seed=options.seed,
        n_threads=options.threads,
        progress=True,
    )


def _say_plan(options: argparse.Namespace, panel: Panel, plan: Plan, processes: int) -> None:
    """Print the parts, the model, and how long training will take."""
    from pygru.commands.report import about, counted, say, stamp

    index = plan.index
    test = len(index) - plan.test_size
    validation = test - plan.validation_size
    say("train", f"{stamp(index[0])} to {stamp(index[validation - 1])}")
    say("validate", f"{stamp(index[validation])} to {stamp(index[test - 1])}: the best epoch")
    say("test", f"{stamp(index[test])} to {stamp(index[-1])}, which training never sees")
    text = "no season" if plan.season is None else f"season {plan.season}"
    if options.season == "auto":
        text += " found in the training part"
    say(
        "forecast",
        f"{counted(options.horizon, 'step')} ahead, {text}" + _levels(options.quantiles),
    )
    layers = f"{options.layers} layers of " if options.layers > 1 else ""
    seconds = options.epochs * _seconds_of_an_epoch(options, panel, plan) / processes
    together = f" on {processes} processes" if processes > 1 else ""
    say(
        "model",
        f"GRU, {layers}{options.hidden_size} units; at most "
        f"{counted(options.epochs, 'epoch')}{together}, {about(seconds)}; fewer if the "
        "validation error stops falling",
    )


def _levels(quantiles: Sequence[float]) -> str:
    return f", quantiles {', '.join(map(str, quantiles))}" if quantiles else ""


def _seconds_of_an_epoch(options: argparse.Namespace, panel: Panel, plan: Plan) -> float:
    from pygru.commands.estimate import seconds_of_an_epoch
    from pygru.forecasting.task import default_window

    schema, horizon = panel.schema, options.horizon
    window = options.window or default_window(horizon, plan.season)
    after = plan.validation_size + plan.test_size
    sequences = sum(max(len(series) - after - window - horizon, 1) for series in panel.series)
    features = schema.width("past") + schema.width("future") + schema.width("static")
    targets = len(schema.targets)
    return seconds_of_an_epoch(
        sequences,
        window + (horizon if schema.future else 0),
        2 * targets + 2 * features,
        targets * horizon * max(len(options.quantiles), 1),
        batch_size=options.batch_size,
        hidden_size=options.hidden_size,
        num_layers=options.layers,
        variant=options.variant,
        n_threads=options.threads,
    )


# ---- training and after ------------------------------------------------------------------


def _keep_the_best(forecaster: GRUForecaster, paths: list[Path]) -> NoReturn:
    """Write what an interrupted training has reached, and end the run."""
    try:
        history = forecaster.history_
    except RuntimeError:  # no epoch has ended
        raise KeyboardInterrupt from None
    paths[0].parent.mkdir(exist_ok=True)
    forecaster.save(paths[0])
    _write_json(paths[1], {"records": history.records, "test": None})
    raise InterruptedRun(
        f"interrupted: wrote {paths[0]} with the best weights of {len(history)} epochs, and "
        f"{paths[1]}; the forecasts were not tested"
    )


def _say_result(forecaster: GRUForecaster, backtest: Backtest, horizon: int) -> None:
    from pygru.commands.report import counted, say_scores

    history = forecaster.history_
    parameters = sum(values.size for values in forecaster.model_.state_dict().values())
    seconds = sum(history["seconds"])
    line = f"trained {parameters:,} parameters for {counted(len(history), 'epoch')} in "
    print(line + f"{seconds:.1f} s")
    targets = len(backtest.forecasts["target"].unique())
    forecasts = counted(len(backtest.forecasts) // (horizon * targets), "forecast")
    of = f"errors of {forecasts} of {counted(horizon, 'step')} in the test part"
    say_scores(backtest.scores, of)


def _write(
    forecaster: GRUForecaster, backtest: Backtest, panel: Panel, plan: Plan, paths: list[Path]
) -> None:
    from pygru.io.files import write_atomically

    paths[0].parent.mkdir(exist_ok=True)
    forecaster.save(paths[0])
    by_step = backtest.scores_by("step")
    test = {}
    for name in backtest.methods:
        steps = by_step.xs(name, level="method")
        test[name] = {**backtest.scores.loc[name], "MAE by step": steps["MAE"].tolist()}
    _write_json(paths[1], {"records": forecaster.history_.records, "test": test})
    if len(paths) > 2:
        import matplotlib

        matplotlib.use("Agg")
        from pygru.plot.report import plot_forecast

        picture = io.BytesIO()
        plot_forecast(panel, backtest, forecaster.quantiles, plan.start, picture)
        write_atomically(paths[2], picture.getvalue())


def _write_json(path: Path, value: Any) -> None:
    from pygru.io.files import write_atomically

    text = json.dumps(_as_json(value), indent=1, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def _as_json(value: Any) -> Any:
    """Return a value as JSON has it; what is no finite number becomes null."""
    if isinstance(value, dict):
        return {str(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]
    if hasattr(value, "item"):  # a number of NumPy
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
