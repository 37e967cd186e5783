"""Kinds of communicators, threads, noise of ranks, and what only the first rank writes."""

import json

import numpy as np
import pytest
from mpi_communicators import CHECKS, LOSS_WEIGHTS, SAMPLES, gradients_of
from mpi_programs import needs_mpi, run

import pygru

RANKS = 3

pytestmark = [needs_mpi, pytest.mark.slow]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What each rank has found, the folder, and what the program has written on the screen."""
    folder = tmp_path_factory.mktemp("communicators")
    (folder / "files").mkdir()
    program = run(RANKS, "mpi_communicators.py", folder)
    found = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(RANKS)]
    assert set(found[0]) == {check.__name__ for check in CHECKS}
    return found, folder, program


def test_one_process(done):
    """A communicator of size 1 gives the bits of training without one; its rank is the main."""
    for found in done[0]:
        assert found["one"] == [True, True]


def test_what_is_no_communicator_to_train_with(done):
    expected = [
        *(
            "TypeError: comm must be a communicator of mpi4py, such as mpi4py.MPI.COMM_WORLD, "
            f"or None, got {name}"
            for name in ("int", "str", "module")
        ),
        "ValueError: comm must be a communicator with this process in it, got COMM_NULL",
        "ValueError: comm must be an intracommunicator, got one between two groups",
    ]
    assert [found["refused"] for found in done[0]] == [expected] * RANKS


def test_two_groups_train_at_the_same_time(done):
    for rank, found in enumerate(done[0]):
        results, as_alone, is_main = found["split"]
        assert results == 2  # one for each group
        assert as_alone
        assert is_main == (rank < 2)


def test_threads(done):
    for found in done[0]:
        assert found["in_a_thread"]
        assert found["in_two_threads"] == [True, True]


def test_gradients_are_summed_in_the_order_of_the_ranks(done):
    """With the weights of the losses, and in double precision: the bits are known."""
    total = sum(LOSS_WEIGHTS)
    shares = [weight / total for weight in LOSS_WEIGHTS]
    for dtype, *found in zip(
        (np.float64, np.float32), *(each["order"] for each in done[0]), strict=True
    ):
        expected = [np.zeros(2), np.zeros(3)]
        for rank, share in enumerate(shares):
            for mean, gradient in zip(expected, gradients_of(rank, dtype), strict=True):
                mean += gradient.astype(np.float64) * share
        for loss, *means in found:
            assert loss == 2.0 * shares[1] + 4.0 * shares[2]
            assert means == [each.astype(dtype).tolist() for each in expected]


def test_one_rank_can_stop_training(done):
    assert [found["stop"] for found in done[0]] == [[2, True]] * RANKS


def test_noise(done):
    """It is another one on each rank, has the right mean, and the generators agree after it."""
    for found in done[0]:
        mean, different, after = found["noise"]
        assert abs(mean - 1) < 4 / SAMPLES**0.5
        assert different == RANKS
        assert after == 1


def test_only_the_first_rank_writes_files(done):
    found, folder, _ = done
    assert [each["files"] for each in found] == [[False, True], [False, False], [False, False]]
    names = {path.name for path in (folder / "files").iterdir()}
    models = {name for name in names if name.endswith(".safetensors")}
    assert names - models == {"log.csv"}
    assert models == {f"{name}.safetensors" for name in ("0", "1", "best", "last")}
    for name in models:
        pygru.load(folder / "files" / name)


def test_the_search_for_a_learning_rate(done):
    assert all(found["learning_rate"] for found in done[0])


def test_progress_is_shown_once(done):
    lines = [line for line in done[2].stderr.splitlines() if line.startswith("epoch ")]
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
