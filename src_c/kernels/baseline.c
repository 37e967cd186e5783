/* baseline.c - the kernels for any CPU that this build can run on: vectors of 16 bytes, which
 * are SSE2 on x86-64, NEON on 64-bit ARM, and whatever the compiler makes of them elsewhere. */
#include "kernels.h"

#include "../template_macros.h"

#define VECTOR_BYTES 16

#if defined(__aarch64__)
#include <arm_neon.h>
#define MOST_SUMS 24
#define FUSED 1
#else
#define MOST_SUMS 12
#define FUSED 0
#endif

#if PYGRU_PACKED_PRODUCTS
typedef float vector4 __attribute__((vector_size(VECTOR_BYTES)));
typedef double vector2 __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE vector4 broadcast_f32(const float *x) {
    const vector4 v = {*x, *x, *x, *x};
    return v;
}

ALWAYS_INLINE vector2 broadcast_f64(const double *x) {
    const vector2 v = {*x, *x};
    return v;
}

#if defined(__aarch64__)
ALWAYS_INLINE vector4 multiply_add_f32(vector4 a, vector4 b, vector4 c) {
    return (vector4)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

ALWAYS_INLINE vector2 multiply_add_f64(vector2 a, vector2 b, vector2 c) {
    return (vector2)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
ALWAYS_INLINE vector4 multiply_add_f32(vector4 a, vector4 b, vector4 c) { return a * b + c; }

ALWAYS_INLINE vector2 multiply_add_f64(vector2 a, vector2 b, vector2 c) { return a * b + c; }
#endif
#endif

#define KERNELS pygru_kernels_baseline
#include "both_precisions.h"
