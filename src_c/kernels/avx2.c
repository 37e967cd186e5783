/* avx2.c - the kernels for x86-64 with AVX2. */
#include "kernels.h"

#if PYGRU_X86_KERNELS
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define KERNELS pygru_kernels_avx2
#include "both_precisions.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int pygru_no_avx2; /* C wants at least one declaration in a file */
#endif
