# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled boundary: borrows NumPy's memory, calls the C core, turns codes into errors.

No algorithm lives here, and no shape is explained to the user here: ``validation.py`` has
done that. What is checked again is only what could corrupt memory; that failing is an
InternalError.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset, strcmp

from pygru.core.cpygru cimport (
    PYGRU_ENGINE_BLAS,
    PYGRU_ENGINE_SIMD,
    PYGRU_KEEP_GATES,
    PYGRU_KEEP_NOTHING,
    PYGRU_KEEP_OUTPUTS,
    PYGRU_MOST_STATES,
    PYGRU_STATUS_END_,
    pygru_affine,
    pygru_affine_args,
    pygru_affine_backward,
    pygru_affine_workspace,
    pygru_available_threads,
    pygru_backward,
    pygru_backward_args,
    pygru_blas,
    pygru_cell,
    pygru_cell_of,
    pygru_compiler,
    pygru_config,
    pygru_cross_entropy,
    pygru_cross_entropy_args,
    pygru_fingerprint,
    pygru_forward,
    pygru_forward_args,
    pygru_has_simd_engine,
    pygru_input,
    pygru_kernels,
    pygru_kernels_at,
    pygru_kernels_count,
    pygru_kernels_name,
    pygru_noise,
    pygru_openmp_version,
    pygru_optimizer,
    pygru_optimizer_of,
    pygru_output,
    pygru_pack,
    pygru_packed_size,
    pygru_plan,
    pygru_plan_init,
    pygru_plan_rows,
    pygru_plan_size,
    pygru_plan_sizes,
    pygru_sigmoid,
    pygru_sizes,
    pygru_status_exception,
    pygru_status_text,
    pygru_step,
    pygru_step_args,
    pygru_step_workspace,
    pygru_sum_of_squares,
    pygru_tanh,
    pygru_tape_view,
    pygru_tape_view_of,
    pygru_team,
    pygru_traits,
    pygru_traits_of,
    pygru_update,
    pygru_update_args,
)

from numpy import ndarray

from pygru.core.memory import allocate
from pygru.errors import InternalError

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

ENGINE_BLAS = PYGRU_ENGINE_BLAS
ENGINE_SIMD = PYGRU_ENGINE_SIMD
KEEP_NOTHING = PYGRU_KEEP_NOTHING
KEEP_OUTPUTS = PYGRU_KEEP_OUTPUTS
KEEP_GATES = PYGRU_KEEP_GATES

cdef enum:
    BORROWED_AT_MOST = 12
    LONG_STEP = 400_000  # multiply-adds; about 20 us, and the GIL is worth giving away
    LONG_READ = 100_000  # bytes that one pass reads in about 10 us; the same

cdef dict EXCEPTIONS = {
    "ValueError": ValueError,
    "InternalError": InternalError,
    "KeyboardInterrupt": KeyboardInterrupt,
}


def status_table():
    """List (code, exception name, text) of every status of the core."""
    return [
        (code, pygru_status_exception(code).decode(), pygru_status_text(code).decode())
        for code in range(PYGRU_STATUS_END_)
    ]


cdef int check(int status) except -1:
    """Raise the exception that ``status.def`` names."""
    if status == 0:
        return 0
    exception = EXCEPTIONS[pygru_status_exception(status).decode()]
    raise exception(pygru_status_text(status).decode())


def raise_status(int status):
    """Raise what ``status`` means; for the test that walks the table."""
    check(status)


# ---- borrowed memory -------------------------------------------------------------------

cdef bint same_format(const char *format, const char *kind) noexcept:
    """Whether a buffer's format is ``kind``; int64 has two names, one per platform."""
    return strcmp(format, kind) == 0 or (strcmp(kind, b"l") == 0 and strcmp(format, b"q") == 0)


