"""Recurrent layers of a Keras configuration, with their weights, as found GRUs.

A GRU of Keras is a GRU, a CuDNNGRU, an RNN of GRUCells, a single GRUCell, or one of the first
three in a Bidirectional. What else is recurrent is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.errors import FormatError
from pygru.io.cells import Cell, cell_of, other_kind, parameters_of
from pygru.io.found import FoundGRU
from pygru.io.keras.found import KerasGRU
from pygru.io.keras.functions import Unsupported, cell_activation
from pygru.io.keras.known_options import KNOWN_OPTIONS
from pygru.io.keras.nodes import NOT_KERAS, WRAPPER, Node, class_of, mapping
from pygru.io.keras.weights import Arrays, Weights
from pygru.options import GRUOptions

#: The order of Keras' gates, which stand in columns.
ORDER = "zrn"
CELLS = ("GRU", "GRUCell", "CuDNNGRU")
OTHERS = {
    "LSTM": "an LSTM",
    "LSTMCell": "an LSTM",
    "CuDNNLSTM": "an LSTM",
    "SimpleRNN": "a plain RNN",
    "SimpleRNNCell": "a plain RNN",
    "ConvLSTM1D": "a convolutional LSTM",
    "ConvLSTM2D": "a convolutional LSTM",
    "ConvLSTM3D": "a convolutional LSTM",
}
MERGES = ("concat", "sum", "mul", "ave")
#: The directions of a Bidirectional, and where Keras 3 keeps their weights.
FORWARD, BACKWARD = "forward_layer", "backward_layer"
#: What the cells of one GRU must have in common.
COMMON = (
    "units",
    "activation",
    "recurrent_activation",
    "use_bias",
    "reset_after",
)


@dataclass(frozen=True)
class Version:
    """The version of Keras that has written a file, as far as it says."""

    text: str | None = None

    @property
    def major(self) -> int | None:
        """The first number, or None."""
        return self._number(0)

    @property
    def forces_zero_output(self) -> bool:
        """Whether a Bidirectional returns zeros at masked steps, whatever its layers say.

        All versions do so that belong to TensorFlow or came later: the last one that did not
        was 2.3, and those of TensorFlow before it have "-tf" in their names.
        """
        if self.text is None or self.major is None:
            return True
        return self.major >= 3 or "-tf" in self.text or (self._number(1) or 0) >= 4

    def _number(self, index: int) -> int | None:
        parts = (self.text or "").split(".")
        if len(parts) <= index:
            return None
        digits = parts[index]
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 6
        return int(digits) if is_number else None


def is_recurrent(node: Node) -> bool:
    """Whether a layer is a GRU for Keras, or another one that is recurrent."""
    if node.kind == "Bidirectional":
        return True
    return node.kind in CELLS or node.kind in OTHERS or node.kind == "RNN"


def only_looks_recurrent(node: Node) -> bool:
    """Whether a layer has the name or the options of a recurrent class, and is none of Keras.

    Only a GRU has the option reset_after, so that such a class is made from it.
    """
    if not node.kind.endswith(NOT_KERAS):
        return False
    name = node.kind.removesuffix(NOT_KERAS).rpartition(">")[2]
    return "reset_after" in node.config or is_recurrent(replace(node, kind=name))


def recurrent_in_wrapper(node: Node) -> str | None:
    """Return the class of the recurrent layer that a TimeDistributed runs, or None."""
    layer = node.config.get("layer")
    if node.kind != WRAPPER or not isinstance(layer, dict):
        return None
    inner = Node(class_of(layer), node.name, _config(layer))
    return inner.kind if is_recurrent(inner) else None


def found_gru(node: Node, weights: Weights, version: Version, source: str) -> FoundGRU:
    """Return the GRU that a recurrent layer is.

    Parameters
    ----------
    node : Node
        The layer.
    weights : Weights
        Where its weights are.
    version : Version
        Of Keras.
    source : str
        What the kind of file is called.

    Raises
    ------
    Unsupported
        If the layer is none that a GRU of pygru can be.
    FormatError
        If its weights do not fit its configuration.
    """
    if node.kind == "Bidirectional":
        return _bidirectional(node, weights, version, source)
    cells, config = _cells(node.kind, node.config)
    reads_backwards = _flag(config, "go_backwards")
    facts = _Facts(node, cells, version)
    parts = [_of_cell(node, each, cells) for each in _split(node, weights.of(node), cells)]
    options = _options(config)
    if reads_backwards:
        options["reverse"] = True
        facts.evidence["reverse"] = (
            "go_backwards=True; Keras returns the outputs in the order in which it reads, from "
            "the last step to the first, and pygru returns each at its own step"
        )
    return facts.found(source, [[part] for part in parts], options)


def _bidirectional(node: Node, weights: Weights, version: Version, source: str) -> FoundGRU:
    wrapped = mapping("layer", node.config.get("layer"))
    cells, config = _cells(class_of(wrapped), _config(wrapped))
    merge = node.config.get("merge_mode", "concat")
    if merge not in MERGES:
        raise Unsupported(
            f"merge_mode={merge!r}; the directions of a GRU of pygru are merged by one of "
            f"{', '.join(MERGES)}"
        )
    if len(cells) > 1:
        raise Unsupported(
            "a Bidirectional of several cells: Keras runs all cells in one direction before it "
            "merges the two, and pygru merges after each layer"
        )
    if _flag(config, "go_backwards"):
        raise Unsupported("a Bidirectional whose first direction reads from the end")
    backward = node.config.get("backward_layer")
    if backward is not None:
        backward = mapping("backward_layer", backward)
        others, _ = _cells(class_of(backward), _config(backward))
        for name in COMMON:
            if len(others) != 1 or others[0].get(name) != cells[0].get(name):
                raise Unsupported(f"a backward_layer with another {name} than the forward one")
    facts = _Facts(node, cells, version)
    both = []
    for part in (FORWARD, BACKWARD):
        (cell,) = _split(node, weights.of(node, part), cells)
        both.append(_of_cell(node, cell, cells))
    options = _options(config)
    options["bidirectional"] = True
    options["merge"] = merge
    facts.evidence["merge"] = f"merge_mode={merge!r}"
    returns_steps = _flag(config, "return_sequences")
    if version.forces_zero_output:
        options["zero_output_for_mask"] = returns_steps
    return facts.found(source, [both], options)


def _cells(
    kind: str, config: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
    """The configurations of the cells of a recurrent layer, and that of the layer itself."""
    if kind in CELLS:
        return [{**config, "class_name": kind}], config
    if kind == "RNN":
        cell = config.get("cell")
        entries = cell if isinstance(cell, list) else [cell]  # a list in Keras 2.0
        found: list[Mapping[str, Any]] = []
        for entry in entries:
            found += _stacked(mapping("cell", entry))
        return found, config
    raise Unsupported(OTHERS.get(kind, f"a layer of class {kind}"))


def _stacked(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    kind, config = class_of(entry), _config(entry)
    if kind == "StackedRNNCells":
        inner = config.get("cells")
        entries = inner if isinstance(inner, list) else []
        return [each for item in entries for each in _stacked_once(mapping("cell", item))]
    return _stacked_once(entry)


def _stacked_once(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    kind = class_of(entry)
    if kind not in CELLS:
        raise Unsupported(OTHERS.get(kind, f"a cell of class {kind}"))
    return [{**_config(entry), "class_name": kind}]


def _config(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping("config", entry.get("config", {}))


def _flag(config: Mapping[str, Any], name: str) -> bool:
    return config.get(name) is True


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer's configuration says beside its equations."""
    options: dict[str, Any] = {"batch_first": not _flag(config, "time_major")}
    if _flag(config, "zero_output_for_mask"):
        options["zero_output_for_mask"] = True
    dropped = config.get("recurrent_dropout", 0)
    if isinstance(dropped, int | float) and 0 < dropped <= 1:
        options["recurrent_dropout"] = float(dropped)
    return options


