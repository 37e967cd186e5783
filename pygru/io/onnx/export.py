"""``to_onnx``: checks what is asked for, makes the whole graph, and writes it to a file.

Everything is checked and the whole file is made in memory before anything is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pygru.core import validation
from pygru.gru import GRU
from pygru.io.files import write_atomically
from pygru.io.onnx import gru_nodes, layer_nodes
from pygru.io.onnx.graph import IR_VERSIONS, Axis, Graph
from pygru.io.onnx.gru_nodes import GRUNodes
from pygru.io.onnx.layer_nodes import NODES
from pygru.io.onnx.messages import MOST_BYTES, ModelProto, encode
from pygru.io.onnx.values import BATCH, TIME, Steps, Value
from pygru.nn.embedding import Embedding
from pygru.nn.last import Last
from pygru.nn.layer import Layer
from pygru.nn.masking import Masking
from pygru.nn.model import Model
from pygru.nn.sequential import Sequential
from pygru.nn.shapes import place
from pygru.quantized.gru import QuantizedGRU
from pygru.typing import Path

#: The first version that has all operators that pygru writes. It came out in 2022.
DEFAULT_OPSET = 17


def to_onnx(
    model: GRU | Sequential,
    path: Path | bytes,
    *,
    opset: int = DEFAULT_OPSET,
    lengths: bool = False,
    mask: bool = False,
    h0: bool = False,
    step: bool = False,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model to an ONNX file, which other runtimes can execute.

    The file computes what the model computes in inference. Neither the package ``onnx`` nor a
    runtime is needed to write it. The file is written atomically, and equal models give equal
    bytes.

    Parameters
    ----------
    model : GRU or Sequential
        A Sequential may consist of :class:`GRU`, :class:`Embedding`, :class:`Linear`,
        :class:`LayerNorm`, :class:`FeatureScale`, :class:`Activation`, :class:`Dropout`,
        :class:`Masking`, :class:`Last`, :class:`MeanOverTime`, :class:`MaxOverTime` and
        :class:`AttentionOverTime`.
    path : path-like
        An existing file is replaced, and stays intact if writing fails.
    opset : int
        The version of ONNX's operators, from 13 to 26. A model with a :class:`LayerNorm` needs
        17 at least.
    lengths : bool
        Whether the file has an input ``lengths``, the valid steps of each sequence. Without it
        all steps are valid.
    mask : bool
        Whether the file has an input ``mask``, which says of each step whether it counts.
        Without it only a :class:`Masking` or ``Embedding(mask_zero=True)`` leaves steps out.
    h0 : bool
        Whether the file has an input for the initial states of each GRU. Without it they are
        zeros, or those that the GRU has learned.
    step : bool
        Whether the file computes a single time step, from the input of this step and the
        states before it.
    dtype : dtype, optional
        float32 or float64, for all weights and values; by default each layer keeps its own.
        ONNX Runtime has no GRU for float64.
    metadata : mapping of str to str, optional
        More to keep in the file, such as the names of classes.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind, or the model is neither a GRU nor a Sequential.
    ValueError
        If ONNX cannot express the model; the text names the layer and the option. Also if
        ``opset`` is out of range, or the file would be larger than 2 GiB. Nothing is written.
    OSError
        If the file cannot be written.

    See Also
    --------
    save : pygru's own files, which hold every model exactly.

    Notes
    -----
    The inputs and outputs are named as follows. B and T, the sizes of the batch and of the
    time, are chosen by each call. In a Sequential, ``<i>`` is the index of a GRU among the
    layers. Tokens and lengths are int64, and a mask is bool.

    ===============  ====================================  ===================================
    name             of a GRU                              of a Sequential
    ===============  ====================================  ===================================
    ``x``            (T, B, I), or (B, T, I) with          (B, T, I), or tokens (B, T)
                     ``batch_first``
    ``lengths``      (B,) with ``lengths=True``            (B,) with ``lengths=True``
    ``mask``         (T, B) or (B, T) with ``mask=True``   (B, T) with ``mask=True``
    ``h0``           (L*D, B, H) with ``h0=True``          ``<i>.h0`` with ``h0=True``
    ``output``       like ``x``, with D*H features         what the model returns
    ``h_n``          (L*D, B, H)                           ``<i>.h_n`` with ``h0=True``
    ===============  ====================================  ===================================

    With ``step=True`` the inputs are ``x_t`` (B, I), or tokens (B,), and ``h`` (L, B, H). The
    outputs are ``y_t`` (B, features) and ``h_next`` (L, B, H), which is the next step's ``h``.
    In a Sequential these are ``<i>.h`` and ``<i>.h_next``.

    The operator GRU of ONNX multiplies the old state by the update gate. A GRU whose update
    replaces it, such as one of variant ``"chung"``, is written with the rows of z negated. This
    computes the same; :func:`from_onnx` and :func:`pygru.io.to_variant` negate them back.

    Examples
    --------
    >>> import os, tempfile, pygru
    >>> model = pygru.Sequential(
    ...     pygru.GRU(3, 8, batch_first=True), pygru.Last(), pygru.Linear(8, 2), seed=0
    ... )
    >>> path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    >>> pygru.to_onnx(model, path, lengths=True)
    >>> pygru.to_onnx(model, path, step=True)
    """
    if not isinstance(path, bytes):
        path = os.fspath(path)
    data = onnx_bytes(
        model,
        opset=opset,
        lengths=lengths,
        mask=mask,
        h0=h0,
        step=step,
        dtype=dtype,
        metadata=metadata,
    )
    write_atomically(path, data)


