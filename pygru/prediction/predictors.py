"""What computes a chunk: a model, a trainer, an estimator of scikit-learn, or any function.

Nothing here reads or writes data. The results are those of one call on the whole data, because
a sequence has the same bits in any batch.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pygru.core import threads, validation
from pygru.data.padding import unpad_sequences
from pygru.io.native import describe
from pygru.nn.model import Model
from pygru.prediction import hashes
from pygru.prediction.chunks import BATCH, Chunk
from pygru.prediction.hashes import Fingerprint
from pygru.train.arguments import check_model
from pygru.train.descriptions import describe_function
from pygru.train.loss_kinds import kind_of
from pygru.train.prediction import chosen_classes, outputs_of
from pygru.train.reading import Reader, layers_of
from pygru.train.trainer import Trainer
from pygru.typing import Floats

#: The predictions of a chunk: one row for each sequence; a list if they differ in length.
Predictions = NDArray[Any] | list[NDArray[Any]]


class Predictor(Protocol):
    """Computes predictions."""

    #: Bytes that computing one step of one sequence takes beside the data, about.
    step_bytes: int
    #: Whether a step of a sequence is a token and not a vector.
    reads_tokens: bool
    #: Whether an array of two axes has a prediction for each step, as far as it is known.
    has_steps: bool
    #: What is called.
    method: str
    #: Whether it may be called for the first sequence alone, to see what it returns.
    may_try: bool

    def __call__(self, chunk: Chunk) -> Predictions:
        """Return the predictions for a chunk."""

    def fingerprint(self) -> Fingerprint:
        """What tells this model from others, as far as that can be known."""


def predictor_of(model: Any, method: str | None, n_threads: int | None) -> Predictor:
    """Return what computes the predictions of ``model``.

    Raises
    ------
    TypeError, ValueError
        If it cannot predict, or has no such method.
    """
    threads.resolve(n_threads)
    if isinstance(model, Trainer):
        method = validation.check_choice(
            "method", "predict" if method is None else method, ("predict", "predict_classes")
        )
        chosen = model.n_threads if n_threads is None else n_threads
        return (
            OfModel(model.model, chosen) if method == "predict" else OfClassesOf(model, chosen)
        )
    if isinstance(model, Model):
        if method not in (None, "predict"):
            raise ValueError(
                f"method must be None for a {validation.type_name(model)}, which only predicts "
                f"outputs, got {validation.shown(method)}"
            )
        check_model(model)
        return OfModel(model, n_threads)
    if isinstance(model, type):
        raise TypeError(f"model must be an object, got the class {model.__name__}")
    if method is None:
        method = next((name for name in ("predict", "transform") if hasattr(model, name)), None)
    elif not callable(getattr(model, method, None)):
        raise ValueError(
            f"method: a {validation.type_name(model)} has no method {validation.shown(method)}"
        )
    if method is not None:
        return OfEstimator(model, method, n_threads)
    if callable(model):
        return OfFunction(model, n_threads)
    raise TypeError(
        "model must be a model of pygru, a Trainer, an estimator or a function, got "
        f"{validation.type_name(model)}"
    )


class OfModel:
    """The outputs of a model, as :meth:`Trainer.predict` returns them."""

    may_try = True
    method = "predict"

    def __init__(self, model: Model, n_threads: int | None) -> None:
        self._model = model
        self._n_threads = n_threads
        self.step_bytes = _step_bytes(model)
        self.reads_tokens = model.reads == "tokens"
        self.has_steps = model.predicts_steps
        self._change: Callable[[Floats], NDArray[Any]] = lambda output: output

    def __call__(self, chunk: Chunk) -> Predictions:
        """Return the outputs for a chunk, after checking its values."""
        try:
            return self._outputs(chunk)
        except (TypeError, ValueError) as error:
            error.args = (chunk.in_words_of_the_source(str(error)),)
            raise

    def _outputs(self, chunk: Chunk) -> Predictions:
        n_threads = threads.resolve(self._n_threads)
        with threads.single_threaded_blas(), threads.num_threads(n_threads):
            place = f"[{chunk.first}:{chunk.end}]"
            data = Reader(self._model, None).read(
                chunk.X,
                None,
                chunk.told.get("lengths"),
                None,
                chunk.told.get("mask"),
                chunk.told.get("reset"),
                names=(f"source{place}", "y"),
                mask_names=(f"mask{place}", f"reset{place}"),
            )
            return outputs_of(self._model, data, BATCH, self._change)

    def fingerprint(self) -> Fingerprint:
        """Hashes of the configuration and of all parameters."""
        return fingerprint_of_model(self._model)


class OfClassesOf(OfModel):
    """The classes that a trainer predicts."""

    method = "predict_classes"

    def __init__(self, trainer: Trainer, n_threads: int | None) -> None:
        super().__init__(trainer.model, n_threads)
        kind = kind_of(trainer.loss)
        if kind not in ("classes", "binary"):
            raise ValueError(
                "method='predict_classes' needs loss='cross_entropy' or 'bce_with_logits', got "
                f"{describe_function(trainer.loss)}"
            )
        self._change = functools.partial(chosen_classes, kind=kind, classes=trainer.classes)
        classes = [] if trainer.classes is None else trainer.classes.tolist()
        self._labels = f"{kind} {classes}"

    def fingerprint(self) -> Fingerprint:
        """The same with the labels."""
        return {**super().fingerprint(), "classes": self._labels}


class OfEstimator:
    """What a method of an estimator returns."""

    may_try = True

    def __init__(self, estimator: Any, method: str, n_threads: int | None) -> None:
        self._estimator = estimator
        self.method = method
        self._n_threads = n_threads
        model: Any = getattr(estimator, "model_", None)
        is_model = isinstance(model, Model)
        self.step_bytes = _step_bytes(model) if is_model else 0
        self.reads_tokens = is_model and model.reads == "tokens"
        # The model of a transformer was trained to predict steps; what it returns is another.
        self.has_steps = is_model and method != "transform" and model.predicts_steps

    def __call__(self, chunk: Chunk) -> Predictions:
        """Return the results for a chunk; padding is taken away before."""
        X = chunk.X
        told = dict(chunk.told)
        lengths = told.pop("lengths", None)
        _refuse(told, "an estimator")
        if lengths is not None:
            X = unpad_sequences(X, lengths)
        # Estimators refuse data without any step, which a whole call would not be.
        no_steps = isinstance(X, list) and not any(np.size(each) for each in X)
        if no_steps and np.ndim(X[0]):
            X = [*X, np.zeros((1, *np.shape(X[0])[1:]))]
        with threads.num_threads(threads.resolve(self._n_threads)):
            try:
                found = getattr(self._estimator, self.method)(X)
            except Exception as error:
                error.add_note(f"X is {chunk.place}")
                raise
        return _checked(found[: chunk.size] if no_steps else found, chunk, self.method)

    def fingerprint(self) -> Fingerprint:
        """A hash of everything the estimator holds."""
        import joblib  # which scikit-learn needs

        return {
            "class": type(self._estimator).__qualname__,
            "parameters": hashes.HASH + str(joblib.hash(self._estimator)),
        }


class OfFunction:
    """What a function returns for a chunk."""

    may_try = False
    method = "call"

    def __init__(self, function: Callable[..., Any], n_threads: int | None) -> None:
        self._function = function
        self._n_threads = n_threads
        self.step_bytes = 0
        self.reads_tokens = False
        self.has_steps = False

    def __call__(self, chunk: Chunk) -> Predictions:
        """Return the results for a chunk."""
        with threads.num_threads(threads.resolve(self._n_threads)):
            return _checked(self._function(chunk.X, **chunk.told), chunk, "model")

    def fingerprint(self) -> Fingerprint:
        """The name of the function: what it does cannot be known."""
        function: Any = self._function
        while isinstance(function, functools.partial):
            function = function.func
        named = function if hasattr(function, "__qualname__") else type(function)
        return {"class": "function", "name": f"{named.__module__}.{named.__qualname__}"}


def fingerprint_of_model(model: Model) -> Fingerprint:
    """Return hashes of a model's configuration and of all its parameters."""
    try:
        text = json.dumps(describe(model), sort_keys=True)
    except (TypeError, ValueError):  # of a user's own, which cannot be saved
        text = f"{type(model).__module__}.{type(model).__qualname__} {model!r}"
    configuration = hashlib.blake2b(text.encode(), digest_size=16)
    found = hashlib.blake2b(digest_size=16)
    for name, values in model.parameters.items():
        found.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        found.update(np.ascontiguousarray(values).tobytes())
    return {
        "class": type(model).__qualname__,
        "configuration": hashes.text(configuration),
        "weights": hashes.text(found),
    }


