"""GRURegressor: numbers for each sequence, or for each step. Training is in :mod:`.base`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from pygru.core import validation
from pygru.sklearn.base import SupervisedEstimator
from pygru.sklearn.parameters import described
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
class GRURegressor(RegressorMixin, SupervisedEstimator):  # type: ignore[misc]
    """Predicts numbers from sequences, or for the steps of sequences, with a GRU.

    One or more GRUs read the sequence, their outputs are pooled over time, and a linear layer
    gives the numbers. With ``pooling=None`` it gives numbers at every step. The loss is the
    mean squared error. For training, each target is scaled to mean 0 and standard deviation 1,
    so targets may have any unit; ``tol`` is compared with the loss of the scaled targets.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    model_ : Sequential
        The trained model, which predicts the scaled targets.
    y_mean_, y_scale_ : ndarray
        (outputs,) the mean and the standard deviation of each target in the training data;
        the scale of a constant target is 1.
    n_outputs_ : int
        The number of targets.
    n_features_in_, feature_names_in_, n_iter_, t_, loss_, loss_curve_, best_loss_
        As for :class:`GRUClassifier`.
    validation_scores_, best_validation_score_
        As for :class:`GRUClassifier`. The score is R squared.

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
            (n,) or (n, outputs) targets. With ``pooling=None``, targets for each step: (n, T),
            (n, T, outputs), or n arrays (T_i,) or (T_i, outputs).
        sample_weight : array_like, optional
            (n,) how much each sample counts. With ``pooling=None`` also one weight for each
            step, (n, T) or n arrays (T_i,).
        callbacks : iterable of Callback
            As for :meth:`GRUClassifier.fit`.

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
        goes_on = self._goes_on()
        sequences, targets, weights = self._supervision(X, y, sample_weight, not goes_on)
        self._fit_model(sequences, targets, weights, self.n_outputs_, callbacks)
        return self

    @all_or_nothing
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
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
        self._refuse_early_stopping()
        is_new = not hasattr(self, "model_")
        sequences, targets, weights = self._supervision(X, y, sample_weight, is_new)
        if is_new:
            self._random = check_random_state(self.random_state)
            self._start(self._model_for(sequences, self.n_outputs_))
        self._fit_epoch(sequences, targets, weights)
        return self

    def _check_found(self) -> None:
        super()._check_found()
        validation.check_bool("_is_flat", self._is_flat)
        self._check_outputs("n_outputs_", self.n_outputs_)
        mean, scale = (
            validation.as_real(name, getattr(self, name), np.float64)
            for name in ("y_mean_", "y_scale_")
        )
        if not mean.shape == scale.shape == (self.n_outputs_,):
            raise ValueError(f"y_mean_ and y_scale_ must have shape ({self.n_outputs_},)")
        if not (np.isfinite(mean).all() and (scale > 0).all()):
            raise ValueError("y_mean_ must be finite, and y_scale_ above 0")

    def _supervision(
        self, X: Any, y: Any, sample_weight: Any, is_new: bool
    ) -> tuple[Sequences, Floats, Floats | None]:
        """The sequences, the scaled targets and the weights."""
        sequences = self._read(X, reset=is_new)
        per_step = self._predicts_steps(is_new=is_new)
        targets = self._targets(y, sequences, per_step=per_step)
        weights = (weights_of_steps if per_step else weights_of_samples)(
            sample_weight, sequences
        )
        self._is_flat = targets.ndim == 1
        targets = targets.reshape(len(targets), -1)
        if is_new:
            self.n_outputs_ = targets.shape[1]
            self._scale_like(targets, weights)
        elif targets.shape[1] != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} outputs, got {targets.shape[1]}")
        return sequences, (targets - self.y_mean_) / self.y_scale_, weights

    def _targets(self, y: Any, X: Sequences, *, per_step: bool) -> Floats:
        """The targets of each sequence, or of each step, (m,) or (m, outputs)."""
        self._refuse_none(y)
        if per_step:
            y = of_every_step("y", y, X)
        elif len(set(X.lengths.tolist())) > 1:  # else y may have as many outputs as steps
            refuse_steps(type(self).__name__, y, X)
        targets: Floats = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if not per_step:
            check_consistent_length(X.values, targets)
        return targets

    def _scale_like(self, targets: Floats, weights: Floats | None) -> None:
        """Keep the mean and the standard deviation of the targets."""
        mean = np.average(targets, axis=0, weights=weights)
        spread = np.sqrt(np.average((targets - mean) ** 2, axis=0, weights=weights))
        # A spread that is only rounding is that of a constant.
        is_constant = spread <= 1e-12 * np.abs(mean)
        self.y_mean_ = mean
        self.y_scale_ = np.where(is_constant, 1.0, spread)

    def _score_of(self, X: Sequences, target: Any, weights: Any) -> float:
        target, found, weights = map(self._joined, (target, self._outputs(X), weights))
        return float(r2_score(target, found, sample_weight=weights))

    def _predictions(self, X: Any) -> tuple[Sequences, Floats]:
        """The sequences, and the predicted targets, a row for each prediction."""
        check_is_fitted(self)
        sequences = self._read(X, reset=False)
        scaled = self._joined(self._outputs(sequences)).astype(np.float64)
        targets = scaled * self.y_scale_ + self.y_mean_
        return sequences, targets[:, 0] if self._is_flat else targets

    def predict(self, X: Any) -> Any:
        """Return the predictions.

        Parameters
        ----------
        X : array_like or list of array_like
            As for :meth:`fit`.

        Returns
        -------
        ndarray or list of ndarray
            (n,) or (n, outputs) like y. After a fit with ``pooling=None`` there is a prediction
            for each step: (n, T) or (n, T, outputs) for an array X, else a list, or an object
            array, of n arrays (T_i,) or (T_i, outputs).
        """
        sequences, targets = self._predictions(X)
        return self._as_given(sequences, targets)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R squared, over all sequences or over all steps of all sequences.

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
        sequences, found = self._predictions(X)
        targets = self._targets(y, sequences, per_step=True)
        weights = weights_of_steps(sample_weight, sequences)
        return float(r2_score(targets, found, sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
