"""What ranks make sure of before they train together: the same trainer, the same state.

The first rank has the state from which training begins. The others receive what a checkpoint
of it would contain, so it is enough if the first rank has resumed from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pygru.core.atomic import attributes, commit
from pygru.io.native import describe
from pygru.train.batches import STREAM, BatchStream
from pygru.train.descriptions import describe_optimizer, first_difference
from pygru.train.position import Position
from pygru.train.ranks import Alone
from pygru.train.restoring import restoring

if TYPE_CHECKING:
    from pygru.train.trainer import Trainer

OTHER_DATA = (
    "rank {rank} has other {which} than rank 0: pass the whole data on every rank (of an array "
    "that is mapped into memory each rank reads only its share), or a function that yields "
    "the batches of this rank"
)


def count_of(data: Any) -> int | str | None:
    """Return how many samples there are, as far as that is known; None without data."""
    if data is None or isinstance(data, BatchStream):
        return None if data is None else STREAM
    return len(data)


def ends_of(data: Any) -> list[str]:
    """Return what tells the first and the last sample from others; there may be no data.

    Each rank has read only its share of all samples, so ranks whose data differ would not be
    found without this.
    """
    if data is None or isinstance(data, BatchStream):
        return []
    last = len(data) - 1
    return [data.part(first, first + 1).fingerprint() for first in (0, last)]


def refuse_other_trainers(team: Alone, trainer: Trainer, plan: Mapping[str, Any]) -> None:
    """Raise on all ranks if their trainers, data or arguments of ``fit`` differ.

    Parameters
    ----------
    team : Alone
    trainer : Trainer
    plan : mapping
        The arguments of ``fit`` on which the steps depend, by name.
    """
    if team.size == 1:
        return
    own = {
        **trainer._setup,
        "optimizer": describe_optimizer(trainer.optimizer),
        "callbacks": [type(callback).__name__ for callback in trainer.callbacks],
        "parameters": {
            name: [list(view.shape), view.dtype.str]
            for name, view in trainer.model.parameters.items()
        },
        "frozen": list(trainer.model.frozen_parts),
        "model": _description_of(trainer.model),
        **plan,
    }
    rate, resumes = trainer.optimizer.learning_rate, trainer._state.is_resumed
    own["learning_rate"] = None if callable(rate) else rate
    everyone, resuming = zip(*team.gather((own, resumes), "the beginning of fit"), strict=True)
    if any(resuming):  # then the rate is that of the checkpoint
        everyone = tuple({**each, "learning_rate": None} for each in everyone)
    first, *others = everyone
    for rank, other in enumerate(others, 1):
        place = first_difference(first, other, where=("on rank 0", f"on rank {rank}"))
        if place is None:
            continue
        if any(first[name] != other[name] for name in ("samples", "data", "ends")):
            place = OTHER_DATA.format(rank=rank, which="data")
        elif first["validation"] == other["validation"] and (
            first["validation ends"] != other["validation ends"]
        ):
            place = OTHER_DATA.format(rank=rank, which="validation data")
        raise ValueError(f"all ranks need the same trainer and arguments: {place}")


def _description_of(model: Any) -> dict[str, Any] | None:
    """Describe a model as in its files; None if it cannot be saved."""
    try:
        return describe(model)
    except (TypeError, ValueError):
        return None


def take_over(team: Alone, trainer: Trainer, position: Position) -> Position:
    """Give all ranks the state of the first one, and return the position in it."""
    if team.size == 1:
        return position
    state, callbacks = trainer._state, trainer.callbacks
    sent = None
    if team.is_main:
        told = callbacks if state.is_resumed else []
        plain = state.to_plain(told, {}, trainer._setup)
        sent = trainer.model.state_dict(), plain, state.is_resumed
    parameters, plain, is_resumed = team.from_main(sent, "the state of the first rank")  # type: ignore[misc]
    if not team.is_main:
        told = callbacks if is_resumed else []
        rest: dict[str, Any] = {"is_resumed": is_resumed}
        if not is_resumed:
            rest["waiting"] = None
        actions = restoring(state, parameters, plain, told, trainer._setup)
        commit([*actions, attributes(state, **rest)])
    return state.now()[0]


def warn_of_other_size(team: Alone, saved: Mapping[str, Any] | None) -> None:
    """Warn if the checkpoint that training continues from is of another number of ranks."""
    if saved is not None and saved["ranks"] != team.size:
        team.warn(
            f"the checkpoint was made by {saved['ranks']} ranks, and {team.size} continue: "
            "sums have another order, so the weights will not be bit-equal to those of "
            "training that never stopped"
        )
