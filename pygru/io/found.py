"""What a file says about the GRUs in it, and how one of them becomes a :class:`pygru.GRU`.

The readers of the formats make these objects. Each says what the file states, on what evidence,
and what the file leaves open. What is open is never assumed: the caller must give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.core.pickled import CheckedState
from pygru.errors import FormatError
from pygru.gate_order import check_order, reordered
from pygru.gru import GRU
from pygru.io.variants import why_not, with_z_negated
from pygru.options import DEFAULTS, GRUOptions
from pygru.variant import Variant

#: What a caller may pass for an option that a file leaves open.
CHOICES = {
    "variant": "'chung', 'cho' or 'pytorch'",
    "activation": "'tanh', 'relu' or another activation",
    "recurrent_activation": "'sigmoid' or 'hard_sigmoid'",
    "gate_order": "'rzn', 'zrn' or another order",
}
MEANINGS = {
    "variant": "which variant the GRU is",
    "activation": "which activation the candidate of the GRU has",
    "recurrent_activation": "which recurrent activation the GRU has",
    "gate_order": "in which order the gates of the GRU stand",
}
MOST_LISTED = 40  # names in a message

# What weights fix: another value would not be these weights.
FIXED = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "bidirectional",
    "layer_norm",
    "learn_h0",
)
# What changes the result of the same weights, so that it must not contradict the file.
EQUATIONS = ("activation", "recurrent_activation", "clip", "reverse", "merge")


@dataclass(frozen=True)
class FoundGRU(CheckedState):
    """A GRU that a file holds, before it becomes one: what the file says, and what not.

    Attributes
    ----------
    name : str
        What the file calls it: the prefix of its parameters, the layer or the node.
    format : str
        The kind of file, such as ``"PyTorch"`` or ``"ONNX"``.
    options : dict of str to object
        What the file says about it, by the names of the arguments of :class:`pygru.GRU`.
    evidence : dict of str to str
        For an option, what in the file says so.
    unknown : tuple of str
        The options that change the result and that the file does not state.
    usual : tuple of str
        Options that the file does not state either, and that nearly always have their default
        value. The caller may give another one, and need not.
    arrays : dict of str to ndarray
        The weights by pygru's names, with the gates as rows in the order r, z, n; in the
        file's own order if ``"gate_order"`` is unknown.

    See Also
    --------
    pygru.io.inspect : The GRUs in a file.

    Examples
    --------
    >>> import numpy as np
    >>> import pygru
    >>> found = pygru.io.FoundGRU(
    ...     name="gru",
    ...     format="weights without a description",
    ...     options={"input_size": 2, "hidden_size": 3, "bias": False},
    ...     unknown=("variant",),
    ...     arrays={"weight_ih_l0": np.ones((9, 2)), "weight_hh_l0": np.ones((9, 3))},
    ... )
    >>> found.build()
    Traceback (most recent call last):
        ...
    ValueError: gru: the file does not say which variant the GRU is; pass variant='chung', \
