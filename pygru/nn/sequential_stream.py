"""SequentialStream: a whole model one step at a time, with the state of each of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from pygru.core import validation
from pygru.core.atomic import commit
from pygru.nn.shapes import name_in, place
from pygru.nn.stream_parts import Part, Step
from pygru.shown import html_properties
from pygru.stream import copied_index
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.nn.sequential import Sequential


class SequentialStream:
    """Runs single steps of a model and keeps the states; made by :meth:`Sequential.stream`.

    Calling it with the input of one step, (B, F) or (F,), returns the output of that step. If
    the first layer reads tokens, the input is (B,) or a single integer. Every step uses the
    present weights of the model. Several threads must not use one stream at once.

    Attributes
    ----------
    states : list
        The states. An assignment copies them.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU, Linear, Sequential
    >>> model = Sequential(GRU(2, 3, batch_first=True), Linear(3, 1), seed=0)
    >>> stream = model.stream(batch=4)
    >>> stream(np.ones((4, 2))).shape
    (4, 1)
    >>> [state.shape for state in stream.states]
    [(1, 4, 3)]
    """

    __slots__ = ("_batch", "_model", "_parts", "_shape", "_steps")

    _batch: int | None
    _model: Sequential
    _parts: list[Part]
    _shape: tuple[int, ...] | None
    _steps: list[Step]

    def __init__(self, model: Sequential, batch: int | None = None) -> None:
        self._model = model
        if batch is not None:
            batch = validation.check_int("batch", batch, 1)
        self._batch = batch
        self._parts, self._steps = [], []
        for index, layer in enumerate(model.layers):
            try:
                part = layer.begin_stream(batch)
            except ValueError as error:
                raise ValueError(
                    f"{place(index, layer)}: cannot run step by step: {error}"
                ) from None
            if isinstance(part, Part):
                self._parts.append(part)
                part = part.advance
            self._steps.append(part)
        axes: tuple[int, ...] = () if batch is None else (batch,)
        self._shape = None  # that of x_t, if it is known
        if model.reads == "tokens":
            self._shape = axes
        elif model.input_size is not None:
            self._shape = (*axes, model.input_size)

    def __repr__(self) -> str:
        batch = "" if self._batch is None else f", batch={self._batch}"
        return f"{type(self).__name__}({self._model!r}{batch})"

    def _repr_html_(self) -> str:
        return html_properties(
            type(self).__name__, [("batch", str(self._batch))], self._model._repr_html_()
        )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a SequentialStream can be neither copied nor pickled: make another one with "
            "model.stream() and assign the states, as in other.states = stream.states"
        )

    def __call__(self, x_t: ArrayLike) -> Floats:
        """Run one step and return its output, a new array.

        Parameters
        ----------
        x_t : array_like
            (B, F), or (F,) without a batch axis: the input of this step. Tokens are (B,) or a
            single integer.

        Returns
        -------
        ndarray
            (B, F) or (F,) the output of the last layer. After a :class:`Last` or a pooling
            layer it is what the model returns for the steps so far.

        Raises
        ------
        TypeError, ValueError, IndexError
            If ``x_t`` does not fit; the states are then unchanged.
        """
        shape = x_t.shape if isinstance(x_t, np.ndarray) else np.shape(x_t)
        if shape != self._shape:
            self._check(shape)
        for part in self._parts:
            part.remember()
        index = 0
        try:
            y: Any = x_t
            for index, step in enumerate(self._steps):  # noqa: B007 (used after an error)
                y = step(y)
            return np.array(y)
        except BaseException as error:
            commit([action for part in self._parts for action in part.undo()])
            if isinstance(error, Exception) and self._steps:
                name_in(error, index, self._model.layers[index])
            raise

    def _check(self, shape: tuple[int, ...]) -> None:
        """Raise if a step has this shape, which is not the expected one."""
        if self._shape is not None:
            raise ValueError(f"x_t must have shape {self._shape}, got {shape}")
        if self._batch is not None and shape[:1] != (self._batch,):
            raise ValueError(f"x_t must have shape (batch={self._batch}, ...), got {shape}")

    @property
    def states(self) -> list[Any]:
        """The states: copies, one per layer that has a state, in order.

        That of a GRU is (L, B, H) or (L, H), and that of a layer of your own is what its
        ``run`` has returned. One that has not begun yet may be None. An assignment takes over
        such a list; after an error the states are unchanged.
        """
        return [part.state for part in self._parts]

    @states.setter
    def states(self, values: Sequence[Any]) -> None:
        if not isinstance(values, (list, tuple)) or len(values) != len(self._parts):
            got = validation.type_name(values)
            if isinstance(values, (list, tuple)):
                got = f"{len(values)}"
            raise ValueError(
                f"states must be a list of {len(self._parts)}, one per layer with a state, "
                f"got {got}"
            )
        actions = []
        for index, (part, value) in enumerate(zip(self._parts, values, strict=True)):
            actions += part.actions_to_set(f"states[{index}]", value)
        commit(actions)

    def reset(self, rows: Any = None) -> None:
        """Begin anew: set the states to zero, or to what the layers begin with.

        Parameters
        ----------
        rows : int, slice or array_like of int or bool, optional
            The streams of the batch that begin anew; all by default.

        Raises
        ------
        TypeError
            If ``rows`` is something else.
        ValueError
            If ``rows`` is given for a stream without a batch axis.
        IndexError
            If a stream in ``rows`` does not exist. The states are then unchanged.
        """
        if rows is not None:
            if self._batch is None:
                raise ValueError("rows must be None for a stream without a batch axis")
            rows = copied_index(rows)
            np.empty(self._batch)[rows]  # raises if there are no such rows
        commit([action for part in self._parts for action in part.actions_to_reset(rows)])
