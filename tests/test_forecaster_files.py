"""Files of forecasters: what comes back, and what is refused."""

import json
import struct

import numpy as np
import pandas as pd
import pytest

import pygru
from pygru.errors import FormatError
from pygru.forecasting import GRUForecaster
from pygru.forecasting.network import ForecastNetwork


def wave(n=200, seed=0):
    t = np.arange(n)
    return np.sin(2 * np.pi * t / 12) + 0.1 * np.random.default_rng(seed).standard_normal(n)


def quick(horizon=4, **options):
    return GRUForecaster(
        horizon, **{"hidden_size": 4, "epochs": 1, "progress": False, **options}
    )


@pytest.fixture(scope="module")
def table():
    days = pd.date_range("2020-01-01", periods=200)
    return pd.concat(
        pd.DataFrame(
            {
                "shop": shop,
                "day": days,
                "x": wave(seed=seed),
                "y": 1e6 * wave(seed=seed + 9),
                "rain": wave(seed=seed + 5),
                "kind": ["open", "closed"] * 100,
                "size": float(seed),
            }
        )
        for seed, shop in enumerate("ab")
    )


@pytest.mark.parametrize("role", ["past", "future"])
def test_everything_comes_back(role, table, tmp_path):
    forecaster = quick(season="auto", quantiles=(0.1, 0.9)).fit(
        table[table["day"] < "2020-06-01"],
        id="shop",
        time="day",
        target=["x", "y"],
        static=["size"],
        **{role: ["rain", "kind"]},
    )
    forecaster.save(tmp_path / "f.safetensors")
    loaded = GRUForecaster.load(tmp_path / "f.safetensors")
    given = {**forecaster.get_params(), "progress": None, "n_threads": None}
    assert loaded.get_params() == given  # those two belong to the run
    assert (loaded.season_, loaded.window_) == (forecaster.season_, forecaster.window_)
    for name in ("epoch", "loss", "val_loss", "learning_rate", "sequences"):
        assert loaded.history_[name] == forecaster.history_[name]
    ours = forecaster.backtest(table).forecasts
    theirs = loaded.backtest(table, start="2020-06-01").forecasts
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    with pytest.raises(RuntimeError, match="holds no data: give y"):
        loaded.predict()
    loaded.save(tmp_path / "again")
    first, second = ((tmp_path / name).read_bytes() for name in ("f.safetensors", "again"))
    assert first == second


def test_no_data_are_in_the_file(tmp_path):
    values = wave()
    values[77] = 123.456789
    quick().fit(values).save(tmp_path / "f")
    assert b"123.456789" not in (tmp_path / "f").read_bytes()
    assert np.float64(123.456789).tobytes() not in (tmp_path / "f").read_bytes()


@pytest.fixture(scope="module")
def fitted():
    return quick(season=12).fit(wave())


def rewritten(fitted, path, change, **options):
    """Save a forecaster with another note."""
    fitted.save(path)
    note = pygru.read_metadata(path)["forecaster"]
    change(note)
    model = fitted.model_
    pygru.save(model, path, {"forecaster": note, **options})


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("horizon", 9, "need a network with horizon=9, and the file's has horizon=4"),
        ("horizon", 2**40, "horizon must be at most 1000000"),
        ("horizon", "4", "horizon must be an int"),
        ("quantiles", [0.5, 0.9], "levels=2"),
        ("hidden_size", 0, "hidden_size must be >= 1"),
        ("seed", -1, "seed"),
    ],
)
def test_options_that_do_not_fit(name, value, match, fitted, tmp_path):
    rewritten(fitted, tmp_path / "f", lambda note: note["settings"].update({name: value}))
    with pytest.raises(FormatError, match=f"settings are not valid: .*{match}"):
        GRUForecaster.load(tmp_path / "f")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda n: n.pop("settings"), "'settings' is missing"),
        (lambda n: n["settings"].pop("epochs"), "the options are not those"),
        (lambda n: n["settings"].update(more=1), "the options are not those"),
        (lambda n: n.update(window=2**40), "window must be at most"),
        (lambda n: n.update(window=9), "order must be at most the window of 9, got 24"),
        (lambda n: n.update(window=25), "window=25"),
        (lambda n: n.update(season=1), "season must be >= 2"),
        (lambda n: n.update(schema={}), "the description of the table has no"),
        (lambda n: n.update(schema=None), "the description of the table"),
        (lambda n: n.update(series=[[None, [1.0]]]), ""),
        (lambda n: n.update(series=[[None, [1.0], ["x"]]]), "series must be a float"),
        (lambda n: n.update(series=[[None, [-1.0], [1.0]]]), "not possible"),
        (lambda n: n.update(series=[[None, [float("nan")], [1.0]]]), "not possible"),
        (lambda n: n.update(series=[[None, [1.0, 2.0], [1.0]]]), "lists of 1 numbers"),
        (lambda n: n.update(series=5), ""),
        (lambda n: n.update(ratio=[]), "ratio must have lists of 1 numbers"),
        (lambda n: n.update(past=[[1.0], [1.0]]), "past must have lists of 0 numbers"),
        (lambda n: n.update(validation_size=1), "validation_size must be 0 or at least"),
        (lambda n: n.update(history=3), "the history is not a list"),
        (lambda n: n.update(history=[3]), "the history is not a list"),
    ],
)
def test_notes_that_are_damaged(change, match, fitted, tmp_path):
    rewritten(fitted, tmp_path / "f", change)
    with pytest.raises(FormatError, match=f"settings are not valid: .*{match}"):
        GRUForecaster.load(tmp_path / "f")


