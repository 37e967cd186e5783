"""Affine maps y = x W^T + b whose rows do not depend on one another.

NumPy's product rounds a row in another way if there are other rows beside it. These functions
compute each row of ``y`` and of ``d_x`` with the same bits in every batch and with any number
of threads. They check no argument of a user: that is done before.
"""

from typing import SupportsIndex

import numpy as np

from pygru.core import _calls, backend, threads
from pygru.core.memory import POOL, allocate
from pygru.typing import Floats

# Rows and columns of one task; see src_c/affine.h.
TILE_ROWS, TILE_COLUMNS = 128, 256


def _threads(rows: int, columns: int, operations: int, n_threads: SupportsIndex | None) -> int:
    """Return how many threads find work, in tiles of rows and columns."""
    tiles = -(-rows // TILE_ROWS) * -(-columns // TILE_COLUMNS)
    sizes = {"operations": operations, "max_threads": max(1, tiles)}
    return threads.threads_for(n_threads, sizes)


def affine(
    x: Floats,
    weight: Floats,
    bias: Floats | None = None,
    n_threads: SupportsIndex | None = None,
) -> Floats:
    """Return ``x W^T + b``.

    Parameters
    ----------
    x : ndarray of shape (rows, inputs)
        Dense, of the dtype of ``weight``. There may be no rows.
    weight : ndarray of shape (outputs, inputs)
        Dense, float32 or float64.
    bias : ndarray of shape (outputs,), optional
        Of the same dtype.
    n_threads : int, optional
        How many threads; by default as :func:`pygru.set_num_threads` says.

    Returns
    -------
    ndarray of shape (rows, outputs)
        A new array. Each row has the same bits whatever other rows there are.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.core.affine import affine
    >>> affine(np.ones((2, 3)), np.eye(3)[:2], np.array([0.0, 1.0]))
    array([[1., 2.],
           [1., 2.]])
    """
    (rows, inputs), outputs = x.shape, len(weight)
    used = _threads(rows, outputs, rows * inputs * outputs, n_threads)
    size, _ = _calls.affine_workspace(weight.dtype.name, inputs, outputs, used)
    workspace = POOL.take(size, np.uint8, "the workspace of an affine map")
    y = allocate((rows, outputs), weight.dtype, "the output of an affine map")
    _calls.affine(
        backend.current().kernels,
        used,
        threads.on_main_thread(),
        x=x,
        weight=weight,
        bias=bias,
        y=y,
        workspace=workspace,
    )
    return y


def affine_backward(
    x: Floats,
    weight: Floats,
    d_y: Floats,
    d_weight: Floats,
    d_bias: Floats | None = None,
    n_threads: SupportsIndex | None = None,
) -> Floats:
    """Return the gradient of x, and add those of weight and bias.

    Parameters
    ----------
    x, weight : ndarray
        As in :func:`affine`.
    d_y : ndarray of shape (rows, outputs)
        Dense: the gradient of its result.
    d_weight : ndarray of shape (outputs, inputs)
        Dense. The gradient ``d_y^T x`` is added to it, in an order that depends on the shape
        alone, and only when the call succeeds.
    d_bias : ndarray of shape (outputs,), optional
        The same for the bias.
    n_threads : int, optional
        As in :func:`affine`.

    Returns
    -------
    ndarray of shape (rows, inputs)
        A new array, ``d_y W``. Each row has the same bits whatever other rows there are.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.core.affine import affine_backward
    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    >>> d_weight = np.zeros((1, 2))
    >>> affine_backward(x, weight, np.ones((1, 1)), d_weight)
    array([[3., 4.]])
    >>> d_weight
    array([[1., 2.]])
    """
    (rows, inputs), outputs = x.shape, len(weight)
    used = _threads(max(rows, outputs), inputs, 2 * rows * inputs * outputs, n_threads)
    _, size = _calls.affine_workspace(weight.dtype.name, inputs, outputs, used)
    workspace = POOL.take(size, np.uint8, "the workspace of an affine map")
    d_x = allocate((rows, inputs), weight.dtype, "the gradient of x")
    _calls.affine_backward(
        backend.current().kernels,
        used,
        threads.on_main_thread(),
        x=x,
        weight=weight,
        d_y=d_y,
        d_x=d_x,
        d_weight=d_weight,
        d_bias=d_bias,
        workspace=workspace,
    )
    return d_x
