"""One cell of the grid as arrays: the weights and the data that every library is given."""

from dataclasses import dataclass

import numpy as np

import pygru


@dataclass
class Problem:
    """One cell of the grid: shapes, dtype, weights (PyTorch's names) and data."""

    B: int
    T: int
    I: int
    H: int
    dtype: str = "float32"
    variant: str = "pytorch"

    def __post_init__(self):
        generator = np.random.default_rng(0)
        self.x = generator.standard_normal((self.T, self.B, self.I)).astype(self.dtype)
        self.d_y = generator.standard_normal((self.T, self.B, self.H)).astype(self.dtype)
        self.h0 = generator.uniform(-1, 1, (1, self.B, self.H)).astype(self.dtype)
        gru = pygru.GRU(self.I, self.H, variant=self.variant, dtype=self.dtype, seed=0)
        self.weights = gru.state_dict()

    @property
    def operations(self):
        """Multiply-adds of the forward pass, counted as two operations each."""
        return 6 * self.T * self.B * self.H * (self.I + self.H)

    def gru(self, **options):
        """A GRU of pygru with these weights."""
        gru = pygru.GRU(self.I, self.H, variant=self.variant, dtype=self.dtype, **options)
        gru.load_state_dict(self.weights)
        return gru


def onnx_model(p, with_state):
    """The layer as an ONNX model: gate order z, r, h and linear_before_reset.

    Its input is "X", and with ``with_state`` also "initial_h".
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def reordered(array):
        r, z, n = np.split(array, 3)
        return np.concatenate([z, r, n])[None]

    biases = [reordered(p.weights[name])[0] for name in ("bias_ih_l0", "bias_hh_l0")]
    initializers = {
        "W": reordered(p.weights["weight_ih_l0"]),
        "R": reordered(p.weights["weight_hh_l0"]),
        "B": np.concatenate(biases)[None],
    }
    names = ["X", "W", "R", "B"]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [p.T, p.B, p.I])]
    if with_state:
        names += ["", "initial_h"]  # between them is sequence_lens
        shape = list(p.h0.shape)
        inputs.append(helper.make_tensor_value_info("initial_h", TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        [helper.make_node("GRU", names, ["Y"], hidden_size=p.H, linear_before_reset=1)],
        "gru",
        inputs,
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [p.T, 1, p.B, p.H])],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()
