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

#if !PYGRU_PACKED_PRODUCTS
#elif defined(__aarch64__)
/* Four products a lane. */
#define TERMS 4
#define ELEMENT int8_t
#define ELEMENT_OFFSET 0
typedef int8x16_t weights_i8;
typedef int32_t lanes_i8 __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE weights_i8 load_weights_i8(const int8_t *w) { return vld1q_s8(w); }

ALWAYS_INLINE weights_i8 broadcast_i8(const float *a) {
    int32_t elements; /* which are no float */
    memcpy(&elements, a, sizeof elements);
    return vreinterpretq_s8_s32(vdupq_n_s32(elements));
}

ALWAYS_INLINE lanes_i8 dot_i8(lanes_i8 sum, weights_i8 a, weights_i8 w) {
#if defined(__ARM_FEATURE_DOTPROD) /* every Apple CPU, and what -march says */
    return (lanes_i8)vdotq_s32((int32x4_t)sum, a, w);
#else
    /* Two products of each half fit into 16 bits: 2 * 127 * 127 is less than 2^15. */
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(w));
    const int16x8_t high = vmull_high_s8(a, w);
    return (lanes_i8)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
#endif
}
#elif defined(__SSE2__)
/* Two products of 16-bit integers a lane. */
#include <emmintrin.h>
#define TERMS 2
#define ELEMENT int16_t
#define ELEMENT_OFFSET 0
typedef __m128i weights_i8;
typedef int32_t lanes_i8 __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE weights_i8 load_weights_i8(const int8_t *w) {
    const __m128i v = _mm_loadl_epi64((const __m128i *)w);
    return _mm_srai_epi16(_mm_unpacklo_epi8(v, v), 8);
}

ALWAYS_INLINE weights_i8 broadcast_i8(const float *a) {
    int32_t elements; /* which are no float */
    memcpy(&elements, a, sizeof elements);
    return _mm_set1_epi32(elements);
}

ALWAYS_INLINE lanes_i8 dot_i8(lanes_i8 sum, weights_i8 a, weights_i8 w) {
    return (lanes_i8)_mm_add_epi32((__m128i)sum, _mm_madd_epi16(a, w));
}
#else
#include "plain_integers.h"
#endif

#define KERNELS pygru_kernels_baseline
#include "both_precisions.h"
