"""The protocol of everything that can be trained. No layer is defined in this file.

:class:`Sequential`, :class:`Trainer` and the model files use a GRU, a layer of pygru or of the
user, a Sequential and a Seq2Seq only through the attributes and methods of :class:`Model`. They
ask what a model reads and returns, and run it with ``infer``, ``run``, ``run_backward`` and, to
train it, ``accumulate``. The public methods of a class may differ, as those of a GRU do, but
the methods of the protocol are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from pygru.nn.shortcuts import FORWARD, Shortcut, replace_shortcuts
from pygru.nn.stream_parts import OfOneStep, Part, Step, step_of
from pygru.nn.undo import Undoable
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.nn.summary import Summary


class Configured:
    """Mixin for classes that can be made from the arguments that ``get_config`` returns."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config()")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return a new one with the arguments that ``get_config`` returned."""
        return cls(**config)

    @staticmethod
    def parameter_dtypes(config: Mapping[str, Any]) -> dict[str, str]:
        """Return the dtype of each parameter that has another one than ``config`` says."""
        return {}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({options})"


class Model(Configured, Undoable):
    """Base class of everything that can be trained: its properties, and three ways to run it.

    The attributes below have the values of the simplest layer. A class or an instance sets
    those that differ.

    Attributes
    ----------
    parameters, grads : mapping of str to ndarray
        Views of the parameters and of their gradients by name.
    reads : {"features", "tokens", "pairs"}
        What a step of the input is: a vector of numbers, one integer, or (for a whole model
        only) a mapping of source and target.
    predicts_steps : bool
        Whether the output has one entry per step, not one per sequence.
    is_recurrent : bool
        Whether ``run`` takes and returns a state, so that a sequence can be run in pieces.
    bidirectional : bool
        Whether sequences are also read from their ends to their beginnings.
    reverse : bool
        Whether sequences are read from their ends to their beginnings only.
    batch_first : bool
        Whether arrays are (B, T, ...). Sequential and Trainer require this.
    input_size, output_size : int or None
        The features of a step of the input and of the output. None if the layer does not say,
        or if it takes any number; a layer that reads tokens has no ``input_size``.
    takes_mask : bool
        Whether ``infer`` and ``run`` take ``mask=``, a bool (B, T) for each step: whether it
        counts. A layer that looks at several steps needs to know. See :meth:`mask_after`.
    takes_reset : bool
        The same of ``reset=``: before which steps the state begins anew.
    runs_to_end : bool
        Whether a recurrent layer has what :class:`pygru.nn.to_end.ToEnd` calls.
    takes_single_steps : bool
        Whether every step is computed alone, and ``infer`` also takes a single one, (B, F) or
        (F,), or tokens (B,) or ().
    keeps_features : bool
        Whether the output has as many features as the input, however many there are.
    layers : tuple of Model or None
        The layers that run one after the other; None for a model that is completely described
        by its ``get_config``.
    trainable : bool
        Whether training changes the parameters. False freezes the layer, or all parts of a
        model; it may be assigned between two trainings.

    Notes
    -----
    A class that derives from one of pygru's need only override the general methods: ``forward``
    and ``backward`` of a layer and of a GRU, ``run`` and ``backward`` of a :class:`Sequential`
    and of a :class:`RecurrentLayer`. Whatever would bypass them, as ``infer`` of a Linear and
    ``accumulate`` of a GRU, is replaced by what calls them when the class is made. Single steps
    that cannot be derived are refused unless the class defines ``begin_stream``. So is a class
    that overrides only what models do not call, such as ``__call__``.
    """

    parameters: Any  # a mapping of str to Floats; the subclasses say which class it has
    grads: Any
    reads: Literal["features", "tokens", "pairs"] = "features"
    predicts_steps: bool = True
    is_recurrent: bool = False
    bidirectional: bool = False
    reverse: bool = False
    batch_first: bool = True
    input_size: int | None = None
    output_size: int | None = None
    keeps_features: bool = False
    takes_single_steps: bool = False
    takes_mask: bool = False
    takes_reset: bool = False
    runs_to_end: bool = False
    layers: tuple[Model, ...] | None = None
    # What would bypass the general methods, and which of those decides; see shortcuts.py.
    _shortcuts: ClassVar[dict[str, Shortcut]] = {}
    _runs_with: ClassVar[tuple[str, ...]] = FORWARD

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        replace_shortcuts(cls)

    @property
    def trainable(self) -> bool:
        """Whether training changes any parameters."""
        raise NotImplementedError

    @trainable.setter
    def trainable(self, value: bool) -> None:
        raise NotImplementedError

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Names of the parts that are not trained; that of a layer itself is the empty text."""
        raise NotImplementedError

    def freeze_only(self, parts: tuple[str, ...]) -> None:
        """Freeze the parts of these names, as ``frozen_parts`` returns them, and no others."""
        raise NotImplementedError

    @property
    def generators(self) -> list[np.random.Generator]:
        """List of the random generators that training uses."""
        raise NotImplementedError

    @property
    def needs_whole_sequences(self) -> bool:
        """Whether a sequence cannot be run piece by piece, from its beginning to its end."""
        return self.bidirectional or not self.predicts_steps

    @property
    def has_reverse_half(self) -> bool:
        """Whether the second half of the output's features is that of a reverse direction."""
        return self.bidirectional

    @property
    def parameter_count(self) -> int:
        """The number of parameters; those that several parts share count once."""
        return sum(values.size for values in self._stored())

    @property
    def nbytes(self) -> int:
        """The bytes that the parameters take, without their gradients."""
        return sum(values.nbytes for values in self._stored())

    def summary(self) -> Summary:
        """Return a table of the layers, the shapes of their outputs, and their parameters.

        Returns
        -------
        Summary
            ``print`` shows it as text, and a notebook as HTML.

        Examples
        --------
        >>> from pygru import GRU
        >>> print(GRU(3, 8, batch_first=True).summary())
        GRU: 312 parameters, 1.2 kB
        <BLANKLINE>
        layer                             output     parameters  trainable
        GRU(input_size=3, hidden_size=8)  (B, T, 8)         312  yes
        """
        from pygru.nn.summary import Summary  # imported here because it needs this module

        return Summary(self)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def named_parts(self) -> list[tuple[str, Any, str]]:
        """Return name, layer and shape of the output of each part that a summary shows."""
        from pygru.nn.shapes import Shape, shape_after

        shape = str(shape_after(self, Shape(True, self.input_size)))
        if not self.batch_first:
            shape = shape.replace("(B, T,", "(T, B,")
        return [("", self, shape)]

    def _stored(self) -> list[Floats]:
        """The arrays that hold the parameters, each one once."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Floats]:
        """Return a dict from parameter names to copies of the parameters."""
        raise NotImplementedError

    def __dask_tokenize__(self) -> Any:
        """Return what Dask makes the names of results from, which are equal for equal models.

        A model is what a file of it holds: its classes, arguments and parameters, and which
        parts are frozen. Gradients and random generators do not count. Without this method
        Dask would take them from a pickle, in which equal models differ.
        """
        from dask.base import normalize_token  # only Dask calls this method

        content = (self.get_config(), self._stored()) if self.layers is None else self.layers
        return normalize_token((type(self), content, self.frozen_parts))

    def check_memory(self, memory: object) -> None:
        """Raise unless ``run`` accepts this value of ``memory``."""
        if memory != "gates":
            raise ValueError(f"memory must be 'gates' for a {type(self).__name__}")

    def begin_stream(self, batch: int | None) -> Step | Part:
        """Return what makes single steps of this layer, with a state of its own.

        Raises
        ------
        ValueError
            If the layer cannot run step by step. The text is the reason, without a subject.
        """
        if self.bidirectional:
            raise ValueError("its reverse direction begins at the end of a sequence")
        if self.needs_whole_sequences:
            raise ValueError("it needs whole sequences")
        if self.is_recurrent:
            return OfOneStep(self, batch)
        return self.infer if self.takes_single_steps else step_of(self, batch)

    def check_follows(self, recurrent: Model) -> None:
        """Raise unless this layer can read the output of the nearest recurrent layer before it.

        The caller puts the name of this layer before the text of the ValueError.
        """

    def mask_after(self, x: Any, mask: Any) -> Any:
        """Return which steps of the output count, if ``mask`` says it for the input ``x``.

        A mask is a bool array (B, T), or None if all steps count. It stays as it is, unless a
        layer finds out from x which steps do not count. For a layer with one output per
        sequence the result is not used.
        """
        return mask

    def reseed(self, seed: Any) -> None:
        """Draw the initial parameters anew; numbers drawn in training follow ``seed`` too."""
        raise NotImplementedError

    def infer(self, x: Any, *, lengths: Any = None) -> Floats:
        """Return the output for inference, without a tape and without random noise."""
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
            The state that the call for the piece before has returned; None at the beginning of
            the sequences. A state is an array, or a list of arrays, so that a checkpoint can
            store it.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence; a sequence of length 0 keeps its state.
        training : bool
            Whether dropout and other random noise act.
        memory
            What the tape keeps, one of the values that ``check_memory`` allows. Layers without
            a choice ignore it.
        """
        raise NotImplementedError

    def infer_and_mask(self, x: Any, **told: Any) -> tuple[Any, Any]:
        """Return the output for inference, and which of its steps count; None for all.

        ``told`` are ``lengths`` and, where the model takes them, ``mask`` and ``reset``.
        """
        y = self.infer(x, **told)
        return y, self.mask_after(x, told.get("mask")) if self.predicts_steps else None

    def output_mask(self, x: Any, mask: Any, tape: Any) -> Any:
        """Return which steps of the output of :meth:`run` count, from its tape."""
        return self.mask_after(x, mask) if self.predicts_steps else None

    def run_backward(self, tape: Any, d_y: Any) -> Floats | None:
        """Add to the gradients of the parameters; return that of x, None for integer x."""
        raise NotImplementedError

    def accumulate(self, tape: Any, d_y: Any) -> None:
        """Add to the gradients of what is trained, where nobody wants the gradient of x.

        The gradients are those of :meth:`run_backward`, bit for bit.
        """
        self.run_backward(tape, d_y)
