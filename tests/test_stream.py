"""Single steps: ``GRU.step`` and ``Stream`` against whole sequences, and their buffers.

These tests fail if a step allocates a buffer, if a state is shared where it must not be, if the
weights are copied when a stream is made, or if a reset of some sequences changes others.
"""

import array
import copy
import itertools
import pickle
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from engines import ENGINES, use_engine
from patience import PATIENCE

from pygru import GRU, Stream

VARIANTS = ["chung", "cho", "pytorch"]


@pytest.fixture(autouse=True, params=ENGINES)
def engine(request, monkeypatch):
    """Every test runs on every engine."""
    use_engine(monkeypatch, request.param)


def make(batch, variant="chung", num_layers=2, **options):
    gru = GRU(3, 5, num_layers, variant=variant, seed=0, **options)
    shape = (7, 3) if batch is None else (7, batch, 3)
    return gru, np.random.default_rng(1).standard_normal(shape).astype(gru.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_stream_and_step_are_the_whole_sequence(batch, variant, bias, dtype):
    gru, x = make(batch, variant, bias=bias, dtype=dtype)
    output, h_n = gru(x)
    stream = gru.stream(batch)
    h = np.zeros(h_n.shape, dtype)
    for x_t, y_t in zip(x, output, strict=True):
        h = gru.step(x_t, h)
        np.testing.assert_allclose(h[-1], y_t, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(stream(x_t), h[-1])
        np.testing.assert_array_equal(stream.h, h)
    np.testing.assert_allclose(h, h_n, rtol=1e-5, atol=1e-6)
    assert h.dtype == stream.h.dtype == dtype


def test_stream_is_public():
    assert isinstance(make(None)[0].stream(), Stream)


# ---- buffers ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 3])
def test_returned_view_is_overwritten_by_the_next_call(batch):
    gru, x = make(batch)
    stream = gru.stream(batch)
    first = stream(x[0])
    kept = first.copy()
    second = stream(x[1])
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, kept)
    assert np.shares_memory(first, stream.h)


def test_step_returns_an_array_of_its_own():
    gru, x = make(3)
    h0 = np.zeros((2, 3, 5), np.float32)
    first = gru.step(x[0], h0)
    kept = first.copy()
    second = gru.step(x[1], first)
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)
    assert not h0.any()


def test_step_into_its_own_state():
    gru, x = make(3)
    h = np.zeros((2, 3, 5), np.float32)
    expected = gru.step(x[1], gru.step(x[0], h))
    assert gru.step(x[0], h, out=h) is h
    gru.step(x[1], h, out=h)
    np.testing.assert_array_equal(h, expected)


def test_step_into_a_strided_array():
    gru, x = make(3)
    h = np.zeros((2, 3, 5), np.float32)
    out = np.zeros((2, 3, 10), np.float32)[:, :, ::2]
    gru.step(x[0], h, out=out)
    np.testing.assert_array_equal(out, gru.step(x[0], h))


def test_step_changes_neither_input_nor_state():
    gru, x = make(3)
    h = np.random.default_rng(2).standard_normal((2, 3, 5)).astype(np.float32)
    kept = x.copy(), h.copy()
    gru.step(x[0], h)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(h, kept[1])


def grown_by(call):
    """Bytes that 1000 calls leave behind, after 100 to warm up."""
    for _ in range(100):
        call()
    tracemalloc.start()
    try:
        call()
        before = tracemalloc.get_traced_memory()[0]
        for _ in itertools.repeat(None, 1000):
            call()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def peak_of(call):
    """The peak of bytes that one call holds."""
    call()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("batch", [None, 3])
def test_steps_do_not_grow_memory(batch):
    gru, x = make(batch)
    stream = gru.stream(batch)
    h = stream.h.copy()
    x_t = x[0]
    # Less than a byte per call: not even the smallest object is left behind.
    assert grown_by(lambda: stream(x_t)) < 1000
    assert grown_by(lambda: gru.step(x_t, h)) < 1000
    assert grown_by(lambda: gru.step(x_t, h, out=h)) < 1000


def test_step_makes_no_buffer():
    """One state of this GRU takes 512 kB; a step must not make a single one."""
    gru = GRU(8, 2048, seed=0)
    x_t = np.ones((64, 8), np.float32)
    h = np.zeros((1, 64, 2048), np.float32)
    stream = gru.stream(64)
    assert peak_of(lambda: stream(x_t)) < 16_384
    assert peak_of(lambda: gru.step(x_t, h, out=h)) < 16_384


