"""One case of the conformance vectors: options, arrays, and what a right GRU answers."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.layouts import to_layout
from pygru.core.pickled import CheckedState

#: A name, or ``("hard_sigmoid", alpha, beta)``.
ActivationName: TypeAlias = str | tuple[str, float, float]

Arrays: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Case(CheckedState):
    """One case: the options, the inputs and the weights of a GRU, and the right results.

    T is the number of steps, B of sequences, I of features, H of units, L of layers and D of
    directions. They differ pairwise (T, B, I, H) in every case.

    Attributes
    ----------
    name : str
        The problem and the variant, as in ``"plain/after-keep"``.
    reset : {"before", "after"}
        Whether the reset gate acts before or after the product with the recurrent matrix.
    update : {"keep", "replace"}
        Whether a large update gate keeps the old state or replaces it.
    num_layers : int
        The number of layers, L.
    direction : {"forward", "reverse", "both"}
        ``"reverse"`` reads every sequence from its end. D is 2 for ``"both"``, else 1.
    bias : {"none", "one", "two"}
        Whether there are no biases, ``bias_ih`` alone, or ``bias_ih`` and ``bias_hh``.
    activation, recurrent_activation : str or tuple
        The functions of the candidate and of the gates: ``"tanh"``, ``"sigmoid"``, ``"relu"``,
        ``"linear"``, ``"softsign"``, or ``("hard_sigmoid", alpha, beta)``, which is
        ``clip(alpha * a + beta, 0, 1)``.
    clip : float or None
        The arguments of all activations are limited to ``[-clip, clip]``.
    x : ndarray, shape (T, B, I)
        The input, with large numbers where nothing may be read.
    h0 : ndarray, shape (L*D, B, H), or None
        The initial states; None stands for zeros.
    lengths : ndarray of int, shape (B,), or None
        The number of steps of each sequence, from the start of the time axis.
    mask : ndarray of bool, shape (T, B), or None
        False for a step that leaves the state as it is.
    masked_output : {"zero", "state"} or None
        The output of a masked step: 0, or the state, which has not changed.
    parameters : dict of str to ndarray
        ``weight_ih_l0`` (3H, I), ``weight_hh_l0`` (3H, H), ``bias_ih_l0`` and ``bias_hh_l0``
        (3H,), then ``_l1`` and ``_l0_reverse``, with the gates in the order r, z, n.
    d_output, d_h_n : ndarray
        The gradients are those of ``(d_output * output).sum() + (d_h_n * h_n).sum()``.
    expected : dict of str to ndarray
        ``output`` (T, B, D*H), ``h_n`` (L*D, B, H), ``d_x``, ``d_h0`` and ``d_`` with the name
        of each parameter.

    Examples
    --------
    >>> import pygru.conformance
    >>> case = pygru.conformance.cases(name="both/after-keep")[0]
    >>> case
    Case('both/after-keep', T=5, B=3, I=4, H=2)
    >>> case.h0.shape, case.expected["output"].shape
    ((2, 3, 2), (5, 3, 4))
    """

    name: str
    reset: str
    update: str
    num_layers: int
    direction: Literal["forward", "reverse", "both"]
    bias: Literal["none", "one", "two"]
    activation: ActivationName
    recurrent_activation: ActivationName
    clip: float | None
    x: NDArray[Any]
    h0: NDArray[Any] | None
    lengths: NDArray[Any] | None
    mask: NDArray[Any] | None
    masked_output: Literal["zero", "state"] | None
    parameters: Arrays
    d_output: NDArray[Any]
    d_h_n: NDArray[Any]
    expected: Arrays

    def __repr__(self) -> str:
        T, B, I = self.x.shape
        return f"Case({self.name!r}, T={T}, B={B}, I={I}, H={self.hidden_size})"

    @property
    def problem(self) -> str:
        """The name without the variant; cases of one problem have the same inputs."""
        return self.name.rpartition("/")[0]

    @property
    def variant(self) -> str:
        """Reset and update in one word, as in ``"after-keep"``."""
        return f"{self.reset}-{self.update}"

    @property
    def input_size(self) -> int:
        """The number of features, I."""
        return int(self.x.shape[2])

    @property
    def hidden_size(self) -> int:
        """The number of units, H."""
        return int(self.parameters["weight_hh_l0"].shape[1])

    @property
    def directions(self) -> tuple[str, ...]:
        """The suffixes of the directions in the names of parameters: ``""``, ``"_reverse"``."""
        return ("", "_reverse") if self.direction == "both" else ("",)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which steps are read, (T, B): those within the lengths that no mask leaves out."""
        T, B, _ = self.x.shape
        counted = np.ones((T, B), bool) if self.mask is None else self.mask.astype(bool)
        if self.lengths is not None:
            counted = counted & (np.arange(T)[:, None] < self.lengths)
        return counted

    def weights(
        self,
        suffix: str = "l0",
        *,
        gate_order: str = "rzn",
        units: Literal["rows", "columns"] = "rows",
        merged_bias: bool = False,
    ) -> tuple[NDArray[Any], ...]:
        """Return the arrays of one layer and direction in the layout of another library.

        Parameters
        ----------
        suffix : str, default "l0"
            The layer and the direction, as in the names of parameters: ``"l1_reverse"``.
        gate_order : str, default "rzn"
            The order of the gates: Keras and ONNX have ``"zrn"``.
        units : {"rows", "columns"}, default "rows"
            ``"columns"`` gives input weights (I, 3H) and recurrent weights (H, 3H), as in
            Keras.
        merged_bias : bool, default False
            Give one bias (3H,), the sum of both. It says the same only with reset before.

        Returns
        -------
        tuple of ndarray
            Input weights, recurrent weights, and no, one or two biases.

        Raises
        ------
        ValueError
            If there is no such layer, if ``gate_order`` or ``units`` is unknown, or if one
            bias cannot stand for both.

        Examples
        --------
        >>> import pygru.conformance
        >>> case = pygru.conformance.cases(name="plain/before-keep")[0]
        >>> arrays = case.weights(gate_order="zrn", units="columns", merged_bias=True)
        >>> [array.shape for array in arrays]
        [(4, 9), (3, 9), (9,)]
        """
        if f"weight_ih_{suffix}" not in self.parameters:
            known = [name[10:] for name in self.parameters if name.startswith("weight_ih_")]
            raise ValueError(f"suffix must be one of {', '.join(known)}, got {suffix!r}")
        matrices = [self.parameters[f"weight_{kind}_{suffix}"] for kind in ("ih", "hh")]
        names = (f"bias_{kind}_{suffix}" for kind in ("ih", "hh"))
        biases = [self.parameters[name] for name in names if name in self.parameters]
        if merged_bias and len(biases) == 2:
            if self.reset == "after":
                raise ValueError(
                    "merged_bias: with reset after the product, bias_hh of the candidate is "
                    "multiplied by r and cannot be added to bias_ih"
                )
            biases = [biases[0] + biases[1]]
        return tuple(to_layout(array, gate_order, units) for array in (*matrices, *biases))

    def copy(self) -> Case:
        """Return a case whose arrays may be written to."""
        return deepcopy(self)
