"""Scaler against NumPy: what it learns, what it leaves alone, and what it refuses."""

import json
import pickle

import numpy as np
import pytest

import pygru
from pygru.data import Scaler

RNG = np.random.default_rng(20261126)
RAGGED = [RNG.normal(5, 3, (n, 2)) for n in (4, 7, 2)]
ROWS = np.concatenate(RAGGED)


def spread(method, rows):
    """The centre and the scale, computed by the definitions."""
    if method == "standard":
        return rows.mean(0), rows.std(0)
    if method == "minmax":
        return rows.min(0), rows.max(0) - rows.min(0)
    low, center, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    return center, high - low


@pytest.mark.parametrize("method", ["standard", "robust", "minmax"])
def test_the_scale_is_that_of_all_steps(method):
    center, scale = spread(method, ROWS)
    scaler = Scaler(method).fit(RAGGED)
    np.testing.assert_allclose(scaler.center, center, rtol=1e-14)
    np.testing.assert_allclose(scaler.scale, scale, rtol=1e-14)
    for before, after in zip(RAGGED, scaler.transform(RAGGED), strict=True):
        np.testing.assert_allclose(after, (before - center) / scale, rtol=1e-12, atol=1e-13)
    back = scaler.inverse_transform(scaler.transform(RAGGED))
    for before, after in zip(RAGGED, back, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-13)


def test_a_list_a_padded_array_and_the_rows_have_one_scale():
    padded, lengths = pygru.pad_sequences(RAGGED)
    padded[np.arange(padded.shape[1]) >= lengths[:, None]] = 1e9  # never read
    scalers = [
        Scaler().fit(RAGGED),
        Scaler().fit(padded, lengths=lengths),
        Scaler().fit(ROWS),
        Scaler().fit(np.array([*RAGGED, None], object)[:-1]),
    ]
    assert len({json.dumps(scaler.get_params()) for scaler in scalers}) == 1


def test_padding_stays_as_it_is():
    padded, lengths = pygru.pad_sequences(RAGGED)
    before = padded.copy()
    scaled = Scaler().fit_transform(padded, lengths=lengths)
    padding = np.arange(padded.shape[1]) >= lengths[:, None]
    assert (scaled[padding] == 0).all() and (scaled[~padding] != before[~padding]).all()
    np.testing.assert_array_equal(padded, before)  # the input is never changed
    back = Scaler().fit(padded, lengths=lengths)
    np.testing.assert_allclose(
        back.inverse_transform(scaled, lengths=lengths), before, rtol=1e-13
    )


def test_nothing_of_the_test_data_is_in_the_scale():
    train, test = ROWS[:6], ROWS[6:]
    scaler = Scaler().fit(train)
    params = json.dumps(scaler.get_params())
    scaler.transform(test * 1e6)
    assert json.dumps(scaler.get_params()) == params
    np.testing.assert_allclose(scaler.center, train.mean(0), rtol=1e-14)


def test_missing_values_are_ignored_and_stay():
    rows = ROWS.copy()
    rows[[0, 3], 1] = np.nan
    scaler = Scaler().fit(rows)
    np.testing.assert_allclose(scaler.center, np.nanmean(rows, 0), rtol=1e-14)
    np.testing.assert_allclose(scaler.scale, np.nanstd(rows, 0), rtol=1e-14)
    np.testing.assert_array_equal(np.isnan(scaler.transform(rows)), np.isnan(rows))


