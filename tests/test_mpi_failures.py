"""What fails on one rank ends training on all, which can then train again."""

import json
import re

import pytest
from mpi_failures import CASES, CULPRIT
from mpi_programs import needs_mpi, run

pytestmark = needs_mpi

SAME = "all ranks need the same trainer and arguments: "
OTHER_DATA = f"{SAME}rank {CULPRIT} has other data than rank 0"

# What the failing rank raises; the others raise a RankError that quotes it.
ON_ONE_RANK = {
    "batches": ("OSError", "the disk is gone"),
    "wrong batch": ("ValueError", "target must have the shape of the prediction"),
    "validation batches": ("OSError", "the disk is gone"),
    "loss": ("ValueError", "no loss"),
    "metric": ("ValueError", "no metric"),
    "on_fit_begin": ("ValueError", "no callback"),
    "on_batch_end": ("ValueError", "no callback"),
    "on_epoch_end": ("ValueError", "no callback"),
    "on_fit_end": ("ValueError", "no callback"),
    "evaluation_weights": ("ValueError", "no callback"),
    "later": ("ValueError", "late"),
    "exit": ("SystemExit", "3"),
    "argument": ("ValueError", "epochs must be >= 0, got -1"),
}

# What all ranks raise.
ON_ALL_RANKS = {
    "loss without a number": ("DivergenceError", "loss is nan at epoch 0"),
    "gradient without a number": ("DivergenceError", "a gradient is not finite at epoch 0"),
    "weight without a number": ("DivergenceError", "loss is nan at epoch 0, batch 0, before"),
    "divergence": ("DivergenceError", "loss is (inf|nan) at epoch 0"),
    "other data": ("ValueError", OTHER_DATA),
    "another sample": ("ValueError", OTHER_DATA),
    "other y": ("ValueError", OTHER_DATA),
    "fewer samples": ("ValueError", OTHER_DATA),
    "other validation": ("ValueError", f"{SAME}rank {CULPRIT} has other validation data"),
    "batches on one rank": ("RuntimeError", "ranks diverged: .* rank 0 has come to the data"),
    "validation on one rank": (
        "ValueError",
        f"{SAME}validation is None on rank 0, 12 on rank {CULPRIT}",
    ),
    "other batch_size": ("ValueError", f"{SAME}batch_size is 5 on rank 0, 6 on rank {CULPRIT}"),
    "other epochs": ("ValueError", rf"{SAME}epochs\[1\] is 2 on rank 0, 3 on rank {CULPRIT}"),
    "other loss": ("ValueError", f"{SAME}loss is mse on rank 0, mae on rank {CULPRIT}"),
    "other clip_norm": (
        "ValueError",
        f"{SAME}clip_norm is None on rank 0, 1.0 on rank {CULPRIT}",
    ),
    "other optimizer": ("ValueError", f"{SAME}optimizer.class is SGD on rank 0, Adam on rank"),
    "other learning_rate": (
        "ValueError",
        f"{SAME}learning_rate is 0.1 on rank 0, 1.1 on rank {CULPRIT}",
    ),
    "other model": ("ValueError", f"{SAME}parameters.0.weight_ih_l0"),
    "other variant": (
        "ValueError",
        rf"{SAME}model.layers\[0\].variant is chung on rank 0, pytorch on rank {CULPRIT}",
    ),
    "other callbacks": ("ValueError", f"{SAME}0 callbacks on rank 0, 1 on rank {CULPRIT}"),
    "weights": (
        "RuntimeError",
        f"ranks diverged at step 3: rank {CULPRIT} has other weights than rank 0",
    ),
    "weights at the end": (
        "RuntimeError",
        f"ranks diverged at step 6: rank {CULPRIT} has other weights than rank 0",
    ),
    "steps": (
        "RuntimeError",
        f"ranks diverged at step 0: rank {CULPRIT} has made 0 steps, rank 0 3",
    ),
}


