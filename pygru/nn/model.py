"""The protocol that everything trainable follows, and nothing else: no layer is in here.

:class:`Sequential`, :class:`Trainer` and the model files know a GRU, a layer of pygru, a layer
of the user's own, a Sequential and a Seq2Seq only by what stands in :class:`Model`. They ask
what a model reads and gives, and they run it through ``infer``, ``run`` and ``run_backward``.
The public methods of a class may look different, as those of a GRU do; the protocol's do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pygru.typing import Floats


class Configured:
    """Mixin for what is made from the arguments that its ``get_config`` returns."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments but the seed, ready for JSON."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config()")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return a new one with the arguments that ``get_config`` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({options})"


class Model(Configured):
    """What can be trained: the questions it answers, and the three ways to run it.

    The attributes below are the answers of the simplest layer; a class or an instance sets
    those that differ.

    Attributes
    ----------
    reads : {"features", "tokens", "pairs"}
        What a step of the input is: a vector of numbers, one integer, or (for a whole model
        only) a mapping of source and target.
    predicts_steps : bool
        Whether the output has an entry for every step, rather than one for every sequence.
    is_recurrent : bool
        Whether ``run`` takes and returns a state, so that a sequence can be run in pieces.
    bidirectional : bool
        Whether the second half of the output's features was computed from a sequence's end to
        its beginning.
    batch_first : bool
        Whether arrays are (B, T, ...). Sequential and Trainer take nothing else.
    layers : tuple of Model or None
        The layers that run one after the other; None for a model that ``get_config`` describes
        alone.
    """

    reads: Literal["features", "tokens", "pairs"] = "features"
    predicts_steps: bool = True
    is_recurrent: bool = False
    bidirectional: bool = False
    batch_first: bool = True
    layers: tuple[Model, ...] | None = None

    @property
    def needs_whole_sequences(self) -> bool:
        """Whether a sequence cannot be run piece by piece, from its beginning to its end."""
        return self.bidirectional or not self.predicts_steps

    def check_memory(self, memory: object) -> None:
        """Raise unless ``run`` has this choice of what its tape keeps."""
        if memory != "gates":
            raise ValueError(f"memory must be 'gates' for a {type(self).__name__}")

    def check_follows(self, recurrent: Model) -> None:
        """Raise unless this layer can read what the nearest recurrent layer before it gives.

        The text of the ValueError is put behind this layer's name.
        """

    def reseed(self, seed: Any) -> None:
        """Draw the initial parameters anew; numbers drawn in training follow ``seed`` too."""
        raise NotImplementedError

    def infer(self, x: Any, *, lengths: Any = None) -> Floats:
        """Return the output for inference: no tape, nothing at random."""
        raise NotImplementedError

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
    ) -> tuple[Floats, Any, Any]:
        """Return the output, the state that follows and the tape.

        Parameters
        ----------
        x
            A batch: (B, T, ...) numbers or tokens, or whatever a whole model reads.
        state
            What a call for the piece before has returned; None at a sequence's beginning. A
            state consists of arrays, alone or in lists, so that a checkpoint can hold it.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence; a sequence of length 0 keeps its state.
        training : bool
            Whether what acts at random in training acts.
        memory
            What the tape keeps, one of the choices that ``check_memory`` allows. Layers
            without a choice ignore it.
        """
        raise NotImplementedError

    def run_backward(self, tape: Any, d_y: Any) -> Floats | None:
        """Add to the gradients; return that of x, None where x holds integers."""
        raise NotImplementedError