@pytest.mark.parametrize("method", ["standard", "robust", "minmax"])
@pytest.mark.parametrize("level", [0.0, 0.1, 1e-5, -3.0, 1e12, 1e300, 5e-324])
def test_a_constant_feature_becomes_zero(method, level):
    scaled = Scaler(method).fit_transform(np.full((9, 1), level))
    assert (scaled == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spread_that_is_only_rounding_is_constant(dtype):
    rounded = np.full((5, 1), 0.3, dtype)
    rounded[0] = np.nextafter(rounded[0], dtype(1), dtype=dtype)
    assert Scaler().fit(rounded).scale == [1.0]


@pytest.mark.parametrize("method", ["standard", "robust", "minmax"])
@pytest.mark.parametrize("size", [1e-300, 1e-5, 1.0, 1e12, 1e300])
def test_any_size_of_values_is_scaled_alike(method, size):
    rows = ROWS - 5
    wanted = Scaler(method).fit_transform(rows)
    np.testing.assert_allclose(Scaler(method).fit_transform(rows * size), wanted, rtol=1e-9)


def test_a_small_change_at_a_high_level_is_seen():
    values = 1e12 + np.arange(10.0)
    np.testing.assert_allclose(Scaler().fit(values).scale, [np.arange(10.0).std()], rtol=1e-6)


def test_float32_stays_and_integers_become_float64():
    assert Scaler().fit_transform(ROWS.astype(np.float32)).dtype == np.float32
    assert Scaler().fit_transform(np.arange(4)).dtype == np.float64
    assert Scaler().fit_transform(np.array([True, False])).tolist() == [1.0, -1.0]


def test_empty_sequences_have_no_say():
    with_empty = [RAGGED[0], [], RAGGED[1], np.zeros((0, 2)), RAGGED[2]]
    scaler = Scaler().fit(with_empty)
    np.testing.assert_allclose(scaler.center, ROWS.mean(0), rtol=1e-14)
    assert [len(each) for each in scaler.transform(with_empty)] == [4, 0, 7, 0, 2]


def test_one_feature_without_an_axis():
    scaled = Scaler("minmax").fit_transform([[1, 3], [2]])
    assert [each.tolist() for each in scaled] == [[0.0, 1.0], [0.5]]
    assert Scaler("minmax").fit_transform(np.array([1, 3])).tolist() == [0.0, 1.0]


def test_the_scaler_travels_through_a_file_and_pickle(tmp_path):
    scaler = Scaler("robust").fit(RAGGED)
    model = pygru.Sequential(pygru.GRU(2, 3, batch_first=True, seed=0))
    pygru.save(model, tmp_path / "m.safetensors", {"scaler": scaler.get_params()})
    read = pygru.read_metadata(tmp_path / "m.safetensors")["scaler"]
    for again in (Scaler(**read), pickle.loads(pickle.dumps(scaler))):
        assert again.get_params() == scaler.get_params()
        for one, other in zip(again.transform(RAGGED), scaler.transform(RAGGED), strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_is_a_step_of_a_pipeline():
    sklearn = pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline

    from pygru.sklearn import GRURegressor

    y = np.array([len(each) for each in RAGGED], float)
    pipeline = make_pipeline(Scaler(), GRURegressor((4,), max_iter=3, tol=0, random_state=0))
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        pipeline.fit(RAGGED, y)
    by_hand = GRURegressor((4,), max_iter=3, tol=0, random_state=0)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        by_hand.fit(Scaler().fit_transform(RAGGED), y)
    np.testing.assert_array_equal(
        pipeline.predict(RAGGED), by_hand.predict(Scaler().fit(RAGGED).transform(RAGGED))
    )
    assert sklearn.clone(pipeline)[0].method == "standard"


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, np.inf]], "feature 0 of X is infinite, first in step 1"),
        (np.array([[1.0, np.nan]]), "feature 1 of X has no value"),
        (np.zeros((0, 2)), "X has no step"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], r"X\[1\] must have shape \(T, 2\)"),
        (np.zeros((2, 2, 2, 2)), "must have shape"),
        (["a"], "must be numeric"),
        (None, "array-like of numbers"),
        (np.array([1.7e308, -1.7e308]), "spreads over more"),
        (np.array([2**60, 1]), "cannot represent exactly"),
    ],
)
def test_what_fit_refuses(X, message):
    scaler = Scaler("minmax")
    with pytest.raises((TypeError, ValueError), match=message):
        scaler.fit(X)
    assert scaler.center is None and scaler.scale is None


def test_what_transform_refuses():
    with pytest.raises(RuntimeError, match="not fitted yet: call fit first"):
        Scaler().transform(ROWS)
    with pytest.raises(ValueError, match="X has 3 features, and the scaler was fitted with 2"):
        Scaler().fit(ROWS).transform(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="method must be one of"):
        Scaler("unit").fit(ROWS)
    with pytest.raises(ValueError, match="a list has its own lengths"):
        Scaler().fit(RAGGED, lengths=[1, 2, 3])
    with pytest.raises(ValueError, match=r"lengths is for an array \(N, T, F\)"):
        Scaler().fit(ROWS, lengths=[1])
    for center, scale in ([[0.0], [0.0]], [[np.nan], [1.0]], [[0.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match="center"):
            Scaler(center=center, scale=scale).transform([1.0])
    with pytest.raises(ValueError, match="did you mean 'method'"):
        Scaler().set_params(metod="minmax")
