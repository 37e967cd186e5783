"""One time step at a time: for live data, text generation and simulations.

All memory is allocated when a stream is made (or at the first ``step`` of a thread and batch
size); after that a step allocates no buffer.
"""

import numpy as np

from pygru.core import threads, validation
from pygru.core.memory import allocate
from pygru.runner import NO_LIMIT


def _refuse_bidirectional(gru, what):
    if gru.bidirectional:
        raise ValueError(
            f"{what} needs a GRU of one direction; the reverse direction of this one starts at "
            "the end of the sequence"
        )


class _Buffers:
    """The memory of single steps of one GRU for one batch size; None has no batch axis."""

    def __init__(self, gru, batch, separate_state):
        rows = 1 if batch is None else batch
        middle = () if batch is None else (batch,)
        states = gru.num_layers * rows * gru.hidden_size
        self.batch = batch
        self.x_shape = (*middle, gru.input_size)
        self.h_shape = (gru.num_layers, *middle, gru.hidden_size)
        self.h_next = allocate(states, gru.dtype, "the state")
        self.stepper = gru._runner.stepper(
            batch,
            x=allocate(rows * gru.input_size, gru.dtype, "the input of a step"),
            h=allocate(states, gru.dtype, "the state") if separate_state else None,
            h_next=self.h_next,
        )
        self._is_simd = gru._runner.is_simd
        self._product = rows * 3 * gru.hidden_size * max(gru.input_size, gru.hidden_size)

    def limit(self):
        """A context for a step; only the BLAS engine needs one, the other multiplies itself."""
        return NO_LIMIT if self._is_simd else threads.single_threaded_blas(self._product)


def one_step(gru, x_t, h, out):
    """Implement ``GRU.step``; see there."""
    buffers = getattr(gru._runner.of_thread, "buffers", None)
    if buffers is not None:  # the usual case first: arrays like those of the last step
        result = np.empty(buffers.h_shape, gru.dtype) if out is None else out
        with buffers.limit():
            if buffers.stepper.step(x_t, h, result):
                return result
    _refuse_bidirectional(gru, "step")
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
    with buffers.limit():
        buffers.stepper.step(np.ascontiguousarray(x_t), np.ascontiguousarray(h), result)
    if out is None:
        return result
    out[...] = result
    return out


class Stream:
    """Single steps of a GRU with the state kept inside; made by :meth:`GRU.stream`.

    Calling it with the input of one step, (B, I) or (I,), returns the output of that step,
    (B, H) or (H,). The returned array is a view of the state, overwritten by the next call:
    copy it to keep it. The weights are the GRU's own, at every step. Not for use from several
    threads at once; make one stream for each.

    Attributes
    ----------
    h : ndarray
        The state, (L, B, H) or (L, H). Assigning copies into it.
    """

    def __init__(self, gru, batch=None):
        _refuse_bidirectional(gru, "stream")
        self._batch = None if batch is None else validation.check_int("batch", batch, 1)
        self._gru = gru
        self._buffers = _Buffers(gru, self._batch, separate_state=False)
        self._advance = self._buffers.stepper.advance
        self._is_simd = gru._runner.is_simd
        self._h = self._buffers.h_next.reshape(self._buffers.h_shape)
        self._y = self._h[-1]
        self.reset()

    def _initial_state(self):
        """The state of a stream that begins: zeros, or the GRU's own h0."""
        if not self._gru.learn_h0:
            return 0
        h0 = self._gru.parameters["h0"]
        return h0 if self._batch is None else h0[:, np.newaxis]

    @property
    def h(self):
        return self._h

    @h.setter
    def h(self, value):
        shape = self._h.shape
        validation.refuse_foreign("h", value)
        self._h[...] = validation.as_state("h", value, self._gru.dtype, shape, str(shape))

    def __call__(self, x_t):
        """Advance by one step and return its output, a view that the next call overwrites."""
        if self._is_simd and self._advance(x_t):
            return self._y
        shape = self._buffers.x_shape
        x_t = validation.as_real("x_t", x_t, self._gru.dtype)
        validation.check_shape("x_t", x_t, shape, str(shape))
        with self._buffers.limit():
            self._advance(np.ascontiguousarray(x_t))
        return self._y

    def reset(self, rows=None):
        """Set the state to zero, or to the GRU's ``h0`` if it has learned one.

        Parameters
        ----------
        rows : int, slice or array_like of int or bool, optional
            Which streams of the batch; all by default.

        Raises
        ------
        ValueError
            If ``rows`` is given for a stream without a batch axis.
        """
        if rows is None:
            self._h[...] = self._initial_state()
        elif self._batch is None:
            raise ValueError("rows must be None for a stream without a batch axis")
        else:
            self._h[:, rows] = self._initial_state()
