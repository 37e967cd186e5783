/* network_checks.h - forward, backward and step: against the reference, and against
 * themselves run another way. */
#ifndef NETWORK_CHECKS_H
#define NETWORK_CHECKS_H

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

#include "precisions.h"
#include "reference.h"

typedef struct shape {
    int64_t H;
    int64_t I;
    int64_t T;
    int64_t B;
} shape;

static const options plain_options = {.keep = PYGRU_KEEP_GATES, .n_threads = 1, .int_bytes = 4};

static void describe(const problem *p, const precision *kind, const char *how) {
    const pygru_config *c = &p->config;
    set_case("%s, %s, H=%d I=%d T=%d B=%d L=%d D=%d bias=%d reset=%d update=%d%s%s", how,
             kind->name, (int)c->hidden_size, (int)c->input_size, (int)p->T, (int)p->B,
             (int)c->num_layers, (int)c->num_directions, (int)c->has_bias, (int)c->reset,
             (int)c->update, p->lengths != NULL ? " ragged" : "",
             p->mask != NULL ? " mask" : "");
}

/* ---- comparing results -------------------------------------------------------------- */

static void check_same_outputs(const problem *p, const results *r, const results *expected) {
    CHECK_INT(r->forward, PYGRU_OK);
    if (r->forward == PYGRU_OK) {
        CHECK_SAME(p->n_y, r->y, expected->y);
        CHECK_SAME(p->n_states, r->h_n, expected->h_n);
    }
}

static void check_same_gradients(const problem *p, const results *r, const results *expected) {
    CHECK_INT(r->backward, PYGRU_OK);
    if (r->backward == PYGRU_OK) {
        CHECK_SAME(p->n_x, r->d_x, expected->d_x);
        CHECK_SAME(p->n_states, r->d_h0, expected->d_h0);
        CHECK_SAME(p->n_parameters, r->grads, expected->grads);
    }
}

static void check_close_gradients(const problem *p, const results *r, const results *expected,
                                  double tolerance) {
    CHECK_INT(r->backward, PYGRU_OK);
    if (r->backward == PYGRU_OK) {
        CHECK_CLOSE(p->n_x, r->d_x, expected->d_x, tolerance);
        CHECK_CLOSE(p->n_states, r->d_h0, expected->d_h0, tolerance);
        CHECK_CLOSE(p->n_parameters, r->grads, expected->grads, tolerance);
    }
}

/* Zeros, not small numbers, past the end of every sequence. */
static void check_padding(const problem *p, int64_t features, const double *array) {
    int64_t b, t, j, wrong = 0;
    for (b = 0; b < p->B; b++) {
        for (t = length_of(p, b); t < p->T; t++) {
            for (j = 0; j < features; j++) {
                wrong += array[(t * p->B + b) * features + j] != 0;
            }
        }
    }
    CHECK_INT(wrong, 0);
}

/* ---- the plan's rows and the tape --------------------------------------------------- */

/* row_of (T, B): the packed row of each valid step, -1 elsewhere. */
static int64_t *check_plan_rows(const problem *p, const results *r) {
    const int64_t R = r->sizes.rows;
    int64_t *step = allocate(R, sizeof *step), *sequence = allocate(R, sizeof *sequence);
    int64_t *row_of = allocate(p->T * p->B, sizeof *row_of);
    int64_t i, valid = 0;
    for (i = 0; i < p->B; i++) {
        valid += length_of(p, i);
    }
    CHECK_INT(R, valid);
    for (i = 0; i < p->T * p->B; i++) {
        row_of[i] = -1;
    }
    pygru_plan_rows(r->plan, step, sequence);
    for (i = 0; i < R; i++) {
        const int inside = sequence[i] >= 0 && sequence[i] < p->B && step[i] >= 0 &&
                           step[i] < length_of(p, sequence[i]);
        CHECK(inside);
        if (inside) {
            CHECK_INT(row_of[step[i] * p->B + sequence[i]], -1); /* seen once */
            row_of[step[i] * p->B + sequence[i]] = i;
        }
    }
    free(step);
    free(sequence);
    return row_of;
}

