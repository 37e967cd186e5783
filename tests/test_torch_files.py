"""Files of PyTorch are read bit for bit, and files that only look like them are refused.

The files are put together by ``torch_files``, which uses neither PyTorch nor a pickler. The
tests with PyTorch's own files are in ``test_from_torch.py``.
"""

import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch_files as tf
from torch_files import H, I, gru_module, parameters, pickled_alone, safetensors, under

import pygru
from pygru import FormatError
from pygru.io.torch import reading
from pygru.io.torch.pickles import read_pickle


def assert_same(gru, arrays):
    assert gru.parameters.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(gru.parameters[name], array)


def written(tmp_path, data):
    path = tmp_path / "weights.pt"
    path.write_bytes(data)
    return path


def from_bytes(tmp_path, data, *args, **options):
    return pygru.from_torch(written(tmp_path, data), *args, **options)


# ---- what files hold, bit for bit ---------------------------------------------------------


@pytest.mark.parametrize("is_legacy", [False, True])
@pytest.mark.parametrize("dtype", tf.STORAGES)
def test_numbers_of_every_dtype(dtype, is_legacy):
    rng = np.random.default_rng(0)
    array = (rng.normal(size=(2, 3, 5)) * 100).astype(dtype)
    data = tf.state_dict({"a": array, "b": array[0, 0]}, is_legacy=is_legacy)
    read = reading.arrays(data)
    for name, expected in {"a": array, "b": array[0, 0]}.items():
        assert read[name].dtype == expected.dtype and read[name].dtype.isnative
        np.testing.assert_array_equal(read[name], expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_order_of_the_machine_that_wrote_it(order):
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(
        reading.arrays(tf.state_dict({"a": array}, order=order))["a"], array
    )


@pytest.mark.parametrize("is_legacy", [False, True])
def test_bfloat16_is_widened_exactly(is_legacy):
    """Its bits are the upper half of those of float32."""
    upper = np.array([0x0000, 0x8000, 0x3F80, 0xC049, 0x7F80, 0x0001, 0x7F7F], np.uint16)
    expected = (upper.astype(np.uint32) << 16).view(np.float32)

    def make(storages):
        reference = storages.add(upper.view(np.int16), "BFloat16Storage")
        return {"a": tf.view(reference, 0, (7,), (1,))}

    read = reading.arrays(tf.saved(make, is_legacy=is_legacy))["a"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.view(np.uint32), expected.view(np.uint32))


def test_views_of_one_storage():
    numbers = np.arange(24, dtype=np.float32)

    def make(storages):
        shared = storages.add(numbers)
        return {
            "all": tf.view(shared, 0, (4, 6), (6, 1)),
            "transposed": tf.view(shared, 0, (6, 4), (1, 6)),
            "rows": tf.view(shared, 6, (2, 3), (6, 2)),
            "repeated": tf.view(shared, 5, (2, 3), (0, 1)),
            "number": tf.view(shared, 23, (), ()),
            "none": tf.view(shared, 24, (0, 3), (3, 1)),
        }

    read = reading.arrays(tf.saved(make))
    table = numbers.reshape(4, 6)
    expected = {
        "all": table,
        "transposed": table.T,
        "rows": table[1:3, ::2],
        "repeated": [[5, 6, 7]] * 2,
        "number": 23,
        "none": np.zeros((0, 3)),
    }
    for name, value in expected.items():
        np.testing.assert_array_equal(read[name], value)
        assert not read[name].flags.writeable
    assert np.shares_memory(read["all"], read["transposed"])


def test_a_view_of_a_storage_in_the_old_format():
    numbers = np.arange(10, dtype=np.float64)

    def make(storages):
        storages.add(numbers)
        part = storages.reference(0, "DoubleStorage", 10, ("1", 4, 3))
        return {"part": tf.view(part, 1, (2,), (1,))}

    np.testing.assert_array_equal(
        reading.arrays(tf.saved(make, is_legacy=True))["part"], [5, 6]
    )


def test_tensors_that_later_versions_describe_in_other_ways():
    def make(storages):
        reference = storages.add(np.arange(4, dtype=np.uint8).repeat(2), "UntypedStorage")
        dtype, hooks = tf.name("torch", "uint16"), tf.value({})
        arguments = (reference, 1, (2,), (1,), False, hooks, dtype)
        inner = storages.tensor(np.ones(2, np.float32))
        own = (tf.name("torch", "FloatTensor"), tf.name("my", "Tensor"))
        rebuilt = tf.name("torch._utils", "_rebuild_tensor_v2")
        view = (storages.add(np.ones(2, np.float32)), 0, (2,), (1,), False, hooks)
        return {
            "v3": tf.call("torch._utils", "_rebuild_tensor_v3", *arguments),
            "parameter": tf.call("torch._utils", "_rebuild_parameter", inner, True, hooks),
            "own": tf.call("torch._tensor", "_rebuild_from_type_v2", rebuilt, own[1], view, {}),
        }

    read = reading.arrays(tf.saved(make))
    np.testing.assert_array_equal(read["v3"], [0x0101, 0x0202])
    assert read["v3"].dtype == np.uint16
    np.testing.assert_array_equal(read["parameter"], [1, 1])
    np.testing.assert_array_equal(read["own"], [1, 1])


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_numpy_in_any_pickle(protocol):
    arrays = {
        "c": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3)),
        "truth": np.array([True, False]),
        "empty": np.zeros((0, 2), np.int16),
    }
    value = {"nested": [arrays], "objects": np.array([{}], object), "step": np.float64(3)}
    read = reading.arrays(pickle.dumps(value, protocol))
    assert read.keys() == {f"nested.0.{name}" for name in arrays}
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[f"nested.0.{name}"], array)
        assert read[f"nested.0.{name}"].dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_in_any_protocol(protocol):
    """Python's own pickler is the truth for the opcodes of plain values."""
    value = [
        None, True, False, 0, -1, 255, 256, 65535, 2**31, -(2**40), 2**100, 0.1, -1e300, "",
        "text", "ä\n\\ü€😀", "\ud800", "x" * 300, b"", b"raw\x00\xff", b"y" * 300, (), (1,),
        (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [[]], {}, {"a": {1: [None]}, None: (), b"k": 1},
    ]  # fmt: skip
    value.append([value[13], value[17]])  # from the memo
    read = read_pickle(pickle.dumps(value, protocol)).value
    assert read == value


def test_storages_within_a_pickle(tmp_path):
    arrays = parameters()
    assert_same(from_bytes(tmp_path, pickled_alone(arrays)), arrays)
    # The same, where another pickle stands in place of the file.
    for inner in (pickle.dumps(3), b"", tf.pickled({}), tf.state_dict(arrays, is_legacy=True)):
        raw = b"B" + struct.pack("<I", len(inner)) + inner
        storage = tf.call("torch.storage", "_load_from_bytes", raw)
        with pytest.raises(FormatError, match=r"without a storage|ends before"):
            reading.arrays(tf.pickled({"a": tf.view(storage, 0, (2,), (1,))}))


# ---- how checkpoints are nested -----------------------------------------------------------


@pytest.mark.parametrize("is_legacy", [False, True])
@pytest.mark.parametrize(("layers", "directions", "bias"), [(1, 1, True), (2, 2, False)])
def test_a_state_dict(layers, directions, bias, is_legacy, tmp_path):
    arrays = parameters(layers=layers, directions=directions, bias=bias)
    gru = from_bytes(tmp_path, tf.state_dict(arrays, is_legacy=is_legacy), seed=3)
    assert_same(gru, arrays)
    assert gru.variant.name == "pytorch" and not gru.batch_first and gru.dropout == 0
    assert (gru.num_layers, gru.num_directions, gru.bias) == (layers, directions, bias)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_of_the_gru_is_that_of_the_weights(dtype, tmp_path):
    arrays = parameters(dtype=dtype)
    gru = from_bytes(tmp_path, tf.state_dict(arrays))
    assert gru.dtype == ("float64" if dtype == "float64" else "float32")
    assert_same(gru, arrays)
    assert from_bytes(tmp_path, tf.state_dict(arrays), dtype="float64").dtype == "float64"


NESTED = {
    "model.rnn": lambda state: {"epoch": 3, "model": state, "lr": 0.1},
    "state_dict.rnn": lambda state: {"state_dict": state, "hyper_parameters": {"a": (1, None)}},
    "0.rnn": lambda state: [state, "note"],
    "1.rnn": lambda state: (7, state),
    "x.y.2.rnn": lambda state: {"x": {"y": [None, None, state]}},
    "rnn": lambda state: state,
}


@pytest.mark.parametrize("where", NESTED)
@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_checkpoint_around_the_state_dict(where, is_legacy, tmp_path):
    arrays = parameters()

    def make(storages):
        state = {f"rnn.{name}": storages.tensor(array) for name, array in arrays.items()}
        return NESTED[where](tf.ordered(state | {"fc.bias": storages.tensor(np.ones(2))}))

    data = tf.saved(make, is_legacy=is_legacy)
    for prefix in (None, where, f"{where}.", "rnn", "rnn."):
        assert_same(from_bytes(tmp_path, data, prefix), arrays)
    (found,) = pygru.io.inspect(written(tmp_path, data))
    assert found.name == where and found.unknown == ()


@pytest.mark.parametrize("is_legacy", [False, True])
def test_contents_in_memory_and_open_files(is_legacy, tmp_path):
    arrays = parameters()
    data = tf.state_dict(arrays, is_legacy=is_legacy)
    after_others = io.BytesIO(b"others" + data)
    after_others.seek(6)
    with open(written(tmp_path, data), "rb") as file:
        for source in (data, bytearray(data), io.BytesIO(data), after_others, file):
            assert_same(pygru.from_torch(source), arrays)
    for source in (data[:-40], b"", b"/a/path"):
        with pytest.raises(FormatError):
            pygru.from_torch(source)
    with pytest.raises(TypeError, match=r"source is open in text mode; .*mode='rb'"):
        pygru.from_torch(io.StringIO("x"))


@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_whole_module_says_what_a_state_dict_does_not(is_legacy, tmp_path):
    arrays = parameters(layers=2)

    def make(storages):
        rnn = gru_module(storages, arrays, batch_first=True, dropout=0.25, num_layers=2)
        inner = {
            "training": False,
            "_modules": {"rnn": rnn},
            "_buffers": {"n": storages.tensor(3)},
        }
        outer = {"training": False, "_modules": {"encoder": tf.module("my.code", "Net", inner)}}
        return tf.module("__main__", "Model", outer)

    data = tf.saved(make, is_legacy=is_legacy)
    gru = from_bytes(tmp_path, data)
    assert_same(gru, arrays)
    assert gru.batch_first and gru.dropout == 0.25
    (found,) = pygru.io.inspect(written(tmp_path, data))
    assert found.name == "encoder.rnn" and "torch.nn.GRU" in found.evidence["variant"]
    names = {f"encoder.rnn.{name}" for name in arrays} | {"encoder.n"}
    assert pygru.io.read_arrays(tmp_path / "weights.pt").keys() == names


def test_equations_of_an_unknown_class_are_asked_for(tmp_path):
    """A class of somebody may compute anything from parameters with these names."""
    arrays = parameters()

    def make(storages):
        state = {"training": False}
        state["_parameters"] = {name: storages.tensor(array) for name, array in arrays.items()}
        return tf.module("my.code", "FastGRU", state)

    data = tf.saved(make)
    with pytest.raises(ValueError, match="does not say which variant"):
        from_bytes(tmp_path, data)
    assert_same(from_bytes(tmp_path, data, variant="cho"), arrays)


def test_a_cell(tmp_path):
    arrays = {name.removesuffix("_l0"): array for name, array in parameters().items()}
    gru = from_bytes(tmp_path, tf.state_dict(under("decoder.cell", arrays)))
    assert_same(gru, parameters())


def test_torchscript_archives(tmp_path):
    arrays = parameters()

    def make(storages):
        state = {name: storages.tensor(array) for name, array in arrays.items()}
        kind = "__torch__.torch.nn.modules.rnn.___torch_mangle_7"
        rnn = tf.module(kind, "GRU", {"training": False, **state})
        return tf.module("__torch__", "Net", {"training": False, "rnn": rnn})

    def make_frozen(storages):
        return tf.module("__torch__", "Net", {"training": False})

    more = {"archive/constants.pkl": tf.pickled(()), "archive/code/__torch__.py": b"boom()"}
    with pytest.warns(pygru.DataWarning, match="rnn: TorchScript does not say here whether"):
        assert_same(from_bytes(tmp_path, tf.saved(make, **more), "rnn"), arrays)
    with pytest.raises(FormatError, match=r"weights\.pt: this is a TorchScript .*freeze"):
        from_bytes(tmp_path, tf.saved(make_frozen, **more))
    # A scripted class has its constants in its code.
    code = (
        b"class Other(Module):\n  batch_first : Final[bool] = False\n"
        b"class GRU(Module):\n  dropout : Final[float] = 0.25\n"
        b"  batch_first : Final[bool] = True\n  bias : Final[bool] = maybe\n"
        b"  def f(self):\n  batch_first : Final[bool] = False\n"
    )
    path = "archive/code/__torch__/torch/nn/modules/rnn/___torch_mangle_7.py"
    gru = from_bytes(tmp_path, tf.saved(make, **more, **{path: code}), "rnn")
    assert (gru.batch_first, gru.dropout) == (True, 0.25)
    assert not from_bytes(
        tmp_path, tf.saved(make, **more), "rnn", batch_first=False
    ).batch_first


def test_files_in_an_archive(tmp_path):
    arrays = parameters()
    one, other = tf.state_dict(arrays), tf.state_dict(parameters(seed=1))

    def tar(members, kind=""):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as file:
            for name, data in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                file.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()

    long = "folder/" * 20 + "model.pth"
    for data in (
        tar({"readme.txt": b"x" * 600, "a/model.pt": one}, "gz"),
        tar({long: one}),
        gzip.compress(one),
        tf.archive({"readme.txt": b"", "model.bin": one}, zipfile.ZIP_DEFLATED),
        tf.archive({"m.safetensors": safetensors(arrays)}),
    ):
        assert_same(from_bytes(tmp_path, data), arrays)
    both = tar({"one.pt": one, "two/other.pt": other}, "gz")
    with pytest.raises(ValueError, match=r"2 GRUs; pass prefix= one of 'one.pt:', 'two/other"):
        from_bytes(tmp_path, both)
    assert_same(from_bytes(tmp_path, both, "two/other.pt:"), parameters(seed=1))
    with pytest.raises(FormatError, match="within another"):
        from_bytes(tmp_path, tar({"x.zip.pt": tf.archive({"inner.pt": one})}))
    with pytest.raises(FormatError, match="holds no"):
        from_bytes(tmp_path, tar({"readme.txt": b"x"}))
    with pytest.raises(FormatError, match="tar format of PyTorch"):
        from_bytes(tmp_path, tar({"pickle": b"", "storages": b"", "tensors": b""}))


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax"])
def test_a_tar_archive_that_is_cut_or_damaged(form):
    forms = {
        "ustar": tarfile.USTAR_FORMAT,
        "gnu": tarfile.GNU_FORMAT,
        "pax": tarfile.PAX_FORMAT,
    }
    buffer = io.BytesIO()
    data = tf.state_dict(parameters())
    with tarfile.open(fileobj=buffer, mode="w", format=forms[form]) as file:
        entry = tarfile.TarInfo("folder/" * 18 + "model.pt")
        entry.size = len(data)
        file.addfile(entry, io.BytesIO(data))
    whole = buffer.getvalue()
    assert reading.arrays(whole).keys() == parameters().keys()
    begin = whole.index(data)
    with pytest.raises(FormatError, match="ends within a file"):
        reading.arrays(whole[: begin + len(data) - 1])
    with pytest.raises(FormatError, match="checksum"):
        reading.arrays(whole[: begin - 500] + b"x" + whole[begin - 499 :])


# ---- safetensors --------------------------------------------------------------------------


def test_safetensors(tmp_path):
    arrays = parameters(layers=2, directions=2)
    others = {"n": np.arange(3), "t": np.array([[True]]), "e": np.zeros((0, 2), np.float32)}
    data = safetensors(under("rnn", arrays) | others, {"format": "pt"})
    assert_same(from_bytes(tmp_path, data), arrays)
    read = pygru.io.read_arrays(tmp_path / "weights.pt")
    for name, array in others.items():
        np.testing.assert_array_equal(read[name], array)
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    assert_same(from_bytes(tmp_path, safetensors(half)), half)
    upper = {name: (a.view(np.uint32) >> 16).astype(np.uint16) for name, a in arrays.items()}
    widened = {name: (a.astype(np.uint32) << 16).view(np.float32) for name, a in upper.items()}
    assert_same(from_bytes(tmp_path, safetensors(upper)), widened)


def test_a_model_of_pygru_is_not_taken_for_one_of_pytorch(tmp_path):
    """It has the same names, and perhaps another variant."""
    path = tmp_path / "model.safetensors"
    pygru.save(pygru.GRU(I, H, seed=0), path)
    with pytest.raises(FormatError, match=r"pygru\.load"):
        pygru.from_torch(path)
    with pytest.raises(FormatError, match=r"pygru\.load"):
        reading.contents(path.read_bytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e["a"].update(dtype="F32"), "does not have the bytes"),
        (lambda e: e["a"].update(dtype=3), "dtype that is not a text"),
        (lambda e: e["a"].update(shape=[2, -1]), "impossible shape"),
        (lambda e: e["a"].update(shape=[2**60]), "impossible shape"),
        (lambda e: e["a"].update(shape=[True, 2]), "impossible shape"),
        (lambda e: e["a"].update(shape=[1] * 40), "impossible shape"),
        (lambda e: e["a"].update(shape="ab"), "impossible shape"),
        (lambda e: e["a"].update(data_offsets=[0, 10**6]), "impossible"),
        (lambda e: e["a"].update(data_offsets=[16, 0]), "impossible"),
        (lambda e: e["a"].update(data_offsets=[0, 8, 16]), "impossible"),
        (lambda e: e.update(a=[1]), "must have a dtype"),
        (lambda e: e.update(b=e["a"]), "overlap"),
        (lambda e: e.update(__metadata__=[1]), "not an object"),
    ],
)
def test_damaged_safetensors(change, message):
    def header(entries):
        change(entries)
        return entries

    with pytest.raises(FormatError, match=message):
        reading.arrays(safetensors({"a": np.arange(2.0)}, header=header))


