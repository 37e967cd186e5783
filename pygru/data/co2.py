"""The time series that ships with pygru: for examples, and for ``pygru train`` alone."""

from __future__ import annotations

from importlib import resources
from typing import Any


def load_co2() -> Any:
    """Return the weekly CO2 concentration at Mauna Loa, 1958 to 2001, with its gaps.

    Source: C. D. Keeling and T. P. Whorf, "Atmospheric CO2 concentrations derived from flask
    air samples at sites in the SIO network", in Trends: A Compendium of Data on Global Change,
    Carbon Dioxide Information Analysis Center, Oak Ridge National Laboratory, 2004; public
    domain.

    Returns
    -------
    pandas.Series
        (2284,) float64, in parts per million, named ``co2``. The index has the Saturdays from
        29 March 1958 to 29 December 2001 and is named ``date``. 59 values are missing (NaN).

    Raises
    ------
    ImportError
        If pandas is not installed.

    Examples
    --------
    >>> from pygru.data import load_co2
    >>> co2 = load_co2()
    >>> co2.head(3).tolist(), str(co2.index[0].date()), co2.index.freqstr
    ([316.1, 317.3, 317.6], '1958-03-29', 'W-SAT')
    """
    try:
        import pandas as pd
    except ImportError:
        raise ImportError(
            'load_co2 needs pandas; install it with  pip install "pygru[forecast]"'
        ) from None
    with resources.as_file(resources.files("pygru.data") / "mauna_loa_co2.csv") as path:
        table = pd.read_csv(path, parse_dates=["date"], index_col="date")
    return table["co2"].asfreq("W-SAT")
