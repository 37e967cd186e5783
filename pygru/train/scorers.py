"""Asks scorers of scikit-learn about predictions that have been made already.

A scorer is called with an estimator and its input. Here it gets an estimator that knows its
answers. This module needs scikit-learn, and is imported only for its scorers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from pygru.train.loss_kinds import Kind, has_parameter
from pygru.train.outputs import Rows, labels_of, probabilities_of
from pygru.typing import Floats


class _Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with given classes and probabilities."""

    def __init__(self, rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> None:
        self.rows = rows
        self.kind = kind
        self.classes = classes

    @property
    def classes_(self) -> Any:
        """The classes, or those of each of several targets."""
        if self.kind == "binary":
            several = self.rows.output.ndim == 2
            return [np.arange(2)] * self.rows.output.shape[1] if several else np.arange(2)
        columns = np.arange(self.rows.output.shape[1])
        return columns if self.classes is None else np.sort(self.classes)

    def fit(self, X: Any, y: Any) -> _Classifier:
        """Do nothing; scikit-learn expects the method."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the chosen classes."""
        return labels_of(self.rows, self.kind, self.classes)[1]

    def predict_proba(self, X: Any) -> Floats:
        """Return the probabilities, in the order of ``classes_``."""
        probabilities = probabilities_of(self.rows, self.kind)
        if self.classes is None:
            return probabilities
        ordered: Floats = probabilities[:, np.argsort(self.classes)]
        return ordered


class _Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with given values."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def fit(self, X: Any, y: Any) -> _Regressor:
        """Do nothing; scikit-learn expects the method."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the values."""
        return self.rows.output


def score(scorer: Any, rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> Any:
    """Return what a scorer says; it gets the weights if its function takes them."""
    estimator: Any
    if kind in ("classes", "binary"):
        estimator = _Classifier(rows, kind, classes)
    else:
        estimator = _Regressor(rows)
    options = {}
    function = getattr(scorer, "_score_func", scorer)
    if rows.weights is not None and has_parameter(function, "sample_weight"):
        options["sample_weight"] = rows.weights
    true = labels_of(rows, kind, classes)[0]
    return scorer(estimator, np.arange(len(true)), true, **options)
