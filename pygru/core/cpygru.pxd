# The declarations of src_c/pygru.h that Python needs. Pointers to REAL are declared as void:
# the compiler checks the real types, and one piece of Cython serves both precisions.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef extern from "pygru.h" nogil:
    const char *pygru_status_text(int status)
    const char *pygru_status_exception(int status)
    enum: PYGRU_STATUS_END_

    enum: PYGRU_KEEP_NOTHING
    enum: PYGRU_KEEP_OUTPUTS
    enum: PYGRU_KEEP_GATES

    ctypedef struct pygru_config:
        int64_t input_size
        int64_t hidden_size
        int64_t num_layers
        int32_t num_directions
        int32_t has_bias
        int32_t reset
        int32_t update
        int32_t drops_states
        double norm_eps

    ctypedef struct pygru_cell:
        int64_t input_size
        int64_t weight_ih
        int64_t weight_hh
        int64_t bias_ih
        int64_t bias_hh
        int64_t gain_ih
        int64_t gain_hh
        int64_t end

    int pygru_cell_of(const pygru_config *, int64_t layer, int32_t direction, pygru_cell *)

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

    int pygru_plan_size(const pygru_config *, int32_t engine, int64_t T, int64_t B,
                        const int64_t *lengths, int64_t *size)
    int pygru_plan_init(const pygru_config *, int32_t engine, int64_t T, int64_t B,
                        const int64_t *lengths, int32_t element_size, int32_t keep,
                        void *memory)
    int pygru_plan_sizes(const pygru_plan *, int32_t n_threads, pygru_sizes *)
    void pygru_plan_rows(const pygru_plan *, int64_t *step, int64_t *sequence)

    ctypedef struct pygru_tape_view:
        int64_t h_prev
        int64_t gates
        int64_t h_last
        int64_t norm

    void pygru_tape_view_of(const pygru_plan *, int64_t layer, int32_t direction,
                            pygru_tape_view *)
    int pygru_step_workspace(const pygru_config *, int64_t B, int64_t *elements)
    int pygru_packed_size(const pygru_config *, int64_t *elements)

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
    const pygru_kernels *pygru_kernels_at(int32_t index)
    int32_t pygru_has_simd_engine()

    ctypedef struct pygru_team:
        int32_t n_threads
        int (*poll)(void *) noexcept
        void *poll_context

    ctypedef struct pygru_input_f32:
        const void *data
        ptrdiff_t step
        ptrdiff_t sequence

    ctypedef struct pygru_output_f32:
        void *data
        ptrdiff_t step
        ptrdiff_t sequence

    ctypedef struct pygru_input_f64:
        const void *data
        ptrdiff_t step
        ptrdiff_t sequence

    ctypedef struct pygru_output_f64:
        void *data
        ptrdiff_t step
        ptrdiff_t sequence

    ctypedef struct pygru_noise_f32:
        const uint8_t *dropout
        float dropout_scale
        const uint8_t *recurrent
        float recurrent_scale
        const uint8_t *zoneout
        float zoneout_rate

    ctypedef struct pygru_forward_args_f32:
        const pygru_plan *plan
        const void *parameters
        const void *packed
        pygru_input_f32 x
        const void *h0
        pygru_output_f32 y
        void *h_n
        void *tape
        pygru_noise_f32 noise
        void *workspace
        const pygru_blas *blas
        const pygru_kernels *kernels
        const pygru_team *team

    ctypedef struct pygru_noise_f64:
        const uint8_t *dropout
        double dropout_scale
        const uint8_t *recurrent
        double recurrent_scale
        const uint8_t *zoneout
        double zoneout_rate

    ctypedef struct pygru_forward_args_f64:
        const pygru_plan *plan
        const void *parameters
        const void *packed
        pygru_input_f64 x
        const void *h0
        pygru_output_f64 y
        void *h_n
        void *tape
        pygru_noise_f64 noise
        void *workspace
        const pygru_blas *blas
        const pygru_kernels *kernels
        const pygru_team *team

    int pygru_pack_f32(const pygru_config *, const pygru_kernels *, const void *parameters,
                       void *packed)
    int pygru_pack_f64(const pygru_config *, const pygru_kernels *, const void *parameters,
                       void *packed)

    int pygru_forward_f32(const pygru_forward_args_f32 *)
    int pygru_forward_f64(const pygru_forward_args_f64 *)

    ctypedef struct pygru_backward_args_f32:
        const pygru_plan *plan
        const void *parameters
        const void *packed
        const void *tape
        pygru_noise_f32 noise
        pygru_input_f32 d_y
        const void *d_h_n
        pygru_output_f32 d_x
        void *d_h0
        void *grads
        void *workspace
        const pygru_blas *blas
        const pygru_kernels *kernels
        const pygru_team *team

    ctypedef struct pygru_backward_args_f64:
        const pygru_plan *plan
        const void *parameters
        const void *packed
        const void *tape
        pygru_noise_f64 noise
        pygru_input_f64 d_y
        const void *d_h_n
        pygru_output_f64 d_x
        void *d_h0
        void *grads
        void *workspace
        const pygru_blas *blas
        const pygru_kernels *kernels
        const pygru_team *team

    int pygru_backward_f32(const pygru_backward_args_f32 *)
    int pygru_backward_f64(const pygru_backward_args_f64 *)

    ctypedef struct pygru_step_args_f32:
        const pygru_config *config
        const void *parameters
        const void *packed
        int64_t B
        const void *x
        const void *h
        void *h_next
        void *workspace
        float zoneout_rate
        const pygru_blas *blas
        const pygru_kernels *kernels

    ctypedef struct pygru_step_args_f64:
        const pygru_config *config
        const void *parameters
        const void *packed
        int64_t B
        const void *x
        const void *h
        void *h_next
        void *workspace
        double zoneout_rate
        const pygru_blas *blas
        const pygru_kernels *kernels

    int pygru_step_f32(const pygru_step_args_f32 *)
    int pygru_step_f64(const pygru_step_args_f64 *)

    void pygru_sigmoid_f32(const pygru_kernels *, int64_t n, const void *, void *)
    void pygru_sigmoid_f64(const pygru_kernels *, int64_t n, const void *, void *)
    void pygru_tanh_f32(const pygru_kernels *, int64_t n, const void *, void *)
    void pygru_tanh_f64(const pygru_kernels *, int64_t n, const void *, void *)

    ctypedef struct pygru_sgd_settings:
        double rate
        double momentum
        double decay
        int nesterov

    ctypedef struct pygru_adam_settings:
        double beta1
        double beta2
        double rate
        double root
        double eps
        double decay
        double kept

    ctypedef struct pygru_rmsprop_settings:
        double rate
        double alpha
        double eps
        double momentum
        double decay

    void pygru_sgd_f32(const pygru_kernels *, int64_t n, void *, const void *, void *,
                       const pygru_sgd_settings *)
    void pygru_sgd_f64(const pygru_kernels *, int64_t n, void *, const void *, void *,
                       const pygru_sgd_settings *)
    void pygru_adam_f32(const pygru_kernels *, int64_t n, void *, const void *, void *, void *,
                        const pygru_adam_settings *)
    void pygru_adam_f64(const pygru_kernels *, int64_t n, void *, const void *, void *, void *,
                        const pygru_adam_settings *)
    void pygru_rmsprop_f32(const pygru_kernels *, int64_t n, void *, const void *, void *,
                           void *, void *, const pygru_rmsprop_settings *)
    void pygru_rmsprop_f64(const pygru_kernels *, int64_t n, void *, const void *, void *,
                           void *, void *, const pygru_rmsprop_settings *)

    ctypedef struct pygru_cross_entropy_args_f32:
        int64_t rows
        int64_t classes
        const void *logits
        const int64_t *target
        const void *share
        const void *weights
        double smoothing
        void *gradient

    ctypedef struct pygru_cross_entropy_args_f64:
        int64_t rows
        int64_t classes
        const void *logits
        const int64_t *target
        const void *share
        const void *weights
        double smoothing
        void *gradient

    double pygru_cross_entropy_f32(const pygru_kernels *,
                                   const pygru_cross_entropy_args_f32 *)
    double pygru_cross_entropy_f64(const pygru_kernels *,
                                   const pygru_cross_entropy_args_f64 *)
    double pygru_sum_of_squares_f32(const pygru_kernels *, int64_t n, const void *)
    double pygru_sum_of_squares_f64(const pygru_kernels *, int64_t n, const void *)

    uint64_t pygru_fingerprint(const void *data, int64_t size)
    const char *pygru_compiler()
    int32_t pygru_openmp_version()
    int32_t pygru_available_threads()