class _Facts:
    """The equations that the cells of one GRU state, and on what evidence."""

    def __init__(self, node: Node, cells: list[Mapping[str, Any]], version: Version) -> None:
        if not cells:
            raise Unsupported("an RNN without cells")
        self.node = node
        self.config = cells[0]
        self.version = version
        self.evidence: dict[str, str] = {}
        self.unknown: list[str] = []
        self.options: dict[str, Any] = {}
        for name in COMMON:
            if any(cell.get(name) != self.config.get(name) for cell in cells):
                raise Unsupported(f"cells with different {name}")
        for cell in cells:
            _refuse_unknown(cell)
        self._activation("activation", ("activation",), "tanh")
        self._activation(
            "recurrent_activation", ("recurrent_activation", "inner_activation"), "sigmoid"
        )

    def _activation(self, name: str, keys: tuple[str, ...], of_cudnn: str) -> None:
        if self.config["class_name"] == "CuDNNGRU":
            self.options[name] = of_cudnn
            self.evidence[name] = "a CuDNNGRU has no other"
            return
        for key in keys:
            if key not in self.config:
                continue
            known = cell_activation(self.config[key], self.version.major)
            if known is None:
                break
            self.options[name] = known
            self.evidence[name] = f"{key}={self.config[key]!r}" + (
                f" of Keras {self.version.text}" if isinstance(known, tuple) else ""
            )
            return
        self.unknown.append(name)

    def found(
        self, source: str, layers: list[list[Cell]], options: Mapping[str, Any]
    ) -> FoundGRU:
        """Return the GRU of these cells, by layer and direction."""
        cells = [cell for layer in layers for cell in layer]
        self._variant(cells)
        H = cells[0].weight_hh.shape[1]
        sizes = {
            "input_size": cells[0].weight_ih.shape[1],
            "hidden_size": H,
            "num_layers": len(layers),
            "bias": any(cell.bias_ih is not None for cell in cells),
            "bidirectional": len(layers[0]) == 2,
        }
        for index, cell in enumerate(cells):
            width = sizes["input_size"] if index < len(layers[0]) else H
            if cell.weight_hh.shape[1] != H or cell.weight_ih.shape[1] != width:
                raise Unsupported("cells of different sizes")
        units = self.config.get("units", self.config.get("output_dim", H))
        if units != H:
            raise FormatError(
                f"damaged Keras file: {self.node.name!r} has units={units!r} and weights of {H}"
            )
        arrays = parameters_of(cells, GRUOptions(**sizes).cell_names())
        is_double = any(array.dtype == np.float64 for array in arrays.values())
        dtype = "float64" if is_double else "float32"
        return KerasGRU(
            name="/".join(self.node.trail) if len(self.node.trail) > 1 else self.node.name,
            format=source,
            options={**sizes, **self.options, **options, "dtype": dtype},
            evidence=self.evidence,
            unknown=tuple(self.unknown),
            arrays=arrays,
            version=self.version.major,
        )

    def _variant(self, cells: list[Cell]) -> None:
        """Find the variant by the biases, or by the configuration where there are none."""
        stated = self.config.get("reset_after")
        of_bias = {_reset_after(cell) for cell in cells if cell.bias_ih is not None}
        if len(of_bias) > 1:
            raise Unsupported("cells with different reset_after")
        if of_bias:
            (after,) = of_bias
            evidence = f"a bias for the {'state, too' if after else 'sum only'}"
            if isinstance(stated, bool):
                evidence = f"reset_after={stated}, and {evidence}"
                if stated != after:
                    raise FormatError(
                        f"damaged Keras file: {self.node.name!r} says reset_after={stated}, "
                        f"which its bias contradicts"
                    )
        elif isinstance(stated, bool):
            after, evidence = stated, f"reset_after={stated}"
        elif self.config["class_name"] == "CuDNNGRU":
            after, evidence = True, "a CuDNNGRU has no other"
        elif self.version.major == 1:
            after, evidence = False, "Keras 1 has no other"
        else:
            self.unknown.append("variant")
            return
        self.options["variant"] = "pytorch" if after else "cho"
        self.evidence["variant"] = evidence


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    """Refuse an option that is set and not known, since it may change the result."""
    for name, value in config.items():
        if name not in KNOWN_OPTIONS and value not in (None, False):
            raise Unsupported(f"the option {name[:80]}={str(value)[:80]}, which is not known")


