"""The compiled calls with 8-bit weights: integers that are packed, in calls and in steps."""

import numpy as np
import pytest

from pygru.core import _calls, _core, _plans, _quantized, _stepper, _weights, backend
from pygru.errors import InternalError

pytestmark = pytest.mark.skipif(
    not _core.has_simd_engine(), reason="8-bit weights need the SIMD engine"
)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


I, H, L, T, B = 5, 33, 2, 6, 3
ENGINE, KEEP = _core.ENGINE_SIMD, _core.KEEP_NOTHING


def model(rng, **options):
    """Return a configuration, and the integers, scales and vectors of random weights."""
    config = _plans.Config(I, H, L, 1, True, True, True, precision="int8", **options)
    sizes = [3 * H * (inputs + H) for inputs in (I, H)]
    integers = rng.integers(-127, 128, sum(sizes)).astype(np.int8)
    scales = rng.uniform(0.5, 2, 6 * H * L).astype(np.float32) / 600
    vectors = rng.uniform(-0.5, 0.5, 6 * H * L).astype(np.float32)
    return config, integers, scales, vectors


def parameters_of(integers, scales, vectors):
    """The bytes that are packed."""
    return np.concatenate([part.view(np.uint8) for part in (scales, vectors, integers)])


def forward(config, packed, kernels, x, n_threads=1):
    plan = _plans.Plan(config, ENGINE, T, B, None, KEEP)
    y = np.empty((T, B, H), np.float32)
    h_n = np.empty(L * B * H, np.float32)
    room = np.empty(plan.sizes(n_threads)["forward_workspace"], np.uint8)
    _calls.forward(
        plan,
        backend.current().blas,
        kernels,
        n_threads,
        True,
        parameters=None,
        packed=packed,
        x=x,
        h0=None,
        y=y,
        h_n=h_n,
        tape=None,
        noise=None,
        workspace=room,
    )
    return y


def rounded(rows):
    """The nearest numbers that are integers times the scale of their row."""
    scale = np.abs(rows).max(-1, keepdims=True) / 127
    scale[scale == 0] = 1
    return np.rint(rows / scale) * scale


def plain(integers, scales, vectors, x):
    """The same network in float64, with inputs and states rounded as the core does."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    scaled = np.split(integers.astype(float), [3 * H * I, 3 * H * (I + H), -3 * H * H])
    w_s = [
        w.reshape(3 * H, -1) * s[:, None]
        for w, s in zip(scaled, np.split(scales, 4), strict=True)
    ]
    b_s = np.split(vectors.astype(float), 4)
    for layer in range(L):
        w, u, b, c = *w_s[2 * layer : 2 * layer + 2], *b_s[2 * layer : 2 * layer + 2]
        h, out = np.zeros((B, H)), []
        for x_t in x:
            a = np.split(rounded(x_t) @ w.T + b, 3, axis=1)
            v = np.split(rounded(h) @ u.T + c, 3, axis=1)
            r, z = sigmoid(a[0] + v[0]), sigmoid(a[1] + v[1])
            h = z * h + (1 - z) * np.tanh(a[2] + r * v[2])
            out.append(h)
        x = np.array(out)
    return x


def kernel_sets():
    return [name for name, runs in _core.kernel_names().items() if runs]


@pytest.mark.parametrize("name", kernel_sets())
def test_forward_and_steps(name, rng):
    config, integers, scales, vectors = model(rng)
    kernels = _core.Kernels(name, ENGINE)
    x = rng.standard_normal((T, B, I)).astype(np.float32)
    packing = _quantized.IntegersPacking(config, kernels)
    owner = _weights.Owner(parameters_of(integers, scales, vectors))
    packed = _weights.Packed(packing, owner)
    y = forward(config, packed.current()[0], kernels, x)
    # A state may be rounded to another integer than in float64, but hardly any is.
    np.testing.assert_allclose(y, plain(integers, scales, vectors, x), atol=2e-3)

    x_t, h = np.empty(B * I, np.float32), np.zeros(L * B * H, np.float32)
    stepper = _stepper.Stepper(
        config, backend.current().blas, kernels, B, None, packed, x_t, None, h, 0.0
    )
    for t in range(T):
        assert stepper.advance(x[t])
        np.testing.assert_array_equal(h[-B * H :].reshape(B, H), y[t])


def test_same_bits_with_fused_kernels(rng):
    config, integers, scales, vectors = model(rng)
    x = rng.standard_normal((T, B, I)).astype(np.float32)
    found = set()
    for name in kernel_sets():
        kernels = _core.Kernels(name, ENGINE)
        packing = _quantized.IntegersPacking(config, kernels)
        packed = _weights.packed_once(packing, parameters_of(integers, scales, vectors))
        if name != "baseline":
            found.add(forward(config, packed, kernels, x, n_threads=2).tobytes())
    assert len(found) <= 1


def test_refused(rng):
    config, integers, scales, vectors = model(rng)
    kernels = backend.current().kernels
    for keep in (_core.KEEP_OUTPUTS, _core.KEEP_GATES):
        with pytest.raises(InternalError, match="configuration"):
            _plans.Plan(config, ENGINE, T, B, None, keep)
    with pytest.raises(InternalError, match="configuration"):
        _plans.Plan(config, _core.ENGINE_BLAS, T, B, None, KEEP)
    other = _plans.Config(I, H, L, 1, True, True, True)
    packing = _quantized.IntegersPacking(other, kernels)
    with pytest.raises(InternalError, match="configuration"):
        _weights.packed_once(packing, parameters_of(integers, scales, vectors))
