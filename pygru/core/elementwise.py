"""sigmoid and tanh of arrays, by the functions that the gates of a GRU use.

NumPy may compute an element in another way, depending on the elements beside it. Here each
element has the same bits wherever it stands in an array. No argument of a user is checked.
"""

from pygru.core import _training, backend
from pygru.core.memory import allocate
from pygru.typing import Floats


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) for a dense array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.core.elementwise import sigmoid
    >>> sigmoid(np.array([-np.inf, 0.0, np.inf])).tolist()
    [0.0, 0.5, 1.0]
    """
    return _applied("sigmoid", x)


def tanh(x: Floats) -> Floats:
    """Return the hyperbolic tangent for a dense array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.core.elementwise import tanh
    >>> tanh(np.array([-np.inf, 0.0, np.inf])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return _applied("tanh", x)


def _applied(name: str, x: Floats) -> Floats:
    y = allocate(x.shape, x.dtype, f"the {name} of an array")
    _training.activate(name, backend.current().kernels, x.reshape(-1), y.reshape(-1))
    return y
