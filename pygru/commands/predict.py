"""``pygru predict``: the steps after the last row of one table or of many, as one table.

Nothing is written before all forecasts are made, and then all at once. Only files that
``--skip-errors`` leaves out are missing in the result.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pygru.commands.errors import CommandError, InterruptedRun, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from pygru.commands.predict_table import TableForecaster
    from pygru.commands.predict_workers import Outcome


class WorkerError(Exception):
    """The traceback of an error, as text; ``--debug`` shows it as the cause."""


def run(options: argparse.Namespace) -> None:
    """Run ``pygru predict``."""
    import pygru.forecasting  # noqa: F401 (first, since it says how to install pandas)
    from pygru.commands.predict_files import expand
    from pygru.commands.predict_results import check_output, write
    from pygru.commands.predict_table import TableForecaster
    from pygru.forecasting import GRUForecaster
    from pygru.forecasting.reading import SUFFIXES

    paths, is_many = expand(options.data, SUFFIXES)
    inputs = [options.model, *paths] + ([] if options.future is None else [options.future])
    check_output(options.output, options.force, inputs)
    function = TableForecaster(GRUForecaster.load(options.model), options)
    if not is_many:
        write(options.output, function(paths[0]))
        return
    function.threads = _threads(options, min(options.workers, len(paths)))
    forecast, skipped = _forecast_many(function, paths, options)
    write(options.output, forecast)
    if skipped:
        raise CommandError(f"{skipped} of {len(paths)} files were skipped")


def _threads(options: argparse.Namespace, workers: int) -> int | None:
    """The threads of each process: the available ones are shared, unless the user says."""
    from pygru.core.threads import available

    said = {"PYGRU_NUM_THREADS", "OMP_NUM_THREADS"} & set(os.environ)
    if options.threads is not None or said or workers == 1:
        given: int | None = options.threads
        return given
    return max(1, available() // workers)


def _forecast_many(
    function: TableForecaster, paths: Sequence[str], options: argparse.Namespace
) -> tuple[pd.DataFrame, int]:
    """Return one table of all forecasts, with a column of the files; and how many failed."""
    from pygru.commands.predict_workers import outcomes

    frames: dict[str, Any] = {}
    skipped = 0
    with _Progress(len(paths)) as progress:
        try:
            results = outcomes(function, paths, options.workers, progress.advance)
            with contextlib.closing(results):
                for outcome in results:
                    progress.say(outcome.said)
                    error = outcome.error or _misfit(frames, outcome, options.file_column)
                    if error is None:
                        frames[outcome.path] = outcome.value
                    elif options.skip_errors:
                        skipped += 1
                        progress.say(f"skipped: {error}\n")
                    else:
                        raise CommandError(error) from WorkerError(outcome.trace)
        except KeyboardInterrupt:
            raise InterruptedRun(
                f"interrupted after {progress.count} of {len(paths)} files; nothing was written"
            ) from None
    if not frames:
        raise CommandError(f"all {len(paths)} files were skipped; nothing was written")
    return _one_table(frames, options.file_column), skipped


def _misfit(frames: dict[str, pd.DataFrame], outcome: Outcome, column: str) -> str | None:
    """Why a forecast cannot stand below the first one, or None if it can."""
    found = outcome.value
    if column in found.columns:
        raise UsageError(
            f"--file-column must name the column of the files, and the forecast has a column "
            f"{column!r} already"
        )
    first = next(iter(frames), outcome.path)
    zones = zip(_zones(found), _zones(frames.get(first, found)), strict=True)
    for own, other in zones:
        if own != other:
            return (
                f"{outcome.path}: the times have {own}, and those of {first} have {other}; "
                "--time-zone makes them alike"
            )
    return None


def _zones(frame: pd.DataFrame) -> list[str]:
    """The time zone of each column, in words."""
    zones = [getattr(dtype, "tz", None) for dtype in frame.dtypes]
    return ["no time zone" if zone is None else f"the time zone {zone}" for zone in zones]


def _one_table(frames: dict[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """The forecasts of all files below each other, with the file of each row."""
    import numpy as np
    import pandas as pd

    files = np.repeat(np.array(list(frames), object), [len(each) for each in frames.values()])
    table = pd.concat(frames.values(), ignore_index=True)
    table.insert(0, column, files)
    return table


class _Progress:
    """A bar over the files on a terminal; notes stand above it, or alone elsewhere."""

    def __init__(self, total: int) -> None:
        self.count = 0
        self.bar: Any = None
        with contextlib.suppress(ValueError):  # standard error is closed
            if sys.stderr is not None and sys.stderr.isatty():
                from tqdm import tqdm

                self.bar = tqdm(total=total, unit="file", leave=False, file=sys.stderr)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def advance(self) -> None:
        """One more file is done."""
        self.count += 1
        if self.bar is not None:
            self.bar.update()

    def say(self, text: str) -> None:
        """Write a note to standard error, if anybody can read it."""
        if not text or sys.stderr is None:
            return
        with contextlib.suppress(OSError, ValueError):
            if self.bar is not None:
                self.bar.clear()
            sys.stderr.write(text)
            sys.stderr.flush()