def _reset_after(cell: Cell) -> bool:
    return cell.bias_hh is not None


def _split(node: Node, arrays: Arrays, cells: list[Mapping[str, Any]]) -> list[Arrays]:
    """The weights of a layer by cell: kernel, recurrent kernel and bias, or two without it."""
    if len(arrays) == 9 and len(cells) == 1:
        arrays = _joined(arrays)
    each = 3 if cells and cells[0].get("use_bias", True) is not False else 2
    if not arrays or len(arrays) != each * len(cells):
        raise FormatError(
            f"damaged Keras file: {node.name!r} has {len(arrays)} arrays, and needs {each} for "
            f"each of its {len(cells)} cells"
        )
    return [arrays[begin : begin + each] for begin in range(0, len(arrays), each)]


def _joined(arrays: Arrays) -> Arrays:
    """The nine arrays of Keras 1, which stand gate by gate, as three."""
    try:
        return [np.concatenate(arrays[kind::3], axis=-1) for kind in range(3)]
    except ValueError:
        raise FormatError("damaged Keras file: gates of different sizes") from None


def _of_cell(node: Node, arrays: Arrays, cells: list[Mapping[str, Any]]) -> Cell:
    kernel, recurrent = arrays[:2]
    bias = arrays[2] if len(arrays) > 2 else None
    return keras_cell(f"{node.name!r}", kernel, recurrent, bias)


