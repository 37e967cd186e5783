"""The options of the command line, and the checks that need no file.

Whatever the parser refuses is one line that says where the help is, with the exit code 2.
"""

import argparse
import math
import re
import zoneinfo
from collections.abc import Callable
from itertools import pairwise
from typing import NoReturn

from pygru.commands import about, convert, predict, train
from pygru.commands.errors import bounded
from pygru.commands.parser import ArgumentParser

# A longer one is out of the range of every option.
MOST_DIGITS = 18

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Parser(ArgumentParser):
    """argparse whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {bounded(message)}; see {self.prog} --help\n")


def parser_of_all() -> argparse.ArgumentParser:
    """Return the parser of ``pygru`` and its subcommands."""
    parser = Parser(
        prog="pygru", description="Gated recurrent units for NumPy: train, predict, inspect."
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_train(
        commands.add_parser(
            "train",
            help="train a forecaster on a table, or on the CO2 series that ships with pygru",
            description="Train a GRU to forecast columns of a table, and compare it with "
            "simple forecasts on the last part, which it has not seen. Without a file: weekly "
            "CO2 at Mauna Loa. Writes model.safetensors, history.json and forecast.png.",
        )
    )
    _add_predict(
        commands.add_parser(
            "predict",
            help="what a trained model says about data in one or many files",
            description="With a forecaster: the steps after the last row of each table. The "
            "forecasts of several files are one table, in the order of the files, with a "
            "column that names the file; it is written when all are done. With another model: "
            "its predictions for the sequences of each file, one file of them for each.",
        )
    )
    _add_convert(
        commands.add_parser(
            "convert",
            help="what GRUs a file of PyTorch, Keras, ONNX or NumPy holds; convert one",
            description="Show the GRUs in a file of weights, what the file says about each, "
            "and what it leaves open. With --to, write one of them, or the whole model of a "
            "Keras file whose layers pygru has. Nothing is guessed, and no code is run.",
        )
    )
    _add_bench(
        commands.add_parser(
            "bench",
            help="how fast pygru is on this machine",
            description="Time a few calls: microseconds, and billions of operations per "
            "second. Beside other libraries: python -m benchmarks, from a checkout.",
        )
    )
    info = commands.add_parser("info", help="versions, compiler, OpenMP, BLAS, threads")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(run=about.info, parser=info)
    for each in commands.choices.values():
        each.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,  # what was said before the subcommand stays
            help="show the traceback of an error",
        )
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    positive, default = _integer(1), "(default: %(default)s)"
    parser.usage = "pygru train [options] [data]"
    parser.add_argument("data", nargs="?", help="table with a header: .csv, .csv.gz, .parquet, "
                        "or - for standard input")  # fmt: skip
    add = parser.add_argument_group("columns, parted by commas").add_argument
    add("--target", metavar="NAMES", help="what to forecast (default: the one with numbers)")
    add("--time", metavar="NAME", help="dates or step numbers (default: the first with dates)")
    add("--id", metavar="NAMES", help="what tells several series apart")
    add("--features", metavar="NAMES", help="covariates known for the past only")
    add("--future-features", metavar="NAMES", help="covariates known for the future too")
    add("--static", metavar="NAMES", help="covariates that are constant within a series")
    add = parser.add_argument_group("the forecast").add_argument
    add("--horizon", type=positive, metavar="N", help="steps to forecast (needed with a file)")
    add("--season", type=_season, default="auto", metavar="N", help="steps of one season; "
        "'auto' finds it (the default), 'none' says that there is none")  # fmt: skip
    add("--freq", metavar="FREQ", help="interval of the rows, as pandas writes it, such as D, "
        "ME, 15min (default: found)")  # fmt: skip
    add("--quantiles", type=_quantiles, default=(), metavar="Q,Q,...",
        help="such as 0.1,0.5,0.9: bands beside the forecast")  # fmt: skip
    add("--window", type=_integer(2), metavar="N", help="steps that the GRU reads (default: "
        "two seasons, or else twice the horizon and at least 32)")  # fmt: skip
    add("--test-size", type=positive, metavar="N", help="steps at the end to test on (default: "
        "a fifth)")  # fmt: skip
    add("--validation-size", type=positive, metavar="N", help="steps before these, which "
        "choose the best epoch (default: as many)")  # fmt: skip
    add = parser.add_argument_group("the model and its training").add_argument
    add("--hidden-size", type=positive, default=32, metavar="N", help=f"units {default}")
    add("--layers", type=positive, default=1, metavar="N", help=default)
    add("--variant", choices=("chung", "cho", "pytorch"), default="chung", help=default)
    add("--dropout", type=_fraction, default=0.2, metavar="X", help=default)
    add("--epochs", type=positive, default=100, metavar="N", help=f"at most {default}")
    add("--patience", type=positive, default=15, metavar="N", help="epochs without a smaller "
        f"validation error after which training ends {default}")  # fmt: skip
    add("--batch-size", type=positive, default=64, metavar="N", help=default)
    add("--learning-rate", type=_positive_float, default=1e-3, metavar="X", help=default)
    add("--clip-norm", type=_positive_float, default=1.0, metavar="X",
        help=f"longest gradient of a step {default}")  # fmt: skip
    add("--seed", type=_integer(0), default=0, metavar="N", help=default)
    add("--threads", type=_integer(None), metavar="N", help="never changes the result")
    _add_dialect(parser)
    add = parser.add_argument_group("results").add_argument
    add(
        "--output",
        default=".",
        metavar="FOLDER",
        help="where to write; made if missing",
    )
    add("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=train.run, parser=parser)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.usage = "pygru predict [options] model data..."
    parser.add_argument("model", help="a file of `pygru train` or of pygru.save")
    parser.add_argument("data", nargs="+", help="tables with a header (.csv, .csv.gz, "
        ".parquet), and for other models than forecasters also arrays (.npy, .npz, .zarr); "
        "folders of them; patterns in quotes such as 'in/*.csv'; or - for a table on standard "
        "input")  # fmt: skip
    parser.add_argument("--threads", type=_integer(None), metavar="N", help="never changes the "
        "result (default: all, shared among the workers)")  # fmt: skip
    add = parser.add_argument_group("columns of tables, parted by commas").add_argument
    add("--target", metavar="NAMES", help="where it has other names than in training")
    add("--time", metavar="NAME", help="where it has another name than in training; or the "
        "times of a table for another model")  # fmt: skip
    add("--id", metavar="NAMES", help="where it has other names than in training; or what "
        "tells the sequences of a table for another model apart")  # fmt: skip
    add("--values", metavar="NAMES", help="what another model reads (default: all other "
        "columns)")  # fmt: skip
    add = parser.add_argument_group("forecasters").add_argument
    add("--future", metavar="FILE", help="table of the covariates that are known for the "
        "future, if data has none; or a folder that has, for each file of data, one of the "
        "same name")  # fmt: skip
    add("--file-column", default="file", metavar="NAME", help="the column of the result that "
        "names the file, if there are several (default: %(default)s)")  # fmt: skip
    add = parser.add_argument_group("other models").add_argument
    add("--array", metavar="NAME", help="which array of an .npz file or a Zarr group to read "
        "(default: the only one, or X)")  # fmt: skip
    add("--chunk-size", type=_chunk_size, metavar="SIZE", help="what is in memory at the same "
        "time: a number of sequences, or bytes such as '256 MB'; never changes the "
        "result")  # fmt: skip
    add("--resume", action="store_true", help="go on with a run that was interrupted or "
        "killed, and keep the files that it has completed")  # fmt: skip
    _add_dialect(parser)
    add = parser.add_argument_group("many files").add_argument
    add("--workers", type=_integer(1), default=1, metavar="N", help="processes that work at "
        "the same time; never changes the result (default: %(default)s)")  # fmt: skip
    add("--skip-errors", action="store_true", help="leave out files with an error, name them "
        "on standard error, and exit with 1; without it the first one ends the "
        "run")  # fmt: skip
    add = parser.add_argument_group("results").add_argument
    add("--output", default="-", metavar="FILE", help=".csv or .parquet, and for other models "
        "than forecasters also .npy or .zarr (default: CSV on the screen). 'out/{}.npy' "
        "writes one for each file of data, with its name in place of {}")  # fmt: skip
    add("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=predict.run, parser=parser)


def _add_dialect(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how the file is written, if that is not recognised")
    add.add_argument("--sep", type=_separator, metavar="CHARACTER", help="between columns")
    add.add_argument("--decimal", choices=(".", ","), metavar="MARK", help="point or comma")
    add.add_argument("--encoding", metavar="NAME", help="such as cp1252 (default: UTF-8)")
    add.add_argument("--na-values", type=_texts, metavar="TEXTS", help="cells that are missing "
                     "values, beside empty ones, NA, NaN, null and the like")  # fmt: skip
    add.add_argument("--time-zone", type=_zone, metavar="NAME", help="such as Europe/Berlin, "
                     "for times of day where clocks change")  # fmt: skip


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.usage = "pygru convert [options] file"
    parser.add_argument("file", help=".pt, .pth, .bin, .safetensors, .keras, .h5, .onnx, .npz; "
                        "its kind is found by its contents")  # fmt: skip
    parser.add_argument("--name", metavar="NAME", help="which GRU, by its name in the table")
    parser.add_argument("--check", action="store_true", help="run each GRU in the library that "
                        "wrote the file too, if it is installed, and compare")  # fmt: skip
    add = parser.add_argument_group("what the file does not say").add_argument
    add("--variant", choices=("chung", "cho", "pytorch"), help="the equations")
    add("--activation", metavar="NAME", help="of the candidate, such as tanh")
    add("--recurrent-activation", metavar="NAME", help="of the gates: sigmoid or hard_sigmoid")
    add("--gate-order", metavar="LETTERS", help="of plain arrays, such as rzn or zrn")
    add("--dtype", choices=("float32", "float64"), help="of the result (default: the file's)")
    add = parser.add_argument_group("results").add_argument
    add("--to", metavar="FILE", help="what to write: .safetensors, .onnx or .npz")
    add("--force", action="store_true", help="replace a file that exists")
    parser.set_defaults(run=convert.run, parser=parser)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--variant", choices=("chung", "cho", "pytorch"), default="chung")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument(
        "--threads", type=_integer(None), help="threads; by default as many as make sense"
    )
    parser.set_defaults(run=about.bench, parser=parser)


# ---- types of values ---------------------------------------------------------------------


def _wrong(wanted: str, text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"must be {wanted}, got {text[:80]!r}")


def _integer(least: int | None) -> Callable[[str], int]:
    """A type for argparse: whole numbers from ``least`` on, or all of them."""
    wanted = "a whole number" + ("" if least is None else f" of {least} or more")

    def parse(text: str) -> int:
        # int() reads more than this: "1_000", and the digits of every script.
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise _wrong(wanted, text)
        if len(text) > MOST_DIGITS or (least is not None and int(text) < least):
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text[:80]}")
        return int(text)

    return parse


def _chunk_size(text: str) -> int | str:
    from pygru.prediction.chunks import SIZES, check_chunk_size

    size: int | str = int(text) if re.fullmatch(f"[0-9]{{1,{MOST_DIGITS}}}", text) else text
    try:
        check_chunk_size(size)
    except ValueError:
        raise _wrong(SIZES, text) from None
    return size


def _season(text: str) -> int | str | None:
    if text in ("auto", "none"):
        return None if text == "none" else text
    try:
        return _integer(2)(text)
    except argparse.ArgumentTypeError:
        raise _wrong("a whole number of 2 or more, 'auto' or 'none'", text) from None


def _float(text: str) -> float:
    """A number as everybody writes it; NaN for anything else."""
    return float(text) if NUMBER.fullmatch(text) else math.nan


def _positive_float(text: str) -> float:
    if not 0 < _float(text) < math.inf:
        raise _wrong("a finite number above 0", text)
    return float(text)


def _fraction(text: str) -> float:
    if not 0 <= _float(text) < 1:
        raise _wrong("a number from 0 to less than 1", text)
    return float(text)


def _quantiles(text: str) -> tuple[float, ...]:
    levels = tuple(_float(part.strip()) for part in text.split(","))
    ascend = all(low < high for low, high in pairwise(levels))
    if not ascend or not all(0 < level < 1 for level in levels):
        raise _wrong("ascending numbers between 0 and 1, such as 0.1,0.5,0.9", text)
    return levels


def _separator(text: str) -> str:
    text = {"\\t": "\t", "tab": "\t"}.get(text, text)
    # pandas separates columns at one byte only.
    if len(text) != 1 or not text.isascii() or text.isalnum() or text in "\0\"'\r\n.+-":
        raise _wrong("one character of ASCII, such as ';' or '\\t'", text)
    return text


def _texts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise _wrong("the name of a time zone, such as Europe/Berlin", text) from None
    return text
