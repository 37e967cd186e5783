"""keras.layers.GRU as a target, in float32, with gradients from torch or JAX.

``KERAS_BACKEND`` chooses the backend, as always; it must be ``torch`` or ``jax`` here. float32
is used because some functions of Keras 3, such as its tanh with JAX, compute in float32 even if
the layer's dtype is float64.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.conformance.case import ActivationName, Arrays, Case
from pygru.conformance.layouts import from_layout

BACKENDS = ("torch", "jax")
DTYPE = "float32"


def _keras() -> Any:
    """Import Keras, with a backend that is installed if none was chosen."""
    if not os.environ.get("KERAS_BACKEND", "").strip():
        installed = [name for name in BACKENDS if find_spec(name) is not None]
        if installed:
            os.environ["KERAS_BACKEND"] = installed[0]
    import keras

    return keras


def about() -> str:
    """Return what this is, with its version."""
    keras = _keras()
    return f"keras.layers.GRU, keras {keras.__version__}, backend {keras.backend.backend()}"


def run(case: Case) -> Arrays:
    """Return the outputs and gradients of a case."""
    if case.update == "replace":
        raise NotImplementedError("keras.layers.GRU has an update gate that keeps")
    if case.clip is not None:
        raise NotImplementedError("keras.layers.GRU has no clip")
    keras = _keras()
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise NotImplementedError(f"this target needs the backend torch or jax, not {backend}")
    layers = [_layer(keras, case, layer) for layer in range(case.num_layers)]
    return _with_jax(layers, case) if backend == "jax" else _with_torch(layers, case)


# ---- the layers ----------------------------------------------------------------------------


def _function(keras: Any, name: ActivationName) -> Any:
    """Return an activation in Keras."""
    if isinstance(name, str):
        return name
    _, alpha, beta = name
    return lambda a: keras.ops.clip(alpha * a + beta, 0.0, 1.0)


def _layer(keras: Any, case: Case, layer: int) -> list[Any]:
    """Return the GRU layers of one layer of a case, one for each direction."""
    return [
        keras.layers.GRU(
            case.hidden_size,
            activation=_function(keras, case.activation),
            recurrent_activation=_function(keras, case.recurrent_activation),
            use_bias=case.bias != "none",
            reset_after=case.reset == "after",
            go_backwards=suffix == "_reverse" or case.direction == "reverse",
            zero_output_for_mask=case.masked_output != "state",
            return_sequences=True,
            return_state=True,
            dtype=DTYPE,
        )
        for suffix in case.directions
    ]


def _weights(case: Case, suffix: str) -> list[NDArray[Any]]:
    """Return the arrays of a layer in Keras' order: gates z, r, n, units in columns."""
    merged = case.reset == "before"
    found = case.weights(suffix, gate_order="zrn", units="columns", merged_bias=merged)
    W, U, *biases = found
    if biases and not merged:
        biases = [np.stack([*biases, np.zeros_like(biases[0])][:2])]
    return [array.astype(DTYPE) for array in (W, U, *biases)]


def _of_weights(case: Case, suffix: str, gradients: list[NDArray[Any]]) -> Arrays:
    """Return the gradients of a layer's arrays by the names of the case."""
    W, U, *biases = (np.asarray(gradient) for gradient in gradients)
    found = {
        f"d_weight_ih_{suffix}": from_layout(W, "zrn", "columns"),
        f"d_weight_hh_{suffix}": from_layout(U, "zrn", "columns"),
    }
    for bias in biases:
        both = bias if bias.ndim == 2 else np.stack([bias, bias])
        for kind, gradient in zip(("ih", "hh"), both, strict=True):
            found[f"d_bias_{kind}_{suffix}"] = from_layout(gradient, "zrn", "rows")
    return found


def _suffixes(case: Case) -> list[str]:
    return [f"l{layer}{each}" for layer in range(case.num_layers) for each in case.directions]


def _mask(case: Case) -> NDArray[Any] | None:
    """Return the mask (B, T) of the steps that count, or None if all do."""
    plain = case.mask is None and case.lengths is None
    return None if plain else case.counted.T


