"""GRURegressor: one number or vector for each sequence. Training is in :mod:`.base`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from pygru.sklearn.base import SupervisedEstimator
from pygru.sklearn.sequences import Sequences, checked_weights
from pygru.sklearn.undo import all_or_nothing
from pygru.typing import Floats


class GRURegressor(RegressorMixin, SupervisedEstimator):  # type: ignore[misc]
    """Predicts numbers from sequences with a GRU.

    One or more GRUs read the sequence, their outputs are pooled over time, and a linear layer
    gives the numbers. The loss is the mean squared error. For training, each target is scaled
    to mean 0 and standard deviation 1, so targets may have any unit.

    Parameters
    ----------
    hidden_layer_sizes, bidirectional, dropout, recurrent_dropout, variant, pooling, embedding
        The model, as for :class:`GRUClassifier`.
    solver, alpha, batch_size, learning_rate_init, learning_rate, max_iter, tol, clip_norm
        The training, as for :class:`GRUClassifier`. The loss, which is compared with ``tol``,
        is that of the scaled targets.
    early_stopping, validation_fraction, n_iter_no_change
        As for :class:`GRUClassifier`. The score is R squared.
    random_state, warm_start, verbose, n_threads
        As for :class:`GRUClassifier`.

    Attributes
    ----------
    model_ : Sequential
        The trained model, which predicts the scaled targets.
    y_mean_, y_scale_ : ndarray
        (outputs,) the mean and the standard deviation of each target in the training data;
        the scale of a constant target is 1.
    n_outputs_ : int
        The number of targets.
    n_features_in_, n_iter_, loss_curve_, best_loss_, validation_scores_
        As for :class:`GRUClassifier`, and so is ``best_validation_score_``.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.sklearn import GRURegressor
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal((rng.integers(5, 15), 2)) for _ in range(60)]
    >>> y = 1000 + 100 * np.array([sequence[:, 0].mean() for sequence in X])
    >>> model = GRURegressor(8, max_iter=60, learning_rate_init=0.02, tol=1e-2, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.8)
    True
    """

    _loss = "mse"

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
            (n,) or (n, outputs) targets.
        sample_weight : array_like, optional
            (n,) how much each sample counts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data do not fit together, or contain NaN or infinities.
        DivergenceError
            If the loss becomes infinite or NaN.
        """
        goes_on = bool(self.warm_start) and hasattr(self, "model_")
        sequences = self._read(X, reset=not goes_on)
        targets = self._targets(y, sequences, is_new=not goes_on)
        weights = checked_weights(sample_weight, sequences)
        if not goes_on:
            self._scale_like(targets, weights)
        scaled = (targets - self.y_mean_) / self.y_scale_
        self._fit_model(sequences, scaled, weights, self.n_outputs_, reset=not goes_on)
        return self

    @all_or_nothing
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch on the given samples; the first call makes the model.

        The first call also decides how the targets are scaled.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.

        Returns
        -------
        self
        """
        is_new = not hasattr(self, "model_")
        sequences = self._read(X, reset=is_new)
        targets = self._targets(y, sequences, is_new=is_new)
        weights = checked_weights(sample_weight, sequences)
        if is_new:
            self._random = check_random_state(self.random_state)
            self._scale_like(targets, weights)
            self._start(self._model_for(sequences, self.n_outputs_))
        self._fit_epoch(sequences, (targets - self.y_mean_) / self.y_scale_, weights)
        return self

    def _targets(self, y: Any, X: Sequences, *, is_new: bool) -> Floats:
        """The targets as (n, outputs) in double precision."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target "
                "y is None."
            )
        array: Floats = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(X.values, array)
        targets = array[:, np.newaxis] if array.ndim == 1 else array
        if is_new:
            self.n_outputs_ = targets.shape[1]
        elif targets.shape[1] != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} outputs, got {targets.shape[1]}")
        self._is_flat = array.ndim == 1
        return targets

    def _scale_like(self, targets: Floats, weights: Floats | None) -> None:
        """Keep the mean and the standard deviation of the targets."""
        mean = np.average(targets, axis=0, weights=weights)
        spread = np.sqrt(np.average((targets - mean) ** 2, axis=0, weights=weights))
        # A spread that is only rounding is that of a constant.
        is_constant = spread <= 1e-12 * np.abs(mean)
        self.y_mean_ = mean
        self.y_scale_ = np.where(is_constant, 1.0, spread)

    def _score_of(self, X: Sequences, target: Any, weights: Floats | None) -> float:
        return float(r2_score(target, self._outputs(X), sample_weight=weights))

    def predict(self, X: Any) -> Floats:
        """Return the predictions, (n,) or (n, outputs) like y."""
        check_is_fitted(self)
        sequences = self._read(X, reset=False)
        result = self._outputs(sequences).astype(np.float64) * self.y_scale_ + self.y_mean_
        predictions: Floats = result[:, 0] if self._is_flat else result
        return predictions

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
