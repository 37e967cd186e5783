"""ONNX models with one GRU for tests, and what ONNX says that such a node computes.

The equations are those of the operator's page, written here once more, with NumPy, in float64
and without any code of pygru.
"""

import numpy as np

from pygru.io.onnx import messages
from pygru.io.onnx.messages import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    ValueInfoProto,
    encode,
)

DATA_TYPES = {"float32": 1, "int32": 6, "int64": 7, "float16": 10, "float64": 11, "int8": 3}


def tensor(name, array):
    """A stored constant."""
    array = np.asarray(array)
    return TensorProto(
        name=name,
        dims=list(array.shape),
        data_type=DATA_TYPES[array.dtype.name],
        raw_data=array.astype(array.dtype.newbyteorder("<")).tobytes(),
    )


def attribute(name, value):
    """An attribute of the type of its value."""
    if isinstance(value, TensorProto):
        return AttributeProto(name=name, t=value, type=messages.TENSOR)
    if isinstance(value, GraphProto):
        return AttributeProto(name=name, g=value, type=messages.GRAPH)
    if isinstance(value, str):
        return AttributeProto(name=name, s=value.encode(), type=messages.STRING)
    if isinstance(value, int):
        return AttributeProto(name=name, i=value, type=messages.INT)
    if isinstance(value, float):
        return AttributeProto(name=name, f=value, type=messages.FLOAT)
    if isinstance(value[0], str):
        texts = [each.encode() for each in value]
        return AttributeProto(name=name, strings=texts, type=messages.STRINGS)
    if isinstance(value[0], float):
        return AttributeProto(name=name, floats=list(value), type=messages.FLOATS)
    return AttributeProto(name=name, ints=list(value), type=messages.INTS)


def node(op_type, inputs, outputs, name="", domain="", **attributes):
    """A node."""
    return NodeProto(
        op_type=op_type,
        input=inputs,
        output=outputs,
        name=name,
        domain=domain,
        attribute=[attribute(*each) for each in attributes.items()],
    )


def model(nodes, arrays, inputs=("X",), opset=14, producer="test", **more):
    """A model of nodes and stored arrays by name."""
    graph = GraphProto(
        name="graph",
        node=nodes,
        initializer=[tensor(*each) for each in arrays.items()],
        input=[ValueInfoProto(name=name) for name in inputs],
        output=[ValueInfoProto(name=nodes[-1].output[0])],
    )
    opsets = [OperatorSetIdProto(version=opset)]
    return ModelProto(
        ir_version=8, producer_name=producer, opset_import=opsets, graph=graph, **more
    )


def gru_model(arrays, lengths=None, initial_h=None, inputs=("X",), **attributes):
    """The bytes of a model with one GRU; ``lengths`` and ``initial_h`` are names."""
    names = ["X", "W", "R", "B" if "B" in arrays else "", lengths or "", initial_h or ""]
    while not names[-1]:
        names.pop()
    gru = node("GRU", names, ["Y", "Y_h"], "gru", **attributes)
    return encode(model([gru], arrays, inputs))


def random_weights(rng, I, H, D=1, bias=True, dtype=np.float32):
    """Weights of which no gate is near one half everywhere."""
    shapes = {"W": (D, 3 * H, I), "R": (D, 3 * H, H), "B": (D, 6 * H)}
    return {
        name: rng.uniform(-1.5, 1.5, shape).astype(dtype)
        for name, shape in shapes.items()
        if bias or name != "B"
    }


# ---- what the node computes ---------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Softsign": lambda x: x / (1 + abs(x)),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "Affine": lambda x, alpha, beta: alpha * x + beta,
}


def onnx_gru(
    x,
    arrays,
    lengths=None,
    h0=None,
    direction="forward",
    linear_before_reset=0,
    activations=None,
    clip=np.inf,
):
    """Return Y (T, D, B, H) and Y_h (D, B, H) for x (T, B, I) and h0 (D, B, H).

    ``activations`` are pairs of functions of one argument, one pair for each direction.
    """
    D = len(arrays["W"])
    T, B, _ = x.shape
    H = arrays["R"].shape[2]
    lengths = [T] * B if lengths is None else lengths
    y = np.zeros((T, D, B, H))
    y_h = np.zeros((D, B, H)) if h0 is None else np.array(h0, float)
    for d in range(D):
        backwards = direction == "reverse" or d == 1
        W, R = (arrays[name][d].astype(float) for name in "WR")
        bias = arrays["B"][d].astype(float) if "B" in arrays else np.zeros(6 * H)
        (Wz, Wr, Wh), (Rz, Rr, Rh) = np.split(W, 3), np.split(R, 3)
        Wbz, Wbr, Wbh, Rbz, Rbr, Rbh = np.split(bias, 6)
        f, g = (sigmoid, np.tanh) if activations is None else activations[d]

        def bounded(function, x):
            return function(np.clip(x, -clip, clip))

        for b in range(B):
            steps = range(lengths[b])
            for t in reversed(steps) if backwards else steps:
                h, x_t = y_h[d, b], x[t, b]
                z = bounded(f, Wz @ x_t + Rz @ h + Wbz + Rbz)
                r = bounded(f, Wr @ x_t + Rr @ h + Wbr + Rbr)
                if linear_before_reset:
                    n = bounded(g, Wh @ x_t + r * (Rh @ h + Rbh) + Wbh)
                else:
                    n = bounded(g, Wh @ x_t + Rh @ (r * h) + Rbh + Wbh)
                y_h[d, b] = y[t, d, b] = (1 - z) * n + z * h
    return y, y_h


def as_pygru(y):
    """Y (T, D, B, H) as pygru's output, (T, B, D*H)."""
    T, D, B, H = y.shape
    return y.swapaxes(1, 2).reshape(T, B, D * H)