cdef class Borrowed:
    """The buffers that one call borrows from arrays; given back when this object dies."""

    cdef Py_buffer views[BORROWED_AT_MOST]
    cdef int count

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            PyBuffer_Release(&self.views[i])

    cdef Py_buffer *add(self, object array, int ndim, const char *kind,
                        bint writable) except NULL:
        """Borrow an array of ``ndim`` axes and element format ``kind``, last axis dense."""
        cdef Py_buffer *view = &self.views[self.count]
        cdef int flags = PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
        cdef int last = ndim - 1
        if self.count == BORROWED_AT_MOST:
            raise InternalError("too many arrays in one call")
        PyObject_GetBuffer(array, view, flags)
        self.count += 1
        if view.ndim != ndim or not same_format(view.format, kind):
            raise InternalError(
                f"expected {ndim} axes of format {kind}, got {view.ndim} of {view.format}"
            )
        if view.shape[last] > 1 and view.strides[last] != view.itemsize:
            raise InternalError("the last axis is not contiguous")
        return view

    cdef void *dense(self, object array, int64_t size, const char *kind,
                     bint writable) except? NULL:
        """Borrow a one-dimensional contiguous array of at least ``size`` elements."""
        cdef Py_buffer *view
        if array is None:
            return NULL
        view = self.add(array, 1, kind, writable)
        if view.shape[0] < size:
            raise InternalError(f"expected {size} elements, got {view.shape[0]}")
        return view.buf

    cdef void *matrix(self, object array, int64_t rows, int64_t columns, const char *kind,
                      bint writable) except? NULL:
        """Borrow a dense array of exactly (rows, columns)."""
        cdef Py_buffer *view
        if array is None:
            return NULL
        view = self.add(array, 2, kind, writable)
        if view.shape[0] != rows or view.shape[1] != columns:
            raise InternalError(
                f"expected shape {(rows, columns)}, got {(view.shape[0], view.shape[1])}"
            )
        if rows > 1 and view.strides[0] != columns * view.itemsize:
            raise InternalError("an array is not contiguous")
        return view.buf

    cdef void *vectors(self, object array, int64_t size, bint writable) except? NULL:
        """The same for an array of bytes that begins on a multiple of 64."""
        cdef void *data = self.dense(array, size, b"B", writable)
        if <size_t>data % 64:
            raise InternalError("an array of vectors is not aligned")
        return data


# ---- precisions ------------------------------------------------------------------------

def precisions():
    """Name -> (buffer format, bytes of a value, bytes of a packed weight) of each precision."""
    found = {}
    cdef int32_t code = 0
    cdef const pygru_traits *traits = pygru_traits_of(code)
    while traits != NULL:
        found[traits.name.decode()] = (
            traits.format.decode(), traits.value_bytes, traits.weight_bytes
        )
        code += 1
        traits = pygru_traits_of(code)
    return found


cdef int32_t precision_named(str name) except -1:
    """The code of a precision."""
    names = list(precisions())
    if name not in names:
        raise InternalError(f"there is no precision {name!r}, only {', '.join(names)}")
    return names.index(name)


cdef int32_t precision_of(object array) except -1:
    """The code of the first precision whose values have the format of an array."""
    cdef bytes format = memoryview(array).format.encode()
    cdef int32_t code = 0
    cdef const pygru_traits *traits = pygru_traits_of(code)
    while traits != NULL:
        if strcmp(traits.format, format) == 0:
            return code
        code += 1
        traits = pygru_traits_of(code)
    raise InternalError(f"there is no precision of format {format}")


cdef const char *format_of(int32_t precision) noexcept:
    return pygru_traits_of(precision).format


# ---- BLAS ------------------------------------------------------------------------------

def capsule_name(capsule):
    """The name of a capsule: for Cython's exports, the C signature of the function."""
    return PyCapsule_GetName(capsule).decode()


ctypedef void (*blas_function)() noexcept


cdef blas_function function_in(object capsule):
    return <blas_function>PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


cdef class Blas:
    """The table of BLAS functions that the core is given.

    ``capsules`` maps sgemm, dgemm, sgemv and dgemv to capsules of Fortran-style functions
    whose integers have ``int_bytes`` bytes; no dimension above ``max_int`` is passed to them.
    """

    cdef pygru_blas table
    cdef object capsules  # keeps the functions' module alive
    cdef readonly int int_bytes

    def __init__(self, capsules, int int_bytes, int64_t max_int):
        self.capsules = capsules
        self.int_bytes = int_bytes
        self.table.sgemm = function_in(capsules["sgemm"])
        self.table.dgemm = function_in(capsules["dgemm"])
        self.table.sgemv = function_in(capsules["sgemv"])
        self.table.dgemv = function_in(capsules["dgemv"])
        self.table.int_bytes = int_bytes
        self.table.max_int = max_int


# ---- kernels ---------------------------------------------------------------------------

def kernel_names():
    """Name -> whether this CPU can run it, from the one that always runs to the best."""
    return {
        pygru_kernels_name(index).decode(): pygru_kernels_at(index) != NULL
        for index in range(pygru_kernels_count())
    }


def has_simd_engine():
    """Whether this build has the SIMD engine."""
    return pygru_has_simd_engine() != 0


