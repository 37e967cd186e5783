"""``pos_weight`` of the binary cross-entropy: the formula of PyTorch's documentation."""

import functools

import complex_step
import numpy as np
import pytest

from pygru import GRU, Adam, Last, Linear, Sequential, Trainer, losses


def by_formula(logits, target, pos_weight):
    """The mean of ``-(w t log(p) + (1 - t) log(1 - p))``; works for complex logits too."""
    p = 1 / (1 + np.exp(-logits))
    return -(pos_weight * target * np.log(p) + (1 - target) * np.log(1 - p)).mean()


WEIGHTS = [3.0, 0.0, 0.25, [1.0, 2.5, 40.0], [[0.5], [2.0], [1.0], [0.0]]]


@pytest.mark.parametrize("pos_weight", WEIGHTS, ids=str)
@pytest.mark.parametrize("soft", [False, True])
def test_value_and_gradient_are_those_of_the_formula(pos_weight, soft):
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((4, 3))
    target = rng.random((4, 3)) if soft else rng.integers(0, 2, (4, 3)).astype(float)
    value, gradient = losses.bce_with_logits(logits, target, pos_weight=pos_weight)
    w = np.array(pos_weight)
    assert value == pytest.approx(by_formula(logits, target, w), rel=1e-13)
    expected = complex_step.gradients(
        lambda t: by_formula(t["logits"], target, w), {"logits": logits}
    )["logits"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)


def test_a_weight_of_one_is_no_weight():
    rng = np.random.default_rng(0)
    logits, target = rng.standard_normal((2, 6)), rng.integers(0, 2, (2, 6))
    plain, gradient = losses.bce_with_logits(logits, target)
    value, weighted = losses.bce_with_logits(logits, target, pos_weight=1.0)
    assert value == pytest.approx(plain, rel=1e-15) and value.weight == plain.weight
    np.testing.assert_allclose(weighted, gradient, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_logits_stay_exact(dtype):
    """-log(sigmoid(-x)) is x, and the slope of an element that is right is exp(-x)."""
    big = np.array([-80.0, 80.0], dtype)
    value, gradient = losses.bce_with_logits(big[:1], [1.0], pos_weight=2.0)
    assert value == 160.0 and gradient.dtype == dtype and gradient[0] == -2.0
    value, gradient = losses.bce_with_logits(big[1:], [1.0], pos_weight=2.0)
    assert value == pytest.approx(2 * np.exp(-80.0), rel=1e-5)
    assert gradient[0] == pytest.approx(-2 * np.exp(-80.0), rel=1e-5)


def test_mask_and_weights_act_as_without_it():
    logits, target = np.array([[0.5, np.nan], [1.0, -2.0]]), np.array([[1.0, np.nan], [0, 1]])
    options = {"mask": [[True, False], [True, True]], "weights": [[1.0, 9.0], [2.0, 0.5]]}
    value, gradient = losses.bce_with_logits(logits, target, pos_weight=[4.0, 2.0], **options)
    single = [4 * np.log1p(np.exp(-0.5)), np.log1p(np.exp(1.0)), 2 * np.log1p(np.exp(2.0))]
    assert value == pytest.approx(np.dot(single, [1, 2, 0.5]) / 3.5, rel=1e-14)
    assert value.weight == 3.5 and gradient[0, 1] == 0


@pytest.mark.parametrize(
    ("pos_weight", "error", "message"),
    [
        (-1.0, ValueError, "pos_weight must be finite and >= 0"),
        ([1.0, np.nan], ValueError, "pos_weight must be finite and >= 0"),
        (np.inf, ValueError, "pos_weight must be finite and >= 0"),
        ([1.0, 2.0, 3.0], ValueError, r"fits that of the target \(4, 2\), got \(3,\)"),
        (np.ones((1, 4, 2)), ValueError, r"fits that of the target \(4, 2\), got \(1, 4, 2\)"),
        ("3", TypeError, "pos_weight must be numeric"),
        (1e300, ValueError, "pos_weight must be at most .* for float32"),
    ],
    ids=str,
)
def test_wrong_weights_are_refused(pos_weight, error, message):
    with pytest.raises(error, match=message):
        losses.bce_with_logits(np.zeros((4, 2), "f4"), np.ones((4, 2)), pos_weight=pos_weight)


def test_the_trainer_uses_it_and_a_checkpoint_remembers_it(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 6, 1))
    y = (X.mean(axis=1) > 0.6).astype(float)  # rare

    def trainer(pos_weight):
        model = Sequential(GRU(1, 8, batch_first=True, seed=0), Last(), Linear(8, 1, seed=0))
        loss = functools.partial(losses.bce_with_logits, pos_weight=pos_weight)
        return Trainer(model, loss=loss, optimizer=Adam(0.02), seed=0)

    found = []
    for pos_weight in (1.0, 20.0):
        each = trainer(pos_weight)
        each.fit(X, y, epochs=3, batch_size=50)
        found.append((each.predict(X) > 0).sum())
    assert found[1] > 5 * max(found[0], 1)
    each.save_checkpoint(tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=r"pos_weight=20\.0\) in the checkpoint"):
        trainer(2.0).resume(tmp_path / "c.safetensors")
    trainer(20.0).resume(tmp_path / "c.safetensors")
