/* baseline.c - the kernels for any CPU that this build can run on: SSE2, NEON, or none. */
#include "kernels.h"

#define KERNELS pygru_kernels_baseline
#include "both_precisions.h"
