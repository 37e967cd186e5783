"""The command ``pygru``: train a forecaster, use it, and describe this installation.

Exit codes: 0 if all is done, 1 if the run failed, 2 if the command line was wrong. An error is
one line on standard error. ``--debug`` shows the traceback too.
"""

import argparse
import csv
import importlib.util
import io
import json
import os
import sys
from pathlib import Path

MODEL, HISTORY, PICTURE = "model.safetensors", "history.json", "forecast.png"


class CommandError(Exception):
    """A run failed for a reason that one line explains."""


class UsageError(Exception):
    """The command line is wrong in a way that argparse cannot know."""


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _positive_int(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def _positive_float(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, got {text}")
    return value


def _parser():
    parser = _Parser(
        prog="pygru", description="Gated recurrent units for NumPy: train, predict, inspect."
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train a forecaster on a CSV file, or on the CO2 series that ships with pygru",
        description="Train a GRU to forecast one column of a CSV file, on its past only, and "
        "compare it with naive forecasts on its last part. Without a file: weekly CO2 at "
        "Mauna Loa. Writes model.safetensors, history.json and forecast.png.",
    )
    train.add_argument("data", nargs="?", help="CSV file with a header line")
    train.add_argument("--target", help="column to forecast (required with a file)")
    train.add_argument("--horizon", type=_positive_int, help="steps to forecast ahead")
    train.add_argument("--season", type=_positive_int, help="steps of one season, if any")
    train.add_argument("--window", type=_positive_int, help="steps that the GRU reads")
    train.add_argument(
        "--test-size", type=_positive_int, help="steps at the end to test on (default: a fifth)"
    )
    train.add_argument("--hidden-size", type=_positive_int, default=32)
    train.add_argument("--layers", type=_positive_int, default=1)
    train.add_argument("--variant", choices=("chung", "cho", "pytorch"), default="chung")
    train.add_argument("--epochs", type=_positive_int, default=100)
    train.add_argument("--batch-size", type=_positive_int, default=64)
    train.add_argument("--learning-rate", type=_positive_float, default=1e-3)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--threads", type=int, help="threads; never changes the result")
    train.add_argument("--output", default=".", metavar="FOLDER", help="where to write")
    train.add_argument("--force", action="store_true", help="replace files that exist")
    train.set_defaults(run=train_command)

    predict = commands.add_parser(
        "predict",
        help="forecast beyond the end of a CSV file with a trained model",
        description="Forecast the steps after the last row of a CSV file; prints CSV.",
    )
    predict.add_argument("model", help="model.safetensors of `pygru train`")
    predict.add_argument("data", help="CSV file with the model's column")
    predict.add_argument("--target", help="column, if it has another name than in training")
    predict.add_argument("--output", default="-", metavar="FILE", help="CSV file, - for stdout")
    predict.add_argument("--force", action="store_true", help="replace a file that exists")
    predict.set_defaults(run=predict_command)

    bench = commands.add_parser(
        "bench",
        help="how fast pygru is on this machine",
        description="Time a few calls: microseconds, and billions of operations per second. "
        "Beside other libraries: python -m benchmarks, from a checkout.",
    )
    bench.add_argument("--variant", choices=("chung", "cho", "pytorch"), default="chung")
    bench.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    bench.add_argument("--threads", type=int, help="threads; by default as many as make sense")

    info = commands.add_parser("info", help="versions, compiler, OpenMP, BLAS, threads")
    info.add_argument("--json", action="store_true", help="as JSON")
    bench.set_defaults(run=bench_command)
    info.set_defaults(run=info_command)
    return parser


# ---- train ---------------------------------------------------------------------------------


def train_command(options):
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


def _series_to_train_on(options):
    from pygru.data.series import load_co2, read_csv

    if options.data is None:
        if options.target not in (None, "co2"):
            raise UsageError("--target needs a data file; the one that ships has co2")
        options.horizon = options.horizon or 52
        options.season = options.season or 52
        options.test_size = options.test_size or 260
        return load_co2()
    missing = [f"--{name}" for name in ("target", "horizon") if getattr(options, name) is None]
    if missing:
        raise UsageError(f"a data file needs {' and '.join(missing)}")
    return read_csv(options.data, options.target)


def _split(n, task, test_size):
    from pygru.forecasting import Split

    test_size = test_size or max(task.horizon, n // 5)
    test = n - test_size
    split = Split(test - test_size, test, n)
    if test_size < task.horizon or split.validation < task.history + task.horizon:
        raise CommandError(
            f"{n} steps are too few: training needs {task.history + task.horizon}, and "
            f"validation and test {max(test_size, task.horizon)} each; use a smaller "
            "--horizon, --window or --test-size"
        )
    return split


def _outputs(folder, names, force):
    """The files to write, after checking that each of them can be written."""
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{folder} is not writable")
    paths = [folder / name for name in names]
    for path in paths:
        if path.exists() and not force:
            raise CommandError(f"{path} exists; use --force to replace it, or --output FOLDER")
    return paths


def _print_plan(series, task, split):
    labels = series.labels
    missing = int((series.values != series.values).sum())
    season = f", season {task.season}" if task.season else ""
    print(f"{series.name}: {len(series)} steps, {missing} of them missing")
    print(f"  train     {labels[0]} to {labels[split.validation - 1]}")
    print(f"  validate  {labels[split.validation]} to {labels[split.test - 1]}")
    print(f"  test      {labels[split.test]} to {labels[split.end - 1]}")
    print(f"  forecast  {task.horizon} steps ahead from {task.window} steps{season}")
    sys.stdout.flush()


def _print_scores(scores, history, forecaster):
    parameters = sum(len(values) for values, _ in forecaster.model.flat_pairs)
    seconds = sum(history["seconds"])
    print(f"trained {parameters} parameters for {len(history)} epochs in {seconds:.1f} s\n")
    best = scores["GRU"]["mae"]
    width = max(map(len, ("test error", *scores)))
    print(f"{'test error':<{width}}      MAE     RMSE   MAE / GRU")
    for name, score in scores.items():
        mae, rmse = score["mae"], score["rmse"]
        print(f"{name:<{width}} {mae:8.4g} {rmse:8.4g} {mae / best:8.2f} x")
    print()


def _write(forecaster, series, split, history, scores, paths):
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


# ---- predict and info ----------------------------------------------------------------------


def predict_command(options):
    """Run ``pygru predict``."""
    from pygru.data.series import read_csv
    from pygru.forecasting import Forecaster
    from pygru.io.files import write_atomically

    forecaster, target = Forecaster.load(options.model)
    series = read_csv(options.data, options.target or target)
    if options.output != "-" and Path(options.output).exists() and not options.force:
        raise CommandError(f"{options.output} exists; use --force to replace it")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", _next_labels_name(series), series.name])
    labels = _next_labels(series, forecaster.task.horizon)
    for step, value in enumerate(forecaster.predict(series.values), start=1):
        writer.writerow([step, labels[step - 1], f"{value:.6g}"])
    if options.output == "-":
        sys.stdout.write(text.getvalue())
    else:
        write_atomically(options.output, text.getvalue().encode())


def _next_labels_name(series):
    return "date" if not isinstance(series.positions()[0], int) else "row"


def _next_labels(series, count):
    """Continue the dates at the interval of the last two, or continue the row numbers."""
    positions = series.positions()
    if isinstance(positions[0], int) or len(positions) < 2:
        return [len(positions) + step for step in range(count)]
    interval = positions[-1] - positions[-2]
    dates = [positions[-1] + interval * (step + 1) for step in range(count)]
    is_day = all(date.time().isoformat() == "00:00:00" for date in dates)
    return [date.date().isoformat() if is_day else date.isoformat() for date in dates]


def bench_command(options):
    from pygru import bench
    from pygru.core.config import config

    values = config()
    print(
        f"pygru {values['pygru']}, engine {values['engine']}, kernels {values['kernels']}, "
        f"{values['compiler']}, BLAS core {values['blas']['core']}"
    )
    print("batch,steps,size  kind       microseconds   GFLOP/s")
    for cell, kind, seconds, rate in bench.rows(
        options.variant, options.dtype, options.threads
    ):
        shape = ",".join(map(str, cell))
        print(f"{shape:<16}  {kind:<9}  {seconds * 1e6:12.1f}  {rate / 1e9:8.1f}", flush=True)


def info_command(options):
    """Run ``pygru info``."""
    from pygru import show_config

    if options.json:
        print(json.dumps(show_config(mode="dicts"), indent=1))
    else:
        show_config()


# ---- main ----------------------------------------------------------------------------------


def main(arguments=None):
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        import pygru

        print(pygru.__version__)
        return 0
    if options.command is None:
        parser.print_usage(sys.stderr)
        return 2
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has ended, which is not an error. Nothing more can be
        # written, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("pygru: interrupted", file=sys.stderr)
        return 130
    except (
        CommandError,
        OSError,
        ValueError,
        ArithmeticError,
        MemoryError,
        ImportError,
    ) as error:
        if options.debug:
            raise
        print(f"pygru: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _one_line(error):
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
