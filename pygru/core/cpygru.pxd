# The declarations of src_c/pygru.h that Python needs.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t

cdef extern from "pygru.h" nogil:
    # An enum in C. Function pointers must have its name: to gcc 14 and clang 16, `int` instead
    # is an error.
    ctypedef int pygru_status
    const char *pygru_status_text(int status)
    const char *pygru_status_exception(int status)
    enum: PYGRU_STATUS_END_

    enum: PYGRU_FLOAT32
    enum: PYGRU_FLOAT64

    ctypedef struct pygru_traits:
        const char *name
        const char *format
        int32_t value_bytes
        int32_t weight_bytes

    const pygru_traits *pygru_traits_of(int32_t precision)

    enum: PYGRU_KEEP_NOTHING
    enum: PYGRU_KEEP_OUTPUTS
    enum: PYGRU_KEEP_GATES

    enum: PYGRU_ACTIVATION_USUAL
    enum: PYGRU_ACTIVATIONS_END_
    const char *pygru_activation_name(int32_t function)

    ctypedef struct pygru_activation:
        int32_t function
        double alpha
        double beta

    ctypedef struct pygru_config:
        int64_t input_size
        int64_t hidden_size
        int64_t num_layers
        int32_t num_directions
        int32_t has_bias
        int32_t reset
        int32_t update
        int32_t drops_states
        int32_t precision
        double norm_eps
        double clip
        pygru_activation activation
        pygru_activation recurrent_activation
        int32_t reverse

    ctypedef struct pygru_cell:
        int64_t input_size
        int64_t weight_ih
        int64_t weight_hh
        int64_t bias_ih
        int64_t bias_hh
        int64_t gain_ih
        int64_t gain_hh
        int64_t end

    pygru_status pygru_cell_of(const pygru_config *, int64_t layer, int32_t direction,
                               pygru_cell *)

    ctypedef struct pygru_plan:
        pass

    ctypedef struct pygru_sizes:
        int64_t rows
        int64_t parameters
        int64_t tape
        int64_t dropout
        int64_t recurrent
        int64_t zoneout
        int64_t forward_workspace
        int64_t backward_workspace
        int64_t largest_product
        int64_t operations
        int64_t max_threads

    enum: PYGRU_ENGINE_BLAS
    enum: PYGRU_ENGINE_SIMD

    pygru_status pygru_plan_size(const pygru_config *, int32_t engine, int64_t T, int64_t B,
                                 const int64_t *lengths, int64_t *size)
    pygru_status pygru_plan_init(const pygru_config *, int32_t engine, int64_t T, int64_t B,
                                 const int64_t *lengths, int32_t keep, void *memory,
                                 int64_t size)
    pygru_status pygru_plan_sizes(const pygru_plan *, int32_t n_threads, pygru_sizes *)
    pygru_status pygru_plan_rows(const pygru_plan *, int64_t *step, int64_t *sequence)

    ctypedef struct pygru_tape_view:
        int64_t h_prev
        int64_t gates
        int64_t h_last
        int64_t norm

    pygru_status pygru_tape_view_of(const pygru_plan *, int64_t layer, int32_t direction,
                                    pygru_tape_view *)
    pygru_status pygru_step_workspace(const pygru_config *, int64_t B, int64_t *size)
    pygru_status pygru_packed_size(const pygru_config *, int64_t *size)

    ctypedef struct pygru_blas:
        void (*sgemm)() noexcept
        void (*dgemm)() noexcept
        void (*sgemv)() noexcept
        void (*dgemv)() noexcept
        int32_t int_bytes
        int64_t max_int

    ctypedef struct pygru_kernels:
        pass

    int32_t pygru_kernels_count()
    const char *pygru_kernels_name(int32_t index)
    const char *pygru_kernels_obstacle(int32_t index)
    const pygru_kernels *pygru_kernels_at(int32_t index)
    int32_t pygru_has_simd_engine()

    enum: PYGRU_POOL
    enum: PYGRU_OPENMP

    ctypedef struct pygru_team:
        int32_t n_threads
        int (*poll)(void *) noexcept
        void *poll_context
        int32_t threading
        int32_t adaptive

    ctypedef struct pygru_input:
        const void *data
        ptrdiff_t step
        ptrdiff_t sequence

    ctypedef struct pygru_output:
        void *data
        ptrdiff_t step
        ptrdiff_t sequence

    pygru_status pygru_pack(const pygru_config *, const pygru_kernels *, const void *parameters,
                            void *packed)

    pygru_status pygru_pack_integers(const pygru_config *, const pygru_kernels *,
                                     const int8_t *integers, const float *scales,
                                     const float *vectors, void *packed)

    ctypedef struct pygru_noise:
        const uint8_t *dropout
        double dropout_scale
        const uint8_t *recurrent
        double recurrent_scale
        const uint8_t *zoneout
        double zoneout_rate

    ctypedef struct pygru_forward_args:
        const pygru_plan *plan
        const void *parameters
        const void *packed
        pygru_input x
        const void *h0
        pygru_output y
        void *h_n
        void *tape
        pygru_noise noise
        void *workspace
        int64_t workspace_bytes
        const pygru_blas *blas
        const pygru_kernels *kernels
        const pygru_team *team

    pygru_status pygru_forward(const pygru_forward_args *)

    ctypedef struct pygru_backward_args:
        const pygru_plan *plan
        const void *parameters
        const void *packed
        const void *tape
        pygru_noise noise
        pygru_input d_y
        const void *d_h_n
        pygru_output d_x
        void *d_h0
        void *grads
        void *workspace
        int64_t workspace_bytes
        const pygru_blas *blas
        const pygru_kernels *kernels
        const pygru_team *team

    pygru_status pygru_backward(const pygru_backward_args *)

    ctypedef struct pygru_step_args:
        const pygru_config *config
        const void *parameters
        const void *packed
        int64_t B
        const void *x
        const void *h
        void *h_next
        void *workspace
        int64_t workspace_bytes
        double zoneout_rate
        const pygru_blas *blas
        const pygru_kernels *kernels

    pygru_status pygru_step(const pygru_step_args *)

    pygru_status pygru_sigmoid(int32_t precision, const pygru_kernels *, int64_t n,
                               const void *, void *)
    pygru_status pygru_tanh(int32_t precision, const pygru_kernels *, int64_t n, const void *,
                            void *)

    enum: PYGRU_MOST_STATES

    ctypedef struct pygru_optimizer:
        const char *name
        int32_t least_states
        int32_t most_states
        int32_t n_settings
        const char *settings

    const pygru_optimizer *pygru_optimizer_of(int32_t optimizer)

    ctypedef struct pygru_update_args:
        int32_t optimizer
        int32_t precision
        const pygru_kernels *kernels
        int64_t n
        void *parameters
        const void *gradients
        void **states
        const double *settings
        double decay
        int64_t step

    pygru_status pygru_update(const pygru_update_args *)

    ctypedef struct pygru_cross_entropy_args:
        int32_t precision
        const pygru_kernels *kernels
        int64_t rows
        int64_t classes
        const void *logits
        const int64_t *target
        const void *share
        const void *weights
        double smoothing
        void *gradient
        double *loss

    pygru_status pygru_cross_entropy(const pygru_cross_entropy_args *)
    pygru_status pygru_sum_of_squares(int32_t precision, const pygru_kernels *, int64_t n,
                                      const void *, double *sum)

    ctypedef struct pygru_affine_args:
        int32_t precision
        const pygru_kernels *kernels
        int64_t rows
        int64_t inputs
        int64_t outputs
        const void *x
        const void *weight
        const void *bias
        const void *packed
        void *y
        const void *d_y
        void *d_x
        void *d_weight
        void *d_bias
        void *workspace
        int64_t workspace_bytes
        const pygru_team *team

    ctypedef struct pygru_affine_sizes:
        int64_t packed
        int64_t forward_workspace
        int64_t packed_workspace
        int64_t backward_workspace

    pygru_status pygru_affine_sizes_of(int32_t precision, int64_t inputs, int64_t outputs,
                                       int32_t n_threads, pygru_affine_sizes *)
    pygru_status pygru_affine_pack(int32_t precision, const pygru_kernels *, int64_t inputs,
                                   int64_t outputs, const void *weight, const void *bias,
                                   void *packed)
    pygru_status pygru_affine(const pygru_affine_args *)
    pygru_status pygru_affine_backward(const pygru_affine_args *)

    pygru_status pygru_fingerprint(const void *data, int64_t size, uint64_t *fingerprint)
    const char *pygru_compiler()
    const char *pygru_version()
    int32_t pygru_openmp_version()
    int32_t pygru_has_pool()
    int32_t pygru_available_threads()

