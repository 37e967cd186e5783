/* same_bits.h - on the SIMD engine a sequence has the same bits alone, in every batch, with
 * every number of threads (which may split its units), and step by step. */
#ifndef SAME_BITS_H
#define SAME_BITS_H

#include "network_checks.h"

/* The results of each sequence alone: y (T, B, D*H), h_n and d_h0 (L*D, B, H). */
typedef struct alone {
    double *y;
    double *h_n;
    double *d_h0;
} alone;

static void alone_free(alone *a) {
    free(a->y);
    free(a->h_n);
    free(a->d_h0);
}

/* Rows of `features` of sequence b, `outer` of them, from an array of 1 sequence. */
static void insert_sequence(int64_t outer, int64_t B, int64_t b, int64_t features,
                            const double *from, double *to) {
    int64_t i;
    for (i = 0; from != NULL && i < outer; i++) {
        copy_doubles(features, from + i * features, to + (i * B + b) * features);
    }
}

static alone run_alone(const problem *p, const precision *kind, const options *o) {
    const pygru_config *c = &p->config;
    const int64_t LD = c->num_layers * c->num_directions;
    alone a = {doubles(p->n_y), doubles(p->n_states), doubles(p->n_states)};
    int64_t b;
    for (b = 0; b < p->B; b++) {
        problem one = problem_slice(p, b, 1);
        results r;
        kind->run(&one, o, &r);
        insert_sequence(p->T, p->B, b, c->num_directions * c->hidden_size, r.y, a.y);
        insert_sequence(LD, p->B, b, c->hidden_size, r.h_n, a.h_n);
        insert_sequence(LD, p->B, b, c->hidden_size, r.d_h0, a.d_h0);
        results_free(&r);
        problem_free(&one);
    }
    return a;
}

/* The same bits in the first n of B sequences, in `outer` rows of n and of B of them. */
static void check_same_rows(int64_t outer, int64_t n, int64_t B, int64_t features,
                            const double *batch, const double *single) {
    int64_t i;
    for (i = 0; i < outer; i++) {
        CHECK_SAME(n * features, batch + i * n * features, single + i * B * features);
    }
}

/* The first n sequences as a batch. */
static void check_batch(const problem *p, const precision *kind, const options *o, int64_t n,
                        const alone *single) {
    const pygru_config *c = &p->config;
    const int64_t LD = c->num_layers * c->num_directions;
    problem batch = problem_slice(p, 0, n);
    results r;
    describe(&batch, kind, o, "same bits in a batch");
    kind->run(&batch, o, &r);
    CHECK_INT(r.forward, PYGRU_OK);
    check_same_rows(p->T, n, p->B, c->num_directions * c->hidden_size, r.y, single->y);
    check_same_rows(LD, n, p->B, c->hidden_size, r.h_n, single->h_n);
    if (o->keep != PYGRU_KEEP_NOTHING) {
        check_same_rows(LD, n, p->B, c->hidden_size, r.d_h0, single->d_h0);
    }
    results_free(&r);
    problem_free(&batch);
}

/* Step by step, n sequences at a time: the top layer's states are y. */
static void check_step_by_step(const problem *p, const precision *kind, const options *o,
                               int64_t n, const alone *single) {
    const pygru_config *c = &p->config;
    const int64_t H = c->hidden_size;
    problem batch = problem_slice(p, 0, n);
    pygru_status status;
    double *states = kind->run_steps(&batch, o, p->T, &status);
    int64_t t;
    describe(&batch, kind, o, "same bits step by step");
    CHECK_INT(status, PYGRU_OK);
    for (t = 0; states != NULL && t < p->T; t++) {
        CHECK_SAME(n * H, states + t * batch.n_states + (c->num_layers - 1) * n * H,
                   single->y + t * p->B * H);
    }
    if (states != NULL && p->T > 0) {
        check_same_rows(c->num_layers, n, p->B, H, states + (p->T - 1) * batch.n_states,
                        single->h_n);
    }
    free(states);
    problem_free(&batch);
}

/* One model in one precision with one set of kernels. `first` and `stride` choose the sizes of
 * the batches between 2 and B; `backward` compares the gradient of h0 too. */
static void check_batches_of(const problem *p, const precision *kind, const kernel_set *set,
                             int64_t first, int64_t stride, int backward) {
    options o = plain_options;
    alone single;
    int64_t n;
    o.engine = PYGRU_ENGINE_SIMD;
    o.kernels = set->kernels;
    o.keep = backward ? PYGRU_KEEP_GATES : PYGRU_KEEP_NOTHING;
    describe(p, kind, &o, "sequences alone");
    single = run_alone(p, kind, &o);
    for (n = first; n <= p->B; n += stride) {
        o.n_threads = n % 3 != 0 ? 1 : n % 2 == 0 ? 2 : 3;
        o.threading = n % 4 < 2 ? PYGRU_POOL : PYGRU_OPENMP;
        o.keep = backward ? (int32_t)((n + first) % 3) : PYGRU_KEEP_NOTHING;
        check_batch(p, kind, &o, n, &single);
    }
    if (p->lengths == NULL && p->config.num_directions == 1) {
        check_step_by_step(p, kind, &o, 1, &single);
        check_step_by_step(p, kind, &o, first, &single);
    }
    alone_free(&single);
}

/* Both resets and both updates: bits 0 and 1 of n. Bit 2: biases; bit 3: layer normalisation.
 */
