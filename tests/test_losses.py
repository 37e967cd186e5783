"""Losses: values by hand, signed gradients by differences, and what masks leave out."""

import copy
import pickle

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


def plain_cross_entropy(logits, target, row_weights, class_weights, ignored, smoothing):
    """The value by PyTorch's definition, from log-softmax, in a loop over the classes."""
    classes = logits.shape[-1]
    total = count = 0.0
    rows = logits.reshape(-1, classes), target.ravel(), row_weights.ravel()
    for x, y, share in zip(*rows, strict=True):
        if y == ignored:
            continue
        log_p = x - np.log(np.exp(x - x.max()).sum()) - x.max()
        own = -class_weights[y] * log_p[y]
        even = -sum(class_weights[c] * log_p[c] for c in range(classes)) / classes
        total += share * ((1 - smoothing) * own + smoothing * even)
        count += share * class_weights[y]
    return total / count


@pytest.mark.parametrize("classes", [2, 5, 23])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, 1, -100])
def test_cross_entropy_options(classes, smoothing, weighted, ignored):
    rng = np.random.default_rng(classes)
    logits = 3 * rng.standard_normal((3, 4, classes))
    target = rng.integers(0, classes, (3, 4))
    target[0, :2] = 0  # not all ignored
    if ignored is not None:
        target[1, 1:3] = ignored
    class_weight = rng.random(classes) + 0.1 if weighted else None
    weights = rng.random((3, 4)) if weighted else None

    def value():
        return losses.cross_entropy(
            logits,
            target,
            weights=weights,
            class_weight=class_weight,
            ignore_index=ignored,
            label_smoothing=smoothing,
        )

    expected = plain_cross_entropy(
        logits,
        target,
        np.ones((3, 4)) if weights is None else weights,
        np.ones(classes) if class_weight is None else class_weight,
        ignored,
        smoothing,
    )
    assert value()[0] == pytest.approx(expected, rel=1e-12)
    gradient = value()[1]
    slopes = numerical_gradient(lambda: value()[0], logits)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-9)
    if ignored is not None:
        assert not gradient[target == ignored].any()


def test_ignored_rows_are_not_read():
    logits, target = [[0.0, 1.0], [np.nan, np.inf]], [1, 7]
    value, gradient = losses.cross_entropy(logits, target, ignore_index=7, label_smoothing=0.1)
    alone, gradient_alone = losses.cross_entropy(logits[:1], target[:1], label_smoothing=0.1)
    assert value == alone
    assert gradient.tolist() == [gradient_alone[0].tolist(), [0.0, 0.0]]
    assert losses.cross_entropy(logits, [7, 7], ignore_index=7)[0] == 0


def test_a_class_of_weight_zero_is_not_read():
    value, gradient = losses.cross_entropy(
        [[0.0, 1.0], [np.nan, 0.0]], [1, 0], class_weight=[0.0, 3.0]
    )
    assert value == pytest.approx(np.log1p(np.exp(-1)))
    assert gradient[1].tolist() == [0.0, 0.0]


def test_cross_entropy_options_in_float32_follow_float64():
    rng = np.random.default_rng(4)
    logits, target = rng.standard_normal((6, 300)), rng.integers(0, 300, 6)
    options = {"class_weight": rng.random(300), "label_smoothing": 0.2}
    value, gradient = losses.cross_entropy(logits, target, **options)
    single, gradient_32 = losses.cross_entropy(logits.astype(np.float32), target, **options)
    assert single == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(gradient_32, gradient, rtol=1e-4, atol=1e-7)


