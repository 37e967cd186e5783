/* plain_vectors.h - the operations that the kernel templates need, on vectors of any size. The
 * compiler splits them into vectors of the machine that it compiles for. There is no fused
 * multiply-add. The including file defines VECTOR_BYTES, MOST_SUMS and KERNELS. */
#include "kernels/kernels.h"
#include "template_macros.h"

#define FUSED 0

typedef float vector_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef double vector_f64 __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE vector_f32 broadcast_f32(const float *x) {
    return *x - (vector_f32){0}; /* which keeps the sign of -0 */
}

ALWAYS_INLINE vector_f64 broadcast_f64(const double *x) {
    return *x - (vector_f64){0}; /* which keeps the sign of -0 */
}

ALWAYS_INLINE vector_f32 multiply_add_f32(vector_f32 a, vector_f32 b, vector_f32 c) {
    return a * b + c;
}

ALWAYS_INLINE vector_f64 multiply_add_f64(vector_f64 a, vector_f64 b, vector_f64 c) {
    return a * b + c;
}

#include "kernels/plain_integers.h"

#include "kernels/both_precisions.h"
