"""What a Sequential does with one sequence without a batch axis, and with what is no input."""

import numpy as np
import pytest

from pygru import (
    GRU,
    AttentionOverTime,
    Dropout,
    Embedding,
    FeatureScale,
    Last,
    Linear,
    Masking,
    MaxOverTime,
    MeanOverTime,
    Sequential,
)

X = np.random.default_rng(0).standard_normal((3, 7, 4))
TOLD = {"lengths": [2], "mask": [True] * 7, "reset": np.zeros((7, 4), bool)}
BEGINS = {
    "gru": (),
    "scale": (FeatureScale(4),),
    "dropout": (Dropout(0.1),),
    "masking": (Masking(),),
}


def gru(**options):
    return GRU(4, 5, batch_first=True, seed=0, dtype="float64", **options)


def model(*begin):
    return Sequential(*begin, gru(), Linear(5, 2, seed=0, dtype="float64"))


def test_one_sequence_runs_as_a_batch_of_one():
    np.testing.assert_array_equal(model()(X[0]), model()(X[:1])[0])
    assert model()(X[0].tolist()).shape == (7, 2)


@pytest.mark.parametrize("begin", BEGINS)
@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("x", [X[0], X[0].tolist(), list(X[0])], ids=["array", "list", "rows"])
def test_one_sequence_with_lengths_or_flags_is_refused(begin, name, x):
    made, told = model(*BEGINS[begin]), {name: TOLD[name]}
    text = r"^x must have 3 dimensions \(batch, time, features\), got 2; .* x\[np.newaxis\]$"
    for call in (made, made.forward, made.infer, lambda x, **told: made.run(x, None, **told)):
        with pytest.raises(ValueError, match=text):
            call(x, **told)


def test_the_advice_gives_zeros_after_the_end():
    y = model()(X[:1], lengths=[2])
    np.testing.assert_array_equal(y[0, :2], model()(X[0, :2]))
    np.testing.assert_array_equal(y[0, 2:], np.zeros((5, 2)))


def test_one_sequence_of_tokens_is_refused():
    tokens = Sequential(Embedding(9, 4), GRU(4, 5, batch_first=True), Linear(5, 2), seed=0)
    with pytest.raises(ValueError, match=r"2 dimensions \(batch, time\), got 1; one .*newaxis"):
        tokens(np.arange(4), lengths=[2])
    assert tokens(np.arange(4)[np.newaxis], lengths=[2]).shape == (1, 4, 2)


@pytest.mark.parametrize(
    "after", [Last(), MeanOverTime(), MaxOverTime(), AttentionOverTime(5, dtype="float64")]
)
def test_one_sequence_before_a_layer_that_needs_a_batch(after):
    made = Sequential(gru(), after)
    if isinstance(after, Last):
        with pytest.raises(ValueError, match=r"^layers\[0\].* before a Last, got 2; one"):
            made(X[0])
    for call in (made, made.forward):
        with pytest.raises(ValueError, match=r"(2|\(7, 5\)); one sequence is x\[np.newaxis\]$"):
            call(X[0])
    assert made(X[0][np.newaxis]).shape == (1, 5)


@pytest.mark.parametrize("wrong", [None, 3])
def test_an_item_that_is_no_sequence_is_named(wrong):
    with pytest.raises(TypeError, match=rf"^x\[1\] must be .*, got {type(wrong).__name__}$"):
        model()([X[0], wrong, X[1]])


@pytest.mark.parametrize("x", [[], ()])
def test_an_empty_list_is_called_so(x):
    for call in (model(), model().forward, gru(), gru().forward):
        with pytest.raises(ValueError, match=r"x must hold at least one .*, got an empty list"):
            call(x)


def test_backward_says_that_it_needs_a_tape():
    made = model()
    y, tape = made.forward(X)
    for wrong, got in [
        (None, "NoneType"),
        (tape[:1], "list of length 1"),
        ((y, tape), "tuple of length 2"),
    ]:
        with pytest.raises(RuntimeError, match=f"^backward.. needs a tape .*; got {got}$"):
            made.backward(wrong, y)
    assert not any(grads.any() for grads in made.grads.values())