# ---- state -----------------------------------------------------------------------------


def test_new_stream_starts_at_zero():
    gru, _ = make(3)
    assert gru.stream().h.shape == (2, 5)
    assert gru.stream(3).h.shape == (2, 3, 5)
    assert not gru.stream(3).h.any()


def test_reset_of_everything():
    gru, x = make(3)
    stream = gru.stream(3)
    first = stream(x[0]).copy()
    stream(x[1])
    stream.reset()
    assert not stream.h.any()
    np.testing.assert_array_equal(stream(x[0]), first)


@pytest.mark.parametrize(
    ("rows", "cleared"),
    [
        (1, [1]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        ([0, 2], [0, 2]),
        (np.array([True, False, False]), [0]),
        ([], []),
        (np.array([2]), [2]),
    ],
)
def test_reset_of_some_rows(rows, cleared):
    gru, x = make(3)
    stream = gru.stream(3)
    stream(x[0])
    expected = stream.h.copy()
    expected[:, cleared] = 0
    stream.reset(rows)
    np.testing.assert_array_equal(stream.h, expected)


def test_reset_of_one_stream():
    gru, x = make(None)
    stream = gru.stream()
    stream(x[0])
    stream.reset()
    assert not stream.h.any()
    with pytest.raises(ValueError, match="rows must be None for a stream without a batch axis"):
        stream.reset(0)


@pytest.mark.parametrize("rows", [3, -4, [0, 3], np.ones(4, bool)])
def test_reset_of_rows_that_do_not_exist_is_refused(rows):
    gru, x = make(3)
    stream = gru.stream(3)
    stream(x[0])
    before = stream.h.copy()
    with pytest.raises(IndexError):
        stream.reset(rows)
    np.testing.assert_array_equal(stream.h, before)


CHANGING_ROWS = """
import sys, threading
import numpy as np
from pygru import GRU

def change():
    while not done:
        rows.fill(10**9)
        rows.fill(1)

sys.setswitchinterval(1e-6)
stream, rows, done = GRU(3, 4, seed=0).stream(4), np.ones(2, int), False
thread = threading.Thread(target=change)
thread.start()
for _ in range(10000):
    stream.h = np.ones((1, 4, 4))
    try:
        stream.reset(rows)
    except IndexError:
        pass
    assert stream.h[0].sum(1).tolist() in ([4, 4, 4, 4], [4, 0, 4, 4])
done = True
thread.join()
"""


def test_rows_that_change_during_a_reset_do_no_harm():
    """Another thread writes rows that do not exist; without a copy the process crashes."""
    subprocess.run([sys.executable, "-P", "-c", CHANGING_ROWS], check=True, timeout=PATIENCE)


@pytest.mark.parametrize("rows", ["all", 1.5, {"a": 1}])
def test_reset_of_no_rows_at_all_is_refused(rows):
    gru, x = make(3)
    stream = gru.stream(3)
    stream(x[0])
    before = stream.h.copy()
    with pytest.raises((IndexError, TypeError)):
        stream.reset(rows)
    np.testing.assert_array_equal(stream.h, before)


def test_state_is_copied_in():
    gru, x = make(3)
    stream = gru.stream(3)
    h = np.random.default_rng(3).standard_normal((2, 3, 5))  # float64, converted
    stream.h = h
    h[...] = 0
    assert stream.h.all()
    expected = gru.step(x[0], stream.h.copy())
    np.testing.assert_array_equal(stream(x[0]), expected[-1])


@pytest.mark.parametrize(
    ("value", "exception", "match"),
    [
        (np.zeros((2, 5)), ValueError, "h must have 3 dimensions"),
        (np.zeros((1, 3, 5)), ValueError, r"h must have shape \(2, 3, 5\), got \(1, 3, 5\)"),
        (np.zeros((2, 1, 5)), ValueError, r"h must have shape \(2, 3, 5\), got \(2, 1, 5\)"),
        (0, ValueError, "h must have 3 dimensions"),
        ("zero", TypeError, "h must be numeric"),
        (None, TypeError, "h must be array-like of numbers, got NoneType"),
        (np.zeros((2, 3, 5), complex), ValueError, "Complex data not supported: h"),
    ],
)
def test_state_that_does_not_fit_is_refused(value, exception, match):
    gru, x = make(3)
    stream = gru.stream(3)
    stream(x[0])
    before = stream.h.copy()
    with pytest.raises(exception, match=match):
        stream.h = value
    np.testing.assert_array_equal(stream.h, before)


def test_streams_of_one_gru_are_independent():
    gru, x = make(None)
    one, two = gru.stream(), gru.stream()
    one(x[0])
    one(x[1])
    np.testing.assert_array_equal(two(x[0]), gru.stream()(x[0]))


# ---- weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1", "bias_ih_l1", "bias_hh_l0"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_changed_weights_take_effect_in_the_next_step(name, variant):
    gru, x = make(3, variant)
    stream = gru.stream(3)
    h = gru.step(x[0], np.zeros((2, 3, 5)))
    stream(x[0])
    gru.parameters[name][...] *= 2
    changed = GRU(3, 5, 2, variant=variant, seed=1)
    changed.load_state_dict(gru.state_dict())
    expected = changed.step(x[1], h)
    np.testing.assert_array_equal(gru.step(x[1], h), expected)
    np.testing.assert_array_equal(stream(x[1]), expected[-1])


def test_stream_keeps_its_gru_alive():
    gru, x = make(None)
    expected = gru.stream()(x[0]).copy()
    stream = gru.stream()
    del gru
    np.testing.assert_array_equal(stream(x[0]), expected)


# ---- bad input -------------------------------------------------------------------------


def test_bidirectional_is_refused():
    gru = GRU(3, 5, bidirectional=True, seed=0)
    with pytest.raises(ValueError, match="stream needs a GRU of one direction"):
        gru.stream()
    with pytest.raises(ValueError, match="step needs a GRU of one direction"):
        gru.step(np.ones(3), np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("batch", "exception", "match"),
    [
        (0, ValueError, "batch must be >= 1, got 0"),
        (-1, ValueError, "batch must be >= 1, got -1"),
        (2.0, TypeError, "batch must be an int, got float"),
        (True, TypeError, "batch must be an int, got bool"),
        ("3", TypeError, "batch must be an int, got str"),
        (2**62, ValueError, "too big|overflow|exceeded"),
        (2**80, ValueError, "too big|overflow|exceeded"),
    ],
)
def test_bad_batch_is_refused(batch, exception, match):
    with pytest.raises(exception, match=match):
        make(None)[0].stream(batch)


MASKED = np.ma.array(np.ones((3, 3), np.float32), mask=np.eye(3))

BAD_X = [
    (MASKED, TypeError, "x_t is a masked array with masked values"),
    (np.ones((3, 4), np.float32), ValueError, r"x_t must have shape .*got \(3, 4\)"),
    (np.ones((3, 2), np.float32), ValueError, r"x_t must have shape .*got \(3, 2\)"),
    (np.ones((4, 3), np.float32), ValueError, r"x_t must have shape .*got \(4, 3\)"),
    (np.ones((1, 3), np.float32), ValueError, r"x_t must have shape .*got \(1, 3\)"),
    (np.ones(9, np.float32), ValueError, r"x_t must have shape .*got \(9,\)"),
    (np.ones((3, 3, 1), np.float32), ValueError, "x_t must have shape"),
    (np.ones((3, 3), np.complex64), ValueError, "Complex data not supported: x_t"),
    (np.ones((3, 3), "M8[s]"), TypeError, "x_t must be numeric, got dtype datetime64"),
    (np.ones((3, 4)), ValueError, "x_t must have shape"),
    (np.ones((2, 3)), ValueError, r"x_t must have shape \(3, 3\), got \(2, 3\)"),
    (np.ones(3), ValueError, r"x_t must have shape \(3, 3\), got \(3,\)"),
    (np.ones((3, 3, 1)), ValueError, "x_t must have shape"),
    (1.0, ValueError, "x_t must have shape"),
    (None, TypeError, "x_t must be array-like of numbers, got NoneType"),
    ("abc", TypeError, "x_t must be numeric, got dtype <U3"),
    (np.ones((3, 3), complex), ValueError, "Complex data not supported: x_t"),
    (np.full((3, 3), None), TypeError, "x_t must be numeric, got dtype object"),
    ([[1, 2, 3], [1, 2]], ValueError, "x_t: .*inhomogeneous"),
]


@pytest.mark.parametrize(("bad", "exception", "match"), BAD_X)
def test_bad_input_of_a_stream_leaves_the_state(bad, exception, match):
    gru, x = make(3)
    stream = gru.stream(3)
    stream(x[0])
    before = stream.h.copy()
    with pytest.raises(exception, match=match):
        stream(bad)
    np.testing.assert_array_equal(stream.h, before)


H = np.zeros((2, 3, 5), np.float32)
X32 = np.ones((3, 3), np.float32)


@pytest.mark.parametrize("warm", [False, True], ids=["first", "later"])
@pytest.mark.parametrize(
    ("x_t", "h", "out", "exception", "match"),
    [
        (np.ones((3, 4)), H, None, ValueError, r"x_t must have shape \(batch, input_size=3\)"),
        (np.ones((1, 3, 3)), H, None, ValueError, r"x_t must have .*got \(1, 3, 3\)"),
        (2.0, H, None, ValueError, r"x_t must have .*got \(\)"),
        (None, H, None, TypeError, "x_t must be array-like of numbers"),
        (np.ones((2, 3)), H, None, ValueError, r"h must have shape \(num_layers, batch, hid"),
        (np.ones(3), H, None, ValueError, r"h must .* = \(2, 5\), got \(2, 3, 5\)"),
        (np.ones((3, 3)), None, None, TypeError, "h must be array-like of numbers, got None"),
        (np.ones((3, 3)), "h", None, TypeError, "h must be numeric"),
        (np.ones((3, 3)), H[:1], None, ValueError, r"got \(1, 3, 5\)"),
        (np.ones((3, 3)), H, [0], TypeError, "out must be a numpy.ndarray, got list"),
        (np.ones((3, 3)), H, H[:1], ValueError, "out must have shape"),
        (np.ones((3, 3)), H, H.astype("f8"), TypeError, "out must have dtype float32, got fl"),
        (np.ones((3, 3)), H, np.broadcast_to(H[:, :1], H.shape), ValueError, "read-only"),
        (X32[:, :2], H, None, ValueError, r"x_t must have shape \(batch, input_size=3\)"),
        (X32[:2].copy(), H, None, ValueError, r"h must have shape .*got \(2, 3, 5\)"),
        (X32, H[:, :, :4].copy(), None, ValueError, r"h must .*got \(2, 3, 4\)"),
        (X32, H[:, :2].copy(), None, ValueError, r"h must .*got \(2, 2, 5\)"),
        (X32, H[:1], None, ValueError, r"h must .*got \(1, 3, 5\)"),
        (X32, H[0], None, ValueError, r"h must .*got \(3, 5\)"),
        (X32, H, H[:1].copy(), ValueError, "out must have shape"),
        (X32, H, H.astype("f8"), TypeError, "out must have dtype float32"),
        (X32, H, memoryview(H.copy()), TypeError, "out must be a numpy.ndarray, got memoryv"),
        (MASKED, H, None, TypeError, "x_t is a masked array with masked values"),
        (X32, np.ma.array(H, mask=H == 0), None, TypeError, "h is a masked array with masked"),
    ],
)
def test_bad_input_of_step_is_refused(x_t, h, out, exception, match, warm):
    """With and without existing buffers of this batch size."""
    gru, _ = make(3)
    expected = make(3)[0].step(X32, H)
    if warm:
        gru.step(X32, H)
    with pytest.raises(exception, match=match):
        gru.step(x_t, h, out=out)
    np.testing.assert_array_equal(gru.step(X32, H), expected)


def test_empty_batch_of_step_is_empty():
    gru, _ = make(3)
    for _ in range(2):  # the second time its buffers exist
        assert gru.step(np.ones((0, 3)), np.zeros((2, 0, 5))).shape == (2, 0, 5)


def strided(x):
    return np.repeat(x, 2, axis=-1)[..., ::2]


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:]
    result = raw.view(x.dtype).reshape(x.shape)
    result[...] = x
    return result


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "list": lambda x: x.tolist(),
    "float64": lambda x: x.astype(np.float64),
    "swapped bytes": lambda x: x.astype(">f4"),
    "turned twice": lambda x: x[::-1][::-1],
    "turned": lambda x: x[..., ::-1].copy()[..., ::-1],
    "strided": strided,
    "Fortran": np.asfortranarray,
    "misaligned": misaligned,
    "read only": read_only,
    "memoryview": memoryview,
    "masked nowhere": np.ma.array,
}


