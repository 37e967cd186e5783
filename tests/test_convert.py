"""``pygru convert``: the table of what is in a file, and files in other formats."""

import json
import os

import numpy as np
import pytest

import pygru
import pygru.cli

H, I = 3, 2
KNOWN = {
    "--variant": "cho",
    "--gate-order": "zrn",
    "--activation": "tanh",
    "--recurrent-activation": "sigmoid",
}
KNOWN = [word for pair in KNOWN.items() for word in pair]


def main(*arguments):
    try:
        return pygru.cli.main(["convert", *map(str, arguments)])
    except SystemExit as end:
        return end.code


@pytest.fixture
def plain(tmp_path):
    """A NumPy archive of two GRUs and an LSTM, with only names to go by."""
    rng = np.random.default_rng(0)
    arrays = {
        f"{part}_{name}": rng.normal(size=shape)
        for part in ("enc", "dec")
        for name, shape in {"w_ih": (3 * H, I), "w_hh": (3 * H, H), "b_ih": (3 * H,)}.items()
    }
    lstm = {"old_w_ih": np.ones((4 * H, I)), "old_w_hh": np.ones((4 * H, H))}
    np.savez(tmp_path / "plain.npz", **arrays, **lstm)
    return tmp_path / "plain.npz"


def test_the_table_says_what_is_known_and_what_not(plain, capsys):
    assert main(plain) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{plain}: a NumPy archive, 2 GRUs"
    assert " ".join(lines[2].split()) == (
        "name input hidden layers directions bias variant gates candidate dtype"
    )
    assert lines[3].split() == ["enc", "2", "3", "1", "1", "yes", "?", "?", "?", "float64"]
    assert "  hidden_size: enc_w_hh is (9, 3)" in lines
    assert "  variant: the file does not say" in lines
    assert lines[-2:] == ["no GRU for pygru:", "  old: it is an LSTM"]


def test_one_gru_becomes_a_model_file(plain, tmp_path, capsys):
    path = tmp_path / "enc.safetensors"
    assert main(plain, "--name", "enc", *KNOWN, "--to", path) == 0
    assert capsys.readouterr().out.endswith(f"wrote {path}\n")
    arrays = np.load(plain)
    wanted = pygru.from_arrays(
        *(arrays[f"enc_{name}"] for name in ("w_ih", "w_hh", "b_ih")),
        gate_order="zrn",
        variant="cho",
    )
    gru = pygru.load(path)
    assert gru.options == wanted.options
    assert (gru.flat_parameters == wanted.flat_parameters).all()


def test_a_numpy_archive_of_pygru_says_everything(tmp_path, capsys):
    gru = pygru.GRU(I, H, 2, bidirectional=True, variant="pytorch", seed=0)
    pygru.save(gru, tmp_path / "gru.safetensors")
    assert main(tmp_path / "gru.safetensors", "--to", tmp_path / "gru.npz") == 0
    arrays = np.load(tmp_path / "gru.npz")
    for name, value in gru.state_dict().items():
        np.testing.assert_array_equal(arrays[name], value)
    (found,) = pygru.io.inspect(tmp_path / "gru.npz")
    assert found.unknown == () and found.build().options == gru.options


