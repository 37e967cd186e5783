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

from pygru.core.validation import type_name
from pygru.prediction.chunks import Chunk
from pygru.prediction.predictors import Predictions, predictor_of

__all__ = ["predict"]


def predict(model: Any, x: Any, *, method: str | None = None) -> Any:
    """Return the predictions for the sequences of a Dask array, as a Dask array.

    The result has the bits of one call for the whole array. Nothing is computed now, except
    the prediction for one sequence of zeros, from which the dtype and the shape follow. The
    model is sent to each worker once and not with every block. A block is computed by one
    thread, because Dask computes several blocks at the same time.

    Parameters
    ----------
    model : GRU, Sequential, layer, Trainer, estimator or function
        What predicts, as for :func:`pygru.predict`. A GRU must have ``batch_first=True``.
    x : dask.array.Array
        (n, T, F), (n, T), or tokens (n, T): n sequences of T steps. A block of the result
        belongs to a block of sequences. If the other axes are divided too, the pieces of each
        sequence are put together first. n may be unknown, and blocks may be empty.
    method : str, optional
        The method that is called, such as ``"predict_proba"`` of an estimator; as for
        :func:`pygru.predict`.

    Returns
    -------
    dask.array.Array
        (n, ...) a row for each sequence.

    Raises
    ------
    TypeError
        If ``x`` is not a Dask array, or the model cannot predict, or it returns no array.
    ValueError
        If the model cannot read such sequences or has no such method, or if the size of an axis
        after the first is unknown.

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
    if method is not None and not isinstance(method, str):
        raise TypeError(f"method must be a text, got {type_name(method)}")
    one = _predicted(np.zeros((1, *x.shape[1:]), x.dtype), model, method)
    if not isinstance(one, np.ndarray):
        raise TypeError(f"model must return an array for an array, got {type_name(one)}")
    empty = one[:0]
    new_axes = dict(enumerate(one.shape[1:], x.ndim))
    return dask.array.blockwise(
        _block,
        (0, *new_axes),
        x,
        tuple(range(x.ndim)),
        token=method or "predict",
        new_axes=new_axes,
        concatenate=True,  # all pieces of a sequence, where the other axes are divided
        meta=empty,
        model=dask.delayed(model, pure=True, traverse=False),  # one object of the graph
        method=method,
        empty=empty,
    )


def _block(x: NDArray[Any], model: Any, method: str | None, empty: NDArray[Any]) -> Predictions:
    """The rows of one block. Estimators refuse an empty one, so it is not given to them."""
    return _predicted(x, model, method) if len(x) else empty


def _predicted(x: NDArray[Any], model: Any, method: str | None) -> Predictions:
    return predictor_of(model, method, 1)(Chunk(0, x, {}))
