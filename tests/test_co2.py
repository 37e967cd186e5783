"""The series that ships with pygru."""

import numpy as np
import pandas as pd

from pygru.data import load_co2


def test_the_series_that_ships():
    co2 = load_co2()
    assert len(co2) == 2284
    assert int(co2.isna().sum()) == 59
    assert co2.index[0] == pd.Timestamp("1958-03-29")
    assert co2.index[-1] == pd.Timestamp("2001-12-29")
    assert (np.diff(co2.index) == np.timedelta64(7, "D")).all()
    assert 310 < co2.min() < co2.max() < 375
