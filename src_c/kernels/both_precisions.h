/* both_precisions.h - compiles the kernel templates for float, double and 8-bit weights, for the
 * target that the including file has set, as the table KERNELS. That file defines
 *
 *   VECTOR_BYTES   the bytes of a vector register
 *   MOST_SUMS      how many sums of a tile fit into the registers beside its operands:
 *                  12 of 16 registers, 24 of 32
 *   FUSED          1 if there is a fused multiply-add, also for single numbers
 *   broadcast_f32, broadcast_f64          one number in every lane of a vector
 *   multiply_add_f32, multiply_add_f64    a b + c on vectors
 *
 * and for 8-bit weights what quantized.tpl.c says, with names that end in _i8. */
#ifndef KERNELS
#error "define KERNELS, the name of the table, before including both_precisions.h"
#endif

#include <math.h>
#include <string.h>

#define REAL_BITS 32
#include "precision.tpl.c"
#undef REAL_BITS

#define REAL_BITS 64
#include "precision.tpl.c"
#undef REAL_BITS

#define REAL_BITS 32
#include "../template.h"
#define INTEGER(name) name##_i8
#include "quantized.tpl.c"
#undef REAL_BITS

const pygru_kernels KERNELS = {{
#define PYGRU_PRECISION(code, name, text, format, value, weight, core, kernels)                \
    [code] = &table_##kernels,
#include "../precisions.def"
#undef PYGRU_PRECISION
}};
