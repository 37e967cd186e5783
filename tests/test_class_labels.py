"""Labels of classes: texts, truth values and integers that are no numbers of outputs.

The reference is the same training with the numbers of the outputs, made by ``np.unique``.
"""

import functools
import re

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    Adam,
    EarlyStopping,
    Embedding,
    Last,
    Linear,
    Sequential,
    Trainer,
    find_learning_rate,
    losses,
)

RNG = np.random.default_rng(0)
N = 30
X = RNG.standard_normal((N, 6, 2))
CODES = (X[:, :, 0].sum(axis=1) > 0).astype(int) + (X[:, :, 1].sum(axis=1) > 1)
NAMES = np.array(["down", "flat", "up"])


def model_of(outputs=3, per_step=False):
    layers = [GRU(2, 4, batch_first=True), Last(), Linear(4, outputs)]
    if per_step:
        del layers[1]
    return Sequential(*layers, seed=0)


def trainer_of(outputs=3, per_step=False, loss="cross_entropy", **options):
    model = model_of(outputs, per_step)
    return Trainer(model, loss=loss, optimizer=Adam(0.02), seed=0, **options)


def reference(**options):
    """Training with the numbers 0, 1, 2."""
    trainer = trainer_of()
    history = trainer.fit(X, CODES, epochs=3, batch_size=8, **options)
    assert trainer.classes is None
    return trainer, history


def assert_same(trainer, other):
    for name, view in trainer.model.parameters.items():
        np.testing.assert_array_equal(view, other.model.parameters[name], err_msg=name)


LABELS = {
    "texts": NAMES,
    "texts in objects": NAMES.astype(object),
    "texts of variable size": NAMES.astype(np.dtypes.StringDType())
    if hasattr(np.dtypes, "StringDType")
    else NAMES,
    "integers": np.array([-7, 5, 2**40]),
    "from one": np.array([1, 2, 3], np.uint8),
    "signs": np.array([-1, 0, 1]),
    "integers in objects": np.array([3, 5, 900], object),
    "unsigned": np.array([1, 2, 2**64 - 1], np.uint64),
}


@pytest.mark.parametrize("given", ["array", "list", "strided", "read-only"])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_train_like_the_numbers_of_the_outputs(kind, given):
    labels = LABELS[kind]
    y = labels[CODES]
    if given == "list":
        y = list(y)
    elif given == "strided":
        y = np.repeat(y, 2)[::2]
    elif given == "read-only":
        y.flags.writeable = False
    expected, history = reference(validation_split=0.2)
    trainer = trainer_of()
    found = trainer.fit(X, y, epochs=3, batch_size=8, validation_split=0.2)
    assert_same(trainer, expected)
    assert found["val_loss"] == history["val_loss"]
    assert trainer.classes.tolist() == labels.tolist()
    assert trainer.evaluate(X, y) == expected.evaluate(X, CODES)
    chosen = expected.predict(X).argmax(axis=1)
    np.testing.assert_array_equal(expected.predict_classes(X), chosen)
    assert trainer.predict_classes(X).tolist() == labels[chosen].tolist()


def test_truth_values_are_two_classes():
    y = CODES > 0
    number, truth = trainer_of(2), trainer_of(2)
    number.fit(X, y.astype(int), batch_size=8)
    truth.fit(X, y, batch_size=8)
    assert_same(number, truth)
    assert truth.classes.tolist() == [False, True]
    only = trainer_of(2)
    only.fit(X, np.ones(N, bool))  # as many outputs as there are truth values
    assert only.classes.tolist() == [False, True]


def test_numbers_of_outputs_keep_their_meaning():
    """Also if some classes do not occur."""
    y = np.where(CODES > 0, 2, 0)
    trainer = trainer_of()
    trainer.fit(X, y)
    assert trainer.classes is None
    assert set(np.unique(trainer.predict_classes(X))) <= {0, 1, 2}


