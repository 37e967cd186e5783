"""Forecasting time series with a GRU, from arrays and from pandas' tables."""

try:
    import pandas  # noqa: F401 (looked at first, for a clear message)
except ModuleNotFoundError as error:
    if error.name != "pandas":
        raise
    raise ImportError(
        'pygru.forecasting needs pandas; install it with  pip install "pygru[forecast]"'
    ) from None

from pygru.forecasting.backtest import Backtest
from pygru.forecasting.forecaster import GRUForecaster

__all__ = ["Backtest", "GRUForecaster"]
