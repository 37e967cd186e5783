"""The same GRU layer in pygru and in each rival that is installed.

A runner has a ``name``. From a problem it builds a function of no arguments, which runs the
layer over ``x`` (T, B, I) once and returns its output; from ``h0`` (1, B, H) if that is given.
If a rival cannot do something (float64, training), its runner returns None instead of a
function.
"""

import importlib.util
import os

import numpy as np

import pygru
from benchmarks.problem import onnx_model
from benchmarks.timing import fastest


class Pygru:
    name = "pygru"

    def __init__(self, n_threads):
        pygru.set_num_threads(n_threads)

    def inference(self, p, n_threads=None):
        gru = p.gru()
        return lambda: gru(p.x, n_threads=n_threads)[0]

    def training(self, p, n_threads=None):
        gru = p.gru()

        def run():
            gru.zero_grad()
            output, _, tape = gru.forward(p.x, n_threads=n_threads)
            gru.backward(tape, p.d_y)
            return output

        return run

    def step(self, p):
        stream = p.gru().stream()
        x = p.x[0, 0]
        return lambda: stream(x)


class Torch:
    name = "torch"

    def __init__(self, n_threads):
        import torch

        self.torch = torch
        torch.set_num_threads(n_threads)

    def gru(self, p):
        gru = self.torch.nn.GRU(p.I, p.H, dtype=getattr(self.torch, p.dtype))
        gru.load_state_dict({n: self.torch.from_numpy(w) for n, w in p.weights.items()})
        return gru

    def inference(self, p, h0=None):
        return self.run_of(self.gru(p), p, h0)

    def run_of(self, module, p, h0=None):
        """A function that runs a module in inference."""
        inputs = [self.torch.from_numpy(array) for array in (p.x, h0) if array is not None]

        def run():
            with self.torch.inference_mode():
                return module(*inputs)[0].numpy()

        return run

    def training(self, p):
        gru, x = self.gru(p), self.torch.from_numpy(p.x).requires_grad_(True)
        d_y = self.torch.from_numpy(p.d_y)

        def run():
            gru.zero_grad()
            x.grad = None
            output = gru(x)[0]
            output.backward(d_y)
            return output.detach().numpy()

        return run

    def step(self, p):
        return self.inference(p, p.h0)


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, n_threads):
        import onnxruntime

        self.runtime = onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = n_threads
        self.options.inter_op_num_threads = 1

    def inference(self, p, h0=None):
        """The faster one of its two ways."""
        ways = self.ways(p, h0)
        return fastest(list(ways.values())) if ways else None

    def ways(self, p, h0=None):
        """Its two ways by name: arrays as arguments, and memory that was bound before."""
        if p.dtype != "float32":
            return {}
        session = self.runtime.InferenceSession(
            onnx_model(p, h0 is not None), self.options, providers=["CPUExecutionProvider"]
        )
        feeds = {"X": p.x} if h0 is None else {"X": p.x, "initial_h": h0}
        y = np.empty((p.T, 1, p.B, p.H), np.float32)
        binding = session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output("Y", "cpu", 0, np.float32, y.shape, y.ctypes.data)

        def run():
            return session.run(None, feeds)[0][:, 0]

        def run_bound():
            session.run_with_iobinding(binding)
            return y[:, 0]

        return {self.name: run, f"{self.name} bound": run_bound}

    def training(self, p):
        return None

    def step(self, p):
        return self.inference(p, p.h0)


class OpenVino:
    name = "openvino"

    def __init__(self, n_threads):
        import openvino

        self.openvino = openvino
        self.n_threads = n_threads

    def inference(self, p, h0=None):
        if p.dtype != "float32":
            return None
        core = self.openvino.Core()
        model = core.read_model(model=onnx_model(p, h0 is not None), weights=b"")
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.n_threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        request = core.compile_model(model, "CPU", options).create_infer_request()
        for name, array in {"X": p.x, "initial_h": h0}.items():
            if array is not None:
                request.set_tensor(name, self.openvino.Tensor(array, shared_memory=True))

        def run():
            request.infer()
            return request.get_output_tensor().data.reshape(p.T, p.B, p.H)

        return run

    def training(self, p):
        return None

    def step(self, p):
        return self.inference(p, p.h0)


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

    def _layer(self, weights, x, h0=None):
        jax, jnp = self.jax, self.jax.numpy
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

        if h0 is None:
            h0 = jnp.zeros((x.shape[1], u.shape[1]), x.dtype)
        return jax.lax.scan(step, h0, projected)[1]

    def _arrays(self, p, h0):
        jnp = self.jax.numpy
        weights = {name: jnp.asarray(w) for name, w in p.weights.items()}
        arrays = [weights, jnp.asarray(p.x)]
        return arrays if h0 is None else [*arrays, jnp.asarray(h0[0])]

    def inference(self, p, h0=None):
        layer = self.jax.jit(self._layer)
        arrays = self._arrays(p, h0)
        return lambda: np.asarray(layer(*arrays).block_until_ready())

    def training(self, p):
        jax = self.jax
        weights, x = self._arrays(p, None)
        d_y = jax.numpy.asarray(p.d_y)

        @jax.jit
        def gradients(weights, x):
            output, back = jax.vjp(self._layer, weights, x)
            return output, back(d_y)

        def run():
            output, grads = gradients(weights, x)
            jax.block_until_ready(grads)
            return np.asarray(output)

        return run

    def step(self, p):
        return self.inference(p, p.h0)


RIVALS = {"torch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "jax": Jax}
NEEDED = {"onnxruntime": ["onnx"], "openvino": ["onnx"]}  # to make the model they run


def missing(name):
    """The packages that a rival needs and that are not installed."""
    packages = [name, *NEEDED.get(name, [])]
    return [package for package in packages if importlib.util.find_spec(package) is None]


def installed(n_threads, names):
    """The runners of pygru and of those rivals in ``names`` that are installed."""
    usable = [name for name in RIVALS if name in names and not missing(name)]
    return [Pygru(n_threads), *(RIVALS[name](n_threads) for name in usable)]
