"""Arguments of users: they are copied before they are checked, and errors say what was wrong.

If a check reads the user's own array, and another thread writes to this array, a wrong value
may be used after a right one was checked. Also, Python refuses to print integers of thousands
of digits, so a message with such a number could not be shown.
"""

import random
import re
import sys
import threading
import time

import numpy as np
import pytest
from patience import PATIENCE

from pygru import GRU, Linear, Variant, pad_sequences, unpad_sequences
from pygru.core import validation

HUGE = 10**5000  # str() of it raises


# ---- copies ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_lengths_are_a_copy(dtype):
    lengths = np.array([3, 1, 2], dtype)
    found = validation.as_lengths(lengths, 3, 5)
    lengths[:] = 99
    np.testing.assert_array_equal(found, [3, 1, 2])
    assert found.dtype == np.int64
    assert found.base is None


def test_lengths_that_change_during_the_calls_do_no_harm():
    """Another thread writes lengths beyond the array while forward and backward run."""
    gru = GRU(2, 3, seed=0)
    x = np.ones((5, 4, 2), np.float32)
    lengths = np.array([5, 4, 3, 2], np.int64)
    right = {gru(x, lengths=kept)[0].tobytes() for kept in ([5, 4, 3, 2], [1, 4, 3, 2])}
    stop = threading.Event()

    def write():
        # In random order: in a fixed one, all switches between the threads may find one value.
        draw = random.Random(0)
        while not stop.is_set():
            lengths[0] = draw.choice((5, 10**12, 1, -(10**12)))

    writer = threading.Thread(target=write)
    kept = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    writer.start()
    try:
        calls = accepted = 0
        deadline = time.monotonic() + PATIENCE
        while calls < 3000 or (not accepted and time.monotonic() < deadline):
            calls += 1
            try:
                output, _, tape = gru.forward(x, lengths=lengths)
                gru.backward(tape, output)
            except ValueError as error:
                assert "lengths[0]" in str(error)
            else:
                accepted += 1
                assert output.tobytes() in right
    finally:
        stop.set()
        writer.join()
        sys.setswitchinterval(kept)
    assert accepted  # otherwise nothing was tested


# ---- numbers that cannot be printed ----------------------------------------------------


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: GRU(HUGE, 3), "input_size is too large: an integer of 16610 bits"),
        (lambda: GRU(3, -HUGE), "hidden_size must be >= 1, got an integer of 16610 bits"),
        (
            lambda: GRU(3, 4, 2, dropout=HUGE),
            r"dropout must be a number in \[0, 1\], got an int",
        ),
        (lambda: Linear(3, HUGE), "out_features is too large: an integer of 16610 bits"),
        (lambda: validation.check_positive("rate", -HUGE), "rate must be a finite number > 0"),
        (lambda: validation.check_not_negative("decay", HUGE), "decay must be a finite number"),
        (lambda: validation.check_choice("gate", HUGE, ("r", "z")), "got an integer of"),
    ],
)
def test_huge_integers_are_refused_in_words(call, match):
    with pytest.raises(ValueError, match=match):
        call()


# ---- choices ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [np.array(["chung", "cho"]), np.array("chung"), ["chung"], None, 3, b"chung", {}]
)
def test_what_is_no_choice_is_refused_by_name(value):
    with pytest.raises(ValueError, match="reset must be one of 'before', 'after', got"):
        Variant(reset=value, update="keep")
    with pytest.raises((TypeError, ValueError), match="variant"):
        GRU(2, 3, variant=value)


def test_numpy_string_is_a_choice():
    chosen = validation.check_choice("variant", np.str_("cho"), ("chung", "cho"))
    assert (chosen, type(chosen)) == ("cho", str)


def test_long_values_are_cut_in_messages():
    with pytest.raises(ValueError, match=re.escape("got 'xxx")) as raised:
        validation.check_choice("gate", "x" * 10**6, ("r", "z"))
    assert len(str(raised.value)) < 300
    with pytest.raises(KeyError) as raised:
        GRU(2, 3, seed=0).load_state_dict({"x" * 10**5: 1})
    assert len(str(raised.value)) < 400


