/* both_precisions.h - compiles the kernel templates for float and double, for the target that
 * the including file has set, as the table KERNELS. */
#ifndef KERNELS
#error "define KERNELS, the name of the table, before including both_precisions.h"
#endif

#include <string.h>

#define REAL_BITS 32
#include "../template.h"
#include "activations.tpl.c"
#include "gates.tpl.c"
#undef REAL_BITS

#define REAL_BITS 64
#include "../template.h"
#include "activations.tpl.c"
#include "gates.tpl.c"
#undef REAL_BITS

const pygru_kernels KERNELS = {&gate_kernels_f32, &gate_kernels_f64};