cdef class Kernels:
    """The kernels of one instruction set, and the engine that calls them."""

    cdef const pygru_kernels *kernels
    cdef readonly str name
    cdef readonly int engine

    def __init__(self, str name, int engine):
        index = list(kernel_names()).index(name)
        self.kernels = pygru_kernels_at(index)
        self.name = name
        self.engine = engine
        if self.kernels == NULL:
            raise InternalError(f"this CPU cannot run the kernels {name!r}")


# ---- the model and the plan ------------------------------------------------------------

cdef class Config:
    """A ``pygru_config``: the sizes and switches of one GRU."""

    cdef pygru_config config

    def __init__(self, int64_t input_size, int64_t hidden_size, int64_t num_layers,
                 int num_directions, bint bias, bint reset_after, bint update_keeps,
                 bint drops_states=False, double norm_eps=0, str precision="float32"):
        self.config.input_size = input_size
        self.config.hidden_size = hidden_size
        self.config.num_layers = num_layers
        self.config.num_directions = num_directions
        self.config.has_bias = bias
        self.config.reset = reset_after
        self.config.update = update_keeps
        self.config.drops_states = drops_states
        self.config.norm_eps = norm_eps
        self.config.precision = precision_named(precision)

    def cell(self, int64_t layer, int direction):
        """Offsets of one cell's parameters; see ``pygru_cell`` in pygru.h."""
        cdef pygru_cell cell
        check(pygru_cell_of(&self.config, layer, direction, &cell))
        return cell

    def step_workspace(self, int64_t batch):
        """Bytes of workspace that one step of ``batch`` rows needs."""
        cdef int64_t size
        check(pygru_step_workspace(&self.config, batch, &size))
        return size

    def packed_size(self):
        """Bytes of packed parameters."""
        cdef int64_t size
        check(pygru_packed_size(&self.config, &size))
        return size

    cdef const char *format(self) noexcept:
        """The buffer format of its values."""
        return format_of(self.config.precision)