/* The state after visit s of sequence b, as the tape and y tell it. */
static const double *state_after(const problem *p, const results *r, const int64_t *row_of,
                                 const pygru_tape_view *view, int64_t s, int64_t b) {
    const int64_t H = p->config.hidden_size;
    return s + 1 < length_of(p, b) ? r->tape + view->h_prev + row_of[(s + 1) * p->B + b] * H
                                   : r->tape + view->h_last + b * H;
}

static void check_tape_gates(const problem *p, const precision *kind, const double *gates,
                             const double *h, const double *next) {
    const int64_t H = p->config.hidden_size;
    const double rounding = kind->element_size == 4 ? 1e-6 : 1e-14;
    int64_t j;
    for (j = 0; j < H; j++) {
        const double n = gates[j], r = gates[H + j], z = gates[2 * H + j];
        const double expected = p->config.update == PYGRU_UPDATE_KEEPS ? z * h[j] + (1 - z) * n
                                                                       : (1 - z) * h[j] + z * n;
        CHECK_NEAR(next[j], expected, rounding);
        if (p->config.reset == PYGRU_RESET_BEFORE) {
            CHECK_NEAR(gates[3 * H + j], r * h[j], rounding);
        }
    }
}

/* The tape holds what pygru.h says, in the order it says. */
static void check_tape(const problem *p, const precision *kind, const results *r,
                       const int64_t *row_of) {
    const pygru_config *c = &p->config;
    const int64_t H = c->hidden_size, D = c->num_directions;
    int64_t layer, b, s;
    int32_t d;
    for (layer = 0; layer < c->num_layers; layer++) {
        for (d = 0; d < D; d++) {
            const int64_t states = (layer * D + d) * p->B * H;
            pygru_tape_view view = {-2, -2, -2};
            pygru_tape_view_of(r->plan, layer, d, &view);
            CHECK_SAME(p->B * H, r->tape + view.h_last, r->h_n + states);
            for (b = 0; b < p->B; b++) {
                for (s = 0; s < length_of(p, b); s++) {
                    const int64_t row = row_of[s * p->B + b];
                    const int64_t time = d == 0 ? s : length_of(p, b) - 1 - s;
                    const double *h = r->tape + view.h_prev + row * H;
                    const double *next = state_after(p, r, row_of, &view, s, b);
                    if (s == 0) {
                        CHECK_SAME(H, h, p->h0 + states + b * H);
                    }
                    if (layer == c->num_layers - 1) {
                        CHECK_SAME(H, next, r->y + ((time * p->B + b) * D + d) * H);
                    }
                    check_tape_gates(p, kind, r->tape + view.gates + row * 4 * H, h, next);
                }
            }
        }
    }
}

/* ---- gradients against differences -------------------------------------------------- */

static void check_slope(const problem *p, int64_t n, double *values, const double *gradient) {
    double *direction = random_array(n, 1 / sqrt((double)(n > 0 ? n : 1)));
    const double expected = reference_slope(p, n, values, direction);
    const double slope = dot(n, gradient, direction);
    CHECK_NEAR(slope, expected, 1e-7 * fmax(fabs(expected), 0.01));
    free(direction);
}

/* x, h0 and all parameters; one weight matrix or bias at a time if the problem is small. */
static void check_slopes(const problem *p, const precision *kind, const results *r,
                         int each_array) {
    const int64_t H = p->config.hidden_size;
    int64_t layer;
    int32_t d;
    describe(p, kind, "gradient of x, h0, parameters");
    check_slope(p, p->n_x, p->x, r->d_x);
    check_slope(p, p->n_states, p->h0, r->d_h0);
    check_slope(p, p->n_parameters, p->parameters, r->grads);
    for (layer = 0; each_array && layer < p->config.num_layers; layer++) {
        for (d = 0; d < p->config.num_directions; d++) {
            pygru_cell at;
            CHECK_INT(pygru_cell_of(&p->config, layer, d, &at), PYGRU_OK);
            describe(p, kind, "gradient of weight_ih, weight_hh, bias_ih, bias_hh");
            check_slope(p, 3 * H * at.input_size, p->parameters + at.weight_ih,
                        r->grads + at.weight_ih);
            check_slope(p, 3 * H * H, p->parameters + at.weight_hh, r->grads + at.weight_hh);
            if (p->config.has_bias) {
                check_slope(p, 3 * H, p->parameters + at.bias_ih, r->grads + at.bias_ih);
                check_slope(p, 3 * H, p->parameters + at.bias_hh, r->grads + at.bias_hh);
            }
        }
    }
}

