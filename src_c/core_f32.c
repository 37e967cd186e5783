/* core_f32.c - the whole core in float32. Each template may use only those above it. */
#include <string.h>

#include "affine.h"
#include "calls.h"
#include "checked.h"
#include "float_state.h"
#include "kernels/kernels.h"
#include "parallel.h"
#include "scratch.h"

#define REAL_BITS 32
#include "template.h"

#include "scratch.tpl.c"
#include "arguments.tpl.c"
#include "gemm.tpl.c"
#include "noise.tpl.c"
#include "cell.tpl.c"
#include "products.tpl.c"
#include "layer_norm.tpl.c"
#include "step.tpl.c"
#include "packed.tpl.c"
#include "rows.tpl.c"
#include "sweep.tpl.c"
#include "split.tpl.c"
#include "gradients.tpl.c"
#include "rounds.tpl.c"
#include "weight_sums.tpl.c"
#include "network.tpl.c"
#include "training.tpl.c"
#include "affine.tpl.c"
#include "functions.tpl.c"
