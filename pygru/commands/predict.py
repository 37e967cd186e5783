"""``pygru predict``: the steps after the last row of a CSV file, as CSV."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pygru.commands.errors import CommandError

if TYPE_CHECKING:
    from pygru.data.series import Series


def run(options: argparse.Namespace) -> None:
    """Run ``pygru predict``."""
    from pygru.data.series import read_csv
    from pygru.forecasting import Forecaster
    from pygru.io.files import write_atomically

    if options.output != "-" and Path(options.output).exists() and not options.force:
        raise CommandError(f"{options.output} exists; use --force to replace it")
    forecaster, target = Forecaster.load(options.model)
    series = read_csv(options.data, options.target or target)
    forecast = forecaster.predict(series.values)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kind, labels = _next_labels(series, len(forecast))
    writer.writerow(["step", kind, series.name])
    for step, (label, value) in enumerate(zip(labels, forecast, strict=True), start=1):
        writer.writerow([step, label, f"{value:.6g}"])
    data = text.getvalue().encode()
    if options.output != "-":
        write_atomically(options.output, data)
    elif sys.stdout is not None:
        # Files of pygru are UTF-8, whatever the terminal is.
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def _next_labels(series: Series, count: int) -> tuple[str, list[str] | list[int]]:
    """What the labels are, and the next ones: dates go on at the interval of the last two.

    Without dates, or if the last two do not ascend, they are the numbers of the next rows.
    """
    rows = [len(series) + step for step in range(count)]
    last_two = [each for each in series.positions()[-2:] if isinstance(each, datetime)]
    if len(last_two) < 2:
        return "row", rows
    before, last = last_two
    interval = last - before
    if interval <= timedelta(0):
        return "row", rows
    try:
        dates = [last + interval * (step + 1) for step in range(count)]
    except OverflowError:
        raise CommandError(
            f"the dates after {series.labels[-1]} leave the range that Python has"
        ) from None
    is_day = all(date.time().isoformat() == "00:00:00" for date in dates)
    return "date", [date.date().isoformat() if is_day else date.isoformat() for date in dates]