@pytest.mark.parametrize("as_text", [False, True])
def test_every_step_may_have_a_label(as_text):
    lengths = RNG.integers(0, 7, N)
    sequences = [x[:length] for x, length in zip(X, lengths, strict=True)]
    codes = [(x[:, 0] > 0).astype(int) for x in sequences]
    labels = np.array(["no", "yes"]) if as_text else np.array([3, 8])
    y = [labels[each] for each in codes]
    padded = np.full((N, 6), "?" if as_text else 99, labels.dtype)
    for row, each in zip(padded, y, strict=True):
        row[: len(each)] = each
    expected = trainer_of(2, per_step=True)
    expected.fit(sequences, codes, epochs=2, batch_size=8)
    for arguments in (
        (sequences, y),
        (sequences, [each.tolist() for each in y]),
        (sequences, np.array([*y, None], object)[:-1]),
        (X, padded, lengths),
    ):
        trainer = trainer_of(2, per_step=True)
        trainer.fit(*arguments[:2], epochs=2, batch_size=8, lengths=(*arguments, None)[2])
        assert_same(trainer, expected)
        assert trainer.classes.tolist() == labels.tolist()
    found = trainer.predict_classes(sequences)
    assert [len(each) for each in found] == lengths.tolist()
    for each, output in zip(found, trainer.predict(sequences), strict=True):
        assert each.tolist() == labels[output.argmax(axis=1)].tolist()


def test_tokens_with_labels():
    tokens = RNG.integers(0, 5, (N, 4))
    model = Sequential(
        Embedding(5, 3), GRU(3, 4, batch_first=True), Last(), Linear(4, 3), seed=0
    )
    trainer = Trainer(model, loss="cross_entropy", seed=0)
    trainer.fit(tokens, NAMES[CODES])
    assert trainer.classes.tolist() == NAMES.tolist()


def test_pandas_columns_are_labels():
    pd = pytest.importorskip("pandas")
    series = pd.Series(NAMES[CODES], index=np.arange(N)[::-1])
    for y in (series, series.astype("category"), series.astype("string")):
        trainer = trainer_of()
        trainer.fit(X, y)
        assert trainer.classes.tolist() == NAMES.tolist()


def test_ignored_integers_are_no_class():
    loss = functools.partial(losses.cross_entropy, ignore_index=-100)
    labels = np.array([3, 5, 9])
    y, codes = labels[CODES], CODES.copy()
    y[::3], codes[::3] = -100, -100
    expected, trainer = trainer_of(loss=loss), trainer_of(loss=loss)
    expected.fit(X, codes, batch_size=8)
    trainer.fit(X, y, batch_size=8)
    assert_same(trainer, expected)
    assert trainer.classes.tolist() == [3, 5, 9]
    assert trainer.evaluate(X, y) == expected.evaluate(X, codes)
    collision = trainer_of(loss=functools.partial(losses.cross_entropy, ignore_index=0))
    y[::3] = 0
    with pytest.raises(ValueError, match="ignore_index=0 is also the column of the class 3"):
        collision.fit(X, y)


# ---- given classes ---------------------------------------------------------------------------


def test_given_classes_name_the_outputs_in_their_order():
    order = np.array([2, 0, 1])
    expected = trainer_of()
    expected.fit(X, np.argsort(order)[CODES], batch_size=8)
    trainer = trainer_of(classes=NAMES[order])
    trainer.fit(X, NAMES[CODES], batch_size=8)
    assert_same(trainer, expected)
    assert trainer.classes.tolist() == NAMES[order].tolist()


def test_given_classes_need_not_all_occur():
    trainer = trainer_of(classes=["a", "b", "c"])
    trainer.fit(X, np.where(CODES > 0, "a", "c"))
    integers = trainer_of(classes=[10, 20, 30])
    integers.fit(X, np.where(CODES > 0, 10, 30))
    assert_same(trainer, integers)
    assert integers.evaluate(X, np.full(N, 20)) > 0


