"""Layers of Keras as layers of pygru, where pygru has them.

A chain of layers becomes a :class:`pygru.Sequential` that computes the same for inference,
masks included. What acts in training only is left out where pygru has no such layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.found import FoundGRU
from pygru.io.keras.functions import Unsupported, activation_name
from pygru.io.keras.grus import OTHERS, is_recurrent
from pygru.io.keras.nodes import Node, class_of, mapping
from pygru.io.keras.weights import Arrays, Weights
from pygru.nn.activation import FUNCTIONS, Activation
from pygru.nn.dropout import Dropout
from pygru.nn.embedding import Embedding
from pygru.nn.feature_scale import FeatureScale
from pygru.nn.last import Last
from pygru.nn.layer_norm import LayerNorm
from pygru.nn.linear import Linear
from pygru.nn.masking import Masking
from pygru.nn.model import Model
from pygru.nn.pooling import MaxOverTime, MeanOverTime

#: Layers that change nothing when a trained model is used.
IN_TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
)


@dataclass
class Conversion:
    """The layers that were made so far, and what the next one reads.

    Attributes
    ----------
    weights : Weights
        The weights of the layers of Keras.
    grus : mapping of str to FoundGRU
        The GRUs of the model by the trails of their layers.
    options : mapping of str to object
        The caller's options for each GRU.
    layers : list of Model
        The layers of pygru.
    has_steps : bool
        Whether there is a time axis.
    has_mask : bool
        Whether a layer says which steps count.
    left_out : list of str
        The layers that act in training only.
    """

    weights: Weights
    grus: Mapping[tuple[str, ...], FoundGRU]
    options: Mapping[str, Any]
    layers: list[Model] = field(default_factory=list)
    has_steps: bool = True
    has_mask: bool = False
    left_out: list[str] = field(default_factory=list)

    def add(self, node: Node) -> None:
        """Add what a layer of Keras is.

        Raises
        ------
        Unsupported
            If pygru has no layer that computes the same.
        """
        if _is_quantised(node):
            raise Unsupported("its weights are quantised")
        if is_recurrent(node):
            self._recurrent(node)
        elif node.kind in IN_TRAINING_ONLY:
            self.left_out.append(node.name)
        elif node.kind == "TimeDistributed":
            self._distributed(node)
        elif node.kind in CONVERTERS:
            CONVERTERS[node.kind](self, node, node.config)
        else:
            raise Unsupported(f"class {node.kind}")

    def dtype(self, arrays: Arrays) -> str:
        """Return the dtype of a layer with these weights."""
        asked = self.options.get("dtype")
        if asked is not None:
            return str(np.dtype(asked).name)
        return "float64" if any(array.dtype == np.float64 for array in arrays) else "float32"

    def _distributed(self, node: Node) -> None:
        inner = node.config.get("layer")
        kind = class_of(inner) if isinstance(inner, dict) else None
        config = inner.get("config") if isinstance(inner, dict) else None
        if kind not in EACH_STEP or not isinstance(config, dict):
            raise Unsupported(f"a TimeDistributed of {kind}")
        CONVERTERS[kind](self, node, config)

    def _recurrent(self, node: Node) -> None:
        found = self.grus.get(node.trail)
        if found is None:
            raise Unsupported(OTHERS.get(node.kind, f"class {node.kind}"))
        config = node.config
        is_wrapped = node.kind == "Bidirectional"
        if is_wrapped:
            config = mapping("layer", config.get("layer")).get("config", {})
        returns_steps = config.get("return_sequences") is True
        is_reverse = found.options.get("reverse") is True
        if config.get("return_state") is True:
            raise Unsupported("return_state=True, which makes a second output")
        if is_reverse and returns_steps:
            raise Unsupported(
                "go_backwards=True with return_sequences=True: Keras returns the steps in the "
                "reverse order"
            )
        zeros = found.options.get("zero_output_for_mask") is True
        if zeros and self.has_mask and not returns_steps:
            raise Unsupported("zero_output_for_mask=True with return_sequences=False")
        merge = found.options.get("merge", "concat")
        options = {**self.options, "batch_first": True}
        if returns_steps:
            self.layers.append(_trainable(found.build(**options), node))
            return
        if is_wrapped:
            # Each direction's last state is at another step, so they are merged after that.
            found = _unmerged(found)
        self.layers.append(_trainable(found.build(**options), node))
        if is_wrapped:
            self.layers.append(Last(bidirectional=True, merge=merge))
        else:
            self.layers.append(Last(reverse=True) if is_reverse else Last())
        self.has_steps = self.has_mask = False

    def function(self, value: Any) -> None:
        """Add the activation of a layer, unless it is linear."""
        name = activation_name(value)
        if name == "linear":
            return
        if name not in FUNCTIONS:
            raise Unsupported(f"the activation {name!r}")
        self.layers.append(Activation(name))

    def check_axis(self, axis: Any) -> None:
        """Raise Unsupported unless an axis is the last one."""
        given = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        if given not in (-1, 2 if self.has_steps else 1):
            raise Unsupported(f"axis={axis!r}")


def _is_quantised(node: Node) -> bool:
    """Whether the policy of a layer says that its weights are integers with scales."""
    policy = node.config.get("dtype")
    kind = policy.get("class_name") if isinstance(policy, dict) else None
    is_policy = isinstance(kind, str) and kind.startswith("Quantized")
    return is_policy or node.config.get("quantization_config") is not None


def _unmerged(found: FoundGRU) -> FoundGRU:
    return replace(found, options={**found.options, "merge": "concat"})


def _trainable(layer: Any, node: Node) -> Any:
    if node.config.get("trainable") is False and layer.parameters:
        layer.trainable = False
    return layer


def _shaped(node: Node, arrays: Arrays, *shapes: tuple[int | None, ...]) -> Arrays:
    """The weights of a layer, if there are as many as shapes, and they fit them."""
    fits = len(arrays) == len(shapes) and all(
        array.dtype.kind == "f"
        and array.ndim == len(shape)
        and all(
            axis > 0 and size in (None, axis)
            for size, axis in zip(shape, array.shape, strict=True)
        )
        for array, shape in zip(arrays, shapes, strict=True)
    )
    if not fits:
        raise FormatError(
            f"damaged Keras file: {node.name!r} has weights of shapes "
            f"{[array.shape for array in arrays]}"
        )
    return arrays


def _dense(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    arrays = to.weights.of(node)
    has_bias = config.get("use_bias", True) is not False
    outputs = arrays[0].shape[-1] if arrays else 0
    shapes: list[tuple[int | None, ...]] = [(None, outputs)]
    kernel, *bias = _shaped(node, arrays, *shapes, *([(outputs,)] if has_bias else []))
    layer = Linear(len(kernel), outputs, has_bias, dtype=to.dtype(arrays), seed=0)
    layer.parameters["weight"] = kernel.T
    if bias:
        layer.parameters["bias"] = bias[0]
    to.layers.append(_trainable(layer, node))
    to.function(config.get("activation"))


def _embedding(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    if to.has_mask:
        raise Unsupported("after a mask, which an Embedding replaces or drops")
    (table,) = _shaped(node, to.weights.of(node), (None, None))
    is_masked = config.get("mask_zero") is True
    layer = Embedding(*table.shape, mask_zero=is_masked, weight=table, dtype=to.dtype([table]))
    to.layers.append(_trainable(layer, node))
    to.has_mask = is_masked


def _masking(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    value = config.get("mask_value", 0.0)
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise Unsupported(f"mask_value={str(value)[:80]}")
    if to.has_mask:
        raise Unsupported("a second mask, which replaces the first one")
    to.layers.append(Masking(value))
    to.has_mask = True


def _dropout(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    rate = config.get("rate", config.get("p"))
    if not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise FormatError(f"damaged Keras file: {node.name!r} has rate={str(rate)[:80]}")
    if config.get("noise_shape") is not None:
        raise Unsupported("noise_shape")
    to.layers.append(Dropout(float(rate)))


def _activation(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    to.function(config.get("activation"))


def _relu(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    for name in ("max_value", "negative_slope", "threshold"):
        if config.get(name) not in (None, 0):
            raise Unsupported(f"a ReLU with {name}={config[name]!r}")
    if config.get("max_value") is not None:
        raise Unsupported(f"a ReLU with max_value={config['max_value']!r}")
    to.layers.append(Activation("relu"))


def _softmax(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    to.check_axis(config.get("axis", -1))
    if to.has_mask:
        raise Unsupported("a Softmax layer after a mask, which it would read")
    to.layers.append(Activation("softmax"))


def _scales(
    to: Conversion, node: Node, config: Mapping[str, Any], more: int
) -> tuple[NDArray[Any], NDArray[Any], Arrays, str]:
    """The scale and the shift of a layer that normalises, and its ``more`` other weights."""
    to.check_axis(config.get("axis", -1))
    arrays = to.weights.of(node)
    has = [config.get(name, True) is not False for name in ("scale", "center")]
    size = arrays[0].shape[0] if arrays and arrays[0].ndim else None
    found = _shaped(node, arrays, *[(size,)] * (sum(has) + more))
    if size is None:
        raise Unsupported("no weights, so that the number of features is unknown")
    dtype = to.dtype(arrays)
    scale = found.pop(0) if has[0] else np.ones(size)
    shift = found.pop(0) if has[1] else np.zeros(size)
    return scale, shift, found, dtype


def _epsilon(config: Mapping[str, Any]) -> float:
    eps = config.get("epsilon", 1e-3)
    if not isinstance(eps, int | float) or not 0 < eps < 1e30:
        raise Unsupported(f"epsilon={str(eps)[:80]}")
    return float(eps)


def _layer_norm(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    if config.get("rms_scaling") is True:
        raise Unsupported("rms_scaling=True")
    scale, shift, _, dtype = _scales(to, node, config, 0)
    layer = LayerNorm(len(scale), _epsilon(config), dtype=dtype)
    layer.parameters["weight"], layer.parameters["bias"] = scale, shift
    to.layers.append(_trainable(layer, node))


def _batch_norm(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    scale, shift, (mean, variance), dtype = _scales(to, node, config, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = scale / np.sqrt(variance.astype(np.float64) + _epsilon(config))
    layer = FeatureScale(len(weight), dtype=dtype)
    layer.parameters["weight"], layer.parameters["bias"] = weight, shift - mean * weight
    to.layers.append(_trainable(layer, node))


def _mean(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    _pooled(to, config, MeanOverTime())


def _max(to: Conversion, node: Node, config: Mapping[str, Any]) -> None:
    if to.has_mask:
        raise Unsupported("a GlobalMaxPooling1D after a mask, which it ignores")
    _pooled(to, config, MaxOverTime())


def _pooled(to: Conversion, config: Mapping[str, Any], layer: Model) -> None:
    if config.get("keepdims") is True or config.get("data_format") == "channels_first":
        raise Unsupported("keepdims=True or data_format='channels_first'")
    if not to.has_steps:
        raise Unsupported("pooling without a time axis")
    to.layers.append(layer)
    to.has_steps = to.has_mask = False


CONVERTERS: dict[str, Callable[[Conversion, Node, Mapping[str, Any]], None]] = {
    "Activation": _activation,
    "BatchNormalization": _batch_norm,
    "Dense": _dense,
    "Dropout": _dropout,
    "Embedding": _embedding,
    "GlobalAveragePooling1D": _mean,
    "GlobalMaxPooling1D": _max,
    "LayerNormalization": _layer_norm,
    "Masking": _masking,
    "ReLU": _relu,
    "Softmax": _softmax,
}
#: The layers that are known, so that no others can be inside them.
KNOWN = (*CONVERTERS, *IN_TRAINING_ONLY, "InputLayer", "TimeDistributed")
#: Those that compute every step on its own, so that a TimeDistributed changes nothing.
EACH_STEP = ("Activation", "Dense", "Dropout", "ReLU")
