"""Reads an ONNX file and computes its graph with NumPy, in float64.

It shares no code with pygru. The encoding of protocol buffers and the numbers of the fields are
written down here once more, and the operator GRU is that of ``reference.py``. There are only
the operators that pygru writes. Where the standard leaves a result open, this interpreter
returns NaN: for the last state of a sequence without steps, and after the end of a sequence.
"""

import struct

import numpy as np
import reference
from scipy.special import erf

DTYPES = {1: "<f4", 6: "<i4", 7: "<i8", 9: "?", 11: "<f8"}
# The first version in which these operators take their axes as an input.
AXES_ARE_AN_INPUT = {"ReduceSum": 13, "ReduceMean": 18, "ReduceMax": 18, "ReduceProd": 18}


# ---- the file ------------------------------------------------------------------------------


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """Return the values of each field of a message by its number: integers or bytes."""
    found = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
            value -= (value >> 63) << 64
        else:
            assert key & 7 in (2, 5)
            size, at = (4, at) if key & 7 == 5 else varint(data, at)
            value, at = data[at : at + size], at + size
            assert len(value) == size
        found.setdefault(key >> 3, []).append(value)
    return found


def text(message, number):
    return message[number][0].decode() if number in message else ""


def texts(message, number):
    return [each.decode() for each in message.get(number, [])]


def attribute(data):
    """Return the name and the value of an attribute."""
    message = fields(data)
    number = {1: 2, 2: 3, 3: 4, 6: 7, 7: 8, 8: 9}[message[20][0]]
    values = message[number]
    if number in (2, 7):
        values = [struct.unpack("<f", each)[0] for each in values]
    elif number in (4, 9):
        values = [each.decode() for each in values]
    return text(message, 1), values if number >= 7 else values[0]


def tensor(data):
    """Return the name and the array of a constant."""
    message = fields(data)
    array = np.frombuffer(message[9][0], DTYPES[message[2][0]])
    return text(message, 8), array.reshape(message.get(1, []))


class Described:
    """An input or an output: its name, dtype and axes, each a number or a name."""

    def __init__(self, data):
        message = fields(data)
        kind = fields(fields(message[2][0])[1][0])
        self.name = text(message, 1)
        self.about = text(message, 3)
        self.dtype = np.dtype(DTYPES[kind[1][0]])
        axes = [fields(axis) for axis in fields(kind[2][0]).get(1, [])]
        self.axes = [axis[1][0] if 1 in axis else text(axis, 2) for axis in axes]

    def check(self, array, sizes):
        """Raise unless an array has the declared axes; equal names are equal sizes."""
        assert array.ndim == len(self.axes), (self.name, array.shape, self.axes)
        for axis, size in zip(self.axes, array.shape, strict=True):
            expected = axis if isinstance(axis, int) else sizes.setdefault(axis, size)
            assert size == expected, (self.name, array.shape, self.axes, sizes)


class Node:
    def __init__(self, data):
        message = fields(data)
        self.inputs, self.outputs = texts(message, 1), texts(message, 2)
        self.name, self.op = text(message, 3), text(message, 4)
        self.attributes = dict(attribute(each) for each in message.get(5, []))


class Model:
    """The graph of a file; calling it with arrays by name computes the outputs by name."""

    def __init__(self, data):
        message = fields(data)
        self.ir_version = message[1][0]
        self.producer, self.version = text(message, 2), text(message, 3)
        self.about = text(message, 6)
        (self.opset,) = fields(message[8][0])[2]
        pairs = [fields(each) for each in message.get(14, [])]
        self.metadata = {text(pair, 1): text(pair, 2) for pair in pairs}
        graph = fields(message[7][0])
        self.nodes = [Node(each) for each in graph.get(1, [])]
        self.constants = dict(tensor(each) for each in graph.get(5, []))
        self.inputs = [Described(each) for each in graph[11]]
        self.outputs = [Described(each) for each in graph[12]]
        self._check_names()

    def _check_names(self):
        """Every value is made once, before it is used; every node has a name of its own."""
        names = [node.name for node in self.nodes]
        assert len(set(names)) == len(names), names
        known = [*self.constants, *(each.name for each in self.inputs)]
        for node in self.nodes:
            if node.op != "GRU":  # the only operator here that may be without some
                assert all(node.inputs) and all(node.outputs), node.name
            assert set(node.inputs) - {""} <= set(known), node.inputs
            known += [each for each in node.outputs if each]
        assert len(set(known)) == len(known), known
        assert {each.name for each in self.outputs} <= set(known)

    def _check_version(self, node):
        """Some operators take as an input what was an attribute in earlier versions."""
        if node.op in AXES_ARE_AN_INPUT:
            assert (len(node.inputs) == 2) == (self.opset >= AXES_ARE_AN_INPUT[node.op])

    def __call__(self, **given):
        values = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in self.constants.items()
        }
        sizes = {}
        assert set(given) == {each.name for each in self.inputs}
        for each in self.inputs:
            array = np.asarray(given[each.name])
            assert (array.dtype.kind == "f") == (each.dtype.kind == "f")
            each.check(array, sizes)
            values[each.name] = array.astype(np.float64) if array.dtype.kind == "f" else array
        for node in self.nodes:
            self._check_version(node)
            arguments = [values[name] if name else None for name in node.inputs]
            result = OPERATORS[node.op](*arguments, **node.attributes)
            if not isinstance(result, (tuple, list)):
                result = [result]
            for name, array in zip(node.outputs, result, strict=False):
                if name:
                    values[name] = np.asarray(array)
        for each in self.outputs:
            each.check(values[each.name], sizes)
        return {each.name: values[each.name] for each in self.outputs}


