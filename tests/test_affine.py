"""Affine maps of the core: the right values, and rows whose bits depend on no other row."""

import numpy as np
import pytest

import pygru
from pygru.core import _affine, _core, backend
from pygru.core.affine import affine, affine_backward

# Sizes below, at and beyond a vector and a tile of every instruction set.
SIZES = [
    (1, 1, 1),
    (7, 3, 2),
    (32, 64, 10),
    (130, 5, 17),
    (300, 33, 1),
    (129, 16, 257),
    (3, 300, 40),
]
DTYPES = [np.float32, np.float64]


@pytest.fixture(params=[name for name, runs in _core.kernel_names().items() if runs])
def kernels(request, monkeypatch):
    """Every set of kernels that runs here."""
    chosen = _core.Kernels(request.param, backend.current().kernels.engine)
    monkeypatch.setattr(backend, "_current", backend.current()._replace(kernels=chosen))


def arrays(rows, inputs, outputs, dtype):
    rng = np.random.default_rng(rows + inputs + outputs)
    shapes = {
        "x": (rows, inputs),
        "weight": (outputs, inputs),
        "bias": (outputs,),
        "d_y": (rows, outputs),
    }
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes.values()]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_values(size, dtype, kernels):
    x, weight, bias, d_y = arrays(*size, dtype)
    tolerance = {"rtol": 0, "atol": 1e-12 if dtype == np.float64 else 3e-5 * size[1] ** 0.5}
    y = affine(x, weight, bias)
    exact = x.astype(np.longdouble) @ weight.T.astype(np.longdouble)
    np.testing.assert_allclose(y, exact + bias, **tolerance)
    np.testing.assert_allclose(affine(x, weight), exact, **tolerance)
    d_weight, d_bias = np.full_like(weight, 2), np.full_like(bias, 3)
    d_x = affine_backward(x, weight, d_y, d_weight, d_bias)
    tolerance["atol"] *= size[0] ** 0.5 + size[2] ** 0.5
    exact = d_y.astype(np.longdouble)
    np.testing.assert_allclose(d_x, exact @ weight, **tolerance)
    np.testing.assert_allclose(d_weight, 2 + exact.T @ x, **tolerance)
    np.testing.assert_allclose(d_bias, 3 + exact.sum(axis=0), **tolerance)
    assert y.dtype == d_x.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_row_has_the_same_bits_in_every_batch(size, dtype, kernels):
    x, weight, bias, d_y = arrays(*size, dtype)
    y, d_x = affine(x, weight, bias), affine_backward(x, weight, d_y, np.zeros_like(weight))
    for first, end in [
        (0, 1),
        (0, 3),
        (size[0] // 2, size[0] // 2 + 5),
        (size[0] - 1, size[0]),
    ]:
        rows = slice(first, end)
        part = affine(x[rows], weight, bias)
        assert part.tobytes() == y[rows].tobytes()
        part = affine_backward(x[rows], weight, d_y[rows], np.zeros_like(weight))
        assert part.tobytes() == d_x[rows].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_no_bit(dtype):
    x, weight, bias, d_y = arrays(700, 100, 300, dtype)
    results = []
    for n_threads in (1, 2, 5):
        d_weight, d_bias = np.zeros_like(weight), np.zeros_like(bias)
        y = affine(x, weight, bias, n_threads)
        d_x = affine_backward(x, weight, d_y, d_weight, d_bias, n_threads)
        results.append(b"".join(array.tobytes() for array in (y, d_x, d_weight, d_bias)))
    assert results[0] == results[1] == results[2]


def test_kernels_with_a_fused_multiply_add_give_the_same_bits(monkeypatch):
    x, weight, bias, _ = arrays(20, 30, 21, np.float32)
    names = [n for n, runs in _core.kernel_names().items() if runs and n != "baseline"]
    found = set()
    for name in names:
        chosen = _core.Kernels(name, backend.current().kernels.engine)
        with monkeypatch.context() as patch:
            patch.setattr(backend, "_current", backend.current()._replace(kernels=chosen))
            found.add(affine(x, weight, bias).tobytes())
    assert len(found) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_rows(dtype):
    x, weight, bias, d_y = arrays(0, 3, 2, dtype)
    d_weight, d_bias = np.ones_like(weight), np.ones_like(bias)
    assert affine(x, weight, bias).shape == (0, 2)
    assert affine_backward(x, weight, d_y, d_weight, d_bias).shape == (0, 3)
    assert (d_weight == 1).all() and (d_bias == 1).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": np.ones((2, 4))},
        {"weight": np.ones((2, 3), np.float32)},
        {"bias": np.ones(1)},
        {"x": np.ones((3, 5)).T},
        {"x": np.ones((5, 6))[:, :3]},
        {"x": np.ones((5, 3), np.int64)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong):
    """Without this check the core would read after their ends."""
    given = {"x": np.ones((5, 3)), "weight": np.ones((2, 3)), "bias": np.ones(2)} | wrong
    with pytest.raises(pygru.InternalError):
        affine(**given)


def test_a_workspace_that_is_too_small_is_refused():
    x, weight, bias, d_y = arrays(5, 3, 2, np.float64)
    sizes = _affine.affine_sizes("float64", 3, 2, 1)
    given = {"x": x, "weight": weight}
    kernels = backend.current().kernels
    with pytest.raises(pygru.InternalError, match="too small"):
        workspace = np.empty(sizes["forward_workspace"] - 1, np.uint8)
        _affine.affine(
            kernels, 1, True, bias=bias, y=np.empty((5, 2)), workspace=workspace, **given
        )
    with pytest.raises(pygru.InternalError, match="too small"):
        _affine.affine_backward(
            kernels,
            1,
            True,
            d_y=d_y,
            d_x=None,
            d_weight=np.zeros((2, 3)),
            d_bias=None,
            workspace=np.empty(sizes["backward_workspace"] - 1, np.uint8),
            **given,
        )


def test_kernels_that_are_none_are_refused():
    """Otherwise Cython would read a member of None."""
    with pytest.raises(TypeError, match="kernels"):
        _affine.affine(
            None, 1, True, x=np.ones((1, 1)), weight=None, bias=None, y=None, workspace=None
        )
