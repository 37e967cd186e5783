"""GRUForecaster: the interface, scales, missing values, covariates, interrupts, errors."""

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import pygru
from pygru.forecasting import GRUForecaster
from pygru.forecasting import fitting as fitting_module


def wave(n=300, noise=0.05, seed=0):
    t = np.arange(n)
    rng = np.random.default_rng(seed)
    return 0.02 * t + np.sin(2 * np.pi * t / 12) + noise * rng.standard_normal(n)


def quick(horizon=4, **options):
    """A forecaster that is trained a little."""
    return GRUForecaster(
        horizon, **{"hidden_size": 4, "epochs": 1, "progress": False, **options}
    )


def long_table(lengths, **columns):
    parts = []
    for number, (name, n) in enumerate(lengths.items()):
        days = pd.date_range("2020-01-01", periods=n)
        parts.append(
            pd.DataFrame({"shop": name, "day": days, "sales": wave(n, seed=number), **columns})
        )
    return pd.concat(parts, ignore_index=True)


# ---- the interface -----------------------------------------------------------------------


@pytest.mark.parametrize("season", [None, 12, "auto"])
def test_first_steps(season):
    forecaster = quick(season=season).fit(wave())
    frame = forecaster.predict()
    assert frame.index.tolist() == [300, 301, 302, 303]
    assert np.isfinite(frame.to_numpy()).all()
    assert forecaster.season_ == (None if season is None else 12)
    assert forecaster.window_ == (32 if season is None else 24)
    assert len(forecaster.history_) == 1


def test_it_learns_what_the_simple_methods_cannot():
    """A threshold autoregression: what comes next is not linear in the past."""
    rng = np.random.default_rng(0)
    values = np.zeros(900)
    for t in range(2, 900):
        slope = 0.9 if values[t - 2] > 0 else -0.9
        values[t] = slope * values[t - 1] + 0.5 * rng.standard_normal()
    forecaster = quick(1, window=6, hidden_size=16, epochs=25, learning_rate=0.01, n_threads=1)
    scores = forecaster.fit(values[:700]).backtest(values).scores["MAE"]
    assert scores["GRU"] < 0.9 * scores["linear autoregression"]
    assert scores["GRU"] < 0.8 * scores["last value"]


