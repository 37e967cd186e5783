"""Predictions of a model or an estimator for the sequences of a Dask array.

One function, which says the dtype and the shape of its result before anything is computed. It
schedules nothing: Dask computes the blocks, on threads, on processes or on a cluster.
``import pygru`` does not import this module, since it needs Dask. In this module ``dask`` is
always that library, because all imports are absolute.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import dask
    import dask.array
except ModuleNotFoundError as error:
    if error.name != "dask":
        raise
    raise ImportError(
        'pygru.dask needs dask>=2024.8; install it with  pip install "pygru[dask]"'
    ) from None

from pygru.core.threads import num_threads
from pygru.core.validation import type_name
from pygru.nn.model import Model
from pygru.train.trainer import Trainer

__all__ = ["predict"]


def predict(model: Any, x: Any, *, method: str = "predict") -> Any:
    """Return the predictions for the sequences of a Dask array, as a Dask array.

    The result has the bits of a prediction for the whole array at once: that of
    :meth:`Trainer.predict` for a model of pygru, and that of the estimator's own method.
    Nothing is computed now, except the prediction for one sequence of zeros, from which the
    dtype and the shape follow. The model is sent to each worker once and not with every block.
    A block is computed by one thread, because Dask computes several blocks at the same time.

    Parameters
    ----------
    model : GRU, Sequential, layer, Trainer or estimator
        What predicts. A GRU must have ``batch_first=True``. An estimator is one of
        :mod:`pygru.sklearn`, or anything else with such methods, like a pipeline.
    x : dask.array.Array
        (n, T, F), (n, T), or tokens (n, T): n sequences of T steps. A block of the result
        belongs to a block of sequences. If the other axes are divided too, the pieces of each
        sequence are put together first. n may be unknown, and blocks may be empty.
    method : str
        The method that predicts: for an estimator it may be ``"predict_proba"``, for example.

    Returns
    -------
    dask.array.Array
        (n, ...) what the method returns.

    Raises
    ------
    TypeError
        If ``x`` is not a Dask array, or the model has no such method or returns no array with
        a row for each sequence.
    ValueError
        If the model cannot read such sequences, or the size of an axis after the first is
        unknown.

    Examples
    --------
    >>> import dask.array, pygru, pygru.dask
    >>> model = pygru.Sequential(pygru.GRU(3, 8, batch_first=True), pygru.Last(), seed=0)
    >>> x = dask.array.zeros((1000, 20, 3), chunks=(250, 20, 3))
    >>> found = pygru.dask.predict(model, x)
    >>> found.shape, found.dtype, found.chunks[0]
    ((1000, 8), dtype('float32'), (250, 250, 250, 250))
    """
    if not isinstance(x, dask.array.Array):
        raise TypeError(
            f"x must be a dask.array.Array, got {type_name(x)}; dask.array.from_array makes one"
        )
    if x.ndim < 2 or np.isnan(x.shape[1:]).any():
        raise ValueError(
            "x must have shape (n, T) or (n, T, F), of which only n may be unknown, "
            f"got {x.shape}"
        )
    if not isinstance(method, str):
        raise TypeError(f"method must be a text, got {type_name(method)}")
    one = _predicted(np.zeros((1, *x.shape[1:]), x.dtype), model, method)
    if not isinstance(one, np.ndarray) or one.shape[:1] != (1,):
        shape = getattr(one, "shape", None)
        got = type_name(one) if shape is None else f"{type_name(one)} of shape {shape}"
        raise TypeError(
            f"{method} must return an array with a row for each sequence, got {got} for one"
        )
    empty = one[:0]
    new_axes = dict(enumerate(one.shape[1:], x.ndim))
    return dask.array.blockwise(
        _block,
        (0, *new_axes),
        x,
        tuple(range(x.ndim)),
        token=method,
        new_axes=new_axes,
        concatenate=True,  # all pieces of a sequence, where the other axes are divided
        meta=empty,
        model=dask.delayed(model, pure=True, traverse=False),  # one object of the graph
        method=method,
        empty=empty,
    )


def _block(x: NDArray[Any], model: Any, method: str, empty: NDArray[Any]) -> NDArray[Any]:
    """The rows of one block. Estimators refuse an empty one, so it is not given to them."""
    return _predicted(x, model, method) if len(x) else empty


def _predicted(x: NDArray[Any], model: Any, method: str) -> Any:
    predictor = Trainer(model) if isinstance(model, Model) else model
    function = getattr(predictor, method, None)
    if not callable(function):
        raise TypeError(f"model must have a method {method}, got {type_name(model)}")
    with num_threads(1):
        return function(x)
