"""``fit`` with batches that the user makes, from a function or an object that can be iterated.

The reference is the same training with arrays and without shuffling.
"""

import re

import numpy as np
import pytest

from pygru import (
    GRU,
    Adam,
    Callback,
    DivergenceError,
    Dropout,
    EarlyStopping,
    FormatError,
    Last,
    Linear,
    Seq2Seq,
    Sequential,
    Trainer,
    find_learning_rate,
    losses,
)
from pygru.io.native import CLASSES
from pygru.train import checkpoint_file, restoring

RNG = np.random.default_rng(0)
N, SIZE = 23, 6  # the last batch has 5 samples
X = RNG.standard_normal((N, 7, 2))
y = X.sum(axis=1)
W = RNG.random(N)
LENGTHS = RNG.integers(1, 8, N)
STARTS = range(0, N, SIZE)


def model_of(outputs=2, per_step=False):
    layers = [GRU(2, 4, batch_first=True, dtype="float64"), Dropout(0.2), Last()]
    if per_step:
        del layers[2]
    return Sequential(*layers, Linear(4, outputs, dtype="float64"), seed=0)


def trainer_of(loss="mse", outputs=2, per_step=False, **options):
    return Trainer(
        model_of(outputs, per_step), loss=loss, optimizer=Adam(0.02), seed=0, **options
    )


def slices(*arrays):
    """The batches of some arrays."""
    return [tuple(array[i : i + SIZE] for array in arrays) for i in STARTS]


class Again:
    """An object that can be iterated again and has nothing else."""

    def __init__(self, batches):
        self._batches = batches

    def __iter__(self):
        return iter(self._batches)


WAYS = {
    "list": lambda batches: batches,
    "tuple": tuple,
    "object": Again,
    "function": lambda batches: lambda: iter(batches),
    "generator function": lambda batches: lambda: (each for each in batches),
    "function of the epoch": lambda batches: lambda epoch: batches,
    "lists as items": lambda batches: Again([list(each) for each in batches]),
}


def assert_same(trainer, other):
    for name, view in trainer.model.parameters.items():
        np.testing.assert_array_equal(view, other.model.parameters[name], err_msg=name)


def without_seconds(history):
    return [{k: v for k, v in each.items() if k != "seconds"} for each in history.records]


@pytest.mark.parametrize("way", WAYS)
def test_batches_train_like_the_arrays_they_are_cut_from(way):
    arrays, batches = trainer_of(metrics=["mae"]), trainer_of(metrics=["mae"])
    options = {"epochs": 3, "validation": (X[:9], y[:9])}
    expected = arrays.fit(X, y, batch_size=SIZE, shuffle=False, **options)
    found = batches.fit(WAYS[way](slices(X, y)), **options)
    assert_same(arrays, batches)
    assert found["sequences"] == [N] * 3
    for one, other in zip(without_seconds(expected), without_seconds(found), strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"val_loss", "val_mae"}:  # those have other batches
            assert one[name] == other[name], name
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-12)


def test_lengths_and_weights_are_the_third_and_fourth_item():
    expected, found = trainer_of(per_step=True), trainer_of(per_step=True)
    expected.fit(
        X, X, batch_size=SIZE, shuffle=False, lengths=LENGTHS, sample_weight=W, epochs=2
    )
    found.fit(slices(X, X, LENGTHS, W), epochs=2)
    assert_same(expected, found)
    expected, found = trainer_of(), trainer_of()
    expected.fit(X, y, batch_size=SIZE, shuffle=False, sample_weight=W)
    found.fit([(a, b, None, c) for a, b, c in slices(X, y, W)])
    assert_same(expected, found)


