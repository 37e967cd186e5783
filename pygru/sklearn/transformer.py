"""GRUTransformer: features of sequences, from a GRU that learns to predict the next step."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pygru.core import validation
from pygru.nn.layer import Layer
from pygru.nn.linear import Linear
from pygru.nn.sequential import Sequential
from pygru.sklearn.base import PREDICTED_TOGETHER, SequenceEstimator
from pygru.sklearn.parameters import TransformerParameters, described
from pygru.sklearn.sequences import Sequences, Values
from pygru.sklearn.undo import all_or_nothing
from pygru.train.trainer import Trainer


@described(
    pooling=(
        '{"last", "mean", "max"}',
        "How the states of a sequence become one vector: the last one, or the mean or the "
        "largest value of each feature over all steps.",
    )
)
class GRUTransformer(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    TransformerParameters,
    SequenceEstimator,
):
    """Turns sequences into vectors, or into the states of a GRU, without labels.

    The GRU learns to predict the next step of each sequence from the steps before it. Its
    states then say what matters for what comes next, and a small model can work with them. The
    loss is the mean squared error, or the cross-entropy for tokens. The GRU reads in one
    direction only, because it predicts the future.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    model_ : Sequential
        The trained model, which predicts the next step.
    n_features_in_, feature_names_in_, n_iter_, t_, loss_, loss_curve_, best_loss_
        As for :class:`GRUClassifier`. Sequences of a single step have nothing to predict. If
        all are such, the weights stay random and ``best_loss_`` is None.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.sklearn import GRUTransformer
    >>> X = np.sin(np.arange(20) / 2 + np.arange(30)[:, np.newaxis])
    >>> features = GRUTransformer(8, tol=0.01, random_state=0).fit_transform(X)
    >>> features.shape
    (30, 8)
    """

    _poolings = ("last", "mean", "max")  # which have no weights to train

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the GRU to predict the next step.

        Parameters
        ----------
        X : array_like or list of array_like
            (n, T), (n, T, F), or n sequences (T_i,) or (T_i, F).
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X cannot be read, or contains NaN or infinities.
        """
        validation.check_choice("output", self.output, ("vector", "states"))
        epochs = self._epochs()
        sequences = self._read(X, reset=True)
        layers, features = self._recurrent_layers(sequences, bidirectional=False)
        outputs, loss = sequences.features, "mse"
        if self.embedding is not None:
            # One more output, because cross-entropy needs two classes.
            outputs, loss = max(self._embedding_of(sequences)[0], 2), "cross_entropy"
        self._recurrent = len(layers)
        self._n_features_out = features
        self._pooling()
        self._random = check_random_state(self.random_state)
        self._start(Sequential(*layers, Linear(features, outputs, dtype=sequences.dtype)))
        past, following = _steps(sequences.values)
        if any(len(sample) for sample in past):
            progress = self._progress_of()
            self._run(past, following, loss=loss, epochs=epochs, progress=progress)
            self._warn_unless(progress.converged)
        return self

    def _check_found(self) -> None:
        super()._check_found()
        layers = validation.check_int("_recurrent", self._recurrent, 1)
        shapes = self.model_.layer_shapes[:layers]
        if len(shapes) != layers or shapes[-1].features != self._n_features_out:
            raise ValueError(
                f"_n_features_out must be the features after {layers} layers of model_, got "
                f"{self._n_features_out}"
            )

    def transform(self, X: Any) -> Any:
        """Return the features of each sequence.

        Parameters
        ----------
        X : array_like or list of array_like
            As for :meth:`fit`.

        Returns
        -------
        ndarray or list of ndarray
            (n, H) vectors. With ``output="states"`` it is (n, T, H) for an array X, else a
            list, or an object array, of n arrays (T_i, H).
        """
        check_is_fitted(self)
        sequences: Sequences = self._read(X, reset=False)
        layers = list(self.model_.layers[: self._recurrent])
        if self.output == "vector":
            layers.append(self._pooling())
        trainer = Trainer(Sequential(*layers), n_threads=self.n_threads)
        features = trainer.predict(sequences.values, batch_size=PREDICTED_TOGETHER)
        return features if self.output == "vector" else sequences.as_given(features)

    def _pooling(self) -> Layer:
        return self._pooling_layer(self._n_features_out, bidirectional=False, dtype=None)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _steps(values: Values) -> tuple[Values, Values]:
    """All steps but the last, and all but the first, of each sequence that has two."""
    if isinstance(values, np.ndarray):
        return values[:, :-1], values[:, 1:]
    long = [sample for sample in values if len(sample) > 1]
    return [sample[:-1] for sample in long], [sample[1:] for sample in long]
