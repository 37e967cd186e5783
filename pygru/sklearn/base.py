"""What the estimators share: their parameters become a model, a trainer and a stopping rule.

Data are read in :mod:`pygru.sklearn.sequences`. What is predicted, and with which loss, is in
the estimators' own files.
"""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from pygru.core import validation
from pygru.gru import GRU
from pygru.nn.dropout import Dropout
from pygru.nn.embedding import Embedding
from pygru.nn.last import Last
from pygru.nn.layer import Layer
from pygru.nn.linear import Linear
from pygru.nn.model import Model
from pygru.nn.pooling import MaxOverTime, MeanOverTime
from pygru.nn.sequential import Sequential
from pygru.sklearn.sequences import Sequences, read
from pygru.sklearn.stopping import Progress
from pygru.train.optimizer_base import Optimizer
from pygru.train.optimizers import SGD, Adam, AdamW, RMSprop
from pygru.train.trainer import Trainer
from pygru.typing import Floats

SOLVERS = ("adam", "adamw", "sgd", "rmsprop")
#: Samples of a prediction that run together; no result depends on it.
PREDICTED_TOGETHER = 256


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators; subclasses list the parameters in their ``__init__``."""

    model_: Sequential

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # ---- from parameters to objects --------------------------------------------------------

    @property
    def _sizes(self) -> tuple[int, ...]:
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, Integral):
            sizes = (sizes,)
        if not isinstance(sizes, (tuple, list, np.ndarray)) or not len(sizes):
            raise ValueError(
                f"hidden_layer_sizes must be an int or a sequence of them, got {sizes!r}"
            )
        return tuple(validation.check_int("hidden_layer_sizes", size, 1) for size in sizes)

    def _embedding_of(self, X: Sequences) -> tuple[int, int]:
        """The number of tokens and the size of their vectors."""
        embedding = self.embedding
        if isinstance(embedding, Integral):
            embedding = (X.largest + 1, embedding)
        if not isinstance(embedding, (tuple, list)) or len(embedding) != 2:
            raise ValueError(
                "embedding must be None, an int or (number of tokens, int), "
                f"got {self.embedding!r}"
            )
        tokens, size = (validation.check_int("embedding", value, 1) for value in embedding)
        return tokens, size

    def _recurrent_layers(
        self, X: Sequences, *, bidirectional: bool
    ) -> tuple[list[Model], int]:
        """The layers that read sequences, and the features of their output."""
        layers: list[Model] = []
        features = X.features
        if self.embedding is not None:
            tokens, features = self._embedding_of(X)
            layers.append(Embedding(tokens, features, dtype=X.dtype))
        for index, size in enumerate(self._sizes):
            if index and self.dropout:
                layers.append(Dropout(self.dropout))
            gru = GRU(
                features,
                size,
                batch_first=True,
                bidirectional=bidirectional,
                variant=self.variant,
                recurrent_dropout=self.recurrent_dropout,
                dtype=X.dtype,
            )
            layers.append(gru)
            features = gru.options.output_size
        return layers, features

    def _pooling_layer(self, *, bidirectional: bool) -> Layer:
        kind = validation.check_choice("pooling", self.pooling, ("last", "mean", "max"))
        if kind == "last":
            return Last(bidirectional=bidirectional)
        return MeanOverTime() if kind == "mean" else MaxOverTime()

    def _optimizer_of(self) -> Optimizer:
        solver = validation.check_choice("solver", self.solver, SOLVERS)
        rate = validation.check_positive("learning_rate_init", self.learning_rate_init)
        decay = validation.check_not_negative("alpha", self.alpha)
        if solver == "sgd":
            return SGD(rate, 0.9, nesterov=True, weight_decay=decay)
        if solver == "rmsprop":
            return RMSprop(rate, weight_decay=decay)
        return (Adam if solver == "adam" else AdamW)(rate, weight_decay=decay)

    def _batch_size_of(self, samples: int) -> int:
        if isinstance(self.batch_size, str) and self.batch_size == "auto":
            size = min(max(samples // 50, 32), 256)
        else:
            size = validation.check_int("batch_size", self.batch_size, 1)
        return min(size, samples)

    # ---- training --------------------------------------------------------------------------

    def _read(self, X: Any, *, reset: bool) -> Sequences:
        return read(self, X, tokens=self.embedding is not None, reset=reset)

    def _start(self, model: Sequential) -> None:
        """Take a new model, whose weights are drawn, and forget all epochs."""
        model.reseed(int(self._random.randint(np.iinfo(np.int32).max)))
        self.model_ = model
        self._forget()

    def _forget(self) -> None:
        self._optimizer = self._optimizer_of()
        self.n_iter_ = 0
        self.loss_curve_: list[float] = []

    def _run(
        self,
        X: Any,
        y: Any,
        *,
        loss: Any,
        epochs: int,
        weights: Floats | None = None,
        progress: Progress,
    ) -> None:
        """Train for some epochs, and keep what they have shown."""
        trainer = Trainer(
            self.model_,
            loss=loss,
            optimizer=self._optimizer,
            clip_norm=self.clip_norm,
            callbacks=[progress],
            seed=int(self._random.randint(np.iinfo(np.int32).max)),
            n_threads=self.n_threads,
        )
        trainer.fit(
            X,
            y,
            epochs=epochs,
            batch_size=self._batch_size_of(len(X)),
            sample_weight=weights,
            progress=bool(self.verbose),
        )
        if progress.best_weights is not None:
            for (values, _), best in zip(
                self.model_.flat_pairs, progress.best_weights, strict=True
            ):
                values[...] = best
        self.n_iter_ += len(progress.losses)
        self.loss_curve_ += progress.losses

    def _progress_of(self, score: Any = None) -> Progress:
        adaptive = validation.check_choice(
            "learning_rate", self.learning_rate, ("constant", "adaptive")
        )
        return Progress(
            validation.check_not_negative("tol", self.tol),
            validation.check_int("n_iter_no_change", self.n_iter_no_change, 1),
            adaptive=adaptive == "adaptive",
            score=score,
        )

    def _epochs(self) -> int:
        return validation.check_int("max_iter", self.max_iter, 1)

    def _warn_unless(self, converged: bool) -> None:
        if not converged:
            warnings.warn(
                f"{type(self).__name__}: maximum iterations ({self.max_iter}) reached and the "
                "training has not converged yet.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _outputs(self, X: Sequences) -> Any:
        """What the model predicts, without dropout."""
        trainer = Trainer(self.model_, n_threads=self.n_threads)
        return trainer.predict(X.values, batch_size=PREDICTED_TOGETHER)


class SupervisedEstimator(SequenceEstimator):
    """What the classifier and the regressor share: fit and partial_fit."""

    _loss: str

    def _model_for(self, X: Sequences, outputs: int) -> Sequential:
        both = validation.check_bool("bidirectional", self.bidirectional)
        layers, features = self._recurrent_layers(X, bidirectional=both)
        layers.append(self._pooling_layer(bidirectional=both))
        if self.dropout:
            layers.append(Dropout(self.dropout))
        return Sequential(*layers, Linear(features, outputs, dtype=X.dtype))

    def _score_of(self, X: Sequences, target: Any, weights: Floats | None) -> float:
        """The score of held-out data, from the targets of the model."""
        raise NotImplementedError(f"{type(self).__name__} must define _score_of()")

    def _fit_model(
        self, X: Sequences, target: Any, weights: Floats | None, outputs: int, *, reset: bool
    ) -> None:
        """Train until nothing improves; ``target`` is what the loss compares with."""
        epochs = self._epochs()
        if reset:
            self._random = check_random_state(self.random_state)
            self._start(self._model_for(X, outputs))
        else:
            self._random = check_random_state(self.random_state)
            self._forget()
        train = X, target, weights
        score = None
        self.validation_scores_ = self.best_validation_score_ = None
        if self.early_stopping:
            train, held_out = self._split(X, target, weights)

            def score() -> float:
                return self._score_of(*held_out)

        progress = self._progress_of(score)
        sequences, y, w = train
        self._run(
            sequences.values, y, loss=self._loss, epochs=epochs, weights=w, progress=progress
        )
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_)
        if self.early_stopping:
            self.validation_scores_ = progress.scores
            self.best_validation_score_ = max(progress.scores)
        self._warn_unless(progress.converged)

    def _split(self, X: Sequences, target: Any, weights: Floats | None) -> tuple[Any, Any]:
        """A part for training and a part for validation, drawn from the random state."""
        share = validation.check_fraction("validation_fraction", self.validation_fraction)
        train, held_out = train_test_split(
            np.arange(len(X)),
            test_size=share,
            random_state=self._random,
            stratify=self._strata(target),
        )

        def part(index: Any) -> tuple[Sequences, Any, Floats | None]:
            return X.take(index), target[index], None if weights is None else weights[index]

        return part(train), part(held_out)

    def _strata(self, target: Any) -> Any:
        return None

    def _fit_epoch(self, X: Sequences, target: Any, weights: Floats | None) -> None:
        """Train for one epoch, in partial_fit."""
        progress = self._progress_of()
        self._run(
            X.values, target, loss=self._loss, epochs=1, weights=weights, progress=progress
        )
        self.best_loss_ = min(self.loss_curve_)