/* ---- one problem, every way --------------------------------------------------------- */

/* Runs that must give the same bits as the plain one: `expected`, by what is kept. */
static void check_same_bits_otherwise(const problem *p, const precision *kind,
                                      const results expected[3], int64_t number) {
    static const char *const names[] = {"64-bit BLAS",
                                        "other layout, h_n is h0",
                                        "odd workspace, baseline kernels",
                                        "other kernels",
                                        "2 threads",
                                        "3 threads"};
    const int ways = p->B > 3 ? 6 : 4;
    int way;
    for (way = 0; way < ways; way++) {
        options o = plain_options;
        results r;
        o.keep = (int32_t)((number + way) % 3);
        o.int_bytes = way == 0 || way == 5 ? 8 : 4;
        o.in_place = way == 1;
        o.lay = way == 1 ? (layout)(1 + number % (N_LAYOUTS - 1)) : TIME_MAJOR;
        o.odd_workspace = way == 2;
        if (way == 2 || way == 3) { /* NULL, which is the best, where the CPU lacks the set */
            o.kernels = pygru_kernels_at(way == 2 ? 0 : pygru_kernels_count() / 2);
        }
        o.n_threads = way < 4 ? 1 : way - 2;
        describe(p, kind, names[way]);
        kind->run(p, &o, &r);
        check_same_outputs(p, &r, &expected[o.keep]);
        if (o.keep != PYGRU_KEEP_NOTHING) {
            check_same_gradients(p, &r, &expected[o.keep]);
        }
        results_free(&r);
    }
}

/* The smallest integers that a BLAS may have: long products are cut into tiles of rows. */
static void check_tiled(const problem *p, const precision *kind, const results *expected) {
    const pygru_config *c = &p->config;
    const int64_t above = c->num_layers > 1 ? c->num_directions * c->hidden_size : 0;
    options o = plain_options;
    results r;
    o.max_int = 4 * c->hidden_size;
    o.max_int = o.max_int > c->input_size ? o.max_int : c->input_size;
    o.max_int = o.max_int > above ? o.max_int : above;
    describe(p, kind, "tiled products");
    kind->run(p, &o, &r);
    CHECK_INT(r.forward, PYGRU_OK);
    CHECK_CLOSE(p->n_y, r.y, expected->y, kind->tolerance);
    CHECK_CLOSE(p->n_states, r.h_n, expected->h_n, kind->tolerance);
    check_close_gradients(p, &r, expected, kind->tolerance);
    results_free(&r);
}

/* Gradients are added to what was there, in one rounding. */
static void check_added(const problem *p, const precision *kind, const results *expected) {
    options o = plain_options;
    results r;
    double *sums = doubles(p->n_parameters);
    int64_t i;
    o.grads_before = 0.75;
    for (i = 0; i < p->n_parameters; i++) {
        sums[i] = o.grads_before + expected->grads[i];
        sums[i] = kind->element_size == 4 ? (double)(float)sums[i] : sums[i];
    }
    describe(p, kind, "gradients are added");
    kind->run(p, &o, &r);
    CHECK_SAME(p->n_parameters, r.grads, sums);
    results_free(&r);
    free(sums);
}

