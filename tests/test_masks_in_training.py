"""mask= and reset= of the Trainer: what counts in a loss, what is looked at, what is resumed.

Right values come from data without the steps that do not count, and from single sequences per
episode. These tests fail if a masked step counts in a loss or a metric, if its input or its
target is looked at, if flags and samples are shuffled apart, or if a checkpoint does not notice
other flags.
"""

import numpy as np
import pytest

import pygru
from pygru import GRU, SGD, Embedding, Last, Linear, Masking, Sequential, Trainer

RNG = np.random.default_rng(0)
N, T, I = 7, 6, 2
X = RNG.standard_normal((N, T, I))
Y = RNG.standard_normal((N, T, 1))
MASK = RNG.random((N, T)) < 0.6
MASK[:, 2] = True
MASK[3] = [False, False, True, False, False, False]
LENGTHS = np.array([6, 4, 6, 3, 6, 5, 3])
VALID = np.arange(T) < LENGTHS[:, np.newaxis]
COUNTED = MASK & VALID
SHORT = [x[counted] for x, counted in zip(X, COUNTED, strict=True)]
DIRTY_X = np.where(COUNTED[..., np.newaxis], X, np.nan)
DIRTY_Y = np.where(COUNTED[..., np.newaxis], Y, np.nan)


def every_step(outputs=1, first=()):
    gru = GRU(I, 3, batch_first=True, dtype="float64")
    return Sequential(*first, gru, Linear(3, outputs, dtype="float64"), seed=0)


def last_step():
    gru = GRU(I, 3, batch_first=True, dtype="float64")
    return Sequential(gru, Last(), Linear(3, 1, dtype="float64"), seed=0)


def trainer_of(model, **options):
    return Trainer(model, optimizer=SGD(0.1), seed=3, **options)


def assert_same_weights(first, second):
    for name, array in first.model.state_dict().items():
        np.testing.assert_allclose(
            array, second.model.state_dict()[name], rtol=1e-9, atol=1e-12, err_msg=name
        )


def fit(trainer, *data, **options):
    options = {"epochs": 2, "batch_size": 3, "progress": False, **options}
    trainer.fit(*data, **options)
    return trainer


def test_masked_steps_count_in_no_loss_and_are_not_looked_at():
    y = [each[counted] for each, counted in zip(Y, COUNTED, strict=True)]
    right = fit(trainer_of(every_step()), SHORT, y)
    found = fit(trainer_of(every_step()), DIRTY_X, DIRTY_Y, mask=MASK, lengths=LENGTHS)
    assert_same_weights(found, right)
    assert found.history["loss"] == pytest.approx(right.history["loss"], rel=1e-12)
    lists = [
        [a[:n] for a, n in zip(array, LENGTHS, strict=True)]
        for array in (DIRTY_X, DIRTY_Y, MASK)
    ]
    listed = fit(trainer_of(every_step()), *lists[:2], mask=lists[2])
    assert_same_weights(listed, right)
    value = found.evaluate(DIRTY_X, DIRTY_Y, mask=MASK, lengths=LENGTHS, batch_size=2)
    assert value == pytest.approx(right.evaluate(SHORT, y), rel=1e-12)


def test_a_model_of_one_output_per_sequence():
    y = Y[:, 0, 0]
    right = fit(trainer_of(last_step()), SHORT, y)
    found = fit(trainer_of(last_step()), DIRTY_X, y, mask=MASK, lengths=LENGTHS)
    assert_same_weights(found, right)
    np.testing.assert_allclose(
        found.predict(DIRTY_X, mask=MASK, lengths=LENGTHS), right.predict(SHORT), rtol=1e-12
    )


def test_steps_that_the_model_leaves_out_do_not_count_either():
    marked = np.where(MASK[..., np.newaxis], X, 9.0)
    right = fit(trainer_of(every_step()), X, Y, mask=MASK)
    found = fit(trainer_of(every_step(first=[Masking(9.0)])), marked, Y)
    for name, array in right.model.state_dict().items():
        index, _, rest = name.partition(".")
        other = found.model.state_dict()[f"{int(index) + 1}.{rest}"]
        assert not np.array_equal(array, other)  # their seeds differ
    found.model.load_state_dict(
        {f"{int(n[0]) + 1}{n[1:]}": a for n, a in right.model.state_dict().items()}
    )
    value = right.evaluate(X, Y, mask=MASK)
    assert found.evaluate(marked, Y) == pytest.approx(value, rel=1e-12)
    assert value != pytest.approx(right.evaluate(X, Y))
    results = [
        fit(trainer_of(found.model), marked, Y, epochs=1),
        fit(trainer_of(right.model), X, Y, mask=MASK, epochs=1),
    ]
    losses = [trainer.history["loss"][0] for trainer in results]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_metrics_and_classes_leave_masked_steps_out():
    labels = np.array(["a", "b"])[(X[..., 0] > 0).astype(int)]
    labels[~COUNTED] = "never"
    trainer = trainer_of(every_step(2), loss="cross_entropy", metrics=["accuracy"])
    fit(
        trainer,
        DIRTY_X,
        labels,
        mask=MASK,
        lengths=LENGTHS,
        validation=(DIRTY_X, labels, LENGTHS, None, MASK),
    )
    assert trainer.classes.tolist() == ["a", "b"]
    found = trainer.evaluate(DIRTY_X, labels, mask=MASK, lengths=LENGTHS, return_dict=True)
    chosen = trainer.predict_classes(X, mask=MASK)
    assert found["accuracy"] == pytest.approx((chosen == labels)[COUNTED].mean())
    assert trainer.history["val_accuracy"][-1] == pytest.approx(found["accuracy"])