# ---- packed parameters -----------------------------------------------------------------

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define PYGRU_HOLDERS(object) PY_SSIZE_T_MAX /* the count of references is not one number */
    #else
    #define PYGRU_HOLDERS(object) Py_REFCNT(object)
    #endif
    """
    Py_ssize_t PYGRU_HOLDERS(PyObject *)


cdef class Owner:
    """The one reference to a flat array; everybody else gets views, which NumPy counts.

    Nobody can write the array without holding a view of it. So if no view exists now, and none
    has been given out since the last look, it has not changed.
    """

    cdef object array
    cdef int64_t given_out

    def __init__(self, array):
        self.array = array
        self.given_out = 0

    def view(self):
        """A view for somebody who may write through it."""
        self.given_out += 1
        return self.array[:]

    def borrow(self):
        """A view for code that only reads, and lets go of it soon."""
        return self.array[:]

    cdef bint unshared(self):
        return PYGRU_HOLDERS(<PyObject *>self.array) == 1


cdef class Room:
    """Memory for packed parameters. Who computes with it holds the object, or its array."""

    cdef object array  # uint8
    cdef Borrowed memory
    cdef void *data
    cdef int64_t size

    def __init__(self, int64_t size):
        raw = allocate(size + 64, "uint8", "the packed weights")
        first = -raw.ctypes.data % 64
        self.array = raw[first:first + size]
        self.memory = Borrowed()
        self.data = self.memory.vectors(self.array, size, True)


cdef bint is_mine(Room room) noexcept:
    """Whether nobody but one variable holds a room, and nobody but the room its array."""
    return (
        PYGRU_HOLDERS(<PyObject *>room) == 1
        and PYGRU_HOLDERS(<PyObject *>room.array) == 2  # the room's own, and that of its buffer
    )


cdef class Packed:
    """The parameters laid out for the SIMD engine, always those of this moment.

    The GIL is released while many parameters are read or packed, so several threads may be here
    at once. The memory therefore belongs to one of them at a time: a thread takes it out of the
    object, and puts it back when it is done. Who finds none, or finds that a call still computes
    with it, makes new memory.
    """

    cdef Config config
    cdef Kernels kernels
    cdef Owner owner
    cdef Room room          # None while a thread packs into it
    cdef uint64_t fingerprint
    cdef int64_t given_out  # by the owner at the last look; -1 if somebody could write since
    cdef bint is_packed

    def __init__(self, Config config, Kernels kernels, Owner owner):
        self.config = config
        self.kernels = kernels
        self.owner = owner
        self.room = None

    cdef Room now(self):
        """The memory, packed again if a parameter has changed since the last time.

        Who computes with it holds this reference until the end.
        """
        if self.is_packed and self.given_out == self.owner.given_out and self.owner.unshared():
            return self.room
        with cython.critical_section(self):
            self.look()
            return self.room

    cdef int look(self) except -1:
        cdef Borrowed borrowed = Borrowed()
        # What is given out while the GIL is released counts as given out after this look.
        cdef int64_t given_out = self.owner.given_out if self.owner.unshared() else -1
        cdef int64_t count = len(self.owner.array)
        cdef const void *source = borrowed.dense(
            self.owner.array, count, self.config.format(), False)
        cdef int64_t size = borrowed.views[0].len
        cdef uint64_t fingerprint = fingerprint_of(source, size)
        if not self.is_packed or fingerprint != self.fingerprint or self.room is None:
            self.pack(source, size)
        self.fingerprint = fingerprint
        self.given_out = given_out
        return 0

    cdef int pack(self, const void *source, int64_t size) except -1:
        cdef Room room = self.room
        cdef int status
        self.room = None
        if room is None or not is_mine(room):
            room = Room(self.config.packed_size())
        if size > LONG_READ:
            with nogil:
                status = pygru_pack(&self.config.config, self.kernels.kernels, source,
                                    room.data)
        else:
            status = pygru_pack(&self.config.config, self.kernels.kernels, source, room.data)
        check(status)
        self.room = room
        self.is_packed = True
        return 0

    def current(self):
        """The packed parameters as an array, and the fingerprint of the parameters."""
        with cython.critical_section(self):
            return self.now().array, self.fingerprint


cdef uint64_t fingerprint_of(const void *data, int64_t size) except? 0:
    cdef uint64_t fingerprint = 0
    cdef int status
    if size > LONG_READ:
        with nogil:
            status = pygru_fingerprint(data, size, &fingerprint)
    else:
        status = pygru_fingerprint(data, size, &fingerprint)
    check(status)
    return fingerprint


cdef class Plan:
    """A ``pygru_plan``: one batch of sequences cut into work. Immutable."""

    cdef Borrowed memory
    cdef pygru_plan *plan
    cdef readonly int64_t T
    cdef readonly int64_t B
    cdef readonly int keep
    cdef pygru_config config
    cdef const char *format

    def __init__(self, Config config, int engine, int64_t T, int64_t B, lengths, int keep):
        cdef Borrowed borrowed = Borrowed()
        cdef int64_t size
        cdef int64_t *c_lengths
        if lengths is not None:
            # The core checks the lengths and then reads them again as indices: in between,
            # nobody else may change them.
            lengths = lengths.copy()
        c_lengths = <int64_t *>borrowed.dense(lengths, B, b"l", False)
        check(pygru_plan_size(&config.config, engine, T, B, c_lengths, &size))
        memory = allocate(size, "uint8", f"the plan of {T} steps of {B} sequences")
        self.memory = Borrowed()
        self.plan = <pygru_plan *>self.memory.dense(memory, size, b"B", True)
        check(pygru_plan_init(&config.config, engine, T, B, c_lengths, keep, self.plan, size))
        self.T, self.B, self.keep = T, B, keep
        self.config = config.config
        self.format = config.format()

    def sizes(self, int n_threads):
        """The sizes that follow; see ``pygru_sizes`` in pygru.h."""
        cdef pygru_sizes sizes
        check(pygru_plan_sizes(self.plan, n_threads, &sizes))
        return sizes

    def rows(self, step, sequence):
        """Fill two int64 arrays of R: step inside its sequence, index of the sequence."""
        cdef Borrowed borrowed = Borrowed()
        cdef int64_t n = self.sizes(1)["rows"]
        cdef int64_t *c_step = <int64_t *>borrowed.dense(step, n, b"l", True)
        cdef int64_t *c_sequence = <int64_t *>borrowed.dense(sequence, n, b"l", True)
        check(pygru_plan_rows(self.plan, c_step, c_sequence))

    def tape_view(self, int64_t layer, int direction):
        """Offsets into the tape; see ``pygru_tape_view`` in pygru.h."""
        cdef pygru_tape_view view
        check(pygru_tape_view_of(self.plan, layer, direction, &view))
        return view

    cdef int64_t parameters(self):
        return self.sizes(1)["parameters"]

    cdef int64_t states(self):
        return self.config.num_layers * self.config.num_directions * self.B * \
            self.config.hidden_size


# ---- interrupts ------------------------------------------------------------------------

cdef class Interrupt:
    """Asks Python, during a long call, whether a signal handler raised something."""

    cdef object error
    cdef pygru_team team

    def __init__(self, int n_threads, bint on_main_thread):
        self.error = None
        self.team.n_threads = n_threads
        self.team.poll = NULL
        if on_main_thread:  # signals are handled on the main thread only
            self.team.poll = poll
        self.team.poll_context = <void *>self

    cdef int check(self, int status) except -1:
        if self.error is not None:
            raise self.error
        return check(status)


cdef int poll(void *context) noexcept with gil:
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Interrupt>context).error = error
        return 1
    return 0


# ---- the calls -------------------------------------------------------------------------

cdef int set_input(pygru_input *rows, Borrowed borrowed, Plan plan, object array,
                   int64_t width) except -1:
    """Point ``rows`` at a (T, B, width) array; None is a NULL pointer."""
    cdef Py_buffer *view
    if array is None:
        rows.data = NULL
        return 0
    view = borrowed.add(array, 3, plan.format, False)
    check_shape(view, plan, width)
    rows.data = view.buf
    rows.step = view.strides[0] // view.itemsize
    rows.sequence = view.strides[1] // view.itemsize
    return 0


cdef int set_output(pygru_output *rows, Borrowed borrowed, Plan plan, object array,
                    int64_t width) except -1:
    cdef Py_buffer *view
    if array is None:
        rows.data = NULL
        return 0
    view = borrowed.add(array, 3, plan.format, True)
    check_shape(view, plan, width)
    rows.data = view.buf
    rows.step = view.strides[0] // view.itemsize
    rows.sequence = view.strides[1] // view.itemsize
    return 0


cdef int check_shape(Py_buffer *view, Plan plan, int64_t width) except -1:
    if view.shape[0] != plan.T or view.shape[1] != plan.B or view.shape[2] != width:
        raise InternalError(
            f"expected shape {(plan.T, plan.B, width)}, "
            f"got {(view.shape[0], view.shape[1], view.shape[2])}"
        )
    if view.strides[0] % view.itemsize or view.strides[1] % view.itemsize:
        raise InternalError("a stride is not a multiple of the element size")
    return 0


cdef const void *packed_in(Borrowed borrowed, Plan plan, object array) except? NULL:
    cdef int64_t size
    check(pygru_packed_size(&plan.config, &size))
    return borrowed.vectors(array, size, False)


cdef const uint8_t *mask_in(Borrowed borrowed, object mask, int64_t size) except? NULL:
    return <const uint8_t *>borrowed.dense(mask, size, b"B", False)


cdef int set_noise(pygru_noise *to, Borrowed borrowed, pygru_sizes *sizes,
                   object given) except -1:
    """Fill ``to`` from an object with attributes of the same names; None has no noise."""
    if given is None:
        return 0
    to.dropout = mask_in(borrowed, given.dropout, sizes.dropout)
    to.dropout_scale = given.dropout_scale
    to.recurrent = mask_in(borrowed, given.recurrent, sizes.recurrent)
    to.recurrent_scale = given.recurrent_scale
    to.zoneout = mask_in(borrowed, given.zoneout, sizes.zoneout)
    to.zoneout_rate = given.zoneout_rate
    return 0


cdef int fill_forward(pygru_forward_args *args, Borrowed borrowed, Plan plan, Blas blas,
                      Kernels kernels, Interrupt interrupt, int n_threads,
                      object parameters, object packed, object x, object h0, object y,
                      object h_n, object tape, object noise, object workspace) except -1:
    cdef pygru_config *config = &plan.config
    cdef pygru_sizes sizes
    check(pygru_plan_sizes(plan.plan, n_threads, &sizes))
    memset(args, 0, cython.sizeof(args[0]))
    args.plan = plan.plan
    args.parameters = borrowed.dense(parameters, sizes.parameters, plan.format, False)
    args.packed = packed_in(borrowed, plan, packed)
    set_input(&args.x, borrowed, plan, x, config.input_size)
    args.h0 = borrowed.dense(h0, plan.states(), plan.format, False)
    set_output(&args.y, borrowed, plan, y,
               config.num_directions * config.hidden_size)
    args.h_n = borrowed.dense(h_n, plan.states(), plan.format, True)
    args.tape = borrowed.dense(tape, sizes.tape, plan.format, True)
    set_noise(&args.noise, borrowed, &sizes, noise)
    args.workspace = borrowed.dense(workspace, sizes.forward_workspace, b"B", True)
    args.workspace_bytes = sizes.forward_workspace
    args.blas = &blas.table
    args.kernels = kernels.kernels
    args.team = &interrupt.team
    return 0


def forward(Plan plan, Blas blas, Kernels kernels, int n_threads, bint on_main_thread, *,
            parameters, packed, x, h0, y, h_n, tape, noise, workspace):
    """Run ``pygru_forward``; the keywords are the members of its arguments."""
    cdef Borrowed borrowed = Borrowed()
    cdef Interrupt interrupt = Interrupt(n_threads, on_main_thread)
    cdef pygru_forward_args args
    cdef int status
    fill_forward(&args, borrowed, plan, blas, kernels, interrupt, n_threads,
                 parameters, packed, x, h0, y, h_n, tape, noise, workspace)
    with nogil:
        status = pygru_forward(&args)
    interrupt.check(status)


cdef int fill_backward(pygru_backward_args *args, Borrowed borrowed, Plan plan, Blas blas,
                       Kernels kernels, Interrupt interrupt, int n_threads,
                       object parameters, object packed, object tape, object noise,
                       object d_y, object d_h_n, object d_x, object d_h0, object grads,
                       object workspace) except -1:
    cdef pygru_config *config = &plan.config
    cdef int64_t width = config.num_directions * config.hidden_size
    cdef pygru_sizes sizes
    check(pygru_plan_sizes(plan.plan, n_threads, &sizes))
    memset(args, 0, cython.sizeof(args[0]))
    args.plan = plan.plan
    args.parameters = borrowed.dense(parameters, sizes.parameters, plan.format, False)
    args.packed = packed_in(borrowed, plan, packed)
    args.tape = borrowed.dense(tape, sizes.tape, plan.format, False)
    set_noise(&args.noise, borrowed, &sizes, noise)
    set_input(&args.d_y, borrowed, plan, d_y, width)
    args.d_h_n = borrowed.dense(d_h_n, plan.states(), plan.format, False)
    set_output(&args.d_x, borrowed, plan, d_x, config.input_size)
    args.d_h0 = borrowed.dense(d_h0, plan.states(), plan.format, True)
    args.grads = borrowed.dense(grads, sizes.parameters, plan.format, True)
    args.workspace = borrowed.dense(workspace, sizes.backward_workspace, b"B", True)
    args.workspace_bytes = sizes.backward_workspace
    args.blas = &blas.table
    args.kernels = kernels.kernels
    args.team = &interrupt.team
    return 0


def backward(Plan plan, Blas blas, Kernels kernels, int n_threads, bint on_main_thread, *,
             parameters, packed, tape, noise, d_y, d_h_n, d_x, d_h0, grads, workspace):
    """Run ``pygru_backward``; the keywords are the members of its arguments."""
    cdef Borrowed borrowed = Borrowed()
    cdef Interrupt interrupt = Interrupt(n_threads, on_main_thread)
    cdef pygru_backward_args args
    cdef int status
    fill_backward(&args, borrowed, plan, blas, kernels, interrupt, n_threads,
                  parameters, packed, tape, noise, d_y, d_h_n, d_x, d_h0, grads, workspace)
    with nogil:
        status = pygru_backward(&args)
    interrupt.check(status)


cdef class Stepper:
    """Runs single time steps of one batch size on memory of its own.

    Nothing is allocated by a step, and the GIL is kept unless the step is long. What a step is
    given must be dense NumPy arrays of the right shape and dtype; for anything else (a list, a
    masked array) ``advance`` and ``step`` say no, and the caller makes such arrays of them.
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

    def __init__(self, Config config, Blas blas, Kernels kernels, batch, parameters,
                 Packed packed, x, h, h_next, workspace, double zoneout_rate):
        cdef pygru_config *c = &config.config
        cdef size_t item = pygru_traits_of(c.precision).value_bytes
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
        """Copy an input or a state; no if the object is not one as it stands."""
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
        cdef Room room = None
        cdef int status
        if self.packed is not None:
            room = self.packed.now()
            self.args.packed = room.data
        if self.is_long:
            with nogil:
                status = pygru_step(&self.args)
        else:
            status = pygru_step(&self.args)
        return check(status)

    def advance(self, x_t):
        """One step from the bound state to itself; no if ``x_t`` does not fit as it stands."""
        if not self.copy(x_t, self.x, False):
            return False
        self.run()
        return True

    def step(self, x_t, h, out):
        """One step from ``h`` to ``out``; no if one of them does not fit as it stands."""
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


