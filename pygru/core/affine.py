"""Affine maps y = x W^T + b whose rows do not depend on one another.

NumPy's product rounds a row in another way if there are other rows beside it. These functions
compute each row of ``y`` and of ``d_x`` with the same bits in every batch and with any number
of threads. They check no argument of a user: that is done before.

:func:`affine` packs the weights at every call. A layer keeps an :func:`affine_map`, which packs
them again only when they have changed; it gives the same bits.
"""

from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from pygru.core import _affine, backend, threads
from pygru.core._affine import AffineMap
from pygru.core._weights import Owner
from pygru.core.memory import POOL, allocate
from pygru.typing import Floats

# Rows and columns of one task; see src_c/affine.h.
TILE_ROWS, TILE_COLUMNS = 128, 256


def _threads(rows: int, columns: int, operations: int, n_threads: SupportsIndex | None) -> int:
    """Return how many threads find work, in tiles of rows and columns."""
    tiles = -(-rows // TILE_ROWS) * -(-columns // TILE_COLUMNS)
    sizes = {"operations": operations, "max_threads": max(1, tiles)}
    return threads.threads_for(n_threads, sizes)


def _workspace(size: int) -> NDArray[np.uint8]:
    return POOL.take(size, np.uint8, "the workspace of an affine map")


def affine_map(owner: Owner, inputs: int, outputs: int, weight: int, bias: int) -> AffineMap:
    """Return the affine map whose weight and bias are among the flat parameters of a layer.

    Parameters
    ----------
    owner : Owner
        The parameters of the layer. They may change at any time; every call of :func:`apply`
        uses the present ones.
    inputs, outputs : int
        The weight has the shape (outputs, inputs), and the bias (outputs,).
    weight, bias : int
        The indices of their first elements. A negative ``bias`` means that there is none.
    """
    return AffineMap(
        backend.current().kernels,
        owner,
        inputs=inputs,
        outputs=outputs,
        weight=weight,
        bias=bias,
    )


def apply(kept: AffineMap, x: Floats) -> Floats:
    """Return ``x W^T + b``, with packed weights that are kept from call to call.

    Parameters
    ----------
    kept : AffineMap
        Made by :func:`affine_map`.
    x : ndarray of shape (rows, inputs)
        Dense, of the dtype of the parameters. There may be no rows.

    Returns
    -------
    ndarray of shape (rows, outputs)
        A new array, with the bits that :func:`affine` gives.
    """
    rows, outputs = len(x), kept.outputs
    used = _threads(rows, outputs, rows * kept.inputs * outputs, None)
    workspace = _workspace(kept.workspace(used))
    y = allocate((rows, outputs), kept.dtype, "the output of an affine map")
    kept.run(used, threads.on_main_thread(), x=x, y=y, workspace=workspace)
    return y


def apply_backward(
    kept: AffineMap, x: Floats, d_y: Floats, d_x: Floats | None, grads: Floats
) -> None:
    """Fill the gradient of x, and add those of the parameters.

    Parameters
    ----------
    kept : AffineMap
        Made by :func:`affine_map`.
    x, d_y : ndarray of shape (rows, inputs) and (rows, outputs)
        As in :func:`affine_backward`, whose bits this gives.
    d_x : ndarray of shape (rows, inputs) or None
        Dense; None if it is not wanted.
    grads : ndarray
        The flat gradients of the layer. They change only when the call succeeds.
    """
    rows, inputs, outputs = len(x), kept.inputs, kept.outputs
    used = _threads(max(rows, outputs), inputs, 2 * rows * inputs * outputs, None)
    workspace = _workspace(kept.backward_workspace(used))
    on_main = threads.on_main_thread()
    kept.backward(used, on_main, x=x, d_y=d_y, d_x=d_x, grads=grads, workspace=workspace)


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
    sizes = _affine.affine_sizes(weight.dtype.name, inputs, outputs, used)
    workspace = _workspace(sizes["forward_workspace"])
    y = allocate((rows, outputs), weight.dtype, "the output of an affine map")
    _affine.affine(
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
    sizes = _affine.affine_sizes(weight.dtype.name, inputs, outputs, used)
    workspace = _workspace(sizes["backward_workspace"])
    d_x = allocate((rows, inputs), weight.dtype, "the gradient of x")
    _affine.affine_backward(
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
