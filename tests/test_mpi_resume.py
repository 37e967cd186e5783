"""Training on ranks that goes on from a checkpoint."""

import numpy as np
import pytest
from mpi_programs import needs_mpi, run
from mpi_resume import CASES, resumed

import pygru
from pygru.io.native import CLASSES
from pygru.train import checkpoint_file

pytestmark = [needs_mpi, pytest.mark.slow]

OTHER_RANKS = "the checkpoint was made by {} ranks, and {} continue"


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request):
    return request.param


@pytest.fixture(scope="module")
def folder(ranks, tmp_path_factory):
    """Where checkpoints are, and what trainings without a stop have given."""
    path = tmp_path_factory.mktemp("checkpoints")
    run(ranks, "mpi_resume.py", path, "stop")
    run(ranks, "mpi_resume.py", path, "whole")
    return path


def checkpoints_in(folder):
    return sorted(path.name for path in folder.iterdir() if "," in path.name)


def results(folder, what, ranks):
    return [np.load(folder / f"{what}{rank}.npz") for rank in range(ranks)]


def is_between_windows(path):
    """Whether states of each rank are in a checkpoint."""
    return checkpoint_file.read(path, CLASSES).state["position"]["states"] is not None


def needs_its_ranks(path):
    """Whether only as many ranks as have made a checkpoint can continue from it."""
    position = checkpoint_file.read(path, CLASSES).state["position"]
    is_inside = bool(position["batch"] or position["window"])
    return is_between_windows(path) or (is_inside and "batches" in path.name)


def test_checkpoints_do_not_change_a_training(folder, ranks):
    for one, other in zip(
        results(folder, "stop", ranks), results(folder, "whole", ranks), strict=True
    ):
        for name in CASES:
            np.testing.assert_array_equal(one[name], other[name])


def test_the_same_number_of_ranks_goes_on_with_the_same_bits(folder, ranks):
    """At the end of an epoch, within it, and between two windows of a batch."""
    names = checkpoints_in(folder)
    assert len(names) == 4 * len(CASES)
    run(ranks, "mpi_resume.py", folder, "go", *names)
    whole = results(folder, "whole", ranks)[0]
    for found in results(folder, "go", ranks):
        for name in names:
            expected = whole[name.split(",")[0]]
            np.testing.assert_array_equal(found[name], expected, err_msg=name)
            assert not len(found[f"{name}: messages"])


def test_another_number_of_ranks_goes_on_with_a_warning(folder, ranks):
    others = 5 - ranks
    names = [each for each in checkpoints_in(folder) if not needs_its_ranks(folder / each)]
    run(others, "mpi_resume.py", folder, "go", *names)
    whole = results(folder, "whole", ranks)[0]
    for rank, found in enumerate(results(folder, "go", others)):
        for name in names:
            expected = whole[name.split(",")[0]]
            assert found[name].shape == expected.shape
            assert not np.array_equal(found[name], expected)  # other noise at least
            messages = found[f"{name}: messages"]
            assert len(messages) == (rank == 0)
            if rank == 0:
                assert messages[0].startswith(OTHER_RANKS.format(ranks, others))


def test_one_process_goes_on_with_a_warning(folder, ranks):
    for name in checkpoints_in(folder):
        pygru.load(folder / name)
        if needs_its_ranks(folder / name):
            continue
        _, messages = resumed(folder / name)
        assert len(messages) == 1, messages
        assert messages[0].startswith(OTHER_RANKS.format(ranks, 1))


@pytest.mark.parametrize("case", ["windows", "windows of batches", "batches"])
def test_some_places_are_of_the_ranks_that_were_there(folder, ranks, case):
    """Between windows each rank has states, and other ranks would make other batches."""
    names = [each for each in checkpoints_in(folder) if needs_its_ranks(folder / each)]
    name = next(each for each in names if each.split(",")[0] == case)
    with pytest.raises(ValueError, match=f"so only {ranks} ranks can continue from it, got 1"):
        resumed(folder / name)
    done = run(5 - ranks, "mpi_resume.py", folder, "go", name, code=None)
    assert done.returncode != 0
    assert f"so only {ranks} ranks can continue from it, got {5 - ranks}" in done.stderr
