/* precisions.h - the parts of the test that exist once per precision, and the table that lets
 * the rest of the test not care which one it is. */
#ifndef PRECISIONS_H
#define PRECISIONS_H

#include <float.h>

#include "naive_blas.h"
#include "problem.h"

/* The largest errors seen, in units in the last place, and where. */
typedef struct worst_error {
    double sigmoid;
    double sigmoid_at;
    double tanh;
    double tanh_at;
} worst_error;

/* Elements of each array of bad_calls.tpl.h: far more than its tiny model needs. */
enum { AMPLE = 2048 };

static long double true_sigmoid(long double x) {
    return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x));
}

#define REAL float
#define REAL_BITS 32
#define NAME(x) x##_f32
#include "run_core.tpl.h"
#include "activations.tpl.h"
#include "bad_calls.tpl.h"
#undef REAL
#undef REAL_BITS
#undef NAME

#define REAL double
#define REAL_BITS 64
#define NAME(x) x##_f64
#include "run_core.tpl.h"
#include "activations.tpl.h"
#include "bad_calls.tpl.h"
#undef REAL
#undef REAL_BITS
#undef NAME

typedef struct precision {
    const char *name;
    int32_t element_size;
    double tolerance; /* of results against the reference */
    void (*run)(const problem *p, const options *o, results *r);
    double *(*run_step)(const problem *p, int in_place, const pygru_blas *blas,
                        pygru_status *status);
    worst_error (*sweep_activations)(uint64_t stride);
    void (*check_special_values)(void);
    void (*check_every_length)(void);
    void (*check_bad_calls)(void);
} precision;

enum { N_PRECISIONS = 2 };

/* float64 first: its gradients, once checked, are what those of float32 are compared with. */
static const precision precisions[N_PRECISIONS] = {
    {"f64", 8, 1e-12, run_f64, run_step_f64, sweep_activations_f64, check_special_values_f64,
     check_every_length_f64, check_bad_calls_f64},
    {"f32", 4, 1e-5, run_f32, run_step_f32, sweep_activations_f32, check_special_values_f32,
     check_every_length_f32, check_bad_calls_f32},
};

#endif
