"""The same GRU layer in pygru and in each rival that is installed.

A runner has a ``name``. From one set of weights (PyTorch's names, variant "pytorch") it builds
a function of no arguments, which runs the layer over ``x`` (T, B, I) once and returns its
output. If a rival cannot do something (float64, training), its runner returns None instead of a
function.
"""

import importlib.util
import os
from dataclasses import dataclass

import numpy as np

import pygru


@dataclass
class Problem:
    """One cell of the grid: shapes, dtype, weights and data."""

    B: int
    T: int
    H: int
    dtype: str = "float32"
    variant: str = "pytorch"

    def __post_init__(self):
        generator = np.random.default_rng(0)
        self.I = self.H
        self.x = generator.standard_normal((self.T, self.B, self.I)).astype(self.dtype)
        self.d_y = generator.standard_normal((self.T, self.B, self.H)).astype(self.dtype)
        gru = pygru.GRU(self.I, self.H, variant=self.variant, dtype=self.dtype, seed=0)
        self.weights = gru.state_dict()

    @property
    def operations(self):
        """Multiply-adds of the forward pass, counted as two operations each."""
        return 6 * self.T * self.B * self.H * (self.I + self.H)


class Pygru:
    name = "pygru"

    def __init__(self, n_threads):
        pygru.set_num_threads(n_threads)

    def _gru(self, p):
        gru = pygru.GRU(p.I, p.H, variant=p.variant, dtype=p.dtype)
        gru.load_state_dict(p.weights)
        return gru

    def inference(self, p):
        gru = self._gru(p)
        return lambda: gru(p.x)[0]

    def training(self, p):
        gru = self._gru(p)

        def run():
            gru.zero_grad()
            output, _, tape = gru.forward(p.x)
            gru.backward(tape, p.d_y)
            return output

        return run

    def step(self, p):
        stream = self._gru(p).stream()
        x = p.x[0, 0]
        return lambda: stream(x)


class Torch:
    name = "torch"

    def __init__(self, n_threads):
        import torch

        self.torch = torch
        torch.set_num_threads(n_threads)

    def _gru(self, p):
        gru = self.torch.nn.GRU(p.I, p.H, dtype=getattr(self.torch, p.dtype))
        gru.load_state_dict({n: self.torch.from_numpy(w) for n, w in p.weights.items()})
        return gru

    def inference(self, p):
        gru, x = self._gru(p), self.torch.from_numpy(p.x)

        def run():
            with self.torch.inference_mode():
                return gru(x)[0].numpy()

        return run

    def training(self, p):
        gru, x = self._gru(p), self.torch.from_numpy(p.x).requires_grad_(True)
        d_y = self.torch.from_numpy(p.d_y)

        def run():
            gru.zero_grad()
            x.grad = None
            output = gru(x)[0]
            output.backward(d_y)
            return output.detach().numpy()

        return run

    def step(self, p):
        return self.inference(p)


def onnx_model(p):
    """The layer as an ONNX model: gate order z, r, h and linear_before_reset."""
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
    node = helper.make_node(
        "GRU", ["X", "W", "R", "B"], ["Y"], hidden_size=p.H, linear_before_reset=1
    )
    graph = helper.make_graph(
        [node],
        "gru",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [p.T, p.B, p.I])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [p.T, 1, p.B, p.H])],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, n_threads):
        import onnxruntime

        self.runtime = onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = n_threads
        self.options.inter_op_num_threads = 1

    def inference(self, p):
        if p.dtype != "float32":
            return None
        session = self.runtime.InferenceSession(
            onnx_model(p), self.options, providers=["CPUExecutionProvider"]
        )
        inputs = {"X": p.x}
        return lambda: session.run(None, inputs)[0][:, 0]

    def training(self, p):
        return None

    def step(self, p):
        return self.inference(p)


class OpenVino:
    name = "openvino"

    def __init__(self, n_threads):
        import openvino

        self.openvino = openvino
        self.n_threads = n_threads

    def inference(self, p):
        if p.dtype != "float32":
            return None
        core = self.openvino.Core()
        model = core.read_model(model=onnx_model(p), weights=b"")
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.n_threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        request = core.compile_model(model, "CPU", options).create_infer_request()
        tensor = self.openvino.Tensor(p.x, shared_memory=True)
        request.set_input_tensor(tensor)

        def run():
            request.infer()
            return request.get_output_tensor().data.reshape(p.T, p.B, p.H)

        return run

    def training(self, p):
        return None

    def step(self, p):
        return self.inference(p)


