"""QuantizedGRU: a GRU whose weights are integers of 8 bits, for inference only.

It runs through the same calls as a :class:`pygru.GRU`; the core multiplies integers where that
one multiplies floats. Nothing here trains. How weights become integers is in
``parameters.py``, and what that costs in ``report.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.core.parameters import load_into
from pygru.core.pickled import added_to, check_keys, naming, restore_added
from pygru.gru_inference import GRUInference
from pygru.nn.shortcuts import CALLS, overridden
from pygru.options import GRUOptions
from pygru.quantized.parameters import QuantizedParameters, kinds_of, quantize
from pygru.quantized.runner import QuantizedRunner
from pygru.typing import Floats, Seed

if TYPE_CHECKING:
    from pygru.gru import GRU
    from pygru.quantized.report import QuantizationReport

BITS = 8
INFERENCE_ONLY = (
    "weights of 8 bits are for inference only; train a GRU, and then call gru.quantized() on it"
)
#: What a GRU has and a QuantizedGRU has not, and what to use instead.
MISSING = {
    **dict.fromkeys(("forward", "backward", "flat_parameters", "flat_grads"), INFERENCE_ONLY),
    "gates": "the GRU that it was made from returns them: gru.gates(x)",
    "replace": "call gru.replace(...) on the GRU that it was made from, and then quantized()",
    "quantized": "its weights are integers already",
    **dict.fromkeys(
        ("concatenated_weights", "load_concatenated_weights"),
        "only the GRU that it was made from has its weights in that form",
    ),
}


class QuantizedGRU(GRUInference):
    """A GRU with weights of 8 bits, for inference; made by :meth:`GRU.quantized`.

    It is called like the :class:`GRU` that it was made from, and runs in streams, in a
    :class:`Sequential` and wherever a model predicts. Its weights take a quarter of the memory.
    Each row of a weight matrix is stored as integers from -127 to 127 and one scale. At each
    step the input and the state of each sequence become such integers too, products are sums of
    integers, and everything else is float32. So a sequence has the same bits in any batch, with
    any number of threads, and on every CPU with fused multiply-adds.

    All features of a step share one scale, so they should be of about one size. An infinity in
    x makes the rest of its sequence NaN, as NaN does.

    It does not change when the GRU is trained further: its weights are a copy.

    Parameters
    ----------
    gru : GRU
        The float32 GRU whose weights become integers.
    bits : int
        The bits of a weight: 8.
    data : array_like or list of array_like, optional
        Inputs like those of later calls. If they are given, the states of both are compared,
        and ``report`` holds the differences.
    lengths : array_like of int, optional
        (B,) the valid steps of each sequence of ``data``.

    Attributes
    ----------
    options : GRUOptions
        The options of the GRU. Each is an attribute of its own too.
    parameters : mapping of str to ndarray
        For each matrix of a GRU its integers under the same name, and after it the scales of
        its rows, such as ``weight_ih_l0`` (3H, I) int8 and ``scale_ih_l0`` (3H,) float32;
        biases, gains and ``h0`` as in the GRU. They can be read, and an assignment copies.
    report : QuantizationReport or None
        What the conversion costs on ``data``, per layer and direction; ``print`` shows it as a
        table. None without data. A model file does not keep it.

    Raises
    ------
    TypeError
        If ``gru`` is not a GRU, or is of a class that overrides how a GRU is run.
    ValueError
        If ``bits`` is not 8, the GRU is not float32, or a parameter is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU
    >>> gru = GRU(16, 64, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((20, 4, 16))
    >>> quantized = gru.quantized(data=x)
    >>> quantized
    QuantizedGRU(16, 64, variant='chung', dtype='float32', bits=8)
    >>> gru.nbytes, quantized.nbytes
    (62976, 18432)
    >>> bool(abs(quantized(x)[0] - gru(x)[0]).max() == quantized.report.cells[0].largest)
    True
    """

    _made_again: ClassVar[frozenset[str]] = frozenset({"report"})

    parameters: QuantizedParameters
    report: QuantizationReport | None

    def __init__(
        self,
        gru: GRU,
        bits: int = BITS,
        data: Any = None,
        lengths: ArrayLike | None = None,
    ) -> None:
        from pygru.gru import GRU  # imported here because a GRU makes such objects
        from pygru.quantized.report import compare

        if not isinstance(gru, GRU):
            raise TypeError(f"gru must be a GRU, got {validation.type_name(gru)}")
        own = overridden(type(gru), GRU, (*CALLS, "stream", "begin_stream", "step"))
        if own:
            name = type(gru).__name__
            raise TypeError(
                f"gru must compute what pygru.GRU does, and a {name} has its own {own[0]}(), "
                "which a QuantizedGRU would not call"
            )
        check_bits(bits)
        if data is None and lengths is not None:
            raise ValueError("lengths must be None without data")
        self._set_up(gru.options)
        for name, values in gru.parameters.items():
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{name} contains NaN or infinity, which no integer stands for"
                )
            if name.startswith("weight_"):
                integers, scales = quantize(values)
                self.parameters[name] = integers
                self.parameters[f"scale_{name.removeprefix('weight_')}"] = scales
            else:
                self.parameters[name] = values
        if data is not None:
            self._fix(report=compare(gru, self, data, lengths))

    def _set_up(self, options: GRUOptions) -> None:
        """Make everything except the values of the parameters, which are zeros."""
        if options.dtype != np.float32:
            raise ValueError(
                f"only a float32 GRU can be quantized, and this one is {options.dtype.name}; "
                'gru.replace(dtype="float32") returns one with the same weights, rounded'
            )
        self._fix_options(options)
        self._fix(parameters=QuantizedParameters(options), grads={}, report=None)
        self._runner = QuantizedRunner(options, self.parameters.owner)

    # ---- options and copies -----------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the options and the bits, ready for JSON."""
        return {**self.options.get_config(), "bits": BITS}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return one with the options that :meth:`get_config` returned, and weights of zero."""
        options = _options_of(config)
        quantized = cls.__new__(cls)
        quantized._set_up(options)
        return quantized

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes."""
        return {name: shape for name, (_, shape) in kinds_of(_options_of(config)).items()}

    @staticmethod
    def parameter_dtypes(config: Mapping[str, Any]) -> dict[str, str]:
        """Return the dtype of each parameter that ``config`` makes."""
        return {name: dtype.name for name, (dtype, _) in kinds_of(_options_of(config)).items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.options.arguments_text()}, bits={BITS})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "config": self.get_config(),
            "parameters": self.state_dict(),
            "report": self.report,
            **added_to(self),
        }

    def __setstate__(self, state: Any) -> None:
        from pygru.quantized.report import check_report

        cls = type(self)
        check_keys(cls, state, "config", "parameters", "report")
        with naming(cls):
            self._set_up(_options_of(state["config"]))
            self.load_state_dict(state["parameters"])
            self._fix(report=check_report(state["report"]))
        restore_added(self, state)

    def _how_to_change(self, name: str, value: object) -> str:
        if name == "parameters":
            return "assign to its arrays, as in quantized.parameters[name] = array"
        return "change the GRU that it was made from, and call quantized() again"

    # ---- parameters -------------------------------------------------------------------------

    def _stored(self) -> list[Floats]:
        return list(self.parameters.values())

    def state_dict(self) -> dict[str, Any]:
        """Return a dict from parameter names to copies of the parameters."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping: Mapping[str, Any], prefix: str = "") -> None:
        """Copy parameters from a mapping of names to arrays, as :meth:`state_dict` returns it.

        After an error or an interrupt either nothing or everything has been copied.

        Parameters
        ----------
        mapping : mapping of str to array_like
            Matrices must be int8.
        prefix : str
            If it is given, only names that begin with it are taken, without the prefix.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ValueError
            If a shape or a dtype does not fit, or a value is out of range.
        """
        load_into(self.parameters, mapping, prefix)

    # ---- what training asks of a layer: nothing is trained ----------------------------------

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters: never."""
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if validation.check_bool("trainable", value):
            raise ValueError(f"trainable must be False: {INFERENCE_ONLY}")

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """The empty text, the name of the layer itself, because it is never trained."""
        return ("",)

    def freeze_only(self, parts: tuple[str, ...]) -> None:
        """Raise unless ``parts`` is what ``frozen_parts`` returns."""
        if parts != ("",):
            raise ValueError(f"parts must be ('',), got {parts!r}: {INFERENCE_ONLY}")

    @property
    def flat_pairs(self) -> list[tuple[Floats, Floats]]:
        """The arrays that an optimiser updates: none."""
        return []

    @property
    def weight_slices(self) -> list[list[slice]]:
        """The weights that decay: none."""
        return []

    @property
    def generators(self) -> list[np.random.Generator]:
        """The random generators that training uses: none."""
        return []

    def zero_grad(self) -> None:
        """Do nothing, because there are no gradients."""

    def reseed(self, seed: Seed) -> None:
        """Raise, because the weights come from a trained GRU."""
        raise ValueError(f"no initial weights can be drawn: {INFERENCE_ONLY}")

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
        mask: Any = None,
        reset: Any = None,
    ) -> tuple[Any, Any, Any]:
        """Return the output, the state that follows and no tape, in the form for Sequential."""
        if training:
            raise ValueError(f"training must be False: {INFERENCE_ONLY}")
        y, h_n = self(x, state, lengths=lengths, mask=mask, reset=reset)
        return y, h_n, None

    def run_backward(self, tape: Any, d_y: Any) -> NoReturn:
        """Raise, because there is no tape."""
        raise ValueError(f"there is no gradient: {INFERENCE_ONLY}")

    def __getattr__(self, name: str) -> NoReturn:
        """Say why something that a GRU has is missing here."""
        text = f"a {type(self).__name__} has no attribute {name!r}"
        if name in MISSING:
            text = f"a {type(self).__name__} has no {name}: {MISSING[name]}"
        raise AttributeError(text, name=name, obj=self)


def check_bits(bits: object) -> None:
    """Raise unless weights can have so many bits.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is not 8.
    """
    if isinstance(bits, (list, tuple)) or np.ndim(bits):  # type: ignore[arg-type]
        raise TypeError(
            f"bits must be an int, got {validation.type_name(bits)}; data are given by name: "
            "quantized(data=...)"
        )
    if validation.check_int("bits", bits, 1) != BITS:
        raise ValueError(f"bits must be {BITS}, got {validation.shown(bits)}")


def _options_of(config: Mapping[str, Any]) -> GRUOptions:
    """Return the options in what ``get_config`` returned, after checking the bits."""
    validation.check_mapping("config", config, "options")
    config = dict(config)
    check_bits(config.pop("bits", BITS))
    return GRUOptions.from_config(config)