def test_validation_split_and_batches_of_ones_own():
    right = fit(trainer_of(every_step()), X, Y, mask=MASK, validation_split=0.3, shuffle=False)
    batches = [
        (X[:3], Y[:3], None, None, MASK[:3]),
        (X[3:4], Y[3:4], None, None, MASK[3:4]),
    ]
    found = fit(
        trainer_of(every_step()),
        batches,
        batch_size=None,
        validation=(X[4:], Y[4:], None, None, MASK[4:]),
    )
    assert_same_weights(found, right)
    assert found.history["val_loss"] == pytest.approx(right.history["val_loss"], rel=1e-12)


class OnDisk:
    """Like an array of h5py: it is read by slices."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key):
        assert isinstance(key, slice)
        return self.array[key]


def test_data_that_are_not_in_memory():
    right = fit(trainer_of(every_step()), X, Y, mask=MASK)
    found = fit(
        trainer_of(every_step()),
        OnDisk(np.where(MASK[..., None], X, np.nan)),
        OnDisk(Y[..., 0]),
        mask=MASK,
    )
    assert_same_weights(found, right)


def test_tokens_at_masked_steps_may_be_anything():
    tokens = RNG.integers(0, 5, (N, T))
    model = Sequential(
        Embedding(5, 2), GRU(2, 3, batch_first=True), Last(), Linear(3, 1), seed=0
    )
    right = trainer_of(model).predict(tokens, mask=MASK)
    tokens[~MASK] = -7
    np.testing.assert_array_equal(trainer_of(model).predict(tokens, mask=MASK), right)


def test_windows_and_resets():
    """In windows of one length with the episodes, training is that on single episodes."""
    reset = np.zeros((2, T), bool)
    reset[:, 3] = True
    model = every_step()
    trainer = fit(trainer_of(model), X[:2], Y[:2], reset=reset, bptt_steps=3, batch_size=2)
    other = trainer_of(every_step())
    for _ in range(2):
        for begin in (0, 3):
            window = slice(begin, begin + 3)
            fit(other, X[:2, window], Y[:2, window], epochs=1, batch_size=2)
    assert_same_weights(trainer, other)
    y = trainer.predict(X[:2], reset=reset)
    np.testing.assert_array_equal(y[:, 3:], trainer.predict(X[:2, 3:]))


def test_a_checkpoint_notices_another_mask(tmp_path):
    path = tmp_path / "checkpoint.safetensors"

    class Stop(pygru.Callback):
        def on_batch_end(self, trainer, loss, sequences):
            trainer.save_checkpoint(path)
            raise KeyboardInterrupt

    trainer = trainer_of(every_step(), callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, X, Y, mask=MASK)
    again = trainer_of(every_step())
    again.resume(path)
    with pytest.raises(ValueError, match="data"):
        fit(again, X, Y, mask=MASK & VALID)
    again = trainer_of(every_step())
    again.resume(path)
    assert_same_weights(
        fit(again, X, Y, mask=MASK), fit(trainer_of(every_step()), X, Y, mask=MASK)
    )


@pytest.mark.parametrize(
    "data, error, text",
    [
        ({"mask": MASK.T}, ValueError, r"mask must have shape \(N=7, T=6\), got \(6, 7\)"),
        ({"mask": MASK.astype(int)}, TypeError, "mask must be an array of bool"),
        ({"reset": [MASK[0]]}, ValueError, r"reset must have shape \(N=7, T=6\), got \(1, 6\)"),
        (
            {"validation": (X, Y, None, None, MASK[:2])},
            ValueError,
            r"validation\[4\] must have shape",
        ),
        ({"validation": (X, Y, None, None, None, None, 1)}, TypeError, "got tuple of 7"),
    ],
)
def test_bad_flags(data, error, text):
    with pytest.raises(error, match=text):
        fit(trainer_of(every_step()), X, Y, **data)


def test_flags_need_steps_and_a_list_needs_a_list():
    with pytest.raises(ValueError, match="mask needs X with a time axis"):
        fit(trainer_of(Sequential(Linear(2, 1))), X[:, 0], Y[:, 0], mask=MASK[:, 0])
    with pytest.raises(ValueError, match="mask must be a list of 7 arrays"):
        fit(trainer_of(last_step()), SHORT, Y[:, 0], mask=MASK)
    pairs = {"source": np.ones((2, 3), int), "target": np.ones((2, 3), int)}
    model = pygru.Seq2Seq(4, 4, 2, 2)
    with pytest.raises(ValueError, match="mask must be None for pairs of source and target"):
        Trainer(model, loss="cross_entropy").fit(pairs, np.ones((2, 3), int), mask=MASK[:2, :3])


def test_the_search_for_a_learning_rate_takes_a_mask():
    found = pygru.find_learning_rate(
        trainer_of(every_step()), DIRTY_X, DIRTY_Y, mask=MASK, lengths=LENGTHS, steps=5
    )
    assert np.isfinite(found.losses).all()
