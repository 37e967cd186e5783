"""GRUClassifier: a label for each sequence, or for each step. Training is in :mod:`.base`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import (
    check_array,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from pygru.sklearn.base import SupervisedEstimator
from pygru.sklearn.parameters import ClassifierParameters, described
from pygru.sklearn.sequences import Sequences
from pygru.sklearn.steps import (
    of_every_step,
    refuse_steps,
    weights_of_samples,
    weights_of_steps,
)
from pygru.sklearn.undo import all_or_nothing
from pygru.train.callbacks import Callback
from pygru.typing import Floats


@described()
class GRUClassifier(
    ClassifierMixin,  # type: ignore[misc]
    ClassifierParameters,
    SupervisedEstimator,
):
    """Classifies sequences, or the steps of sequences, with a GRU.

    One or more GRUs read the sequence, their outputs are pooled over time, and a linear layer
    gives a score to each class. With ``pooling=None`` it gives scores at every step. The loss
    is the cross-entropy.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    model_ : Sequential
        The trained model. :func:`pygru.save` writes it to a file.
    n_features_in_ : int
        The features per step, or the number of columns if X was a table.
    n_iter_ : int
        The epochs of the last call of ``fit``, and of ``partial_fit`` since then.
    t_ : int
        The samples that training has seen, counted again in each epoch.
    loss_ : float
        The training loss of the last epoch.
    loss_curve_ : list of float
        The training loss of each epoch; ``partial_fit`` and ``warm_start`` continue it.
    best_loss_ : float or None
        The smallest of them; None with ``early_stopping``.
    validation_scores_, best_validation_score_
        The score of each epoch and the best one, with ``early_stopping``; else None. The score
        is the accuracy.
    feature_names_in_ : ndarray of str
        The names of the columns, if X was a DataFrame whose columns have names.

    Notes
    -----
    Sequences have equal or different lengths: X is (n, T), one number per step; (n, T, F); or
    a list or an object array of n arrays (T_i,) or (T_i, F); or a DataFrame whose cells are
    arrays (T_i,), one column per feature. There is no padding. float32 data are computed in
    single precision, others in double precision. Scale the features to a spread of about 1.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.sklearn import GRUClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal((rng.integers(5, 15), 2)) for _ in range(60)]
    >>> y = np.where([sequence[:, 0].sum() > 0 for sequence in X], "up", "down")
    >>> model = GRUClassifier(8, max_iter=60, learning_rate_init=0.02, tol=1e-2, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    >>> model.predict_proba(X[:2]).shape
    (2, 2)

    A label for every step: has the sum of the numbers been positive so far?

    >>> labels = [sequence[:, 0].cumsum() > 0 for sequence in X]
    >>> model = model.set_params(pooling=None, bidirectional=False).fit(X, labels)
    >>> model.score(X, labels) > 0.9
    True
    >>> [len(steps) for steps in model.predict(X[:3])] == [len(sequence) for sequence in X[:3]]
    True
    """

    _loss = "cross_entropy"
    classes_: NDArray[Any]

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        callbacks: Iterable[Callback] = (),
    ) -> Self:
        """Train the model.

        Parameters
        ----------
        X : array_like or list of array_like
            (n, T), (n, T, F), or n sequences (T_i,) or (T_i, F).
        y : array_like
            (n,) labels of any kind. With ``pooling=None``, one label for each step: (n, T), or
            n arrays (T_i,).
        sample_weight : array_like, optional
            (n,) how much each sample counts. With ``pooling=None`` also in the form of y.
        callbacks : iterable of Callback
            Called as by :class:`pygru.Trainer`. The record of an epoch has its ``"loss"``, and
            with ``early_stopping`` its ``"validation_score"``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data do not fit together, contain NaN or infinities, or have one class only.
        DivergenceError
            If the loss becomes infinite or NaN.
        """
        goes_on = self._goes_on()
        sequences = self._read(X, reset=not goes_on)
        per_step = self._predicts_steps(is_new=not goes_on)
        labels = self._labels(y, sequences, per_step=per_step)
        classes = np.unique(labels)
        if goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the last fit, {self.classes_}, got {classes}"
            )
        _check_count(classes)
        weights = self._weights(sample_weight, sequences, labels, per_step=per_step)
        self.classes_ = classes
        target = np.searchsorted(classes, labels)
        self._fit_model(sequences, target, weights, len(classes), callbacks)
        return self

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: ArrayLike | None = None,
        sample_weight: Any = None,
    ) -> Self:
        """Train for one epoch on the given samples; the first call makes the model.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.
        classes : array_like, optional
            All labels; needed in the first call.

        Returns
        -------
        self
        """
        self._refuse_early_stopping()
        is_new = not hasattr(self, "model_")
        if is_new and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None:
            known = np.unique(np.asarray(classes))
            if not is_new and not np.array_equal(known, self.classes_):
                raise ValueError(
                    f"classes must be those of the first call, {self.classes_}, got {known}"
                )
        else:
            known = self.classes_
        _check_count(known)
        sequences = self._read(X, reset=is_new)
        per_step = self._predicts_steps(is_new=is_new)
        labels = self._labels(y, sequences, per_step=per_step)
        unknown = np.setdiff1d(labels, known)
        if unknown.size:
            raise ValueError(f"y contains labels that are not in classes: {unknown}")
        weights = self._weights(sample_weight, sequences, labels, per_step=per_step)
        if is_new:
            self._random = check_random_state(self.random_state)
            self.classes_ = known
            self._start(self._model_for(sequences, len(known)))
        self._fit_epoch(sequences, np.searchsorted(known, labels), weights)
        return self

    def _check_found(self) -> None:
        super()._check_found()
        classes = self.classes_
        if not isinstance(classes, np.ndarray) or classes.ndim != 1:
            raise TypeError(f"classes_ must be an array of labels, got {classes!r:.80}")
        self._check_outputs("the number of classes_", len(classes))

    def _labels(self, y: Any, X: Sequences, *, per_step: bool) -> NDArray[Any]:
        """One label for each sequence, or for each step of all sequences."""
        self._refuse_none(y)
        if per_step:
            y = of_every_step("y", y, X)
            if y.ndim == 2 and y.shape[1] > 1:
                raise ValueError(f"y must have one label for each step, got {y.shape[1]}")
        else:
            refuse_steps(type(self).__name__, y, X)
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        labels: NDArray[Any] = column_or_1d(array, warn=True)
        if not per_step:
            check_consistent_length(X.values, labels)
        check_classification_targets(labels)
        return labels

    def _weights(
        self, sample_weight: Any, X: Sequences, labels: NDArray[Any], *, per_step: bool
    ) -> Floats | None:
        weights = (weights_of_steps if per_step else weights_of_samples)(sample_weight, X)
        if self.class_weight is None:
            return weights
        of_classes: Floats = compute_sample_weight(self.class_weight, labels)
        return of_classes if weights is None else of_classes * weights

    def _strata(self, target: Any) -> Any:
        return target

    def _score_of(self, X: Sequences, target: Any, weights: Any) -> float:
        found = np.argmax(self._joined(self._outputs(X)), axis=1)
        weights = self._joined(weights)
        return float(accuracy_score(self._joined(target), found, sample_weight=weights))

    def _logits(self, X: Any) -> tuple[Sequences, Floats]:
        """The sequences, and the scores of the classes, a row for each prediction."""
        check_is_fitted(self)
        sequences = self._read(X, reset=False)
        return sequences, self._joined(self._outputs(sequences)).astype(np.float64)

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each sequence.

        Parameters
        ----------
        X : array_like or list of array_like
            As for :meth:`fit`.

        Returns
        -------
        ndarray or list of ndarray
            (n,) labels. After a fit with ``pooling=None`` there is one label for each step:
            (n, T) for an array X, else a list, or an object array, of n arrays (T_i,).
        """
        sequences, logits = self._logits(X)
        return self._as_given(sequences, self.classes_[np.argmax(logits, axis=1)])

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, (n, classes), in the order of ``classes_``.

        With one prediction per step it is (n, T, classes) or n arrays (T_i, classes).
        """
        sequences, logits = self._logits(X)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return self._as_given(sequences, powers / powers.sum(axis=1, keepdims=True))

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of :meth:`predict_proba`, computed without its underflow."""
        sequences, logits = self._logits(X)
        shifted = logits - logits.max(axis=1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return self._as_given(sequences, logarithms)

    def decision_function(self, X: Any) -> Any:
        """Return the scores of the classes, (n, classes); for two classes their difference.

        With one prediction per step, each row belongs to a step, as for :meth:`predict_proba`.
        """
        sequences, logits = self._logits(X)
        if len(self.classes_) == 2:
            logits = logits[:, 1] - logits[:, 0]
        return self._as_given(sequences, logits)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy, over all sequences or over all steps of all sequences.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if not self.model_.predicts_steps:
            return float(super().score(X, y, sample_weight))
        sequences, logits = self._logits(X)
        labels = of_every_step("y", y, sequences)
        weights = weights_of_steps(sample_weight, sequences)
        found = self.classes_[np.argmax(logits, axis=1)]
        return float(accuracy_score(labels, found, sample_weight=weights))


def _check_count(classes: NDArray[Any]) -> None:
    if len(classes) < 2:
        raise ValueError(
            f"GRUClassifier needs at least 2 classes in y, got {len(classes)} class"
        )