# ---- optimisers ------------------------------------------------------------------------

cdef enum:
    MOST_SETTINGS = 16


def optimizers():
    """Name -> (least and most arrays of state, names of the settings), in the order of C."""
    found = {}
    cdef const pygru_optimizer *row = pygru_optimizer_of(0)
    while row != NULL:
        settings = tuple(row.settings.decode().replace(",", " ").split())
        found[row.name.decode()] = (row.least_states, row.most_states, settings)
        row = pygru_optimizer_of(len(found))
    return found


cdef dict OPTIMIZERS = optimizers()


cdef class Part:
    """Flat arrays of one size, borrowed: values, gradients, states; and their weight decay."""

    cdef Borrowed memory
    cdef pygru_update_args args

    def __init__(self, tuple arrays, double decay):
        cdef int32_t precision = precision_of(arrays[0])
        cdef const char *format = format_of(precision)
        cdef int64_t n = len(arrays[0])
        self.memory = Borrowed()
        self.args.precision = precision
        self.args.n = n
        self.args.decay = decay
        self.args.parameters = self.memory.dense(arrays[0], n, format, True)
        self.args.gradients = self.memory.dense(arrays[1], n, format, False)
        for i, array in enumerate(arrays[2:]):
            self.args.states[i] = self.memory.dense(array, n, format, True)
        if type(None) in map(type, arrays):
            raise InternalError("an array of an optimiser is None")


