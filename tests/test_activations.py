"""sigmoid and tanh of the core: within 2 ULP, and right at every special value.

These tests fail if a coefficient is mistyped, if an argument is not reduced, or if an
instruction set computes in another order.
"""

import numpy as np
import pytest
from engines import FUSED_SETS, SETS

from pygru.core import _core, _training

FUNCTIONS = {
    "sigmoid": lambda x: np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x))),
    "tanh": np.tanh,
}

every_set = pytest.mark.parametrize("kernels", SETS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def activate(name, values, kernels=SETS[-1]):
    out = np.empty_like(values)
    _training.activate(name, _core.Kernels(kernels, _core.ENGINE_BLAS), values, out)
    return out


def any_bits(dtype):
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, np.uint32)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return bits.view(np.float32).astype(dtype)


@pytest.mark.parametrize("kernels", FUSED_SETS)
@every_dtype
@every_function
def test_sets_that_fuse_give_the_same_bits(name, dtype, kernels):
    """A set of kernels differs if it rounds a product before adding, or sums otherwise."""
    values = any_bits(dtype)
    expected = activate(name, values, FUSED_SETS[0])
    assert np.array_equal(activate(name, values, kernels), expected, equal_nan=True)


@every_set
@every_dtype
@every_function
def test_only_nan_gives_nan(name, dtype, kernels):
    values = any_bits(dtype)
    assert np.array_equal(np.isnan(activate(name, values, kernels)), np.isnan(values))


@every_set
@every_function
def test_float32_is_within_2_ulp(name, kernels):
    # Every 1999th bit pattern, without NaN. float64 is exact enough to compare with.
    bits = np.arange(0, 2**32, 1999, dtype=np.uint64).astype(np.uint32)
    values = bits.view(np.float32)
    values = values[~np.isnan(values)]
    with np.errstate(all="ignore"):
        truth = FUNCTIONS[name](values.astype(np.float64))
    spacing = np.spacing(np.abs(truth.astype(np.float32))).astype(np.float64)
    error = np.abs(activate(name, values, kernels) - truth) / spacing
    assert error.max() <= 2


@every_set
@every_function
def test_float64_is_within_2_ulp(name, kernels):
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            rng.uniform(-40, 40, 150_000),
            rng.standard_normal(150_000) * 1e-3,
            rng.uniform(-750, -30, 50_000),
            10.0 ** rng.uniform(-320, 3, 50_000),
        ]
    )
    exact = values.astype(np.longdouble)
    with np.errstate(all="ignore"):
        truth = FUNCTIONS[name](exact)
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("long double is no better than float64 here")
    spacing = np.spacing(np.abs(truth.astype(np.float64))).astype(np.longdouble)
    error = np.abs(activate(name, values, kernels) - truth) / spacing
    assert error.max() <= 2


@every_set
@every_dtype
def test_special_values(dtype, kernels):
    values = np.array([0.0, -0.0, np.inf, -np.inf, 1e30, -1e30, np.nan], dtype)
    with np.errstate(all="ignore"):
        sigmoid = activate("sigmoid", values, kernels)
        tanh = activate("tanh", values, kernels)
    assert sigmoid[:6].tolist() == [0.5, 0.5, 1.0, 0.0, 1.0, 0.0]
    assert tanh[:6].tolist() == [0.0, 0.0, 1.0, -1.0, 1.0, -1.0]
    assert np.signbit(tanh[1])
    assert np.isnan(sigmoid[6])
    assert np.isnan(tanh[6])


@every_set
@every_dtype
def test_denormals(dtype, kernels):
    tiny = np.finfo(dtype).smallest_subnormal * np.array([1, 3, 1000], dtype)
    assert np.array_equal(activate("tanh", tiny, kernels), tiny)
    assert np.array_equal(activate("tanh", -tiny, kernels), -tiny)
    assert activate("sigmoid", tiny, kernels).tolist() == [0.5] * 3


@every_set
@every_dtype
@every_function
def test_vector_and_remainder_agree(name, dtype, kernels):
    values = np.linspace(-12, 12, 67).astype(dtype)
    alone = [activate(name, values[i : i + 1].copy(), kernels)[0] for i in range(67)]
    assert np.array_equal(activate(name, values, kernels), np.array(alone))
