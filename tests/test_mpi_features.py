"""Training on several ranks gives what one process gives with the whole batches."""

import re

import numpy as np
import pytest
from mpi_features import ALL, CASES, IN_SINGLE, WITH_NOISE, outcome, train
from mpi_programs import needs_mpi, run

QUICK = "sample_weight 0"  # a case with which the quick tests try that ranks train at all

pytestmark = needs_mpi


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """``trained(ranks, *names)`` is what each rank has, from one program for all names."""
    known = {}

    def run_once(ranks, *names):
        if (ranks, names) not in known:
            folder = tmp_path_factory.mktemp("trained")
            run(ranks, "mpi_features.py", folder, *names)
            known[ranks, names] = [np.load(folder / f"rank{i}.npz") for i in range(ranks)]
            sizes = [int(each["size"]) for each in known[ranks, names]]
            assert sizes == [ranks] * ranks, "mpiexec is not of the library that mpi4py uses"
        return known[ranks, names]

    return run_once


def found_in(files, name):
    """The weights of a case, relative to the largest, and the numbers of its epochs."""
    return files[0][f"{name}: weights"], files[0][f"{name}: numbers"]


def assert_equal_on_all_ranks(files):
    for key in set(files[0]) - {"size"}:
        assert len({each[key].tobytes() for each in files}) == 1, key


def assert_like_one_process(files, name, weights_to, numbers_to):
    expected, expected_numbers = outcome(train(name))
    weights, numbers = found_in(files, name)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(weights / scale, expected / scale, rtol=0, atol=weights_to)
    np.testing.assert_allclose(numbers, expected_numbers, rtol=numbers_to, atol=numbers_to)


def test_two_ranks_train_like_one_process(trained):
    files = trained(2, QUICK)
    assert_equal_on_all_ranks(files)
    assert_like_one_process(files, QUICK, 1e-14, 1e-13)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Got batch_size")
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_ranks_train_like_one_process(name, ranks, trained):
    assert_like_one_process(trained(ranks), name, 1e-14, 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", IN_SINGLE)
def test_ranks_train_like_one_process_in_single_precision(name, ranks, trained):
    assert_like_one_process(trained(ranks), name, 2e-6, 2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_all_ranks_have_the_same_bits(ranks, trained):
    files = trained(ranks)
    assert {
        re.sub(": (weights|numbers|seconds|random state)$", "", key) for key in files[0]
    } == {
        "size",
        *ALL,
    }
    assert_equal_on_all_ranks(files)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_same_number_of_ranks_gives_the_same_bits_again(ranks, trained):
    names = ["dropout", "scheduled sampling", "bptt_steps, ragged", "batches, uneven"]
    first, second = trained(ranks), trained(ranks, *names)
    for key in second[0]:
        if not key.endswith(": seconds"):
            assert first[0][key].tobytes() == second[0][key].tobytes(), key


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_noise_does_not_depend_on_how_much_memory_is_used(ranks, trained):
    files = trained(ranks)
    for one, other in zip(
        found_in(files, "dropout"), found_in(files, "dropout, memory"), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_NOISE)
def test_noise_is_not_that_of_one_process(name, trained):
    expected, _ = outcome(train(name))
    found = [found_in(trained(ranks), name)[0] for ranks in (2, 3)]
    assert not np.array_equal(found[0], expected)
    assert not np.array_equal(found[0], found[1])
    for each in found:  # but as little away from it as noise is
        np.testing.assert_allclose(each, expected, rtol=0, atol=np.abs(expected).max())