def _forward(layers: list[Any], case: Case, call: Any, x: Any, states: Any, flip: Any) -> Any:
    """Run all layers; ``call`` runs one, and ``flip`` reverses the time axis of (B, T, H)."""
    import keras

    mask = _mask(case)
    index, last = 0, []
    for row in layers:
        outputs = []
        for layer in row:
            state = None if states is None else states[index]
            output, h = call(index, layer, x, state, mask)
            # Keras returns the steps in the order of reading.
            outputs.append(flip(output) if layer.go_backwards else output)
            last.append(h)
            index += 1
        x = keras.ops.concatenate(outputs, axis=-1)
    return x, keras.ops.stack(last)


# ---- the gradients of each backend ---------------------------------------------------------


def _with_jax(layers: list[Any], case: Case) -> Arrays:
    import jax
    import jax.numpy as jnp

    flat = [layer for row in layers for layer in row]
    values = [[jnp.asarray(a) for a in _weights(case, suffix)] for suffix in _suffixes(case)]
    for layer, arrays in zip(flat, values, strict=True):
        layer.build((None, None, arrays[0].shape[0]))
    inputs = {"x": jnp.asarray(case.x.transpose(1, 0, 2), DTYPE), "weights": values}
    if case.h0 is not None:
        inputs["h0"] = jnp.asarray(case.h0, DTYPE)

    def forward(arrays: Any) -> Any:
        def call(index: int, layer: Any, x: Any, state: Any, mask: Any) -> Any:
            start = None if state is None else [state]
            others = [each.value for each in layer.non_trainable_variables]
            (output, h), _ = layer.stateless_call(
                arrays["weights"][index], others, x, mask=mask, initial_state=start
            )
            return output, h

        return _forward(layers, case, call, arrays["x"], arrays.get("h0"), lambda a: a[:, ::-1])

    def loss(arrays: Any) -> Any:
        output, h_n = forward(arrays)
        d_output = case.d_output.transpose(1, 0, 2)
        return (d_output * output).sum() + (case.d_h_n * h_n).sum(), (output, h_n)

    (_, (output, h_n)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(inputs)
    return _named(case, output, h_n, gradients["x"], gradients.get("h0"), gradients["weights"])


def _with_torch(layers: list[Any], case: Case) -> Arrays:
    import torch

    def tensor(array: NDArray[Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array, DTYPE)).requires_grad_()

    flat = [layer for row in layers for layer in row]
    for layer, suffix in zip(flat, _suffixes(case), strict=True):
        arrays = _weights(case, suffix)
        layer.build((None, None, arrays[0].shape[0]))
        layer.set_weights(arrays)
    x = tensor(case.x.transpose(1, 0, 2))
    h0 = None if case.h0 is None else tensor(case.h0)

    def call(index: int, layer: Any, x: Any, state: Any, mask: Any) -> Any:
        kept = None if mask is None else torch.from_numpy(np.ascontiguousarray(mask))
        return layer(x, mask=kept, initial_state=None if state is None else [state])

    output, h_n = _forward(layers, case, call, x, h0, lambda a: a.flip(1))
    d_output = torch.from_numpy(np.ascontiguousarray(case.d_output.transpose(1, 0, 2), DTYPE))
    d_h_n = torch.from_numpy(case.d_h_n.astype(DTYPE))
    torch.autograd.backward([output, h_n], [d_output, d_h_n])
    weights = [[each.value.grad for each in layer.trainable_variables] for layer in flat]
    d_h0 = None if h0 is None else h0.grad
    return _named(case, output.detach(), h_n.detach(), x.grad, d_h0, weights)


def _named(case: Case, output: Any, h_n: Any, d_x: Any, d_h0: Any, weights: Any) -> Arrays:
    """Return all results by their names, in the layout of the case."""
    found = {"output": np.asarray(output).transpose(1, 0, 2), "h_n": np.asarray(h_n)}
    found["d_x"] = np.asarray(d_x).transpose(1, 0, 2)
    if d_h0 is not None:
        found["d_h0"] = np.asarray(d_h0)
    for suffix, gradients in zip(_suffixes(case), weights, strict=True):
        found |= _of_weights(case, suffix, gradients)
    return {name: array for name, array in found.items() if name in case.expected}
