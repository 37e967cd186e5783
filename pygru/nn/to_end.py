"""A recurrent layer and the Last after it, run as one: only the states at the end are written.

The output of a GRU at the last step of a sequence is its last state. So where a :class:`Last`
follows, neither the output of the other steps is needed nor its gradient, which is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pygru.core.memory import allocate
from pygru.nn.checks import gradient_like
from pygru.nn.last import Last
from pygru.nn.model import Model
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.gru import GRU


class _Tape(NamedTuple):
    recurrent: Any
    last: Any  # None if only the states at the end were written


class ToEnd:
    """Two layers of a :class:`Sequential` in the place of one; the rest is as in a Model."""

    is_recurrent = takes_mask = takes_reset = True
    predicts_steps = False

    def __init__(self, recurrent: GRU, last: Last) -> None:
        self._recurrent = recurrent
        self._last = last
        self.reads = recurrent.reads
        self.needs_whole_sequences = recurrent.needs_whole_sequences

    @property
    def trainable(self) -> bool:
        """Whether training changes the recurrent layer."""
        return self._recurrent.trainable

    @property
    def parameters(self) -> Any:
        """The parameters of the recurrent layer."""
        return self._recurrent.parameters

    def gradients_before(self, tape: _Tape) -> Any:
        """Return what puts the gradients of the recurrent layer back."""
        return self._recurrent.gradients_before(tape.recurrent)

    def infer(self, x: Any, *, lengths: Any = None, **told: Any) -> Floats:
        """Return the output for inference."""
        if _all_run(x, lengths) and not told:
            return self._joined(self._recurrent.infer_to_end(x, lengths=lengths))
        y = self._recurrent.infer(x, lengths=lengths, **told)
        _check_output(y)
        return self._last.infer(y, lengths=lengths, mask=told.get("mask"))

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
        **told: Any,
    ) -> tuple[Floats, Any, _Tape]:
        """Return the output, the state that follows and the tape."""
        if memory in ("gates", "outputs") and _all_run(x, lengths) and not told:
            h_n, tape = self._recurrent.run_to_end(
                x, state, lengths=lengths, training=training, memory=memory
            )
            return self._joined(h_n), h_n, _Tape(tape, None)
        y, state, tape = self._recurrent.run(
            x, state, lengths=lengths, training=training, memory=memory, **told
        )
        _check_output(y)
        mask = told.get("mask")
        output, _, of_last = self._last.run(y, lengths=lengths, training=training, mask=mask)
        return output, state, _Tape(tape, of_last)

    def run_backward(self, tape: _Tape, d_y: Any) -> Floats | None:
        """Add to the gradients; return that of x."""
        d_x: Floats | None
        if tape.last is not None:
            d_states = self._last.run_backward(tape.last, d_y)
            d_x = self._recurrent.run_backward(tape.recurrent, d_states)
        else:
            d_x = self._recurrent.run_backward_from_end(tape.recurrent, self._divided(d_y))
        return d_x

    def accumulate(self, tape: _Tape, d_y: Any) -> None:
        """Add to the gradients, where nobody wants that of x."""
        if tape.last is not None:
            self._recurrent.accumulate(tape.recurrent, self._last.run_backward(tape.last, d_y))
        else:
            self._recurrent.accumulate_from_end(tape.recurrent, self._divided(d_y))

    def _joined(self, h_n: Floats) -> Floats:
        """The states (L*D, B, H) of the last layer as an output (B, D*H)."""
        of_last = h_n[-self._recurrent.num_directions :]
        return np.concatenate(list(of_last), axis=1)

    def _divided(self, d_y: Any) -> Floats:
        """The gradient of :meth:`_joined`'s result as that of ``h_n``."""
        gru = self._recurrent
        D, H = gru.num_directions, gru.hidden_size
        array = gradient_like("d_y", d_y, (len(d_y), D * H), gru.dtype)
        d_h_n = allocate((gru.num_layers * D, len(array), H), gru.dtype, "the gradient of h_n")
        d_h_n[:-D] = 0
        d_h_n[-D:] = array.reshape(len(array), D, H).swapaxes(0, 1)
        return d_h_n


def _check_output(y: Floats) -> None:
    """Raise for one sequence (T, H): a GRU alone reads one, but not before a Last."""
    if y.ndim == 2:
        raise ValueError(
            "x must have 3 dimensions (batch, time, features) before a Last, got 2; one "
            "sequence is x[np.newaxis]"
        )


def _all_run(x: Any, lengths: Any) -> bool:
    """Whether every sequence has a step; one without has an output of 0 and a state of its own.

    What is no plain array is left to the layers, which convert or refuse it.
    """
    if type(x) is not np.ndarray or x.ndim != 3 or not x.shape[1]:
        return False
    if lengths is None:
        return True
    return (
        type(lengths) is np.ndarray and lengths.dtype.kind == "i" and bool((lengths > 0).all())
    )


def stages_of(layers: Sequence[Model]) -> tuple[tuple[int, Any], ...]:
    """Return the layers with their numbers; a recurrent layer and its Last are one."""
    stages: list[tuple[int, Any]] = []
    for index, layer in enumerate(layers):
        before: Any = stages[-1][1] if stages else None
        if type(layer) is Last and layer.merge == "concat" and _runs_to_end(before):
            stages[-1] = (index - 1, ToEnd(before, layer))
        else:
            stages.append((index, layer))
    return tuple(stages)


def _runs_to_end(layer: Any) -> bool:
    return isinstance(layer, Model) and layer.runs_to_end
