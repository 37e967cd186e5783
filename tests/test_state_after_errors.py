"""After an error in a model of several parts, generators and gradients are unchanged.

The failing part is simulated by one that raises for an argument that it refuses, for memory
that it does not get, or for Ctrl-C.
"""

import interrupts
import numpy as np
import pytest

from pygru import GRU, Attention, Dropout, Embedding, Layer, Linear, Seq2Seq, Sequential
from pygru.nn import embedding, ragged

ERRORS = [ValueError, MemoryError, KeyboardInterrupt]


class Fail(Layer):
    """Raises in the given pass."""

    def __init__(self):
        self.error = {}
        self.create_parameters()

    def get_config(self):
        return {}

    def forward(self, x, *, lengths=None, training=True):
        if "forward" in self.error:
            raise self.error["forward"]
        return x, None

    def backward(self, tape, d_y):
        if "backward" in self.error:
            raise self.error["backward"]
        return d_y


def snapshot(model):
    """The bits of everything that a failed call must not change."""
    arrays = [array.tobytes() for pair in model.flat_pairs for array in pair]
    states = [repr(generator.bit_generator.state) for generator in model.generators]
    return arrays, states, getattr(model, "training_steps", None)


def give_gradients(model):
    for number, (_, gradients) in enumerate(model.flat_pairs):
        gradients[...] = number + 1


def noisy(at):
    """A model of layers that draw numbers and have gradients, one of which fails."""
    gru = {"batch_first": True, "recurrent_dropout": 0.3, "zoneout": 0.2}
    parts = [
        Embedding(5, 3),
        Dropout(0.2),
        GRU(3, 4, 2, dropout=0.3, **gru),
        Dropout(0.2),
        Linear(4, 4),
        GRU(4, 3, **gru),
        Linear(3, 2),
    ]
    parts.insert(at, Fail())
    return Sequential(*parts, seed=0)


X = np.array([[1, 2, 3], [4, 0, 1]])


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("at", range(1, 8))
def test_sequential(at, error):
    model = noisy(at)
    expected, tape = noisy(at).forward(X)
    give_gradients(model)
    before = snapshot(model)
    model.layers[at].error["forward"] = error
    with pytest.raises(error):
        model.forward(X)
    with pytest.raises(error):
        model.forward_from(None, X)
    assert snapshot(model) == before
    del model.layers[at].error["forward"]
    y, tape = model.forward(X)
    assert np.array_equal(y, expected)
    before = snapshot(model)
    model.layers[at].error["backward"] = error
    with pytest.raises(error):
        model.backward(tape, np.ones_like(y))
    assert snapshot(model) == before
    del model.layers[at].error["backward"]
    model.backward(tape, np.ones_like(y))
    assert snapshot(model)[0] != before[0]


class Untold(Dropout):
    """Does not say how many features it returns, so that a misfit is found in the call."""

    keeps_features = False


def test_sequential_with_an_argument_that_a_later_layer_refuses():
    model = noisy(3)
    before = snapshot(model)
    for arguments in ({"memory": "all"}, {"lengths": [1, 4]}, {"lengths": [1]}):
        with pytest.raises(ValueError, match=r"memory|lengths"):
            model.forward(X, **arguments)
    wrong = Sequential(
        Dropout(0.5), GRU(3, 4, batch_first=True), Untold(0.1), Linear(5, 1), seed=0
    )
    state = snapshot(wrong)
    with pytest.raises(ValueError, match="in_features=5"):
        wrong.forward(np.ones((2, 3, 3)))
    assert snapshot(wrong) == state
    assert snapshot(model) == before


def test_sequential_whose_weights_have_moved():
    model = noisy(7)
    y, tape = model.forward(X)
    give_gradients(model)
    model.layers[2].parameters["weight_hh_l0"] += 1
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="weights changed since forward"):
        model.backward(tape, np.ones_like(y))
    assert snapshot(model) == before


def test_a_shared_layer_gets_its_first_gradients_back():
    linear = Linear(3, 3, seed=0)
    fail = Fail()
    model = Sequential(Dropout(0.1, seed=0), fail, linear, linear)
    y, tape = model.forward(np.ones((2, 3)))
    give_gradients(model)
    before = snapshot(model)
    fail.error["backward"] = MemoryError
    with pytest.raises(MemoryError):
        model.backward(tape, y)
    assert snapshot(model) == before


# ---- an encoder-decoder --------------------------------------------------------------------

PAIRS = {"source": [[1, 2, 3], [4]], "target": [[0, 2], [0, 3, 4]]}
PARTS = (
    "source_embedding",
    "encoder",
    "bridge",
    "target_embedding",
    "decoder",
    "attention",
    "combine",
    "output",
    "_dropout",
)


def translator():
    model = Seq2Seq(
        5,
        6,
        3,
        4,
        2,
        dropout=0.3,
        gru={"recurrent_dropout": 0.2, "zoneout": 0.1},
        teacher_forcing=0.5,
        seed=0,
    )
    give_gradients(model)
    return model


def failing(error):
    def fail(*arguments, **options):
        raise error

    return fail


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("part", PARTS)
def test_seq2seq(part, error):
    expected = translator().forward(PAIRS)[0]
    model = translator()
    before = snapshot(model)
    broken = getattr(model, part)
    for method in ("forward", "backward"):
        setattr(broken, method, failing(error))
        with pytest.raises(error):
            logits, tape = model.forward(PAIRS)
            before = snapshot(model)
            model.backward(tape, np.ones_like(logits))
        assert snapshot(model) == before
        delattr(broken, method)
        if method == "forward":
            assert model.training_steps == 0
    again = translator().forward(PAIRS)[0]
    assert np.array_equal(again, expected)
    model.backward(tape, np.ones_like(logits))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"target": [[0, 2], [0, 3, 6]]}, IndexError),
        ({"source": [[1, 2, 3], [5]]}, IndexError),
        ({"target": [[0, 2]]}, ValueError),
        ({"target": [[0, 2], [0, 2.5]]}, TypeError),
    ],
)
def test_seq2seq_with_tokens_that_are_refused(changes, error):
    model = translator()
    before = snapshot(model)
    with pytest.raises(error):
        model.forward(PAIRS | changes)
    assert snapshot(model) == before


