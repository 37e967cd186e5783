"""Pictures: they show the data that were given, on the axes that were given."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("matplotlib") is None:
    pytest.skip("matplotlib is not installed", allow_module_level=True)

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.colors import to_rgba

import pygru
from pygru import GRU, History


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def gates_of(steps=5, units=3, h0=None):
    x = np.random.default_rng(0).standard_normal((steps, 2))
    return GRU(2, units, seed=0).gates(x, h0)[0]


def tick_texts(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def line(ax, label):
    return next(line for line in ax.get_lines() if line.get_label() == label)


@pytest.mark.parametrize("name", ["r", "z", "n", "h"])
def test_gates_draws_units_as_rows_and_steps_as_columns(name):
    values = gates_of()
    given = plt.figure().add_subplot()
    ax = pygru.plot.gates(values, name, labels=["a", "b", "c", "d", "e"], ax=given)
    assert ax is given
    np.testing.assert_array_equal(ax.images[0].get_array(), getattr(values, name).T)
    assert ax.images[0].get_clim() == ((0, 1) if name in "rz" else (-1, 1))
    assert tick_texts(ax.xaxis) == ["a", "b", "c", "d", "e"]
    assert ax.images[0].colorbar.ax.get_ylabel().endswith(name)


def test_gates_of_chosen_units_in_their_order():
    values = gates_of()
    ax = pygru.plot.gates(values, "z", units=[2, -3])
    np.testing.assert_array_equal(ax.images[0].get_array(), values.z.T[[2, 0]])
    assert tick_texts(ax.yaxis) == ["2", "0"]


def test_colours_of_the_state_reach_a_large_first_state():
    ax = pygru.plot.gates(gates_of(h0=[[9.0, -20.0, 0.5]]), "h")
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert high == np.abs(ax.images[0].get_array()).max() > 1


def test_long_labels_stand_upright():
    ax = pygru.plot.gates(gates_of(), labels=["a rather long label"] * 5)
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}


def test_attention_draws_targets_as_rows():
    weights = np.array([[0.7, 0.2, 0.1], [0.0, 0.4, 0.6]])
    given = plt.figure().add_subplot()
    ax = pygru.plot.attention(weights, ["x", "y", "z"], ["a", "b"], ax=given)
    assert ax is given
    np.testing.assert_array_equal(ax.images[0].get_array(), weights)
    assert ax.images[0].get_clim() == (0, 1)
    assert (tick_texts(ax.xaxis), tick_texts(ax.yaxis)) == (["x", "y", "z"], ["a", "b"])
    assert ax.yaxis_inverted()  # the first target is on top


def test_forecast_draws_history_truth_median_and_bands():
    history, truth = np.array([1.0, np.nan, 3.0]), np.array([5.0, 6.0])
    prediction = np.array([[2.0, 3, 4, 5, 7], [1.0, 3, 5, 6, 9]])
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    given = plt.figure().add_subplot()
    ax = pygru.plot.forecast(history, prediction, quantiles=levels, truth=truth, ax=given)
    assert ax is given
    np.testing.assert_array_equal(line(ax, "history").get_xydata()[:, 1], history)
    np.testing.assert_array_equal(line(ax, "history").get_xdata(), [-2, -1, 0])
    np.testing.assert_array_equal(line(ax, "truth").get_xydata(), [[1, 5], [2, 6]])
    np.testing.assert_array_equal(line(ax, "median").get_xydata(), [[1, 4], [2, 5]])
    outer, inner = ax.collections
    assert (outer.get_label(), inner.get_label()) == ("90 % band", "50 % band")
    for band, low, high in ((outer, (2, 1), (7, 9)), (inner, (3, 3), (5, 6))):
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        assert corners == {(1, low[0]), (2, low[1]), (1, high[0]), (2, high[1])}


def test_a_value_between_gaps_is_a_dot():
    history = np.array([1.0, 2.0, np.nan, 4.0, np.nan, 6.0, 7.0, np.nan, 9.0])
    ax = pygru.plot.forecast(history, [1.0, 1.0], truth=[5.0, np.nan])
    dots = [line.get_xydata() for line in ax.get_lines() if line.get_marker() == "."]
    np.testing.assert_array_equal(np.concatenate(dots), [[-5, 4], [0, 9], [1, 5]])


def test_forecast_without_quantiles_is_one_line():
    dates = np.arange("2026-01-01", "2026-01-05", dtype="datetime64[D]")
    ax = pygru.plot.forecast([1.0, 2.0], [3.0, 4.0], x=dates)
    np.testing.assert_array_equal(line(ax, "prediction").get_ydata(), [3, 4])
    np.testing.assert_array_equal(line(ax, "prediction").get_xdata(orig=True), dates[2:])
    assert not ax.collections


def test_forecast_of_an_even_number_of_quantiles_has_no_middle_line():
    ax = pygru.plot.forecast([1.0], [[2.0, 3.0]], quantiles=(0.1, 0.8))
    assert ax.get_legend_handles_labels()[1] == ["history", "70 % band"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.gates(np.ones((2, 3))), TypeError, "gates must be a Gates"),
        (lambda p: p.gates(gates_of(), "q"), ValueError, "gate must be one of 'r', 'z'"),
        (lambda p: p.gates(gates_of(), labels="ab"), ValueError, "5 labels, one per step"),
        (lambda p: p.gates(gates_of(), units=[3]), IndexError, "hidden_size=3"),
        (lambda p: p.gates(gates_of(), units=[0.5]), ValueError, "units must be"),
        (lambda p: p.gates(gates_of(), ax=plt.figure()), TypeError, "matplotlib Axes"),
        (
            lambda p: p.gates(GRU(2, 3, seed=0).gates(np.ones((4, 1, 2)))[0]),
            ValueError,
            "of one sequence",
        ),
        (lambda p: p.attention([0.5], "a", "b"), ValueError, "(targets, sources)"),
        (lambda p: p.attention([[0.5, 0.5]], "a", "b"), ValueError, "source must hold 2"),
        (lambda p: p.attention([[0.5, 0.5]], "ab", "cd"), ValueError, "target must hold 1"),
        (lambda p: p.attention([[np.nan, 0.5]], "ab", "c"), ValueError, "in [0, 1]"),
        (lambda p: p.forecast([[1.0]], [1.0]), ValueError, "history must have shape (T,)"),
        (lambda p: p.forecast([1.0], [[1.0]]), ValueError, "unless quantiles"),
        (lambda p: p.forecast([1.0], [1.0], quantiles=[0.5]), ValueError, "(K, 1)"),
        (
            lambda p: p.forecast([1.0], [[1.0, 2.0]], quantiles=[0.9, 0.1]),
            ValueError,
            "ascend",
        ),
        (lambda p: p.forecast([1.0], [1.0], truth=[1.0, 2.0]), ValueError, "truth must"),
        (lambda p: p.forecast([1.0], [1.0], x=[0]), ValueError, "x must have shape"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call(pygru.plot)
    assert message in str(caught.value)


def test_history_with_validation_in_some_epochs_only():
    records = [{"epoch": e, "loss": 5.0 - e} for e in range(4)]
    records[1]["val_loss"], records[3]["val_loss"] = 2.0, np.nan
    ax = History(records).plot()
    np.testing.assert_array_equal(line(ax, "training").get_xdata(), range(4))
    np.testing.assert_array_equal(
        line(ax, "validation").get_ydata(), [np.nan, 2, np.nan, np.nan]
    )
    np.testing.assert_array_equal(line(ax, "best").get_xydata(), [[1, 2.0]])
    assert [list(each.get_xdata()) for each in ax.get_lines() if each.get_marker() == "."] == [
        [1]
    ]


def test_history_of_one_epoch_is_seen():
    ax = History([{"epoch": 0, "loss": 1.0}]).plot()
    assert any(each.get_marker() == "." for each in ax.get_lines())
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_history_on_axes_with_ticks_of_their_own():
    for prepare in (lambda ax: ax.set_xticks([0, 1]), lambda ax: ax.set_xscale("log")):
        ax = plt.subplots()[1]
        prepare(ax)
        assert History([{"epoch": 1, "loss": 1.0}]).plot(ax) is ax


def test_forecast_of_one_step_is_seen():
    ax = pygru.plot.forecast([1.0, 2.0], [[2.5, 3.0, 3.5]], quantiles=(0.1, 0.5, 0.9))
    dots = [each for each in ax.get_lines() if each.get_marker() == "."]
    np.testing.assert_array_equal(dots[0].get_xydata(), [[1, 3.0]])
    bars = [c for c in ax.collections if type(c).__name__ == "LineCollection"]
    np.testing.assert_array_equal(bars[0].get_segments(), [[[1, 2.5], [1, 3.5]]])


def test_history_marks_the_best_epoch():
    records = [(0, 3.0, 2.5), (1, 2.0, 1.5), (2, 1.0, 1.75)]
    history = History(
        [{"epoch": e, "loss": loss, "val_loss": val_loss} for e, loss, val_loss in records]
    )
    ax = history.plot()
    np.testing.assert_array_equal(line(ax, "training").get_ydata(), [3, 2, 1])
    np.testing.assert_array_equal(line(ax, "best").get_xydata(), [[1, 1.5]])
    assert to_rgba(line(ax, "best").get_color()) == to_rgba(line(ax, "validation").get_color())


# ---- hostile input ---------------------------------------------------------------------


def drawn(ax):
    """The axes, after matplotlib has really drawn them: some errors come only then."""
    ax.figure.canvas.draw()
    return ax


def test_labels_are_texts_and_no_formulas():
    labels = ["$", r"$\frac{", "$a$", "_x", "%^{}"]
    ax = drawn(pygru.plot.gates(gates_of(), labels=labels))
    assert tick_texts(ax.xaxis) == labels
    ax = drawn(pygru.plot.attention([[0.5, 0.5]], [r"$\bad$", "b"], [r"$\{$"]))
    assert tick_texts(ax.yaxis) == [r"$\{$"]


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_gates_that_are_not_finite_leave_the_colours_of_the_others(special):
    values = gates_of()
    values.h[2, 1] = special
    ax = drawn(pygru.plot.gates(values, "h"))
    assert ax.images[0].get_clim() == (-1, 1)


def test_units_of_any_integer_type():
    values = gates_of()
    for dtype in (np.uint8, np.uint64, np.int16):
        ax = pygru.plot.gates(values, "z", units=np.array([2, 0], dtype))
        np.testing.assert_array_equal(ax.images[0].get_array(), values.z.T[[2, 0]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda p: p.gates(gates_of(), labels=5),
            TypeError,
            "labels must be a sequence of lab",
        ),
        (lambda p: p.gates(gates_of(), units="z"), TypeError, "units must be numeric"),
        (
            lambda p: p.gates(gates_of(), units=[True]),
            ValueError,
            "units must be a sequence of",
        ),
        (lambda p: p.gates(gates_of(), units=[2**63]), IndexError, "got [9223372036854775808]"),
        (
            lambda p: p.gates(gates_of(), np.array(["r", "z"])),
            ValueError,
            "gate must be one of",
        ),
        (
            lambda p: p.gates(gates_of(), ax=3),
            TypeError,
            "ax must be a matplotlib Axes, got int",
        ),
        (lambda p: p.attention(None, "a", "b"), TypeError, "weights must be array-like"),
        (
            lambda p: p.attention([[1.0]], None, 3),
            TypeError,
            "target must be a sequence of lab",
        ),
        (lambda p: p.attention([[1 + 1j]], "a", "b"), ValueError, "Complex data not supported"),
        (lambda p: p.attention(np.zeros((0, 3)), "", "abc"), ValueError, "(targets, sources)"),
        (lambda p: p.forecast(None, [1.0]), TypeError, "history must be array-like"),
        (lambda p: p.forecast(3.0, [1.0]), ValueError, "history must have shape (T,)"),
        (lambda p: p.forecast([1.0], 3.0), ValueError, "prediction must have shape (K,)"),
        (lambda p: p.forecast([1.0], "a"), TypeError, "prediction must be numeric"),
        (lambda p: p.forecast([1.0], [[1.0]], quantiles=0.5), TypeError, "quantiles must be a"),
        (lambda p: p.forecast([1.0], [[1.0]], quantiles=["a"]), TypeError, "must be a float"),
        (lambda p: p.forecast([1.0], [[1.0]], quantiles=[np.nan]), ValueError, "must ascend"),
        (lambda p: p.forecast([1.0], [[1.0]], quantiles=[]), ValueError, "must ascend"),
        (lambda p: p.forecast([1.0], [1.0], x=3), ValueError, "x must have shape"),
        (lambda p: p.forecast([1.0], [1.0], truth=[None]), TypeError, "truth must be numeric"),
    ],
)
def test_hostile_input_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call(pygru.plot)
    assert message in str(caught.value)


def test_forecast_of_no_steps_and_of_no_history():
    drawn(pygru.plot.forecast([1.0, 2.0], []))
    drawn(pygru.plot.forecast([], [1.0, 2.0]))
    drawn(pygru.plot.forecast([1.0], np.zeros((0, 3)), quantiles=(0.1, 0.5, 0.9)))
