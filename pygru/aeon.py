"""Adapters for aeon: its collections of series go to the estimators of :mod:`pygru.sklearn`.

Two thin classes with the interface of aeon's classifiers and regressors. The model, its
training and its parameters are those of the estimator inside. ``import pygru`` does not import
this module, since it needs aeon.
"""

from __future__ import annotations

from typing import Any, Self

try:
    import aeon  # noqa: F401 (looked at first, for a clear message)
except ModuleNotFoundError as error:
    if error.name != "aeon":
        raise
    raise ImportError(
        'pygru.aeon needs aeon; install it with  pip install "pygru[aeon]"'
    ) from None

from aeon.classification.base import BaseClassifier
from aeon.regression.base import BaseRegressor
from sklearn.base import clone

from pygru.sklearn import GRUClassifier, GRURegressor

__all__ = ["GRUTimeSeriesClassifier", "GRUTimeSeriesRegressor"]

TAGS = {
    # (n, channels, T), or a list of (channels, T_i).
    "X_inner_type": ["numpy3D", "np-list"],
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "algorithm_type": "deeplearning",
}


class GRUTimeSeriesClassifier(BaseClassifier):  # type: ignore[misc]
    """A classifier of time series for aeon, with a GRU.

    Parameters
    ----------
    estimator : GRUClassifier, optional
        The model and its training; :class:`pygru.sklearn.GRUClassifier` with its defaults by
        default. Searches reach its parameters as ``estimator__alpha`` and so on.

    Attributes
    ----------
    estimator_ : GRUClassifier
        The trained copy of ``estimator``.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.aeon import GRUTimeSeriesClassifier
    >>> from pygru.sklearn import GRUClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal((2, rng.integers(5, 15))) for _ in range(60)]
    >>> y = np.where([series[0].sum() > 0 for series in X], "up", "down")
    >>> estimator = GRUClassifier(8, learning_rate_init=0.02, tol=0.01, random_state=0)
    >>> bool(GRUTimeSeriesClassifier(estimator).fit(X, y).score(X, y) > 0.9)
    True
    """

    _tags = TAGS

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator
        super().__init__()

    def _fit(self, X: Any, y: Any) -> Self:
        self.estimator_ = _copy_of(self.estimator, GRUClassifier).fit(_by_time(X), y)
        return self

    def _predict(self, X: Any) -> Any:
        return self.estimator_.predict(_by_time(X))

    def _predict_proba(self, X: Any) -> Any:
        return self.estimator_.predict_proba(_by_time(X))

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        return _test_params(GRUClassifier)


class GRUTimeSeriesRegressor(BaseRegressor):  # type: ignore[misc]
    """A regressor for time series in aeon, with a GRU.

    Parameters
    ----------
    estimator : GRURegressor, optional
        As for :class:`GRUTimeSeriesClassifier`.

    Attributes
    ----------
    estimator_ : GRURegressor
        The trained copy of ``estimator``.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.aeon import GRUTimeSeriesRegressor
    >>> from pygru.sklearn import GRURegressor
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal((2, rng.integers(5, 15))) for _ in range(60)]
    >>> y = np.array([series[0].mean() for series in X])
    >>> estimator = GRURegressor(8, learning_rate_init=0.02, tol=0.01, random_state=0)
    >>> bool(GRUTimeSeriesRegressor(estimator).fit(X, y).score(X, y) > 0.8)
    True
    """

    _tags = TAGS

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator
        super().__init__()

    def _fit(self, X: Any, y: Any) -> Self:
        self.estimator_ = _copy_of(self.estimator, GRURegressor).fit(_by_time(X), y)
        return self

    def _predict(self, X: Any) -> Any:
        return self.estimator_.predict(_by_time(X))

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        return _test_params(GRURegressor)


def _copy_of(estimator: Any, default: type[Any]) -> Any:
    return default() if estimator is None else clone(estimator)


def _by_time(X: Any) -> Any:
    """Series with the time axis first, as pygru reads them."""
    return [series.T for series in X]


def _test_params(estimator: type[Any]) -> list[dict[str, Any]]:
    quick = {"max_iter": 3, "learning_rate_init": 0.02}
    return [
        {"estimator": estimator(4, **quick)},
        {"estimator": estimator((3, 2), pooling="mean", **quick)},
    ]
