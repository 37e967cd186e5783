/* problem.h - one batch for one model, made of random numbers, and the ways to run it.
 *
 * Arrays are dense and row-major. They are arrays of doubles whose values are all float32
 * values, so that both precisions of the core and the reference use the same numbers. */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "buffer.h"
#include "pygru.h"

typedef struct problem {
    pygru_config config;
    int64_t T;
    int64_t B;
    int64_t *lengths;   /* (B) or NULL */
    double *x;          /* (T, B, I) */
    double *h0;         /* (L*D, B, H) */
    double *parameters; /* flat, cell by cell */
    double *d_y;        /* (T, B, D*H) */
    double *d_h_n;      /* (L*D, B, H) */
    uint8_t *dropout;   /* (L-1, T, B, D*H) or NULL: by time step, not packed */
    uint8_t *recurrent; /* (L*D, B, H) or NULL */
    uint8_t *zoneout;   /* (L*D, T, B, H) or NULL: by visit, not packed */
    double dropout_scale;
    double recurrent_scale;
    int64_t n_x;
    int64_t n_y;
    int64_t n_states;
    int64_t n_parameters;
} problem;

/* The layout of x, y, d_y and d_x in memory. */
typedef enum layout {
    TIME_MAJOR,     /* (T, B, features) */
    BATCH_MAJOR,    /* (B, T, features) */
    GAPS,           /* unused elements after each row and each step */
    BACKWARDS,      /* both strides negative */
    BACKWARDS_GAPS, /* both */
    N_LAYOUTS
} layout;

/* Whose threads work: one after the other. */
#define FOR_EACH_THREADING(options)                                                            \
    for ((options).threading = PYGRU_POOL; (options).threading <= PYGRU_OPENMP;                \
         (options).threading++)

/* How to run a problem. The plain way has zeros except in n_threads and int_bytes. */
typedef struct options {
    int32_t engine;
    int32_t keep;
    int32_t n_threads;
    int32_t threading;
    int32_t int_bytes;
    int64_t max_int;              /* 0: the largest that the integer can hold */
    const pygru_kernels *kernels; /* NULL: the best that this CPU has */
    layout lay;
    int in_place;      /* h_n is h0 */
    int odd_workspace; /* at an odd address */
    int state;         /* the caller's floating-point state, of float_environment.h */
    int null_h0;
    int null_d_y;
    int null_d_h_n;
    int null_d_x;
    double grads_before; /* the value of all gradients before the call */
    int (*poll)(void *context);
    int backward_only; /* poll and nap in the backward call only */
    void *poll_context;
    int nap_us;
} options;

/* The results, as doubles. Undefined after an error. */
typedef struct results {
    pygru_status forward;
    pygru_status backward;
    pygru_sizes sizes;
    void *plan;
    double *y;
    double *h_n;
    double *tape;
    double *d_x;
    double *d_h0;
    double *grads;
} results;

/* ---- random numbers: xorshift64*, the same on every machine ------------------------- */

static uint64_t random_seed = 20240229;
static uint64_t random_state;

static uint64_t random_bits(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(2685821657736338717);
}

/* In [-1, 1), a float32 value. */
static double random_unit(void) {
    return (double)(random_bits() >> 40) / (double)(INT64_C(1) << 23) - 1.0;
}

static double *random_array(int64_t n, double scale) {
    double *array = doubles(n);
    int64_t i;
    for (i = 0; i < n; i++) {
        array[i] = (double)(float)(scale * random_unit());
    }
    return array;
}

static void copy_doubles(int64_t n, const double *from, double *to) {
    memcpy(to, from, (size_t)n * sizeof *to);
}

/* ---- problems ----------------------------------------------------------------------- */

/* The kinds of noise that a problem may have, to be combined. */
enum { NO_NOISE = 0, DROPOUT = 1, RECURRENT = 2, ZONEOUT = 4 };

/* Random bytes, of which two thirds are 1; NULL if the problem has none. */
static uint8_t *random_mask(int wanted, int64_t n) {
    uint8_t *mask = wanted ? allocate(n, 1) : NULL;
    int64_t i;
    for (i = 0; wanted && i < n; i++) {
        mask[i] = random_bits() % 3 != 0;
    }
    return mask;
}

static int64_t length_of(const problem *p, int64_t b) {
    return p->lengths == NULL ? p->T : p->lengths[b];
}

/* The time step that is the s-th that a direction visits in a sequence. */
static int64_t time_of_visit(const problem *p, int64_t direction, int64_t b, int64_t s) {
    const int backwards = direction == 1 || p->config.reverse;
    return backwards ? length_of(p, b) - 1 - s : s;
}

/* Whether some derivative of an activation is not continuous. */
static int has_kinks(const pygru_config *c) {
    return c->clip > 0 || c->activation.function > PYGRU_ACTIVATION_sigmoid ||
           c->recurrent_activation.function > PYGRU_ACTIVATION_sigmoid;
}

/* Whether the gates are not limited, so that states may grow at every step. */
static int has_large_gates(const pygru_config *c) {
    return c->clip == 0 && (c->recurrent_activation.function == PYGRU_ACTIVATION_relu ||
                            c->recurrent_activation.function == PYGRU_ACTIVATION_linear);
}

