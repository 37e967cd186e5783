/* intrinsics.h - <immintrin.h>, complete with clang-cl too, which leaves out the intrinsics of all
 * instruction sets that are not on its command line. */
#ifndef PYGRU_INTRINSICS_H
#define PYGRU_INTRINSICS_H

#include <immintrin.h>

#if defined(__clang__) && defined(_MSC_VER)
/* clang-format off: each needs types of those before it */
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <fmaintrin.h>
#include <avx512fintrin.h>
#include <avx512bwintrin.h>
#include <avx512dqintrin.h>
#include <avx512vnniintrin.h>
/* clang-format on */
#endif

#endif
