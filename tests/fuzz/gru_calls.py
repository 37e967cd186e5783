"""Random GRUs and random calls: every engine and set of kernels against the definition.

The truth is ``stepwise.py``, which shares no code with pygru. One evaluation of it with an
imaginary step gives the outputs, and the derivative in one random direction of everything that
has a gradient; that must be the product of the direction with the gradients of ``backward``.
"""

import hashlib
import json

import engines
import numpy as np
import pytest
import reference
import stepwise
from complex_step import STEP

from fuzz.fuzzer import Fuzzer
from pygru import GRU, Variant

VARIANTS = {
    "chung": ("before", "replace"),
    "cho": ("before", "keep"),
    "pytorch": ("after", "keep"),
    "unnamed": ("after", "replace"),
}
ACTIVATIONS = ["tanh", "tanh", "tanh", "relu", "softsign", "linear", "sigmoid"]
RECURRENT = ["sigmoid", "sigmoid", "sigmoid", "hard_sigmoid", ["hard_sigmoid", 0.25, 0.4]]
LAYOUTS = ["plain", "plain", "fortran", "strided", "reversed", "read-only", "swapped", "list"]
MEMORY = ["gates", "gates", "outputs", "sqrt", "1 MB"]

# How far a result may be from the definition, for numbers of size 1.
CLOSE = {"float32": 2e-4, "float64": 1e-11}


def random_call(rng):
    """A GRU and a call of it, as JSON."""
    flags = [None, None, 0.2, 0.6, 1.0]
    case = {
        "seed": rng.randrange(2**32),
        "T": rng.choice([0, 1, 1, 2, 2, 3, 3, 5, 5, 9]),
        "B": rng.choice([0, 1, 1, 2, 2, 3, 4, 7, 8, 9, 17, 33]),
        "input_size": rng.choice([1, 2, 3, 5, 8, 17]),
        "hidden_size": rng.choice([1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33]),
        "num_layers": rng.choice([1, 1, 1, 2, 3]),
        "bias": rng.random() < 0.8,
        "batch_first": rng.random() < 0.3,
        "variant": rng.choice(list(VARIANTS)),
        "dtype": rng.choice(["float32", "float64"]),
        "directions": rng.choice(["forward", "forward", "both", "reverse"]),
        "merge": rng.choice(["concat", "concat", "sum", "mul", "ave"]),
        "learn_h0": rng.random() < 0.2,
        "layer_norm": rng.random() < 0.2,
        "zoneout": rng.choice([0.0, 0.0, 0.25]),
        "activation": rng.choice(ACTIVATIONS),
        "recurrent_activation": rng.choice(RECURRENT),
        "clip": rng.choice([None, None, None, 0.5]),
        "zero_output_for_mask": rng.random() < 0.3,
        "h0": rng.random() < 0.6,
        "lengths": rng.random() < 0.4,
        "mask": rng.choice(flags),
        "reset": rng.choice(flags),
        "reset_to": rng.choice(["initial", "h0"]),
        "layout": rng.choice(LAYOUTS),
        "memory": rng.choice(MEMORY),
        "n_threads": rng.choice([1, 2, 3, 7]),
    }
    both = case["directions"] == "both"
    if not both or case["num_layers"] > 1:
        case["merge"] = "concat"
    if case["mask"] is not None and case["lengths"]:
        case["lengths"] = False
    if case["reset"] is None:
        case["reset_to"] = "initial"
    if both and case["memory"] not in ("gates", "outputs"):
        case["memory"] = "gates"
    return case


