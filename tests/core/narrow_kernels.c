/* narrow_kernels.c - the kernels with the vectors and tiles of 64-bit ARM, for any CPU. */
#define VECTOR_BYTES 16
#define MOST_SUMS 24
#define KERNELS narrow_kernels
#include "plain_vectors.h"