def test_object_array_of_sequences_is_a_list_of_them(tmp_path):
    """What ``numpy.save`` and ``numpy.load`` make of a list of arrays."""
    arrays = [np.ones((2, 3)), np.full((4, 3), 2.0)]
    ragged = np.empty(2, object)
    ragged[:] = arrays
    np.save(tmp_path / "x.npy", ragged)
    loaded = np.load(tmp_path / "x.npy", allow_pickle=True)
    for found, right in zip(pad_sequences(loaded), pad_sequences(arrays), strict=True):
        np.testing.assert_array_equal(found, right)
    equal = np.array([arrays[0], arrays[0]], dtype=object)  # three axes of numbers
    padded, lengths = pad_sequences(equal)
    np.testing.assert_array_equal(padded, np.ones((2, 2, 3)))
    assert (padded.dtype, lengths.tolist()) == (np.float64, [2, 2])
    with pytest.raises(TypeError, match=r"sequences\[1\] must be numeric, got dtype object"):
        pad_sequences(np.array([[1.0, 2.0], [3.0, None]], dtype=object))


@pytest.mark.parametrize(
    ("sequences", "options", "exception", "match"),
    [
        (None, {}, TypeError, "sequences must be a sequence of arrays, got NoneType"),
        (3, {}, TypeError, "sequences must be a sequence of arrays, got int"),
        (np.array(3.0), {}, TypeError, "sequences must be a sequence of arrays, got ndarray"),
        ("ab", {}, TypeError, r"sequences\[0\] must be numeric, got dtype <U1"),
        ([[1], None], {}, TypeError, r"sequences\[1\] must be array-like of numbers"),
        ([[[1, 2]], [[1]]], {}, ValueError, r"sequences\[1\] must have shape \(time, 2\)"),
        (
            [[1.5]],
            {"dtype": int},
            TypeError,
            r"sequences\[0\] holds float64, which int\d\d would",
        ),
        ([[1], [-1]], {"dtype": np.uint8}, ValueError, r"sequences\[1\] holds -1, .* of uint8"),
        (
            [[300]],
            {"dtype": np.int8},
            ValueError,
            r"holds 300, which is out of the range of int8",
        ),
        ([[2]], {"dtype": bool}, ValueError, "holds 2, which is out of the range of bool"),
        ([[2]], {"dtype": object}, TypeError, "dtype must be one of real numbers, got object"),
        ([[2]], {"dtype": "c8"}, TypeError, "dtype must be one of real numbers, got complex64"),
        ([[2]], {"batch_first": 1}, TypeError, "batch_first must be a bool, got int"),
        ([], {}, ValueError, "sequences must hold at least one sequence, got none"),
    ],
)
def test_pad_sequences_refuses(sequences, options, exception, match):
    with pytest.raises(exception, match=match):
        pad_sequences(sequences, **options)


@pytest.mark.parametrize(
    ("lengths", "exception", "match"),
    [
        ([2, -1], ValueError, r"lengths\[1\] = -1 must be >= 0"),
        ([4, 1], ValueError, r"lengths\[0\] = 4 exceeds the number of time steps 3"),
        ([1.0, 2.0], TypeError, "lengths must be integers, got float64"),
        ([1], ValueError, r"lengths must have shape \(batch=2,\), got \(1,\)"),
        (None, TypeError, "lengths must be array-like of numbers"),
    ],
)
def test_unpad_sequences_refuses(lengths, exception, match):
    with pytest.raises(exception, match=match):
        unpad_sequences(np.zeros((2, 3)), lengths)


def test_unpad_sequences_takes_lists_and_refuses_vectors():
    assert [each.tolist() for each in unpad_sequences([[1, 2], [3, 0]], [2, 1])] == [
        [1, 2],
        [3],
    ]
    with pytest.raises(ValueError, match="padded must have at least 2 dimensions, got 1"):
        unpad_sequences(np.zeros(3), [1])


def test_pad_sequences_copies_what_it_is_given():
    sequences = [np.ones((3, 2)), np.ones((1, 2))]
    padded, lengths = pad_sequences(sequences)
    sequences[0][:] = 7
    assert padded.max() == 1
    np.testing.assert_array_equal(lengths, [3, 1])