def _step_bytes(model: Model) -> int:
    """About how many bytes a model needs to compute one step of one sequence.

    These are the outputs of its layers and, in a recurrent layer, the products of the gates.
    """
    dtypes = [values.dtype for values in model.parameters.values()]
    features = 0
    for layer in layers_of(model):
        width = layer.output_size or 0
        features += width + (3 * width if layer.is_recurrent else 0)
    itemsize = np.result_type(*dtypes).itemsize if dtypes else 8
    return features * itemsize


def _checked(found: Any, chunk: Chunk, name: str) -> Predictions:
    """Return results as arrays, after checking that there is one for each sequence."""
    if isinstance(found, np.ndarray) and found.dtype == object and found.ndim == 1:
        found = list(found)
    if isinstance(found, (list, tuple)) and any(np.ndim(each) for each in found):
        result: Predictions = [np.asarray(each) for each in found]
        if len({each.shape[1:] for each in result if each.ndim}) != 1:
            shapes = sorted({str(np.shape(each)) for each in found})
            raise ValueError(
                f"{name} must return arrays of equal features for the sequences of "
                f"{chunk.place}, got shapes {', '.join(shapes[:5])}"
            )
    else:
        result = np.asarray(found)
        if result.ndim == 0:
            raise TypeError(
                f"{name} must return an array, or a list with one array for each sequence, got "
                f"{validation.type_name(found)}"
            )
    if len(result) != chunk.size:
        raise ValueError(
            f"{name} must return {chunk.size} predictions, one for each sequence of "
            f"{chunk.place}, got {len(result)}"
        )
    return result


def _refuse(told: Mapping[str, Any], whom: str) -> None:
    for name in told:
        raise ValueError(f"{name} must be None for {whom}")
