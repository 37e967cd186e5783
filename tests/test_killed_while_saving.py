"""R-22: a process that is killed at any moment while it saves leaves the old or the new file.

It never leaves half a file, and its temporary files are gone after the next save. These tests
fail if pygru writes to the file itself, renames before the end, or never removes temporary
files. Whether a file is also whole after a power failure cannot be tested in this way. It
follows from the order of fsync and rename, which test_model_files.py checks.

PYGRU_KILLS=1000 kills a thousand times; the default is fifty times.
"""

import itertools
import os
import random
import signal
import time

import numpy as np
import pytest

import pygru
from pygru import GRU, Trainer

KILLS = int(os.environ.get("PYGRU_KILLS", "50"))

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs kill -9 and locks on files"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def small_gru():
    """Return a GRU of about 160 kB, so that writing takes some time."""
    return GRU(30, 100, batch_first=True, seed=0)


def save_for_ever(kind, path, first):
    """Save again and again to a slow disk; all weights are the number of the save."""
    fsync = os.fsync
    os.fsync = lambda descriptor: (time.sleep(0.002), fsync(descriptor))
    trainer = Trainer(small_gru())
    for number in itertools.count(first):
        trainer.model.flat_parameters = np.full_like(trainer.model.flat_parameters, number)
        if kind == "checkpoint":
            trainer.save_checkpoint(path)
        else:
            pygru.save(trainer.model, path)


def killed_after(seconds, *arguments):
    """Run ``save_for_ever`` in a process of its own and kill it."""
    child = os.fork()
    if child == 0:
        try:
            save_for_ever(*arguments)
        finally:
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)  # it had not ended before


def number_in(kind, path):
    """Return the number of the save in a file, which must be the same everywhere."""
    if kind == "checkpoint":
        trainer = Trainer(small_gru())
        trainer.resume(path)
        model = trainer.model
    else:
        model = pygru.load(path)
    numbers = np.unique(model.flat_parameters)
    assert len(numbers) == 1
    return int(numbers[0])


@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_killed_at_any_moment(kind, tmp_path):
    path, rng = tmp_path / "m.safetensors", random.Random(0)
    other = tmp_path / ".m.safetensors.bak"  # similar to the names that are removed
    other.touch()
    Trainer(small_gru()).save_checkpoint(path)
    last = interrupted = 0
    for _ in range(KILLS):
        before = path.read_bytes()
        killed_after(rng.uniform(0, 0.03), kind, path, last + 1)
        if path.read_bytes() != before:
            found = number_in(kind, path)
            assert found > last
            last = found
        interrupted += len(os.listdir(tmp_path)) > 2
        assert len(os.listdir(tmp_path)) <= 3  # files of earlier kills are gone
    assert last > 0 and interrupted > 0  # it did save, and some kills came during a save
    pygru.save(GRU(1, 1), path)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, other.name])


def test_a_temporary_file_in_use_is_left_alone(tmp_path):
    import fcntl

    path = tmp_path / "m"
    used, left = (tmp_path / f".m.tmp-1-{name}" for name in ("00000000", "0123abcd"))
    left.touch()
    others = [tmp_path / ".m.tmp-backup", tmp_path / ".m.tmp-1-0123abcd.old", tmp_path / "x"]
    for other in others:  # files of other programs
        other.touch()
    pipe = tmp_path / ".m.tmp-2-0123abcd"
    os.mkfifo(pipe)
    with open(used, "xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        pygru.save(GRU(1, 1), path)
        assert used.exists() and not left.exists()
    pygru.save(GRU(1, 1), path)
    assert set(tmp_path.iterdir()) == {path, pipe, *others}