'cho' or 'pytorch'
    >>> found.build(variant="cho")
    GRU(2, 3, bias=False, variant='cho', dtype='float32')
    """

    name: str
    format: str
    options: Mapping[str, Any]
    evidence: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def input_size(self) -> int:
        """Features of x at each step, I."""
        return int(self.options["input_size"])

    @property
    def hidden_size(self) -> int:
        """Features of the state, H."""
        return int(self.options["hidden_size"])

    @property
    def num_layers(self) -> int:
        """Number of layers, L."""
        return int(self.options.get("num_layers", 1))

    @property
    def bidirectional(self) -> bool:
        """Whether it has a reverse direction beside the forward one."""
        return bool(self.options.get("bidirectional", False))

    @property
    def num_directions(self) -> int:
        """Number of directions, D."""
        return 2 if self.bidirectional else 1

    @property
    def bias(self) -> bool:
        """Whether it has biases."""
        return bool(self.options.get("bias", True))

    @property
    def variant(self) -> Variant | None:
        """The variant that the file states, or None."""
        return None if "variant" in self.unknown else Variant.named(self.options["variant"])

    @property
    def activation(self) -> Any:
        """The activation of the candidate, or None if the file does not state it."""
        return self._stated("activation", "tanh")

    @property
    def recurrent_activation(self) -> Any:
        """The activation of the gates r and z, or None if the file does not state it."""
        return self._stated("recurrent_activation", "sigmoid")

    @property
    def dtype(self) -> str:
        """The name of the dtype of its arrays in the file."""
        return str(self.options.get("dtype", "float32"))

    def _stated(self, name: str, default: Any) -> Any:
        return None if name in self.unknown else self.options.get(name, default)

    def build(self, **options: Any) -> GRU:
        """Return this GRU.

        Parameters
        ----------
        **options
            Arguments of :class:`pygru.GRU`. Each option in ``unknown`` must be among them.
            ``dtype``, ``batch_first``, ``seed`` and what acts in training only may be given in
            any case. A ``variant`` other than the file's is possible where it is exact, with
            the weights of the update gate negated.

        Raises
        ------
        TypeError
            If an option does not exist.
        ValueError
            If the file leaves open what is not given here, or contradicts what is.
        """
        missing = [name for name in self.unknown if name not in options]
        if missing:
            asked = [f"{MEANINGS[name]}; pass {name}={CHOICES[name]}" for name in missing]
            what = "module" if self.format == "PyTorch module" else "file"
            raise ValueError(
                f"{self.name or 'the GRU'}: the {what} does not say "
                + ". It does not say ".join(asked)
            )
        seed = options.pop("seed", None)
        gate_order = options.pop("gate_order", None)
        if gate_order is not None:
            check_order("gate_order", gate_order)
            if "gate_order" not in self.unknown:
                raise ValueError(
                    "gate_order must not be given: the file states in which order the gates "
                    "stand"
                )
        for name in options:
            if name not in DEFAULTS:
                raise TypeError(validation.unexpected_key(name, [*DEFAULTS, "seed"]))
        self._refuse_contradictions(options)
        config = {**self.options, **options}
        if "dtype" not in options:
            config["dtype"] = "float64" if self.dtype == "float64" else "float32"
        arrays = self.arrays
        source = self.variant
        if source is not None:
            target = Variant.named(config["variant"])
            refusal = why_not(source, target, config.get("recurrent_activation"))
            if refusal:
                raise ValueError(f"variant={options['variant']!r}: {refusal}")
            if source.update != target.update:
                arrays = with_z_negated(arrays, bool(config.get("layer_norm", False)))
        if gate_order is not None:
            arrays = {name: reordered(array, gate_order) for name, array in arrays.items()}
        gru = GRU.from_options(GRUOptions(**config), seed=seed)
        gru.load_state_dict({name: _as_float(array) for name, array in arrays.items()})
        return gru

    def _refuse_contradictions(self, options: Mapping[str, Any]) -> None:
        for name in (*FIXED, *EQUATIONS):
            if name not in options or name in (*self.unknown, *self.usual):
                continue
            stated = self.options.get(name, DEFAULTS.get(name))
            sizes: dict[str, Any] = {
                "input_size": self.input_size,
                "hidden_size": self.hidden_size,
                "bidirectional": self.bidirectional,  # without it there is no merge
            }
            given = GRUOptions(**{**sizes, name: options[name]})
            said = GRUOptions(**{**sizes, name: stated})
            if getattr(given, name) != getattr(said, name):
                raise ValueError(
                    f"{name}={options[name]!r} contradicts the weights that were found: "
                    f"{self.name or 'the GRU'} has {name}={stated!r}"
                )


def _as_float(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that load_state_dict takes; bfloat16 is no dtype of NumPy itself."""
    return array if array.dtype.kind in "biuf" else array.astype(np.float32)


class Contents(NamedTuple):
    """What a reader has found: the GRUs, and by name why other layers are none for pygru."""

    grus: list[FoundGRU]
    refused: dict[str, str]


def choose(contents: Contents, name: str | None, argument: str, what: str) -> FoundGRU:
    """Return the GRU that is called ``name``, or the only one.

    Parameters
    ----------
    contents : Contents
        What the reader has found.
    name : str or None
        What the caller asked for.
    argument : str
        The caller's argument for it, such as ``"prefix"``.
    what : str
        What messages call the source, such as the path.

    Raises
    ------
    FormatError
        If there is no GRU at all.
    ValueError
        If there are several and no name, no such name, or the name is that of a layer that
        cannot become a GRU.
    """
    grus, refused = contents
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{argument} must be a str, got {validation.type_name(name)}")
    if name is None and len(grus) == 1:
        return grus[0]
    for gru in grus:
        if gru.name == name:
            return gru
    if name in refused:
        raise ValueError(f"{what}: {name!r} is not a GRU that pygru can take: {refused[name]}")
    if not grus:
        others = [f"{other!r}: {why}" for other, why in refused.items()]
        raise FormatError("; ".join([f"{what}: no GRU was found", *_shortened(others)]))
    listed = ", ".join(_shortened([repr(gru.name) for gru in grus]))
    if name is None:
        raise ValueError(f"{what} holds {len(grus)} GRUs; pass {argument}= one of {listed}")
    raise ValueError(f"{what} holds no GRU named {name!r}; {argument} must be one of {listed}")


def _shortened(texts: list[str]) -> list[str]:
    """The first of many texts, and how many there are more."""
    more = len(texts) - MOST_LISTED
    return [*texts[:MOST_LISTED], f"and {more} more"] if more > 0 else texts
