"""Targets that no loss can learn are refused and their place is named, if they count at all."""

import functools

import numpy as np
import pytest

from pygru import losses

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize("bad", [2.0, -0.1, np.nextafter(1.0, 2), NAN, INF])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bce_learns_probabilities_only(bad, dtype):
    """Labels 1 and 2 would train to a loss without a lower bound."""
    target = np.array([[0.0, 0.3], [1.0, bad]])
    logits = np.zeros((2, 2), np.float64 if bad == np.nextafter(1.0, 2) else dtype)
    with pytest.raises(
        ValueError, match=r"^target\[1, 1\] = .* must be in \[0, 1\] for bce_with"
    ):
        losses.bce_with_logits(logits, target)
    for hidden in ({"mask": np.arange(4).reshape(2, 2) < 3}, {"weights": [[1, 1], [1, 0]]}):
        value, gradient = losses.bce_with_logits(logits, target, **hidden)
        assert value == pytest.approx(np.log(2))
        assert gradient[1, 1] == 0


def test_bce_takes_soft_targets_and_booleans():
    soft, gradient = losses.bce_with_logits([0.0, 0.0], [0.25, 1.0])
    assert soft == pytest.approx(np.log(2))
    np.testing.assert_allclose(gradient, [0.125, -0.25])
    hard = losses.bce_with_logits([0.0, 0.0], [False, True])
    assert hard[0] == losses.bce_with_logits([0.0, 0.0], [0, 1])[0]


@pytest.mark.parametrize("shape", [(1,), (3, 1), (0, 1), (2, 0, 1)])
def test_cross_entropy_of_one_class_is_refused(shape):
    with pytest.raises(
        ValueError, match="at least 2 classes, got 1: the loss would always be 0"
    ):
        losses.cross_entropy(np.zeros(shape), np.zeros(shape[:-1], int))


@pytest.mark.parametrize(
    ("target", "place"),
    [([[0, 1], [2, 5]], r"target\[1, 1\] = 5"), ([[0, -1], [2, 3]], r"target\[0, 1\] = -1")],
)
@pytest.mark.parametrize("dtype", [np.int64, np.int8])
def test_a_class_out_of_bounds_is_named_by_its_place(target, place, dtype):
    with pytest.raises(ValueError, match=f"^{place} is out of bounds for 4 classes"):
        losses.cross_entropy(np.zeros((2, 2, 4)), np.array(target, dtype))
    counts = np.array([[True, False], [True, False]])
    losses.cross_entropy(np.zeros((2, 2, 4)), np.array(target, dtype), mask=counts)


# ---- all targets of a data set at once -----------------------------------------------------

BCE, CE = losses.bce_with_logits, losses.cross_entropy
LIST = [np.array([0.0, 1.0]), np.array([1.0]), np.array([0.0, 0.5, 3.0])]
IGNORING = functools.partial(CE, ignore_index=-1)


@pytest.mark.parametrize(
    ("loss", "y", "options", "error", "message"),
    [
        (BCE, np.array([[0.0], [1.0], [2.0]]), {}, ValueError, r"^y\[2, 0\] = 2.0 must be in"),
        (BCE, np.array([0, 1, 2]), {}, ValueError, r"^y\[2\] = 2 must be in \[0, 1\]"),
        (BCE, LIST, {}, ValueError, r"^y\[2\]\[2\] = 3.0 must be in \[0, 1\]"),
        (BCE, LIST, {"name": "val"}, ValueError, r"^val\[2\]\[2\] = 3.0"),
        (BCE, [0.0, 1.5], {}, ValueError, r"^y\[1\] = 1.5 must be"),
        (
            BCE,
            np.array([[0.0, 9.0], [0.0, 7.0]]),
            {"lengths": [1, 2]},
            ValueError,
            r"^y\[1\]\[1\] = 7.0 must be",
        ),
        (
            losses.mse,
            np.array([[0.0, NAN]]),
            {},
            ValueError,
            r"^Input y contains NaN: y\[0, 1\]",
        ),
        (
            losses.mae,
            np.array([[0.0, INF]]),
            {},
            ValueError,
            r"^Input y contains infinity: y\[",
        ),
        (
            functools.partial(losses.huber, delta=2.0),
            [np.zeros((2, 2)), np.full((1, 2), NAN)],
            {},
            ValueError,
            r"^Input y contains NaN: y\[1\]\[0, 0\] = nan",
        ),
        (
            functools.partial(losses.quantile, quantiles=[0.5]),
            np.array([NAN]),
            {},
            ValueError,
            "contains NaN",
        ),
        (CE, np.array([0.0, 1.0]), {}, TypeError, "y must be integers, got dtype float64"),
        (CE, np.array([0, -1]), {}, ValueError, r"^y\[1\] = -1 must be a class >= 0"),
        (
            CE,
            np.array([0, 7]),
            {"classes": 7},
            ValueError,
            r"^y\[1\] = 7 is out of bounds for 7",
        ),
        (CE, np.array([0, 0]), {"classes": 1}, ValueError, "at least 2 classes, got 1"),
        (IGNORING, np.array([[0, -1], [-2, 0]]), {}, ValueError, r"^y\[1, 0\] = -2 must be"),
        (
            functools.partial(functools.partial(CE, ignore_index=-1), label_smoothing=0.1),
            [np.array([0, -1]), np.array([3])],
            {"classes": 3},
            ValueError,
            r"^y\[1\]\[0\] = 3 is out of bounds for 3 classes",
        ),
    ],
)
def test_the_first_target_that_cannot_be_learned(loss, y, options, error, message):
    with pytest.raises(error, match=message):
        losses.check_targets(loss, y, **options)


@pytest.mark.parametrize(
    ("loss", "y", "options"),
    [
        (BCE, np.array([0.0, 0.5, 1.0]), {}),
        (BCE, np.array([True, False]), {}),
        (BCE, np.array([[0.0, 9.0], [0.0, 0.7]]), {"lengths": [1, 2]}),
        (losses.mse, np.array([3, 2]), {}),
        (losses.mse, np.array([[1.0, NAN], [INF, NAN]]), {"lengths": [1, 0]}),
        (losses.mse, np.array([1.0, 2.0]), {"lengths": [1, 0]}),  # one target per sequence
        (functools.partial(losses.mse, weights=[1.0, 0.0]), np.array([1.0, NAN]), {}),
        (functools.partial(losses.mse, mask=[True, False]), np.array([1.0, NAN]), {}),
        (lambda prediction, target, *, mask: (0, 0), np.array([NAN]), {}),
        (CE, np.array([0, 6], np.uint8), {"classes": 7}),
        (CE, [np.array([0, 6]), np.array([], int)], {"classes": 7}),
        (IGNORING, np.array([0, -1]), {"classes": 2}),
        (BCE, np.zeros((0, 3)), {}),
    ],
)
def test_targets_that_can_be_learned(loss, y, options):
    losses.check_targets(loss, y, **options)


def test_an_own_loss_may_be_any_object():
    class Loss:
        __hash__ = None

        def __call__(self, prediction, target, *, mask):
            return 0, 0

    losses.check_targets(Loss(), np.array([NAN]))
