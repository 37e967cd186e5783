"""Every combination of the arguments of a call: one result, and hardly any Python on the way.

The results of arguments that fit, which compiled code reads, are compared with those of the
same numbers in a form that has to be converted, bit by bit, and one of them with reference.py.
So these tests fail if a stride is mistaken, if a row of padding is not zero, if lengths or the
initial state are left out with one of the other arguments, or if an argument that fits takes
the long way again: the Python functions that run during a call are counted.
"""

import itertools
import sys

import numpy as np
import pytest
import reference
from engines import ENGINES, use_engine

from pygru import GRU, Last, Linear, Sequential

T, B, I, H = 6, 3, 4, 5
LENGTHS = np.array([6, 0, 4], np.int64)


def model(**options):
    return GRU(I, H, 2, seed=0, variant="pytorch", **options)


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def converted(array):
    """The same numbers in another form."""
    if isinstance(array, list):
        return [each.astype(np.float64) for each in array]
    return None if array is None else array.astype(np.float64)


def wide(array):
    """The same numbers with gaps between the rows."""
    return np.repeat(array, 2, axis=0)[::2]


def upside_down(array):
    """The same numbers, stored from the last one of the first axis to the first one."""
    return array[::-1].copy()[::-1]


def fits(gru, x, h0, lengths):
    """Whether the compiled path takes these arguments as they are."""
    return gru._runner.sequences.accept(x, h0, lengths) is not None


FORMS = {
    "array": (lambda x: x, (B,)),
    "wide": (wide, (B,)),
    "upside_down": (upside_down, (B,)),
    "single": (lambda x: x[:, 0].copy(), ()),
    "list": (lambda x: [x[:, 0], x[:4, 1], upside_down(x[:2, 2])], (B,)),
}


