"""What the estimators share: their parameters become a model, a trainer and a stopping rule.

Data are read in :mod:`pygru.sklearn.sequences`. What is predicted, and with which loss, is in
the estimators' own files.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from pygru.core import validation
from pygru.core.pickled import naming, refuse
from pygru.gru import GRU
from pygru.nn.attention_pooling import AttentionOverTime
from pygru.nn.dropout import Dropout
from pygru.nn.embedding import Embedding
from pygru.nn.last import Last
from pygru.nn.layer import Layer
from pygru.nn.linear import Linear
from pygru.nn.model import Model
from pygru.nn.pooling import MaxOverTime, MeanOverTime
from pygru.nn.sequential import Sequential
from pygru.sklearn.parameters import SharedParameters, SupervisedParameters
from pygru.sklearn.sequences import Sequences, Values, read, take
from pygru.sklearn.state import (
    check_numbers,
    model_from,
    optimizer_from,
    plain_model,
    plain_optimizer,
)
from pygru.sklearn.steps import joined
from pygru.sklearn.stopping import Progress
from pygru.sklearn.undo import all_or_nothing
from pygru.train.arguments import callbacks_of
from pygru.train.callbacks import Callback
from pygru.train.optimizer_base import Optimizer
from pygru.train.optimizers import SGD, Adam, AdamW, RMSprop
from pygru.train.trainer import Trainer
from pygru.typing import Floats

SOLVERS = ("adam", "adamw", "sgd", "rmsprop")
LEARNING_RATES = ("constant", "invscaling", "adaptive")
#: Samples of a prediction that run together; no result depends on it.
PREDICTED_TOGETHER = 256


class SequenceEstimator(SharedParameters, BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators."""

    model_: Sequential
    _poolings: tuple[str, ...]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__().copy()
        if "model_" in state:
            state["model_"] = plain_model(self.model_)
            state["_optimizer"] = plain_optimizer(self._optimizer)
        return state

    @all_or_nothing
    def __setstate__(self, state: Mapping[str, Any]) -> None:
        cls = type(self)
        if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
            refuse(cls, f"it must be a dict from names to values, got {type(state).__name__}")
        missing = [name for name in cls._get_param_names() if name not in state]
        if missing:
            refuse(cls, f"it has no {missing[0]}")
        with naming(cls):
            state = dict(state)
            if "model_" in state:
                state["model_"] = model_from(state["model_"])
                state["_optimizer"] = optimizer_from(state["_optimizer"])
            super().__setstate__(state)
            if "model_" in state:
                self._check_found()

    def _check_found(self) -> None:
        """Raise unless what fit has found out is complete and fits the model."""
        for name, least in (("n_features_in_", 1), ("_n_step_features", 1)):
            validation.check_int(name, getattr(self, name), least)
        for name in ("n_iter_", "t_"):
            validation.check_int(name, getattr(self, name), 0)
        validation.check_bool("_is_table", self._is_table)
        if not isinstance(self._random, np.random.RandomState):
            raise TypeError(
                f"_random must be a RandomState, got {validation.type_name(self._random)}"
            )
        check_numbers("loss_curve_", self.loss_curve_)
        if self.loss_curve_:
            validation.check_number("loss_", self.loss_)
        if self.best_loss_ is not None:
            validation.check_number("best_loss_", self.best_loss_)
        if not isinstance(self.model_, Sequential):
            raise TypeError(
                f"model_ must be a Sequential, got {validation.type_name(self.model_)}"
            )
        if self.model_.input_size not in (None, self._n_step_features):
            raise ValueError(
                f"model_ must read {self._n_step_features} features, not "
                f"{self.model_.input_size}"
            )

    def _check_outputs(self, name: str, count: int) -> None:
        """Raise unless the model has as many outputs as the attribute of this name says."""
        if self.model_.output_size != count:
            raise ValueError(
                f"{name} must be {self.model_.output_size} like the outputs of model_, "
                f"got {count}"
            )

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
        validation.check_fraction("dropout", self.dropout)
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

    def _pooling_layer(self, features: int, *, bidirectional: bool, dtype: Any) -> Layer:
        kind = validation.check_choice("pooling", self.pooling, self._poolings)
        if kind == "last":
            return Last(bidirectional=bidirectional)
        if kind == "attention":
            return AttentionOverTime(features, dtype=dtype)
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
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = None
        self.t_ = 0
        self._restart()

    def _restart(self) -> None:
        """Take a new optimiser, and count epochs from 0."""
        self._optimizer = self._optimizer_of()
        self.n_iter_ = 0

    def _run(
        self,
        X: Values,
        y: Any,
        *,
        loss: Any,
        epochs: int,
        weights: Any = None,
        progress: Progress,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        """Train for some epochs, and keep what they have shown, also after Ctrl-C."""
        trainer = Trainer(
            self.model_,
            loss=loss,
            optimizer=self._optimizer,
            clip_norm=self.clip_norm,
            callbacks=[progress, *callbacks_of(callbacks)],
            seed=int(self._random.randint(np.iinfo(np.int32).max)),
            n_threads=self.n_threads,
        )
        progress.rate_after = self._rates_after(len(X))
        try:
            trainer.fit(
                X,
                y,
                epochs=epochs,
                batch_size=self._batch_size_of(len(X)),
                sample_weight=weights,
                progress=bool(self.verbose),
            )
        finally:
            progress.restore(self.model_)
            self._keep(progress, len(X))

    def _keep(self, progress: Progress, samples: int) -> None:
        """Add the epochs of a run to those before. Lists are new, so that fit can undo this."""
        self.n_iter_ += len(progress.losses)
        self.t_ += len(progress.losses) * samples
        self.loss_curve_ = [*self.loss_curve_, *progress.losses]
        if self.loss_curve_:
            self.loss_ = self.loss_curve_[-1]
            self.best_loss_ = min(self.loss_curve_)

    def _rates_after(self, samples: int) -> Callable[[int], float] | None:
        """The learning rate after so many epochs; None if the optimiser keeps its own."""
        if self.learning_rate != "invscaling":
            return None
        power = validation.check_not_negative("power_t", self.power_t)
        first, seen = float(self.learning_rate_init), self.t_
        return lambda epochs: first / (seen + epochs * samples + 1) ** power

    def _progress_of(self, score: Any = None) -> Progress:
        rate = validation.check_choice("learning_rate", self.learning_rate, LEARNING_RATES)
        return Progress(
            validation.check_not_negative("tol", self.tol),
            validation.check_int("n_iter_no_change", self.n_iter_no_change, 1),
            adaptive=rate == "adaptive",
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


class SupervisedEstimator(SupervisedParameters, SequenceEstimator):
    """What the classifier and the regressor share: fit and partial_fit.

    Their targets and weights are arrays with a row for each sequence, or, without pooling, a
    row for each step of all sequences.
    """

    _loss: str
    _poolings = ("last", "mean", "max", "attention")
    validation_scores_: list[float] | None
    best_validation_score_: float | None

    def _goes_on(self) -> bool:
        """Whether fit continues from the last weights."""
        return bool(self.warm_start) and hasattr(self, "model_")

    def _predicts_steps(self, *, is_new: bool) -> bool:
        """Whether there is a prediction for every step, by a new model or by ``model_``."""
        return self.pooling is None if is_new else self.model_.predicts_steps

    def _model_for(self, X: Sequences, outputs: int) -> Sequential:
        both = validation.check_bool("bidirectional", self.bidirectional)
        layers, features = self._recurrent_layers(X, bidirectional=both)
        if self.pooling is not None:
            layers.append(self._pooling_layer(features, bidirectional=both, dtype=X.dtype))
        if self.dropout:
            layers.append(Dropout(self.dropout))
        return Sequential(*layers, Linear(features, outputs, dtype=X.dtype))

    def _check_found(self) -> None:
        super()._check_found()
        if self.validation_scores_ is not None:
            check_numbers("validation_scores_", self.validation_scores_)
        if self.best_validation_score_ is not None:
            validation.check_number("best_validation_score_", self.best_validation_score_)

    def _start(self, model: Sequential) -> None:
        super()._start(model)
        self.validation_scores_ = self.best_validation_score_ = None

    def _keep(self, progress: Progress, samples: int) -> None:
        super()._keep(progress, samples)
        if progress.score is None:
            self.validation_scores_ = self.best_validation_score_ = None
            return
        self.best_loss_ = None
        self.validation_scores_ = [*(self.validation_scores_ or []), *progress.scores]
        self.best_validation_score_ = -progress.best

    def _score_of(self, X: Sequences, target: Any, weights: Floats | None) -> float:
        """The score of held-out data, from the targets of the model."""
        raise NotImplementedError(f"{type(self).__name__} must define _score_of()")

    def _fit_model(
        self,
        X: Sequences,
        target: NDArray[Any],
        weights: Floats | None,
        outputs: int,
        callbacks: Iterable[Callback],
    ) -> None:
        """Train until nothing improves; ``target`` is what the loss compares with."""
        epochs = self._epochs()
        goes_on = self._goes_on()
        self._random = check_random_state(self.random_state)
        if goes_on:
            self._restart()
        else:
            self._start(self._model_for(X, outputs))
        data = X, self._divided(X, target), self._divided(X, weights)
        score = None
        if self.early_stopping:
            data, held_out = self._split(*data)

            def score() -> float:
                return self._score_of(*held_out)

        progress = self._progress_of(score)
        if goes_on and self.early_stopping:
            progress.consider(self.model_)
        self._train(data, progress, epochs, callbacks)
        self._warn_unless(progress.converged)

    def _fit_epoch(self, X: Sequences, target: NDArray[Any], weights: Floats | None) -> None:
        """Train for one epoch, in partial_fit."""
        data = X, self._divided(X, target), self._divided(X, weights)
        self._train(data, self._progress_of(), 1, ())

    def _train(
        self, data: Any, progress: Progress, epochs: int, callbacks: Iterable[Callback]
    ) -> None:
        X, target, weights = data
        self._run(
            X.values,
            target,
            loss=self._loss,
            epochs=epochs,
            weights=weights,
            progress=progress,
            callbacks=callbacks,
        )

    def _refuse_none(self, y: Any) -> None:
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target "
                "y is None."
            )

    def _refuse_early_stopping(self) -> None:
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")

    def _divided(self, X: Sequences, rows: NDArray[Any] | None) -> Any:
        """Rows of the targets or weights as the Trainer takes them."""
        if rows is None or not self.model_.predicts_steps:
            return rows
        return X.divided(rows)

    def _joined(self, values: Any) -> Any:
        """The rows that :meth:`_divided` has divided."""
        return values if values is None or not self.model_.predicts_steps else joined(values)

    def _as_given(self, X: Sequences, rows: NDArray[Any]) -> Any:
        """Rows of a prediction, for steps in the form in which X was given."""
        return X.as_given(X.divided(rows)) if self.model_.predicts_steps else rows

    def _split(self, X: Sequences, target: Any, weights: Any) -> tuple[Any, Any]:
        """A part for training and a part for validation, drawn from the random state."""
        share = validation.check_fraction("validation_fraction", self.validation_fraction)
        try:
            train, held_out = train_test_split(
                np.arange(len(X)),
                test_size=share,
                random_state=self._random,
                stratify=None if self.model_.predicts_steps else self._strata(target),
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot keep validation_fraction={share} of {len(X)} samples "
                f"for validation: {error}"
            ) from None

        def part(index: Any) -> tuple[Sequences, Any, Any]:
            return (
                X.take(index),
                take(target, index),
                None if weights is None else take(weights, index),
            )

        return part(train), part(held_out)

    def _strata(self, target: Any) -> Any:
        return None
