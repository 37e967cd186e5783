"""R-22: a process that is killed at any moment while it saves leaves the old or the new file.

Never half of one, and what it has left beside it is gone after the next save. Writing to the
file itself, a rename before the end, or temporary files that nobody removes make these fail.
That a power failure leaves a whole file too cannot be tested like this: the order of fsync and
rename, on which it rests, is looked at in test_model_files.py.

PYGRU_KILLS=1000 kills as often; without it fifty times.
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
    """Return a GRU of some 160 kB, so that writing takes a while."""
    return GRU(30, 100, batch_first=True, seed=0)


def save_for_ever(kind, path, first):
    """Save models whose weights are all the number of the save, to a slow disk."""
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
    assert os.WIFSIGNALED(status)  # it did not end before


def number_in(kind, path):
    """Return which save a file is of; all of it must be of the same one."""
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
    other = tmp_path / ".m.safetensors.bak"  # looks a little like what is removed
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
        assert len(os.listdir(tmp_path)) <= 3  # those of earlier kills are gone
    assert last > 0 and interrupted > 0  # it did save, and some kills came while it did
    pygru.save(GRU(1, 1), path)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, other.name])


def test_a_temporary_file_in_use_is_left_alone(tmp_path):
    import fcntl

    path = tmp_path / "m"
    used, left = (tmp_path / f".m.tmp-1-{name}" for name in ("00000000", "0123abcd"))
    left.touch()
    others = [tmp_path / ".m.tmp-backup", tmp_path / ".m.tmp-1-0123abcd.old", tmp_path / "x"]
    for other in others:  # of somebody else
        other.touch()
    pipe = tmp_path / ".m.tmp-2-0123abcd"
    os.mkfifo(pipe)
    with open(used, "xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        pygru.save(GRU(1, 1), path)
        assert used.exists() and not left.exists()
    pygru.save(GRU(1, 1), path)
    assert set(tmp_path.iterdir()) == {path, pipe, *others}
