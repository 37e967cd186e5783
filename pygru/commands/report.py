"""What ``pygru train`` says on the screen: its plan before training, the scores after it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pygru.commands.columns import Chosen
from pygru.data.messages import cut

if TYPE_CHECKING:
    from pygru.forecasting.panel import Panel

SHOWN_IDS = 5
MARKS = {"\t": "tab", ",": "comma", ".": "point", ";": "semicolon", "|": "bar", " ": "space"}


def say(label: str, text: str) -> None:
    """Print one line of the plan; it appears at once, also in a pipe."""
    if text:
        print(f"{label:<10} {text}")
        sys.stdout.flush()


def counted(count: int, what: str) -> str:
    """``"1 row"``, ``"2,284 rows"``."""
    plural = what if what.endswith("s") else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"


def say_data(chosen: Chosen, panel: Panel) -> None:
    """Print what was read, and what each column is taken for."""
    table, schema = chosen.table, panel.schema
    text = f"{table.name}: {counted(len(chosen.frame), 'row')}"
    if table.dialect is not None and table.dialect != (",", "."):
        if len(table.frame.columns) > 1:
            separator = MARKS.get(table.dialect.separator, table.dialect.separator)
            text += f"; {separator} between columns"
        text += f"; decimal {MARKS[table.dialect.decimal]}"
    if table.left_out:
        text += f"; {counted(table.left_out, 'empty line')} at the end left out"
    say("data", text)
    steps = f"a step is {step_of(schema.frequency)}"
    if chosen.time is None:
        steps = "without times: the rows are taken as equal steps"
    if chosen.id:
        ids = [cut(series.id) for series in panel.series[:SHOWN_IDS]]
        more = ", ..." if len(panel.series) > SHOWN_IDS else ""
        which = f"{', '.join(chosen.id)}: {', '.join(ids)}{more}"
        say("series", f"{len(panel.series):,} ({which}), {steps}")
    else:
        say("series", steps)
    if chosen.time is not None:
        begin = min(series.index[0] for series in panel.series)
        end = max(series.index[-1] for series in panel.series)
        say("time", f"{chosen.time}: {stamp(begin)} to {stamp(end)}")
    values = np.concatenate([series.targets for series in panel.series])
    missing = np.isnan(values).sum(axis=0)
    parts = [
        f"{name} ({count:,} of {len(values):,} values missing)" if count else name
        for name, count in zip(chosen.target, missing, strict=True)
    ]
    say("target", ", ".join(parts))
    covariates = (
        ("past", chosen.features),
        ("past and future", chosen.future_features),
        ("static", chosen.static),
    )
    say(
        "features", "; ".join(f"{', '.join(names)} ({of})" for of, names in covariates if names)
    )


STEPS = {
    "min": "a minute", "h": "an hour", "D": "a day", "B": "a business day", "W": "a week",
    "M": "a month", "MS": "a month", "ME": "a month", "Q": "a quarter", "QS": "a quarter",
    "QE": "a quarter", "Y": "a year", "YS": "a year", "YE": "a year",
}  # fmt: skip


def step_of(frequency: str | int) -> str:
    """A frequency in words, and as pandas writes it: ``"a week (W-SAT)"``."""
    words = STEPS.get(str(frequency).partition("-")[0])
    return str(frequency) if words is None else f"{words} ({frequency})"


def stamp(time: Any) -> str:
    """A time as the plan shows it: a date without a time of day is a date."""
    if isinstance(time, pd.Timestamp) and time == time.normalize() and time.tz is None:
        return str(time.date())
    return str(time)


def about(seconds: float) -> str:
    """A length of time in one or two figures: ``"about 8 s"``, ``"about 12 min"``."""
    for length, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * length:
            return f"about {seconds / length:.0f} {unit}"
    return f"about {seconds:.0f} s" if seconds >= 2 else "about a second"


def say_files(paths: Sequence[Path], draws: bool) -> None:
    """Print the files that will be written."""
    text = ", ".join(map(str, paths))
    say("writes", text if draws else f'{text}; pip install "pygru[plot]" adds a picture')


# ---- scores ------------------------------------------------------------------------------


def say_scores(scores: pd.DataFrame, what: str) -> None:
    """Print the scores of each method, and how the GRU compares with the best of the others.

    Parameters
    ----------
    scores : DataFrame
        A row per method, ``"GRU"`` the first; columns such as MAE and RMSE.
    what : str
        What the scores are of.
    """
    print(f"\n{what}")
    width = max(map(len, map(str, scores.index)))
    columns = [name for name in scores.columns if scores[name].notna().any()]
    print(" " * width + "".join(f"  {name:>9}" for name in columns))
    for method, row in scores.iterrows():
        print(f"{method:<{width}}" + "".join(f"  {_cell(row[name]):>9}" for name in columns))
    print("\n" + verdict(scores["MAE"]) + "\n")


def _cell(value: float) -> str:
    return "-" if not np.isfinite(value) else f"{value:.4g}"


def verdict(errors: pd.Series) -> str:
    """Say in a sentence how the GRU's mean absolute error compares with the best simple one."""
    own = float(errors["GRU"])
    others = errors.drop("GRU").dropna()
    if others.empty or not np.isfinite(own):
        return "There is nothing to compare the GRU with."
    name, best = str(others.idxmin()), float(others.min())
    if abs(own - best) <= 0.005 * best:
        return f"The GRU's mean absolute error is about as large as that of {name!r}."
    if own > best:
        ratio = own / best if best else np.inf
        more = f"{ratio - 1:.0%} larger than"
        if ratio >= 2:
            more = f"{ratio:.3g} times" if np.isfinite(ratio) else "larger than"
        return (
            f"The GRU's mean absolute error is {more} that of {name!r}: for this table, use "
            "the simple forecast, or train with other options."
        )
    return (
        f"The GRU's mean absolute error is {1 - own / best:.0%} smaller than that of {name!r}, "
        "the best simple forecast."
    )