/* Everything about one problem. */
static void check_problem(const problem *p, int64_t number, int each_array) {
    double *y = doubles(p->n_y), *h_n = doubles(p->n_states);
    results expected[3], gradients_f64;
    int64_t *row_of;
    int k;
    int32_t keep;
    reference_forward(p, y, h_n);
    for (k = 0; k < N_PRECISIONS; k++) {
        const precision *kind = &precisions[k];
        describe(p, kind, "plain");
        for (keep = PYGRU_KEEP_NOTHING; keep <= PYGRU_KEEP_GATES; keep++) {
            options o = plain_options;
            o.keep = keep;
            kind->run(p, &o, &expected[keep]);
            CHECK_CLOSE(p->n_y, expected[keep].y, y, kind->tolerance);
            CHECK_CLOSE(p->n_states, expected[keep].h_n, h_n, kind->tolerance);
            check_padding(p, p->config.num_directions * p->config.hidden_size,
                          expected[keep].y);
        }
        check_same_outputs(p, &expected[0], &expected[2]);
        check_same_outputs(p, &expected[1], &expected[2]);
        CHECK_INT(expected[0].sizes.tape, 0);
        row_of = check_plan_rows(p, &expected[2]);
        check_tape(p, kind, &expected[2], row_of);
        free(row_of);
        describe(p, kind, "kept outputs, kept gates");
        check_close_gradients(p, &expected[1], &expected[2], kind->tolerance);
        check_padding(p, p->config.input_size, expected[1].d_x);
        check_padding(p, p->config.input_size, expected[2].d_x);
        check_same_bits_otherwise(p, kind, expected, number);
        check_tiled(p, kind, &expected[2]);
        if (number % 4 == 0) {
            check_added(p, kind, &expected[2]);
        }
        results_free(&expected[0]);
        results_free(&expected[1]);
        if (k == 0) {
            check_slopes(p, kind, &expected[2], each_array);
            gradients_f64 = expected[2];
        } else {
            describe(p, kind, "gradients of f32 against f64");
            check_close_gradients(p, &expected[2], &gradients_f64, kind->tolerance);
            results_free(&expected[2]);
        }
    }
    results_free(&gradients_f64);
    free(y);
    free(h_n);
}

/* ---- all problems ------------------------------------------------------------------- */

/* The n-th of 32 combinations of options; bit 5 of n is the caller's: lengths that differ. */
static pygru_config nth_config(int n, shape s) {
    const pygru_config c = {s.I,        s.H,   1 + (n >> 2 & 1), 1 + (n >> 3 & 1),
                            n >> 4 & 1, n & 1, n >> 1 & 1};
    return c;
}

enum { N_COMBINATIONS = 64 };

static void check_all_combinations(int quick) {
    static const shape shapes[] = {
        {3, 2, 5, 3},  {3, 1, 5, 20},   {1, 1, 1, 1},   {1, 3, 5, 3}, {8, 5, 5, 3},
        {8, 8, 1, 20}, {17, 4, 12, 3},  {8, 20, 5, 20}, {3, 2, 0, 3}, {3, 2, 5, 0},
        {8, 3, 12, 1}, {17, 5, 12, 20}, {1, 2, 12, 20}};
    const int n_shapes = quick ? 2 : (int)(sizeof shapes / sizeof *shapes);
    int s, n;
    for (s = 0; s < n_shapes; s++) {
        /* a large shape costs as much as all others: every third will do */
        const int stride = shapes[s].H * shapes[s].T * shapes[s].B > 4000 ? 3 : 1;
        for (n = 0; n < N_COMBINATIONS; n += stride) {
            const pygru_config c = nth_config(n, shapes[s]);
            const int small = shapes[s].H * shapes[s].T * shapes[s].B <= 120;
            problem p = problem_new(&c, shapes[s].T, shapes[s].B, n >> 5 & 1, 0);
            check_problem(&p, n + s, small);
            problem_free(&p);
        }
    }
}

/* Dropout between the layers. */
static void check_dropout(int quick) {
    static const shape shapes[] = {{3, 2, 5, 3}, {8, 3, 12, 20}};
    int s, n;
    for (s = 0; s < (quick ? 1 : 2); s++) {
        for (n = 0; n < N_COMBINATIONS; n += quick ? 13 : 5) {
            pygru_config c = nth_config(n, shapes[s]);
            problem p;
            c.num_layers = 3;
            p = problem_new(&c, shapes[s].T, shapes[s].B, n >> 5 & 1, 1);
            check_problem(&p, n, s == 0);
            problem_free(&p);
        }
    }
}

/* Sizes at which the core cuts its work differently: several tiles of one weight matrix, time
 * blocks that one step more would make one row too long, and panels of columns; then more rows
 * than one weight-gradient product takes at once. */