def update(str optimizer, Kernels kernels, parts, steps, dict settings):
    """One step of an optimiser over all its parts, and the count of its steps.

    ``parts`` is a list of ((values, gradients, states...), decay), ``steps`` an int64 array of
    one element that counts. Nothing is changed before everything is borrowed and checked, and
    no Python code runs from the first change to the count: a step that Ctrl-C meets has been
    made wholly or not at all, and the count says which.
    """
    cdef double values[MOST_SETTINGS]
    cdef Borrowed memory = Borrowed()
    cdef int64_t *count = <int64_t *>memory.dense(steps, 1, b"l", True)
    cdef int status = 0
    cdef Part part
    least, most, names = OPTIMIZERS[optimizer]
    if tuple(settings) != names or len(names) > MOST_SETTINGS:
        raise InternalError(f"{optimizer} has the settings {names}, got {tuple(settings)}")
    for i, name in enumerate(names):
        values[i] = settings[name]
    borrowed = []
    for arrays, decay in parts:
        if not least <= len(arrays) - 2 <= most:
            raise InternalError(f"{optimizer} has {least} to {most} states, got {arrays}")
        part = Part(arrays, decay)
        part.args.optimizer = list(OPTIMIZERS).index(optimizer)
        part.args.kernels = kernels.kernels
        part.args.settings = values
        part.args.step = count[0] + 1
        borrowed.append(part)
    for part in borrowed:
        with nogil:
            status = pygru_update(&part.args) or status
    count[0] += 1
    check(status)