@pytest.mark.parametrize("warm", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("convert", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_gives_the_same_bits(convert, batch, warm):
    """A buffer with gaps, or of another type, must not be copied as if it were dense."""
    gru, x = make(batch)
    h = np.random.default_rng(2).standard_normal((2, *x.shape[1:-1], 5)).astype(np.float32)
    stream = gru.stream(batch)
    stream.h = h
    expected = stream(x[0]).copy()
    if not warm:
        gru = make(batch)[0]
        stream = gru.stream(batch)
    stream.h = h
    np.testing.assert_array_equal(stream(convert(x[0])), expected)
    np.testing.assert_array_equal(gru.step(convert(x[0]), convert(h))[-1], expected)


def test_input_may_be_any_buffer_of_the_right_form():
    gru, x = make(None)
    expected = gru.stream()(x[0]).copy()
    stream = gru.stream()
    np.testing.assert_array_equal(stream(array.array("f", x[0])), expected)
    stream.reset()
    np.testing.assert_array_equal(stream(array.array("d", x[0])), expected)
    with pytest.raises((TypeError, ValueError)):
        stream(x[0].tobytes())


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_output_may_be_the_next_input(batch, num_layers):
    """In generation, a step must not read memory that it is writing."""
    gru = GRU(5, 5, num_layers, seed=0)
    shape = (5,) if batch is None else (batch, 5)
    x_t = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    stream, other = gru.stream(batch), gru.stream(batch)
    h = np.zeros((num_layers, *shape), np.float32)
    y, y_copied = stream(x_t), other(x_t).copy()
    gru.step(x_t, h, out=h)
    for _ in range(4):
        y, y_copied = stream(y), other(y_copied).copy()
        gru.step(h[-1], h, out=h)
        np.testing.assert_array_equal(y, y_copied)
        np.testing.assert_array_equal(h[-1], y_copied)


def test_step_into_memory_that_overlaps_its_input_and_state():
    gru = GRU(5, 5, seed=0)
    memory = np.random.default_rng(1).standard_normal(24).astype(np.float32)
    for shift in (0, 3, 5):
        room = memory.copy()
        x_t, h = room[:5], room[5:10].reshape(1, 5)
        out = room[shift : shift + 5].reshape(1, 5)
        expected = gru.step(x_t.copy(), h.copy())
        np.testing.assert_array_equal(gru.step(x_t, h, out=out), expected)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(room[10:], memory[10:])


def test_batch_size_may_change_with_every_step():
    gru, x = make(4)
    states = {batch: np.zeros((2, batch, 5), np.float32) for batch in (1, 4, 2)}
    alone = np.zeros((2, 5), np.float32)
    for x_t in x:
        for batch, h in states.items():
            gru.step(x_t[:batch], h, out=h)
        gru.step(x_t[0], alone, out=alone)
    for batch, h in states.items():
        np.testing.assert_allclose(h, gru(x[:, :batch])[1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(h[:, 0], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("H", "batch"), [(5, None), (256, 8)], ids=["short", "long"])
def test_streams_in_many_threads(H, batch):
    """Only long steps release the GIL; neither kind shares a buffer."""
    gru = GRU(3, H, 2, seed=0)
    shape = (8, 30, 3) if batch is None else (8, 30, batch, 3)
    xs = np.random.default_rng(6).standard_normal(shape).astype(np.float32)

    def run(x):
        stream = gru.stream(batch)
        return np.array([stream(x_t).copy() for x_t in x])

    expected = [run(x) for x in xs]
    results = [None] * len(xs)

    def body(index):
        results[index] = run(xs[index])

    workers = [threading.Thread(target=body, args=(index,)) for index in range(len(xs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    for result, right in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, right)


def test_nan_stays_in_its_row():
    gru, x = make(3)
    bad = x[0].copy()
    bad[1] = np.nan
    stream, clean = gru.stream(3), gru.stream(3)
    y, expected = stream(bad), clean(x[0])
    np.testing.assert_array_equal(y[[0, 2]], expected[[0, 2]])
    assert np.isnan(y[1]).all()


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_is_not_copied_and_says_what_to_do(make_copy):
    gru, x = make(3)
    stream, other = gru.stream(3), gru.stream(3)
    stream(x[0])
    with pytest.raises(TypeError, match=r"neither copied nor pickled.*other\.h = stream\.h"):
        make_copy(stream)
    other.h = stream.h
    np.testing.assert_array_equal(other(x[1]), stream(x[1]))
