/* kernels.h - the sets of kernels, one per instruction set: products with packed weights, the
 * elementwise part of a step, the optimisers and the loss.
 *
 * A set has a table for each precision; table.tpl.h says what is in it. The layout of a row of
 * gates is that of gate_order.h; the equations stand in gates.tpl.c, the layout of packed
 * weights in product.tpl.c. */
#ifdef REAL_BITS
#error "include kernels.h before a precision is chosen"
#endif
#ifndef PYGRU_KERNELS_H
#define PYGRU_KERNELS_H

#include <float.h>
#include <string.h>

#include "../gate_order.h"
#include "../pygru.h"
#include "../quantized.h"
#include "../vectors.h"

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 10
#error "pygru needs gcc 10 or later: older ones lack vectors that the kernels use"
#endif
#if defined(__clang__) && !defined(__apple_build_version__) && __clang_major__ < 11
#error "pygru needs clang 11 or later: older ones lack vectors that the kernels use"
#endif

/* The tiles and their packed weights are written with the vector types of gcc and clang. */
#if defined(__GNUC__) || defined(__clang__) /* clang-cl defines only the latter */
#define PYGRU_PACKED_PRODUCTS 1
#else
#define PYGRU_PACKED_PRODUCTS 0
#endif

/* A sum over rows takes so many rows at a time, and so many columns of each of its right sides.
 * So the packed right sides stay in the second-level cache. Of the left side it takes a group of
 * columns at a time, which tiles of 4, 6 and 8 divide. */
enum {
    PYGRU_SUM_ROWS = 256,
    PYGRU_SUM_COLUMNS = 192,
    PYGRU_SUM_GROUP = 24,
    PYGRU_SUM_TILES = PYGRU_SUM_ROWS * PYGRU_SUM_GROUP + 24 * PYGRU_MOST_LANES,
    PYGRU_SUM_PACKED = PYGRU_SUM_ROWS * PYGRU_SUM_COLUMNS,
    PYGRU_SUM_SCRATCH = PYGRU_SUM_TILES + 2 * PYGRU_SUM_PACKED /* both right sides */
};
_Static_assert(PYGRU_SUM_COLUMNS % PYGRU_MOST_LANES == 0, "whole vectors");

struct pygru_kernels {
    const void *tables[PYGRU_PRECISIONS_END_]; /* of the core that computes */
};

/* `kernels`, or if that is NULL the best that this CPU has. */
const pygru_kernels *pygru_chosen_kernels(const pygru_kernels *kernels);

#define REAL_BITS 32
#include "../template.h"
#include "table.tpl.h"
#undef REAL_BITS
#define REAL_BITS 64
#include "../template.h"
#include "table.tpl.h"
#undef REAL_BITS
#undef REAL
#undef NAME

/* Which sets this build has. A target can be set within a file by gcc and clang only. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define PYGRU_X86_KERNELS 1
#else
#define PYGRU_X86_KERNELS 0
#endif

extern const pygru_kernels pygru_kernels_baseline;
#if PYGRU_X86_KERNELS
extern const pygru_kernels pygru_kernels_avx2;
extern const pygru_kernels pygru_kernels_avx512;
extern const pygru_kernels pygru_kernels_avx512vnni; /* the same with VNNI for 8-bit weights */
#endif

#endif
