/* affine.h - the layout of the packed weights and of the scratch memory of an affine map.
 *
 * An affine map y = x W^T + b is cut into tiles of rows and columns, by shape only. */
#ifndef PYGRU_AFFINE_H
#define PYGRU_AFFINE_H

#include "pygru.h"

/* Rows and columns of a tile of a product, columns in whole vectors of any instruction set. */
enum { PYGRU_AFFINE_ROWS = 128, PYGRU_AFFINE_COLUMNS = 256 };

/* What a workspace is for. */
typedef enum pygru_affine_use {
    PYGRU_AFFINE_FORWARD, /* a forward call that packs the weights itself */
    PYGRU_AFFINE_KEPT,    /* a forward call that is given packed weights */
    PYGRU_AFFINE_BACKWARD
} pygru_affine_use;

/* Byte offsets from a multiple of PYGRU_ALIGNMENT. */
typedef struct pygru_affine_layout {
    /* Packed weights begin with the weights as the product reads them. */
    int64_t from;   /* the start value of every row of the product, in whole vectors */
    int64_t packed; /* bytes of both; negative if that is too many */
    /* A workspace begins with packed weights, unless the call is given them. */
    int64_t d_weight;   /* backward: (outputs, inputs), and */
    int64_t d_bias;     /* (outputs), until both gradients are complete */
    int64_t threads;    /* the scratch of the first thread */
    int64_t per_thread; /* distance of the next one */
    int64_t total;      /* the same for the workspace */
} pygru_affine_layout;

/* For a valid precision and sizes that are not negative. */
pygru_affine_layout pygru_affine_layout_of(int32_t precision, int64_t inputs, int64_t outputs,
                                           int32_t n_threads, pygru_affine_use use);

static inline int64_t pygru_tiles_of(int64_t n, int64_t tile) {
    return n / tile + (n % tile != 0);
}

#endif