def test_quantile_by_hand():
    prediction, target = [[1.0, 4.0], [2.0, 2.0], [0.0, 9.0]], [3.0, 2.0, 1.0]
    # each error times q if it is above, times 1 - q if below
    expected = [0.2 * 2, 0.1 * 1, 0, 0, 0.2 * 1, 0.1 * 8]
    value, gradient = losses.quantile(prediction, target, quantiles=[0.2, 0.9])
    assert value == pytest.approx(sum(expected) / 6)
    slopes = np.array([[-0.2, 0.1], [0, 0], [-0.2, 0.1]]) / 6
    np.testing.assert_allclose(gradient, slopes, rtol=1e-14)


@pytest.mark.parametrize("wide", [False, True])
def test_quantile_gradient_with_mask_and_weights(wide):
    rng = np.random.default_rng(5)
    prediction, target = rng.standard_normal((4, 5, 2, 3)), rng.standard_normal((4, 5, 2))
    mask, weights = rng.random((4, 5)) < 0.6, rng.random((4, 5, 2))
    if wide:
        prediction = prediction.reshape(4, 5, 6)

    def value():
        options = {"quantiles": [0.1, 0.5, 0.8], "mask": mask, "weights": weights}
        return losses.quantile(prediction, target, **options)

    total = sum(
        weights[i] * max(q * d, (q - 1) * d)
        for i in np.ndindex(target.shape)
        if mask[i[:2]]
        for q, p in zip([0.1, 0.5, 0.8], prediction.reshape(4, 5, 2, 3)[i], strict=True)
        for d in [target[i] - p]
    )
    assert value()[0] == pytest.approx(total / (3 * weights[mask].sum()), rel=1e-12)
    slopes = numerical_gradient(lambda: value()[0], prediction)
    np.testing.assert_allclose(value()[1], slopes, rtol=1e-6, atol=1e-9)
    prediction[~mask] = np.nan
    assert np.isfinite(value()[0])
    assert np.isfinite(value()[1]).all()


def test_the_best_constants_are_the_quantiles():
    sample = np.random.default_rng(6).exponential(size=4001)
    q = [0.1, 0.5, 0.95]
    best = np.quantile(sample, q)
    _, gradient = losses.quantile(np.tile(best, (4001, 1)), sample, quantiles=q)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-3)


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
        (
            lambda: losses.mse([1.0], [1.0], weights=[-1.0]),
            ValueError,
            "weights must be finite and >= 0",
        ),
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
        (
            lambda: losses.cross_entropy(np.zeros((2, 5)), [0, 1], class_weight=[1.0]),
            ValueError,
            r"class_weight must have shape \(classes=5,\), got \(1,\)",
        ),
        (
            lambda: losses.cross_entropy(np.zeros((1, 2)), [0], class_weight=[1.0, -1.0]),
            ValueError,
            "class_weight must be finite and >= 0",
        ),
        (
            lambda: losses.cross_entropy(np.zeros((1, 2)), [0], label_smoothing=1.5),
            ValueError,
            r"label_smoothing must be a number in \[0, 1\]",
        ),
        (
            lambda: losses.cross_entropy(np.zeros((1, 0)), [0]),
            ValueError,
            r"logits must have shape \(..., classes\), got \(1, 0\)",
        ),
        (
            lambda: losses.quantile(np.zeros((4, 3)), np.zeros(4), quantiles=[0.1, 0.9]),
            ValueError,
            r"prediction must have shape \(4, 2\) for 2 quantiles .*, or \(8,\), got \(4, 3\)",
        ),
        (
            lambda: losses.quantile(np.zeros((4, 1)), np.zeros(4), quantiles=[1.0]),
            ValueError,
            r"quantiles must be a list of numbers in \(0, 1\), got \[1.0\]",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("protocol", range(6))
def test_a_mean_keeps_its_weight(protocol):
    value = losses.mse([1.0, 3.0], [0.0, 0.0], weights=[1.0, 3.0])[0]
    assert (value, value.weight) == (7.0, 4.0)
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value, protocol))):
        assert (other, other.weight) == (7.0, 4.0)
    assert type(value + 1) is float