def test_ragged_lists_one_dimensional_targets_and_windows():
    sequences = [x[:length] for x, length in zip(X, LENGTHS, strict=True)]
    for outputs, loss, targets in (
        (1, "mse", [x[:, 0] for x in sequences]),
        (2, "cross_entropy", [(x[:, 0] > 0).astype(int) for x in sequences]),
        (1, "bce_with_logits", [x[:, 0] > 0 for x in sequences]),
    ):
        for bptt_steps in (None, 3):
            expected = trainer_of(loss, outputs, per_step=True)
            found = trainer_of(loss, outputs, per_step=True)
            expected.fit(
                sequences, targets, batch_size=SIZE, shuffle=False, bptt_steps=bptt_steps
            )
            found.fit(slices(sequences, targets), bptt_steps=bptt_steps)
            assert_same(expected, found)
    expected, found = trainer_of(outputs=1), trainer_of(outputs=1)
    expected.fit(X, y[:, 0], batch_size=SIZE, shuffle=False)
    found.fit(slices(X, y[:, 0]))
    assert_same(expected, found)


def test_labels_of_batches_need_classes():
    names = np.array(["a", "b"])[(y[:, 0] > 0) * 1]
    with pytest.raises(ValueError, match="knows no classes: pass classes= to the Trainer"):
        trainer_of("cross_entropy").fit(slices(X, names))
    expected = trainer_of("cross_entropy")
    expected.fit(X, names, batch_size=SIZE, shuffle=False)
    found = trainer_of("cross_entropy", classes=["a", "b"])
    found.fit(slices(X, names))
    assert_same(expected, found)


def test_pairs_of_source_and_target():
    def model():
        return Seq2Seq(5, 5, 3, 4, seed=0)

    pairs = [([[2, 3], [4]], [[3, 2], [4, 4]]), ([[3, 2, 2]], [[2]])]
    batches = [model().training_data(*pair) for pair in pairs]
    sources, targets = ([s for pair in pairs for s in pair[i]] for i in (0, 1))
    expected, found = (Trainer(model(), loss="cross_entropy", seed=0) for _ in range(2))
    expected.fit(*model().training_data(sources, targets), batch_size=2, shuffle=False)
    found.fit(batches)
    assert_same(expected, found)


def test_only_one_batch_is_in_memory():
    import tracemalloc

    def batches():
        for _ in range(40):
            block = np.ones((8, 100, 16), np.float32)  # 51 kB; all of them are 2 MB
            yield block, block[:, 0, :1]

    model = Sequential(GRU(16, 2, batch_first=True), Last(), Linear(2, 1), seed=0)
    trainer = Trainer(model, seed=0)
    trainer.fit(batches)
    tracemalloc.start()
    trainer.fit(batches, epochs=2, validation=batches)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_validation_and_evaluation_take_batches():
    arrays, batches = trainer_of(metrics=["mae"]), trainer_of(metrics=["mae"])
    expected = arrays.fit(X, y, epochs=2, validation=(X, y), batch_size=SIZE)
    for validation in (lambda: slices(X, y), Again(slices(X, y)), slices(X, y)):
        batches = trainer_of(metrics=["mae"])
        found = batches.fit(X, y, epochs=2, validation=validation, batch_size=SIZE)
        assert without_seconds(found) == without_seconds(expected)
    for source in (slices(X, y), lambda: slices(X, y), iter(slices(X, y))):
        assert batches.evaluate(source, return_dict=True) == arrays.evaluate(
            X, y, batch_size=SIZE, return_dict=True
        )


