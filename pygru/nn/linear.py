"""Linear: an affine map of the last axis. Each row is computed as if it were alone.

With ``lengths`` and an x of (B, T, F), steps after the end of a sequence are not read, and
outputs and gradients are 0 there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core import validation
from pygru.core._affine import AffineMap
from pygru.core.affine import affine_map, apply, apply_backward
from pygru.core.memory import allocate
from pygru.nn import ragged
from pygru.nn.checks import gradient_like
from pygru.nn.layer import Layer
from pygru.nn.model import Model
from pygru.nn.shortcuts import BACKWARD, FORWARD, Shortcut
from pygru.typing import Floats, Integers, Seed


class _LinearTape(NamedTuple):
    x: Floats  # (..., in_features) the rows that hold data, dense
    steps: Integers | None  # their positions
    shape: tuple[int, ...]  # of the whole x


class Linear(Layer):
    """An affine map of the last axis, ``y = x W^T + b``.

    Each row of ``y`` has the same bits in every batch and with any number of threads. So a
    whole :class:`Sequential`, like a GRU, predicts the same bits for a sequence in any batch.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of x and y.
    bias : bool
        Whether there is a ``b``.
    dtype : dtype
        float32 or float64.
    seed : int, sequence of int, SeedSequence, Generator or None
        Seed of the initial parameters, uniform in +-1/sqrt(in_features) as in PyTorch.

    Notes
    -----
    The layer keeps a packed copy of its parameters for the core's product. The first call after
    the parameters have changed, in whatever way, packs them again. For a single row this takes
    several times as long as the product itself. While you keep a view of the parameters, such
    as ``w = layer.parameters["weight"]``, every call checks whether they have changed. That
    takes 15 to 30 us per megabyte.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> y, tape = pygru.Linear(4, 2, seed=0).forward(np.ones((3, 5, 4)))
    >>> y.shape
    (3, 5, 2)
    """

    takes_single_steps = True
    _made_again = frozenset({"_map"})
    _shortcuts: ClassVar[dict[str, Shortcut]] = {
        "infer": Shortcut(FORWARD, Layer.infer),
        "accumulate": Shortcut(BACKWARD, Model.accumulate),
    }

    in_features: int
    out_features: int
    bias: bool
    dtype: np.dtype[Any]
    _map: AffineMap

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
    ) -> None:
        self._fix(
            in_features=validation.check_int("in_features", in_features, 1),
            out_features=validation.check_int("out_features", out_features, 1),
            bias=validation.check_bool("bias", bias),
            dtype=validation.check_dtype(dtype),
        )
        self._fix(input_size=self.in_features, output_size=self.out_features)
        self.create_parameters(seed)

    def _use_parameters(self) -> None:
        self._map = affine_map(
            self._parameters_owner,
            self.in_features,
            self.out_features,
            self.parameters.begin("weight"),
            self.parameters.begin("bias") if self.bias else -1,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self.bias,
            "dtype": self.dtype.name,
        }

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (config["out_features"], config["in_features"])
        }
        if config["bias"]:
            shapes["bias"] = (config["out_features"],)
        return shapes

    def initialize(self, generator: np.random.Generator) -> None:
        """Draw all parameters uniformly in +-1/sqrt(in_features)."""
        bound = 1 / np.sqrt(self.in_features)
        self.flat_parameters[...] = generator.uniform(-bound, bound, self.flat_parameters.size)

    def infer(self, x: Any, *, lengths: Any = None, mask: Any = None) -> Floats:
        """Return the output for inference; a few rows take few microseconds."""
        y = self._map.at_once(x) if lengths is None else None
        return super().infer(x, lengths=lengths) if y is None else y

    def forward(
        self, x: ArrayLike, *, lengths: ArrayLike | None = None, training: bool = True
    ) -> tuple[Floats, _LinearTape]:
        """Map x (..., in_features) to (..., out_features)."""
        if lengths is None:
            y = self._map.at_once(x)
            if y is not None:
                return y, _LinearTape(x, None, x.shape)  # type: ignore[union-attr,arg-type]
        array = validation.as_real("x", x, self.dtype)
        if array.ndim == 0 or array.shape[-1] != self.in_features:
            raise ValueError(
                f"x must have shape (..., in_features={self.in_features}), got {array.shape}"
            )
        steps = ragged.steps_of(lengths, array.shape[:-1])
        rows = ragged.take(array, steps)
        rows = np.ascontiguousarray(rows)
        y = apply(self._map, self._flat(rows)).reshape(*rows.shape[:-1], self.out_features)
        return ragged.put(y, steps, array.shape), _LinearTape(rows, steps, array.shape)

    @staticmethod
    def _flat(rows: Floats) -> Floats:
        """Rows (..., features) as a matrix of (number of rows, features)."""
        return rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])

    def backward(self, tape: _LinearTape, d_y: ArrayLike) -> Floats:
        """Return d_x = d_y W and add to the gradients."""
        d_rows = allocate(tape.x.shape, self.dtype, "the gradient of x")
        # All memory is found before the gradients change; here only the shape matters.
        d_x = ragged.put(d_rows, tape.steps, tape.shape)
        self._add_gradients(tape, d_y, d_rows)
        if tape.steps is not None:
            self._flat(d_x)[tape.steps] = d_rows
        return d_x

    def accumulate(self, tape: _LinearTape, d_y: ArrayLike) -> None:
        """Add to the gradients, where nobody wants that of x."""
        self._add_gradients(tape, d_y, None)

    def _add_gradients(self, tape: _LinearTape, d_y: ArrayLike, d_rows: Floats | None) -> None:
        """Add to the gradients, and fill that of the rows of x, if it is wanted."""
        shape = (*tape.shape[:-1], self.out_features)
        rows = ragged.take(gradient_like("d_y", d_y, shape, self.dtype), tape.steps)
        apply_backward(
            self._map,
            self._flat(tape.x),
            self._flat(np.ascontiguousarray(rows)),
            None if d_rows is None else self._flat(d_rows),
            self.flat_grads,
        )