@pytest.mark.parametrize(
    ("loss", "weight"),
    [
        (lambda: losses.mse(np.zeros((2, 3)), np.zeros((2, 3))), 6),
        (lambda: losses.mae(np.zeros((2, 3)), np.zeros((2, 3)), mask=[True, False]), 3),
        (lambda: losses.cross_entropy(np.zeros((4, 2)), [0, 1, -1, 1], ignore_index=-1), 3),
        (
            lambda: losses.cross_entropy(
                np.zeros((3, 2)), [0, 1, 1], class_weight=[0.5, 4.0], weights=[2.0, 1.0, 0.0]
            ),
            5,
        ),
        (lambda: losses.quantile(np.zeros((4, 3)), np.zeros(4), quantiles=[0.1, 0.5, 0.9]), 4),
        (lambda: losses.cross_entropy(np.zeros((1, 2)), [0], class_weight=[0.0, 1.0]), 0),
    ],
)
def test_the_weight_is_the_sum_of_what_counts(loss, weight):
    assert loss()[0].weight == pytest.approx(weight, rel=1e-15)


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_weights_must_be_finite(weight):
    with pytest.raises(ValueError, match="weights must be finite and >= 0"):
        losses.mse([1.0, 2.0], [0.0, 0.0], weights=[weight, 1.0])


def test_complex_predictions_and_lists_of_ragged_ones_are_refused():
    with pytest.raises(ValueError, match="Complex data not supported: prediction"):
        losses.mse([1j], [0.0])
    with pytest.raises(ValueError, match=r"prediction: .*pad_sequences"):
        losses.mse([[1.0], [1.0, 2.0]], [[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="ignore_index must be an int, got float"):
        losses.cross_entropy(np.zeros((1, 2)), [0], ignore_index=1.0)


# ---- every layout, every size --------------------------------------------------------------


def misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


def strided(array):
    return np.repeat(np.repeat(array, 2, axis=-1), 2, axis=0)[::2, ..., ::2]


LAYOUTS = {
    "misaligned": misaligned,
    "swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "strided": strided,
    "reversed": lambda array: array[::-1].copy()[::-1],
    "fortran": np.asfortranarray,
    "list": lambda array: array.tolist(),
    "read-only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "loss",
    [
        losses.mse,
        losses.bce_with_logits,
        losses.cross_entropy,
        lambda p, t, **options: losses.quantile(p, t, quantiles=[0.2, 0.6, 0.9], **options),
    ],
)
def test_any_layout_gives_the_same_bits(loss, layout, dtype):
    rng = np.random.default_rng(2)
    prediction = rng.standard_normal((4, 5, 3)).astype(dtype)
    target, shape = rng.random((4, 5, 3)).astype(dtype), (4, 5)
    if loss is losses.cross_entropy:
        target = rng.integers(0, 3, shape)
    elif loss not in (losses.mse, losses.bce_with_logits):
        target = target[..., 0]
    weights = rng.random(shape)
    mask = rng.random(shape) < 0.8
    plain = loss(prediction, target, weights=weights, mask=mask)
    change = LAYOUTS[layout]
    if layout == "list":  # numbers of Python are float64
        plain = loss(prediction.astype(np.float64), target, weights=weights, mask=mask)
    value, gradient = loss(
        change(prediction),
        change(target),
        weights=change(weights),
        mask=change(mask) if layout not in ("misaligned", "swapped") else mask,
    )
    assert value == plain[0]
    assert gradient.dtype == plain[1].dtype
    assert np.array_equal(gradient, plain[1])


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0), (0, 0)])
@pytest.mark.parametrize("loss", [*ELEMENTWISE, losses.cross_entropy])
def test_a_loss_of_nothing_is_zero(loss, shape):
    """An empty batch, or one without steps: the gradient is zeros of the right shape."""
    prediction = np.zeros((*shape, 2), np.float32)
    target = np.zeros(shape, int) if loss is losses.cross_entropy else prediction
    value, gradient = loss(prediction, target, mask=np.zeros(shape, bool))
    assert (value, value.weight) == (0, 0)
    assert gradient.shape == prediction.shape
    assert gradient.dtype == np.float32


