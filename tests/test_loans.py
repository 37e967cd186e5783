"""Who can write the weights: every array that is given out counts, as long as anything uses it.

These tests fail if a layer computes with old weights although somebody could write them, if it
goes on looking at all weights when nobody can write them any more, or if it depends on counts
of references, which Python without a GIL does not have.
"""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import pygru
from pygru import GRU, SGD, Last, Linear, Sequential
from pygru.core import _core
from pygru.core._weights import Owner

X = np.random.default_rng(4).standard_normal((6, 5)).astype(np.float32)


def same(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


class OnlyInterface:
    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Subclass(np.ndarray):
    pass


HOLDERS = {
    "the array": lambda array: array,
    "a part of a part": lambda array: array[5:][::2],
    "another type": lambda array: array.view(np.int32)[3:].view(np.float32),
    "a subclass": lambda array: array.view(Subclass)[2:],
    "a memoryview": lambda array: np.asarray(memoryview(array)),
    "a memoryview of a part": lambda array: np.asarray(memoryview(array[2:6])),
    "as_strided": lambda array: np.lib.stride_tricks.as_strided(array[3:], (4,)),
    "DLPack": np.from_dlpack,
    "its base": lambda array: np.frombuffer(array.base, np.float32),
    "the array interface": lambda array: np.asarray(OnlyInterface(array)),
    "a container": lambda array: {"key": [array]}["key"][0],
    "an iterator": lambda array: next(iter([array[:9]])),
    "written again": lambda array: unlocked(array),
}


def unlocked(array):
    array.flags.writeable = False
    array.flags.writeable = True
    return array


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("door", ["flat_parameters", "weight"])
def test_whoever_holds_the_memory_may_write_at_any_time(hold, door):
    layer = Linear(5, 3, seed=0)
    array = (
        layer.parameters["weight"].reshape(-1) if door == "weight" else layer.flat_parameters
    )
    held = hold(array)
    if not held.flags.writeable:
        pytest.skip("NumPy 1 shares memory through DLPack for reading only")
    del array
    assert layer._parameters_owner.lent == 1
    for _ in range(2):
        before = layer(X)
        same(layer(X), before)
        held[...] = held * 1.5 + 1
        fresh = Linear(5, 3)
        fresh.load_state_dict(layer.state_dict())
        assert not np.array_equal(layer(X), before)
        same(layer(X), fresh(X))
    last = layer(X)
    held[...] = 0.25  # and is let go before the next call
    del held
    assert layer._parameters_owner.lent == 0
    assert not np.array_equal(layer(X), last)


def test_a_loan_ends_in_whichever_thread_lets_go():
    layer = Linear(5, 3, seed=0)
    owner = layer._parameters_owner
    held = [layer.parameters["weight"]]

    def other():
        held.append(layer.flat_parameters)
        del held[0]

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert owner.lent == 1
    held.clear()
    assert owner.lent == 0


def go_back(model):
    y, tape = model.forward(X.reshape(2, 3, 5))
    model.backward(tape, y)


def train(model):
    go_back(model)
    SGD(0.1).step(model)


def fit(model):
    data = X.reshape(2, 3, 5), np.ones((2, 1), np.float32)
    pygru.Trainer(model, seed=0).fit(*data, epochs=1, batch_size=2)


USES = {
    "call": lambda model: model(X.reshape(2, 3, 5)),
    "backward": go_back,
    "optimiser": train,
    "fit": fit,
    "load": lambda model: model.load_state_dict(model.state_dict()),
    "names": lambda model: dict(model.parameters),
    "copies": lambda model: (copy.deepcopy(model), copy.copy(model)),
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "out of band": lambda model: pickle.dumps(model, 5, buffer_callback=lambda buffer: None),
    "shown": lambda model: (repr(model), model.summary(), model._repr_html_()),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_nothing_that_a_model_does_leaves_a_loan(use):
    """One that stays makes every later call look at all weights."""
    model = Sequential(GRU(5, 4, batch_first=True), Last(), Linear(4, 1), seed=0)
    use(model)
    gc.collect()
    for layer in (model.layers[0], model.layers[2]):
        assert layer._parameters_owner.lent == 0


@pytest.mark.skipif(not _core.has_simd_engine(), reason="only packed weights are kept")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_model_that_nobody_holds_looks_at_no_weight(elsewhere):
    """The mark in the packed weights would go if the weights were looked at, as they differ.

    They are changed through an array that only reads, which nothing but this test ever does.
    """
    gru = GRU(3, 4, seed=0)
    x, found = np.ones((1, 3), np.float32), []
    gru.step(x, np.zeros((1, 1, 4), np.float32))
    gru._parameters_owner.borrow()[...] += 1

    def call():
        found.append(gru.step(x, np.zeros((1, 1, 4), np.float32)))

    if elsewhere:  # a count of references would be known only where the model was made
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    else:
        call()
    same(found[0], GRU(3, 4, seed=0).step(x, np.zeros((1, 1, 4), np.float32)))


@pytest.mark.parametrize("make", [lambda: GRU(5, 4, seed=0), lambda: Linear(5, 4, seed=0)])
def test_a_copy_out_of_band_shares_no_memory(make):
    """``pickle.loads`` makes arrays over the memory that it is given, here the original's."""
    original, buffers = make(), []
    text = pickle.dumps(original, 5, buffer_callback=buffers.append)
    other = pickle.loads(text, buffers=buffers)
    expected = np.asarray(other(X)[0])
    original.flat_parameters[...] = 0
    same(np.asarray(other(X)[0]), expected)
    other.flat_parameters[...] = 1
    assert not original.flat_parameters.any()


@pytest.mark.parametrize("wrong", [[1.0], np.ones((2, 2)), np.ones(4)[::2]])
def test_an_owner_refuses_what_is_no_flat_array(wrong):
    with pytest.raises(pygru.InternalError, match="flat array"):
        Owner(wrong)
