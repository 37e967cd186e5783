"""Finds the steps of an index: the frequency of dates, of periods and of numbers.

``freq=`` given wins. Otherwise ``pandas.infer_freq`` decides, which needs three stamps or more
and no hole.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd

from pygru.core.validation import check_int
from pygru.forecasting.calendar import (
    DateSteps,
    NumberedSteps,
    PeriodSteps,
    Steps,
    as_offset,
)


def find_steps(stamps: Any, freq: object = None) -> Steps:
    """Return the steps of an index that is sorted and has no repeats."""
    if isinstance(stamps, pd.PeriodIndex):
        return PeriodSteps(stamps.dtype)
    if isinstance(stamps, pd.DatetimeIndex):
        offset = as_offset(freq) if freq is not None else _infer(stamps)
        if offset is None:
            raise ValueError(
                "the frequency of the time could not be found; name it with freq=, "
                "such as freq='D'"
            )
        return DateSteps(offset)
    if freq is not None:
        return NumberedSteps(check_int("freq", freq, 1))
    differences = np.diff(np.asarray(stamps, np.int64))
    return NumberedSteps(math.gcd(*map(int, differences)) or 1)


def _infer(stamps: Any) -> Any:
    if len(stamps) < 3:
        return None
    with warnings.catch_warnings():
        # pandas 3 announces that this will return an offset instead of its name.
        warnings.simplefilter("ignore")
        found = pd.infer_freq(stamps)
    return None if found is None else pd.tseries.frequencies.to_offset(found)
