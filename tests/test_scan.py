"""Several ranks scan data together: each reads a share, and all get what one would get."""

import numpy as np
import pytest

from pygru.train import scan
from pygru.train.datasets import Dataset
from pygru.train.reading import Expected

RNG = np.random.default_rng(0)
RAGGED = [RNG.standard_normal((length, 3)) for length in RNG.integers(0, 9, 50)]
ARRAY = RNG.standard_normal((50, 8, 3))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(scan, "BLOCK", 512)
    monkeypatch.setattr(scan, "FEW", 3)


def datasets():
    return {
        "array": Dataset(ARRAY, np.arange(50.0)),
        "lengths": Dataset(ARRAY, np.arange(50.0), np.arange(50) % 9),
        "list": Dataset(RAGGED, np.arange(50.0), sample_weight=np.ones(50)),
        "few": Dataset(ARRAY[:2], np.arange(2.0)),
    }


def together(data, ranks):
    """The fingerprints that ranks get, where each may only read its share."""
    told = []
    for rank in range(ranks):
        data.fingerprint(scan.Share(rank, ranks, lambda own: told.append(own) or [own]))
    return {data.fingerprint(scan.Share(rank, ranks, lambda _: told)) for rank in range(ranks)}


@pytest.mark.parametrize("ranks", [2, 3, 70])
@pytest.mark.parametrize("kind", datasets())
def test_the_fingerprint_does_not_depend_on_the_number_of_ranks(kind, ranks):
    data = datasets()[kind]
    assert together(data, ranks) == {data.fingerprint()}


def test_each_block_is_read_by_one_rank():
    read = [
        [block.first for block in scan.blocks_of(ARRAY, None, scan.Share(rank, 4))]
        for rank in range(4)
    ]
    assert [first for own in read for first in own] == [
        block.first for block in scan.blocks_of(ARRAY, None)
    ]
    assert max(map(len, read)) - min(map(len, read)) <= 1


def test_few_blocks_are_read_by_all_ranks():
    for rank in range(4):
        share = scan.Share(rank, 4)
        assert sum(b.samples for b in scan.blocks_of(ARRAY[:2], None, share)) == 2


def test_a_wrong_value_is_found_by_the_rank_that_reads_it():
    wrong = ARRAY.copy()
    wrong[37, 2, 1] = np.nan
    found = []
    for rank in range(3):
        try:
            Dataset(wrong, np.zeros(50)).check(Expected(), scan.Share(rank, 3))
        except ValueError as error:
            found.append(str(error))
    assert found == ["Input X contains NaN: X[37, 2, 1] = nan (sample 37, step 2)"]