def test_several_targets_share_what_they_tell():
    """The second target is the first one, three steps later."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal(500)
    table = pd.DataFrame({"a": first, "b": np.roll(first, 3)})
    forecaster = quick(2, window=6, hidden_size=16, epochs=30, learning_rate=0.01, n_threads=1)
    result = forecaster.fit(table[:400]).backtest(table).scores_by("target")["MAE"]
    assert result["b", "GRU"] < 0.3 * result["b", "linear autoregression"]


def test_future_covariates_are_read_at_their_step():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(400)
    table = pd.DataFrame({"y": x + 0.1 * rng.standard_normal(400), "x": x})
    options = {"window": 4, "epochs": 30, "learning_rate": 0.01, "hidden_size": 16}
    with_it = quick(3, **options).fit(table[:300], future=["x"]).backtest(table)
    without = quick(3, **options).fit(table[:300], past=["x"]).backtest(table)
    assert with_it.scores.loc["GRU", "MAE"] < 0.4 * without.scores.loc["GRU", "MAE"]


def test_static_covariates_tell_series_apart():
    rows = []
    for name in range(8):
        up = 1.0 if name % 2 else -1.0
        values = np.cumsum(np.full(60, up)) + 1e-3 * np.random.default_rng(name).random(60)
        days = pd.date_range("2020-01-01", periods=60)
        rows.append(pd.DataFrame({"id": name, "day": days, "y": values, "up": f"{up}"}))
    table = pd.concat(rows)
    known = table[table["day"] < "2020-02-10"]
    forecaster = quick(2, epochs=5).fit(known, id="id", time="day", static=["up"])
    assert forecaster.backtest(table).scores.loc["GRU", "MAE"] < 1
    assert forecaster.model_.shape.features == 2 + 2


def test_a_forecast_has_the_shape_of_the_input():
    table = long_table({"a": 80, "b": 60})
    forecaster = quick(3, quantiles=(0.9, 0.1)).fit(table, id="shop", time="day")
    frame = forecaster.predict()
    assert list(frame.columns) == ["shop", "day", "sales", "sales_q0.1", "sales_q0.9"]
    assert frame["shop"].tolist() == ["a"] * 3 + ["b"] * 3
    assert frame["day"].iloc[0] == pd.Timestamp("2020-03-21")
    assert frame["day"].iloc[3] == pd.Timestamp("2020-03-01")


def test_repr_and_parameters():
    assert repr(GRUForecaster(4)) == "GRUForecaster(horizon=4)"
    forecaster = GRUForecaster(4, season=12, quantiles=[0.9, 0.1], clip_norm=None)
    text = "GRUForecaster(horizon=4, season=12, quantiles=(0.1, 0.9), clip_norm=None)"
    assert repr(forecaster) == text
    assert forecaster.get_params() == GRUForecaster(**forecaster.get_params()).get_params()
    assert forecaster.dropout == 0.2
    assert clone(forecaster).get_params() == forecaster.get_params()
    with pytest.raises(AttributeError, match="dropout of a GRUForecaster cannot be assigned"):
        forecaster.dropout = 0.5


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_copies(copied):
    forecaster = quick(quantiles=(0.1, 0.9)).fit(wave()[:250])
    other = copied(forecaster)
    expected = forecaster.backtest(wave())
    pd.testing.assert_frame_equal(other.predict(), forecaster.predict(), check_exact=True)
    again = pickle.loads(pickle.dumps(expected))
    pd.testing.assert_frame_equal(again.scores, other.backtest(wave()).scores)


def test_the_same_seed_gives_the_same_bits():
    results = [quick(season=12, seed=3).fit(wave()).predict() for _ in range(2)]
    pd.testing.assert_frame_equal(*results, check_exact=True)
    other = quick(season=12, seed=4).fit(wave()).predict()
    assert not other.equals(results[0])
    threads = quick(season=12, seed=3, n_threads=2).fit(wave()).predict()
    pd.testing.assert_frame_equal(results[0], threads, check_exact=True)


def test_bands_do_not_cross():
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    table = pd.DataFrame({"a": wave(), "b": 1e9 + wave(seed=1)})
    forecaster = quick(9, season=4, quantiles=levels).fit(table[:200])
    # Weights with which the outputs of the network cross.
    forecaster.model_.parameters["linear.bias"] = -np.arange(9.0 * 2 * 5)
    for name in ("a", "b"):
        frame = forecaster.predict()
        bands = frame[[f"{name}_q{q}" for q in levels]].to_numpy()
        assert (np.diff(bands, axis=1) >= 0).all()
        assert (frame[name] == frame[f"{name}_q0.5"]).all()
    frame = forecaster.backtest(table).forecasts
    bands = frame[[f"q{q}" for q in levels]].to_numpy()
    assert (np.diff(bands, axis=1) >= 0).all()


@pytest.mark.parametrize("with_future", [False, True])
def test_bands_are_as_wide_as_the_errors_from_the_beginning(with_future):
    """A step of the optimiser hardly changes them: they are set by the errors in training.

    Eight tenths of the values lie between the quantiles 0.1 and 0.9, four tenths between 0.1
    and 0.5, and a target that is always missing at some steps keeps finite bands.
    """
    rng = np.random.default_rng(0)
    n = 1500
    table = pd.DataFrame({"y": rng.standard_normal(n), "x": rng.standard_normal(n)})
    table["z"] = 1e6 + 1e4 * rng.standard_gamma(0.5, n)  # far from symmetric
    table.loc[::7, "z"] = np.nan
    forecaster = quick(
        3, quantiles=(0.1, 0.5, 0.9), learning_rate=1e-9, window=4, hidden_size=1, dropout=0
    )
    options = {"future": ["x"]} if with_future else {"past": ["x"]}
    forecaster.fit(table[:1000], target=["y", "z"], **options)
    forecaster.model_.parameters["linear.weight"][...] = 0  # what the GRU adds is random yet
    frame = forecaster.backtest(table).forecasts.dropna(subset=["actual"])
    for _, part in frame.groupby("target"):
        below = [(part["actual"] < part[f"q{q}"]).mean() for q in (0.1, 0.5, 0.9)]
        assert np.abs(np.subtract(below, (0.1, 0.5, 0.9))).max() < 0.05


@pytest.mark.parametrize("kind", [list, np.float32, np.int64, "strided", "read-only"])
def test_values_of_any_layout_give_the_same_forecast(kind):
    values = np.round(100 * wave())
    expected = quick().fit(values).predict()
    if kind == "strided":
        other = np.repeat(values, 2)[::2]
    elif kind == "read-only":
        other = values.copy()
        other.flags.writeable = False
    else:
        other = values.tolist() if kind is list else values.astype(kind)
    pd.testing.assert_frame_equal(quick().fit(other).predict(), expected, check_exact=True)


# ---- scales ------------------------------------------------------------------------------


@pytest.mark.parametrize("season", [None, 12])
@pytest.mark.parametrize("factor", [2.0**-17, 2.0**40])
def test_the_size_of_the_values_does_not_matter(season, factor):
    """Powers of two, so that no value is rounded in another way."""
    values = wave()
    expected = quick(season=season).fit(values).predict()
    found = quick(season=season).fit(factor * values).predict()
    np.testing.assert_allclose(found, factor * expected, rtol=1e-9)


@pytest.mark.parametrize("season", [None, 12])
def test_a_high_level_does_not_matter(season):
    expected = quick(season=season).fit(wave()).predict()
    found = quick(season=season).fit(1e12 + wave()).predict()
    np.testing.assert_allclose(found - 1e12, expected, atol=0.02)


@pytest.mark.parametrize("season", [None, 4])
@pytest.mark.parametrize("value", [0.0, 1e-5, 0.1 * 3, -7e11, 1e12 / 3])
def test_a_constant_is_forecast_exactly(season, value):
    constant = np.full(100, value)
    assert (quick(season=season).fit(constant).predict() == value).all().all()
    # A spread that is only rounding.
    wobbling = np.where(np.arange(100) % 3, constant, np.nextafter(constant, np.inf))
    if value:
        frame = quick(season=season).fit(wobbling).predict()
        np.testing.assert_allclose(frame, value, rtol=1e-13)


def test_series_of_all_sizes_share_one_model():
    table = long_table({"small": 100, "large": 100, "constant": 100, "other": 100})
    factors = table["shop"].map({"small": 1e-5, "large": 1e12, "constant": 0.0, "other": 1.0})
    table["sales"] = factors * table["sales"] + (table["shop"] == "constant") * 5.0
    forecaster = quick(3, season=12).fit(table, id="shop", time="day")
    frame = forecaster.predict().set_index("shop")["sales"]
    assert (frame["constant"] == 5.0).all()
    for name, factor in (("small", 1e-5), ("large", 1e12)):
        assert (np.abs(frame[name]) < 10 * factor).all()
        assert (np.abs(frame[name]) > 0.01 * factor).all()


def test_a_series_that_fit_has_not_seen():
    table = long_table({"a": 100, "b": 100})
    forecaster = quick(3, season=12).fit(table, id="shop", time="day")
    new = long_table({"new": 90})
    new["sales"] *= 1e6
    frame = forecaster.predict(new)
    alone = frame["sales"].to_numpy() / 1e6
    assert (np.abs(alone - wave(93)[90:]) < 2).all()
    short = new.iloc[:2]
    assert np.isfinite(forecaster.predict(short)["sales"]).all()


# ---- missing values ----------------------------------------------------------------------


@pytest.mark.parametrize("season", [None, 12])
def test_leading_gaps_are_not_filled_from_the_future(season):
    values = wave()
    values[:50] = np.nan
    forecaster = quick(season=season).fit(values)
    other = values.copy()
    frame = forecaster.predict(other)
    other[50:60] += 100
    changed = forecaster.predict(other)
    pd.testing.assert_frame_equal(frame, changed, check_exact=True)
    early = np.r_[np.full(30, np.nan), 5.0]
    assert np.isfinite(forecaster.predict(early)).all().all()


def test_gaps_are_inputs():
    values = wave()
    forecaster = quick(season=None).fit(values)
    filled = values.copy()
    filled[298] = filled[297]
    holey = values.copy()
    holey[298] = np.nan
    assert not forecaster.predict(holey).equals(forecaster.predict(filled))


def test_a_gap_of_a_whole_season():
    forecaster = quick(season=12).fit(wave())
    values = np.where(np.arange(60) % 12 == 3, 1.0, np.nan)
    values[12:] = np.nan
    assert np.isfinite(forecaster.predict(values[:40])).all().all()


def test_what_is_missing_is_not_learned():
    """Values that are missing may be anything in the file: the network does not see them."""
    values = wave()
    values[100:140:3] = np.nan
    weights = quick(season=12).fit(values).model_.state_dict()
    again = quick(season=12).fit(np.ma.filled(np.ma.masked_invalid(values), np.nan))
    for name, array in again.model_.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.filterwarnings("ignore::pygru.DataWarning")
def test_a_validation_part_without_a_value_decides_nothing():
    values = wave()
    values[240:] = np.nan
    forecaster = quick(epochs=3, patience=1).fit(values, validation_size=60)
    assert len(forecaster.history_) == 3
    assert "val_loss" not in forecaster.history_
    with pytest.warns(pygru.DataWarning, match="the validation part has no observed value"):
        quick().fit(values, validation_size=60)


def test_the_validation_part_only_chooses_the_epoch():
    """Neither weights nor scales nor the season come from it."""
    values, other = wave(), wave()
    other[240:] = 50 * np.sin(2 * np.pi * np.arange(60) / 9)
    fitted = [quick(season="auto").fit(y, validation_size=60) for y in (values, other)]
    assert fitted[0].season_ == fitted[1].season_ == 12
    scales = [forecaster._fitted.spreads[None] for forecaster in fitted]
    np.testing.assert_array_equal(scales[0].read, scales[1].read)
    np.testing.assert_array_equal(scales[0].error, scales[1].error)
    for name, array in fitted[0].model_.state_dict().items():
        np.testing.assert_array_equal(array, fitted[1].model_.state_dict()[name])


def test_the_best_epoch_is_kept():
    values = np.random.default_rng(0).standard_normal(120)
    forecaster = quick(epochs=40, patience=5, learning_rate=0.02, hidden_size=16).fit(values)
    losses = forecaster.history_["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 5
    again = quick(epochs=best + 1, patience=50, learning_rate=0.02, hidden_size=16).fit(values)
    pd.testing.assert_frame_equal(again.predict(), forecaster.predict(), check_exact=True)


def test_nothing_held_out():
    forecaster = quick(epochs=2).fit(wave(), validation_size=0)
    assert "val_loss" not in forecaster.history_
    assert forecaster.history_["sequences"][0] == 300 - 32 - 4 + 1


# ---- errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "exception", "match"),
    [
        ({"horizon": 0}, ValueError, "horizon must be >= 1"),
        ({"horizon": 2.0}, TypeError, "horizon must be an int, got float"),
        ({"horizon": 2**40}, ValueError, "horizon must be at most 1000000"),
        ({"horizon": 10**5000}, ValueError, "horizon is too large"),
        ({"season": 1}, ValueError, "season must be >= 2"),
        ({"season": "yes"}, ValueError, "season must be an int, 'auto' or None, got 'yes'"),
        ({"season": (7, 365)}, TypeError, "season must be an int"),
        ({"window": 1}, ValueError, "window must be >= 2"),
        ({"quantiles": 0.5}, TypeError, "quantiles must be a list of numbers"),
        ({"quantiles": [0.0]}, ValueError, r"quantiles must be numbers in \(0, 1\), got 0.0"),
        ({"quantiles": [math.nan]}, ValueError, r"quantiles must be numbers in \(0, 1\)"),
        ({"quantiles": [0.1, 0.1]}, ValueError, "quantiles must differ"),
        ({"hidden_size": 0}, ValueError, "hidden_size must be >= 1"),
        ({"num_layers": 0}, ValueError, "num_layers must be >= 1"),
        ({"variant": "lstm"}, ValueError, "variant must be one of"),
        ({"dropout": 1.0}, ValueError, r"dropout must be a number in \[0, 1\)"),
        ({"epochs": 0}, ValueError, "epochs must be >= 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be >= 1"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be"),
        ({"clip_norm": 0}, ValueError, "clip_norm must be > 0 or None"),
        ({"patience": 0}, ValueError, "patience must be >= 1"),
        ({"seed": "x"}, TypeError, "seed"),
        ({"seed": -1}, ValueError, "seed"),
        ({"n_threads": 0}, ValueError, "n_threads"),
        ({"progress": 1}, TypeError, "progress must be a bool"),
    ],
)
def test_options_that_are_refused(options, exception, match):
    with pytest.raises(exception, match=match):
        GRUForecaster(**{"horizon": 4, **options})


@pytest.mark.parametrize(
    ("y", "options", "exception", "match"),
    [
        ([np.nan] * 100, {}, ValueError, "all values of the target are missing"),
        (
            [np.nan] * 80 + [1.0] * 20,
            {},
            ValueError,
            "the target in the training part are missing",
        ),
        ([], {}, ValueError, "."),
        ([1.0, 2.0, 3.0], {}, ValueError, "too few rows: the longest series has 3 steps"),
        (
            wave(8),
            {},
            ValueError,
            "too few rows: the longest series has 8 steps; a horizon of 4",
        ),
        (wave(4), {"validation_size": 0}, ValueError, "too few rows"),
        (wave(), {"validation_size": 3}, ValueError, "validation_size must be 0 or at least"),
        (wave(), {"validation_size": 298}, ValueError, "too few rows"),
        (wave(), {"validation_size": 1.0}, ValueError, "validation_size must be below 1"),
        (wave(), {"validation_size": -0.1}, ValueError, "validation_size must be a number in"),
        (wave(), {"validation_size": True}, TypeError, "validation_size must be an int"),
        (wave(), {"validation_size": (1, 2)}, TypeError, "validation_size must be an int"),
        ([*wave(), np.inf], {}, ValueError, "inf"),
        ([*wave(), 1e300], {}, ValueError, "targets must be between -1e.100 and 1e.100"),
        ("abc", {}, TypeError, "y"),
        (None, {}, TypeError, "y"),
        (wave() + 1j, {}, (TypeError, ValueError), "y"),
        (
            [1.0] * 60 + [np.nan] * 30 + [1.0] * 5,
            {"validation_size": 34},
            ValueError,
            "of the val|",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::pygru.DataWarning")
def test_data_that_are_refused(y, options, exception, match):
    forecaster = quick()
    if match == "of the val|":  # a gap may be of any length: this is no error
        forecaster.fit(y, **options)
        return
    with pytest.raises(exception, match=match) as raised:
        forecaster.fit(y, **options)
    assert len(str(raised.value)) < 500
    with pytest.raises(RuntimeError, match="not fitted yet"):
        forecaster.predict()
    # A forecaster that was fitted stays as it was.
    forecaster = quick().fit(wave())
    before = forecaster.predict()
    with pytest.raises(exception, match=match):
        forecaster.fit(y, **options)
    pd.testing.assert_frame_equal(forecaster.predict(), before, check_exact=True)


def test_a_target_without_a_value_is_named():
    table = pd.DataFrame({"a": wave(), "b": np.nan})
    with pytest.raises(ValueError, match="all values of the target 'b' are missing"):
        quick().fit(table)
    table.loc[290:, "b"] = 1.0
    with pytest.raises(ValueError, match="the target 'b' in the training part are missing"):
        quick().fit(table)


def test_divergence_changes_nothing():
    forecaster = quick(epochs=3, learning_rate=1e38, clip_norm=None)
    with pytest.raises(pygru.DivergenceError, match="lower learning_rate or set clip_norm"):
        forecaster.fit(wave())
    with pytest.raises(RuntimeError, match="not fitted yet"):
        forecaster.predict()


def test_a_series_without_a_value_among_others():
    table = long_table({"a": 100, "b": 100})
    table.loc[table["shop"] == "b", "sales"] = np.nan
    forecaster = quick().fit(table, id="shop", time="day")
    with pytest.raises(ValueError, match=r"'b' has no observed value .*; leave out its rows"):
        forecaster.predict()
    assert np.isfinite(forecaster.predict(table[table["shop"] == "a"])["sales"]).all()


def test_a_value_that_float32_cannot_hold_is_refused():
    values = wave()
    forecaster = quick().fit(values)
    values[295] = 1e60
    with pytest.raises(ValueError, match="a value is too far from the others"):
        forecaster.predict(values)


def test_without_a_fit_there_is_neither_forecast_nor_file(tmp_path):
    forecaster = quick()
    for call in (
        forecaster.predict,
        lambda: forecaster.predict(wave()),
        lambda: forecaster.backtest(wave()),
        lambda: forecaster.save(tmp_path / "f"),
        lambda: forecaster.history_,
        lambda: forecaster.model_,
        lambda: forecaster.season_,
    ):
        with pytest.raises(RuntimeError, match="not fitted yet: call fit first"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_predict_refuses():
    forecaster = quick().fit(wave())
    with pytest.raises(ValueError, match="the series has no observed value before"):
        forecaster.predict([np.nan] * 60)
    with pytest.raises(TypeError, match="past and static need y"):
        forecaster.predict(past=["x"])
    forecaster.model_.parameters["linear.bias"] = np.full(4, np.nan)
    with pytest.raises(ValueError, match="the model returns NaN or infinity"):
        forecaster.predict()
    with pytest.raises(ValueError, match="the model returns NaN or infinity"):
        forecaster.backtest(wave(320))


# ---- Ctrl-C ------------------------------------------------------------------------------


class Stop(pygru.Callback):
    """Ctrl-C at the end of an epoch, or after a step of the next one."""

    def __init__(self, epoch, at_end):
        self.epoch, self.at_end = epoch, at_end
        self.ended = 0

    def on_batch_end(self, trainer, loss, sequences):
        if not self.at_end and self.ended == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_end(self, trainer, record):
        self.ended += 1
        if self.at_end and self.ended == self.epoch:
            raise KeyboardInterrupt


def interrupted_at(monkeypatch, *stop):
    original = fitting_module.EarlyStopping

    class Both(original):
        """Early stopping, which tells another callback what it was told."""

        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.stop = Stop(*stop)

        def on_batch_end(self, *arguments):
            self.stop.on_batch_end(*arguments)

        def on_epoch_end(self, *arguments):
            super().on_epoch_end(*arguments)
            self.stop.on_epoch_end(*arguments)

    monkeypatch.setattr(fitting_module, "EarlyStopping", Both)


@pytest.mark.parametrize("at_end", [True, False])
def test_ctrl_c_keeps_the_best_weights_so_far(at_end, monkeypatch):
    values = wave()
    options = {"season": 12, "learning_rate": 0.01}
    expected = quick(epochs=3, **options).fit(values)
    interrupted_at(monkeypatch, 3, at_end)
    forecaster = quick(epochs=9, **options)
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(values)
    pd.testing.assert_frame_equal(forecaster.predict(), expected.predict(), check_exact=True)
    assert forecaster.history_["val_loss"] == expected.history_["val_loss"]


def test_ctrl_c_in_the_first_epoch_changes_nothing(monkeypatch):
    interrupted_at(monkeypatch, 0, False)
    forecaster = quick()
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(wave())
    with pytest.raises(RuntimeError, match="not fitted yet"):
        forecaster.predict()