def test_quantiles_of_nothing():
    value, gradient = losses.quantile(
        np.zeros((0, 3, 2)), np.zeros((0, 3)), quantiles=[0.1, 0.9]
    )
    assert (value, value.weight, gradient.shape) == (0, 0, (0, 3, 2))


# ---- weights of any size -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e38, 3e38, 1e60, 8e306])
def test_only_the_ratio_of_weights_counts(scale, dtype):
    """Also where their sum, or they themselves, are beyond float32."""
    prediction, target = np.array([1.0, 2.0, 3.0], dtype), np.zeros(3, dtype)
    weights = np.array([2.0, 1.0, 1.0])
    value, gradient = losses.mse(prediction, target, weights=weights * scale)
    assert value == pytest.approx((2 * 1 + 4 + 9) / 4, rel=1e-6)
    np.testing.assert_allclose(gradient, [1.0, 1.0, 1.5], rtol=1e-6)
    assert value.weight == pytest.approx(4 * scale)
    logits = np.array([[0.0, 1.0], [2.0, 0.0], [0.5, 0.0]], dtype)
    plain = losses.cross_entropy(logits, [0, 1, 1], weights=weights)
    scaled = losses.cross_entropy(logits, [0, 1, 1], weights=weights * scale)
    assert scaled[0] == pytest.approx(plain[0], rel=1e-6)
    np.testing.assert_allclose(scaled[1], plain[1], rtol=1e-6)
    plain = losses.cross_entropy(logits, [0, 1, 1], class_weight=[1.0, 3.0])
    scaled = losses.cross_entropy(logits, [0, 1, 1], class_weight=[scale, 3 * scale])
    assert scaled[0] == pytest.approx(plain[0], rel=1e-6)
    np.testing.assert_allclose(scaled[1], plain[1], rtol=1e-6)


def test_weights_without_a_finite_sum_are_refused():
    with pytest.raises(ValueError, match="weights must have a sum that is finite"):
        losses.mse([1.0, 2.0], [0.0, 0.0], weights=[1.7e308, 1.7e308])
    with pytest.raises(
        ValueError, match="class_weight must have a sum over the targets that is"
    ):
        losses.cross_entropy(np.zeros((2, 2)), [0, 0], class_weight=[1.7e308, 1.0])


def test_weights_of_float32_keep_their_bits():
    """Shares are computed in double precision, and rounded once."""
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 9, 1000).astype(np.float32)
    prediction = rng.standard_normal(1000).astype(np.float32)
    _, gradient = losses.mse(prediction, np.zeros(1000, np.float32), weights=weights)
    expected = 2 * prediction * (weights / weights.sum())
    assert np.array_equal(gradient, expected)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        ([[True], [True, False]], ValueError, "mask: "),
        (["yes", "no"], TypeError, "mask must be numeric"),
        (np.ma.array([True, False], mask=[True, False]), TypeError, "mask is a masked array"),
        (np.array([1, 0]), TypeError, r"mask must be an array of bool, got dtype int\d\d"),
    ],
)
def test_masks_are_refused_by_name(mask, error, message):
    with pytest.raises(error, match=message):
        losses.mse([1.0, 2.0], [1.0, 2.0], mask=mask)


def test_an_empty_list_is_a_mask_of_nothing():
    assert losses.mse(np.zeros((0, 2)), np.zeros((0, 2)), mask=[])[0] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huber_with_a_delta_beyond_the_precision_is_half_the_squared_error(dtype):
    value, gradient = losses.huber(np.array([3.0], dtype), np.array([0.0], dtype), delta=1e300)
    assert (value, gradient.tolist(), gradient.dtype) == (4.5, [3.0], dtype)
