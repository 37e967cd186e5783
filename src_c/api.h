/* api.h - the calls of pygru.h as a table, for programs that do not contain the core.
 *
 * A C or Cython module gets the table from an installed pygru, without linking anything:
 *
 *     const pygru_api *api = PyCapsule_Import(PYGRU_API_CAPSULE, 0);
 *     if (!pygru_api_fits(api)) { ... }
 *
 * The table only grows, at its end, and the types of pygru.h do not change, as long as
 * PYGRU_ABI_VERSION is the same. A test compares both with a list that is kept. */
#ifndef PYGRU_API_H
#define PYGRU_API_H

#include "pygru.h"

#define PYGRU_API_CAPSULE "pygru.core._core._C_API"

typedef struct pygru_api {
    int32_t abi_version; /* PYGRU_ABI_VERSION of the pygru that is installed */
    int32_t bytes;       /* of its table, which may have more calls than this header */
    const char *(*version)(void);
    const char *(*status_text)(int status);
    const char *(*status_exception)(int status);
    const pygru_traits *(*traits_of)(int32_t precision);
    const char *(*activation_name)(int32_t function);
    pygru_status (*cell_of)(const pygru_config *config, int64_t layer, int32_t direction,
                            pygru_cell *cell);
    pygru_status (*plan_size)(const pygru_config *config, int32_t engine, int64_t T, int64_t B,
                              const int64_t *lengths, int64_t *bytes);
    pygru_status (*plan_init)(const pygru_config *config, int32_t engine, int64_t T, int64_t B,
                              const int64_t *lengths, int32_t keep, void *memory,
                              int64_t bytes);
    pygru_status (*plan_sizes)(const pygru_plan *plan, int32_t n_threads, pygru_sizes *sizes);
    pygru_status (*plan_rows)(const pygru_plan *plan, int64_t *step, int64_t *sequence);
    pygru_status (*tape_view_of)(const pygru_plan *plan, int64_t layer, int32_t direction,
                                 pygru_tape_view *view);
    pygru_status (*step_workspace)(const pygru_config *config, int64_t B, int64_t *bytes);
    pygru_status (*packed_size)(const pygru_config *config, int64_t *bytes);
    int32_t (*kernels_count)(void);
    const char *(*kernels_name)(int32_t index);
    const char *(*kernels_obstacle)(int32_t index);
    const pygru_kernels *(*kernels_at)(int32_t index);
    int32_t (*has_simd_engine)(void);
    pygru_status (*pack)(const pygru_config *config, const pygru_kernels *kernels,
                         const void *parameters, void *packed);
    pygru_status (*pack_integers)(const pygru_config *config, const pygru_kernels *kernels,
                                  const int8_t *integers, const float *scales,
                                  const float *vectors, void *packed);
    pygru_status (*forward)(const pygru_forward_args *args);
    pygru_status (*backward)(const pygru_backward_args *args);
    pygru_status (*step)(const pygru_step_args *args);
    pygru_status (*sigmoid)(int32_t precision, const pygru_kernels *kernels, int64_t n,
                            const void *in, void *out);
    pygru_status (*tanh)(int32_t precision, const pygru_kernels *kernels, int64_t n,
                         const void *in, void *out);
    const pygru_optimizer *(*optimizer_of)(int32_t optimizer);
    pygru_status (*update)(const pygru_update_args *args);
    pygru_status (*cross_entropy)(const pygru_cross_entropy_args *args);
    pygru_status (*sum_of_squares)(int32_t precision, const pygru_kernels *kernels, int64_t n,
                                   const void *x, double *sum);
    pygru_status (*affine_sizes_of)(int32_t precision, int64_t inputs, int64_t outputs,
                                    int32_t n_threads, pygru_affine_sizes *sizes);
    pygru_status (*affine_pack)(int32_t precision, const pygru_kernels *kernels, int64_t inputs,
                                int64_t outputs, const void *weight, const void *bias,
                                void *packed);
    pygru_status (*affine)(const pygru_affine_args *args);
    pygru_status (*affine_backward)(const pygru_affine_args *args);
    pygru_status (*fingerprint)(const void *data, int64_t bytes, uint64_t *fingerprint);
    const char *(*compiler)(void);
    int32_t (*openmp_version)(void);
    int32_t (*has_pool)(void);
    int32_t (*available_threads)(void);
} pygru_api;

/* Whether a table has all calls of this header, with the same types. */
static inline int pygru_api_fits(const pygru_api *api) {
    return api != NULL && api->abi_version == PYGRU_ABI_VERSION &&
           api->bytes >= (int32_t)sizeof(pygru_api);
}

/* The table of this core. */
extern const pygru_api pygru_api_table;

#endif