# ---- the operators -------------------------------------------------------------------------


def style_of(attributes, D, reverse):
    """The activations, the limit and the direction of a node GRU, removed from attributes."""
    functions = attributes.pop("activations", D * ["Sigmoid", "Tanh"])
    alphas = attributes.pop("activation_alpha", [])
    betas = attributes.pop("activation_beta", [])
    assert functions == D * functions[:2]
    names = []
    for function in functions:
        if function == "HardSigmoid":
            names.append(("hard_sigmoid", alphas.pop(0), betas.pop(0)))
        elif function == "Affine":
            assert (alphas.pop(0), betas.pop(0)) == (1, 0)
            names.append("linear")
        else:
            names.append(function.lower())
    assert not alphas and not betas
    return reference.Style(names[1], names[0], attributes.pop("clip", None), reverse)


def gru(X, W, R, B=None, lengths=None, h0=None, *, hidden_size, direction, **attributes):
    H, D = hidden_size, len(W)
    assert (D == 2) == (direction == "bidirectional")
    style = style_of(attributes, D, direction == "reverse")

    def rzn(rows):  # from z, r, n
        return np.concatenate([rows[H : 2 * H], rows[:H], rows[2 * H :]])

    parameters = {}
    for d, suffix in enumerate(("", "_reverse")[:D]):
        parameters[f"weight_ih_l0{suffix}"] = rzn(W[d])
        parameters[f"weight_hh_l0{suffix}"] = rzn(R[d])
        if B is not None:
            parameters[f"bias_ih_l0{suffix}"] = rzn(B[d][: 3 * H])
            parameters[f"bias_hh_l0{suffix}"] = rzn(B[d][3 * H :])
    assert lengths is None or lengths.dtype == np.int32
    reset = "after" if attributes.pop("linear_before_reset", 0) else "before"
    assert not attributes, attributes
    output, h_n = reference.forward(
        parameters,
        X,
        h0,
        lengths,
        bidirectional=D == 2,
        reset=reset,
        update="keep",
        style=style,
    )
    if lengths is not None:
        h_n[:, lengths == 0] = np.nan
        output[np.arange(len(X))[:, np.newaxis] >= lengths] = np.nan
    return np.stack(np.split(output, D, axis=2), axis=1), h_n


def layer_normalization(x, weight, bias, *, axis, epsilon):
    assert axis == -1
    apart = x - x.mean(axis=-1, keepdims=True)
    variance = (apart * apart).mean(axis=-1, keepdims=True)
    return apart / np.sqrt(variance + epsilon) * weight + bias


def softmax(x, axis):
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def gather_nd(data, places, batch_dims):
    if batch_dims:
        rows = zip(data, places, strict=True)
        return np.array([gather_nd(*row, batch_dims - 1) for row in rows])
    assert places.shape[-1] == 1 and (places >= 0).all()
    return data[places[..., 0]]


def top_k(x, count, *, axis, largest):
    assert axis == 1 and largest == 0 and count.shape == (1,)
    order = np.argsort(x, axis=1)[:, : count[0]]
    return np.take_along_axis(x, order, axis=1), order


def arg_max(x, *, axis, select_last_index=0):
    assert axis == 1
    if select_last_index:
        return x.shape[1] - 1 - np.argmax(x[:, ::-1], axis=1)[:, np.newaxis]
    return np.argmax(x, axis=1)[:, np.newaxis]


def gather(data, places, axis=0):
    assert not places.size or (-data.shape[axis] <= places).all()
    return np.take(data, places, axis=axis)


def reshape(x, shape):
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape)])


def split(x, sizes, *, axis):
    assert sum(sizes) == x.shape[axis]
    return np.split(x, np.cumsum(sizes)[:-1], axis=axis)


def expand(x, shape):
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape)))


def reduced(function):
    def reduce(x, places=None, *, axes=None, keepdims):
        assert (places is None) != (axes is None)
        axes = tuple(axes if places is None else places)
        return function(x, axis=axes, keepdims=bool(keepdims))

    return reduce


def cast(x, to):
    kind = np.dtype(DTYPES[to])
    return x.astype(np.float64 if kind.kind == "f" else kind)


OPERATORS = {
    "Add": np.add,
    "And": np.logical_and,
    "ArgMax": arg_max,
    "Cast": cast,
    "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "CumSum": lambda x, axis: np.cumsum(x, axis=axis),
    "Div": np.divide,
    "Equal": np.equal,
    "Erf": erf,
    "Expand": expand,
    "GRU": gru,
    "Gather": gather,
    "GatherND": gather_nd,
    "Greater": np.greater,
    "Identity": np.asarray,
    "LayerNormalization": layer_normalization,
    "Less": np.less,
    "MatMul": np.matmul,
    "Max": np.maximum,
    "Mul": np.multiply,
    "Not": np.logical_not,
    "Range": np.arange,
    "ReduceMax": reduced(np.max),
    "ReduceMean": reduced(np.mean),
    "ReduceProd": reduced(np.prod),
    "ReduceSum": reduced(np.sum),
    "Relu": lambda x: np.where(x > 0, x, 0),
    "Reshape": reshape,
    "Shape": lambda x: np.array(x.shape),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Softmax": softmax,
    "Softplus": lambda x: np.where(x > 0, x, 0) + np.log1p(np.exp(-abs(x))),
    "Split": split,
    "Squeeze": lambda x, axes: np.squeeze(x, tuple(axes)),
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "TopK": top_k,
    "Transpose": lambda x, perm: np.transpose(x, perm),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "Where": np.where,
}