def test_few_batches_in_a_list_are_no_pair():
    for count in (1, 2, 3, 4):
        size = -(-len(X) // count)
        batches = [
            (X[first : first + size], y[first : first + size])
            for first in range(0, len(X), size)
        ]
        trainer = trainer_of()
        history = trainer.fit(X, y, validation=batches)
        assert len(batches) == count
        np.testing.assert_allclose(history["val_loss"][0], trainer.evaluate(X, y), rtol=1e-5)


def test_batches_to_predict_are_refused():
    trainer = trainer_of()
    for source in (lambda: slices(X, y), iter(slices(X, y)), Again(slices(X, y))):
        with pytest.raises(TypeError, match="X must be an array or a list of arrays, got"):
            trainer.predict(source)


def test_the_search_for_a_learning_rate_takes_batches():
    found = find_learning_rate(trainer_of(), slices(X, y), steps=9)
    assert len(found.rates) == 9


# ---- iterators that can be read once ---------------------------------------------------------


def test_an_iterator_is_good_for_one_epoch():
    expected, found = trainer_of(), trainer_of()
    expected.fit(X, y, batch_size=SIZE, shuffle=False)
    once = (each for each in slices(X, y))
    found.fit(once)
    assert_same(expected, found)
    with pytest.raises(ValueError, match="X has no batch in epoch 0"):
        found.fit(once)


def test_an_iterator_for_several_epochs_is_refused_before_the_first():
    trainer = trainer_of()
    before = trainer.model.state_dict()
    with pytest.raises(ValueError, match="X is an iterator, which can be read only once"):
        trainer.fit(iter(slices(X, y)), epochs=2)
    for name, view in trainer.model.parameters.items():
        np.testing.assert_array_equal(view, before[name])
    with pytest.raises(ValueError, match="validation is an iterator, which has been read"):
        trainer.fit(X, y, epochs=2, validation=iter(slices(X, y)))


def test_a_function_that_returns_the_same_iterator_is_refused_in_the_second_epoch():
    once = iter(slices(X, y))
    trainer = trainer_of()
    with pytest.raises(ValueError, match="X has no batch in epoch 1; a function must return a"):
        trainer.fit(lambda: once, epochs=2)
    assert len(trainer.history) == 1  # the first epoch is kept


# ---- what is no batch ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (list, ValueError, "X has no batch in epoch 0"),
        (Again([]), ValueError, "X has no batch in epoch 0"),
        (lambda: None, TypeError, "X must return an iterator over batches, got NoneType"),
        (lambda: 5, TypeError, "X must return an iterator over batches, got int"),
        (lambda: [X], TypeError, r"X\[0\] must be a tuple \(X, y\), .*, got ndarray"),
        (lambda: [(X,)], TypeError, r"X\[0\] must be a tuple .*, got tuple of 1"),
        (lambda: [(X, y, *[None] * 5)], TypeError, "got tuple of 7"),
        (lambda: [(X, y), (X, y[:3])], ValueError, r"numbers of samples: \[23, 3\]"),
        (lambda: [(X, y), (X[:0], y[:0])], ValueError, "Found array with 0 sample"),
        (lambda: [(X, y), (X[..., :1], y)], ValueError, "GRU|input_size"),
        (lambda: [(X, y), (X, y[:, :1])], ValueError, "target must have the shape"),
        (lambda a, b: None, TypeError, "of the number of the epoch, but it needs a, b"),
        (lambda *, key: None, TypeError, "but it needs key"),
    ],
)
def test_what_gives_no_batches_is_refused(batches, error, message):
    with pytest.raises(error, match=message):
        trainer_of().fit(batches)


def test_the_message_names_the_batch_and_the_place():
    bad = X.copy()
    bad[20, 3, 1] = np.nan  # sample 2 of batch 3
    with pytest.raises(
        ValueError, match=re.escape("Input X[3][0] contains NaN: X[3][0][2, 3,")
    ):
        trainer_of().fit(slices(bad, y))
    bad = y.copy()
    bad[7, 1] = np.inf
    trainer = trainer_of()
    with pytest.raises(ValueError, match=re.escape("infinity: X[1][1][1, 1] = inf")):
        trainer.fit(slices(X, bad))
    assert trainer.optimizer.steps == 1  # the step of the batch before is kept
    with pytest.raises(ValueError, match=re.escape("Input validation[0][1] contains NaN")):
        trainer.fit(X, y, validation=lambda: [(X, y * np.nan)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("y", y),
        ("lengths", LENGTHS),
        ("sample_weight", W),
        ("validation_split", 0.5),
        ("batch_size", 5),
    ],
)
def test_arguments_that_batches_have_themselves_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be None if X gives batches"):
        trainer_of().fit(lambda: slices(X, y), **{name: value})


def test_arrays_still_need_targets():
    for data in (X, list(X), [x.tolist() for x in X]):
        with pytest.raises(TypeError, match="y must be array-like of numbers, got NoneType"):
            trainer_of().fit(data)


def test_divergence_names_the_number_in_the_batch():
    trainer = trainer_of()
    with pytest.raises(DivergenceError, match="epoch 0, batch 1"):
        trainer.fit(slices(X, np.where(np.arange(N)[:, None] == 8, 1e300, y)))


