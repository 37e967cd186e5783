/* quantized.h - the layout of packed weights of 8 bits, for the core, which counts them, and the
 * kernels, which read them.
 *
 * The K weights of a column are filled up with zeros to whole groups. After them come the scale of
 * the column, a float, and the sum of its weights, an int32_t. Packed weights are counted in
 * bytes, so these are eight more. */
#ifndef PYGRU_QUANTIZED_H
#define PYGRU_QUANTIZED_H

#include "vectors.h"

enum {
    PYGRU_WEIGHT_GROUP = 4,
    PYGRU_AFTER_COLUMN = 8,
    PYGRU_MOST_WEIGHT = 127,   /* weights, inputs and states are integers in [-127, 127] */
    PYGRU_MOST_TERMS = 1 << 17 /* of a product, so that its sum is an int32_t */
};
_Static_assert(INT64_C(1) * PYGRU_MOST_TERMS * PYGRU_MOST_WEIGHT * PYGRU_MOST_WEIGHT <=
                   INT32_MAX,
               "no sum of integers overflows");

/* K in whole groups; K is at most PYGRU_MOST_TERMS. */
static inline int64_t pygru_whole_groups(int64_t K) {
    return (K + PYGRU_WEIGHT_GROUP - 1) / PYGRU_WEIGHT_GROUP * PYGRU_WEIGHT_GROUP;
}

static inline int64_t pygru_quantized_depth(int64_t K) {
    return pygru_whole_groups(K) + PYGRU_AFTER_COLUMN;
}

/* The floats that a row of K inputs or states takes in the memory of rounded rows: its scale, at
 * the beginning of a vector, and K integers of up to four bytes. */
static inline int64_t pygru_rounded_row(int64_t K) {
    return (K + 2 * PYGRU_MOST_LANES - 1) / PYGRU_MOST_LANES * PYGRU_MOST_LANES;
}

#endif
