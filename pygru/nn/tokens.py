"""Sequences of tokens from users: they are checked and padded to arrays with lengths."""

from collections.abc import Mapping

import numpy as np

from pygru.core import validation
from pygru.data.padding import pad_sequences

SIDES = ("source", "target")


def as_tokens(name, sequence):
    """Return one sequence of tokens; an empty list counts as integers too."""
    tokens = validation.as_numeric(name, sequence)
    if tokens.ndim != 1:
        raise ValueError(f"{name} must be a sequence of tokens, got shape {tokens.shape}")
    return _as_integers(name, tokens if tokens.size else tokens.astype(np.int64))


def _as_integers(name, tokens):
    """Return tokens as int64, which can also hold the begin token and all drawn tokens."""
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got dtype {tokens.dtype}")
    return tokens.astype(np.int64, copy=False)


def padded(name, sequences, lengths):
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
    if lengths is not None:
        lengths = validation.as_lengths(lengths, *array.shape)
    return _as_integers(name, array), lengths


def both_sides(x, lengths):
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
    return source, target, source_lengths, target_lengths