# ---- checkpoints -----------------------------------------------------------------------------


class StopAfter(Callback):
    def __init__(self, batches):
        self.left = batches

    def on_batch_end(self, trainer, loss, sequences):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def shuffled(epoch):
    """Batches in an order of their own in every epoch."""
    order = np.random.default_rng(epoch).permutation(N)
    return slices(X[order], X[order], LENGTHS[order])


@pytest.mark.parametrize("bptt_steps", [None, 3])
@pytest.mark.parametrize("steps", [1, 3, 4, 5, 8, 11])
def test_training_resumes_inside_an_epoch_with_the_same_bits(steps, bptt_steps, tmp_path):
    def trainer(*more):
        callbacks = [EarlyStopping(9, monitor="mae"), *more]
        return trainer_of(per_step=True, metrics=["mae"], callbacks=callbacks)

    def fit(each):
        return each.fit(shuffled, epochs=3, bptt_steps=bptt_steps)

    whole, first, second = trainer(), trainer(StopAfter(steps)), trainer()
    expected = fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(first)
    first.save_checkpoint(tmp_path / "c")
    second.resume(tmp_path / "c")
    found = fit(second)
    assert without_seconds(found) == without_seconds(expected)
    assert_same(whole, second)


def checkpoint_in(tmp_path, source, steps=2):
    trainer = trainer_of(callbacks=[StopAfter(steps)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(source, epochs=2)
    trainer.save_checkpoint(tmp_path / "c")
    resumed = trainer_of()
    resumed.resume(tmp_path / "c")
    return resumed


@pytest.mark.parametrize(
    "other",
    [
        lambda: slices(X[::-1], y[::-1]),
        lambda: slices(X, y)[:1],
        lambda: [(X[:SIZE], y[:SIZE]), (X[SIZE : 2 * SIZE], y[SIZE : 2 * SIZE] + 1e-9)],
        lambda: slices(X, y, np.full(N, 7), W),
    ],
)
def test_other_batches_inside_an_epoch_are_refused(other, tmp_path):
    resumed = checkpoint_in(tmp_path, lambda: slices(X, y))
    before = resumed.model.state_dict()
    with pytest.raises(ValueError, match="inside an epoch of other batches: the first 2 of X"):
        resumed.fit(other, epochs=2)
    for name, view in resumed.model.parameters.items():
        np.testing.assert_array_equal(view, before[name])


def test_arrays_and_batches_do_not_go_on_with_each_other(tmp_path):
    resumed = checkpoint_in(tmp_path, lambda: slices(X, y))
    with pytest.raises(ValueError, match="the checkpoint was made inside an epoch"):
        resumed.fit(X, y, epochs=2, batch_size=SIZE, shuffle=True)


def test_a_damaged_place_is_refused(tmp_path):
    checkpoint_in(tmp_path, lambda: slices(X, y))
    contents = checkpoint_file.read(tmp_path / "c", CLASSES)
    for field, value in (
        ("order", np.arange(3)),
        ("window", 1),
        ("states", np.zeros((1, 2))),
        ("seen", 5),
        ("sequences", -1),
    ):
        plain = contents.state | {"position": contents.state["position"] | {field: value}}
        trainer = trainer_of()
        with pytest.raises(FormatError, match="the checkpoint is not valid: position"):
            restoring.restoring(trainer._state, contents.parameters, plain, [], trainer._setup)
    settings = contents.state["settings"] | {"samples": 3}
    with pytest.raises(FormatError, match="samples and batch_size must be None for batches"):
        restoring.restoring(
            trainer._state,
            contents.parameters,
            contents.state | {"settings": settings},
            [],
            trainer._setup,
        )


def test_losses_of_ones_own_take_batches():
    def loss(prediction, target, *, mask=None):
        return losses.mse(prediction, target)

    expected, found = trainer_of(loss), trainer_of(loss)
    expected.fit(X, y, batch_size=SIZE, shuffle=False)
    found.fit(slices(X, y))
    assert_same(expected, found)
