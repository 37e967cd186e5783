"""Forecasting time series with a GRU."""

from pygru.forecasting.forecaster import Forecaster, Split, Task, evaluate

__all__ = ["Forecaster", "Split", "Task", "evaluate"]