def test_damaged_headers_of_safetensors():
    whole = safetensors({"a": np.arange(2.0)})
    for data, message in [
        (struct.pack("<Q", 2**63) + whole[8:], "no file of PyTorch"),
        (struct.pack("<Q", 2**31) + whole[8:], "exceeds"),
        (struct.pack("<Q", 3) + b"{\xff}", "not UTF-8"),
        (whole + b"x", "bytes that belong to none"),
        (whole[:-1], "impossible"),
        (struct.pack("<Q", 10**5) + b'{"a":' + b"[" * 10**5, "not valid JSON"),
    ]:
        with pytest.raises(FormatError, match=message):
            reading.arrays(data)


# ---- layers that are no GRU, or half of one -----------------------------------------------


def without(arrays, *names):
    return {name: array for name, array in arrays.items() if name not in names}


def other_layer(gates):
    return {"weight_ih_l0": np.ones((gates * H, I)), "weight_hh_l0": np.ones((gates * H, H))}


WRONG = {
    "an LSTM": (other_layer(4), r"an LSTM: 'rnn\.weight_hh_l0' has the shape \(12, 3\)"),
    "a plain RNN": (other_layer(1), r"a plain RNN: 'rnn\.weight_hh_l0' has the shape \(3, 3\)"),
    "a projection": (
        other_layer(4) | {"weight_hr_l0": np.ones((2, H))},
        r"'rnn\.weight_hr_l0' is a projection",
    ),
    "a missing layer": (
        {n.replace("l1", "l2"): a for n, a in parameters(layers=2).items()},
        r"'rnn\.weight_ih_l1' is missing",
    ),
    "a huge number of layers": (
        {n.replace("l1", "l999999"): a for n, a in parameters(layers=2).items()},
        r"'rnn\.weight_ih_l1' is missing",
    ),
    "half a bias": (without(parameters(), "bias_hh_l0"), r"'rnn\.bias_hh_l0' is missing"),
    "a bias in one layer": (
        without(parameters(layers=2), "bias_hh_l1", "bias_ih_l1"),
        r"'rnn\.bias_ih_l1' is missing",
    ),
    "half a direction": (
        without(parameters(layers=2, directions=2), "weight_ih_l1_reverse"),
        r"'rnn\.weight_ih_l1_reverse' is missing",
    ),
    "no recurrent weights": (without(parameters(), "weight_hh_l0"), "weight_hh_l0' is missing"),
    "another H": (
        parameters(layers=2) | {"weight_hh_l1": np.ones((12, 4))},
        r"'rnn\.weight_hh_l1' must have shape \(9, 3\), got \(12, 4\)",
    ),
    "another I": (
        parameters(layers=2) | {"weight_ih_l1": np.ones((9, 4))},
        r"'rnn\.weight_ih_l1' must have shape \(9, 3\), got \(9, 4\)",
    ),
    "a short bias": (parameters() | {"bias_hh_l0": np.ones(8)}, r"must have shape \(9,\)"),
    "integers": (
        parameters() | {"weight_hh_l0": np.ones((9, 3), np.int8)},
        r"'rnn\.weight_hh_l0' holds numbers of int8, and a GRU needs floating",
    ),
    "a vector": (parameters() | {"weight_hh_l0": np.ones(9)}, "1 dimensions instead of 2"),
    "spectral normalisation": (
        parameters() | {f"weight_hh_l0_{end}": np.ones((9, 3)) for end in ("orig", "u", "v")},
        r"formula that is not among the weights",
    ),
    "dropped weights": (parameters() | {"weight_hh_l0_raw": np.ones((9, 3))}, "before dropout"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_gru_is_refused_by_name(what, tmp_path):
    arrays, message = WRONG[what]
    path = written(tmp_path, tf.state_dict(under("rnn", arrays)))
    with pytest.raises(
        FormatError, match=rf"weights\.pt: no GRU was found; 'rnn': .*{message}"
    ):
        pygru.from_torch(path)
    with pytest.raises(ValueError, match=rf"'rnn' is not a GRU .*{message}"):
        pygru.from_torch(path, "rnn")
    found = pygru.io.inspect(path)
    assert found == [] and found.refused.keys() == {"rnn"}


def test_a_quantised_tensor_is_refused_by_name(tmp_path):
    def make(storages):
        scheme = (tf.name("torch", "per_tensor_affine"), 0.1, 0)
        reference = storages.add(np.ones(27, np.int8), "QInt8Storage")
        tensor = tf.call(
            "torch._utils", "_rebuild_qtensor", reference, 0, (9, 3), (3, 1), scheme
        )
        return {"weight_hh_l0": tensor, "weight_ih_l0": tensor}

    with pytest.raises(FormatError, match="'weight_hh_l0': it is quantised"):
        from_bytes(tmp_path, tf.saved(make))
    assert reading.arrays(tf.saved(make)) == {}
    with pytest.raises(FormatError, match="quantised"):
        from_bytes(tmp_path, tf.saved(make, is_legacy=True))


def test_several_grus_are_listed(tmp_path):
    one, other = parameters(), parameters(seed=1)
    data = tf.state_dict(under("encoder.rnn", one) | under("decoder.rnn", other))
    with pytest.raises(
        ValueError, match=r"2 GRUs; pass prefix= one of 'encoder.rnn', 'decoder"
    ):
        from_bytes(tmp_path, data)
    assert_same(from_bytes(tmp_path, data, "decoder.rnn"), other)
    for prefix in ("rnn", "encoder", "", "x"):
        with pytest.raises(ValueError, match=r"holds no GRU named .*; prefix must be one of"):
            from_bytes(tmp_path, data, prefix)


def test_weight_normalisation_is_computed(tmp_path):
    arrays = parameters()
    lengths = np.random.default_rng(1).normal(size=(9, 1)).astype(np.float32)
    direction = arrays.pop("weight_hh_l0")
    names = ("weight_hh_l0_g", "weight_hh_l0_v")
    arrays |= dict(zip(names, (lengths, direction), strict=True))
    gru = from_bytes(tmp_path, tf.state_dict(under("rnn", arrays)))
    expected = [g[0] * v / np.linalg.norm(v) for g, v in zip(lengths, direction, strict=True)]
    np.testing.assert_allclose(gru.parameters["weight_hh_l0"], expected, rtol=1e-6)
    arrays[names[0]] = np.ones((1, 3), np.float32)
    with pytest.raises(FormatError, match="no weight normalisation of rows"):
        from_bytes(tmp_path, tf.state_dict(arrays))


def test_numbered_parts_need_the_class_of_the_parametrisation(tmp_path):
    arrays = parameters()
    direction = arrays.pop("weight_hh_l0")
    lengths = np.linalg.norm(direction, axis=1, keepdims=True)
    parts = {"original0": lengths, "original1": direction}
    state = {f"parametrizations.weight_hh_l0.{name}": part for name, part in parts.items()}
    with pytest.raises(FormatError, match=r"these names do not tell; .*'weight_hh_l0'"):
        from_bytes(tmp_path, tf.state_dict(under("rnn", arrays | state)))

    def whole(kind):
        def make(storages):
            tensors = {name: storages.tensor(array) for name, array in parts.items()}
            formula = tf.module(*kind, {"training": False})
            listed = tf.module("torch", "List", {"training": False, **tensors, "0": formula})
            inner = tf.module("torch", "Dict", {"training": False, "weight_hh_l0": listed})
            rest = {name: storages.tensor(array) for name, array in arrays.items()}
            state = {"training": False, **rest, "parametrizations": inner}
            return tf.module("torch.nn.modules.rnn", "GRU", state)

        return tf.saved(make)

    gru = from_bytes(tmp_path, whole(("torch.nn.utils.parametrizations", "_WeightNorm")))
    np.testing.assert_allclose(gru.parameters["weight_hh_l0"], direction, rtol=1e-6)
    with pytest.raises(FormatError, match="whose formula pygru does not know"):
        from_bytes(tmp_path, whole(("own", "_WeightNorm")))


def test_pruning_is_computed(tmp_path):
    arrays = parameters()
    mask = (np.arange(27).reshape(9, 3) % 2).astype(np.float32)
    whole = arrays.pop("weight_hh_l0")
    arrays |= {"weight_hh_l0_orig": whole, "weight_hh_l0_mask": mask}
    gru = from_bytes(tmp_path, tf.state_dict(arrays))
    np.testing.assert_array_equal(gru.parameters["weight_hh_l0"], whole * mask)


# ---- hostile files ------------------------------------------------------------------------


def loads(data, tmp_path):
    """Whatever the file is, nothing of it runs: a marker file shows if it did."""
    marker = tmp_path / "marker"
    try:
        reading.arrays(data)
        reading.contents(data)
    except FormatError:
        pass
    assert not marker.exists()


class Payload:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_runs(protocol, tmp_path):
    marker = str(tmp_path / "marker")
    script = f"open({marker!r}, 'w')"
    payloads = [
        Payload(os.system, f"touch {marker}"),
        Payload(eval, script),
        Payload(exec, script),
        Payload(open, marker, "w"),
        Payload(os.mkdir, marker),
        Payload(getattr(os, "mkdir"), marker),  # noqa: B009
        Payload(np.save, marker, 1),
        Payload(subprocess.call, [sys.executable, "-c", script]),
    ]
    for payload in payloads:
        # The payload itself, a key, a member, the arguments of a rebuilt tensor and its parts.
        for value in (payload, [payload], {"a": payload}, (payload,) * 3):
            data = pickle.dumps(value, protocol)
            loads(data, tmp_path)
            loads(tf.zip_file(data, tf.Storages()), tmp_path)
            loads(tf.legacy_file(data, tf.Storages()), tmp_path)


@pytest.mark.parametrize("function", ["_rebuild_tensor_v2", "_rebuild_parameter"])
@pytest.mark.parametrize(
    "payload",
    [
        tf.call("os", "mkdir", "marker"),
        tf.call("builtins", "eval", "1"),
        tf.value(("storage", tf.name("os", "system"), "0", "cpu", 4)) + b"Q",
        tf.value(("storage", tf.name("torch", "load"), "0", "cpu", 4)) + b"Q",
        tf.value(("module", 1)) + b"Q",
        tf.value([]),
        b"N",
    ],
)
def test_other_things_in_place_of_a_storage(function, payload, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(storages):
        storages.add(np.ones(4, np.float32))
        rest = (0, (2, 2), (2, 1), False, tf.value({}))
        return {"weight_ih_l0": tf.call("torch._utils", function, payload, *rest)}

    loads(tf.saved(make), tmp_path)
    loads(tf.saved(make, is_legacy=True), tmp_path)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (5,), (1,)),
        (1, (2, 2), (2, 1)),
        (-1, (2,), (1,)),
        (0, (2, 2), (3, 1)),
        (0, (2,), (-1,)),
        (0, (-2, -2), (2, 1)),
        (0, (2,), (1, 1)),
        (0, (2**62, 2**62), (0, 0)),
        (0, (2**30, 2**10), (0, 0)),
        (0, (2**40, 0), (1, 1)),
        (2**50, (1,), (1,)),
        (0, (2,), (2**62,)),
        (0, (1,) * 60, (1,) * 60),
        (0, (True, 2), (2, 1)),
        (0, (2.0, 2), (2, 1)),
        (0, None, (2, 1)),
        (None, (2, 2), (2, 1)),
        (0, "ab", "ab"),
    ],
)
def test_tensors_beyond_their_storage(offset, shape, strides):
    def make(storages):
        reference = storages.add(np.ones(4, np.float32))
        rest = (reference, offset, shape, strides, False, tf.value({}))
        return {"a": tf.call("torch._utils", "_rebuild_tensor_v2", *rest)}

    for is_legacy in (False, True):
        data = tf.saved(make, is_legacy=is_legacy)
        if shape == (2**40, 0):  # an impossible one without numbers may be read
            assert reading.arrays(data)["a"].size == 0
            continue
        with pytest.raises(FormatError, match="'a'"):
            reading.arrays(data)