@pytest.fixture(scope="module")
def caught(tmp_path_factory):
    """``caught(ranks)`` is what each rank has caught in each case."""
    known = {}

    def run_once(ranks):
        if ranks not in known:
            folder = tmp_path_factory.mktemp("failed")
            run(ranks, "mpi_failures.py", folder)
            files = [folder / f"rank{rank}.json" for rank in range(ranks)]
            known[ranks] = [json.loads(file.read_text()) for file in files]
        return known[ranks]

    return run_once


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", ON_ONE_RANK)
def test_an_error_of_one_rank_ends_all(name, ranks, caught):
    kind, text = ON_ONE_RANK[name]
    for rank, cases in enumerate(caught(ranks)):
        found, message, _ = cases[name]
        if rank == CULPRIT:
            assert found == kind
            assert re.match(text, message), message
        else:
            assert found == "RankError"
            assert re.match(f"rank {CULPRIT} has stopped: {kind}: {text}", message), message


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", ON_ALL_RANKS)
def test_all_ranks_raise_what_all_of_them_know(name, ranks, caught):
    kind, text = ON_ALL_RANKS[name]
    for cases in caught(ranks):
        found, message, _ = cases[name]
        assert found == kind
        assert re.match(text, message), message
    assert len({cases[name][1] for cases in caught(ranks)}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_ctrl_c_of_one_rank_interrupts_all(ranks, caught):
    for rank, cases in enumerate(caught(ranks)):
        found, message, _ = cases["interrupt"]
        assert found == "KeyboardInterrupt"
        assert rank == CULPRIT or message == f"rank {CULPRIT} was interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_same_batches_on_all_ranks_are_a_warning_of_the_first(ranks, caught):
    for rank, cases in enumerate(caught(ranks)):
        found, message, _ = cases["same batches"]
        assert found == ("RankError" if rank else "UserWarning")
        assert "all ranks have made the same first batch of X" in message


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_bad_data_end_all_with_one_message(ranks, caught):
    """The rank that has looked at the place raises, and the others quote it."""
    text = "Input X contains NaN: X[4, 0, 0] = nan (sample 4, step 0)"
    found = [cases["NaN"] for cases in caught(ranks)]
    culprit = next(rank for rank in range(ranks) if found[rank][0] == "ValueError")
    for rank, (kind, message, _) in enumerate(found):
        if kind == "ValueError":
            assert message == text
        else:
            assert (kind, message) == (
                "RankError",
                f"rank {culprit} has stopped: ValueError: {text}",
            )
            assert rank != culprit


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_an_error_without_a_text_ends_all(ranks, caught):
    for rank, cases in enumerate(caught(ranks)):
        assert cases["without text"][0] == ("Mute" if rank == CULPRIT else "RankError")


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_several_errors_at_once_end_all(ranks, caught):
    """One error on the way out of another, and one on each rank, leave no rank waiting."""
    first, second, *others = caught(ranks)
    assert first["two errors"][:2] == ["OSError", "the disk is gone"]
    assert second["two errors"][0] == "ValueError"
    assert first["each its own"][:2] == ["ValueError", "of rank 0"]
    assert second["each its own"][:2] == ["ValueError", "of rank 1"]
    for cases in others:
        assert cases["two errors"][0] == "RankError"
        assert cases["each its own"][:2] == ["ValueError", "of rank 2"]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_ranks_can_train_again_after_an_error(name, ranks, caught):
    assert all(cases[name][2] for cases in caught(ranks))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "text"), [("early", "the disk was never there"), ("late", "the disk is gone")]
)
def test_an_error_that_nobody_catches_ends_the_program_and_is_on_the_screen(
    how, text, tmp_path
):
    """Also one outside training, since mpi4py runs the program."""
    done = run(3, "mpi_long.py", tmp_path, how, code=None)
    assert done.returncode != 0
    assert f"OSError: {text}" in done.stderr
