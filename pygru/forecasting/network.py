"""The network of a forecaster: a linear autoregression and a GRU side by side.

The autoregression is found by least squares and is not trained further; the GRU learns what it
leaves over (as the autoregressive part of LSTNet, Lai et al. 2018, arXiv:1703.07015, but fitted
first, as in Zhang 2003, "Time series forecasting using a hybrid ARIMA and neural network
model", Neurocomputing 50). Without covariates that are known for the future, the last output of
the GRU becomes all steps of the forecast. With them, the GRU runs on through the steps of the
forecast, and its output at each of them becomes that step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.core.pickled import added_to, check_keys, naming, refuse, restore_added
from pygru.forecasting.linear import autoregress
from pygru.forecasting.task import MOST_STEPS
from pygru.gru import GRU
from pygru.nn import losses
from pygru.nn.composite import Composite
from pygru.nn.dropout import Dropout
from pygru.nn.last import Last
from pygru.nn.linear import Linear
from pygru.nn.sequential import Sequential
from pygru.quantized.gru import QuantizedGRU
from pygru.typing import Floats, Seed

#: The largest sizes of a network. A damaged file may name any, and some are counted out.
LIMITS = {
    "features": MOST_STEPS,
    "window": MOST_STEPS,
    "horizon": MOST_STEPS,
    "targets": 10_000,
    "levels": 1000,
    "order": MOST_STEPS,
}
MOST_LAYERS = 1000


@dataclass(frozen=True)
class Shape:
    """The sizes from which the parameters follow.

    Attributes
    ----------
    features : int
        Numbers that are read at a step.
    window, horizon : int
        Steps that are read and forecast.
    targets, levels : int
        Targets, and quantiles of each.
    order : int
        The last steps that the autoregression uses.
    reads_on : bool
        Whether the GRU reads the steps of the forecast too.
    """

    features: int
    window: int
    horizon: int
    targets: int
    levels: int
    order: int
    reads_on: bool

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            size = validation.check_int(name, getattr(self, name), 1)
            if size > most:
                raise ValueError(f"{name} must be at most {most}, got {size}")
        validation.check_bool("reads_on", self.reads_on)

    @property
    def outputs(self) -> int:
        """The outputs of the layer after the GRU."""
        return self.targets * self.levels * (1 if self.reads_on else self.horizon)


class ForecastNetwork(Composite):
    """What :class:`GRUForecaster` trains: from windows to scaled errors of the naive forecast.

    Parameters
    ----------
    features, window, horizon, targets, levels, order, reads_on
        The fields of :class:`Shape`.
    hidden_size, num_layers, variant, dropout, seed
        As for :class:`pygru.GRU` and :class:`pygru.Dropout`.
    bits : int, optional
        The bits of the GRU's weights if they are integers; see :meth:`quantized`.
    """

    predicts_steps = False
    _made_again: ClassVar[frozenset[str]] = frozenset(
        {"shape", "gru", "linear", "autoregression", "_dropout", "_body"}
        | {"parameters", "grads", "_unique", "_named"}
    )

    def __init__(
        self,
        *,
        features: int,
        window: int,
        horizon: int,
        targets: int,
        levels: int,
        order: int,
        reads_on: bool,
        hidden_size: int,
        num_layers: int,
        variant: str,
        dropout: float,
        seed: Seed = None,
        bits: int | None = None,
    ) -> None:
        shape = Shape(features, window, horizon, targets, levels, order, reads_on)
        floats = GRU(
            features, hidden_size, num_layers, batch_first=True, variant=variant, seed=seed
        )
        gru = floats if bits is None else QuantizedGRU(floats, bits)
        linear = Linear(hidden_size, shape.outputs, seed=seed)
        dropped = Dropout(dropout, seed=seed)
        autoregression = tuple(Linear(order, horizon, seed=seed) for _ in range(targets))
        for each in autoregression:
            each.flat_parameters[...] = 0
            each.trainable = False  # least squares has found them
        self._join(shape, gru, dropped, linear, autoregression)

    def _join(
        self,
        shape: Shape,
        gru: GRU | QuantizedGRU,
        dropout: Dropout,
        linear: Linear,
        autoregression: tuple[Linear, ...],
    ) -> None:
        """Make this the network of these parts."""
        last = () if shape.reads_on else (Last(),)
        self._fix(
            shape=shape,
            gru=gru,
            linear=linear,
            autoregression=autoregression,
            _dropout=dropout.p,
            _body=Sequential(gru, *last, dropout, linear),
        )
        lines = {f"autoregression.{i}": each for i, each in enumerate(autoregression)}
        self._create_parts({"gru": gru, "dropout": dropout, "linear": linear, **lines})

    # ---- copies and pickles: the parts, each of which has checked its own state ------------

    def __getstate__(self) -> dict[str, Any]:
        parts = dict(self._named)
        return {"config": self.get_config(), "parts": parts, **added_to(self)}

    def __setstate__(self, state: Any) -> None:
        cls = type(self)
        check_keys(cls, state, "config", "parts")
        config, parts = state["config"], state["parts"]
        with naming(cls):
            expected = _expected_parts(config)
        if not isinstance(parts, dict) or parts.keys() != expected.keys():
            refuse(cls, f"parts must be {', '.join(expected)}, got {validation.shown(parts)}")
        for name, (kind, options) in expected.items():
            part = parts[name]
            if not isinstance(part, kind):
                refuse(cls, f"{name} must be a {kind.__name__}, got {type(part).__name__}")
            found = part.get_config()  # type: ignore[attr-defined]  # every part has one
            if {option: found.get(option) for option in options} != options:
                refuse(cls, f"{name} must have the options {options}, got {found}")
        gru, dropout, linear, *lines = parts.values()
        self._join(_shape_of(config), gru, dropout, linear, tuple(lines))
        if self.get_config() != config:
            refuse(cls, f"config must be {self.get_config()}, got {validation.shown(config)}")
        restore_added(self, state)

    shape: Shape
    gru: GRU | QuantizedGRU
    linear: Linear
    autoregression: tuple[Linear, ...]
    _dropout: float
    _body: Sequential

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        config = self.gru.get_config()
        return {
            **asdict(self.shape),
            "hidden_size": config["hidden_size"],
            "num_layers": config["num_layers"],
            "variant": config["variant"],
            "dropout": self._dropout,
            **({"bits": config["bits"]} if "bits" in config else {}),
        }

    def quantized(self, bits: int = 8) -> ForecastNetwork:
        """Return this network with weights of 8 bits in its GRU; all others are copied."""
        if isinstance(self.gru, QuantizedGRU):
            raise ValueError("the weights of the GRU are integers already")
        other = ForecastNetwork(**self.get_config(), bits=bits)
        for name, values in self.gru.quantized(bits).parameters.items():
            other.gru.parameters[name] = values
        for name, values in self.parameters.items():
            if not name.startswith("gru."):
                other.parameters[name] = values
        return other

    def named_parts(self) -> list[tuple[str, Any, str]]:
        """Return name, layer and shape of the output of each part that has parameters."""
        first, *_, last = zip(self._body.layers, self._body.layer_shapes, strict=True)
        shown = [("gru", *first), ("linear", *last)]
        parts = [(name, layer, str(shape)) for name, layer, shape in shown]
        lines = [
            (f"autoregression.{index}", each, f"(B, {each.out_features})")
            for index, each in enumerate(self.autoregression)
        ]
        return [*parts, *lines]

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes; nothing is allocated."""
        shape = _shape_of(config)
        validation.check_int("hidden_size", config["hidden_size"], 1)
        if validation.check_int("num_layers", config["num_layers"], 1) > MOST_LAYERS:
            raise ValueError(f"num_layers must be at most {MOST_LAYERS}")
        linear = {
            "in_features": config["hidden_size"],
            "out_features": shape.outputs,
            "bias": True,
        }
        parts: dict[str, Any] = {
            "gru": _class_of_gru(config).parameter_shapes(_config_of_gru(config)),
            "linear": Linear.parameter_shapes(linear),
        }
        line = {"in_features": shape.order, "out_features": shape.horizon, "bias": True}
        for target in range(shape.targets):
            parts[f"autoregression.{target}"] = Linear.parameter_shapes(line)
        return {
            f"{part}.{name}": size for part, of in parts.items() for name, size in of.items()
        }

    @staticmethod
    def parameter_dtypes(config: Mapping[str, Any]) -> dict[str, str]:
        """Return the dtype of each parameter that is not float32."""
        dtypes = _class_of_gru(config).parameter_dtypes(_config_of_gru(config))
        return {f"gru.{name}": dtype for name, dtype in dtypes.items()}

    def reseed(self, seed: Seed) -> None:
        """Draw the initial parameters of what is trained anew."""
        self._body.reseed(seed)

    # ---- running ---------------------------------------------------------------------------

    def infer(self, x: Any, *, lengths: Any = None) -> Floats:
        """Return (M, horizon, targets, levels), without dropout."""
        return self._joined(x, self._body.infer(x))

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
    ) -> tuple[Floats, Any, Any]:
        """Return the output as :meth:`infer` does, no state, and the tape."""
        output, _, tape = self._body.run(x, training=training, memory=memory)
        return self._joined(x, output), None, (tape, output.shape)

    def accumulate(self, tape: Any, d_y: Any) -> None:
        """Add to the gradients of what is trained."""
        of_body, shape = tape
        gradient = np.zeros(shape, np.float32)
        last = gradient[:, -self.shape.horizon :] if self.shape.reads_on else gradient
        last[...] = np.reshape(d_y, last.shape)
        self._body.accumulate(of_body, gradient)

    def _joined(self, x: Any, output: Floats) -> Floats:
        shape = self.shape
        if shape.reads_on:
            output = output[:, -shape.horizon :]
        grid = output.reshape(len(x), shape.horizon, shape.targets, shape.levels)
        read = x[:, : shape.window, : shape.targets]
        result: Floats = grid + autoregress(self.autoregression, read)[..., np.newaxis]
        return result