@pytest.mark.parametrize("stated", [5, 2**40, 2**62])
def test_storages_that_are_shorter_than_stated(stated):
    def make(storages):
        storages.add(np.ones(4, np.float32))
        reference = storages.reference(0, "FloatStorage", stated)
        return {"a": tf.view(reference, 0, (5,), (1,))}

    for is_legacy in (False, True):
        with pytest.raises(FormatError):
            reading.arrays(tf.saved(make, is_legacy=is_legacy))


DEEP = 20_000
BOMBS = {
    "lists within lists": b"]" + b"]" * DEEP + b"a" * DEEP + b".",
    "tuples within tuples": b")" + b"\x85" * DEEP + b".",
    "dicts within dicts": b"}" + b"X\x01\0\0\0a}" * DEEP + b"s" * DEEP + b".",
    "a list in itself": b"]q\x00h\x00a.",
    "doubled lists": b"]" + b"".join(
        b"q%c" % i + b"]h%c" % i + b"ah%c" % i + b"a" for i in range(200)
    ) + b".",
    "marks": b"(" * DEEP + b".",
    "a long integer": b"\x8b" + struct.pack("<I", 2**31 - 1) + b"\xff" * 100 + b".",
    "an integer of megabytes": b"\x8b" + struct.pack("<I", 2**22) + b"\x7f" * 2**22 + b".",
    "an integer of digits": b"I" + b"9" * 10**6 + b"\n.",
    "digits": b"L" + b"9" * 4000 + b"L\n.",
    "a long text": b"\x8d" + struct.pack("<Q", 2**63) + b"abc.",
    "a text beyond the end": b"X" + struct.pack("<I", 2**31) + b"abc.",
    "a frame beyond the end": b"\x95" + struct.pack("<Q", 2**62) + b"N.",
    "an extension": b"\x82\x01.",
    "a buffer": b"\x97.",
    "an unknown opcode": b"\xff.",
    "no end": b"N",
    "nothing": b"",
    "an empty stack": b".",
    "too few for a tuple": b"N\x87.",
    "a place of the memo": b"h\x05.",
    "a pop too many": b"N00.",
    "a mark too few": b"t.",
    "an append to a text": b"X\x01\0\0\0aNa.",
    "items of a list": b"]NNs.",
    "an odd number of items": b"}(Nu.",
    "a state of a list": b"]}b.",
    "a state of a number": b"K\x01}b.",
    "a call of a number": b"K\x01)R.",
    "a call without a tuple": b"cos\nsystem\nNR.",
    "a name of numbers": b"K\x01K\x02\x93.",
    "a key that is a list": b"}]Ns.",
    "keys of one hash": b"}(" + b"".join(
        b"\x8a\x10" + (i * (2**61 - 1)).to_bytes(16, "little") + b"N" for i in range(5_000)
    ) + b"u.",
    "a text without quotes": b"Sabc\n.",
    "a line without an end": b"cos" + b"x" * 10**5,
    "text that is not UTF-8": b"X\x02\0\0\0\xff\xff.",
}  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_programs_that_no_pickler_writes(what):
    program = b"\x80\x02" + BOMBS[what]
    tracemalloc.start()
    try:
        assert reading.arrays(tf.zip_file(program, tf.Storages())) == {}
    except FormatError as error:
        assert len(str(error)) < 500
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_a_dict_that_is_copied_again_and_again():
    """Each copy is one opcode for the file, and a thousand entries of memory."""
    big = tf.value({str(number): None for number in range(1000)})
    copy = tf.name("collections", "OrderedDict") + b"h\x01\x85R"
    with pytest.raises(FormatError, match="larger than"):
        read_pickle(b"](" + big + b"q\x01" + copy * 20_000 + b"e.")
    text = tf.text("x" * 1000) + b"q\x01" + tf.text("latin1") + b"q\x02"
    encode = tf.name("_codecs", "encode") + b"h\x01h\x02\x86R"
    with pytest.raises(FormatError, match="more text"):
        read_pickle(text + encode * 1000 + b".")


