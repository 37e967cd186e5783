# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Single time steps: the shortest way from a NumPy array through the core and back."""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport int64_t
from libc.string cimport memcpy, strcmp

from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport LONG_STEP, Blas, Core, Kernels, check, core, traits_of
from pygru.core._plans cimport Config
from pygru.core._weights cimport Packed, Room
from pygru.core.cpygru cimport pygru_config, pygru_step_args

from numpy import ndarray

cdef const Core *CORE = core()


@cython.final
cdef class Stepper:
    """Runs single time steps of one batch size on memory of its own.

    A step allocates nothing, and keeps the GIL unless the step is long. Its arguments must be
    dense NumPy arrays of the right shape and dtype. For anything else (a list, a masked array)
    ``advance`` and ``step`` return False, and the caller converts the arguments.
    """

    cdef Borrowed borrowed
    cdef Config config
    cdef Blas blas
    cdef Kernels kernels
    cdef Packed packed  # None on the BLAS engine
    cdef pygru_step_args args
    cdef const char *format
    cdef int64_t rows       # B, 1 where there is no batch axis
    cdef bint has_batch
    cdef bint is_long
    cdef size_t x_bytes
    cdef size_t state_bytes
    cdef void *x
    cdef void *h
    cdef void *h_next

    def __cinit__(self, Config config not None, Blas blas not None,
                  Kernels kernels not None, batch, parameters,
                  Packed packed, x, h, h_next, workspace, double zoneout_rate):
        cdef pygru_config *c = &config.config
        cdef size_t item = traits_of(c.precision).value_bytes
        self.borrowed = Borrowed()
        self.config = config
        self.blas = blas
        self.kernels = kernels
        self.packed = packed
        self.format = config.format()
        self.has_batch = batch is not None
        self.rows = batch if self.has_batch else 1
        self.x_bytes = self.rows * c.input_size * item
        self.state_bytes = c.num_layers * self.rows * c.hidden_size * item
        self.is_long = self.rows * config.cell(c.num_layers - 1, 0)["end"] > LONG_STEP
        self.fill(parameters, x, h, h_next, workspace)
        self.args.zoneout_rate = zoneout_rate

    cdef int fill(self, parameters, x, h, h_next, workspace) except -1:
        cdef pygru_config *c = &self.config.config
        cdef pygru_step_args *args = &self.args
        cdef int64_t count = self.config.cell(c.num_layers - 1, 0)["end"]
        cdef int64_t states = c.num_layers * self.rows * c.hidden_size
        cdef int64_t size = self.config.step_workspace(self.rows)
        self.x = self.borrowed.dense(x, self.rows * c.input_size, self.format, True)
        self.h_next = self.borrowed.dense(h_next, states, self.format, True)
        self.h = self.h_next
        if h is not None:
            self.h = self.borrowed.dense(h, states, self.format, True)
        args.config = c
        args.B = self.rows
        args.parameters = self.borrowed.dense(parameters, count, self.format, False)
        args.x = self.x
        args.h = self.h
        args.h_next = self.h_next
        args.workspace = self.borrowed.dense(workspace, size, b"B", True)
        args.workspace_bytes = size
        args.blas = &self.blas.table
        args.kernels = self.kernels.kernels
        return 0

    cdef bint takes(self, Py_buffer *view, bint is_state):
        """Whether a dense buffer is an input, or a state, of this batch."""
        cdef int axes = (2 if self.has_batch else 1) + is_state
        cdef int last = axes - 1
        cdef pygru_config *c = &self.config.config
        return (
            view.ndim == axes
            and strcmp(view.format, self.format) == 0
            and view.shape[last] == (c.hidden_size if is_state else c.input_size)
            and (not self.has_batch or view.shape[last - 1] == self.rows)
            and (not is_state or view.shape[0] == c.num_layers)
        )

    cdef bint copy(self, object array, void *to, bint is_state) except -1:
        """Copy an input or a state; return False if the object would need a conversion."""
        cdef Py_buffer view
        cdef bint fits
        if type(array) is not ndarray:
            return False
        try:
            PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        except (BufferError, ValueError):
            return False
        fits = self.takes(&view, is_state)
        if fits:
            memcpy(to, view.buf, self.state_bytes if is_state else self.x_bytes)
        PyBuffer_Release(&view)
        return fits

    cdef int run(self) except -1:
        # A copy, so that ``room`` lives as long as the core reads it, even if another thread
        # uses this object too, against all advice.
        cdef pygru_step_args args = self.args
        cdef Room room = None
        cdef int status
        if self.packed is not None:
            room = self.packed.now()
            args.packed = room.data
        if self.is_long:
            with nogil:
                status = CORE.step(&args)
        else:
            status = CORE.step(&args)
        return check(status)

    def advance(self, x_t):
        """Make a step on the bound state; return False if ``x_t`` would need a conversion."""
        if not self.copy(x_t, self.x, False):
            return False
        self.run()
        return True

    def step(self, x_t, h, out):
        """Make a step from ``h`` to ``out``; return False if one would need a conversion."""
        cdef Py_buffer view
        cdef bint fits
        if type(out) is not ndarray:
            return False
        if not (self.copy(x_t, self.x, False) and self.copy(h, self.h, True)):
            return False
        try:
            PyObject_GetBuffer(out, &view,
                               PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
        except (BufferError, ValueError):
            return False
        fits = self.takes(&view, True)
        try:
            if fits:
                self.run()
                memcpy(view.buf, self.h_next, self.state_bytes)
        finally:
            PyBuffer_Release(&view)
        return fits