@pytest.mark.parametrize("learn_h0", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_combination_gives_one_result(form, batch_first, learn_h0):
    gru = model(batch_first=batch_first, learn_h0=learn_h0)
    if learn_h0:
        gru.parameters["h0"] = numbers(2, H)
    make, middle = FORMS[form]
    x = make(numbers(T, B, I))
    if batch_first and form not in ("single", "list"):
        x = x.swapaxes(0, 1)
    state = numbers(2, *middle, H)
    given = {"single": [None, 4, [4], np.array([4], np.int64)], "list": [None]}
    for h0, lengths, n_threads in itertools.product(
        (None, state), given.get(form, [None, LENGTHS, LENGTHS.tolist()]), (None, 1, 3)
    ):
        assert fits(gru, x, h0, lengths)
        other = converted(x), converted(h0)
        assert not fits(gru, *other, lengths)
        wanted, wanted_h = gru(*other, lengths=lengths)
        outs = [None] if form == "list" else [None, np.empty_like(wanted)]
        for out in outs:
            output, h_n = gru(x, h0, lengths=lengths, out=out, n_threads=n_threads)
            assert out is None or output is out
            for one, another in zip(output, wanted, strict=True):
                np.testing.assert_array_equal(one, another)
            np.testing.assert_array_equal(h_n, wanted_h)
        gradients = []
        for arguments in ((x, h0), other):
            gru.zero_grad()
            output, h_n, tape = gru.forward(*arguments, lengths=lengths, n_threads=n_threads)
            d_output = output if arguments[0] is x else converted(output)
            d_x, d_h0 = gru.backward(tape, d_output, h_n)
            gradients.append([*d_x, d_h0, gru.flat_grads.copy(), *output, h_n])
        for one, another in zip(*gradients, strict=True):
            np.testing.assert_array_equal(one, another)


def test_arguments_that_fit_give_the_result_of_the_reference():
    gru = model()
    x, h0 = numbers(T, B, I), numbers(2, B, H)
    parameters = {name: each.astype(float) for name, each in gru.state_dict().items()}
    reset, update = reference.VARIANTS["pytorch"]
    expected, expected_h = reference.forward(
        parameters,
        x.astype(float),
        h0.astype(float),
        LENGTHS,
        num_layers=2,
        reset=reset,
        update=update,
    )
    output, h_n = gru(x, h0, lengths=LENGTHS)
    np.testing.assert_allclose(output, expected, atol=2e-6)
    np.testing.assert_allclose(h_n, expected_h, atol=2e-6)


def test_learned_h0_is_that_of_every_sequence():
    gru = model(learn_h0=True)
    learned, x = numbers(2, H), numbers(T, B, I)
    gru.parameters["h0"] = learned
    h0 = np.repeat(learned[:, np.newaxis], B, axis=1)
    np.testing.assert_array_equal(gru(x)[0], gru(x, h0)[0])


def overlapping(kind):
    """Arguments of which ``out`` has memory in common with one that is read."""
    many = 300  # more than the core runs at once
    gru = GRU(H, H, seed=0)
    x, h0 = numbers(T, many, H), numbers(1, many, H)
    memory = np.empty((T + 1, many, H), np.float32)
    if kind == "x":
        memory[1:] = x
        return gru, memory[1:], h0, memory[:-1]
    if kind == "h0":
        memory[:1] = h0
        return gru, x, memory[:1], memory[:-1]
    out = gru.flat_parameters[:H].reshape(1, 1, H)
    return gru, x[:1, :1], h0[:, :1], out


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["x", "h0", "weights"])
def test_output_over_an_input_does_not_disturb_it(kind, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru, x, h0, out = overlapping(kind)
    expected = gru(x.copy(), h0.copy())[0]
    np.testing.assert_array_equal(gru(x, h0, out=out)[0], expected)


@pytest.mark.parametrize("lengths", [[-1, 2, 3], [7, 2, 3], [1, 2], [1.0, 2, 3], [2**70, 1, 1]])
def test_lengths_that_do_not_fit_are_explained(lengths):
    with pytest.raises((TypeError, ValueError), match="lengths"):
        model()(numbers(T, B, I), lengths=lengths)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_model_predicts_what_its_training_pass_returns(reverse):
    model = Sequential(
        GRU(I, H, batch_first=True, reverse=reverse),
        Last(reverse=reverse),
        Linear(H, 2),
        seed=0,
    )
    x = numbers(B, T, I)
    for given in (x, converted(x), [x[0], x[1, :2]]):
        expected = model.forward(given, training=False)[0]
        np.testing.assert_array_equal(model(given), expected)


# ---- how much Python runs ----------------------------------------------------------------


def python_calls(call):
    """The names of the Python functions that begin during a call."""
    names = []

    def look(frame, event, argument):
        if event == "call" and frame.f_code is not call.__code__:
            names.append(frame.f_code.co_name)

    call()
    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


def short_calls():
    """Each kind of call, and the most Python functions that may run in it."""
    gru, first = GRU(I, H, seed=0), GRU(I, H, batch_first=True, seed=0)
    x, h0, lengths = numbers(1, 1, I), numbers(1, 1, H), np.array([1], np.int64)
    out = np.empty((1, 1, H), np.float32)
    output, h_n, tape = gru.forward(x, h0)
    whole = Sequential(first, Last(), Linear(H, 2, seed=0))
    return {
        "x": (lambda: gru(x), 2),
        "h0": (lambda: gru(x, h0), 2),
        "lengths": (lambda: gru(x, h0, lengths=lengths), 2),
        "list of lengths": (lambda: gru(x, lengths=[1]), 2),
        "n_threads": (lambda: gru(x, n_threads=1), 2),
        "out": (lambda: gru(x, out=out), 2),
        "batch_first": (lambda: first(x, h0, lengths=lengths, out=out, n_threads=1), 2),
        "single": (lambda: gru(x[0], h0[0]), 2),
        "list": (lambda: gru([x[0]]), 5),
        "forward": (lambda: gru.forward(x, h0, lengths=lengths), 4),
        "backward": (lambda: gru.backward(tape, output, h_n), 3),
        "model": (lambda: whole(x), 19),
    }


@pytest.mark.parametrize("kind", short_calls())
def test_a_short_call_runs_hardly_any_python(kind):
    call, most = short_calls()[kind]
    names = python_calls(call)
    assert len(names) <= most, names
