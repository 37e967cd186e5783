/* network_checks.h - forward, backward and step, compared with the reference, and with runs in
 * other ways. */
#ifndef NETWORK_CHECKS_H
#define NETWORK_CHECKS_H

#include "precisions.h"
#include "reference.h"

typedef struct shape {
    int64_t H;
    int64_t I;
    int64_t T;
    int64_t B;
} shape;

static const options plain_options = {.keep = PYGRU_KEEP_GATES, .n_threads = 1, .int_bytes = 4};

static void describe(const problem *p, const precision *kind, const options *o,
                     const char *how) {
    const pygru_config *c = &p->config;
    const kernel_set *set = set_of(o->kernels);
    set_case("%s, %s, %s, %s, H=%d I=%d T=%d B=%d L=%d D=%d bias=%d reset=%d update=%d%s%s%s "
             "activations=%d %d clip=%g reverse=%d",
             how, kind->name, o->engine == PYGRU_ENGINE_SIMD ? "SIMD" : "BLAS",
             set == NULL ? "other kernels" : set->name, (int)c->hidden_size, (int)c->input_size,
             (int)p->T, (int)p->B, (int)c->num_layers, (int)c->num_directions, (int)c->has_bias,
             (int)c->reset, (int)c->update, p->lengths != NULL ? " ragged" : "",
             p->dropout != NULL || p->recurrent != NULL || p->zoneout != NULL ? " noise" : "",
             c->norm_eps > 0 ? " norm" : "", (int)c->activation.function,
             (int)c->recurrent_activation.function, c->clip, (int)c->reverse);
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

/* Exact zeros after the end of every sequence. */
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

/* The state after visit s of sequence b, according to the tape and y. */
static const double *state_after(const problem *p, const results *r, const int64_t *row_of,
                                 const pygru_tape_view *view, int64_t s, int64_t b) {
    const int64_t H = p->config.hidden_size;
    return s + 1 < length_of(p, b) ? r->tape + view->h_prev + row_of[(s + 1) * p->B + b] * H
                                   : r->tape + view->h_last + b * H;
}

static void check_tape_gates(const problem *p, const precision *kind, const double *gates,
                             const double *h, const double *next) {
    const int64_t H = p->config.hidden_size;
    const double rounding = kind->precision == PYGRU_FLOAT32 ? 1e-6 : 1e-14;
    int64_t j;
    for (j = 0; j < H; j++) {
        const double n = gates[j], r = gates[H + j], z = gates[2 * H + j];
        const double expected = p->config.update == PYGRU_UPDATE_KEEPS ? z * h[j] + (1 - z) * n
                                                                       : (1 - z) * h[j] + z * n;
        if (p->zoneout == NULL) {
            CHECK_NEAR(next[j], expected, rounding * fmax(1, fabs(expected)));
        }
        if (p->config.reset == PYGRU_RESET_BEFORE && p->recurrent == NULL) {
            CHECK_NEAR(gates[3 * H + j], r * h[j], rounding);
        }
    }
}

/* The contents and the order of the tape are as pygru.h says. */
static void check_tape(const problem *p, const precision *kind, const results *r,
                       const int64_t *row_of) {
    const pygru_config *c = &p->config;
    const int64_t H = c->hidden_size, D = c->num_directions;
    int64_t layer, b, s;
    int32_t d;
    for (layer = 0; layer < c->num_layers; layer++) {
        for (d = 0; d < D; d++) {
            const int64_t states = (layer * D + d) * p->B * H;
            pygru_tape_view view = {-2, -2, -2, -2};
            pygru_tape_view_of(r->plan, layer, d, &view);
            CHECK_SAME(p->B * H, r->tape + view.h_last, r->h_n + states);
            for (b = 0; b < p->B; b++) {
                for (s = 0; s < length_of(p, b); s++) {
                    const int64_t row = row_of[s * p->B + b];
                    const int64_t time = time_of_visit(p, d, b, s);
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
    /* The distances are smaller where there may be kinks, so rounding errors matter more. */
    CHECK_NEAR(slope, expected,
               1e-7 * fmax(fabs(expected), has_kinks(&p->config) ? 0.1 : 0.01));
    free(direction);
}

/* x, h0 and all parameters; one weight matrix or bias at a time if the problem is small. */
static void check_slopes(const problem *p, const precision *kind, const options *o,
                         const results *r, int each_array) {
    const int64_t H = p->config.hidden_size;
    int64_t layer;
    int32_t d;
    describe(p, kind, o, "gradient of x, h0, parameters");
    check_slope(p, p->n_x, p->x, r->d_x);
    check_slope(p, p->n_states, p->h0, r->d_h0);
    check_slope(p, p->n_parameters, p->parameters, r->grads);
    for (layer = 0; each_array && layer < p->config.num_layers; layer++) {
        for (d = 0; d < p->config.num_directions; d++) {
            pygru_cell at;
            CHECK_INT(pygru_cell_of(&p->config, layer, d, &at), PYGRU_OK);
            describe(p, kind, o, "gradient of weight, bias, gain");
            check_slope(p, 3 * H * at.input_size, p->parameters + at.weight_ih,
                        r->grads + at.weight_ih);
            check_slope(p, 3 * H * H, p->parameters + at.weight_hh, r->grads + at.weight_hh);
            if (p->config.has_bias) {
                check_slope(p, 3 * H, p->parameters + at.bias_ih, r->grads + at.bias_ih);
                check_slope(p, 3 * H, p->parameters + at.bias_hh, r->grads + at.bias_hh);
            }
            if (p->config.norm_eps > 0) {
                check_slope(p, 3 * H, p->parameters + at.gain_ih, r->grads + at.gain_ih);
                check_slope(p, 3 * H, p->parameters + at.gain_hh, r->grads + at.gain_hh);
            }
        }
    }
}

/* ---- one problem, every way --------------------------------------------------------- */

/* `usual` is an engine and a set of kernels; `expected` are its results, by what is kept. */

/* Runs that must give the same bits as the usual one. */
static void check_same_bits_otherwise(const problem *p, const precision *kind,
                                      const options *usual, const results expected[3],
                                      int64_t number) {
    static const char *const names[] = {"64-bit BLAS", "other layout, h_n is h0",
                                        "odd workspace", "2 threads", "3 threads"};
    const int ways = p->B > 3 ? 5 : 3;
    int way;
    for (way = 0; way < ways; way++) {
        options o = *usual;
        results r;
        o.keep = (int32_t)((number + way) % 3);
        o.int_bytes = way == 0 || way == 4 ? 8 : 4;
        o.in_place = way == 1;
        o.lay = way == 1 ? (layout)(1 + number % (N_LAYOUTS - 1)) : TIME_MAJOR;
        o.odd_workspace = way == 2;
        o.n_threads = way < 3 ? 1 : way - 1;
        o.threading = (number + way) % 2 == 0 ? PYGRU_POOL : PYGRU_OPENMP;
        describe(p, kind, &o, names[way]);
        kind->run(p, &o, &r);
        check_same_outputs(p, &r, &expected[o.keep]);
        if (o.keep != PYGRU_KEEP_NOTHING) {
            check_same_gradients(p, &r, &expected[o.keep]);
        }
        results_free(&r);
    }
}

/* The other kernels of a family give the same bits too. So does NULL, which stands for the best
 * set. What the tape keeps changes from one set to the next. */
static void check_rest_of_family(const problem *p, const precision *kind, const options *usual,
                                 const results expected[3], int64_t number) {
    const kernel_set *first = set_of(usual->kernels);
    int i;
    for (i = 0; i <= n_kernel_sets; i++) {
        options o = *usual;
        results r;
        o.kernels = i < n_kernel_sets ? kernel_sets[i].kernels : NULL;
        if (o.kernels == first->kernels || set_of(o.kernels)->fused != first->fused) {
            continue;
        }
        o.keep = (int32_t)((number + i) % 3);
        o.n_threads = p->B > 3 ? 1 + i % 2 : 1;
        o.threading = number % 2 == 0 ? PYGRU_POOL : PYGRU_OPENMP;
        describe(p, kind, &o, o.kernels == NULL ? "the best kernels" : "other kernels");
        kind->run(p, &o, &r);
        check_same_outputs(p, &r, &expected[o.keep]);
        if (o.keep != PYGRU_KEEP_NOTHING) {
            check_same_gradients(p, &r, &expected[o.keep]);
        }
        results_free(&r);
    }
}

/* The smallest integers that a BLAS may have: long products are cut into tiles of rows. */
static void check_tiled(const problem *p, const precision *kind, const options *usual,
                        const results *expected) {
    const pygru_config *c = &p->config;
    const int64_t above = c->num_layers > 1 ? c->num_directions * c->hidden_size : 0;
    options o = *usual;
    results r;
    o.max_int = 4 * c->hidden_size;
    o.max_int = o.max_int > c->input_size ? o.max_int : c->input_size;
    o.max_int = o.max_int > above ? o.max_int : above;
    describe(p, kind, &o, "tiled products");
    kind->run(p, &o, &r);
    CHECK_INT(r.forward, PYGRU_OK);
    CHECK_CLOSE(p->n_y, r.y, expected->y, kind->tolerance);
    CHECK_CLOSE(p->n_states, r.h_n, expected->h_n, kind->tolerance);
    check_close_gradients(p, &r, expected, kind->tolerance);
    results_free(&r);
}

/* Gradients are added to the values before, with one rounding. */
static void check_added(const problem *p, const precision *kind, const options *usual,
                        const results *expected) {
    options o = *usual;
    results r;
    double *sums = doubles(p->n_parameters);
    int64_t i;
    o.grads_before = 0.75;
    for (i = 0; i < p->n_parameters; i++) {
        sums[i] = o.grads_before + expected->grads[i];
        sums[i] = kind->precision == PYGRU_FLOAT32 ? (double)(float)sums[i] : sums[i];
    }
    describe(p, kind, &o, "gradients are added");
    kind->run(p, &o, &r);
    CHECK_SAME(p->n_parameters, r.grads, sums);
    results_free(&r);
    free(sums);
}

/* All checks of one problem in one precision, on one engine with one family of kernels. y and
 * h_n are the right values. Returns the results of the usual way. */
static results check_usual_way(const problem *p, const precision *kind, const options *usual,
                               int64_t number, const double *y, const double *h_n) {
    results expected[3];
    int64_t *row_of;
    int32_t keep;
    describe(p, kind, usual, "plain");
    for (keep = PYGRU_KEEP_NOTHING; keep <= PYGRU_KEEP_GATES; keep++) {
        options o = *usual;
        o.keep = keep;
        kind->run(p, &o, &expected[keep]);
        CHECK_CLOSE(p->n_y, expected[keep].y, y, kind->tolerance);
        CHECK_CLOSE(p->n_states, expected[keep].h_n, h_n, kind->tolerance);
        check_padding(p, p->config.num_directions * p->config.hidden_size, expected[keep].y);
    }
    check_same_outputs(p, &expected[0], &expected[2]);
    check_same_outputs(p, &expected[1], &expected[2]);
    CHECK_INT(expected[0].sizes.tape, 0);
    row_of = check_plan_rows(p, &expected[2]);
    check_tape(p, kind, &expected[2], row_of);
    free(row_of);
    describe(p, kind, usual, "kept outputs, kept gates");
    check_close_gradients(p, &expected[1], &expected[2], kind->tolerance);
    check_padding(p, p->config.input_size, expected[1].d_x);
    check_padding(p, p->config.input_size, expected[2].d_x);
    check_same_bits_otherwise(p, kind, usual, expected, number);
    check_rest_of_family(p, kind, usual, expected, number);
    check_tiled(p, kind, usual, &expected[2]);
    if (number % 4 == 0) {
        check_added(p, kind, usual, &expected[2]);
    }
    results_free(&expected[0]);
    results_free(&expected[1]);
    return expected[2];
}

/* All checks of one problem. The gradients of the first way, in float64, are compared with
 * differences, and those of every other way with the first ones. */
static void check_problem(const problem *p, int64_t number, int each_array) {
    double *y = doubles(p->n_y), *h_n = doubles(p->n_states);
    results first = {0}, r;
    int k, fused;
    int32_t engine;
    reference_forward(p, y, h_n);
    for (k = 0; k < N_PRECISIONS; k++) {
        for (engine = 0; engine <= pygru_has_simd_engine(); engine++) {
            for (fused = 0; fused < 2; fused++) {
                const precision *kind = &precisions[k];
                const kernel_set *set = first_of_family(fused);
                options usual = plain_options;
                if (set == NULL) {
                    continue;
                }
                usual.engine = engine;
                usual.kernels = set->kernels;
                r = check_usual_way(p, kind, &usual, number, y, h_n);
                if (first.plan == NULL) {
                    first = r;
                    check_slopes(p, kind, &usual, &r, each_array);
                } else {
                    describe(p, kind, &usual, "gradients against those of the first way");
                    check_close_gradients(p, &r, &first, kind->tolerance);
                    results_free(&r);
                }
            }
        }
    }
    results_free(&first);
    free(y);
    free(h_n);
}

/* ---- all problems ------------------------------------------------------------------- */

/* The n-th of 32 combinations of options; bit 5 of n is the caller's: lengths that differ. */
static pygru_config nth_config(int n, shape s) {
    const pygru_config c = {s.I,        s.H,          1 + (n >> 2 & 1), 1 + (n >> 3 & 1),
                            n >> 4 & 1, n & 1,        n >> 1 & 1,       0,
                            0,          .norm_eps = 0};
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
        /* the smallest shapes with all combinations, of the others another fifth each, of the
         * largest an eleventh */
        const int64_t size = shapes[s].H * shapes[s].T * shapes[s].B;
        const int stride = every * (size <= 120 ? 1 : size <= 1000 ? 5 : 11);
        for (n = s % stride; n < N_COMBINATIONS; n += stride) {
            const pygru_config c = nth_config(n, shapes[s]);
            const int small = shapes[s].H * shapes[s].T * shapes[s].B <= 120;
            problem p = problem_new(&c, shapes[s].T, shapes[s].B, n >> 5 & 1, NO_NOISE);
            check_problem(&p, n + s, small);
            problem_free(&p);
        }
    }
}

/* Dropout between the layers and of the states, and zoneout: alone and together. */
static void check_noise(int quick) {
    static const shape shapes[] = {{3, 2, 5, 3}, {8, 3, 12, 20}};
    int s, n;
    for (s = 0; s < (quick ? 1 : 2); s++) {
        for (n = 0; n < N_COMBINATIONS; n += quick ? 13 : 7 * every) {
            pygru_config c = nth_config(n, shapes[s]);
            problem p;
            c.num_layers = 3;
            p = problem_new(&c, shapes[s].T, shapes[s].B, n >> 5 & 1, 1 + (n + s) % 7);
            check_problem(&p, n, s == 0);
            problem_free(&p);
        }
    }
}

/* Layer normalisation, with and without noise. The epsilon is large, so that the results are
 * smooth enough for finite differences although there are few units. */
static void check_norm(int quick) {
    static const shape shapes[] = {{3, 2, 5, 3}, {1, 1, 2, 1}, {17, 3, 7, 20}, {40, 5, 9, 3}};
    int s, n;
    for (s = 0; s < (quick ? 1 : 4); s++) {
        for (n = s; n < N_COMBINATIONS; n += quick ? 13 : (s == 0 ? 1 : 5) * every) {
            pygru_config c = nth_config(n, shapes[s]);
            problem p;
            c.norm_eps = 0.1;
            p = problem_new(&c, shapes[s].T, shapes[s].B, n >> 5 & 1, n % 8);
            check_problem(&p, n, s == 0);
            problem_free(&p);
        }
    }
}

/* The n-th combination of activations, and a limit of the sums every second time. */
static void choose_activations(int64_t n, pygru_config *c) {
    static const pygru_activation activations[] = {{PYGRU_ACTIVATION_USUAL, 0, 0},
                                                   {PYGRU_ACTIVATION_tanh, 0, 0},
                                                   {PYGRU_ACTIVATION_sigmoid, 0, 0},
                                                   {PYGRU_ACTIVATION_relu, 0, 0},
                                                   {PYGRU_ACTIVATION_linear, 0, 0},
                                                   {PYGRU_ACTIVATION_softsign, 0, 0},
                                                   {PYGRU_ACTIVATION_hard_sigmoid, 0.2, 0.5},
                                                   {PYGRU_ACTIVATION_hard_sigmoid, 0.9, 0.3}};
    c->activation = activations[n % 8];
    c->recurrent_activation = activations[(n + n / 8) % 8];
    c->clip = n / 2 % 2 == 0 ? 0 : 0.5;
}

/* Other activations in both places, clipped sums, and sequences that are read in reverse: with
 * every reset and update, with layer normalisation and noise. */
static void check_other_cells(int quick) {
    static const shape shapes[] = {{3, 2, 5, 3}, {17, 3, 4, 20}, {40, 5, 3, 3}};
    int s, n;
    for (s = 0; s < (quick ? 1 : 3); s++) {
        for (n = s; n < 2 * N_COMBINATIONS; n += quick ? 13 : (s == 0 ? 3 : 11) * every) {
            pygru_config c = nth_config(n, shapes[s]);
            problem p;
            choose_activations(n / 4 + 3 * s, &c);
            c.norm_eps = n % 7 == 0 ? 0.1 : 0;
            c.reverse = c.num_directions == 1 && n % 3 > 0;
            p = problem_new(&c, shapes[s].T, shapes[s].B, n >> 5 & 1, n % 5 == 0 ? n % 8 : 0);
            check_problem(&p, n, s == 0);
            problem_free(&p);
        }
    }
}

/* Sizes at which the core cuts its work differently: several tiles of one weight matrix, time
 * blocks that one step more would make one row too long, and panels of columns; more rows than
 * one weight-gradient product takes at once; chunks of as many sequences as there can be. */
static void check_large(void) {
    static const shape shapes[] = {{160, 5, 5, 33}, {2, 1, 300, 20}, {3, 2, 3, 1100}};
    int s, n;
    for (s = 0; s < 3; s++) {
        for (n = 0; n < 8; n += 3 * every) { /* both values of both options; bit 2: norm */
            pygru_config c = nth_config(n & 3, shapes[s]);
            problem p;
            c.has_bias = 1;
            c.norm_eps = n & 4 ? 0.1 : 0;
            c.num_directions = s == 1 ? 2 : 1;
            c.num_layers = s == 1 ? 2 : 1;
            p = problem_new(&c, shapes[s].T, shapes[s].B, n == 3, NO_NOISE);
            check_problem(&p, n, 0);
            problem_free(&p);
        }
    }
}

/* An array that may be NULL is zeros then; without d_x the rest is the same. */
static void check_null_is_zero_on(const precision *kind, int32_t engine) {
    const pygru_config c = {
        2, 3, 2, 2, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    problem p = problem_new(&c, 5, 20, 1, NO_NOISE);
    options o = plain_options;
    results some, others;
    o.engine = engine;
    describe(&p, kind, &o, "without d_x");
    kind->run(&p, &o, &some);
    o.null_d_x = 1;
    kind->run(&p, &o, &others);
    CHECK_INT(others.backward, PYGRU_OK);
    CHECK_SAME(p.n_states, others.d_h0, some.d_h0);
    CHECK_SAME(p.n_parameters, others.grads, some.grads);
    results_free(&some);
    results_free(&others);

    memset(p.h0, 0, (size_t)p.n_states * sizeof(double));
    memset(p.d_y, 0, (size_t)p.n_y * sizeof(double));
    memset(p.d_h_n, 0, (size_t)p.n_states * sizeof(double));
    o.null_d_x = 0;
    describe(&p, kind, &o, "NULL is zeros");
    kind->run(&p, &o, &some);
    o.null_h0 = o.null_d_h_n = o.null_d_y = 1;
    kind->run(&p, &o, &others);
    check_same_outputs(&p, &others, &some);
    check_same_gradients(&p, &others, &some);
    results_free(&some);
    results_free(&others);
    problem_free(&p);
}

static void check_null_is_zero(void) {
    int k;
    int32_t engine;
    for (k = 0; k < N_PRECISIONS; k++) {
        for (engine = 0; engine <= pygru_has_simd_engine(); engine++) {
            check_null_is_zero_on(&precisions[k], engine);
        }
    }
}

/* ---- one step ----------------------------------------------------------------------- */

/* `truth` is h_n by the reference. On the SIMD engine a step has the bits of a forward call. */
static void check_step(const problem *p, const precision *kind, const options *usual,
                       const double *truth) {
    const double apart = usual->engine == PYGRU_ENGINE_SIMD ? 0 : kind->tolerance / 10;
    options o = *usual;
    pygru_status status[3];
    double *h, *in_place, *with_wide;
    results forward;
    o.keep = PYGRU_KEEP_NOTHING;
    describe(p, kind, &o, "one step");
    kind->run(p, &o, &forward);
    h = kind->run_steps(p, &o, 1, &status[0]);
    o.in_place = 1;
    in_place = kind->run_steps(p, &o, 1, &status[1]);
    o.in_place = 0;
    o.int_bytes = 8;
    with_wide = kind->run_steps(p, &o, 1, &status[2]);
    CHECK(status[0] == PYGRU_OK && status[1] == PYGRU_OK && status[2] == PYGRU_OK);
    CHECK_CLOSE(p->n_states, h, truth, kind->tolerance);
    CHECK_CLOSE(p->n_states, h, forward.h_n, apart);
    CHECK_SAME(p->n_states, in_place, h);
    CHECK_SAME(p->n_states, with_wide, h);
    CHECK_INT(atomic_load(&blas_refusals), 0);
    results_free(&forward);
    free(h);
    free(in_place);
    free(with_wide);
}

static void check_steps_of(const problem *p) {
    double *y = doubles(p->n_y), *h_n = doubles(p->n_states);
    int k, set;
    int32_t engine;
    reference_forward(p, y, h_n);
    for (k = 0; k < N_PRECISIONS; k++) {
        for (engine = 0; engine <= pygru_has_simd_engine(); engine++) {
            for (set = 0; set < n_kernel_sets; set++) {
                options o = plain_options;
                o.engine = engine;
                o.kernels = kernel_sets[set].kernels;
                check_step(p, &precisions[k], &o, h_n);
            }
        }
    }
    free(y);
    free(h_n);
}

static void check_steps(int quick) {
    static const shape shapes[] = {
        {3, 2, 1, 3}, {1, 1, 1, 1}, {8, 5, 1, 1}, {3, 2, 1, 0}, {17, 4, 1, 20}};
    int s, n;
    for (s = 0; s < (quick ? 1 : 5); s++) {
        for (n = 0; n < N_COMBINATIONS / 2; n++) {
            pygru_config c = nth_config(n, shapes[s]);
            problem p;
            if (c.num_directions == 2) {
                continue;
            }
            c.norm_eps = (n + s) % 3 == 0 ? 0.1 : 0;
            choose_activations(n % 5 == 0 ? 0 : n + s, &c);
            p = problem_new(&c, 1, shapes[s].B, 0, NO_NOISE);
            check_steps_of(&p);
            problem_free(&p);
        }
    }
}

#endif
