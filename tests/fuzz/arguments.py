"""Calls of the Python interface in which one or two arguments are wrong, or only unusual.

A call may do what it says, or raise an exception that documentation names; it may not raise
InternalError, AttributeError, AssertionError or the like, and an object that raised is as it
was before.
"""

import contextlib
import json
import pickle
from fractions import Fraction

import numpy as np

import pygru
from fuzz.fuzzer import Fuzzer
from pygru import losses, schedules

NAN = float("nan")
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 2, 3)  # (T, B, I), (B, T, I) turned

# Values by name, so that a case is JSON.
VALUES = {
    "None": None, "True": True, "-1": -1, "0": 0, "1": 1, "2": 2, "3": 3, "2**62": 2**62,
    "2**63": 2**63, "10**400": 10**400, "0.5": 0.5, "-0.5": -0.5, "1e308": 1e308, "nan": NAN,
    "inf": float("inf"), "1j": 1j, "fraction": Fraction(1, 2), "''": "", "'x'": "x",
    "'\\ud800'": "\ud800", "'float64'": "float64", "'tanh'": "tanh", "b'x'": b"x", "[]": [],
    "[1, 2]": [1, 2], "[[1], [2, 3]]": [[1], [2, 3]], "[None]": [None], "['a']": ["a"],
    "()": (), "(0.5, 0.5)": (0.5, 0.5), "{}": {}, "{'a': 1}": {"a": 1}, "{1}": {1},
    "object": object(), "class": int, "function": len, "slice": slice(None), "range": range(3),
    "lambda": lambda *anything: anything, "int64": np.int64(3), "float32": np.float32(0.5),
    "bool_": np.bool_(True), "dtype": np.dtype(np.int8), "array()": np.zeros(()),
    "array(0)": np.zeros(0), "array(2)": np.ones(2), "array(2) int": np.array([1, 3]),
    "array(2) bool": np.array([True, False]), "array(2) object": np.array([None, "x"]),
    "array(2) str": np.array(["a", "b"]), "array(2) complex": np.ones(2) * 1j,
    "array(2) uint64": np.array([1, 2**64 - 1], np.uint64), "array(2) nan": np.full(2, NAN),
    "array(2) datetime": np.array(["2024-01-01"] * 2, "datetime64[D]"),
    "array(2, 3)": np.ones((2, 3)), "array(4, 2)": np.ones((4, 2)), "array(0, 2, 3)": X[:0],
    "array(4, 0, 3)": X[:, :0], "array(4, 2, 0)": X[..., :0], "x": X,
    "x turned": X[::-1],
    "x of 1e300": X.astype(np.float64) * 1e300, "x int": X.astype(np.int8), "x nan": X * NAN,
    "x flags": X[..., 0] > 0, "x float16": X.astype(np.float16),
    "(4, 2, 4)": np.ones((4, 2, 4)),
    "masked": np.ma.masked_less(X, 0),
    "record": np.zeros(2, [("a", "f4")]), "ones(1, 2, 4)": np.ones((1, 2, 4), np.float32),
}  # fmt: skip

DOCUMENTED = (TypeError, ValueError, KeyError, IndexError, OverflowError, MemoryError, OSError,
              pygru.DivergenceError)  # fmt: skip
# Objects without a result of the call before: a tape that has been used, and the like.
STATE = "RuntimeError"


def gru(**options):
    return pygru.GRU(3, 4, seed=0, **options)


def trainer():
    model = pygru.Sequential(gru(batch_first=True), pygru.Last(), pygru.Linear(4, 1, seed=0))
    return pygru.Trainer(model, seed=0)


Y = np.ones((2, 1), np.float32)
ROWS = X.transpose(1, 0, 2)
H0, H = np.zeros((1, 2, 4), np.float32), np.zeros((4, 2, 4), np.float32)
LENGTHS, FLAGS = [4, 2], np.ones((4, 2), bool)


def bound(make, name):
    """A method of a new object, and the object."""

    def calls():
        instance = make()
        return getattr(instance, name), instance

    return calls


def plain(function):
    return lambda: (function, None)


def with_tape(make):
    def calls():
        model = make()
        tape = model.forward(X)[-1]
        return (lambda **arguments: model.backward(tape, **arguments)), model

    return calls