static void check_large(void) {
    static const shape shapes[] = {{160, 5, 5, 33}, {2, 1, 300, 20}};
    int s, n;
    for (s = 0; s < 2; s++) {
        for (n = 0; n < 4; n += 3) { /* both values of both options */
            pygru_config c = nth_config(n, shapes[s]);
            problem p;
            c.has_bias = 1;
            c.num_directions = 1 + s;
            c.num_layers = 1 + s;
            p = problem_new(&c, shapes[s].T, shapes[s].B, n == 3, 0);
            check_problem(&p, n, 0);
            problem_free(&p);
        }
    }
}

/* An array that may be NULL is zeros then; without d_x the rest is the same. */
static void check_null_is_zero(void) {
    const pygru_config c = {2, 3, 2, 2, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS};
    problem p = problem_new(&c, 5, 20, 1, 0);
    int k;
    memset(p.h0, 0, (size_t)p.n_states * sizeof(double));
    memset(p.d_y, 0, (size_t)p.n_y * sizeof(double));
    memset(p.d_h_n, 0, (size_t)p.n_states * sizeof(double));
    for (k = 0; k < N_PRECISIONS; k++) {
        options o = plain_options;
        results zeros, nulls;
        describe(&p, &precisions[k], "NULL is zeros");
        precisions[k].run(&p, &o, &zeros);
        o.null_h0 = o.null_d_h_n = o.null_d_y = 1;
        precisions[k].run(&p, &o, &nulls);
        check_same_outputs(&p, &nulls, &zeros);
        check_same_gradients(&p, &nulls, &zeros);
        results_free(&zeros);
        results_free(&nulls);
    }
    problem_free(&p);
    p = problem_new(&c, 5, 20, 1, 0);
    for (k = 0; k < N_PRECISIONS; k++) {
        options o = plain_options;
        results with, without;
        describe(&p, &precisions[k], "without d_x");
        precisions[k].run(&p, &o, &with);
        o.null_d_x = 1;
        precisions[k].run(&p, &o, &without);
        CHECK_INT(without.backward, PYGRU_OK);
        CHECK_SAME(p.n_states, without.d_h0, with.d_h0);
        CHECK_SAME(p.n_parameters, without.grads, with.grads);
        results_free(&with);
        results_free(&without);
    }
    problem_free(&p);
}

/* ---- one step ----------------------------------------------------------------------- */

static void check_step(const problem *p, const precision *kind) {
    const pygru_blas narrow = naive_blas(4, 0), wide = naive_blas(8, 0);
    options o = plain_options;
    pygru_status status[3];
    double *y = doubles(p->n_y), *h_n = doubles(p->n_states);
    double *h, *in_place, *with_wide;
    results forward;
    o.keep = PYGRU_KEEP_NOTHING;
    reference_forward(p, y, h_n);
    describe(p, kind, "one step");
    kind->run(p, &o, &forward);
    h = kind->run_step(p, 0, &narrow, &status[0]);
    in_place = kind->run_step(p, 1, &narrow, &status[1]);
    with_wide = kind->run_step(p, 0, &wide, &status[2]);
    CHECK(status[0] == PYGRU_OK && status[1] == PYGRU_OK && status[2] == PYGRU_OK);
    CHECK_CLOSE(p->n_states, h, h_n, kind->tolerance);
    CHECK_CLOSE(p->n_states, h, forward.h_n, kind->tolerance / 10);
    CHECK_SAME(p->n_states, in_place, h);
    CHECK_SAME(p->n_states, with_wide, h);
    CHECK_INT(atomic_load(&blas_refusals), 0);
    results_free(&forward);
    free(y);
    free(h_n);
    free(h);
    free(in_place);
    free(with_wide);
}

static void check_steps(int quick) {
    static const shape shapes[] = {
        {3, 2, 1, 3}, {1, 1, 1, 1}, {8, 5, 1, 1}, {3, 2, 1, 0}, {17, 4, 1, 20}};
    int s, n, k;
    for (s = 0; s < (quick ? 1 : 5); s++) {
        for (n = 0; n < N_COMBINATIONS / 2; n++) {
            const pygru_config c = nth_config(n, shapes[s]);
            problem p;
            if (c.num_directions == 2) {
                continue;
            }
            p = problem_new(&c, 1, shapes[s].B, 0, 0);
            for (k = 0; k < N_PRECISIONS; k++) {
                check_step(&p, &precisions[k]);
            }
            problem_free(&p);
        }
    }
}

