# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled module that contains the C core; the other ones use it through this one.

Here is what belongs to the core as a whole: errors, precisions, kernels, BLAS functions, facts
about the build. ``_arrays``, ``_buffers``, ``_plans``, ``_weights``, ``_quantized``,
``_calls``, ``_sequences``, ``_affine``, ``_stepper`` and ``_training`` have the rest. None of
them contains an algorithm: they borrow NumPy's memory, call the core, and turn its codes into
exceptions.
"""

cimport cython
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int32_t, int64_t
from libc.string cimport strcmp

from pygru.core cimport cpygru
from pygru.core.cpygru cimport pygru_activation, pygru_traits

from pygru.errors import InternalError

ENGINE_BLAS = cpygru.PYGRU_ENGINE_BLAS
ENGINE_SIMD = cpygru.PYGRU_ENGINE_SIMD
POOL = cpygru.PYGRU_POOL
OPENMP = cpygru.PYGRU_OPENMP
KEEP_NOTHING = cpygru.PYGRU_KEEP_NOTHING
KEEP_OUTPUTS = cpygru.PYGRU_KEEP_OUTPUTS
KEEP_GATES = cpygru.PYGRU_KEEP_GATES


# ---- errors ----------------------------------------------------------------------------

cdef dict EXCEPTIONS = {
    "ValueError": ValueError,
    "InternalError": InternalError,
    "KeyboardInterrupt": KeyboardInterrupt,
}


def status_table():
    """List (code, exception name, text) of every status of the core."""
    return [
        (
            code,
            cpygru.pygru_status_exception(code).decode(),
            cpygru.pygru_status_text(code).decode(),
        )
        for code in range(cpygru.PYGRU_STATUS_END_)
    ]


cdef int check(int status) except -1:
    """Raise the exception that ``status.def`` names."""
    if status == 0:
        return 0
    exception = EXCEPTIONS[cpygru.pygru_status_exception(status).decode()]
    raise exception(cpygru.pygru_status_text(status).decode())


# ---- precisions ------------------------------------------------------------------------

def precisions():
    """Name -> (buffer format, bytes of a value, bytes of a packed weight) of each precision."""
    found = {}
    cdef int32_t code = 0
    cdef const pygru_traits *traits = cpygru.pygru_traits_of(code)
    while traits != NULL:
        found[traits.name.decode()] = (
            traits.format.decode(), traits.value_bytes, traits.weight_bytes
        )
        code += 1
        traits = cpygru.pygru_traits_of(code)
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
    cdef const pygru_traits *traits = cpygru.pygru_traits_of(code)
    while traits != NULL:
        if strcmp(traits.format, format) == 0:
            return code
        code += 1
        traits = cpygru.pygru_traits_of(code)
    raise InternalError(f"there is no precision of format {format}")


cdef const pygru_traits *traits_of(int32_t precision) noexcept nogil:
    """The memory layout of a known precision."""
    return cpygru.pygru_traits_of(precision)


# ---- activations -----------------------------------------------------------------------

def activations():
    """The names of the activations of a cell."""
    return tuple(
        cpygru.pygru_activation_name(code).decode()
        for code in range(cpygru.PYGRU_ACTIVATION_USUAL + 1, cpygru.PYGRU_ACTIVATIONS_END_)
    )


cdef int set_activation(pygru_activation *to, object given) except -1:
    """Fill ``to`` from a name, or from a name and its parameters alpha and beta."""
    name, alpha, beta = (given, 0, 0) if isinstance(given, str) else given
    to.function = cpygru.PYGRU_ACTIVATION_USUAL + 1 + activations().index(name)
    to.alpha = alpha
    to.beta = beta
    return 0


# ---- BLAS ------------------------------------------------------------------------------

def capsule_name(capsule):
    """The name of a capsule: for Cython's exports, the C signature of the function."""
    return PyCapsule_GetName(capsule).decode()


ctypedef void (*blas_function)() noexcept


cdef blas_function function_in(object capsule):
    return <blas_function>PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


