"""``pygru train``: a forecaster of one column of a CSV file, compared with naive forecasts.

Everything that can be checked is checked before the training begins, the files to be written
included.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygru.commands.errors import CommandError, UsageError

if TYPE_CHECKING:
    from pygru.data.series import Series
    from pygru.forecasting import Forecaster, Split, Task
    from pygru.train.history import History

MODEL, HISTORY, PICTURE = "model.safetensors", "history.json", "forecast.png"


def run(options: argparse.Namespace) -> None:
    """Run ``pygru train``."""
    from pygru.forecasting import Forecaster, Task, evaluate

    series = _series_to_train_on(options)
    task = Task.create(options.horizon, options.season, options.window)
    split = _split(len(series), task, options.test_size)
    draws = importlib.util.find_spec("matplotlib") is not None
    folder = Path(options.output)
    paths = _outputs(folder, [MODEL, HISTORY] + [PICTURE] * draws, options.force)
    _print_plan(series, task, split)
    forecaster = Forecaster(
        task,
        hidden_size=options.hidden_size,
        num_layers=options.layers,
        variant=options.variant,
        seed=options.seed,
    )
    history = forecaster.fit(
        series.values,
        split,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        n_threads=options.threads,
        progress=True,
    )
    scores = evaluate(forecaster, series.values, split)
    _print_scores(scores, history, forecaster)
    _write(forecaster, series, split, history, scores, paths)
    for path in paths:
        print(f"wrote {path}")
    if not draws:
        print('no picture: install matplotlib with  pip install "pygru[plot]"')


def _series_to_train_on(options: argparse.Namespace) -> Series:
    from pygru.data.series import read_csv

    if options.data is None:
        if options.target not in (None, "co2"):
            raise UsageError("--target needs a data file; the one that ships has co2")
        options.horizon = options.horizon or 52
        options.season = options.season or 52
        options.test_size = options.test_size or 260
        with resources.as_file(resources.files("pygru.data") / "mauna_loa_co2.csv") as path:
            return read_csv(path, "co2")
    missing = [f"--{name}" for name in ("target", "horizon") if getattr(options, name) is None]
    if missing:
        raise UsageError(f"a data file needs {' and '.join(missing)}")
    return read_csv(options.data, options.target)


def _split(n: int, task: Task, test_size: int | None) -> Split:
    from pygru.forecasting import Split

    test_size = test_size or max(task.horizon, n // 5)
    test = n - test_size
    begin = test - test_size
    if test_size < task.horizon or begin < task.history + task.horizon:
        raise CommandError(
            f"{n} steps are too few: training needs {task.history + task.horizon}, and "
            f"validation and test {max(test_size, task.horizon)} each; use a smaller "
            "--horizon, --window or --test-size"
        )
    return Split(begin, test, n)


def _outputs(folder: Path, names: Sequence[str], force: bool) -> list[Path]:
    """The files to write, after checking that each of them can be written."""
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{folder} is not writable")
    paths = [folder / name for name in names]
    for path in paths:
        if path.is_dir():
            raise CommandError(f"{path} is a folder; use --output FOLDER")
        if path.exists() and not force:
            raise CommandError(f"{path} exists; use --force to replace it, or --output FOLDER")
    return paths


def _print_plan(series: Series, task: Task, split: Split) -> None:
    labels = series.labels
    missing = int((series.values != series.values).sum())
    season = f", season {task.season}" if task.season else ""
    print(f"{series.name}: {len(series)} steps, {missing} of them missing")
    print(f"  train     {labels[0]} to {labels[split.validation - 1]}")
    print(f"  validate  {labels[split.validation]} to {labels[split.test - 1]}")
    print(f"  test      {labels[split.test]} to {labels[split.end - 1]}")
    print(f"  forecast  {task.horizon} steps ahead from {task.window} steps{season}")
    sys.stdout.flush()


def _print_scores(
    scores: Mapping[str, Mapping[str, Any]], history: History, forecaster: Forecaster
) -> None:
    parameters = sum(len(values) for values, _ in forecaster.model.flat_pairs)
    seconds = sum(history["seconds"])
    print(f"trained {parameters} parameters for {len(history)} epochs in {seconds:.1f} s\n")
    best = scores["GRU"]["mae"]
    width = max(map(len, ("test error", *scores)))
    print(f"{'test error':<{width}}      MAE     RMSE   MAE / GRU")
    for name, score in scores.items():
        mae, rmse = score["mae"], score["rmse"]
        ratio = f"{mae / best:8.2f} x" if best else ""
        print(f"{name:<{width}} {mae:8.4g} {rmse:8.4g} {ratio}".rstrip())
    print()


def _write(
    forecaster: Forecaster,
    series: Series,
    split: Split,
    history: History,
    scores: Mapping[str, Mapping[str, Any]],
    paths: Sequence[Path],
) -> None:
    from pygru.io.files import write_atomically

    forecaster.save(paths[0], series.name)
    record = {"records": history.records, "test": scores}
    write_atomically(paths[1], (json.dumps(record, indent=1) + "\n").encode())
    if len(paths) > 2:
        import matplotlib

        matplotlib.use("Agg")
        from pygru.plot import plot_forecast

        picture = io.BytesIO()
        plot_forecast(series, forecaster, split, scores, picture)
        write_atomically(paths[2], picture.getvalue())