/* ---- stopping ----------------------------------------------------------------------- */

typedef struct watch {
    pthread_t caller;
    int answer;
    int calls;
    int calls_from_elsewhere;
} watch;

static int poll_watch(void *context) {
    watch *w = context;
    w->calls++;
    w->calls_from_elsewhere += !pthread_equal(pthread_self(), w->caller);
    return w->answer;
}

static double milliseconds_now(void) {
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* One run of a problem on a BLAS so slow that each call of the core takes over 100 ms. */
static double run_watched(const problem *p, const precision *kind, int32_t n_threads,
                          int backward_only, watch *w, results *r) {
    const double begin = milliseconds_now();
    options o = plain_options;
    w->caller = pthread_self();
    w->calls = 0;
    w->calls_from_elsewhere = 0;
    o.n_threads = n_threads;
    o.poll = poll_watch;
    o.poll_context = w;
    o.nap_us = 1000;
    o.backward_only = backward_only;
    o.grads_before = 0.75;
    kind->run(p, &o, r);
    CHECK(w->calls >= 1);
    CHECK_INT(w->calls_from_elsewhere, 0);
    return milliseconds_now() - begin;
}

static void check_stopping(void) {
    const pygru_config c = {2, 3, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS};
    problem p = problem_new(&c, 60, 40, 0, 0);
    int k;
    int32_t n_threads;
    int64_t i;
    for (k = 0; k < N_PRECISIONS; k++) {
        for (n_threads = 1; n_threads <= 2; n_threads++) {
            const precision *kind = &precisions[k];
            options o = plain_options;
            watch w = {0};
            results expected, r;
            double elapsed;

            describe(&p, kind, "poll stops forward");
            w.answer = 1;
            (void)run_watched(&p, kind, n_threads, 0, &w, &r);
            CHECK_INT(r.forward, PYGRU_CANCELLED);
            results_free(&r);

            describe(&p, kind, "poll stops backward, gradients are as before");
            (void)run_watched(&p, kind, n_threads, 1, &w, &r);
            CHECK_INT(r.forward, PYGRU_OK);
            CHECK_INT(r.backward, PYGRU_CANCELLED);
            for (i = 0; r.grads != NULL && i < p.n_parameters; i++) {
                CHECK_NEAR(r.grads[i], 0.75, 0);
            }
            results_free(&r);

            describe(&p, kind, "poll that never stops");
            o.grads_before = 0.75;
            kind->run(&p, &o, &expected);
            w.answer = 0;
            elapsed = run_watched(&p, kind, n_threads, 0, &w, &r);
            CHECK(w.calls <= elapsed / 50);
            check_same_outputs(&p, &r, &expected);
            check_same_gradients(&p, &r, &expected);
            results_free(&r);
            results_free(&expected);
        }
    }
    problem_free(&p);
}

/* ---- a forked child ----------------------------------------------------------------- */

/* The threads of the parent are gone in the child: it must compute alone, not hang. */
static void check_forked_child(void) {
    const pygru_config c = {2, 8, 2, 2, 1, PYGRU_RESET_BEFORE, PYGRU_UPDATE_KEEPS};
    problem p = problem_new(&c, 12, 20, 1, 0);
    options o = plain_options;
    results expected, r;
    int state = 0;
    pid_t child;
    o.n_threads = 2;
    describe(&p, &precisions[0], "forked child");
    precisions[0].run(&p, &o, &expected);
    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        checks_failed = 0;
        CHECK_INT(pygru_available_threads(), 1);
        precisions[0].run(&p, &o, &r);
        check_same_outputs(&p, &r, &expected);
        check_same_gradients(&p, &r, &expected);
        _exit(checks_failed > 0);
    }
    CHECK(child > 0);
    CHECK(waitpid(child, &state, 0) == child && WIFEXITED(state) && WEXITSTATUS(state) == 0);
    results_free(&expected);
    problem_free(&p);
}

#endif
