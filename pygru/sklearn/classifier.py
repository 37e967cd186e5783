"""GRUClassifier: one label for each sequence. The training itself is in :mod:`.base`."""

from __future__ import annotations

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
from pygru.sklearn.sequences import Sequences, checked_weights
from pygru.sklearn.undo import all_or_nothing
from pygru.typing import Floats


class GRUClassifier(ClassifierMixin, SupervisedEstimator):  # type: ignore[misc]
    """Classifies sequences with a GRU.

    One or more GRUs read the sequence, their outputs are pooled over time, and a linear layer
    gives a score to each class. The loss is the cross-entropy.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int
        The hidden size of each GRU, one after the other.
    bidirectional : bool
        Whether each GRU also reads the sequence from its end.
    dropout : float
        Probability in [0, 1] with which outputs of the GRUs are set to zero in training.
    recurrent_dropout : float
        The same for the state, with one mask per sequence, as in :class:`pygru.GRU`.
    variant : {"chung", "cho", "pytorch"} or Variant
        The equations of the GRU.
    pooling : {"last", "mean", "max"}
        What represents the sequence: the output of its last step, or the mean or the largest
        value of each feature over all steps.
    embedding : int, (int, int) or None
        For tokens: the size of their vectors, or the number of tokens and this size. X then
        holds integers >= 0. By default the number of tokens is the largest one in ``fit`` + 1.
    solver : {"adam", "adamw", "sgd", "rmsprop"}
        The optimiser. ``"sgd"`` has Nesterov's momentum of 0.9.
    alpha : float
        The weight decay of the optimiser: ``alpha * weight`` is added to each gradient, except
        for ``"adamw"``, which decouples it.
    batch_size : int or "auto"
        Samples per step. ``"auto"`` is a fiftieth of the samples, at least 32 and at most 256.
    learning_rate_init : float
        The learning rate.
    learning_rate : {"constant", "adaptive"}
        ``"adaptive"`` divides the rate by 5 where training would otherwise end.
    max_iter : int
        The largest number of epochs.
    tol : float
        Training ends if the loss has improved by less than ``tol`` in more than
        ``n_iter_no_change`` epochs in a row.
    early_stopping : bool
        Whether to keep some samples for validation, watch the score on them instead of the
        loss, and keep the weights with the best score.
    validation_fraction : float
        The share of the samples that is kept then.
    n_iter_no_change : int
        See ``tol``.
    clip_norm : float or None
        Largest joint norm of all gradients.
    class_weight : dict, "balanced" or None
        The weight of each class, as everywhere in scikit-learn.
    random_state : int, RandomState or None
        An int gives the same weights, bit for bit, in every call of ``fit``.
    warm_start : bool
        Whether ``fit`` continues from the weights of the last ``fit``.
    verbose : bool
        Whether to show a progress bar.
    n_threads : int or None
        Threads of this estimator, None for the number of :func:`pygru.set_num_threads`. The
        result does not depend on it. One thread suits small models and parallel searches.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    model_ : Sequential
        The trained model. :func:`pygru.save` writes it to a file.
    n_features_in_ : int
        The features per step, or the number of columns if X was a table.
    n_iter_ : int
        The epochs that were run.
    loss_curve_ : list of float
        The training loss of each epoch.
    best_loss_ : float or None
        The smallest of them; None with ``early_stopping``.
    validation_scores_, best_validation_score_
        The score of each epoch and the best one, with ``early_stopping``; else None.

    Notes
    -----
    Sequences have equal or different lengths: X is (n, T), one number per step; (n, T, F); or
    a list or an object array of n arrays (T_i,) or (T_i, F). float32 data are computed in
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
    """

    _loss = "cross_entropy"
    classes_: NDArray[Any]

    def __init__(
        self,
        hidden_layer_sizes: Any = (64,),
        *,
        bidirectional: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        variant: Any = "chung",
        pooling: str = "last",
        embedding: Any = None,
        solver: str = "adam",
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.002,
        learning_rate: str = "constant",
        max_iter: int = 200,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        clip_norm: float | None = 1.0,
        class_weight: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
        n_threads: int | None = 1,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.variant = variant
        self.pooling = pooling
        self.embedding = embedding
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.clip_norm = clip_norm
        self.class_weight = class_weight
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.n_threads = n_threads

    @all_or_nothing
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the model.

        Parameters
        ----------
        X : array_like or list of array_like
            (n, T), (n, T, F), or n sequences (T_i,) or (T_i, F).
        y : array_like
            (n,) labels of any kind.
        sample_weight : array_like, optional
            (n,) how much each sample counts.

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
        goes_on = bool(self.warm_start) and hasattr(self, "model_")
        sequences = self._read(X, reset=not goes_on)
        labels = self._labels(y, sequences)
        classes = np.unique(labels)
        if goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the last fit, {self.classes_}, got {classes}"
            )
        _check_count(classes)
        weights = self._weights(sample_weight, sequences, labels)
        self.classes_ = classes
        target = np.searchsorted(classes, labels)
        self._fit_model(sequences, target, weights, len(classes), reset=not goes_on)
        return self

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
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
        labels = self._labels(y, sequences)
        unknown = np.setdiff1d(labels, known)
        if unknown.size:
            raise ValueError(f"y contains labels that are not in classes: {unknown}")
        weights = self._weights(sample_weight, sequences, labels)
        if is_new:
            self._random = check_random_state(self.random_state)
            self.classes_ = known
            self._start(self._model_for(sequences, len(known)))
        self._fit_epoch(sequences, np.searchsorted(known, labels), weights)
        return self

    def _labels(self, y: Any, X: Sequences) -> NDArray[Any]:
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target "
                "y is None."
            )
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        labels: NDArray[Any] = column_or_1d(array, warn=True)
        check_consistent_length(X.values, labels)
        check_classification_targets(labels)
        return labels

    def _weights(
        self, sample_weight: ArrayLike | None, X: Sequences, labels: NDArray[Any]
    ) -> Floats | None:
        weights = checked_weights(sample_weight, X)
        if self.class_weight is None:
            return weights
        of_classes: Floats = compute_sample_weight(self.class_weight, labels)
        return of_classes if weights is None else of_classes * weights

    def _strata(self, target: Any) -> Any:
        return target

    def _score_of(self, X: Sequences, target: Any, weights: Floats | None) -> float:
        found = np.argmax(self._outputs(X), axis=1)
        return float(accuracy_score(target, found, sample_weight=weights))

    def _logits(self, X: Any) -> Floats:
        check_is_fitted(self)
        logits: Floats = self._outputs(self._read(X, reset=False)).astype(np.float64)
        return logits

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each sequence, (n,)."""
        best = np.argmax(self._logits(X), axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, (n, classes), in the order of ``classes_``."""
        logits = self._logits(X)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithm of :meth:`predict_proba`, computed without its underflow."""
        logits = self._logits(X)
        shifted = logits - logits.max(axis=1, keepdims=True)
        result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return result

    def decision_function(self, X: Any) -> Floats:
        """Return the scores of the classes, (n, classes); for two classes their difference."""
        logits = self._logits(X)
        if len(self.classes_) > 2:
            return logits
        difference: Floats = logits[:, 1] - logits[:, 0]
        return difference


def _check_count(classes: NDArray[Any]) -> None:
    if len(classes) < 2:
        raise ValueError(
            f"GRUClassifier needs at least 2 classes in y, got {len(classes)} class"
        )