def test_classes_are_a_copy():
    labels = np.array(["b", "a"])
    trainer = trainer_of(2, classes=labels)
    labels[0] = "z"
    trainer.classes[0] = "y"
    assert trainer.classes.tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        (["a"], ValueError, "classes must be a list of at least 2 labels"),
        ("ab", ValueError, "classes must be a list of at least 2 labels"),
        ([["a", "b"]], ValueError, "classes must be a list of at least 2 labels"),
        (["a", "b", "a"], ValueError, "classes must differ from each other"),
        ([0.5, 1.5], TypeError, "classes must hold labels that are str, bool or int"),
        (["a", None], TypeError, r"classes\[1\] = None is no label"),
        (["a", 1], TypeError, r"classes\[1\] = 1 is no label"),
        ([b"a", b"b"], TypeError, r"use classes\.astype\(str\)"),
    ],
    ids=str,
)
def test_wrong_classes_are_refused(classes, error, message):
    with pytest.raises(error, match=message):
        trainer_of(2, classes=classes)


def test_classes_need_the_cross_entropy():
    with pytest.raises(ValueError, match="classes must be None unless the loss is"):
        trainer_of(2, loss="mse", classes=["a", "b"])
    with pytest.raises(ValueError, match="predict_classes needs loss='cross_entropy'"):
        trainer_of(2, loss="mse").predict_classes(X)


# ---- what does not fit -----------------------------------------------------------------------


def refused(error, message, trainer, *arguments, **options):
    """fit raises and nothing has changed."""
    before, classes = trainer.model.state_dict(), trainer.classes
    with pytest.raises(error, match=message):
        trainer.fit(*arguments, **options)
    for name, view in trainer.model.parameters.items():
        np.testing.assert_array_equal(view, before[name])
    assert (classes is None) == (trainer.classes is None)


@pytest.mark.parametrize("outputs", [2, 4])
def test_a_model_with_other_outputs_than_classes_is_refused(outputs):
    refused(
        ValueError,
        f"the model has {outputs} outputs, but there are 3 classes of y: 'down', 'flat', 'up'",
        trainer_of(outputs),
        X,
        NAMES[CODES],
    )


def test_a_single_output_is_refused():
    refused(ValueError, "at least 2 classes, got 1", trainer_of(1), X, NAMES[CODES])


def test_an_unknown_label_is_named_with_its_place():
    y = NAMES[CODES]
    other = y.astype("U9").copy()
    other[4] = "sideways"
    match = re.escape("validation[1][4] = 'sideways' is none of the 3 classes 'down', 'flat'")
    refused(ValueError, match, trainer_of(), X, y, validation=(X, other))
    trainer = trainer_of()
    trainer.fit(X, y)
    match = re.escape("y[4] = 'sideways' is none of the 3 classes")
    refused(ValueError, match, trainer, X, other)
    with pytest.raises(ValueError, match=match):
        trainer.evaluate(X, other)
    refused(ValueError, r"y\[0\] = \d is none of the 3 classes 'down'", trainer, X, CODES)


