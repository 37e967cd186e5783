"""What must be true of pygru on the machine of a user.

Plain functions without fixtures, so that they run with pytest and without it. Each takes a
second or two. Where a system cannot do what a test needs, it raises unittest.SkipTest, which
pytest understands, too.
"""

import contextlib
import hashlib
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import unittest
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import pygru
from pygru.core import _core
from pygru.core.backend import current

#: How long another process may take on a busy machine, in seconds.
PATIENCE = 120

X = np.random.default_rng(0).standard_normal((12, 300, 5))  # several chunks of work


def _check(condition: object, *found: object) -> None:
    """What ``assert`` does, also in a Python that is told to leave assertions out (-O)."""
    if not condition:
        raise AssertionError(found)


def _model() -> Any:
    return pygru.Sequential(
        pygru.GRU(5, 24, 2, batch_first=True, bidirectional=True, variant="pytorch", seed=0),
        pygru.Last(bidirectional=True),
        pygru.Linear(48, 3, seed=0),
    )


def _bits(n_threads: int = 1) -> str:
    """A hash of outputs and gradients in both precisions."""
    digest = hashlib.sha256()
    for dtype in ("float32", "float64"):
        gru = pygru.GRU(5, 33, 2, bidirectional=True, dtype=dtype, seed=0)
        output, h_n, tape = gru.forward(X, n_threads=n_threads)
        d_x, d_h0 = gru.backward(tape, output, h_n)
        for array in (output, h_n, d_x, d_h0, gru.flat_grads):
            digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()


def _verdict() -> dict[str, Any]:
    """What one process finds: are the stored cases right, and the bits of other results."""
    from functools import partial

    from pygru.conformance import check
    from pygru.conformance.targets.pygru_target import run

    reports = [check(partial(run, dtype=dtype)) for dtype in (np.float64, np.float32)]
    wrong = [str(report) for report in reports if not report.ok]
    return {"cases": len(reports[0].results), "wrong": wrong, "bits": _bits()}


def _in_another_process(**environment: str) -> dict[str, Any]:
    """The verdict of a process that these environment variables make use other code."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise unittest.SkipTest("Python is embedded: there is no interpreter to start")
    code = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from pygru.tests.test_installed import _verdict
print(json.dumps(_verdict()))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, json.dumps(sys.path)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    _check(done.returncode == 0, environment, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_results_are_those_of_the_stored_cases() -> None:
    """Outputs and all gradients of an independent implementation, on all that runs here.

    All instruction sets give the same bits, except the one without fused multiply-add.
    """
    bits = {}
    for kernels in (name for name, runs in _core.kernel_names().items() if runs):
        found = _in_another_process(PYGRU_SIMD=kernels)
        _check(found["cases"] > 50, kernels, found["cases"])
        _check(not found["wrong"], kernels, found["wrong"])
        if kernels != "baseline":
            bits[kernels] = found["bits"]
    _check(len(set(bits.values())) <= 1, bits)
    found = _in_another_process(PYGRU_ENGINE="blas")
    _check(not found["wrong"], "blas", found["wrong"])


def test_threads_change_no_bit() -> None:
    bits = {n_threads: _bits(n_threads) for n_threads in (1, 2, 3, 8)}
    _check(len(set(bits.values())) == 1, bits)


def test_a_sequence_alone_has_the_bits_of_the_batch() -> None:
    if current().engine == "blas":
        raise unittest.SkipTest("the products of BLAS may differ with the size of the batch")
    gru = pygru.GRU(5, 33, seed=0)
    output = gru(X)[0]
    for index in (0, 150, 299):
        np.testing.assert_array_equal(gru(X[:, [index]])[0], output[:, [index]])


def test_a_stream_gives_the_whole_sequence() -> None:
    gru = pygru.GRU(5, 33, 2, seed=0)
    stream = gru.stream()
    steps = [stream(x).copy() for x in X[:, 0]]
    np.testing.assert_allclose(np.squeeze(steps), gru(X[:, :1])[0][:, 0], atol=1e-6)


def test_files_and_pickle_keep_every_bit() -> None:
    if find_spec("safetensors") is None:
        raise unittest.SkipTest("models cannot be saved: safetensors is not installed")
    model = _model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        pygru.save(model, path)
        copies = [pygru.load(path), pickle.loads(pickle.dumps(model))]
    for copy in copies:
        np.testing.assert_array_equal(copy(X), model(X))


def test_training_learns_and_can_be_repeated() -> None:
    targets = X[-3:, :, :3].mean(axis=0)
    data = X.swapaxes(0, 1)

    def trained() -> tuple[list[float], Any]:
        model = pygru.Sequential(
            pygru.GRU(5, 24, batch_first=True, seed=0),
            pygru.Last(),
            pygru.Linear(24, 3, seed=0),
        )
        trainer = pygru.Trainer(model, loss="mse", optimizer=pygru.Adam(1e-2), seed=0)
        history = trainer.fit(data, targets, epochs=15, batch_size=30, progress=False)
        return history["loss"], model(data)

    losses, predicted = trained()
    _check(losses[-1] < 0.1 * losses[0], losses)
    error = np.square(predicted - targets).mean()
    _check(error < 0.1 * targets.var(), error, targets.var())
    again, repeated = trained()
    _check(again == losses, again, losses)
    np.testing.assert_array_equal(repeated, predicted)


def test_a_forked_process_computes_the_same() -> None:
    """After the parent has used threads, which its child does not have."""
    if not hasattr(os, "fork"):
        raise unittest.SkipTest("this system has no fork")
    expected = _bits(2)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork while threads run
        child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.write(writer, _bits(2).encode())
        os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        found = os.read(reader, 1000).decode() if ready else "no answer"
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    _check(found == expected, found, expected)


def test_wrong_input_is_named() -> None:
    """A mistake becomes a message, and leaves the model as it was."""
    gru = pygru.GRU(5, 8, seed=0)
    before = gru(X)[0]
    for wrong in (X[:, :, :4], X[0, 0], X + 1j, np.array(["a"])):
        try:
            gru(wrong)
        except (TypeError, ValueError) as error:
            _check(str(error), type(error))
        else:
            raise AssertionError(f"x of the shape {wrong.shape} was taken")
    np.testing.assert_array_equal(gru(X)[0], before)


def test_the_sources_for_other_programs_are_here() -> None:
    """``get_include`` and ``get_sources`` name files that exist."""
    for name in (f"{pygru.get_include()}/pygru.h", *pygru.get_sources()):
        _check(Path(name).is_file(), name)
