"""The options of a GRU: one frozen object that checks them and that everything else reads.

The constructor's checks, ``get_config`` and ``from_config``, the repr, the read-only attributes
of a GRU and the shapes of its parameters all come from here. This module allocates no parameter
and draws no random number: the seed is not an option.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from pygru import activations
from pygru.core import validation
from pygru.core.hints import NamedArguments
from pygru.core.pickled import CheckedState
from pygru.merging import MERGES
from pygru.nn.initializers import INITIALIZERS
from pygru.typing import CellActivation
from pygru.variant import Variant

# The C core counts bytes in 64 bits, and a parameter takes up to eight of them.
MOST_PARAMETERS = 2**60
# Every layer has named parameters of its own, so a dictionary grows with their number.
MOST_LAYERS = 2**20
LEAST_EPS = 1e-30  # a smaller number would be denormal or zero in float32
# The limit of the sums must be a number that float32 can hold.
LEAST_CLIP, MOST_CLIP = 1e-30, 1e30


@dataclass(frozen=True, init=False, repr=False)
class GRUOptions(CheckedState, NamedArguments):
    """All arguments of :class:`GRU` except the seed. They are checked, and cannot be changed.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As for :class:`GRU`.
    variant, dtype, init, recurrent_dropout, zoneout, learn_h0, layer_norm, layer_norm_eps
        As for :class:`GRU`.
    zero_output_for_mask, merge, activation, recurrent_activation, clip, reverse
        As for :class:`GRU`.

    Attributes
    ----------
    variant : Variant
        A Variant, also if the option was given by its name.
    dtype : dtype
        float32 or float64, in the machine's byte order.
    activation, recurrent_activation : str or (str, float, float)
        ``("hard_sigmoid", alpha, beta)``, also if the option was ``"hard_sigmoid"`` alone; the
        name of each other activation.
    num_directions : int
        D, 2 if bidirectional and 1 otherwise.
    num_states : int
        L*D, the states that a sequence has at each step.
    output_size : int
        The features of the output: D*H, or H if ``merge`` combines the two directions.
    states_size : int
        D*H, the features of all directions before they are merged.
    reads_backwards : tuple of bool
        For each direction whether it reads a sequence from its end.

    Raises
    ------
    TypeError
        If an option is of the wrong kind.
    ValueError
        If a value is out of range, or the parameters would be too many to be addressed.

    See Also
    --------
    GRU.replace : Another GRU with other options and the same weights.

    Examples
    --------
    >>> from pygru import GRU, GRUOptions
    >>> options = GRUOptions(4, 8, zoneout=0.1)
    >>> options.replace(num_layers=2)
    GRUOptions(4, 8, num_layers=2, variant='chung', dtype='float32', zoneout=0.1)
    >>> GRU.from_options(options, seed=0).options == options
    True
    """

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    variant: Variant
    dtype: np.dtype[Any]
    init: str
    recurrent_dropout: float
    zoneout: float
    learn_h0: bool
    layer_norm: bool
    layer_norm_eps: float
    zero_output_for_mask: bool
    merge: str
    activation: CellActivation
    recurrent_activation: CellActivation
    clip: float | None
    reverse: bool

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        variant: str | Variant = "chung",
        dtype: DTypeLike = np.float32,
        init: str = "torch",
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        learn_h0: bool = False,
        layer_norm: bool = False,
        layer_norm_eps: float = 1e-5,
        zero_output_for_mask: bool = False,
        merge: str = "concat",
        activation: CellActivation = "tanh",
        recurrent_activation: CellActivation = "sigmoid",
        clip: float | None = None,
        reverse: bool = False,
    ) -> None:
        self._set(
            input_size=validation.check_int("input_size", input_size, 1),
            hidden_size=validation.check_int("hidden_size", hidden_size, 1),
            num_layers=validation.check_int("num_layers", num_layers, 1),
            bias=validation.check_bool("bias", bias),
            batch_first=validation.check_bool("batch_first", batch_first),
            dropout=validation.check_fraction("dropout", dropout),
            bidirectional=validation.check_bool("bidirectional", bidirectional),
            variant=Variant.named(variant),
            dtype=validation.check_dtype(dtype),
            init=validation.check_choice("init", init, tuple(INITIALIZERS)),
            recurrent_dropout=validation.check_fraction("recurrent_dropout", recurrent_dropout),
            zoneout=validation.check_fraction("zoneout", zoneout),
            learn_h0=validation.check_bool("learn_h0", learn_h0),
            layer_norm=validation.check_bool("layer_norm", layer_norm),
            layer_norm_eps=_check_eps(layer_norm_eps),
            zero_output_for_mask=validation.check_bool(
                "zero_output_for_mask", zero_output_for_mask
            ),
            merge=validation.check_choice("merge", merge, MERGES),
            activation=activations.check("activation", activation),
            recurrent_activation=activations.check(
                "recurrent_activation", recurrent_activation
            ),
            clip=None if clip is None else _check_clip(clip),
            reverse=validation.check_bool("reverse", reverse),
        )
        self._check_directions()
        self._refuse_huge()

    def _set(self, **values: Any) -> None:
        """Set the fields of this frozen object; only ``__init__`` may do so."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_directions(self) -> None:
        if self.reverse and self.bidirectional:
            raise ValueError(
                "reverse and bidirectional cannot both be True: the second direction of a "
                "bidirectional GRU reads each sequence in reverse already"
            )
        if self.merge == "concat":
            return
        if not self.bidirectional:
            raise ValueError(
                f"merge={self.merge!r} needs bidirectional=True: it merges the two directions"
            )
        if self.num_layers > 1:
            raise ValueError(
                f"merge={self.merge!r} needs num_layers=1, got {self.num_layers}; for more "
                "layers put several such GRUs into a Sequential"
            )

    def _refuse_huge(self) -> None:
        if self.parameter_count > MOST_PARAMETERS:
            raise ValueError(
                f"GRU with input_size={self.input_size}, hidden_size={self.hidden_size}, "
                f"num_layers={self.num_layers} needs {Decimal(self.parameter_count):.1e} "
                f"parameters; the largest supported count is {Decimal(MOST_PARAMETERS):.1e}"
            )
        if self.num_layers > MOST_LAYERS:
            raise ValueError(f"num_layers must be <= {MOST_LAYERS}, got {self.num_layers}")

    # ---- what follows from the options ------------------------------------------------------

    @property
    def num_directions(self) -> int:
        """D, the cells of a layer: 2 if bidirectional and 1 otherwise."""
        return 2 if self.bidirectional else 1

    @property
    def num_states(self) -> int:
        """L*D, the states that a sequence has at each step."""
        return self.num_layers * self.num_directions

    @property
    def output_size(self) -> int:
        """The features of the output at each step: D*H, or H if the directions are merged."""
        return self.states_size if self.merge == "concat" else self.hidden_size

    @property
    def states_size(self) -> int:
        """D*H, the features of all directions at each step, before they are merged."""
        return self.num_directions * self.hidden_size

    @property
    def reads_backwards(self) -> tuple[bool, ...]:
        """For each direction whether it reads a sequence from its end."""
        return (self.reverse, True)[: self.num_directions]

    @property
    def parameter_count(self) -> int:
        """The number of parameters, without a learned ``h0``."""
        H, D = self.hidden_size, self.num_directions
        vectors = 2 * (self.bias + self.layer_norm)
        first = self.input_size + H + vectors
        later = D * H + H + vectors
        return 3 * H * D * (first + (self.num_layers - 1) * later)

    def cell_names(self) -> list[str]:
        """Return the suffix of the parameters of each layer and direction, in their order.

        Examples
        --------
        >>> from pygru import GRUOptions
        >>> GRUOptions(3, 4, num_layers=2, bidirectional=True).cell_names()
        ['l0', 'l0_reverse', 'l1', 'l1_reverse']
        """
        suffixes = ("", "_reverse")[: self.num_directions]
        return [f"l{layer}{suffix}" for layer in range(self.num_layers) for suffix in suffixes]

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter by its name, in PyTorch's order.

        Examples
        --------
        >>> from pygru import GRUOptions
        >>> GRUOptions(3, 4, bias=False).parameter_shapes()
        {'weight_ih_l0': (12, 3), 'weight_hh_l0': (12, 4)}
        """
        rows = 3 * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for index, cell in enumerate(self.cell_names()):
            is_first = index < self.num_directions
            width = self.input_size if is_first else self.output_size
            shapes[f"weight_ih_{cell}"] = (rows, width)
            shapes[f"weight_hh_{cell}"] = (rows, self.hidden_size)
            if self.bias:
                shapes[f"bias_ih_{cell}"] = shapes[f"bias_hh_{cell}"] = (rows,)
            if self.layer_norm:
                shapes[f"gain_ih_{cell}"] = shapes[f"gain_hh_{cell}"] = (rows,)
        if self.learn_h0:
            shapes["h0"] = (self.num_states, self.hidden_size)
        return shapes

    # ---- other forms ------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the options by name as plain values that JSON can hold.

        ``dtype`` is its name, and ``variant`` its name or, for the combination that has none,
        the list of its two choices. A ``"hard_sigmoid"`` is a list of its name, alpha and beta.
        """
        variant = self.variant
        config = {
            **vars(self),
            "variant": variant.name or [variant.reset, variant.update],
            "dtype": self.dtype.name,
        }
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in config.items()
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the options that :meth:`get_config` described.

        An option that is missing in ``config`` has its default value, because files of older
        versions of pygru do not contain options that were added later.

        Raises
        ------
        TypeError, ValueError
            If ``config`` is not a mapping, an option is unknown or missing, or a value is
            wrong.
        """
        config = _as_options("config", config)
        if isinstance(config.get("variant"), (list, tuple)):
            config["variant"] = Variant(*config["variant"])
        return cls(**config)

    def replace(self, **changes: Any) -> Self:
        """Return the same options with some of them changed.

        Raises
        ------
        TypeError, ValueError
            If an option is unknown or a value is wrong.
        """
        for name in changes:
            if name not in DEFAULTS:
                raise TypeError(validation.unexpected_key(name, DEFAULTS))
        return type(self)(**{**vars(self), **changes})

    def arguments_text(self) -> str:
        """Return the options in the form of a call, without those that have the default value.

        ``variant`` and ``dtype`` are always shown, because results depend on them most.
        """
        shown = [str(self.input_size), str(self.hidden_size)]
        values = {**vars(self), "dtype": self.dtype.name}
        values["variant"] = self.variant.name or self.variant
        for name, value in list(values.items())[len(shown) :]:
            if name in ("variant", "dtype") or value != DEFAULTS[name]:
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.arguments_text()})"


def _check_eps(value: float) -> float:
    eps = validation.check_number("layer_norm_eps", value)
    if not LEAST_EPS <= eps <= 1:
        raise ValueError(f"layer_norm_eps must be in [{LEAST_EPS}, 1], got {value}")
    return eps


def _check_clip(value: float) -> float:
    clip = validation.check_number("clip", value)
    if not LEAST_CLIP <= clip <= MOST_CLIP:
        raise ValueError(
            f"clip must be None or a number in [{LEAST_CLIP}, {MOST_CLIP}], got "
            f"{validation.shown_number(value)}"
        )
    return clip


def _as_options(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise TypeError(
            f"{name} must be a mapping of options to values, got {validation.type_name(config)}"
        )
    return dict(config)


# The default value of each option, by name and in the order of the arguments.
DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(GRUOptions).parameters.items()
}