def test_seq2seq_with_a_schedule_that_is_refused():
    model = translator()
    model.teacher_forcing = lambda step: 1.5
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"teacher_forcing\(0\) must be a number in \[0, 1\]"):
        model.forward(PAIRS)
    assert snapshot(model) == before


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_seq2seq_whose_weights_have_moved(part):
    model = translator()
    logits, tape = model.forward(PAIRS)
    getattr(model, part).flat_parameters += 1
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="weights changed since forward"):
        model.backward(tape, np.ones_like(logits))
    assert snapshot(model) == before


def test_seq2seq_with_a_gradient_of_another_shape():
    model = translator()
    _, tape = model.forward(PAIRS)
    before = snapshot(model)
    with pytest.raises(
        ValueError, match=r"d_logits must have shape \(2, 3, 6\), got \(2, 3, 5\)"
    ):
        model.backward(tape, np.ones((2, 3, 5)))
    assert snapshot(model) == before


# ---- a layer alone -------------------------------------------------------------------------


def test_a_linear_layer_without_memory_for_d_x(monkeypatch):
    layer = Linear(3, 2, seed=0)
    y, tape = layer.forward(np.ones((4, 3)))
    give_gradients(layer)
    before = snapshot(layer)
    monkeypatch.setattr(ragged, "put", failing(MemoryError))
    with pytest.raises(MemoryError):
        layer.backward(tape, y)
    assert snapshot(layer) == before


def test_dropout_without_memory_for_its_output(monkeypatch):
    layer = Dropout(0.5, seed=0)
    before = snapshot(layer)
    monkeypatch.setattr(ragged, "put", failing(MemoryError))
    with pytest.raises(MemoryError):
        layer.forward(np.ones((4, 3)))
    assert snapshot(layer) == before


def test_an_embedding_without_memory_for_its_sums(monkeypatch):
    layer = Embedding(3, 2, seed=0)
    y, tape = layer.forward([0, 1])
    before = snapshot(layer)
    monkeypatch.setattr(embedding, "_sums_by_index", failing(MemoryError))
    with pytest.raises(MemoryError):
        layer.backward(tape, y)
    assert snapshot(layer) == before


@pytest.mark.parametrize("score", ["general", "additive"])
def test_attention_without_memory(score, monkeypatch):
    layer = Attention(3, 3, score=score, seed=0)
    rng = np.random.default_rng(0)
    queries, keys = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 5, 3))
    context, _, tape = layer.forward(queries, keys, lengths=[2, 5])
    give_gradients(layer)
    before = snapshot(layer)
    monkeypatch.setattr(ragged, "put", failing(MemoryError))
    with pytest.raises(MemoryError):
        layer.backward(tape, context)
    assert snapshot(layer) == before


# ---- Ctrl-C at every point -----------------------------------------------------------------


def stack():
    return Sequential(
        Embedding(5, 3),
        Dropout(0.2),
        GRU(3, 2, batch_first=True, recurrent_dropout=0.3),
        Linear(2, 2),
        seed=0,
    )


def small_translator():
    return Seq2Seq(5, 6, 2, 2, dropout=0.3, seed=0)


@pytest.mark.parametrize(
    ("make", "x"),
    [(stack, X), pytest.param(small_translator, PAIRS, marks=pytest.mark.slow)],
)
def test_interrupted_or_failed_reseeding_changes_all_or_nothing(make, x):
    old, new = make(), make()
    new.reseed(7)
    states, made = (snapshot(old), snapshot(new)), []
    assert states[0] != states[1]

    def prepare():
        made.append(make())
        return lambda: made[-1].reseed(7)

    def check(where):
        assert snapshot(made[-1]) in states, where

    assert interrupts.at_every_point(prepare, check) > 50


def test_reseeding_that_a_layer_refuses_changes_no_layer():
    class Refuses(Fail):
        def initialize(self, generator):
            if hasattr(self, "parameters") and self.error:
                raise self.error["initialize"]

    model = Sequential(GRU(3, 4, batch_first=True), Linear(4, 2), Refuses(), seed=0)
    before = snapshot(model)
    model.layers[2].error["initialize"] = MemoryError
    with pytest.raises(MemoryError):
        model.reseed(1)
    assert snapshot(model) == before


@pytest.mark.parametrize(
    ("make", "x"),
    [(stack, X), pytest.param(small_translator, PAIRS, marks=pytest.mark.slow)],
)
def test_interrupts_leave_all_or_nothing(make, x):
    """Also the points in ``contextlib``, which restores the gradients."""
    finished = make()
    start = snapshot(finished)
    y, tape = finished.forward(x)
    drawn = snapshot(finished)
    finished.backward(tape, np.ones_like(y))
    end = snapshot(finished)
    made = []

    def forward():
        made.append(make())
        return lambda: made[-1].forward(x)

    def check(where):
        assert snapshot(made[-1]) in (start, drawn), where

    assert interrupts.at_every_point(forward, check, step=3) > 50

    def backward():
        made.append(make())
        _, kept = made[-1].forward(x)
        return lambda: made[-1].backward(kept, np.ones_like(y))

    def check_backward(where):
        assert snapshot(made[-1]) in (drawn, end), where

    assert interrupts.at_every_point(backward, check_backward, step=3) > 50
