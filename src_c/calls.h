/* calls.h - the tables of the functions of each precision, which the public calls use.
 *
 * Each build of the core, core_f32.c and core_f64.c, ends with a table of its functions. They
 * check their arguments and convert every `void *` to the type of its values, so no other
 * function has to handle a `void *`. calls.c has the public calls, which only look for the
 * table. */
#ifndef PYGRU_CALLS_H
#define PYGRU_CALLS_H

#include "pygru.h"

typedef struct pygru_functions {
    pygru_status (*pack)(const pygru_config *, const pygru_kernels *, const void *, void *);
    pygru_status (*pack_integers)(const pygru_config *, const pygru_kernels *, const int8_t *,
                                  const float *, const float *, void *);
    pygru_status (*forward)(const pygru_forward_args *);
    pygru_status (*backward)(const pygru_backward_args *);
    pygru_status (*step)(const pygru_step_args *);
    pygru_status (*sigmoid)(int32_t, const pygru_kernels *, int64_t, const void *, void *);
    pygru_status (*tanh)(int32_t, const pygru_kernels *, int64_t, const void *, void *);
    pygru_status (*update)(const pygru_update_args *);
    pygru_status (*cross_entropy)(const pygru_cross_entropy_args *);
    pygru_status (*affine_pack)(int32_t, const pygru_kernels *, int64_t, int64_t, const void *,
                                const void *, void *);
    pygru_status (*affine)(const pygru_affine_args *);
    pygru_status (*affine_backward)(const pygru_affine_args *);
    pygru_status (*sum_of_squares)(int32_t, const pygru_kernels *, int64_t, const void *,
                                   double *);
} pygru_functions;

/* Whether a pointer from outside leads to something of 8-byte members or elements. */
static inline int pygru_points(const void *pointer) {
    return pointer != NULL && (uintptr_t)pointer % 8 == 0;
}

/* A row of the table of precisions. */
typedef struct pygru_calls {
    pygru_traits traits;
    const pygru_functions *functions;
} pygru_calls;

/* NULL for an unknown precision. */
const pygru_calls *pygru_calls_of(int32_t precision);

#endif
