/* precision.tpl.c - the kernels of one instruction set in one precision, and their table. */
#include "../template.h"

#if FUSED && REAL_BITS == 32
#define FUSE(a, b, c) __builtin_fmaf(a, b, c)
#elif FUSED
#define FUSE(a, b, c) __builtin_fma(a, b, c)
#else
#define FUSE(a, b, c) ((a) * (b) + (c))
#endif
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
_Static_assert(VECTOR_BYTES / sizeof(REAL) <= PYGRU_MOST_LANES, "see vectors.h");
#define WEIGHT REAL /* the type of a packed weight */
#if REAL_BITS == 32
#define SQUARE_ROOT(x) sqrtf(x)
#else
#define SQUARE_ROOT(x) sqrt(x)
#endif

#include "activations.tpl.c"
#include "gates.tpl.c"
#include "other_gates.tpl.c"
#include "standardise.tpl.c"
#include "optimizers.tpl.c"
#include "losses.tpl.c"
#if PYGRU_PACKED_PRODUCTS
#include "product.tpl.c"
#include "row_sums.tpl.c"
#endif

static const NAME(pygru_table) NAME(table) = {
#include "entries.tpl.h"
#if PYGRU_PACKED_PRODUCTS
    .lanes = LANES,
    .weight_bytes = sizeof(WEIGHT),
    .product = NAME(product),
    .pack = NAME(pack),
    .pack_rows = NAME(pack_rows),
    .sum_rows = NAME(sum_rows),
#endif
};

#undef FUSE
#undef LANES
#undef WEIGHT
#undef SQUARE_ROOT
