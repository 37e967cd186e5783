/* avx2.c - the kernels for x86-64 with AVX2 and FMA. */
#include "kernels.h"

#if PYGRU_X86_KERNELS
#include "../template_macros.h"
#include "intrinsics.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define VECTOR_BYTES 32
#define MOST_SUMS 12
#define FUSED 1

ALWAYS_INLINE __m256 broadcast_f32(const float *x) { return _mm256_broadcast_ss(x); }

ALWAYS_INLINE __m256d broadcast_f64(const double *x) { return _mm256_broadcast_sd(x); }

ALWAYS_INLINE __m256 multiply_add_f32(__m256 a, __m256 b, __m256 c) {
    return _mm256_fmadd_ps(a, b, c);
}

ALWAYS_INLINE __m256d multiply_add_f64(__m256d a, __m256d b, __m256d c) {
    return _mm256_fmadd_pd(a, b, c);
}

/* Two products of 16-bit integers a lane. */
#define TERMS 2
#define ELEMENT int16_t
#define ELEMENT_OFFSET 0
typedef __m256i weights_i8;
typedef int32_t lanes_i8 __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE weights_i8 load_weights_i8(const int8_t *w) {
    return _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)w));
}

ALWAYS_INLINE weights_i8 broadcast_i8(const float *a) {
    int32_t elements; /* which are no float */
    memcpy(&elements, a, sizeof elements);
    return _mm256_set1_epi32(elements);
}

ALWAYS_INLINE lanes_i8 dot_i8(lanes_i8 sum, weights_i8 a, weights_i8 w) {
    return (lanes_i8)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16(a, w));
}

#define KERNELS pygru_kernels_avx2
#include "both_precisions.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int pygru_no_avx2; /* C wants at least one declaration in a file */
#endif