def _shape_of(config: Mapping[str, Any]) -> Shape:
    return Shape(**{field.name: config[field.name] for field in fields(Shape)})


def _expected_parts(config: Mapping[str, Any]) -> dict[str, tuple[type, dict[str, Any]]]:
    """The class and the options of each part of a network, or an error that says why not."""
    ForecastNetwork.parameter_shapes(config)  # raises for sizes that are not possible
    shape = _shape_of(config)
    gru = {"batch_first": True, **_config_of_gru(config)}
    return {
        "gru": (_class_of_gru(config), gru),
        "dropout": (Dropout, {"p": config["dropout"]}),
        "linear": (Linear, _linear(config["hidden_size"], shape.outputs)),
        **{
            f"autoregression.{index}": (Linear, _linear(shape.order, shape.horizon))
            for index in range(shape.targets)
        },
    }


def _linear(inputs: int, outputs: int) -> dict[str, Any]:
    return {"in_features": inputs, "out_features": outputs, "bias": True, "dtype": "float32"}


def _class_of_gru(config: Mapping[str, Any]) -> type[GRU] | type[QuantizedGRU]:
    return GRU if config.get("bits") is None else QuantizedGRU


def _config_of_gru(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the GRU of a network, from which its parameters follow."""
    names = ("hidden_size", "num_layers", "variant", "bits")
    options = {name: config[name] for name in names if config.get(name) is not None}
    return {"input_size": config["features"], **options}


def loss_for(levels: Sequence[float]) -> Callable[..., Any]:
    """Return the loss of a batch whose targets are those of :meth:`Windows.targets`.

    It is the pinball loss of the quantiles ``levels``; that of the median alone is half the
    absolute error.
    """

    def loss(prediction: Floats, y: NDArray[Any], *, mask: object = None) -> tuple[Any, Floats]:
        wanted, seen = y[..., 0], y[..., 1] > 0
        return losses.quantile(prediction, wanted, quantiles=levels, mask=seen)

    return loss


def forecasts_in_order(outputs: Floats) -> Floats:
    """Return quantile forecasts that do not cross: those of each step in ascending order.

    Sorting never makes them worse (Chernozhukov, Fernandez-Val and Galichon 2010, "Quantile and
    Probability Curves Without Crossing", Econometrica 78).
    """
    return np.sort(outputs, axis=-1)
