"""One time step at a time: for live data, text generation and simulations.

All memory is allocated when a stream is made, or at the first ``step`` of a thread with a batch
size. After that a step allocates no buffer. One of several sequences and more than 2**30
multiply-adds is an exception: it goes through the sequences in pieces, so that Ctrl-C can end
it, and allocates copies of the input and the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core import threads, validation
from pygru.core.atomic import Action, assignment
from pygru.core.memory import allocate
from pygru.nn.stream_parts import Part
from pygru.shown import html_properties
from pygru.typing import Floats

if TYPE_CHECKING:
    from pygru.gru_inference import GRUInference


def _refuse_reverse(gru: GRUInference, what: str) -> None:
    if gru.bidirectional:
        raise ValueError(
            f"{what} needs a GRU of one direction; the reverse direction of this one starts at "
            "the end of the sequence"
        )
    if gru.reverse:
        raise ValueError(
            f"{what} needs a GRU that reads forward; with reverse=True this one starts at the "
            "end of the sequence"
        )


def _with_one_blas_thread(
    function: Callable[..., bool], largest_product: int
) -> Callable[..., bool]:
    """Return ``function`` for the BLAS engine, with BLAS limited to the calling thread."""

    def limited(*arrays: NDArray[Any]) -> bool:
        with threads.single_threaded_blas(largest_product):
            return function(*arrays)

    return limited


class _Buffers:
    """The memory of single steps of one GRU for one batch size; None means no batch axis.

    ``step(x_t, h, out)`` and ``advance(x_t)`` run a step. ``advance`` reads and changes the
    state that is kept here. If an array is not dense, or has another shape or dtype, both do
    nothing and return False.
    """

    def __init__(self, gru: GRUInference, batch: int | None, separate_state: bool) -> None:
        rows = 1 if batch is None else batch
        middle = () if batch is None else (batch,)
        states = gru.num_layers * rows * gru.hidden_size
        self.batch = batch
        self.x_shape = (*middle, gru.input_size)
        self.h_shape = (gru.num_layers, *middle, gru.hidden_size)
        self.h_next = allocate(states, gru.dtype, "the state")
        stepper = gru._runner.stepper(
            batch,
            x=allocate(rows * gru.input_size, gru.dtype, "the input of a step"),
            h=allocate(states, gru.dtype, "the state") if separate_state else None,
            h_next=self.h_next,
        )
        self.step: Callable[..., bool] = stepper.step
        self.advance: Callable[..., bool] = stepper.advance
        if not gru._runner.is_simd:
            product = rows * 3 * gru.hidden_size * max(gru.input_size, gru.hidden_size)
            self.step = _with_one_blas_thread(self.step, product)
            self.advance = _with_one_blas_thread(self.advance, product)


def one_step(gru: GRUInference, x_t: ArrayLike, h: ArrayLike, out: Floats | None) -> Floats:
    """Implement ``GRU.step``; see there."""
    buffers: _Buffers | None = getattr(gru._runner.of_thread, "buffers", None)
    if buffers is not None:  # try the usual case first: arrays like those of the last step
        result = np.empty(buffers.h_shape, gru.dtype) if out is None else out
        if buffers.step(x_t, h, result):
            return result
    _refuse_reverse(gru, "step")
    x_t = validation.as_real("x_t", x_t, gru.dtype)
    if x_t.ndim not in (1, 2) or x_t.shape[-1] != gru.input_size:
        raise ValueError(
            f"x_t must have shape (batch, input_size={gru.input_size}) or "
            f"({gru.input_size},), got {x_t.shape}"
        )
    batch = x_t.shape[0] if x_t.ndim == 2 else None
    shape = (gru.num_layers, *x_t.shape[:-1], gru.hidden_size)
    if h is None:
        raise TypeError("h must be array-like of numbers, got NoneType")
    h = validation.as_real("h", h, gru.dtype)
    axes = "batch, " if x_t.ndim == 2 else ""
    validation.check_shape("h", h, shape, f"(num_layers, {axes}hidden_size) = {shape}")
    if out is not None:
        validation.check_out("out", out, gru.dtype, shape)
    if buffers is None or buffers.batch != batch:
        gru._runner.of_thread.buffers = buffers = _Buffers(gru, batch, separate_state=True)
    result = np.empty(shape, gru.dtype)
    buffers.step(np.ascontiguousarray(x_t), np.ascontiguousarray(h), result)
    if out is None:
        return result
    out[...] = result
    return out


def copied_index(rows: Any) -> Any:
    """Return an index that nothing else can change while NumPy uses it.

    NumPy checks the values of an index, and then reads them again. If another thread changed
    them in between, it would write outside the array.
    """
    if isinstance(rows, slice):
        return rows
    try:
        index = np.array(rows)
    except ValueError:  # lists of different lengths
        index = np.array(None)
    if index.size and index.dtype.kind not in "iub":
        raise TypeError(
            f"rows must be ints, bools or a slice, got {validation.type_name(rows)}"
        )
    if not index.ndim and index.dtype.kind in "iu":
        return index.reshape(1)  # so that the axis of the streams remains
    return index if index.size else index.astype(np.intp)  # an empty list is float64


class Stream:
    """Runs single steps of a GRU and keeps the state; made by :meth:`GRU.stream`.

    Calling it with the input of one step, (B, I) or (I,), returns the output of that step,
    (B, H) or (H,). The returned array is a view of the state, which the next call overwrites,
    so copy it if you want to keep it. Every step uses the present weights of the GRU. Several
    threads must not use one stream at once; make a stream for each thread.

    Attributes
    ----------
    h : ndarray
        The state, (L, B, H) or (L, H). An assignment copies into it.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU
    >>> stream = GRU(2, 3, seed=0).stream(batch=4)
    >>> stream(np.ones((4, 2))).shape, stream.h.shape
    ((4, 3), (1, 4, 3))
    """

    _gru: GRUInference
    _batch: int | None
    _advance: Callable[..., bool]
    _x_shape: tuple[int, ...]
    _h: Floats
    _y: Floats

    def __init__(self, gru: GRUInference, batch: int | None = None) -> None:
        _refuse_reverse(gru, "stream")
        batch = None if batch is None else validation.check_int("batch", batch, 1)
        buffers = _Buffers(gru, batch, separate_state=False)
        h = buffers.h_next.reshape(buffers.h_shape)
        self._set(_gru=gru, _batch=batch, _advance=buffers.advance, _x_shape=buffers.x_shape)
        self._set(_h=h, _y=h[-1])
        self.reset()

    def _set(self, **values: Any) -> None:
        # Not through __dict__, because reading attributes is slower once __dict__ was used.
        for name, value in values.items():
            super().__setattr__(name, value)

    def __setattr__(self, name: str, value: object) -> None:
        """Set ``h``. Nothing else can be assigned, so that a misspelt name is noticed."""
        if name != "h":
            raise AttributeError(f"{name} of a Stream cannot be assigned, only h can")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        batch = "" if self._batch is None else f", batch={self._batch}"
        return f"{type(self).__name__}({self._gru!r}{batch})"

    def _repr_html_(self) -> str:
        properties = {
            "gru": self._gru,
            "batch": self._batch,
            "shape of the state": self.h.shape,
        }
        return html_properties(
            type(self).__name__, [(name, str(value)) for name, value in properties.items()]
        )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a Stream can be neither copied nor pickled: make another one with gru.stream() "
            "and assign the state, as in other.h = stream.h"
        )

    def _initial_state(self) -> Floats | int:
        """Return the initial state of a stream: zeros, or the GRU's own h0."""
        if not self._gru.learn_h0:
            return 0
        h0: Floats = self._gru.parameters["h0"]
        return h0 if self._batch is None else h0[:, np.newaxis]

    @property
    def h(self) -> Floats:
        """The state, (L, B, H) or (L, H), a view. An assignment copies into it."""
        return self._h

    @h.setter
    def h(self, value: ArrayLike) -> None:
        shape = self._h.shape
        validation.refuse_foreign("h", value)
        self._h[...] = validation.as_state("h", value, self._gru.dtype, shape, str(shape))

    def __call__(self, x_t: ArrayLike) -> Floats:
        """Run one step and return its output, a view that the next call overwrites.

        Parameters
        ----------
        x_t : array_like
            (B, I), or (I,) without a batch axis: the input of this step.

        Returns
        -------
        ndarray
            (B, H) or (H,) the state of the last layer.

        Raises
        ------
        TypeError, ValueError
            If ``x_t`` does not fit; the state is then unchanged.
        """
        if self._advance(x_t):
            return self._y
        x_t = validation.as_real("x_t", x_t, self._gru.dtype)
        validation.check_shape("x_t", x_t, self._x_shape, str(self._x_shape))
        self._advance(np.ascontiguousarray(x_t))
        return self._y

    def reset(self, rows: Any = None) -> None:
        """Set the state to zero, or to the GRU's ``h0`` if it has learned one.

        Parameters
        ----------
        rows : int, slice or array_like of int or bool, optional
            The streams of the batch whose state is set; all by default.

        Raises
        ------
        TypeError
            If ``rows`` is something else.
        ValueError
            If ``rows`` is given for a stream without a batch axis.
        IndexError
            If a stream in ``rows`` does not exist.
        """
        if rows is None:
            self._h[...] = self._initial_state()
        elif self._batch is None:
            raise ValueError("rows must be None for a stream without a batch axis")
        else:
            self._h[:, copied_index(rows)] = self._initial_state()


class StreamPart(Part):
    """A GRU in the stream of a whole model: a :class:`Stream` whose steps can be undone."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream._batch)
        self._stream = stream
        self._state = stream.h
        self._before = stream.h.copy()

    def advance(self, x_t: Any) -> Floats:
        """Make one step; the output is a view of the state."""
        return self._stream(x_t)

    def remember(self) -> None:
        """Copy the state, because the next step overwrites it."""
        self._before[...] = self._state

    def undo(self) -> list[Action]:
        """Return the action that brings the remembered state back."""
        return [assignment(self._state, self._before)]

    def actions_to_set(self, name: str, value: Any) -> list[Action]:
        """Return the action that takes over a state."""
        if value is None:
            return self.actions_to_reset(None)
        h, gru = self._state, self._stream._gru
        validation.refuse_foreign(name, value)
        array = validation.as_state(name, value, gru.dtype, h.shape, str(h.shape))
        return [assignment(h, np.array(array))]

    def actions_to_reset(self, rows: Any) -> list[Action]:
        """Return the action that begins anew, in some rows or, with None, in all of them."""
        h = self._state.copy()
        h[(...,) if rows is None else (slice(None), rows)] = self._stream._initial_state()
        return [assignment(self._state, h)]
