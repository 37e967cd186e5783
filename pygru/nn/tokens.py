"""Sequences of tokens from users: they are checked and padded to arrays with lengths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import validation
from pygru.data.padding import pad_sequences
from pygru.typing import Integers

#: One sequence of tokens.
Tokens: TypeAlias = NDArray[np.int64]

SIDES = ("source", "target")


class Pairs(NamedTuple):
    """A batch of sources and targets, (B, Ts) and (B, Tt), and the valid steps of each."""

    source: Integers
    target: Integers
    source_lengths: Integers | None
    target_lengths: Integers | None


def as_tokens(name: str, sequence: ArrayLike) -> Tokens:
    """Return a copy of one sequence of tokens; an empty list counts as integers too."""
    tokens = validation.as_numeric(name, sequence)
    if tokens.ndim != 1:
        raise ValueError(f"{name} must be a sequence of tokens, got shape {tokens.shape}")
    return _as_integers(name, tokens if tokens.size else tokens.astype(np.int64))


def _as_integers(name: str, tokens: NDArray[Any]) -> Tokens:
    """Return a copy as int64, which can also hold the begin token and all drawn tokens."""
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got dtype {tokens.dtype}")
    return tokens.astype(np.int64)


def sequences_of_tokens(
    name: str, sequences: Iterable[ArrayLike], vocab_name: str, vocab_size: int
) -> list[Tokens]:
    """Return all sequences of a data set, each token of which is one of the vocabulary.

    Raises
    ------
    IndexError
        If a token is out of range; the text names its sequence and its place.
    TypeError, ValueError
        If a sequence does not consist of integers.
    """
    checked = [as_tokens(f"{name}[{i}]", sequence) for i, sequence in enumerate(sequences)]
    for number, tokens in enumerate(checked):
        outside = np.flatnonzero((tokens < 0) | (tokens >= vocab_size))
        if outside.size:
            at = int(outside[0])
            raise IndexError(
                f"{name}[{number}][{at}] = {tokens[at]} is out of range for "
                f"{vocab_name}={vocab_size}"
            )
    return checked


def refuse_token(name: str, sequences: list[Tokens], token: int, why: str) -> None:
    """Raise a ValueError if any sequence holds ``token``, with its place."""
    for number, tokens in enumerate(sequences):
        found = np.flatnonzero(tokens == token)
        if found.size:
            raise ValueError(f"{name}[{number}][{found[0]}] = {token} {why}")


def padded(
    name: str, sequences: Any, lengths: ArrayLike | None
) -> tuple[Integers, Integers | None]:
    """Return tokens as an array (B, T), and the lengths."""
    if lengths is None and isinstance(sequences, (list, tuple)):
        if not sequences:
            raise ValueError(f"{name} must hold at least one sequence, got none")
        return pad_sequences(
            [as_tokens(f"{name}[{i}]", sequence) for i, sequence in enumerate(sequences)]
        )
    array = validation.as_numeric(name, sequences)
    if array.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions (batch, time), got {array.ndim}")
    if not array.size:
        array = array.astype(np.int64)
    checked = None if lengths is None else validation.as_lengths(lengths, *array.shape)
    return _as_integers(name, array), checked


def both_sides(x: Mapping[str, Any], lengths: Mapping[str, Any] | None) -> Pairs:
    """Return source, target and their lengths from the arguments of ``forward``."""
    for name, given in (("x", x), ("lengths", {} if lengths is None else lengths)):
        if not isinstance(given, Mapping):
            raise TypeError(
                f"{name} must be a mapping with 'source' and 'target', "
                f"got {validation.type_name(given)}"
            )
        unknown = [key for key in given if key not in SIDES]
        if unknown:
            raise KeyError(validation.unexpected_key(unknown[0], SIDES))
    missing = [side for side in SIDES if side not in x]
    if missing:
        raise KeyError(f"x has no {missing[0]!r}")
    (source, source_lengths), (target, target_lengths) = (
        padded(side, x[side], (lengths or {}).get(side)) for side in SIDES
    )
    if len(source) != len(target):
        raise ValueError(
            f"source and target must have the same batch size, got {len(source)} and "
            f"{len(target)}"
        )
    return Pairs(source, target, source_lengths, target_lengths)