def test_dtype_can_be_chosen(plain, tmp_path):
    arguments = [plain, "--name", "dec", *KNOWN, "--dtype", "float32"]
    assert main(*arguments, "--to", tmp_path / "dec.safetensors") == 0
    assert pygru.load(tmp_path / "dec.safetensors").dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("--to out.safetensors", 1, "holds 2 GRUs; pass --name with one of 'enc', 'dec'"),
        ("--to out.safetensors --name enc", 1, "pass --variant 'chung', 'cho' or 'pytorch'"),
        ("--to out.safetensors --name enc", 1, "pass --gate-order 'rzn', 'zrn' or another"),
        ("--to out.safetensors --name old", 1, "'old' is not a GRU that pygru can take"),
        ("--to out.safetensors --name no", 1, "holds no GRU named 'no'"),
        ("--to out.h5", 2, "--to must end with .safetensors, .onnx, .npz, got 'out.h5'"),
        ("--variant keras", 2, "invalid choice: 'keras'"),
        (f"--to {__file__}.npz", 1, "exists; use --force to replace it"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(
    arguments, code, message, plain, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = arguments.replace(f"{__file__}", "there")
    (tmp_path / "there.npz").write_bytes(b"old")
    assert main(plain, *arguments.split()) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert (tmp_path / "there.npz").read_bytes() == b"old"
    assert not (tmp_path / "out.safetensors").exists()


def test_other_files_are_refused_with_their_name(tmp_path, capsys):
    path = tmp_path / "notes.txt"
    path.write_text("nothing")
    assert main(path) == 1
    assert capsys.readouterr().err == (
        f"pygru: {path}: text holds no weights that pygru can read\n"
    )


def test_a_description_that_does_not_fit_is_refused(tmp_path, capsys):
    config = pygru.GRU(I, H).get_config() | {"num_layers": 2**19}
    description = json.dumps({"class": "GRU", "config": config})
    np.savez(tmp_path / "bad.npz", pygru=np.array(description), weight=np.ones(3))
    assert main(tmp_path / "bad.npz") == 1
    assert "the description is not valid" in capsys.readouterr().err


# ---- beside the library that wrote the file --------------------------------------------------


def test_a_check_needs_the_library(plain, capsys):
    assert main(plain, "--name", "enc", *KNOWN, "--check") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "enc: not checked: no other library runs the weights of this file (NumPy archive)"
    )


@pytest.mark.slow
def test_a_check_compares_with_torch(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    module = torch.nn.GRU(I, H, 2, bidirectional=True)
    torch.save(
        {"model": {f"rnn.{n}": v for n, v in module.state_dict().items()}}, tmp_path / "m"
    )
    assert main(tmp_path / "m", "--check") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert f"torch {torch.__version__} differs by at most" in line
    assert float(line.split()[-1]) < 1e-13
    # Weights that are not those of the file are noticed.
    real = pygru.io.FoundGRU.build

    def wrong(self, **options):
        gru = real(self, **options)
        gru.parameters["weight_hh_l1"][0] += 0.1
        return gru

    monkeypatch.setattr(pygru.io.FoundGRU, "build", wrong)
    assert main(tmp_path / "m", "--check") == 1
    assert "do not agree" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("go_backwards", [False, True])
def test_a_check_compares_with_keras(go_backwards, tmp_path, capsys):
    pytest.importorskip("jax")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    layers = [
        keras.Input((None, I)),
        keras.layers.Bidirectional(keras.layers.GRU(H, return_sequences=True)),
        keras.layers.GRU(H, go_backwards=go_backwards, recurrent_activation="hard_sigmoid"),
    ]
    path = tmp_path / "model.keras"
    keras.Sequential(layers).save(path)
    assert main(path, "--check") == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert all(f"keras {keras.__version__} differs by at most" in line for line in lines)


@pytest.mark.slow
def test_a_check_compares_with_onnx_runtime(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    gru = pygru.GRU(I, H, bidirectional=True, variant="cho", seed=0)
    pygru.to_onnx(gru, tmp_path / "gru.onnx")
    assert main(tmp_path / "gru.onnx", "--check") == 0
    assert "onnxruntime" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--name enc --gate-order zrh", "--gate-order must have each of 'r', 'z' and 'n' once"),
        ("--name nope", "--name must be one of 'enc', 'dec'"),
    ],
)
def test_messages_name_the_options_of_the_command(arguments, message, plain, tmp_path, capsys):
    known = [word for word in KNOWN if word not in ("--gate-order", "zrn")]
    path = tmp_path / "out.safetensors"
    assert main(plain, *arguments.split(), *known, "--to", path) == 1
    assert message in capsys.readouterr().err


def test_the_gate_order_of_a_file_that_states_it_is_not_asked_for(tmp_path, capsys):
    pygru.save(pygru.GRU(I, H, seed=0), tmp_path / "gru.safetensors")
    arguments = ("--gate-order", "rzn", "--to", tmp_path / "gru.npz")
    assert main(tmp_path / "gru.safetensors", *arguments) == 1
    assert "--gate-order must not be given" in capsys.readouterr().err


def test_the_table_shows_how_directions_are_merged(tmp_path, capsys):
    gru = pygru.GRU(I, H, bidirectional=True, merge="sum", seed=0)
    pygru.save(gru, tmp_path / "gru.safetensors")
    assert main(tmp_path / "gru.safetensors") == 0
    assert "2, sum" in capsys.readouterr().out
