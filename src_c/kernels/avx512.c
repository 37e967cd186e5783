/* avx512.c - the kernels for x86-64 with AVX-512 (F, VL, DQ, BW). */
#include "kernels.h"

#if PYGRU_X86_KERNELS
#include "../template_macros.h"
#include "intrinsics.h"

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

/* Without VNNI: two products of 16-bit integers a lane. */
#define TERMS 2
#define ELEMENT int16_t
#define ELEMENT_OFFSET 0
typedef __m512i weights_i8;
typedef int32_t lanes_i8 __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE weights_i8 load_weights_i8(const int8_t *w) {
    return _mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)w));
}

ALWAYS_INLINE weights_i8 broadcast_i8(const float *a) {
    int32_t elements; /* which are no float */
    memcpy(&elements, a, sizeof elements);
    return _mm512_set1_epi32(elements);
}

ALWAYS_INLINE lanes_i8 dot_i8(lanes_i8 sum, weights_i8 a, weights_i8 w) {
    return (lanes_i8)_mm512_add_epi32((__m512i)sum, _mm512_madd_epi16(a, w));
}

#define KERNELS pygru_kernels_avx512
#include "both_precisions.h"

/* With VNNI: four products a lane, of bytes without and with a sign. */
#if defined(__clang__) /* of nested targets it takes the outer one */
#pragma clang attribute pop
#pragma clang attribute push(                                                                  \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,avx512vnni"))),              \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512vnni")
#endif

#define TERMS 4
#define ELEMENT uint8_t
#define ELEMENT_OFFSET 128
typedef __m512i weights_vnni;

ALWAYS_INLINE weights_vnni load_weights_vnni(const int8_t *w) { return _mm512_load_si512(w); }

ALWAYS_INLINE weights_vnni broadcast_vnni(const float *a) { return broadcast_i8(a); }

ALWAYS_INLINE lanes_i8 dot_vnni(lanes_i8 sum, weights_vnni a, weights_vnni w) {
    return (lanes_i8)_mm512_dpbusd_epi32((__m512i)sum, a, w);
}

#define REAL_BITS 32
#include "../template.h"
#define INTEGER(name) name##_vnni
#include "quantized.tpl.c"
#undef REAL_BITS

_Static_assert(PYGRU_PRECISIONS_END_ == 3, "a table for each precision");
const pygru_kernels pygru_kernels_avx512vnni = {
    {[PYGRU_FLOAT32] = &table_f32, [PYGRU_FLOAT64] = &table_f64, [PYGRU_INT8] = &table_vnni}};

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int pygru_no_avx512; /* C wants at least one declaration in a file */
#endif
