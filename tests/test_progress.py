"""What training shows: a bar on a terminal or in a notebook, elsewhere one line per epoch.

The notebooks run in a Jupyter kernel, where nbclient and ipykernel are installed.
"""

import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest
from patience import PATIENCE

import pygru
from pygru import GRU, Callback, EarlyStopping, Last, Linear, Sequential, Trainer, screen

X = np.random.default_rng(1).standard_normal((20, 6, 2)).astype(np.float32)
y = X[:, :, :1].sum(axis=1)


def trainer_with(*callbacks):
    model = Sequential(GRU(2, 4, batch_first=True, seed=0), Last(), Linear(4, 1, seed=0))
    return Trainer(model, callbacks=callbacks, seed=0)


def fit(trainer, epochs=3, **options):
    return trainer.fit(X, y, epochs=epochs, batch_size=5, **options)


class Terminal(io.StringIO):
    """Text written to a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def on_a_terminal(monkeypatch):
    """A function that calls another one with a terminal as standard error.

    It returns what is written. The fixture cannot do this itself, because pytest sets standard
    error again before the test.
    """

    def call(function, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", Terminal())
            patch.setenv("COLUMNS", "200")  # else how fast it was decides what is cut off
            try:
                function(*arguments, **options)
            finally:
                call.written = sys.stderr.getvalue()
        return call.written

    return call


# ---- neither a terminal nor a notebook -------------------------------------------------------


class Double(Callback):
    """Puts a metric into the record."""

    def on_epoch_end(self, trainer, record):
        record["double"] = 2 * record["loss"]


@pytest.mark.parametrize("shown", [None, True])
def test_one_line_per_epoch_where_there_is_no_terminal(capsys, shown):
    trainer = trainer_with(Double())
    history = fit(trainer, validation=(X, y), progress=shown)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 3
    for epoch, (line, record) in enumerate(zip(lines, history.records, strict=True)):
        loss, double, val_loss = (f"{record[n]:.4g}" for n in ("loss", "double", "val_loss"))
        begin = f"epoch {epoch + 1}/3: loss {loss}, val_loss {val_loss}, double {double}, "
        assert re.fullmatch(re.escape(begin) + r"\d+ sequences/s", line)


def test_lines_of_training_that_goes_on_count_from_its_beginning(capsys):
    trainer = trainer_with()
    fit(trainer, 2, progress=False)
    fit(trainer, 3, initial_epoch=2)
    assert re.fullmatch(r"epoch 3/3: loss .*\n", capsys.readouterr().err)


def test_nothing_is_shown_if_it_is_not_wanted(capsys, on_a_terminal):
    fit(trainer_with(), progress=False)
    assert on_a_terminal(fit, trainer_with(), progress=False) == ""
    assert capsys.readouterr() == ("", "")


def test_a_progress_bar_of_ones_own_is_the_only_one(capsys):
    fit(trainer_with(pygru.ProgressBar(disable=False)), progress=True)
    assert capsys.readouterr().err.count("epoch 3/3") == 1


def test_an_epoch_that_is_told_twice_is_shown_once(capsys):
    bar, trainer = pygru.ProgressBar(), trainer_with()
    bar.on_fit_begin(trainer, range(5, 9))
    for _ in range(2):
        bar.on_epoch_end(trainer, {"epoch": 5, "loss": 1.0, "sequences": 3, "seconds": 1.5})
    bar.on_fit_end(trainer)
    assert capsys.readouterr().err == "epoch 6/9: loss 1, 2 sequences/s\n"


def test_what_is_no_bool_is_refused():
    with pytest.raises(TypeError, match="progress must be a bool, got str"):
        fit(trainer_with(), progress="no")
    with pytest.raises(TypeError, match="disable must be a bool, got int"):
        pygru.ProgressBar(1)


class Refusing(io.StringIO):
    """A pipe that nobody reads any more."""

    def write(self, text):
        raise BrokenPipeError


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, Refusing(), closed()], ids=["none", "pipe", "closed"])
def test_training_goes_on_if_nothing_can_be_shown(monkeypatch, stream):
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        history = fit(trainer_with(), progress=True)
    assert len(history) == 3


def shown_in_a_worker(disable, pipe):
    sys.stderr = io.StringIO()
    fit(trainer_with(pygru.ProgressBar(disable)), 1)
    pipe.send(sys.stderr.getvalue())


@pytest.mark.parametrize(("disable", "lines"), [(None, 0), (False, 1), (True, 0)])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_of_a_parallel_program_are_quiet_by_default(disable, lines):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    worker = context.Process(target=shown_in_a_worker, args=(disable, there))
    worker.start()
    there.close()
    assert here.recv().count("epoch 1/1") == lines
    worker.join(PATIENCE)


# ---- a terminal ------------------------------------------------------------------------------


def test_a_bar_on_a_terminal(on_a_terminal, capsys):
    trainer = trainer_with()
    last = on_a_terminal(fit, trainer, validation=(X, y)).split("\r")[-1]
    loss = f"val_loss={trainer.history['val_loss'][-1]:.4g}"
    assert "3/3" in last and loss in last and "sequences/s=" in last
    assert capsys.readouterr() == ("", "")


def test_a_bar_that_is_told_again_stays_where_it_is(on_a_terminal):
    def show():
        bar, trainer = pygru.ProgressBar(), trainer_with()
        bar.on_fit_begin(trainer, range(5, 9))
        record = {"epoch": 5, "loss": 1.0, "sequences": 3, "seconds": 1.0}
        for _ in range(2):
            bar.on_epoch_end(trainer, record)
        bar.on_fit_end(trainer)

    assert "1/4" in on_a_terminal(show).split("\r")[-1]


def test_a_bar_moves_within_an_epoch(on_a_terminal, monkeypatch):
    clock = iter(range(100_000))
    monkeypatch.setattr("pygru.train.progress.time.monotonic", lambda: next(clock))
    written = on_a_terminal(fit, trainer_with(), 1)
    assert "batch loss=" in written and "steps=3" in written


def test_a_bar_of_training_that_stopped_early_is_complete(on_a_terminal):
    trainer = trainer_with(EarlyStopping(1, monitor="loss", min_delta=1e9))
    last = on_a_terminal(fit, trainer, 50).split("\r")[-1]
    assert len(trainer.history) == 2
    assert "2/2" in last


def test_a_bar_is_closed_after_an_interrupt(on_a_terminal):
    class Stop(Callback):
        def on_epoch_end(self, trainer, record):
            if record["epoch"]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_a_terminal(fit, trainer_with(Stop()), 5)
    assert "1/5" in on_a_terminal.written and on_a_terminal.written.endswith("\n")


# ---- a notebook ------------------------------------------------------------------------------


def test_what_a_notebook_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not screen.in_kernel()
    for attributes, expected in ({}, False), ({"kernel": None}, False), ({"kernel": 1}, True):
        shell = types.SimpleNamespace(**attributes)
        found = types.SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", found)
        assert screen.in_kernel() is expected
    monkeypatch.delitem(sys.modules, "IPython")
    assert not screen.in_kernel()


PREPARE = """
import numpy as np
from pygru import GRU, Callback, EarlyStopping, Last, Linear, Sequential, Trainer

