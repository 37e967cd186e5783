"""Losses: values by hand, signed gradients by differences, masks that hide what they mask."""

import numpy as np
import pytest
from test_layers import numerical_gradient

from pygru import losses

ELEMENTWISE = [losses.mse, losses.mae, losses.huber, losses.bce_with_logits]


@pytest.mark.parametrize("loss", ELEMENTWISE)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient(loss, masked):
    rng = np.random.default_rng(0)
    prediction, target = 2 * rng.standard_normal((2, 4, 5, 3))
    if loss is losses.bce_with_logits:
        target = 1 / (1 + np.exp(-target))
    mask = rng.random((4, 5)) < 0.6 if masked else None
    weights = rng.random((4, 5, 3)) if masked else None
    _, gradient = loss(prediction, target, mask=mask, weights=weights)
    expected = numerical_gradient(
        lambda: loss(prediction, target, mask=mask, weights=weights)[0], prediction
    )
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("masked", [False, True])
def test_cross_entropy_gradient(masked):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, 4, 5))
    target = rng.integers(0, 5, (3, 4))
    mask = rng.random((3, 4)) < 0.6 if masked else None
    weights = rng.random((3, 4)) if masked else None
    _, gradient = losses.cross_entropy(logits, target, mask=mask, weights=weights)
    expected = numerical_gradient(
        lambda: losses.cross_entropy(logits, target, mask=mask, weights=weights)[0], logits
    )
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


def test_values_by_hand():
    assert losses.mse([[1.0, 2.0]], [[0.0, 4.0]])[0] == 2.5
    assert losses.mae([[1.0, 2.0]], [[0.0, 4.0]])[0] == 1.5
    assert losses.huber([[0.5, 3.0]], [[0.0, 0.0]])[0] == (0.125 + 2.5) / 2
    assert losses.huber([3.0], [0.0], delta=2.0)[0] == 4.0
    assert losses.bce_with_logits([2.0], [1.0])[0] == pytest.approx(np.log1p(np.exp(-2)))
    assert losses.cross_entropy([[1.0, 2.0]], [0])[0] == pytest.approx(np.log1p(np.e))


@pytest.mark.parametrize("loss", ELEMENTWISE)
def test_masked_elements_are_not_read(loss):
    prediction, target = np.array([0.5, np.nan]), np.array([1.0, np.inf])
    mask = np.array([True, False])
    value, gradient = loss(prediction, target, mask=mask)
    alone, gradient_alone = loss(prediction[:1], target[:1])
    assert value == alone
    assert gradient.tolist() == [gradient_alone[0], 0.0]


def test_masked_classes_are_not_read():
    value, gradient = losses.cross_entropy(
        [[0.0, 1.0], [np.nan, 0.0]], [1, 99], mask=np.array([True, False])
    )
    assert value == pytest.approx(np.log1p(np.exp(-1)))
    assert gradient[1].tolist() == [0.0, 0.0]


def test_weights_are_relative():
    prediction, target = np.array([1.0, 2.0]), np.zeros(2)
    assert losses.mse(prediction, target, weights=[1.0, 3.0])[0] == 13 / 4
    assert losses.mse(prediction, target, weights=[0.0, 0.0])[0] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_stay_finite(dtype):
    logits = np.array([[1e30, -1e30]], dtype)
    value, gradient = losses.cross_entropy(logits, [0])
    assert value == 0
    assert np.isfinite(gradient).all()
    assert gradient.dtype == dtype
    assert losses.bce_with_logits(np.array([-1e30], dtype), [0.0])[0] == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.mse([1.0], [1.0, 2.0]), ValueError, r"shape of the prediction \(1,\)"),
        (
            lambda: losses.mse([1.0], [1.0], mask=[1]),
            TypeError,
            "mask must be an array of bool",
        ),
        (lambda: losses.mse([1.0], [1.0], weights=[-1.0]), ValueError, "weights must be >= 0"),
        (
            lambda: losses.mse([1.0], [1.0], mask=[True] * 2),
            ValueError,
            r"mask must have shape",
        ),
        (lambda: losses.huber([1.0], [1.0], delta=0), ValueError, "delta must be a finite"),
        (
            lambda: losses.cross_entropy(np.zeros((4, 5)), [0, 1, 2, 7]),
            ValueError,
            r"target\[3\] = 7 is out of bounds for 5 classes",
        ),
        (
            lambda: losses.cross_entropy(np.zeros((1, 5)), [0.0]),
            TypeError,
            "target must be integers",
        ),
        (
            lambda: losses.cross_entropy(np.zeros((2, 5)), [0]),
            ValueError,
            r"target must have shape \(2,\)",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
