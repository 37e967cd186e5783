/* avx512.c - the kernels for x86-64 with AVX-512 (F, VL, DQ, BW). */
#include "kernels.h"

#if PYGRU_X86_KERNELS
#include <immintrin.h>

#include "../template_macros.h"

#if defined(__clang__)
#pragma clang attribute push(                                                                  \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,fma,prefer-vector-width=512")
#endif

#define VECTOR_BYTES 64
#define MOST_SUMS 24
#define FUSED 1

ALWAYS_INLINE __m512 broadcast_f32(const float *x) { return _mm512_set1_ps(*x); }

ALWAYS_INLINE __m512d broadcast_f64(const double *x) { return _mm512_set1_pd(*x); }

ALWAYS_INLINE __m512 multiply_add_f32(__m512 a, __m512 b, __m512 c) {
    return _mm512_fmadd_ps(a, b, c);
}

ALWAYS_INLINE __m512d multiply_add_f64(__m512d a, __m512d b, __m512d c) {
    return _mm512_fmadd_pd(a, b, c);
}

#define KERNELS pygru_kernels_avx512
#include "both_precisions.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int pygru_no_avx512; /* C wants at least one declaration in a file */
#endif