@cython.final
cdef class Blas:
    """The table of BLAS functions for the core.

    ``capsules`` maps sgemm, dgemm, sgemv and dgemv to capsules of Fortran-style functions
    whose integers have ``int_bytes`` bytes; no dimension above ``max_int`` is passed to them.
    """

    def __cinit__(self, capsules, int int_bytes, int64_t max_int):
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
        cpygru.pygru_kernels_name(index).decode(): cpygru.pygru_kernels_at(index) != NULL
        for index in range(cpygru.pygru_kernels_count())
    }


def kernel_obstacles():
    """Name -> why it cannot run here, or None, in the same order."""
    cdef const char *text
    found = {}
    for index in range(cpygru.pygru_kernels_count()):
        text = cpygru.pygru_kernels_obstacle(index)
        found[cpygru.pygru_kernels_name(index).decode()] = (
            None if text == NULL else text.decode()
        )
    return found


def has_simd_engine():
    """Whether this build has the SIMD engine."""
    return cpygru.pygru_has_simd_engine() != 0


@cython.final
cdef class Kernels:
    """The kernels of one instruction set, the engine that calls them, and on whose threads."""

    def __cinit__(self, str name, int engine, int threading=cpygru.PYGRU_POOL):
        index = list(kernel_names()).index(name)
        self.kernels = cpygru.pygru_kernels_at(index)
        self.name = name
        self.engine = engine
        self.threading = threading
        if self.kernels == NULL:
            raise InternalError(f"this CPU cannot run the kernels {name!r}")


# ---- the build -------------------------------------------------------------------------

# The table of api.h for other extension modules; docs/embedding.md says how they use it.
_C_API = PyCapsule_New(
    <void *>&cpygru.pygru_api_table, cpygru.PYGRU_API_CAPSULE, NULL
)


def version():
    """The version of the core."""
    return cpygru.pygru_version().decode()


def compiler():
    """Name and version of the compiler that built the core."""
    return cpygru.pygru_compiler().decode()


def openmp_version():
    """The OpenMP date of the build, 0 without OpenMP."""
    return cpygru.pygru_openmp_version()


def has_pool():
    """Whether the build has a pool of threads."""
    return cpygru.pygru_has_pool() != 0


def available_threads():
    """How many threads OpenMP would use now, or how many processors there are."""
    return cpygru.pygru_available_threads()


# ---- the calls of the core, for the other modules --------------------------------------

cdef Core CORE
CORE.cell_of = cpygru.pygru_cell_of
CORE.plan_size = cpygru.pygru_plan_size
CORE.plan_init = cpygru.pygru_plan_init
CORE.plan_sizes = cpygru.pygru_plan_sizes
CORE.plan_rows = cpygru.pygru_plan_rows
CORE.tape_view_of = cpygru.pygru_tape_view_of
CORE.step_workspace = cpygru.pygru_step_workspace
CORE.packed_size = cpygru.pygru_packed_size
CORE.pack = cpygru.pygru_pack
CORE.pack_integers = cpygru.pygru_pack_integers
CORE.fingerprint = cpygru.pygru_fingerprint
CORE.forward = cpygru.pygru_forward
CORE.backward = cpygru.pygru_backward
CORE.step = cpygru.pygru_step
CORE.affine_sizes_of = cpygru.pygru_affine_sizes_of
CORE.affine_pack = cpygru.pygru_affine_pack
CORE.affine = cpygru.pygru_affine
CORE.affine_backward = cpygru.pygru_affine_backward
CORE.optimizer_of = cpygru.pygru_optimizer_of
CORE.update = cpygru.pygru_update
CORE.cross_entropy = cpygru.pygru_cross_entropy
CORE.sum_of_squares = cpygru.pygru_sum_of_squares
CORE.sigmoid = cpygru.pygru_sigmoid
CORE.tanh = cpygru.pygru_tanh


cdef const Core *core() noexcept nogil:
    """The table of calls."""
    return &CORE