def keras_cell(
    where: str,
    kernel: NDArray[Any],
    recurrent_kernel: NDArray[Any],
    bias: NDArray[Any] | None,
) -> Cell:
    """Return a cell of the arrays that Keras keeps for it.

    Parameters
    ----------
    where : str
        What messages call it.
    kernel, recurrent_kernel : ndarray
        (I, 3H) and (H, 3H).
    bias : ndarray or None
        (3H,) with the reset before the product; (2, 3H) with it after; (6H,) of a CuDNNGRU,
        whose kernels are stored transposed gate by gate.

    Raises
    ------
    Unsupported
        If they belong to another kind of recurrent layer.
    FormatError
        If their shapes do not fit one another.
    """
    kind = other_kind(recurrent_kernel, "columns")
    if kind is not None:
        raise Unsupported(kind)
    if kernel.ndim != 2 or not kernel.shape[0]:
        raise FormatError(f"{where}: the kernel must be (I, 3H), got {kernel.shape}")
    input_bias, recurrent_bias = bias, None
    if bias is not None and bias.shape == (6 * len(recurrent_kernel),):
        kernel, recurrent_kernel = _from_cudnn(kernel), _gates_transposed(recurrent_kernel)
        bias = bias.reshape(2, -1)
    if bias is not None and bias.ndim == 2:
        if len(bias) != 2:
            raise FormatError(f"{where}: the bias must be (3H,) or (2, 3H), got {bias.shape}")
        input_bias, recurrent_bias = bias
    try:
        return cell_of(
            where,
            kernel,
            recurrent_kernel,
            input_bias,
            recurrent_bias,
            order=ORDER,
            units="columns",
        )
    except ValueError as error:
        raise FormatError(str(error)) from None


def _from_cudnn(kernel: NDArray[Any]) -> NDArray[Any]:
    """The kernel of a CuDNNGRU in the form of other layers.

    Each gate's (I, H) holds the numbers of an (H, I) matrix, row after row.
    """
    if kernel.ndim != 2 or kernel.shape[1] % 3:
        raise FormatError(f"a kernel of shape {kernel.shape} in a CuDNNGRU")
    return np.hstack([gate.T.reshape(gate.shape, order="F") for gate in np.hsplit(kernel, 3)])


def _gates_transposed(recurrent_kernel: NDArray[Any]) -> NDArray[Any]:
    return np.hstack([gate.T for gate in np.hsplit(recurrent_kernel, 3)])