cdef extern from "api.h" nogil:
    const char *PYGRU_API_CAPSULE

    # The fields of the table are the calls above, without "pygru_".
    ctypedef struct pygru_api:
        int32_t abi_version
        int32_t bytes
        const char *(*version)() noexcept nogil
        const char *(*status_text)(int status) noexcept nogil
        const char *(*status_exception)(int status) noexcept nogil
        const pygru_traits *(*traits_of)(int32_t precision) noexcept nogil
        const char *(*activation_name)(int32_t function) noexcept nogil
        pygru_status (*cell_of)(const pygru_config *, int64_t layer, int32_t direction,
                                pygru_cell *) noexcept nogil
        pygru_status (*plan_size)(const pygru_config *, int32_t engine, int64_t T, int64_t B,
                                  const int64_t *lengths, int64_t *) noexcept nogil
        pygru_status (*plan_init)(const pygru_config *, int32_t engine, int64_t T, int64_t B,
                                  const int64_t *lengths, int32_t keep, void *memory,
                                  int64_t size) noexcept nogil
        pygru_status (*plan_sizes)(const pygru_plan *, int32_t n_threads,
                                   pygru_sizes *) noexcept nogil
        pygru_status (*plan_rows)(const pygru_plan *, int64_t *step,
                                  int64_t *sequence) noexcept nogil
        pygru_status (*tape_view_of)(const pygru_plan *, int64_t layer, int32_t direction,
                                     pygru_tape_view *) noexcept nogil
        pygru_status (*step_workspace)(const pygru_config *, int64_t B,
                                       int64_t *) noexcept nogil
        pygru_status (*packed_size)(const pygru_config *, int64_t *) noexcept nogil
        int32_t (*kernels_count)() noexcept nogil
        const char *(*kernels_name)(int32_t index) noexcept nogil
        const char *(*kernels_obstacle)(int32_t index) noexcept nogil
        const pygru_kernels *(*kernels_at)(int32_t index) noexcept nogil
        int32_t (*has_simd_engine)() noexcept nogil
        pygru_status (*pack)(const pygru_config *, const pygru_kernels *,
                             const void *parameters, void *packed) noexcept nogil
        pygru_status (*pack_integers)(const pygru_config *, const pygru_kernels *,
                                      const int8_t *integers, const float *scales,
                                      const float *vectors, void *packed) noexcept nogil
        pygru_status (*forward)(const pygru_forward_args *) noexcept nogil
        pygru_status (*backward)(const pygru_backward_args *) noexcept nogil
        pygru_status (*step)(const pygru_step_args *) noexcept nogil
        pygru_status (*sigmoid)(int32_t precision, const pygru_kernels *, int64_t n,
                                const void *, void *) noexcept nogil
        pygru_status (*tanh)(int32_t precision, const pygru_kernels *, int64_t n,
                             const void *, void *) noexcept nogil
        const pygru_optimizer *(*optimizer_of)(int32_t optimizer) noexcept nogil
        pygru_status (*update)(const pygru_update_args *) noexcept nogil
        pygru_status (*cross_entropy)(const pygru_cross_entropy_args *) noexcept nogil
        pygru_status (*sum_of_squares)(int32_t precision, const pygru_kernels *, int64_t n,
                                       const void *, double *sum) noexcept nogil
        pygru_status (*affine_sizes_of)(int32_t precision, int64_t inputs, int64_t outputs,
                                        int32_t n_threads, pygru_affine_sizes *) noexcept nogil
        pygru_status (*affine_pack)(int32_t precision, const pygru_kernels *, int64_t inputs,
                                    int64_t outputs, const void *weight, const void *bias,
                                    void *packed) noexcept nogil
        pygru_status (*affine)(const pygru_affine_args *) noexcept nogil
        pygru_status (*affine_backward)(const pygru_affine_args *) noexcept nogil
        pygru_status (*fingerprint)(const void *data, int64_t size,
                                    uint64_t *fingerprint) noexcept nogil
        const char *(*compiler)() noexcept nogil
        int32_t (*openmp_version)() noexcept nogil
        int32_t (*has_pool)() noexcept nogil
        int32_t (*available_threads)() noexcept nogil

    bint pygru_api_fits(const pygru_api *)
    const pygru_api pygru_api_table