X = np.random.default_rng(1).standard_normal((20, 6, 2)).astype(np.float32)
y = X[:, :, :1].sum(axis=1)

def trainer_with(*callbacks):
    model = Sequential(GRU(2, 4, batch_first=True, seed=0), Last(), Linear(4, 1, seed=0))
    return Trainer(model, callbacks=callbacks, seed=0)

def fit(trainer, epochs=3):
    return trainer.fit(X, y, epochs=epochs, batch_size=5)

class Interrupt(Callback):
    def on_epoch_end(self, trainer, record):
        if record["epoch"] == 1:
            import os, signal
            os.kill(os.getpid(), signal.SIGINT)
"""

# From here on it is as if ipywidgets were not installed.
WITHOUT_WIDGETS = """
import sys
sys.modules["ipywidgets"] = None
for name in [name for name in sys.modules if name.startswith("tqdm")]:
    del sys.modules[name]
"""


# Runs the cells that it reads, and prints their outputs and the widgets. It is a process of its
# own because nbclient leaves sockets open.
CLIENT = """
import json, sys
import nbclient, nbformat

cells = [nbformat.v4.new_code_cell(cell) for cell in json.load(sys.stdin)]
manager = nbclient.client.KernelManager(kernel_name="python3")
kernel = manager.kernel_spec_manager.get_kernel_spec("python3")
kernel.argv = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
client = nbclient.NotebookClient(
    nbformat.v4.new_notebook(cells=cells), km=manager, allow_errors=True, timeout=None
)
client.execute()
print(json.dumps([[cell.outputs for cell in cells], list(client.widget_state.values())]))
"""


def run_notebook(tmp_path, *cells):
    """Run cells in a Jupyter kernel of this Python; return their outputs and the widgets."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    settings = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    done = subprocess.run(
        [sys.executable, "-P", "-c", CLIENT],
        input=json.dumps([PREPARE, *cells]),
        cwd=tmp_path,
        env=os.environ | dict.fromkeys(settings, str(tmp_path)),  # not those of the user
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    (prepared, *outputs), widgets = json.loads(done.stdout.splitlines()[-1])
    assert prepared == []
    return outputs, widgets


@pytest.mark.slow
def test_a_notebook_with_widgets(tmp_path):
    """A widget that moves; Ctrl-C makes it red, and an early end does not."""
    pytest.importorskip("ipywidgets")
    (whole, interrupted, early), widgets = run_notebook(
        tmp_path,
        "history = fit(trainer_with())",
        "history = fit(trainer_with(Interrupt()), 5)",
        "stopping = EarlyStopping(1, monitor='loss', min_delta=1e9)\n"
        "history = fit(trainer_with(stopping), 50)",
    )
    for outputs in whole, interrupted, early:
        assert "application/vnd.jupyter.widget-view+json" in outputs[0]["data"]
    assert [output.get("ename") for output in interrupted[1:]] == ["KeyboardInterrupt"]
    assert len(whole) == len(early) == 1
    bars = [state for state in widgets if state["_model_name"] == "FloatProgressModel"]
    assert [(bar["value"], bar["max"], bar["bar_style"]) for bar in bars] == [
        (3, 3, "success"),
        (1, 5, "danger"),
        (2, 2, "success"),
    ]
    texts = [state["value"] for state in widgets if "loss=" in str(state.get("value"))]
    assert len(texts) == 3


@pytest.mark.slow
def test_a_notebook_without_widgets(tmp_path):
    """Text that moves, on standard output, and no warning."""
    (_, outputs), widgets = run_notebook(
        tmp_path,
        WITHOUT_WIDGETS,
        "import warnings; warnings.simplefilter('always')\nhistory = fit(trainer_with())",
    )
    assert not widgets
    assert {(output["output_type"], output.get("name")) for output in outputs} == {
        ("stream", "stdout")
    }
    text = "".join(output["text"] for output in outputs)
    assert "3/3" in text.split("\r")[-1] and "loss=" in text
