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
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t
from libc.string cimport memcpy, strcmp

from pygru.core._arrays cimport data_of, new_array, number_of
from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport LONG_STEP, Blas, Core, Kernels, check, core, traits_of
from pygru.core._plans cimport Config
from pygru.core._weights cimport Packed, Room
from pygru.core.cpygru cimport pygru_config, pygru_step_args

from numpy import ndarray

cdef const Core *CORE = core()

cdef int BYTES = number_of(b"B")

cdef enum:
    MOST_WORK = 1 << 30  # multiply-adds of float32 between two looks for Ctrl-C: 30 ms or so


@cython.final
cdef class Stepper:
    """Runs single time steps of one batch size on memory of its own.

    A step allocates nothing, and keeps the GIL unless the step is long. A very long one goes
    through the sequences in pieces, in memory that it allocates, and a signal handler can end
    it between two pieces. The arguments of a step must be dense NumPy arrays of the right shape
    and dtype. For anything else (a list, a masked array) ``advance`` and ``step`` return False,
    and the caller converts the arguments.
    """

    cdef Borrowed borrowed
    cdef Config config
    cdef Blas blas
    cdef Kernels kernels
    cdef Packed packed  # None on the BLAS engine
    cdef pygru_step_args args
    cdef object workspace   # None if steps are made in pieces
    cdef const char *format
    cdef int64_t rows       # B, 1 where there is no batch axis
    cdef int64_t most_rows  # of a piece
    cdef bint has_batch
    cdef bint is_long
    cdef size_t x_bytes
    cdef size_t state_bytes
    cdef void *x
    cdef void *h
    cdef void *h_next

    def __cinit__(self, Config config not None, Blas blas not None,
                  Kernels kernels not None, batch, parameters,
                  Packed packed, x, h, h_next, double zoneout_rate):
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
        self.set_length(config.cell(c.num_layers - 1, 0)["end"], item)
        self.fill(parameters, x, h, h_next)
        self.args.zoneout_rate = zoneout_rate

    cdef int set_length(self, int64_t weights, size_t item) except -1:
        """Decide how a step runs that has so many multiply-adds for a sequence."""
        cdef int64_t work = MOST_WORK  # in bytes it is more than a size_t of 32 bits holds
        cdef int64_t most = max(1, work * <int64_t>sizeof(float) // (<int64_t>item * weights))
        cdef int64_t pieces = (self.rows + most - 1) // most
        self.is_long = self.rows * weights > LONG_STEP
        self.most_rows = self.rows if pieces <= 1 else (self.rows + pieces - 1) // pieces
        return 0

    cdef int fill(self, parameters, x, h, h_next) except -1:
        cdef pygru_config *c = &self.config.config
        cdef pygru_step_args *args = &self.args
        cdef int64_t count = self.config.cell(c.num_layers - 1, 0)["end"]
        cdef int64_t states = c.num_layers * self.rows * c.hidden_size
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
        args.blas = &self.blas.table
        args.kernels = self.kernels.kernels
        if self.most_rows == self.rows:
            self.workspace = self.allot(args)
        return 0

    cdef object allot(self, pygru_step_args *args):
        """Give a call of the core its workspace; the caller keeps the array."""
        cdef int64_t size = self.config.step_workspace(args.B)
        workspace = new_array(BYTES, 1, &size, "the step workspace")
        args.workspace = data_of(workspace)
        args.workspace_bytes = size
        return workspace

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
        if self.packed is not None:
            room = self.packed.now()
            args.packed = room.data
        if self.is_long:
            return self.run_long(&args)
        return check(CORE.step(&args))

    cdef int run_long(self, pygru_step_args *args) except -1:
        cdef int status
        if self.most_rows < self.rows:
            return self.run_in_pieces(args)
        with nogil:
            status = CORE.step(args)
        return check(status)

    cdef int run_in_pieces(self, pygru_step_args *args) except -1:
        """Make a step, some sequences at a time; a signal handler can end it in between.

        The handler may make steps with this object. So this step has memory of its own, and the
        state changes at the end.
        """
        cdef int64_t layers = self.config.config.num_layers, first = 0
        cdef int64_t x_row = self.x_bytes // self.rows
        cdef int64_t h_row = self.state_bytes // (layers * self.rows)
        cdef int64_t layer_bytes = self.rows * h_row, bytes
        cdef int status
        x = copied(self.x, self.x_bytes, "the input of a step")
        states = copied(self.h, self.state_bytes, "the state")
        bytes = layers * self.most_rows * h_row
        piece = new_array(BYTES, 1, &bytes, "the states of some sequences")
        args.B = self.most_rows
        _workspace = self.allot(args)
        args.h = args.h_next = data_of(piece)
        while first < self.rows:
            if first > 0:
                PyErr_CheckSignals()
            args.B = min(self.most_rows, self.rows - first)
            bytes = args.B * h_row
            args.x = <char *>data_of(x) + first * x_row
            copy_layers(layers, bytes, <char *>data_of(states) + first * h_row, layer_bytes,
                        data_of(piece), bytes)
            with nogil:
                status = CORE.step(args)
            check(status)
            copy_layers(layers, bytes, data_of(piece), bytes,
                        <char *>data_of(states) + first * h_row, layer_bytes)
            first += args.B
        memcpy(self.h_next, data_of(states), self.state_bytes)
        return 0

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


cdef object copied(const void *source, int64_t size, str purpose):
    """A copy of so many bytes."""
    copy = new_array(BYTES, 1, &size, purpose)
    memcpy(data_of(copy), source, size)
    return copy


cdef void copy_layers(int64_t layers, int64_t size, const void *source, int64_t source_step,
                      void *to, int64_t to_step) noexcept:
    """Copy ``size`` bytes of each layer; a layer begins so many bytes after the one before."""
    cdef int64_t layer
    for layer in range(layers):
        memcpy(<char *>to + layer * to_step, <const char *>source + layer * source_step, size)