def test_a_plain_model_is_not_a_forecaster(fitted, tmp_path):
    pygru.save(pygru.GRU(1, 1), tmp_path / "m")
    with pytest.raises(FormatError, match="the model is not a forecaster"):
        GRUForecaster.load(tmp_path / "m")
    fitted.save(tmp_path / "f")
    note = pygru.read_metadata(tmp_path / "f")
    pygru.save(pygru.GRU(2, 4, batch_first=True), tmp_path / "m", note)
    with pytest.raises(FormatError, match="the model is not a forecaster"):
        GRUForecaster.load(tmp_path / "m")
    with pytest.raises(FormatError, match=r"use pygru\.forecasting\.GRUForecaster\.load$"):
        pygru.load(tmp_path / "f")
    assert pygru.load(tmp_path / "f", layers={"ForecastNetwork": ForecastNetwork})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(value, tmp_path):
    forecaster = quick().fit(wave())
    forecaster.save(tmp_path / "good")
    before = (tmp_path / "good").read_bytes()
    forecaster.model_.parameters["linear.bias"] = np.full(4, value)
    with pytest.raises(ValueError, match=r"not saved: linear\.bias contains NaN or infinity"):
        forecaster.save(tmp_path / "good")
    assert (tmp_path / "good").read_bytes() == before
    # Written by somebody else.
    note = pygru.read_metadata(tmp_path / "good")
    pygru.save(forecaster.model_, tmp_path / "bad", note)
    with pytest.raises(FormatError, match=r"linear\.bias contains NaN or infinity"):
        GRUForecaster.load(tmp_path / "bad")


def test_a_network_of_absurd_sizes_is_refused_before_anything_is_allocated(fitted, tmp_path):
    fitted.save(tmp_path / "f")
    data = (tmp_path / "f").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    for name in (
        "horizon",
        "features",
        "targets",
        "levels",
        "order",
        "hidden_size",
        "num_layers",
    ):
        config = json.loads(header["__metadata__"]["config"])
        config["config"][name] = 2**40
        changed = json.loads(json.dumps(header))
        changed["__metadata__"]["config"] = json.dumps(config)
        text = json.dumps(changed).encode()
        text += b" " * (-len(text) % 8)
        (tmp_path / "g").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        with pytest.raises(FormatError):
            GRUForecaster.load(tmp_path / "g")


def test_what_json_cannot_hold_is_not_saved(tmp_path):
    forecaster = quick(learning_rate=pygru.schedules.cosine(1e-3, 10)).fit(wave())
    with pytest.raises(TypeError, match="learning_rate must be a number or None"):
        forecaster.save(tmp_path / "f")
    forecaster = quick(seed=np.random.default_rng(0)).fit(wave())
    with pytest.raises(TypeError, match="seed must be a number or None"):
        forecaster.save(tmp_path / "f")
    with pytest.raises(TypeError):
        GRUForecaster.load(1)
    with pytest.raises(FileNotFoundError):
        GRUForecaster.load(tmp_path / "none")
