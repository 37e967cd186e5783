"""One time step at a time: for live data, text generation and simulations.

All memory is allocated when a stream is made (or at the first ``step`` of a thread and batch
size); after that a step allocates no buffer.
"""

from pygru.core import _core, threads, validation
from pygru.core.blas import BLAS
from pygru.core.kernels import KERNELS
from pygru.core.memory import allocate


def _refuse_bidirectional(gru, what):
    if gru.bidirectional:
        raise ValueError(
            f"{what} needs a GRU of one direction; the reverse direction of this one starts at "
            "the end of the sequence"
        )


def _largest_product(gru, batch):
    widest = max(gru.input_size, gru.hidden_size)
    return batch * 3 * gru.hidden_size * widest


class _Buffers:
    """The memory of single steps of one GRU for one batch size."""

    def __init__(self, gru, batch, separate_state):
        states = gru.num_layers * batch * gru.hidden_size
        self.x = allocate(batch * gru.input_size, gru.dtype, "the input of a step")
        self.h_next = allocate(states, gru.dtype, "the state")
        self.h_next.fill(0)
        self.h = allocate(states, gru.dtype, "the state") if separate_state else None
        workspace = allocate(gru._config.step_workspace(batch), gru.dtype, "the step workspace")
        self.run = _core.Stepper(
            gru._config,
            BLAS,
            KERNELS,
            gru.dtype.char.encode(),
            batch,
            gru.flat_parameters,
            self.x,
            self.h,
            self.h_next,
            workspace,
        )


def one_step(gru, x_t, h, out):
    """Implement ``GRU.step``; see there."""
    _refuse_bidirectional(gru, "step")
    x_t = validation.as_real("x_t", x_t, gru.dtype)
    if x_t.ndim not in (1, 2) or x_t.shape[-1] != gru.input_size:
        raise ValueError(
            f"x_t must have shape (batch, input_size={gru.input_size}) or "
            f"({gru.input_size},), got {x_t.shape}"
        )
    batch = x_t.shape[0] if x_t.ndim == 2 else 1
    shape = (gru.num_layers, *x_t.shape[:-1], gru.hidden_size)
    if h is None:
        raise TypeError("h must be array-like of numbers, got NoneType")
    h = validation.as_real("h", h, gru.dtype)
    axes = "batch, " if x_t.ndim == 2 else ""
    validation.check_shape("h", h, shape, f"(num_layers, {axes}hidden_size) = {shape}")
    if out is not None:
        validation.check_out("out", out, gru.dtype, shape)

    kept = gru._local.__dict__
    if kept.get("batch") != batch:
        kept["buffers"] = _Buffers(gru, batch, separate_state=True)
        kept["batch"] = batch
    buffers = kept["buffers"]
    buffers.x.reshape(x_t.shape)[...] = x_t
    buffers.h.reshape(shape)[...] = h
    with threads.single_threaded_blas(_largest_product(gru, batch)):
        buffers.run()
    if out is None:
        return buffers.h_next.reshape(shape).copy()
    out[...] = buffers.h_next.reshape(shape)
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
        rows = self._batch or 1
        middle = () if self._batch is None else (self._batch,)
        self._gru = gru
        self._buffers = _Buffers(gru, rows, separate_state=False)
        self._x = self._buffers.x.reshape(*middle, gru.input_size)
        self._h = self._buffers.h_next.reshape(gru.num_layers, *middle, gru.hidden_size)
        self._y = self._h[-1]
        self._limit = _largest_product(gru, rows)

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
        x_t = validation.as_real("x_t", x_t, self._gru.dtype)
        validation.check_shape("x_t", x_t, self._x.shape, str(self._x.shape))
        self._x[...] = x_t
        with threads.single_threaded_blas(self._limit):
            self._buffers.run()
        return self._y

    def reset(self, rows=None):
        """Set the state to zero.

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
            self._h.fill(0)
        elif self._batch is None:
            raise ValueError("rows must be None for a stream without a batch axis")
        else:
            self._h[:, rows] = 0
