/* affine.h - the layout of the scratch memory of an affine map.
 *
 * An affine map y = x W^T + b is cut into tiles of rows and columns, by shape only. */
#ifndef PYGRU_AFFINE_H
#define PYGRU_AFFINE_H

#include "pygru.h"

/* Rows and columns of a tile of a product, columns in whole vectors of any instruction set. */
enum { PYGRU_AFFINE_ROWS = 128, PYGRU_AFFINE_COLUMNS = 256 };

/* Byte offsets from a multiple of PYGRU_ALIGNMENT. */
typedef struct pygru_affine_layout {
    int64_t packed;     /* the weights as the product reads them */
    int64_t from;       /* the start value of every row of the product, in whole vectors */
    int64_t d_weight;   /* backward: (outputs, inputs), and */
    int64_t d_bias;     /* (outputs), until both gradients are complete */
    int64_t threads;    /* the scratch of the first thread */
    int64_t per_thread; /* distance of the next one */
    int64_t total;      /* negative if that is too many */
} pygru_affine_layout;

/* For a valid precision and sizes that are not negative. */
pygru_affine_layout pygru_affine_layout_of(int32_t precision, int64_t inputs, int64_t outputs,
                                           int32_t n_threads, int is_backward);

static inline int64_t pygru_tiles_of(int64_t n, int64_t tile) {
    return n / tile + (n % tile != 0);
}

#endif
