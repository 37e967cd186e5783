"""``pygru predict`` with a forecaster: the steps after the last row of one table or of many.

Nothing is written before all forecasts are made, and then all at once, as one table. Only files
that ``--skip-errors`` leaves out are missing in it.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from pygru.commands.errors import CommandError, UsageError
from pygru.commands.predict_files import TABLES, expand
from pygru.commands.predict_loop import go_over
from pygru.commands.predict_results import check_output, write
from pygru.commands.predict_table import TableForecaster
from pygru.commands.predict_workers import shared_threads
from pygru.forecasting import GRUForecaster


def run(options: argparse.Namespace) -> None:
    """Run ``pygru predict`` with a forecaster."""
    paths, is_many = expand(options.data, TABLES)
    inputs = [options.model, *paths] + ([] if options.future is None else [options.future])
    check_output(options.output, options.force, inputs)
    function = TableForecaster(GRUForecaster.load(options.model), options)
    if not is_many:
        write(options.output, function(paths[0]))
        return
    function.threads = shared_threads(options.threads, min(options.workers, len(paths)))
    forecasts = OneTable(options.file_column)
    skipped = go_over(function, paths, options, forecasts.add, "nothing was written")
    if not forecasts.frames:
        raise CommandError(f"all {len(paths)} files were skipped; nothing was written")
    write(options.output, forecasts.table())
    if skipped:
        raise CommandError(f"{skipped} of {len(paths)} files were skipped")


class OneTable:
    """The forecasts of several files below each other.

    Parameters
    ----------
    column : str
        The name of the column that has the file of each row.
    """

    def __init__(self, column: str) -> None:
        self.column = column
        self.frames: dict[str, pd.DataFrame] = {}

    def add(self, path: str, frame: pd.DataFrame) -> None:
        """Add the forecast of a file.

        Raises
        ------
        CommandError
            If its times have another time zone than those of the first one.
        UsageError
            If it has a column of that name already.
        """
        if self.column in frame.columns:
            raise UsageError(
                "--file-column must name the column of the files, and the forecast has a "
                f"column {self.column!r} already"
            )
        first, like = next(iter(self.frames.items()), (path, frame))
        for own, other in zip(_zones(frame), _zones(like), strict=True):
            if own != other:
                raise CommandError(
                    f"{path}: the times have {own}, and those of {first} have {other}; "
                    "--time-zone makes them alike"
                )
        self.frames[path] = frame

    def table(self) -> pd.DataFrame:
        """Return all of them, with the column of the files."""
        names = np.array(list(self.frames), object)
        table = pd.concat(self.frames.values(), ignore_index=True)
        table.insert(0, self.column, np.repeat(names, list(map(len, self.frames.values()))))
        return table


def _zones(frame: pd.DataFrame) -> list[str]:
    """The time zone of each column, in words."""
    zones = [getattr(dtype, "tz", None) for dtype in frame.dtypes]
    return ["no time zone" if zone is None else f"the time zone {zone}" for zone in zones]