def test_an_unknown_label_of_a_step_is_named_with_its_place():
    sequences = [x[:4] for x in X]
    y = [np.array(["a", "b", "a", "a"])] * N
    trainer = trainer_of(2, per_step=True)
    trainer.fit(sequences, y)
    other = [*y[:3], np.array(["a", "b", "x", "a"]), *y[4:]]
    with pytest.raises(ValueError, match=re.escape("y[3][2] = 'x' is none of the 2 classes")):
        trainer.evaluate(sequences, other)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (["a", None] * 15, TypeError, r"y\[1\] = None is no label"),
        (["a", float("nan")] * 15, TypeError, r"y\[1\] = nan is no label"),
        (["a", 3] * 15, TypeError, r"y\[1\] = 3 is no label"),
        (np.array([1, "a"] * 15, object), TypeError, r"y\[1\] = 'a' is no label"),
        (np.array(["a", "b"] * 15, "S1"), TypeError, r"use y\.astype\(str\)"),
        (np.full(N, np.datetime64("2026-01-01")), TypeError, "got dtype datetime64"),
        (np.full(N, 0.5), TypeError, "y must be integers, got dtype float64"),
        (["a", "b"], ValueError, "inconsistent numbers of samples"),
        ("a", TypeError, "y must be numeric"),
        ([["a"], [1]] * 15, TypeError, r"y mixes labels of dtype <U1 and int\d\d"),
        ([["a"], [["b"]]] * 15, ValueError, r"y\[1\] must be one label per step"),
    ],
    ids=str,
)
def test_what_is_no_label_is_refused(y, error, message):
    refused(error, message, trainer_of(2), X, y)


def test_labels_without_classes_are_refused():
    with pytest.raises(ValueError, match="the trainer knows no classes: call fit first"):
        trainer_of().evaluate(X, NAMES[CODES])


def test_other_losses_refuse_texts():
    refused(TypeError, "y must be numeric", trainer_of(loss="mse"), X, NAMES[CODES])


def test_a_failed_fit_forgets_the_classes():
    trainer = trainer_of()
    y = NAMES[CODES]
    refused(ValueError, "inconsistent", trainer, X, y, validation=(X, y[:3]))
    trainer.fit(X, np.array(["x", "y", "z"])[CODES])
    assert trainer.classes.tolist() == ["x", "y", "z"]


# ---- checkpoints -----------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [NAMES, np.array([-5, 3, 2**40]), [False, True]], ids=str)
def test_a_checkpoint_holds_the_classes(labels, tmp_path):
    labels = np.asarray(labels)
    y = labels[CODES % len(labels)]

    def trainer(**options):
        stopping = EarlyStopping(9, monitor="loss")
        return trainer_of(len(labels), callbacks=[stopping], **options)

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(X, y, epochs=4, batch_size=7)
    first.fit(X, y, epochs=2, batch_size=7)
    first.save_checkpoint(tmp_path / "c.safetensors")
    second.resume(tmp_path / "c.safetensors")
    assert second.classes.tolist() == labels.tolist()
    assert second.classes.dtype.kind == labels.dtype.kind
    second.fit(X, y, epochs=4, batch_size=7)
    assert_same(whole, second)
    other = trainer(classes=[f"{i}" for i in range(len(labels))])
    with pytest.raises(ValueError, match="the checkpoint is of other classes"):
        other.resume(tmp_path / "c.safetensors")


def test_a_model_file_takes_them_as_metadata(tmp_path):
    trainer = trainer_of()
    trainer.fit(X, NAMES[CODES])
    path = tmp_path / "model.safetensors"
    pygru.save(trainer.model, path, metadata={"classes": trainer.classes.tolist()})
    model, classes = pygru.load(path), pygru.read_metadata(path)["classes"]
    again = Trainer(model, loss="cross_entropy", classes=classes)
    assert again.predict_classes(X).tolist() == trainer.predict_classes(X).tolist()


def test_the_search_for_a_learning_rate_takes_labels():
    trainer = trainer_of()
    found = find_learning_rate(trainer, X, NAMES[CODES], batch_size=10, steps=5)
    assert len(found.rates) == 5 and trainer.classes is None


# ---- binary ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 2])
def test_log_odds_above_zero_are_the_class_1(outputs):
    y = np.stack([CODES > 0, CODES > 1], axis=1)[:, :outputs].astype(float)
    trainer = trainer_of(outputs, loss="bce_with_logits")
    trainer.fit(X, y, epochs=3)
    found = trainer.predict_classes(X)
    expected = (trainer.predict(X) > 0).astype(int)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected[:, 0] if outputs == 1 else expected)