class Call:
    """The GRU and the arrays of a case, whatever the engine."""

    def __init__(self, case):
        self.case = case
        rng = np.random.default_rng(case["seed"])
        T, B, I, H = (case[name] for name in ("T", "B", "input_size", "hidden_size"))
        self.D = 2 if case["directions"] == "both" else 1
        states = (case["num_layers"] * self.D, B, H)
        self.dtype = np.dtype(case["dtype"])
        width = H * (self.D if case["merge"] == "concat" else 1)

        def numbers(*shape):
            return rng.uniform(-1, 1, shape).astype(self.dtype)

        self.x, self.h0 = numbers(T, B, I), numbers(*states) if case["h0"] else None
        self.d_output, self.d_h_n = numbers(T, B, width), numbers(*states)
        self.lengths = rng.integers(0, T + 1, B) if case["lengths"] else None
        self.flags = {
            name: None if case[name] is None else rng.random((T, B)) < case[name]
            for name in ("mask", "reset")
        }
        gru = self.new_gru()
        self.parameters = {
            name: rng.uniform(-1, 1, value.shape) / np.sqrt(H + I) + (name.startswith("gain"))
            for name, value in gru.parameters.items()
        }
        for name, value in self.parameters.items():
            gru.parameters[name] = value
            self.parameters[name] = gru.parameters[name].astype(np.float64)
        self.directions = {name: numbers(*v.shape) for name, v in self.parameters.items()}
        self.directions |= {"x": numbers(T, B, I), "h0 of the call": numbers(*states)}

    def new_gru(self):
        """The GRU, for the present engine."""
        case = self.case
        recurrent = case["recurrent_activation"]
        gru = GRU(
            case["input_size"],
            case["hidden_size"],
            case["num_layers"],
            case["bias"],
            case["batch_first"],
            bidirectional=self.D == 2,
            reverse=case["directions"] == "reverse",
            variant=Variant(*VARIANTS[case["variant"]]),
            dtype=case["dtype"],
            learn_h0=case["learn_h0"],
            layer_norm=case["layer_norm"],
            zoneout=case["zoneout"],
            activation=case["activation"],
            recurrent_activation=tuple(recurrent) if isinstance(recurrent, list) else recurrent,
            clip=case["clip"],
            merge=case["merge"],
            zero_output_for_mask=case["zero_output_for_mask"],
            seed=0,
        )
        for name, value in getattr(self, "parameters", {}).items():
            gru.parameters[name] = value
        return gru

    # ---- pygru ------------------------------------------------------------------------------

    def arguments(self):
        """The input, and the other arguments of a call but h0, by name."""
        x, flags = self.x, self.flags
        if self.case["batch_first"]:
            x = x.transpose(1, 0, 2)
            flags = {name: None if flag is None else flag.T for name, flag in flags.items()}
        return x, {**flags, "reset_to": self.case["reset_to"], "lengths": self.lengths}

    def of_pygru(self, n_threads, same_bits):
        """All results by name: outputs, states, and gradients.

        With ``same_bits``, inference must give the same bits as a call for training.
        """
        gru, case = self.new_gru(), self.case
        x, call = self.arguments()
        x, turn = laid_out(x, case["layout"]), case["batch_first"]
        output, h_n, tape = gru.forward(
            x, self.h0, training=False, memory=case["memory"], n_threads=n_threads, **call
        )
        again, h_again = gru(x, self.h0, n_threads=n_threads, **call)
        if same_bits:
            assert again.tobytes() == output.tobytes(), "inference has another output"
            assert h_again.tobytes() == h_n.tobytes(), "inference has another h_n"
        d_output = self.d_output.transpose(1, 0, 2) if turn else self.d_output
        d_x, d_h0 = gru.backward(tape, d_output, self.d_h_n)
        if turn:
            output, d_x = output.transpose(1, 0, 2), d_x.transpose(1, 0, 2)
        grads = {f"d {name}": value.copy() for name, value in gru.grads.items()}
        return {"output": output, "h_n": h_n, "d_x": d_x, "d_h0": d_h0, **grads}

    def step_by_step(self):
        """The output of a stream, where one step after the other can be known."""
        case = self.case
        plain = self.lengths is None and all(f is None for f in self.flags.values())
        if case["directions"] != "forward" or not plain or not case["B"]:
            return None
        stream = self.new_gru().stream(case["B"])
        if self.h0 is not None:
            stream.h[...] = self.h0
        return np.array([stream(x_t).copy() for x_t in self.x]).reshape(self.d_output.shape)

    # ---- the definition ---------------------------------------------------------------------

    def by_definition(self):
        """Output and h_n, and the derivative of the loss in the random direction."""
        case = self.case
        reset, update = VARIANTS[case["variant"]]
        recurrent = case["recurrent_activation"]
        style = reference.Style(
            case["activation"],
            tuple(recurrent) if isinstance(recurrent, list) else recurrent,
            case["clip"],
        )
        rules = stepwise.Rules(
            reset,
            update,
            case["num_layers"],
            {"forward": (False,), "reverse": (True,), "both": (False, True)}[
                case["directions"]
            ],
            self.flags["mask"],
            self.flags["reset"],
            self.lengths,
            case["reset_to"] == "h0",
            case["zero_output_for_mask"],
            case["merge"],
            style,
            case["zoneout"],
        )

        def moved(name, value):
            return value.astype(np.float64) + 1j * STEP * self.directions[name]

        parameters = {name: moved(name, value) for name, value in self.parameters.items()}
        learned = parameters.pop("h0", None)
        L, B, H = self.d_h_n.shape
        initial = np.zeros((L, H)) if learned is None else learned.reshape(L, H)
        if self.h0 is not None:
            h0 = moved("h0 of the call", self.h0)
        else:
            h0 = np.broadcast_to(initial[:, np.newaxis], (L, B, H))
        output, h_n = stepwise.forward(parameters, moved("x", self.x), h0, initial, rules)
        loss = (output * self.d_output).sum() + (h_n * self.d_h_n).sum()
        return output.real, h_n.real, loss.imag / STEP

    def derivative(self, results):
        """The same derivative, of the gradients."""
        total = (results["d_x"].astype(np.float64) * self.directions["x"]).sum()
        if self.h0 is not None:
            direction = self.directions["h0 of the call"]
            total += (results["d_h0"].astype(np.float64) * direction).sum()
        for name in self.parameters:
            total += (results[f"d {name}"].astype(np.float64) * self.directions[name]).sum()
        return total


