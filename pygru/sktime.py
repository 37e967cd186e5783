"""Adapters for sktime: its panels of series go to the estimators of :mod:`pygru.sklearn`.

Two thin classes with the interface of sktime's classifiers and regressors of time series. The
model, its training and its parameters are those of the estimator inside. ``import pygru`` does
not import this module, since it needs sktime.
"""

from __future__ import annotations

from typing import Any, Self

try:
    import sktime  # noqa: F401 (looked at first, for a clear message)
except ModuleNotFoundError as error:
    if error.name != "sktime":
        raise
    raise ImportError(
        'pygru.sktime needs sktime; install it with  pip install "pygru[sktime]"'
    ) from None

from sklearn.base import clone
from sktime.classification.base import BaseClassifier
from sktime.regression.base import BaseRegressor

from pygru.sklearn import GRUClassifier, GRURegressor

__all__ = ["GRUTimeSeriesClassifier", "GRUTimeSeriesRegressor"]

TAGS = {
    "authors": "the pygru developers",
    "maintainers": "the pygru developers",
    # A list with one DataFrame (T_i, channels) per series, which may differ in length.
    "X_inner_mtype": "df-list",
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "capability:missing_values": False,
}


class GRUTimeSeriesClassifier(BaseClassifier):  # type: ignore[misc]
    """A classifier of time series for sktime, with a GRU.

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
    >>> from sktime.datasets import load_unit_test
    >>> from pygru.sklearn import GRUClassifier
    >>> from pygru.sktime import GRUTimeSeriesClassifier
    >>> X, y = load_unit_test(split="train")
    >>> estimator = GRUClassifier(8, learning_rate_init=0.02, tol=0.01, random_state=0)
    >>> GRUTimeSeriesClassifier(estimator).fit(X, y).score(X, y) > 0.8
    True
    """

    _tags = {**TAGS, "capability:predict_proba": True}  # noqa: RUF012 (as sktime has it)

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator
        super().__init__()

    def _fit(self, X: Any, y: Any) -> Self:
        self.estimator_ = _copy_of(self.estimator, GRUClassifier).fit(X, y)
        return self

    def _predict(self, X: Any) -> Any:
        return self.estimator_.predict(X)

    def _predict_proba(self, X: Any) -> Any:
        return self.estimator_.predict_proba(X)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return small settings for sktime's tests."""
        return _test_params(GRUClassifier)


class GRUTimeSeriesRegressor(BaseRegressor):  # type: ignore[misc]
    """A regressor for time series in sktime, with a GRU.

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
    >>> from sktime.datasets import load_unit_test
    >>> from pygru.sklearn import GRURegressor
    >>> from pygru.sktime import GRUTimeSeriesRegressor
    >>> X, _ = load_unit_test(split="train", return_type="numpy3D")
    >>> y = X[:, 0, :3].mean(axis=1)
    >>> estimator = GRURegressor(8, learning_rate_init=0.02, tol=1e-3, random_state=0)
    >>> GRUTimeSeriesRegressor(estimator).fit(X, y).score(X, y) > 0.8
    True
    """

    _tags = TAGS

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator
        super().__init__()

    def _fit(self, X: Any, y: Any) -> Self:
        self.estimator_ = _copy_of(self.estimator, GRURegressor).fit(X, y)
        return self

    def _predict(self, X: Any) -> Any:
        return self.estimator_.predict(X)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return small settings for sktime's tests."""
        return _test_params(GRURegressor)


def _copy_of(estimator: Any, default: type[Any]) -> Any:
    return default() if estimator is None else clone(estimator)


def _test_params(estimator: type[Any]) -> list[dict[str, Any]]:
    quick = {"max_iter": 3, "learning_rate_init": 0.02}
    return [
        {"estimator": estimator(4, **quick)},
        {"estimator": estimator((3, 2), pooling="mean", **quick)},
    ]
