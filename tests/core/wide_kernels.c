/* wide_kernels.c - the kernels with the vectors and tiles of AVX-512, for any CPU. */
#define VECTOR_BYTES 64
#define MOST_SUMS 24
#define KERNELS wide_kernels
#include "plain_vectors.h"