def onnx_bytes(
    model: GRU | Sequential,
    *,
    opset: int = DEFAULT_OPSET,
    lengths: bool = False,
    mask: bool = False,
    h0: bool = False,
    step: bool = False,
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return the contents of the file that :func:`to_onnx` writes."""
    if not isinstance(model, (GRU, Sequential)):
        raise TypeError(_not_a_model(model))
    inputs = {
        name: validation.check_bool(name, value)
        for name, value in (("lengths", lengths), ("mask", mask), ("h0", h0))
    }
    if validation.check_bool("step", step) and any(inputs.values()):
        name = next(name for name, value in inputs.items() if value)
        raise ValueError(
            f"{name} must be False with step=True: the file of a single step reads one step, "
            "and always the states"
        )
    export = Export(
        model,
        _checked_opset(opset),
        None if dtype is None else validation.check_dtype(dtype),
    )
    metadata = _checked_metadata(metadata)
    _refuse_large(model, export.dtype)
    with np.errstate(over="ignore"):  # as for every array that is converted
        if step:
            export.one_step()
        else:
            export.whole_sequences(*inputs.values())
        return encode(export.model_proto(metadata))


class Export:
    """Makes the graph of one model.

    Parameters
    ----------
    model : GRU or Sequential
    opset : int
    dtype : dtype or None
        Of all weights and values; None for those that each layer has.
    """

    def __init__(self, model: GRU | Sequential, opset: int, dtype: np.dtype[Any] | None):
        self.model = model
        self.dtype = dtype
        self.graph = Graph(opset)
        # Names of the layers of a Sequential begin with the index of the layer.
        if isinstance(model, GRU):
            self.layers: tuple[Model, ...] = (model,)
            self.prefixes = [""]
        else:
            self.layers = model.layers
            self.prefixes = [f"{index}." for index in range(len(self.layers))]
        for index, layer in enumerate(self.layers):
            refusal = _why_not(layer)
            if refusal:
                raise self._refusal(index, refusal)

    def model_proto(self, metadata: Mapping[str, str]) -> ModelProto:
        """Return the finished model."""
        return self.graph.model(f"Written by pygru from {self.model!r}", metadata)

    def whole_sequences(self, with_lengths: bool, with_mask: bool, with_states: bool) -> None:
        """Add everything that computes whole sequences.

        Parameters
        ----------
        with_lengths, with_mask, with_states : bool
            Whether there is an input for the lengths, for the mask, and for the states of each
            GRU.
        """
        graph = self.graph
        batch_first = self.model.batch_first
        axes = (BATCH, TIME) if batch_first else (TIME, BATCH)
        x = self._input("x", axes, "the input of every step")
        lengths = mask = None
        if with_lengths:
            about = "the number of valid steps of each sequence"
            lengths = graph.input("lengths", np.int64, (BATCH,), about)
        if with_mask:
            mask = graph.input("mask", np.bool_, axes, "the steps that count")
            if not batch_first:
                mask = graph.node("Transpose", mask, perm=[1, 0])
        steps = Steps(graph, x.name, 1 if batch_first else 0, lengths, mask)
        if mask is not None and self.layers and not self.layers[0].takes_mask:
            x = self._without_left_out(x, mask)
        states = []
        for index, layer in enumerate(self.layers):
            x = self._converted(x, index)
            if isinstance(layer, (Masking, Embedding)):
                with graph.named(self.prefixes[index]):
                    found = layer_nodes.mask_of(graph, layer, x)
                steps = steps if found is None else steps.masked(found)
            if not isinstance(layer, GRU):
                x = self._layer(index, x, steps)
                continue
            h0 = self._state_input(index, "h0", "the initial states") if with_states else None
            with graph.named(self.prefixes[index]):
                made = GRUNodes(graph, layer, x.dtype).whole_sequences(
                    x.name, h0, steps, batch_first=batch_first
                )
            x = x._replace(name=made.output, features=layer.output_size)
            states.append((index, made.h_n, x.dtype))
        about = "the output of every step" if x.has_steps else "the output of each sequence"
        sizes = axes if x.has_steps else (BATCH,)
        output = layer_nodes.finished(graph, x, steps, batch_first)
        graph.output("output", output, x.dtype, (*sizes, self._output_size()), about)
        if with_states or isinstance(self.model, GRU):
            for index, h_n, dtype in states:
                self._state_output(index, "h_n", h_n, dtype, "the last states")

    def one_step(self) -> None:
        """Add everything that computes a single step."""
        graph = self.graph
        x = self._input("x_t", (BATCH,), "the input of one step")
        steps = Steps(graph, x.name, 1, None, None)
        states = []
        for index, layer in enumerate(self.layers):
            refusal = _why_no_step(layer)
            if refusal:
                raise self._refusal(index, f"cannot run step by step: {refusal}")
            x = self._converted(x, index)._replace(has_steps=False)
            if isinstance(layer, Last):  # this step is the last one so far
                continue
            if not isinstance(layer, GRU):
                x = self._layer(index, x, steps)
                continue
            h = self._state_input(index, "h", "the states before this step")
            with graph.named(self.prefixes[index]):
                made = GRUNodes(graph, layer, x.dtype).one_step(x.name, h)
            x = x._replace(name=made.output)
            states.append((index, made.h_n, x.dtype))
        about = "the output of this step"
        graph.output("y_t", x.name, x.dtype, (BATCH, self._output_size()), about)
        for index, h_next, dtype in states:
            self._state_output(index, "h_next", h_next, dtype, "the states after this step")

    # ---- inputs, outputs and single layers ---------------------------------------------------

    def _input(self, name: str, axes: tuple[Axis, ...], about: str) -> Value:
        """Add the input of the first layer: numbers of its dtype, or tokens."""
        if self.model.reads == "tokens":
            about = about.replace("input", "token")
            tokens = self.graph.input(name, np.int64, axes, about)
            return Value(tokens, np.dtype(np.int64), has_steps=True)
        dtype = self.dtype or next(filter(None, map(_dtype_of, self.layers)), None)
        dtype = np.dtype(np.float32) if dtype is None else dtype
        features = self.model.input_size or "features"
        value = self.graph.input(name, dtype, (*axes, features), about)
        return Value(value, dtype, has_steps=True, features=self.model.input_size)

    def _without_left_out(self, x: Value, mask: str) -> Value:
        """The input with zeros where the mask leaves steps out, as Sequential itself does."""
        graph = self.graph
        zero = graph.constant(x.dtype.type(0))
        if x.dtype.kind == "f":
            mask = graph.node("Unsqueeze", mask, graph.constant([2]))
        return x._replace(name=graph.node("Where", mask, x.name, zero))

    def _output_size(self) -> Axis:
        return self.model.output_size or "features_of_output"

    def _state_input(self, index: int, name: str, about: str) -> str:
        gru = self.layers[index]
        assert isinstance(gru, GRU)
        shape = (gru.options.num_states, BATCH, gru.hidden_size)
        return self.graph.input(
            self.prefixes[index] + name, self.dtype or gru.dtype, shape, about
        )

    def _state_output(
        self, index: int, name: str, value: str, dtype: np.dtype[Any], about: str
    ) -> None:
        gru = self.layers[index]
        assert isinstance(gru, GRU)
        shape = (gru.options.num_states, BATCH, gru.hidden_size)
        self.graph.output(self.prefixes[index] + name, value, dtype, shape, about)

    def _converted(self, x: Value, index: int) -> Value:
        """The input of a layer in the dtype in which this computes."""
        dtype = self.dtype or _dtype_of(self.layers[index]) or x.dtype
        if x.dtype.kind != "f":  # tokens: what is looked up with them has the dtype
            return x._replace(dtype=dtype)
        if dtype == x.dtype:
            return x
        with self.graph.named(self.prefixes[index]):
            return x._replace(name=self.graph.cast(x.name, dtype), dtype=dtype)

    def _layer(self, index: int, x: Value, steps: Steps) -> Value:
        layer = self.layers[index]
        with self.graph.named(self.prefixes[index]):
            try:
                y = NODES[type(layer)](self.graph, layer, x, steps)
            except ValueError as error:
                raise self._refusal(index, str(error)) from None
        return y._replace(features=layer.output_size or x.features)

    def _refusal(self, index: int, reason: str) -> ValueError:
        """The error for a layer that ONNX cannot express; it says where the layer is."""
        if isinstance(self.model, GRU):
            return ValueError(f"the GRU cannot be written as ONNX: {reason}")
        where = place(index, self.layers[index])
        return ValueError(f"{where}: cannot be written as ONNX: {reason}")


def _dtype_of(layer: Model) -> np.dtype[Any] | None:
    """The dtype in which a layer computes; None if it keeps that of its input."""
    return getattr(layer, "dtype", None)


def _why_not(layer: Model) -> str | None:
    """Return why ONNX cannot express a layer, or None if it can."""
    if type(layer) is GRU:
        return gru_nodes.why_not(layer)
    if type(layer) in NODES:
        return None
    if isinstance(layer, QuantizedGRU):
        return "its weights are integers; write the model that it was made from"
    names = ", ".join(sorted(cls.__name__ for cls in (GRU, *NODES)))
    return f"the layers that can be are {names}, of pygru itself"


def _why_no_step(layer: Model) -> str | None:
    """Return why a layer cannot run step by step with a state that is an input, or None."""
    if layer.bidirectional:
        return "its reverse direction begins at the end of a sequence"
    if getattr(layer, "reverse", False):
        if isinstance(layer, Last):
            return "it takes the first step, of a GRU that begins at the end of a sequence"
        return "it reads each sequence from its end"
    if isinstance(layer, Masking) or getattr(layer, "mask_zero", False):
        return "it would have to refuse a step that does not count"
    if not layer.predicts_steps and not isinstance(layer, Last):
        return "it needs all steps of a sequence"
    return None


def _not_a_model(model: object) -> str:
    text = f"model must be a pygru.GRU or a pygru.Sequential, got {validation.type_name(model)}"
    if isinstance(model, QuantizedGRU):
        return f"{text}, whose weights are integers; pass the GRU that it was made from"
    if isinstance(model, Layer):
        return f"{text}; Sequential(layer) makes a model of one layer"
    if isinstance(getattr(model, "model_", None), Sequential):
        return f"{text}; pass its attribute model_, which is a Sequential"
    return text


def _checked_opset(opset: int) -> int:
    least, most = min(IR_VERSIONS), max(IR_VERSIONS)
    opset = validation.check_int("opset", opset, 1)
    if not least <= opset <= most:
        raise ValueError(
            f"opset must be from {least} to {most}, got {validation.shown_number(opset)}"
        )
    return opset


def _checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    if metadata is None:
        return {}
    validation.check_mapping("metadata", metadata, "texts")
    for key, value in metadata.items():
        for text in (key, value):
            if not isinstance(text, str):
                raise TypeError(
                    "metadata must be a mapping of str to str, got "
                    f"{validation.type_name(text)} in the entry {validation.shown(key)}"
                )
    return dict(metadata)


def _refuse_large(model: Model, dtype: np.dtype[Any] | None) -> None:
    """Raise if the weights alone are too large for a file, before any of them is copied."""
    size = model.nbytes if dtype is None else model.parameter_count * dtype.itemsize
    if size > MOST_BYTES:
        raise ValueError(
            f"the weights take {size} bytes, and an ONNX file may have {MOST_BYTES} at most; "
            "pygru.save has no such limit"
        )
