"""Last: takes the last step of each sequence that counts, one vector per sequence."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.merging import MERGES, merge, merge_backward
from pygru.nn import ragged
from pygru.nn.checks import check_sequences, floating, gradient_like
from pygru.nn.layer import Layer
from pygru.nn.model import Model
from pygru.nn.shortcuts import FORWARD, Shortcut, no_steps
from pygru.nn.stream_parts import Step
from pygru.typing import Booleans, Floats, Integers

#: Sequences, the step that is taken of each, and features.
Place: TypeAlias = tuple[Integers | slice, Any, slice]


class _LastTape(NamedTuple):
    shape: tuple[int, int, int]  # of x
    places: list[Place]  # see Last._places
    both: Floats  # (B, F) what was taken, before the directions are merged


class Last(Layer):
    """Takes the last step of each sequence that counts: (B, T, F) becomes (B, F).

    Parameters
    ----------
    bidirectional : bool
        Use this for the output of a bidirectional GRU. The second half of the features is then
        taken from the first step, where the reverse direction has read the whole sequence.
    merge : {"concat", "sum", "mul", "ave"}
        With ``bidirectional``: whether the two halves are returned one after the other, or
        their sum, product or mean, (B, F / 2).
    reverse : bool
        Use this for the output of a GRU with ``reverse=True``, which has read the whole
        sequence at the first step: all features are taken from that step.

    Examples
    --------
    >>> import numpy as np, pygru
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> pygru.Last().forward(x, lengths=[2])[0].tolist()
    [[2.0, 3.0]]
    """

    predicts_steps = False
    takes_mask = True
    _shortcuts: ClassVar[dict[str, Shortcut]] = {
        "infer": Shortcut(FORWARD, Layer.infer),
        "begin_stream": Shortcut(FORWARD, no_steps),
    }

    merge: str

    def __init__(
        self, bidirectional: bool = False, merge: str = "concat", *, reverse: bool = False
    ) -> None:
        self._fix(
            bidirectional=validation.check_bool("bidirectional", bidirectional),
            merge=validation.check_choice("merge", merge, MERGES),
            reverse=validation.check_bool("reverse", reverse),
        )
        if bidirectional and reverse:
            raise ValueError("bidirectional and reverse cannot both be True")
        if merge != "concat" and not bidirectional:
            raise ValueError(f"merge={merge!r} needs bidirectional=True")
        self._fix(keeps_features=merge == "concat")
        self.create_parameters()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, ready for JSON."""
        return {
            "bidirectional": self.bidirectional,
            "merge": self.merge,
            "reverse": self.reverse,
        }

    def begin_stream(self, batch: int | None) -> Step:
        """Return what passes each step on, because it is the last one so far."""
        if self.bidirectional or self.reverse:
            raise ValueError("its reverse direction begins at the end of a sequence")
        return floating

    def check_follows(self, recurrent: Model) -> None:
        """Raise if the recurrent layer before this one has other directions."""
        directions = (recurrent.has_reverse_half, recurrent.reverse)
        if (self.bidirectional, self.reverse) != directions:
            fits = f"bidirectional={recurrent.has_reverse_half}"
            if recurrent.reverse:
                fits = "reverse=True"
            raise ValueError(
                f"must be Last({fits}), like the {type(recurrent).__name__} before it, got "
                f"{self}"
            )

    def infer(self, x: Any, *, lengths: Any = None, mask: Any = None) -> Floats:
        """Return the output for inference; whole sequences take a microsecond."""
        plain = lengths is None and mask is None and not self.bidirectional
        if plain and type(x) is np.ndarray and x.dtype.kind == "f" and x.ndim == 3 and x.size:
            y: Floats = x[:, 0 if self.reverse else -1].copy()
            return y
        return super().infer(x, lengths=lengths, mask=mask)

    def forward(
        self,
        x: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        training: bool = True,
    ) -> tuple[Floats, _LastTape]:
        """Take the last steps of x (B, T, F); a sequence without steps gives zeros."""
        array = floating(x)
        check_sequences("x", array)
        B, T, F = array.shape
        both = np.zeros((B, F), array.dtype)
        if lengths is None and mask is None:
            places = self._whole_places(T, F)
        else:
            places = self._places(ragged.counted_of(lengths, mask, B, T), F)
        for rows, steps, columns in places:
            both[rows, columns] = array[rows, steps, columns]
        tape = _LastTape((B, T, F), places, both)
        if self.merge == "concat":
            return both.copy(), tape
        if F % 2:
            raise ValueError(f"x must have two halves of features, got {F} features")
        y = np.empty((B, F // 2), array.dtype)
        merge(self.merge, both, y)
        return y, tape

    def backward(self, tape: _LastTape, d_y: ArrayLike) -> Floats:
        """Return d_x, which is zero except at the steps that were taken."""
        B, _, F = tape.shape
        dtype = tape.both.dtype
        if self.merge == "concat":
            d_both = gradient_like("d_y", d_y, (B, F), dtype)
        else:
            d_both = np.empty((B, F), dtype)
            d_merged = gradient_like("d_y", d_y, (B, F // 2), dtype)
            merge_backward(self.merge, tape.both, d_merged, d_both)
        d_x = np.zeros(tape.shape, dtype)
        for rows, steps, columns in tape.places:
            d_x[rows, steps, columns] = d_both[rows, columns]
        return d_x

    def _whole_places(self, steps: int, features: int) -> list[Place]:
        """Where the output comes from if every step counts; see :meth:`_places`."""
        everyone, half = slice(None), features // 2 if self.bidirectional else features
        if not steps:
            return []
        if self.reverse:
            return [(everyone, 0, slice(features))]
        last: Place = (everyone, steps - 1, slice(half))
        return [last, (everyone, 0, slice(half, features))] if self.bidirectional else [last]

    def _places(self, counted: Booleans, features: int) -> list[Place]:
        """Where the output comes from: sequences, the step that is taken of each, features.

        Sequences without steps are left out, because their x has no step to read.
        """
        ran = np.flatnonzero(counted.any(axis=1))
        if not ran.size:
            return []
        half = features // 2 if self.bidirectional else features
        if self.reverse:
            return [(ran, counted[ran].argmax(axis=1), slice(features))]
        last_steps = counted.shape[1] - 1 - counted[ran, ::-1].argmax(axis=1)
        last = (ran, last_steps, slice(half))
        if not self.bidirectional:
            return [last]
        return [last, (ran, counted[ran].argmax(axis=1), slice(half, features))]
