"""What pygru.io.inspect finds, and what pygru.load says about the files of others."""

import io
import json
import zipfile

import numpy as np
import pytest

import pygru
from pygru.io import kinds
from pygru.io.native import describe

H, I = 3, 2


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


def start_of(kind):
    """The beginning of a file of each kind, as the libraries write it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(
            {"torch": "model/data.pkl", "keras": "model.weights.h5"}.get(kind, "x"), ""
        )
    pickled = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    return {
        "torch": buffer.getvalue(),
        "keras": buffer.getvalue(),
        "zip": buffer.getvalue(),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "hdf5 after a user block": bytes(512) + b"\x89HDF\r\n\x1a\n",
        "onnx": b"\x08\x07\x12\x07pytorch\x1a\x03" + bytes([1, 200, 3]) * 30,
        "pickle": pickled,
        "gzip": b"\x1f\x8b\x08\x00" + bytes(20),
        "tar": b"model.pt".ljust(257, b"\0") + b"ustar\x0000" + bytes(300),
        "bzip2": b"BZh91AY&SY" + bytes(range(100)),
        "text": b"month,sales\n1,2\n",
        "noise": bytes(range(200, 256)) * 3,
        "empty": b"",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("torch", "a PyTorch file"),
        ("keras", "a Keras file"),
        ("zip", "a zip archive"),
        ("hdf5", "a Keras file"),
        ("hdf5 after a user block", "a Keras file"),
        ("onnx", "an ONNX file"),
        ("pickle", "a pickle"),
        ("gzip", "a PyTorch file"),
        ("tar", "a PyTorch file"),
        ("bzip2", "a bzip2 or xz archive"),
        ("text", "text"),
        ("noise", "a file of an unknown kind"),
        ("empty", "an empty file"),
    ],
)
def test_the_kind_of_a_file_is_found_by_its_contents(kind, title):
    data = start_of(kind)
    assert kinds.kind_of(io.BytesIO(data), len(data)).title == title


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch", r"looks like a PyTorch file\); pygru.from_torch\(path\) reads it"),
        ("hdf5", r"looks like a Keras file\); pygru.from_keras\(path\) reads it"),
        ("onnx", r"looks like an ONNX file\); pygru.from_onnx\(path\) reads it"),
        ("pickle", r"pygru never unpickles.* pygru.from_torch\(path\) reads its weights"),
        ("text", r"looks like text\)$"),
        ("noise", "header length [0-9]+ exceeds file size 168"),
    ],
)
def test_load_says_which_call_reads_a_file(kind, message, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(start_of(kind))
    with pytest.raises(pygru.FormatError, match=message):
        pygru.load(path)


def test_a_kind_without_weights_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(start_of("text"))
    for function in (pygru.io.inspect, pygru.io.read_arrays):
        with pytest.raises(pygru.FormatError, match="text holds no weights"):
            function(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        pygru.io.inspect(tmp_path / "missing")


# ---- pygru's own files ----------------------------------------------------------------------


def test_the_grus_of_an_own_file(tmp_path):
    path = tmp_path / "model.safetensors"
    gru = pygru.GRU(I, H, 2, variant="cho", bidirectional=True, seed=0, batch_first=True)
    pygru.save(pygru.Sequential(gru, pygru.Linear(2 * H, 1, seed=0)), path)
    (found,) = pygru.io.inspect(path)
    assert (found.name, found.unknown, found.variant.name) == ("0", (), "cho")
    assert (found.build().flat_parameters == gru.flat_parameters).all()
    assert pygru.io.read_arrays(path)["1.bias"].shape == (1,)


# ---- arrays that only have names ------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("w_ih", "w_hh", "b_ih", "b_hh"),
        ("enc_w_ih", "enc_w_hh", "enc_b_ih", "enc_b_hh"),
        ("gru/kernel", "gru/recurrent_kernel", "gru/bias", None),
        ("W", "U", "b", None),
        ("Wx1", "Wh1", "b1", None),
    ],
)
@pytest.mark.parametrize("units", ["rows", "columns"])
def test_arrays_are_paired_by_name_and_shape(names, units, tmp_path):
    rng = np.random.default_rng(0)
    W, U = rng.normal(size=(3 * H, I)), rng.normal(size=(3 * H, H))
    biases = rng.normal(size=(2, 3 * H))
    values = (W, U, *biases) if units == "rows" else (W.T, U.T, *biases)
    arrays = {name: value for name, value in zip(names, values, strict=True) if name}
    (found,) = pygru.io.inspect(archive(tmp_path / "a.npz", other=np.ones(3), **arrays))
    assert (found.input_size, found.hidden_size, found.dtype) == (I, H, "float64")
    assert found.unknown == ("variant", "gate_order", "activation", "recurrent_activation")
    assert (found.variant, found.activation, found.recurrent_activation) == (None, None, None)
    given = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    with pytest.raises(ValueError, match="does not say which variant"):
        found.build(gate_order="zrn", **given)
    with pytest.raises(ValueError, match="does not say in which order the gates"):
        found.build(variant="cho", **given)
    wanted = pygru.from_arrays(
        W, U, *(b for b, n in zip(biases, names[2:], strict=True) if n), gate_order="zrn",
        variant="cho",
    )  # fmt: skip
    gru = found.build(gate_order="zrn", variant="cho", **given)
    assert (gru.flat_parameters == wanted.flat_parameters).all()


def test_other_layers_are_refused_by_name(tmp_path):
    path = archive(tmp_path / "a.npz", w_ih=np.ones((4 * H, I)), w_hh=np.ones((4 * H, H)))
    found = pygru.io.inspect(path)
    assert found == [] and found.refused == {"gru": "it is an LSTM"}


def damaged(name, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return buffer.getvalue()


def npy(array=None, header=None):
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3) if array is None else array, allow_pickle=True)
    data = buffer.getvalue()
    return data if header is None else data.replace(b"(3,)", header)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(np.array([{}], object)), "holds Python objects"),
        (npy(header=b"(9,)"), r"states the shape \(9,\).* but holds 24 bytes"),
        (npy(header=b"(-3)"), "the header is damaged|impossible shape"),
        (npy()[:40], "the header is damaged"),
        (npy()[:-1], "holds 23 bytes"),
        (b"", "the header is damaged"),
        (bytes(2**26), "more than 100 times"),
    ],
)
def test_a_damaged_archive_is_refused(data, message, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(damaged("a.npy", data))
    with pytest.raises(pygru.FormatError, match=message):
        pygru.io.read_arrays(path)


def test_arrays_that_do_not_fit_the_description_are_refused(tmp_path):
    """A fuzzer has found other errors, when the GRU was built."""
    gru = pygru.GRU(I, H, seed=0)
    good = {**gru.state_dict(), "pygru": np.array(json.dumps(describe(gru)))}
    path = archive(tmp_path / "a.npz", **good)
    (found,) = pygru.io.inspect(path)
    assert found.build().state_dict().keys() == gru.state_dict().keys()
    for wrong in (np.zeros((9, 2), np.float32), np.zeros((9, 3)), np.full((9, 3), "x")):
        archive(path, **{**good, "weight_hh_l0": wrong})
        with pytest.raises(pygru.FormatError, match="weight_hh_l0 must have shape"):
            pygru.io.inspect(path)


@pytest.mark.parametrize("bias", [np.full(9, 2**62), np.full(9, b"abcd")])
def test_biases_are_floats(bias, tmp_path):
    weights = {"w_ih": np.ones((9, 2)), "w_hh": np.ones((9, 3))}
    path = archive(tmp_path / "a.npz", **weights, b_ih=bias)
    why = "a bias does not have one float for each row"
    assert pygru.io.inspect(path).refused == {"gru": why}


def test_a_long_name_in_a_damaged_archive_is_cut(tmp_path):
    name = "a" * 60_000
    data = damaged(f"{name}.npy", npy())
    (tmp_path / "a.npz").write_bytes(data.replace(name.encode(), b"b" * 60_000, 1))
    with pytest.raises(pygru.FormatError, match="is damaged: File name in directory") as caught:
        pygru.io.read_arrays(tmp_path / "a.npz")
    assert len(str(caught.value)) < 1000


def test_layouts_and_dtypes_of_arrays_survive(tmp_path):
    arrays = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "small": np.arange(3, dtype=">i2"),
        "half": np.float16([1, 2]),
        "scalar": np.float64(3),
    }
    read = pygru.io.read_arrays(archive(tmp_path / "a.npz", **arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
