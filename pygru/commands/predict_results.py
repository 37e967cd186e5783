"""Where ``pygru predict`` writes a forecast, and how: CSV or Parquet, by the file's name.

Everything that can be checked about the output is checked by :func:`check_output`, before any
forecast is made. A file is written as a whole or not at all.
"""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pygru.commands.errors import CommandError, UsageError

if TYPE_CHECKING:
    import pandas as pd

STDOUT = "-"
TEXT, PARQUET = (".csv", ".txt", ""), (".parquet", ".pq")
NEEDS_PYARROW = (
    'writing Parquet files needs pyarrow; install it with pip install "pygru[parquet]"'
)


def check_output(path: str, force: bool, inputs: Sequence[str]) -> None:
    """Raise if a forecast could not be written to ``path``, or would replace what it must not.

    Parameters
    ----------
    path : str
        What ``--output`` says; ``-`` is the screen.
    force : bool
        Whether a file that exists may be replaced.
    inputs : sequence of str
        Files that the command reads, which are never replaced.

    Raises
    ------
    CommandError
        If the file exists, and may not be replaced.
    UsageError
        If its name does not say how to write it, or it is one of the inputs.
    ImportError
        If it is a Parquet file and pyarrow is not installed.
    OSError
        If its folder does not exist, or it is a folder.
    """
    if path == STDOUT:
        return
    if "{}" in path:
        raise UsageError("--output must be one file: the forecasts of all files are one table")
    suffix = _suffix(path)
    if suffix not in (*TEXT, *PARQUET):
        raise UsageError(
            f"--output must end in .csv or .parquet, got {os.path.basename(path)!r}"
        )
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", path)
    if os.path.exists(path):
        read = {os.path.realpath(each): each for each in inputs}
        same = read.get(os.path.realpath(path))
        if same is not None:
            raise UsageError(f"--output must be another file than {same}, which is read")
        if not force:
            raise CommandError(f"{path} exists; use --force to replace it")
    else:
        check_folder(path)
    if suffix in PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise ImportError(f"{path}: {NEEDS_PYARROW}")


def check_folder(path: str) -> None:
    """Raise FileNotFoundError if there is no folder for a file that is to be written."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder for --output", folder)


def write(path: str, forecast: pd.DataFrame) -> None:
    """Write a forecast as CSV with all digits, or as Parquet.

    Raises
    ------
    CommandError
        If a column cannot be written as Parquet.
    OSError
        If the file cannot be written; an old one stays as it was.
    """
    from pygru.io.files import write_atomically

    data = _as_parquet(path, forecast) if _suffix(path) in PARQUET else _as_csv(forecast)
    if path != STDOUT:
        write_atomically(path, data)
    elif sys.stdout is not None:
        # Files of pygru are UTF-8, whatever the terminal is.
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _as_csv(forecast: pd.DataFrame) -> bytes:
    text: str = forecast.to_csv(index=False, lineterminator="\n")
    return text.encode()


def _as_parquet(path: str, forecast: pd.DataFrame) -> bytes:
    import pandas as pd

    # Parquet has no periods; as text they are what a CSV file has.
    periods = [n for n, d in forecast.dtypes.items() if isinstance(d, pd.PeriodDtype)]
    forecast = forecast.astype(dict.fromkeys(periods, str))
    buffer = io.BytesIO()
    try:
        forecast.to_parquet(buffer, engine="pyarrow", index=False)
    except (ValueError, TypeError) as error:  # pyarrow's own are of these classes
        raise CommandError(f"{path}: not possible as Parquet, use .csv: {error}") from None
    return buffer.getvalue()