def laid_out(x, layout):
    """The same numbers in another memory layout, byte order or kind."""
    if layout == "fortran":
        return np.asfortranarray(x)
    if layout == "strided":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if layout == "reversed":
        return x[::-1].copy()[::-1]
    if layout == "swapped":
        return x.astype(x.dtype.newbyteorder(">"))
    if layout == "list" and x.size:
        return x.tolist()
    if layout == "read-only":
        x = x.copy()
        x.flags.writeable = False
    return x


class GruFuzzer(Fuzzer):
    """Base class: what is the same for GRUs of floats and of integers."""

    memory = 2**27
    refusals = ()
    suffix = ".json"
    traced = 10


class Gru(GruFuzzer):
    """Random GRUs and calls: engines, sets of kernels and threads against the definition."""

    name = "gru"
    cases = 1000

    def case(self, rng):
        return json.dumps(random_call(rng), indent=1).encode()

    def run(self, case):
        call = Call(json.loads(case))
        output, h_n, derivative = call.by_definition()
        tolerance = CLOSE[call.case["dtype"]]
        bits = {}
        ways = [("blas", engines.CHOSEN), *(("simd", name) for name in engines.SETS)]
        for engine, kernels in ways if engines.HAS_SIMD else ways[:1]:
            with pytest.MonkeyPatch.context() as patch:
                engines.use_engine(patch, engine, kernels)
                is_simd = engine == "simd"
                try:
                    results = call.of_pygru(1, is_simd)
                except ValueError as error:
                    if "is too little" not in str(error):
                        raise
                    return "too little memory"
                many = call.of_pygru(call.case["n_threads"], is_simd)
                stepped = call.step_by_step()
            where = f"{engine} {kernels}"
            compare(f"{where}: output", results["output"], output, tolerance)
            compare(f"{where}: h_n", results["h_n"], h_n, tolerance)
            if stepped is not None:
                compare(f"{where}: stream", stepped, output, tolerance)
            size = 1 + sum(abs(value).sum() for value in results.values())
            found = call.derivative(results)
            if not abs(found - derivative) <= tolerance * size:
                raise AssertionError(f"{where}: derivative {found}, expected {derivative}")
            assert bytes_of(many) == bytes_of(results), f"{where}: threads change the bits"
            if is_simd and kernels in engines.FUSED_SETS:
                bits[kernels] = bytes_of(results)
        return outcome("equal" if output.size else "empty", bits)


class Quantized(GruFuzzer):
    """Random GRUs with weights of 8 bits: sets of kernels and threads agree."""

    name = "quantized"
    cases = 500

    def case(self, rng):
        case = random_call(rng) | {"dtype": "float32", "layout": "plain"}
        return json.dumps(case, indent=1).encode()

    def run(self, case):
        call = Call(json.loads(case))
        bits = {}
        for kernels in engines.SETS:
            with pytest.MonkeyPatch.context() as patch:
                engines.use_engine(patch, "simd", kernels)
                gru = call.new_gru().quantized()
                x, options = call.arguments()
                one = gru(x, call.h0, n_threads=1, **options)
                many = gru(x, call.h0, n_threads=call.case["n_threads"], **options)
            assert all(np.isfinite(part).all() for part in one), kernels
            for name, a, b in zip(("output", "h_n"), one, many, strict=True):
                assert a.tobytes() == b.tobytes(), f"{kernels}: threads change {name}"
            if kernels in engines.FUSED_SETS:
                bits[kernels] = b"".join(part.tobytes() for part in one)
        return outcome("equal", bits)


def compare(name, actual, expected, tolerance):
    """Raise unless two arrays are equal up to rounding."""
    assert actual.shape == expected.shape, f"{name}: {actual.shape}, expected {expected.shape}"
    scale = max(1.0, abs(expected).max(initial=0))
    worst = abs(actual - expected).max(initial=0) / scale
    if not worst <= tolerance:
        raise AssertionError(f"{name}: off by {worst:.3g}")


def bytes_of(results):
    return b"".join(np.ascontiguousarray(value).tobytes() for value in results.values())


def outcome(word, bits):
    """The word, and a checksum of the results that all sets of kernels must have."""
    assert len(set(bits.values())) <= 1, f"bits differ between {', '.join(bits)}"
    return f"{word}#{hashlib.sha256(next(iter(bits.values()), b'')).hexdigest()[:16]}"