def test_keys_with_which_a_dict_would_be_slow():
    """Multiples of 2**61 - 1 have one hash, and adding n of them takes n * n steps."""
    plain = {5: 1, -(2**50): 2, "a": 3, None: 4, True: 5}
    assert read_pickle(tf.pickled(plain | {2**61 - 1: 6, -(2**90): 7})).value == plain


def test_more_opcodes_than_any_checkpoint_has(monkeypatch):
    monkeypatch.setattr("pygru.io.torch.pickles.MOST_OPCODES", 1000)
    assert read_pickle(b"N" * 998 + b"0.").value is None
    with pytest.raises(FormatError, match="larger than 1000 opcodes"):
        read_pickle(b"N" * 1001 + b".")


def test_names_beyond_all_measure():
    long = {"x" * 2000: tf.value({})}
    deep = tf.value({})
    for _ in range(200):
        deep = tf.value({"a": deep})
    for value in (long, {"a": deep}):
        with pytest.raises(FormatError, match=r"characters|levels deep"):
            reading.arrays(tf.saved(lambda storages, value=value: value))


def test_layers_that_share_one_storage_again_and_again(tmp_path):
    """A file of a few kilobytes must not become a model of gigabytes."""
    count = 3 * 64 * 64

    def make(storages):
        shared = storages.add(np.ones(count, np.float32))
        square = tf.view(shared, 0, (3 * 64, 64), (64, 1))
        return {
            f"weight_{kind}_l{layer}": square for layer in range(300) for kind in ("ih", "hh")
        }

    with pytest.raises(FormatError, match="far more numbers than the file"):
        from_bytes(tmp_path, tf.saved(make))