# What is called, and with which arguments it works.
CALLS = {
    "GRU": (plain(pygru.GRU), {
        "input_size": 3, "hidden_size": 4, "num_layers": 1, "bias": True, "batch_first": False,
        "dropout": 0.0, "bidirectional": False, "variant": "chung", "dtype": "float32",
        "seed": 0, "init": "torch", "recurrent_dropout": 0.0, "zoneout": 0.0, "learn_h0": False,
        "layer_norm": False, "layer_norm_eps": 1e-5, "merge": "concat", "activation": "tanh",
        "recurrent_activation": "sigmoid", "clip": None, "reverse": False}),
    "gru()": (bound(gru, "__call__"), {"x": X, "h0": H0, "lengths": LENGTHS, "out": H,
                                       "n_threads": 1}),
    "gru() with flags": (bound(gru, "__call__"), {"x": X, "h0": H0, "mask": FLAGS,
                                                  "reset": FLAGS, "reset_to": "h0"}),
    "gru.forward": (bound(gru, "forward"), {"x": X, "h0": H0, "lengths": LENGTHS,
                                            "training": True, "memory": "gates"}),
    "gru.backward": (with_tape(gru), {"d_output": H, "d_h_n": H0}),
    "gru.step": (bound(gru, "step"), {"x_t": X[0], "h": H0, "out": H0.copy()}),
    "gru.gates": (bound(gru, "gates"), {"x": X, "h0": H0, "lengths": LENGTHS}),
    "gru.stream": (bound(gru, "stream"), {"batch": 2}),
    "gru.replace": (bound(gru, "replace"), {"share_weights": False, "dropout": 0.0,
                                            "dtype": "float64", "zoneout": 0.1}),
    "gru.quantized": (bound(gru, "quantized"), {"bits": 8, "data": X, "lengths": LENGTHS}),
    "gru.load_state_dict": (bound(gru, "load_state_dict"), {"mapping": gru().state_dict(),
                                                            "prefix": ""}),
    "gru.reseed": (bound(gru, "reseed"), {"seed": 0}),
    "quantized()": (bound(lambda: gru().quantized(), "__call__"), {"x": X, "h0": H0, "out": H}),
    "stream()": (bound(lambda: gru().stream(2), "__call__"), {"x_t": X[0]}),
    "stream.reset": (bound(lambda: gru().stream(2), "reset"), {"rows": [0]}),
    "Linear": (plain(pygru.Linear), {"in_features": 3, "out_features": 2, "bias": True,
                                     "dtype": "float32", "seed": 0}),
    "linear()": (bound(lambda: pygru.Linear(3, 2, seed=0), "__call__"), {"x": X}),
    "linear.forward": (bound(lambda: pygru.Linear(3, 2, seed=0), "forward"),
                       {"x": ROWS, "lengths": LENGTHS}),
    "linear.backward": (with_tape(lambda: pygru.Linear(3, 4, seed=0)), {"d_y": H}),
    "Embedding": (plain(pygru.Embedding), {"num_embeddings": 5, "embedding_dim": 3,
        "padding_idx": 0, "mask_zero": False, "weight": np.ones((5, 3)), "seed": 0}),
    "embedding()": (bound(lambda: pygru.Embedding(5, 3, seed=0), "__call__"),
                    {"x": [[0, 1], [2, 3]]}),
    "Attention": (plain(pygru.Attention), {"query_size": 3, "key_size": 3,
        "attention_size": None, "score": "dot", "dtype": "float32", "seed": 0}),
    "attention()": (bound(lambda: pygru.Attention(3, 3, seed=0), "__call__"),
                    {"queries": ROWS, "keys": ROWS, "values": ROWS, "lengths": LENGTHS,
                     "query_lengths": LENGTHS}),
    "Seq2Seq": (plain(pygru.Seq2Seq), {"source_vocab_size": 5, "target_vocab_size": 6,
        "embedding_dim": 2, "hidden_size": 3, "num_layers": 1, "dropout": 0.0, "gru": {},
        "score": "general", "bos_idx": 0, "eos_idx": 1, "teacher_forcing": 1.0, "seed": 0}),
    "Dropout": (plain(pygru.Dropout), {"p": 0.5, "seed": 0}),
    "LayerNorm": (plain(pygru.LayerNorm), {"features": 3, "eps": 1e-5, "dtype": "float32"}),
    "layer_norm()": (bound(lambda: pygru.LayerNorm(3), "__call__"), {"x": ROWS}),
    "Activation": (plain(pygru.Activation), {"activation": "relu"}),
    "Variant": (plain(pygru.Variant), {"reset": "before", "update": "keep"}),
    "Masking": (plain(pygru.Masking), {"mask_value": 0.0}),
    "AttentionOverTime": (plain(pygru.AttentionOverTime), {"features": 3, "attention_size": 2,
                                                           "seed": 0}),
    "Adam": (plain(pygru.Adam), {"learning_rate": 0.1, "betas": (0.9, 0.99), "eps": 1e-8,
                                 "weight_decay": 0.1}),
    "SGD": (plain(pygru.SGD), {"learning_rate": 0.1, "momentum": 0.5, "nesterov": True,
                               "weight_decay": 0.1}),
    "RMSprop": (plain(pygru.RMSprop), {"learning_rate": 0.1, "alpha": 0.9, "eps": 1e-8,
                                       "momentum": 0.1, "centered": True}),
    "EarlyStopping": (plain(pygru.EarlyStopping), {"patience": 3, "min_delta": 0.0,
        "monitor": "loss", "mode": "min", "restore_best": True}),
    "clip_grad_norm": (plain(pygru.clip_grad_norm), {"model": gru(), "max_norm": 1.0}),
    "pad_sequences": (plain(pygru.pad_sequences), {"sequences": [X[:, 0], X[:2, 0]],
                                                   "dtype": "float32", "batch_first": True}),
    "unpad_sequences": (plain(pygru.unpad_sequences), {"padded": ROWS, "lengths": LENGTHS}),
    "windows": (plain(pygru.data.windows), {"values": X[:, 0], "window": 2, "horizon": 1,
        "stride": 1, "gap": 0, "target": 0, "return_index": False}),
    "Scaler": (plain(pygru.data.Scaler), {"method": "standard", "center": [0.0],
                                          "scale": [1.0]}),
    "scaler.fit": (bound(pygru.data.Scaler, "fit"), {"X": X}),
    "Trainer": (plain(pygru.Trainer), {"model": gru(batch_first=True), "loss": "mse",
        "optimizer": "adam",
        "clip_norm": 1.0, "callbacks": [], "seed": 0, "n_threads": 1, "memory": "gates",
        "metrics": ["mae"], "classes": None}),
    "trainer.fit": (bound(trainer, "fit"), {"X": ROWS, "y": Y, "epochs": 1, "batch_size": 2,
        "lengths": LENGTHS, "sample_weight": [1.0, 2.0], "validation": (ROWS, Y),
        "bptt_steps": None, "shuffle": True, "progress": False}),
    "trainer.predict": (bound(trainer, "predict"), {"X": ROWS}),
    "cosine": (plain(schedules.cosine), {"learning_rate": 0.1, "total_steps": 9,
                                         "min_lr": 0.0}),
    "one_cycle": (plain(schedules.one_cycle), {"max_lr": 0.1, "total_steps": 9,
                                               "pct_start": 0.3}),
    "mse": (plain(losses.mse), {"prediction": X, "target": X, "mask": FLAGS}),
    "huber": (plain(losses.huber), {"prediction": X, "target": X, "delta": 1.0}),
    "quantile": (plain(losses.quantile), {"prediction": X[..., :2], "target": X[..., 0],
                                          "quantiles": [0.1, 0.9]}),
    "cross_entropy": (plain(losses.cross_entropy), {"logits": X, "target": [[0, 1]] * 4,
        "class_weight": [1.0, 1, 2], "ignore_index": -1, "label_smoothing": 0.1}),
    "bce_with_logits": (plain(losses.bce_with_logits), {"logits": X, "target": X > 0,
                                                        "pos_weight": [1.0, 2, 3]}),
}  # fmt: skip


