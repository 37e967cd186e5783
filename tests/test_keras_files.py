"""from_keras on small files that Keras 2 and 3 have written: tests/make_keras_files.py.

The files hold two models: one with a mask, a batch normalisation, both kinds of reset and
hard_sigmoid, and a functional one with a model inside. What Keras computes with each is stored
beside them. Neither Keras nor h5py is needed here.
"""

import io
import json
import pathlib
import warnings
import zipfile

import numpy as np
import pytest

import pygru
from pygru import GRU, FormatError, Last, Sequential
from pygru.io.keras.reading import arrays, contents

DATA = pathlib.Path(__file__).parent / "data"
WHOLE = [
    (major, model, ending)
    for major in (2, 3)
    for model in ("masked", "nested")
    for ending in (".keras", ".h5.zip")
]
WEIGHTS = {2: "_weights.h5.zip", 3: ".weights.h5.zip"}
OLD, NEW = ("hard_sigmoid", 0.2, 0.5), ("hard_sigmoid", 1 / 6, 0.5)


def path_of(major, model, ending):
    return DATA / f"keras{major}_{model}{ending}"


def expected(major, model):
    with np.load(DATA / f"keras{major}.npz") as stored:
        return stored[f"{model}_x"], stored[f"{model}_y"]


def parts_of(path):
    """The members of a .keras archive by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(parts):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return file.getvalue()


def changed(tmp_path, change, major=3, model="masked"):
    """The path of a copy of a .keras file whose configuration ``change`` has changed."""
    parts = parts_of(path_of(major, model, ".keras"))
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config)
    path = tmp_path / "changed.keras"
    path.write_bytes(archive_of(parts))
    return path


def layer(config, name):
    """The configuration of a layer, wherever it is."""
    for entry in config["config"]["layers"]:
        if entry["config"].get("name", "").startswith(name):
            return entry["config"]
    raise KeyError(name)


# ---- whole models ------------------------------------------------------------------------


@pytest.mark.parametrize(("major", "model", "ending"), WHOLE)
def test_a_whole_model_computes_what_keras_computes(major, model, ending):
    x, y = expected(major, model)
    sequential = pygru.from_keras(path_of(major, model, ending))
    assert isinstance(sequential, Sequential)
    np.testing.assert_allclose(sequential(x), y, rtol=0, atol=3e-7)


@pytest.mark.parametrize(("major", "model", "ending"), WHOLE)
def test_gradients_reach_every_layer_of_an_imported_model(major, model, ending):
    x, y = expected(major, model)
    sequential = pygru.from_keras(path_of(major, model, ending), dtype="float64")
    out, tape = sequential.forward(x, training=False)
    sequential.backward(tape, np.ones_like(out) * y)
    for name, gradient in sequential.grads.items():
        assert np.isfinite(gradient).all(), name


def test_an_imported_model_is_saved_and_loaded(tmp_path):
    x, _ = expected(3, "masked")
    model = pygru.from_keras(path_of(3, "masked", ".keras"))
    pygru.save(model, tmp_path / "model.safetensors")
    assert np.array_equal(pygru.load(tmp_path / "model.safetensors")(x), model(x))


def test_the_layers_of_an_imported_model():
    model = pygru.from_keras(path_of(3, "masked", ".keras"))
    names = [type(each).__name__ for each in model.layers]
    assert names == ["Masking", "FeatureScale", "GRU", "GRU", "Last", "Linear", "Activation"]
    assert model.layers[2].merge == "sum"
    assert model.layers[2].zero_output_for_mask
    assert model.layers[2].variant == pygru.Variant.named("pytorch")
    assert model.layers[3].variant == pygru.Variant.named("cho")


# ---- what is found -----------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".keras", ".h5.zip"])
@pytest.mark.parametrize(("major", "hard"), [(2, OLD), (3, NEW)])
def test_what_the_files_say_of_their_grus(major, hard, ending):
    both, last = contents(path_of(major, "masked", ending)).grus
    assert (both.bidirectional, both.options["merge"]) == (True, "sum")
    assert both.variant.name == "pytorch"
    assert (both.activation, both.recurrent_activation) == ("tanh", "sigmoid")
    assert last.variant.name == "cho"
    assert last.recurrent_activation == hard
    assert last.unknown == ()
    assert "reset_after=False" in last.evidence["variant"]


@pytest.mark.parametrize("ending", [".keras", ".h5.zip"])
@pytest.mark.parametrize("major", [2, 3])
def test_names_are_those_of_the_layers(major, ending):
    first, deep, again = contents(path_of(major, "nested", ending)).grus
    assert (first.name, first.bias, first.variant.name) == ("first", False, "pytorch")
    assert (deep.name, deep.bias) == ("inside/deep", True)
    assert again.name == "again"
    path = path_of(major, "nested", ending)
    assert pygru.from_keras(path, "first").input_size == 3
    same = [pygru.from_keras(path, name) for name in ("deep", "inside/deep")]
    assert np.array_equal(same[0].flat_parameters, same[1].flat_parameters)


@pytest.mark.parametrize("major", [2, 3])
def test_every_gru_computes_the_same_from_both_kinds_of_file(major):
    for model, names in (("nested", ["first", "deep", "again"]), ("masked", [None])):
        if names == [None]:
            names = [each.name for each in contents(path_of(major, model, ".keras")).grus]
        for name in names:
            one = pygru.from_keras(path_of(major, model, ".keras"), name)
            other = pygru.from_keras(path_of(major, model, ".h5.zip"), name)
            assert one.options == other.options
            assert np.array_equal(one.flat_parameters, other.flat_parameters)


@pytest.mark.parametrize("major", [2, 3])
def test_weights_alone_ask_for_what_they_do_not_say(major):
    path = path_of(major, "masked", WEIGHTS[major])
    both, last = sorted(contents(path).grus, key=lambda each: not each.bidirectional)
    assert both.unknown == last.unknown == ("recurrent_activation",)
    assert (both.variant.name, last.variant.name) == ("pytorch", "cho")
    with pytest.raises(ValueError, match=r"pass recurrent_activation='sigmoid' or 'hard_sig"):
        pygru.from_keras(path, last.name)
    gru = pygru.from_keras(path, last.name, recurrent_activation="sigmoid", activation="relu")
    assert gru.activation == "relu"
    whole = contents(path_of(major, "masked", ".keras")).grus[1]
    same = pygru.from_keras(path, last.name, recurrent_activation=whole.recurrent_activation)
    assert np.array_equal(same.flat_parameters, whole.build().flat_parameters)


@pytest.mark.parametrize(("major", "hard"), [(2, OLD), (3, NEW)])
@pytest.mark.parametrize("ending", [".keras", "weights"])
def test_hard_sigmoid_is_that_of_the_version_of_the_file(major, hard, ending):
    path = path_of(major, "masked", WEIGHTS[major] if ending == "weights" else ending)
    _, last = sorted(contents(path).grus, key=lambda each: not each.bidirectional)
    gru = pygru.from_keras(path, last.name, recurrent_activation="hard_sigmoid")
    assert gru.recurrent_activation == hard
    assert last.build(recurrent_activation="hard_sigmoid").recurrent_activation == hard


@pytest.mark.parametrize("major", [2, 3])
def test_weights_without_biases_ask_for_the_variant(major):
    path = path_of(major, "nested", WEIGHTS[major])
    (gru,) = (each for each in contents(path).grus if not each.bias)
    assert set(gru.unknown) == {"recurrent_activation", "variant"}
    with pytest.raises(ValueError, match="variant"):
        pygru.from_keras(path, gru.name, recurrent_activation="sigmoid")


def test_several_grus_without_a_name_are_listed():
    path = path_of(3, "masked", WEIGHTS[3])
    with pytest.raises(ValueError, match=r"holds 2 GRUs; pass name= one of 'bidi.*weights al"):
        pygru.from_keras(path)
    with pytest.raises(ValueError, match="no GRU named 'gru_99'"):
        pygru.from_keras(path, "gru_99")


def test_arrays_are_returned_by_their_paths():
    found = arrays(path_of(3, "masked", ".keras"))
    assert found["layers/gru/cell/vars/0"].shape == (2, 9)
    assert pygru.io.read_arrays(path_of(3, "masked", ".keras")).keys() == found.keys()
    legacy = arrays(path_of(2, "masked", ".h5.zip"))
    assert any(name.endswith("gru_cell/kernel:0") for name in legacy)


def test_bytes_are_read_as_a_file(tmp_path):
    data = path_of(3, "nested", ".keras").read_bytes()
    assert [each.name for each in contents(data).grus] == ["first", "inside/deep", "again"]


# ---- options -----------------------------------------------------------------------------


def test_options_reach_every_gru():
    path = path_of(3, "nested", ".keras")
    x, y = expected(3, "nested")
    model = pygru.from_keras(path, dtype="float64")
    assert {each.dtype for each in model.layers if hasattr(each, "dtype")} == {
        np.dtype("float64")
    }
    np.testing.assert_allclose(model(x), y, rtol=0, atol=3e-7)
    assert not pygru.from_keras(path, "first", batch_first=False).batch_first
    with pytest.raises(ValueError, match="batch_first must be True for a whole model"):
        pygru.from_keras(path, batch_first=False)


def test_another_variant_is_exact_or_refused():
    path = path_of(3, "masked", ".keras")
    name = contents(path).grus[1].name
    x = np.random.default_rng(0).standard_normal((2, 4, 2))
    keeps = pygru.from_keras(path, name)
    replaces = pygru.from_keras(path, name, variant="chung")
    np.testing.assert_allclose(keeps(x)[0], replaces(x)[0], rtol=0, atol=2e-7)
    with pytest.raises(ValueError, match="no weights make the two equal"):
        pygru.from_keras(path, name, variant="pytorch")
    with pytest.raises(ValueError, match="contradicts"):
        pygru.from_keras(path, name, recurrent_activation="sigmoid")


@pytest.mark.parametrize("source", [3, None, ["a.keras"], np.ones(3), GRU])
def test_a_source_of_another_type_is_refused(source):
    with pytest.raises(TypeError, match="source must be a path, or a layer or a model of Ker"):
        pygru.from_keras(source)


# ---- configurations ----------------------------------------------------------------------


def test_a_model_that_keras_could_not_load_is_read(tmp_path):
    def change(config):
        config["compile_config"] = {"loss": {"module": "my", "class_name": "Own"}}
        config["registered_name"] = "mine>Sequential"

    x, y = expected(3, "masked")
    np.testing.assert_allclose(pygru.from_keras(changed(tmp_path, change))(x), y, atol=3e-7)


def test_a_layer_that_pygru_does_not_have_is_named(tmp_path):
    def change(config):
        layers = config["config"]["layers"]
        layers[:] = [each for each in layers if each["class_name"] != "Bidirectional"]
        layers[-1]["class_name"], layers[-1]["registered_name"] = "Own", "mine>Own"

    path = changed(tmp_path, change)
    with pytest.warns(UserWarning, match=r"only the GRU '\w+' is taken, without 'masking.*Own"):
        gru = pygru.from_keras(path)
    assert isinstance(gru, GRU)
    assert gru.hidden_size == 3


def with_class(config, class_name, module, registered):
    """Say of all layers of a class whose they are."""
    for entry in config["config"]["layers"]:
        if entry["class_name"] == class_name:
            entry.update(module=module, registered_name=registered)


@pytest.mark.parametrize(
    ("module", "registered"), [(None, "mine>Dense"), (None, "Dense"), ("mine", "Dense")]
)
def test_a_layer_of_somebody_else_with_a_name_of_keras_is_refused(tmp_path, module, registered):
    path = changed(tmp_path, lambda config: with_class(config, "Dense", module, registered))
    with pytest.raises(ValueError, match=rf"class {registered} \(not of Keras\)"):
        pygru.from_keras(path)
    both, _ = contents(path).grus
    assert pygru.from_keras(path, both.name).bidirectional


@pytest.mark.parametrize(("module", "registered"), [(None, "GRU"), ("mine", "mine>GRU")])
def test_a_gru_of_somebody_else_is_no_gru_of_keras(tmp_path, module, registered):
    path = changed(tmp_path, lambda config: with_class(config, "GRU", module, registered))
    found = contents(path)
    assert [each.bidirectional for each in found.grus] == [True]
    ((name, reason),) = found.refused.items()
    assert f"class {registered} (not of Keras), whose code is unknown" in reason
    with pytest.raises(ValueError, match="is not a GRU that pygru can take"):
        pygru.from_keras(path, name)


def test_a_registered_gru_in_a_file_of_an_old_version(tmp_path):
    def change(config):
        for entry in config["config"]["layers"]:
            if entry["class_name"] == "GRU":
                del entry["module"]
                entry["class_name"] = "mine>GRU"

    ((_, reason),) = contents(changed(tmp_path, change)).refused.items()
    assert "class mine>GRU (not of Keras)" in reason


def test_a_model_of_somebody_else_may_call_its_layers_in_another_way(tmp_path):
    path = changed(tmp_path, lambda config: config.update(module="mine", registered_name=None))
    with pytest.raises(ValueError, match=r"is a model of class Sequential \(not of Keras\)"):
        pygru.from_keras(path)


def test_a_second_mask_replaces_the_first_one(tmp_path):
    """It counts for the layers behind it, which pygru does not have: no wrong numbers."""

    def masking(value):
        config = {"name": f"masking_{value}", "mask_value": value}
        return {"module": "keras.layers", "class_name": "Masking", "config": config}

    for place in (1, 2, 3):
        path = changed(
            tmp_path, lambda c, i=place: c["config"]["layers"].insert(i + 1, masking(7.0))
        )
        with pytest.raises(ValueError, match=r"no equal of 'masking_7.0' \(a second mask"):
            pygru.from_keras(path)


@pytest.mark.parametrize("mask_zero", [False, True])
def test_an_embedding_behind_a_mask_replaces_or_drops_it(tmp_path, mask_zero):
    entry = {"class_name": "Embedding", "config": {"name": "table", "mask_zero": mask_zero}}
    path = changed(tmp_path, lambda config: config["config"]["layers"].insert(2, entry))
    with pytest.raises(ValueError, match=r"no equal of 'table' \(after a mask"):
        pygru.from_keras(path)


def quantised(config):
    policy = {"module": "keras", "class_name": "QuantizedDTypePolicy", "config": {}}
    layers = config["config"]["layers"]
    layers[:] = [each for each in layers if each["class_name"] != "Bidirectional"]
    layer(config, "dense")["dtype"] = policy


def test_quantised_layers_are_called_so(tmp_path):
    with pytest.warns(UserWarning, match=r"because pygru has no equal of .*are quantised\)"):
        pygru.from_keras(changed(tmp_path, quantised))


def test_the_path_of_a_file_stands_once_in_an_error(tmp_path):
    def change(config):
        layers = config["config"]["layers"]
        layers[:] = [each for each in layers if each["class_name"] == "Masking"]

    with pytest.raises(FormatError, match="no GRU was found") as caught:
        pygru.from_keras(changed(tmp_path, change))
    assert str(caught.value).count("changed.keras") == 1


def test_layers_of_training_are_left_out_with_a_warning(tmp_path):
    def change(config):
        noise = {"class_name": "GaussianNoise", "config": {"name": "noise", "stddev": 1}}
        config["config"]["layers"].insert(2, noise)

    x, y = expected(3, "masked")
    with pytest.warns(UserWarning, match="'noise' act in training only"):
        model = pygru.from_keras(changed(tmp_path, change))
    np.testing.assert_allclose(model(x), y, atol=3e-7)


def test_a_configuration_that_contradicts_the_weights_is_refused(tmp_path):
    for key, value in (("reset_after", True), ("units", 4), ("use_bias", False)):
        path = changed(tmp_path, lambda c, k=key, v=value: layer(c, "gru").update({k: v}))
        with pytest.raises(FormatError, match=r"changed.keras: damaged Keras file"):
            pygru.from_keras(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("activation", "elu", "the activation 'elu'"),
        ("activation", {"class_name": "function", "config": "mine"}, "'mine', which is not"),
        ("recurrent_activation", "softmax", "the activation 'softmax'"),
    ],
)
def test_other_activations_are_refused_by_name(tmp_path, key, value, message):
    path = changed(tmp_path, lambda config: layer(config, "gru").update({key: value}))
    found = contents(path)
    (reason,) = found.refused.values()
    assert message in reason
    (name,) = found.refused
    with pytest.raises(ValueError, match="is not a GRU that pygru can take"):
        pygru.from_keras(path, name)


def test_options_that_are_not_known_are_refused(tmp_path):
    path = changed(tmp_path, lambda config: layer(config, "gru").update(leak=0.5, new=None))
    (reason,) = contents(path).refused.values()
    assert reason == "the option leak=0.5, which is not known"


def test_hard_sigmoid_without_a_version_is_asked_for(tmp_path):
    parts = parts_of(path_of(3, "masked", ".keras"))
    del parts["metadata.json"]
    path = tmp_path / "unknown.keras"
    path.write_bytes(archive_of(parts))
    with pytest.raises(ValueError, match="pass recurrent_activation="):
        pygru.from_keras(path)
    name = contents(path).grus[1].name
    gru = pygru.from_keras(path, name, recurrent_activation=NEW)
    assert gru.recurrent_activation == NEW


def test_missing_keys_are_not_assumed(tmp_path):
    def change(config):
        for key in ("activation", "recurrent_activation"):
            del layer(config, "gru")[key]

    (_, gru) = contents(changed(tmp_path, change)).grus
    assert set(gru.unknown) == {"activation", "recurrent_activation"}


@pytest.mark.parametrize("merge", ["mul", "ave", "concat", None])
def test_merge_modes(tmp_path, merge):
    def change(config):
        layer(config, "bidirectional")["merge_mode"] = merge

    found = contents(changed(tmp_path, change))
    if merge is None:
        (reason,) = found.refused.values()
        assert "merge_mode=None" in reason
    else:
        assert found.grus[0].options["merge"] == merge


def test_a_backward_layer_of_another_kind_is_refused(tmp_path):
    def change(config):
        wrapper = layer(config, "bidirectional")
        wrapper["backward_layer"] = json.loads(json.dumps(wrapper["layer"]))
        wrapper["backward_layer"]["config"]["activation"] = "relu"

    (reason,) = contents(changed(tmp_path, change)).refused.values()
    assert "another activation" in reason


def test_a_gru_that_reads_backwards(tmp_path):
    def change(config):
        layer(config, "gru")["go_backwards"] = True

    path = changed(tmp_path, change)
    gru = contents(path).grus[1]
    assert gru.options["reverse"] is True
    assert "in which it reads" in gru.evidence["reverse"]
    (last,) = (each for each in pygru.from_keras(path).layers if isinstance(each, Last))
    assert last.reverse


def test_time_major_and_dropout_of_the_state(tmp_path):
    def change(config):
        layer(config, "gru").update(time_major=True, recurrent_dropout=0.25, stateful=True)

    gru = contents(changed(tmp_path, change)).grus[1].build()
    assert not gru.batch_first
    assert gru.recurrent_dropout == 0.25


# ---- archives ----------------------------------------------------------------------------


def test_an_archive_in_an_archive(tmp_path):
    inner = path_of(3, "masked", ".keras").read_bytes()
    path = tmp_path / "package.zip"
    path.write_bytes(archive_of({"info.yml": b"a: 1", "classifier.keras": inner}))
    x, y = expected(3, "masked")
    np.testing.assert_allclose(pygru.from_keras(path)(x), y, atol=3e-7)
    path.write_bytes(archive_of({"a.keras": inner, "b.keras": inner}))
    with pytest.raises(FormatError, match=r"holds 2 files of Keras, 'a.keras', 'b.keras'"):
        pygru.from_keras(path)
    for _ in range(4):
        inner = archive_of({"deeper.keras": inner})
    path.write_bytes(inner)
    with pytest.raises(FormatError, match="holds no model of Keras"):
        pygru.from_keras(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a Keras file"),
        (b"PK\x03\x04", "zip archive is damaged"),
        (archive_of({"x": b"1"}), "holds no model of Keras"),
        (archive_of({"config.json": b"{}"}), r"no member 'model.weights.h5'"),
        (archive_of({"config.json": b"[" * 10**5, "model.weights.h5": b""}), "not an HDF5"),
        (b"\x89HDF\r\n\x1a\n", "damaged HDF5 file"),
        (b"\x89HDF\r\n\x1a\n\x07", "superblock of version 7"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # an archive has a time in it
)
def test_files_that_are_none_of_keras(tmp_path, data, message):
    path = tmp_path / "file.keras"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        pygru.from_keras(path)
    assert str(path) in str(caught.value)


def deep(levels):
    """A configuration of models in models."""
    entry = {"class_name": "GRU", "config": {"name": "gru"}}
    for _ in range(levels):
        entry = {"class_name": "Sequential", "config": {"name": "s", "layers": [entry]}}
    return entry


@pytest.mark.parametrize(
    "config",
    [
        b"[" * 10**5,
        b"nan",
        b'{"class_name": "Sequential", "class_name": "x"}',
        b"\xff",
        b"[]",
        b"3",
        b'{"class_name": 3}',
        b'{"class_name": "Sequential", "config": 7}',
        b'{"class_name": "Sequential", "config": {"layers": [{"class_name": "GRU"}]}}',
        b'{"class_name": "Sequential", "config": {"layers": [{"class_name": "RNN", "config": '
        b'{"name": "gru", "cell": [3]}}]}}',
        json.dumps(deep(40)).encode(),
        json.dumps(deep(200)).encode(),
    ],
    ids=lambda config: config[:40].decode("latin-1"),
)
def test_hostile_configurations_are_refused(tmp_path, config):
    parts = parts_of(path_of(3, "masked", ".keras"))
    parts["config.json"] = config
    path = tmp_path / "hostile.keras"
    path.write_bytes(archive_of(parts))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FormatError):
            pygru.from_keras(path)


def test_a_zip_bomb_is_refused(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"{}")
        archive.writestr("model.weights.h5", bytes(2**25))
    path = tmp_path / "bomb.keras"
    path.write_bytes(file.getvalue())
    with pytest.raises(FormatError, match="more than 100 times as many are refused"):
        pygru.from_keras(path)


def test_a_file_that_is_not_there_or_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        pygru.from_keras(tmp_path / "none.keras")
    with pytest.raises(IsADirectoryError):
        pygru.from_keras(tmp_path)


def test_the_name_that_new_versions_store_is_compared(tmp_path):
    """A mapping from classes to layers that went wrong does not stay unnoticed."""

    def change(config):
        layer(config, "gru")["name"] = "another"

    with pytest.raises(FormatError, match="the weights of 'another' are those of 'gru"):
        pygru.from_keras(changed(tmp_path, change))


@pytest.mark.parametrize("major", [2, 3])
def test_a_file_without_its_last_bytes_is_refused(tmp_path, major):
    (data,) = parts_of(path_of(major, "masked", ".h5.zip")).values()
    path = tmp_path / "model.h5"
    path.write_bytes(data + b"more")
    assert isinstance(pygru.from_keras(path), Sequential)
    path.write_bytes(data[:-1])
    size = len(data)
    with pytest.raises(FormatError, match=f"says that it has {size} bytes, and has {size - 1}"):
        pygru.from_keras(path)
    parts = parts_of(path_of(major, "masked", ".keras"))
    parts["model.weights.h5"] = parts["model.weights.h5"][:-1]
    path.write_bytes(archive_of(parts))
    with pytest.raises(FormatError, match="says that it has"):
        pygru.from_keras(path)


def test_truncated_files_are_refused():
    data = parts_of(path_of(2, "nested", WEIGHTS[2]))["nested_weights.h5"]
    for size in range(0, len(data) - 1, 97):
        with pytest.raises(FormatError):
            list(arrays(data[:size]).values())