static pygru_config nth_model(int n, int64_t I, int64_t H, int64_t L, int32_t D) {
    const pygru_config c = {I,     H,          L, D, n >> 2 & 1,
                            n & 1, n >> 1 & 1, 0, 0, .norm_eps = n >> 3 & 1 ? 0.1 : 0};
    return c;
}

/* All H, each with batches of some sizes. */
static void check_batches_of_all_models(int quick) {
    static const int64_t larger[] = {64, 100};
    int64_t H = 1;
    int i, n, k, set, number = 0;
    for (i = 0; i < (quick ? 3 : 42); i += quick ? 1 : every) {
        H = quick ? 1 + 8 * i : i < 40 ? 1 + i : larger[i - 40];
        for (n = 0; n < 4; n++) {
            const int ragged = (i + n / 2) % 2;
            const pygru_config c = nth_model(n + 4 * (i & 1) + 8 * ((i + n) % 3 == 0),
                                             1 + (5 * i + 3 * n) % 23, H, 1 + (i + n) % 2, 1);
            problem p = problem_new(&c, 3 + i % 2, quick ? 9 : 20, ragged, NO_NOISE);
            for (k = 0; k < N_PRECISIONS; k++) {
                for (set = 0; set < n_kernel_sets; set++, number++) {
                    check_batches_of(&p, &precisions[k], &kernel_sets[set], 2 + number % 8, 9,
                                     number % 7 == 0);
                }
            }
            problem_free(&p);
        }
    }
}

/* All sizes of batches, whole and ragged, with one and two directions; inputs so wide that a
 * product is cut along k, and enough sequences that the chunks grow. */
static void check_batches_of_all_sizes(void) {
    static const shape shapes[] = {{5, 3, 4, 20}, {19, 40, 3, 20}, {9, 700, 2, 20},
                                   {7, 3, 3, 65}, {33, 5, 3, 65},  {100, 9, 2, 65}};
    int s, n, k, set;
    for (s = 0; s < 6; s++) {
        for (n = 0; n < 8; n += every) { /* bit 2: ragged */
            const pygru_config c = nth_model(n | 4 | (s + n) % 2 << 3, shapes[s].I, shapes[s].H,
                                             1, 1 + ((n >> 1 ^ n ^ s) & 1));
            problem p = problem_new(&c, shapes[s].T, shapes[s].B, n >> 2, NO_NOISE);
            for (k = 0; k < N_PRECISIONS; k++) {
                for (set = 0; set < n_kernel_sets; set++) {
                    check_batches_of(&p, &precisions[k], &kernel_sets[set], 2,
                                     shapes[s].B == 20 ? 1 : 63, (n + k + set) % 3 == 0);
                }
            }
            problem_free(&p);
        }
    }
}

/* ---- units split over the threads ---------------------------------------------------- */

static void check_same_results(const problem *p, const results *r, const results *expected) {
    CHECK_INT(r->forward, PYGRU_OK);
    CHECK_SAME(p->n_y, r->y, expected->y);
    CHECK_SAME(p->n_states, r->h_n, expected->h_n);
    if (r->sizes.tape > 0) {
        /* without the last vector, which may be read and is never written */
        CHECK_SAME(r->sizes.tape - 16, r->tape, expected->tape);
        CHECK_SAME(p->n_x, r->d_x, expected->d_x);
        CHECK_SAME(p->n_parameters, r->grads, expected->grads);
    }
}

/* Few sequences and weights so large that several threads share every step: whole and ragged
 * batches, with noise, whatever is kept, in more parts than there are panels too. */
static void check_split_of(const problem *p, const precision *kind, const kernel_set *set,
                           int32_t keep) {
    static const int32_t threads[] = {2, 3, 5, 16};
    options o = plain_options;
    results one_thread;
    int i;
    o.engine = PYGRU_ENGINE_SIMD;
    o.kernels = set->kernels;
    o.keep = keep;
    describe(p, kind, &o, "units split over threads");
    kind->run(p, &o, &one_thread);
    for (i = 0; i < 4; i++) {
        results r;
        o.n_threads = threads[i];
        o.threading = i % 2 == 0 ? PYGRU_POOL : PYGRU_OPENMP;
        kind->run(p, &o, &r);
        CHECK(r.sizes.max_threads > 1);
        check_same_results(p, &r, &one_thread);
        results_free(&r);
    }
    results_free(&one_thread);
}

static void check_split(int quick) {
    static const int noise[] = {NO_NOISE, RECURRENT + ZONEOUT, DROPOUT};
    int n, k;
    if (!pygru_has_simd_engine()) {
        return;
    }
    for (n = 0; n < 6; n += quick ? 4 : 1) {
        pygru_config c = nth_model(n | 4, 3, 211 + n, 1 + n % 2, 1);
        problem p = problem_new(&c, 5, 1 + n, n % 3 == 1, noise[n % 3]);
        for (k = 0; k < N_PRECISIONS; k++) {
            check_split_of(&p, &precisions[k], &kernel_sets[n % n_kernel_sets], n % 3);
        }
        problem_free(&p);
    }
}

static void check_batches(int quick) {
    if (!pygru_has_simd_engine()) {
        return;
    }
    check_batches_of_all_models(quick);
    if (!quick) {
        check_batches_of_all_sizes();
    }
}

#endif
