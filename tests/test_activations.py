"""sigmoid and tanh of the core: within 2 ULP, and right at every special value."""

import numpy as np
import pytest

from pygru.core import _core

FUNCTIONS = {
    "sigmoid": lambda x: np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x))),
    "tanh": np.tanh,
}


KERNELS = [name for name, runs in _core.kernel_names().items() if runs]


def activate(name, values, kernels=KERNELS[-1]):
    out = np.empty_like(values)
    _core.activate(name, values, out, _core.Kernels(kernels))
    return out


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_kernel_gives_the_same_bits(name, dtype, kernels):
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, np.uint32)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        values = bits.view(np.float32).astype(dtype)
    result = activate(name, values, kernels)
    expected = activate(name, values, "baseline")
    assert np.array_equal(np.isnan(result), np.isnan(values))
    assert np.array_equal(result, expected, equal_nan=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_is_within_2_ulp(name):
    # Every 997th bit pattern, NaNs left out; float64 is truth enough.
    bits = np.arange(0, 2**32, 997, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)
    values = values[~np.isnan(values)]
    with np.errstate(all="ignore"):
        truth = FUNCTIONS[name](values.astype(np.float64))
    spacing = np.spacing(np.abs(truth.astype(np.float32))).astype(np.float64)
    error = np.abs(activate(name, values) - truth) / spacing
    assert error.max() <= 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_is_within_2_ulp(name):
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            rng.uniform(-40, 40, 300_000),
            rng.standard_normal(300_000) * 1e-3,
            rng.uniform(-750, -30, 100_000),
            10.0 ** rng.uniform(-320, 3, 100_000),
        ]
    )
    exact = values.astype(np.longdouble)
    with np.errstate(all="ignore"):
        truth = FUNCTIONS[name](exact)
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("long double is no better than float64 here")
    spacing = np.spacing(np.abs(truth.astype(np.float64))).astype(np.longdouble)
    error = np.abs(activate(name, values) - truth) / spacing
    assert error.max() <= 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype):
    values = np.array([0.0, -0.0, np.inf, -np.inf, 1e30, -1e30, np.nan], dtype)
    with np.errstate(all="ignore"):
        sigmoid, tanh = activate("sigmoid", values), activate("tanh", values)
    assert sigmoid[:6].tolist() == [0.5, 0.5, 1.0, 0.0, 1.0, 0.0]
    assert tanh[:6].tolist() == [0.0, 0.0, 1.0, -1.0, 1.0, -1.0]
    assert np.signbit(tanh[1])
    assert np.isnan(sigmoid[6])
    assert np.isnan(tanh[6])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormals(dtype):
    tiny = np.finfo(dtype).smallest_subnormal * np.array([1, 3, 1000], dtype)
    assert np.array_equal(activate("tanh", tiny), tiny)
    assert np.array_equal(activate("tanh", -tiny), -tiny)
    assert activate("sigmoid", tiny).tolist() == [0.5] * 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_vector_and_remainder_agree(name, dtype):
    values = np.linspace(-12, 12, 67).astype(dtype)
    alone = np.array([activate(name, values[i : i + 1].copy())[0] for i in range(67)])
    assert np.array_equal(activate(name, values), alone)