class Jax:
    name = "jax"

    def __init__(self, n_threads):
        if n_threads == 1:
            flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            os.environ.setdefault("XLA_FLAGS", flags)
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        self.jax = jax

    def _layer(self, p):
        jax, jnp = self.jax, self.jax.numpy

        def layer(weights, x):
            w, u = weights["weight_ih_l0"], weights["weight_hh_l0"]
            b, c = weights["bias_ih_l0"], weights["bias_hh_l0"]
            projected = x @ w.T + b

            def step(h, gx):
                gh = h @ u.T + c
                xr, xz, xn = jnp.split(gx, 3, axis=-1)
                hr, hz, hn = jnp.split(gh, 3, axis=-1)
                r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
                n = jnp.tanh(xn + r * hn)
                h = n + z * (h - n)
                return h, h

            start = jnp.zeros((p.B, p.H), x.dtype)
            return jax.lax.scan(step, start, projected)[1]

        return layer

    def inference(self, p):
        layer = self.jax.jit(self._layer(p))
        weights = {name: self.jax.numpy.asarray(w) for name, w in p.weights.items()}
        x = self.jax.numpy.asarray(p.x)
        return lambda: np.asarray(layer(weights, x).block_until_ready())

    def training(self, p):
        jax = self.jax
        layer = self._layer(p)
        weights = {name: jax.numpy.asarray(w) for name, w in p.weights.items()}
        x, d_y = jax.numpy.asarray(p.x), jax.numpy.asarray(p.d_y)

        @jax.jit
        def gradients(weights, x):
            output, back = jax.vjp(layer, weights, x)
            return output, back(d_y)

        def run():
            output, grads = gradients(weights, x)
            jax.block_until_ready(grads)
            return np.asarray(output)

        return run

    def step(self, p):
        return self.inference(p)


def installed(n_threads, wanted=None):
    """The runners of pygru and of every rival that is installed, or of those in ``wanted``."""
    modules = {"torch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "jax": Jax}
    names = [name for name in modules if importlib.util.find_spec(name) is not None]
    if wanted is not None:
        names = [name for name in names if name in wanted]
    return [Pygru(n_threads), *(modules[name](n_threads) for name in names)]


# ---- a whole training step ---------------------------------------------------------------

TRAINER_STEPS = 20  # of one call
RATE, CLIP = 1e-3, 1.0


def _regression(B, T, I):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((TRAINER_STEPS * B, T, I)).astype(np.float32)
    return X, 0.05 * X.sum(axis=(1, 2))[:, None]


def pygru_trainer(B, T, I, H, n_threads):
    """A function that trains one epoch of TRAINER_STEPS steps: GRU, last step, Linear, Adam."""
    X, y = _regression(B, T, I)
    gru = pygru.GRU(I, H, batch_first=True, variant="pytorch", seed=0)
    model = pygru.Sequential(gru, pygru.Last(), pygru.Linear(H, 1, seed=1))
    optimizer = pygru.Adam(RATE)
    trainer = pygru.Trainer(
        model, loss="mse", optimizer=optimizer, clip_norm=CLIP, seed=0, n_threads=n_threads
    )
    return lambda: trainer.fit(X, y, epochs=1, batch_size=B, progress=False)


def torch_trainer(B, T, I, H, n_threads):
    """The same in PyTorch, or None if it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(n_threads)
    X, y = map(torch.from_numpy, _regression(B, T, I))
    gru, head = torch.nn.GRU(I, H, batch_first=True), torch.nn.Linear(H, 1)
    parameters = [*gru.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, RATE)

    def epoch():
        order = torch.randperm(len(X))
        for first in range(0, len(X), B):
            index = order[first : first + B]
            optimizer.zero_grad()
            output, _ = gru(X[index])
            loss = torch.nn.functional.mse_loss(head(output[:, -1]), y[index])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            loss.item()

    return epoch