def test_archives_that_expand(tmp_path):
    zeros = np.zeros(2**23, np.float32)
    data = tf.state_dict({"a": zeros})
    compressed = tf.archive({"model.pt": data}, zipfile.ZIP_DEFLATED)
    for bomb in (compressed, gzip.compress(data)):
        with pytest.raises(FormatError, match="100 times"):
            from_bytes(tmp_path, bomb)


def test_members_that_overlap():
    """Two members of the table have the same bytes."""
    data = tf.archive({"archive/data.pkl": tf.pickled({}), "archive/data/0": bytes(10**5)})
    start = data.rindex(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    entry, tail = data[start:end], bytearray(data[end:])
    struct.pack_into(
        "<HHII", tail, 8, 102, 102, len(data[:end]) - start + 101 * len(entry), start
    )
    with pytest.raises(FormatError, match=r"overlap|damaged"):
        reading.arrays(data[:start] + entry * 102 + bytes(tail))


@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_file_that_is_cut_anywhere(is_legacy):
    data = tf.state_dict(parameters(), is_legacy=is_legacy)
    for size in range(0, len(data), 7 if is_legacy else 23):
        with pytest.raises(FormatError):
            reading.arrays(data[:size])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no file of PyTorch"),
        (b"hello", "this is no file of PyTorch, and no safetensors"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), r"this is a Keras file.*from_keras"),
        (tf.archive({"a.npy": b""}), r"NumPy archive.*from_arrays"),
        (tf.archive({"a.txt": b""}), "holds no file"),
    ],
)
def test_files_of_others_are_named(data, message, tmp_path):
    with pytest.raises(FormatError, match=rf"weights\.pt: .*{message}"):
        from_bytes(tmp_path, data)