def state_of(instance):
    """Everything of an object that must not have changed, as bytes."""
    if instance is None:
        return b""
    model = getattr(instance, "model", instance)
    arrays = [getattr(instance, "h", None)]
    for part in getattr(model, "layers", None) or (model,):
        arrays += [getattr(part, "flat_parameters", None), getattr(part, "flat_grads", None)]
        if hasattr(part, "get_config"):
            arrays.append(part.get_config())
        arrays += [g.bit_generator.state for g in getattr(part, "generators", ())]
    return pickle.dumps(arrays)


class Arguments(Fuzzer):
    """Wrong arguments of Python functions: documented exceptions, and nothing has changed."""

    name = "arguments"
    cases = 3000
    memory = 2**26
    refusals = ()
    suffix = ".json"

    def __init__(self):
        for name in CALLS:  # each works without a change
            self.run(json.dumps({"call": name, "changes": {}, "left out": []}).encode())

    def case(self, rng):
        name = rng.choice(list(CALLS))
        arguments = list(CALLS[name][1])
        changed = rng.sample(arguments, min(len(arguments), rng.choice([1, 1, 1, 2])))
        left = [a for a in arguments if a not in changed and rng.random() < 0.3]
        changes = {argument: rng.choice(list(VALUES)) for argument in changed}
        return json.dumps({"call": name, "changes": changes, "left out": left}).encode()

    def run(self, case):
        case = json.loads(case)
        make, good = CALLS[case["call"]]
        function, instance = make()
        arguments = {n: v for n, v in good.items() if n not in case["left out"]}
        arguments |= {n: VALUES[v] for n, v in case["changes"].items()}
        # Options without effect, and data that is not as expected, are warned of.
        before = state_of(instance)
        try:
            with np.errstate(all="ignore"), contextlib.ExitStack() as stack:
                stack.enter_context(quiet())
                function(**arguments)
        except DOCUMENTED as error:
            assert case["changes"] or case["left out"], error
            assert str(error), "an exception without a message"
            if case["call"] != "trainer.fit":  # which ends at the last finished step
                assert state_of(instance) == before, f"changed, and raised {error!r}"
            return type(error).__name__
        except RuntimeError as error:
            if type(error) is not RuntimeError:
                raise
            return STATE
        return "done"


@contextlib.contextmanager
def quiet():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