def cross_entropy(Kernels kernels, logits, target, share, weights, double smoothing,
                  gradient, int64_t classes):
    """Fill ``gradient`` and return the loss; see pygru_cross_entropy_args in pygru.h.

    All arrays are flat; ``target`` is int64, and ``weights`` may be None.
    """
    cdef Borrowed borrowed = Borrowed()
    cdef int64_t rows = len(share)
    cdef int32_t precision = precision_of(logits)
    cdef const char *format = format_of(precision)
    cdef pygru_cross_entropy_args args
    cdef double loss = 0
    cdef int status
    args.precision = precision
    args.kernels = kernels.kernels
    args.rows, args.classes, args.smoothing = rows, classes, smoothing
    args.logits = borrowed.dense(logits, rows * classes, format, False)
    args.target = <const int64_t *>borrowed.dense(target, rows, b"l", False)
    args.share = borrowed.dense(share, rows, format, False)
    args.weights = borrowed.dense(weights, classes, format, False)
    args.gradient = borrowed.dense(gradient, rows * classes, format, True)
    args.loss = &loss
    with nogil:
        status = pygru_cross_entropy(&args)
    check(status)
    return loss


def sum_of_squares(Kernels kernels, values):
    """The sum of the squares of a flat array, in float64."""
    cdef Borrowed borrowed = Borrowed()
    cdef int64_t n = len(values)
    cdef int32_t precision = precision_of(values)
    cdef const void *x = borrowed.dense(values, n, format_of(precision), False)
    cdef double total = 0
    cdef int status
    with nogil:
        status = pygru_sum_of_squares(precision, kernels.kernels, n, x, &total)
    check(status)
    return total


