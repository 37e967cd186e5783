"""R-22: a process that is killed at any moment while it saves leaves the old or the new file.

It never leaves half a file, and its temporary files are gone after the next save. These tests
fail if pygru writes to the file itself, renames before the end, or never removes temporary
files. Whether a file is also whole after a power failure cannot be tested in this way. It
follows from the order of fsync and rename, which test_model_files.py checks.

One test kills at each point of the code that writes files. The other one kills at a random
moment, perhaps in the middle of a write of the system. The child says what it has done, so
what the tests prove does not depend on how fast the machine is.

PYGRU_KILLS=1000 kills a thousand times at random moments; the default is fifty times.
"""

import os
import random
import signal
import time

import numpy as np
import pytest
from interrupts import run_to

import pygru
from pygru import GRU, Trainer
from pygru.io import files

KILLS = int(os.environ.get("PYGRU_KILLS", "50"))

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs kill -9 and locks on files"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def small_gru():
    """Return a GRU of about 160 kB, so that writing takes some time."""
    return GRU(30, 100, batch_first=True, seed=0)


def save(kind, path, number):
    """Save a model or a checkpoint all of whose weights are ``number``."""
    trainer = Trainer(small_gru())
    trainer.model.flat_parameters = np.full_like(trainer.model.flat_parameters, number)
    if kind == "checkpoint":
        trainer.save_checkpoint(path)
    else:
        pygru.save(trainer.model, path)


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


def started(function):
    """Run ``function`` in a process of its own; return its number."""
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(1)
    return child


def kill_itself(where):
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_at_every_point(tmp_path):
    """A process kills itself at the first, the second, ... point of the code that writes."""
    path, point, last, outcomes = tmp_path / "m.safetensors", 0, 0, set()
    save("model", path, last)
    killed = True
    while killed:
        point += 1

        def write(stop_at=point, number=last + 1):
            where = run_to(
                lambda: save("model", path, number), stop_at, files.__file__, kill_itself
            )
            os._exit(0 if where is None else 1)

        _, status = os.waitpid(started(write), 0)
        killed = os.WIFSIGNALED(status)
        found = number_in("model", path)
        assert found in (last, last + 1), point
        assert len(os.listdir(tmp_path)) <= 2, point  # files of earlier kills are gone
        outcomes.add((found - last, len(os.listdir(tmp_path)) - 1))
        last = found
    # Kills before there was a temporary file, with one, and after the file was replaced.
    assert outcomes == {(0, 0), (0, 1), (1, 0)}
    assert point > 30 and os.WEXITSTATUS(status) == 0


@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_killed_at_any_moment(kind, tmp_path):
    path, rng, last = tmp_path / "m.safetensors", random.Random(0), 0
    other = tmp_path / ".m.safetensors.bak"  # similar to the names that are removed
    other.touch()
    save("checkpoint", path, last)
    for _ in range(KILLS):
        reader, writer = os.pipe()

        def save_for_ever(first=last + 1, writer=writer):
            number = first
            while True:
                os.write(writer, b".")
                save(kind, path, number)
                number += 1

        child = started(save_for_ever)
        os.close(writer)
        with open(reader, "rb", buffering=0) as pipe:
            complete = rng.randrange(3)  # so many saves have ended, and the next has begun
            for _ in range(complete + 1):
                assert pipe.read(1) == b"."
            time.sleep(rng.uniform(0, 0.004))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            complete += len(pipe.read())  # and those since
        assert os.WIFSIGNALED(status)  # it had not ended before
        found = number_in(kind, path)
        assert last + complete <= found <= last + complete + 1
        last = found
        assert len(os.listdir(tmp_path)) <= 3  # files of earlier kills are gone
    assert last >= KILLS / 3
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