/* The number of parameters of one cell, counted here and not by the core. */
static int64_t parameters_of_cell(const pygru_config *c, int64_t layer) {
    const int64_t H = c->hidden_size;
    const int64_t width = layer == 0 ? c->input_size : c->num_directions * H;
    return 3 * H * width + 3 * H * H + (c->has_bias ? 6 * H : 0) +
           (c->norm_eps > 0 ? 6 * H : 0);
}

static problem problem_new(const pygru_config *config, int64_t T, int64_t B, int ragged,
                           int noise) {
    const int64_t LD = config->num_layers * config->num_directions;
    const int64_t width = config->num_directions * config->hidden_size;
    const double weight =
        (1.0 / sqrt((double)config->hidden_size) + 0.1) * (has_large_gates(config) ? 0.25 : 1);
    problem p = {0};
    int64_t layer, i;
    p.config = *config;
    p.T = T;
    p.B = B;
    p.n_x = T * B * config->input_size;
    p.n_y = T * B * width;
    p.n_states = LD * B * config->hidden_size;
    for (layer = 0; layer < config->num_layers; layer++) {
        p.n_parameters += config->num_directions * parameters_of_cell(config, layer);
    }
    p.x = random_array(p.n_x, 1.5);
    p.h0 = random_array(p.n_states, 0.9);
    p.parameters = random_array(p.n_parameters, weight);
    p.d_y = random_array(p.n_y, 1);
    p.d_h_n = random_array(p.n_states, 1);
    if (ragged) {
        p.lengths = allocate(B, sizeof *p.lengths);
        for (i = 0; i < B; i++) { /* the first is empty, the second is full */
            p.lengths[i] = i == 0   ? 0
                           : i == 1 ? T
                                    : (int64_t)(random_bits() % (uint64_t)(T + 1));
        }
    }
    p.dropout = random_mask(noise & DROPOUT, (config->num_layers - 1) * p.n_y);
    p.recurrent = random_mask(noise & RECURRENT, p.n_states);
    p.zoneout = random_mask(noise & ZONEOUT, p.n_states * T);
    p.dropout_scale = 1.5;
    p.recurrent_scale = 1.25;
    p.config.drops_states = (noise & RECURRENT) != 0;
    return p;
}

/* Sequences [first, first + n) of a problem without noise, as a problem of its own. */
static problem problem_slice(const problem *p, int64_t first, int64_t n) {
    const pygru_config *c = &p->config;
    const int64_t LD = c->num_layers * c->num_directions;
    const int64_t width = c->num_directions * c->hidden_size, H = c->hidden_size;
    problem q = *p;
    int64_t i;
    q.B = n;
    q.n_x = p->T * n * c->input_size;
    q.n_y = p->T * n * width;
    q.n_states = LD * n * H;
    q.x = doubles(q.n_x);
    q.h0 = doubles(q.n_states);
    q.d_y = doubles(q.n_y);
    q.d_h_n = doubles(q.n_states);
    q.parameters = doubles(p->n_parameters);
    copy_doubles(p->n_parameters, p->parameters, q.parameters);
    for (i = 0; i < p->T; i++) {
        copy_doubles(n * c->input_size, p->x + (i * p->B + first) * c->input_size,
                     q.x + i * n * c->input_size);
        copy_doubles(n * width, p->d_y + (i * p->B + first) * width, q.d_y + i * n * width);
    }
    for (i = 0; i < LD; i++) {
        copy_doubles(n * H, p->h0 + (i * p->B + first) * H, q.h0 + i * n * H);
        copy_doubles(n * H, p->d_h_n + (i * p->B + first) * H, q.d_h_n + i * n * H);
    }
    if (p->lengths != NULL) {
        q.lengths = allocate(n, sizeof *q.lengths);
        memcpy(q.lengths, p->lengths + first, (size_t)n * sizeof *q.lengths);
    }
    return q;
}

static void problem_free(problem *p) {
    free(p->lengths);
    free(p->x);
    free(p->h0);
    free(p->parameters);
    free(p->d_y);
    free(p->d_h_n);
    free(p->dropout);
    free(p->recurrent);
    free(p->zoneout);
}

static void results_free(results *r) {
    free(r->plan);
    free(r->y);
    free(r->h_n);
    free(r->tape);
    free(r->d_x);
    free(r->d_h0);
    free(r->grads);
}

/* ---- strided arrays ----------------------------------------------------------------- */

/* The places of the rows of a (T, B, features) array in a buffer of exactly this size. */
typedef struct placement {
    ptrdiff_t first; /* of step 0, sequence 0 */
    ptrdiff_t step;
    ptrdiff_t sequence;
    int64_t elements;
} placement;

static placement place(layout lay, int64_t T, int64_t B, int64_t features) {
    const int64_t gap = lay == GAPS || lay == BACKWARDS_GAPS ? 3 : 0;
    placement at = {0, 0, 0, 0};
    at.sequence = (ptrdiff_t)(features + gap);
    at.step = (ptrdiff_t)(B * at.sequence + 2 * gap);
    if (lay == BATCH_MAJOR) {
        at.step = (ptrdiff_t)features;
        at.sequence = (ptrdiff_t)(T * features);
    }
    if (T > 0 && B > 0) {
        at.elements = (T - 1) * at.step + (B - 1) * at.sequence + features;
        if (lay == BACKWARDS || lay == BACKWARDS_GAPS) {
            at.first = (ptrdiff_t)(at.elements - features);
            at.step = -at.step;
            at.sequence = -at.sequence;
        }
    }
    return at;
}

#endif
