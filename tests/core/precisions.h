/* precisions.h - the parts of the test that exist once per precision, and a table of them, so
 * that the other parts are the same for all precisions. */
#ifndef PRECISIONS_H
#define PRECISIONS_H

#include <float.h>

#include "float_environment.h"
#include "fused.h"
#include "kernel_sets.h"
#include "problem.h"
#include "scratch_checks.h"

/* The largest errors seen with any set of kernels, in units in the last place, and where. */
typedef struct worst_error {
    double sigmoid;
    double sigmoid_at;
    double tanh;
    double tanh_at;
} worst_error;

/* Elements of each array of bad_calls.tpl.h: far more than its tiny model needs. */
enum { AMPLE = 1 << 17 };

/* Numbers at the end of a tape that may be read, in vectors, but have no meaning. */
enum { TAPE_SLACK = 16 };

static long double true_sigmoid(long double x) {
    return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x));
}

#define REAL float
#define REAL_BITS 32
#define PRECISION PYGRU_FLOAT32
#define NAME(x) x##_f32
#define FUSED_MULTIPLY_ADD fused_f32
#include "run_core.tpl.h"
#include "activations.tpl.h"
#include "product.tpl.h"
#include "bad_calls.tpl.h"
#undef FUSED_MULTIPLY_ADD
#undef REAL
#undef REAL_BITS
#undef PRECISION
#undef NAME

#define REAL double
#define REAL_BITS 64
#define PRECISION PYGRU_FLOAT64
#define NAME(x) x##_f64
#define FUSED_MULTIPLY_ADD fused_f64
#include "run_core.tpl.h"
#include "activations.tpl.h"
#include "product.tpl.h"
#include "bad_calls.tpl.h"
#undef FUSED_MULTIPLY_ADD
#undef REAL
#undef REAL_BITS
#undef PRECISION
#undef NAME

/* 8-bit weights: the runs only, see quantized_checks.h. */
#define REAL float
#define REAL_BITS 32
#define PRECISION PYGRU_INT8
#define NAME(x) x##_i8
#include "run_core.tpl.h"
#undef REAL
#undef REAL_BITS
#undef PRECISION
#undef NAME

typedef struct precision {
    const char *name;
    int32_t precision;
    double tolerance; /* of results against the reference */
    void (*run)(const problem *p, const options *o, results *r);
    double *(*run_steps)(const problem *p, const options *o, int64_t n, pygru_status *status);
    worst_error (*sweep_activations)(uint64_t stride);
    void (*check_special_values)(const kernel_set *set);
    void (*check_every_length)(const kernel_set *set);
    void (*check_products)(const kernel_set *set, int quick);
    void (*check_packing)(const kernel_set *set, int quick);
    void (*check_sums)(const kernel_set *set, int quick);
    void (*check_bad_calls)(void);
    double smallest_normal;
} precision;

enum { N_PRECISIONS = 2 };

/* float64 first, because the gradients of float32 are compared with those of float64. */
static const precision precisions[N_PRECISIONS] = {
    {"f64", PYGRU_FLOAT64, 1e-12, run_f64, run_steps_f64, sweep_activations_f64,
     check_special_values_f64, check_every_length_f64, check_products_f64, check_packing_f64,
     check_sums_f64, check_bad_calls_f64, DBL_MIN},
    {"f32", PYGRU_FLOAT32, 1e-5, run_f32, run_steps_f32, sweep_activations_f32,
     check_special_values_f32, check_every_length_f32, check_products_f32, check_packing_f32,
     check_sums_f32, check_bad_calls_f32, FLT_MIN},
};

#endif
