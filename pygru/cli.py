"""The command ``pygru``: train a forecaster, use it, and describe this installation.

Exit codes: 0 if all is done, 1 if the run failed, 2 if the command line was wrong, 130 after
Ctrl-C. An error is one line on standard error. ``--debug`` shows the traceback too.

This file reads the command line and turns errors into lines; what a subcommand does stands in
:mod:`pygru.commands`.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pygru.commands import about, predict, train
from pygru.commands.errors import CommandError, UsageError

# A longer one is out of the range of every option.
MOST_DIGITS = 18


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def _integer(least: int | None) -> Callable[[str], int]:
    """A type for argparse: whole numbers from ``least`` on, or all of them."""
    wanted = "a whole number" + ("" if least is None else f" of {least} or more")

    def parse(text: str) -> int:
        # int() reads more than this: "1_000", and the digits of every script.
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text[:80]!r}")
        if len(text) > MOST_DIGITS or (least is not None and int(text) < least):
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text[:80]}")
        return int(text)

    return parse


def _positive_float(text: str) -> float:
    from pygru.data.series import NUMBER

    if not NUMBER.fullmatch(text) or not 0 < float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, got {text[:80]}")
    return float(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pygru", description="Gated recurrent units for NumPy: train, predict, inspect."
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_train(
        commands.add_parser(
            "train",
            help="train a forecaster on a CSV file, or on the CO2 series that ships with pygru",
            description="Train a GRU to forecast one column of a CSV file, on its past only, "
            "and compare it with naive forecasts on its last part. Without a file: weekly CO2 "
            "at Mauna Loa. Writes model.safetensors, history.json and forecast.png.",
        )
    )
    _add_predict(
        commands.add_parser(
            "predict",
            help="forecast beyond the end of a CSV file with a trained model",
            description="Forecast the steps after the last row of a CSV file; prints CSV.",
        )
    )
    bench = commands.add_parser(
        "bench",
        help="how fast pygru is on this machine",
        description="Time a few calls: microseconds, and billions of operations per second. "
        "Beside other libraries: python -m benchmarks, from a checkout.",
    )
    bench.add_argument("--variant", choices=("chung", "cho", "pytorch"), default="chung")
    bench.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    bench.add_argument(
        "--threads", type=_integer(None), help="threads; by default as many as make sense"
    )
    bench.set_defaults(run=about.bench)
    info = commands.add_parser("info", help="versions, compiler, OpenMP, BLAS, threads")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(run=about.info)
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    positive = _integer(1)
    parser.add_argument("data", nargs="?", help="CSV file with a header line")
    parser.add_argument("--target", help="column to forecast (required with a file)")
    parser.add_argument("--horizon", type=positive, help="steps to forecast ahead")
    parser.add_argument("--season", type=_integer(2), help="steps of one season, if any")
    parser.add_argument("--window", type=_integer(2), help="steps that the GRU reads")
    parser.add_argument(
        "--test-size", type=positive, help="steps at the end to test on (default: a fifth)"
    )
    parser.add_argument("--hidden-size", type=positive, default=32)
    parser.add_argument("--layers", type=positive, default=1)
    parser.add_argument("--variant", choices=("chung", "cho", "pytorch"), default="chung")
    parser.add_argument("--epochs", type=positive, default=100)
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--learning-rate", type=_positive_float, default=1e-3)
    parser.add_argument("--seed", type=_integer(0), default=0)
    parser.add_argument(
        "--threads", type=_integer(None), help="threads; never changes the result"
    )
    parser.add_argument("--output", default=".", metavar="FOLDER", help="where to write")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=train.run)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="model.safetensors of `pygru train`")
    parser.add_argument("data", help="CSV file with the model's column")
    parser.add_argument("--target", help="column, if it has another name than in training")
    parser.add_argument("--output", default="-", metavar="FILE", help="CSV file, - for stdout")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    parser.set_defaults(run=predict.run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        options.run = about.version
    elif options.command is None:
        parser.print_usage(sys.stderr)
        return 2
    try:
        options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has ended, which is not an error
        _give_up_output()
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
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            _give_up_output()
        return 1
    return 0


def _give_up_output() -> None:
    """Write nothing more to standard output, also not at exit, where it would be an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
