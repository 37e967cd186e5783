/* avx512.c - the kernels for x86-64 with AVX-512 (F, VL, DQ, BW). */
#include "kernels.h"

#if PYGRU_X86_KERNELS
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))),    \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")
#endif

#define KERNELS pygru_kernels_avx512
#include "both_precisions.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int pygru_no_avx512; /* C wants at least one declaration in a file */
#endif
