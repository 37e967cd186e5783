"""Small tables of shops, for the tests of forecasting. Not a test file."""

import numpy as np
import pandas as pd

DAYS = pd.date_range("2024-02-27", periods=6, name="when")
VALUES = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])


def frame():
    return pd.DataFrame(
        {
            "sales": VALUES,
            "visits": VALUES * 2,
            "temp": [10.0, 11.0, np.nan, 13.0, 14.0, 15.0],
            "sky": ["sun", "rain", "sun", None, "snow", "rain"],
            "open": [True, True, False, True, False, True],
        },
        DAYS,
    )


def long():
    """Two shops, whose rows follow each other; the second one begins a day later."""
    parts = [
        frame().reset_index().assign(shop="north", size=7.5),
        frame().iloc[1:].reset_index().assign(shop="south", size=3.0),
    ]
    return pd.concat(parts, ignore_index=True)
