# The parts of _core that the other compiled modules use: errors, precisions, kernels, BLAS
# functions, and the calls of the C core itself, which only _core contains.
from libc.stdint cimport int8_t, int32_t, int64_t, uint64_t

from pygru.core.cpygru cimport (
    pygru_activation,
    pygru_affine_args,
    pygru_affine_sizes,
    pygru_backward_args,
    pygru_blas,
    pygru_cell,
    pygru_config,
    pygru_cross_entropy_args,
    pygru_forward_args,
    pygru_kernels,
    pygru_optimizer,
    pygru_plan,
    pygru_sizes,
    pygru_status,
    pygru_step_args,
    pygru_tape_view,
    pygru_traits,
    pygru_update_args,
)

# A call that reads or multiplies more than this, about 10 us, releases the GIL.
cdef enum:
    LONG_READ = 100_000  # bytes
    LONG_STEP = 400_000  # multiply-adds of one step

cdef int check(int status) except -1

cdef int32_t precision_named(str name) except -1
cdef int32_t precision_of(object array) except -1
cdef const pygru_traits *traits_of(int32_t precision) noexcept nogil

cdef int set_activation(pygru_activation *to, object given) except -1

cdef class Blas:
    cdef pygru_blas table
    cdef object capsules  # keeps the module of the functions alive
    cdef readonly int int_bytes

cdef class Kernels:
    cdef const pygru_kernels *kernels
    cdef readonly str name
    cdef readonly int engine
    cdef readonly int threading

# The calls of the C core.
cdef struct Core:
    pygru_status (*cell_of)(const pygru_config *, int64_t, int32_t, pygru_cell *) noexcept nogil
    pygru_status (*plan_size)(const pygru_config *, int32_t, int64_t, int64_t, const int64_t *,
                              int64_t *) noexcept nogil
    pygru_status (*plan_init)(const pygru_config *, int32_t, int64_t, int64_t, const int64_t *,
                              int32_t, void *, int64_t) noexcept nogil
    pygru_status (*plan_sizes)(const pygru_plan *, int32_t, pygru_sizes *) noexcept nogil
    pygru_status (*plan_rows)(const pygru_plan *, int64_t *, int64_t *) noexcept nogil
    pygru_status (*tape_view_of)(const pygru_plan *, int64_t, int32_t,
                                 pygru_tape_view *) noexcept nogil
    pygru_status (*step_workspace)(const pygru_config *, int64_t, int64_t *) noexcept nogil
    pygru_status (*packed_size)(const pygru_config *, int64_t *) noexcept nogil
    pygru_status (*pack)(const pygru_config *, const pygru_kernels *, const void *,
                         void *) noexcept nogil
    pygru_status (*pack_integers)(const pygru_config *, const pygru_kernels *, const int8_t *,
                                  const float *, const float *, void *) noexcept nogil
    pygru_status (*fingerprint)(const void *, int64_t, uint64_t *) noexcept nogil
    pygru_status (*forward)(const pygru_forward_args *) noexcept nogil
    pygru_status (*backward)(const pygru_backward_args *) noexcept nogil
    pygru_status (*step)(const pygru_step_args *) noexcept nogil
    pygru_status (*affine_sizes_of)(int32_t, int64_t, int64_t, int32_t,
                                    pygru_affine_sizes *) noexcept nogil
    pygru_status (*affine_pack)(int32_t, const pygru_kernels *, int64_t, int64_t, const void *,
                                const void *, void *) noexcept nogil
    pygru_status (*affine)(const pygru_affine_args *) noexcept nogil
    pygru_status (*affine_backward)(const pygru_affine_args *) noexcept nogil
    const pygru_optimizer *(*optimizer_of)(int32_t) noexcept nogil
    pygru_status (*update)(const pygru_update_args *) noexcept nogil
    pygru_status (*cross_entropy)(const pygru_cross_entropy_args *) noexcept nogil
    pygru_status (*sum_of_squares)(int32_t, const pygru_kernels *, int64_t, const void *,
                                   double *) noexcept nogil
    pygru_status (*sigmoid)(int32_t, const pygru_kernels *, int64_t, const void *,
                            void *) noexcept nogil
    pygru_status (*tanh)(int32_t, const pygru_kernels *, int64_t, const void *,
                         void *) noexcept nogil

# The one table of them; it never changes.
cdef const Core *core() noexcept nogil
