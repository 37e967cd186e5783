"""The outputs of two directions as one array: their sum, product or mean.

``both`` is (T, B, 2H) with the forward direction first. ``merge="concat"`` is that array, and
nothing is left to be done here.
"""

from __future__ import annotations

import numpy as np

from pygru.typing import Floats

#: The names of all ways, as in Keras.
MERGES = ("concat", "sum", "mul", "ave")


def halves(both: Floats) -> tuple[Floats, Floats]:
    """Return views of the forward and the reverse direction."""
    H = both.shape[-1] // 2
    return both[..., :H], both[..., H:]


def merge(how: str, both: Floats, out: Floats) -> None:
    """Write the merged output (..., H) into ``out``.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru.merging import merge
    >>> out = np.empty((1, 1, 2))
    >>> merge("mul", np.array([[[1.0, 2.0, 3.0, 4.0]]]), out)
    >>> out.tolist()
    [[[3.0, 8.0]]]
    """
    forward, reverse = halves(both)
    if how == "mul":
        np.multiply(forward, reverse, out=out)
        return
    np.add(forward, reverse, out=out)
    if how == "ave":
        np.multiply(out, out.dtype.type(0.5), out=out)


def merge_backward(how: str, both: Floats | None, d_out: Floats, d_both: Floats) -> None:
    """Write the gradient of both directions into ``d_both`` (..., 2H).

    ``both`` is what :func:`merge` was given; only the product needs it.
    """
    d_forward, d_reverse = halves(d_both)
    if how == "mul":
        assert both is not None
        forward, reverse = halves(both)
        np.multiply(d_out, reverse, out=d_forward)
        np.multiply(d_out, forward, out=d_reverse)
        return
    np.multiply(d_out, d_out.dtype.type(0.5 if how == "ave" else 1), out=d_forward)
    d_reverse[...] = d_forward