# ---- affine maps -----------------------------------------------------------------------

def affine_workspace(str precision, int64_t inputs, int64_t outputs, int n_threads):
    """Bytes of workspace of :func:`affine` and of :func:`affine_backward`."""
    cdef int64_t forward_size, backward_size
    check(pygru_affine_workspace(precision_named(precision), inputs, outputs, n_threads,
                                 &forward_size, &backward_size))
    return forward_size, backward_size


cdef class AffineCall:
    """What both directions of an affine map are given, borrowed and checked."""

    cdef Borrowed borrowed
    cdef Interrupt interrupt
    cdef pygru_affine_args args
    cdef const char *format

    def __init__(self, Kernels kernels, int n_threads, bint on_main_thread, x, weight,
                 workspace):
        cdef Py_buffer *view
        self.borrowed = Borrowed()
        self.interrupt = Interrupt(n_threads, on_main_thread)
        self.args.precision = precision_of(weight)
        self.format = format_of(self.args.precision)
        self.args.kernels = kernels.kernels
        self.args.rows, self.args.inputs = x.shape
        self.args.outputs = weight.shape[0]
        self.args.x = self.matrix(x, self.args.rows, self.args.inputs, False)
        self.args.weight = self.matrix(weight, self.args.outputs, self.args.inputs, False)
        view = self.borrowed.add(workspace, 1, b"B", True)
        self.args.workspace = view.buf
        self.args.workspace_bytes = view.len
        self.args.team = &self.interrupt.team

    cdef void *matrix(self, array, int64_t rows, int64_t columns, bint writable) except? NULL:
        return self.borrowed.matrix(array, rows, columns, self.format, writable)

    cdef void *outputs(self, array, bint writable) except? NULL:
        return self.borrowed.dense(array, self.args.outputs, self.format, writable)


def affine(Kernels kernels, int n_threads, bint on_main_thread, *, x, weight, bias, y,
           workspace):
    """Fill y (rows, outputs) with x W^T + b; see pygru_affine_args in pygru.h."""
    cdef AffineCall call = AffineCall(kernels, n_threads, on_main_thread, x, weight, workspace)
    cdef int status
    call.args.bias = call.outputs(bias, False)
    call.args.y = call.matrix(y, call.args.rows, call.args.outputs, True)
    with nogil:
        status = pygru_affine(&call.args)
    call.interrupt.check(status)


def affine_backward(Kernels kernels, int n_threads, bint on_main_thread, *, x, weight, d_y,
                    d_x, d_weight, d_bias, workspace):
    """Fill d_x (or not, if it is None) and add to d_weight and d_bias, which may be None."""
    cdef AffineCall call = AffineCall(kernels, n_threads, on_main_thread, x, weight, workspace)
    cdef int status
    call.args.d_y = call.matrix(d_y, call.args.rows, call.args.outputs, False)
    call.args.d_x = call.matrix(d_x, call.args.rows, call.args.inputs, True)
    call.args.d_weight = call.matrix(d_weight, call.args.outputs, call.args.inputs, True)
    call.args.d_bias = call.outputs(d_bias, True)
    with nogil:
        status = pygru_affine_backward(&call.args)
    call.interrupt.check(status)


def activate(str name, values, out, Kernels kernels):
    """Apply "sigmoid" or "tanh" to a flat float array; for the tests of their accuracy."""
    cdef Borrowed borrowed = Borrowed()
    cdef int32_t precision = precision_of(values)
    cdef const char *format = format_of(precision)
    cdef int64_t n = len(values)
    cdef const void *source = borrowed.dense(values, n, format, False)
    cdef void *target = borrowed.dense(out, n, format, True)
    if name == "sigmoid":
        check(pygru_sigmoid(precision, kernels.kernels, n, source, target))
    else:
        check(pygru_tanh(precision, kernels.kernels, n, source, target))


def fingerprint(array):
    """A 64-bit fingerprint of the contents of a flat float array."""
    cdef Borrowed borrowed = Borrowed()
    cdef bytes format = memoryview(array).format.encode()
    cdef Py_buffer *view = borrowed.add(array, 1, format, False)
    return fingerprint_of(view.buf, view.len)


def compiler():
    """Name and version of the compiler that built the core."""
    return pygru_compiler().decode()


def openmp_version():
    """The OpenMP date of the build, 0 without OpenMP."""
    return pygru_openmp_version()


def available_threads():
    """How many threads OpenMP would use now."""
    return pygru_available_threads()
