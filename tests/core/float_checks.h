/* float_checks.h - the core computes in a floating-point state of its own. The caller's state
 * has no influence on the results and is unchanged afterwards, and no result is denormal. */
#ifndef FLOAT_CHECKS_H
#define FLOAT_CHECKS_H

#include "stopping_checks.h"

/* ---- the caller's state --------------------------------------------------------------- */

static const char *const state_names[N_STATES] = {
    "as it is",           "caller rounds up",        "caller rounds down",
    "caller rounds to 0", "caller has flags raised", "caller has traps"};

static void check_states_of_calls(const problem *p, const precision *kind,
                                  const options *usual) {
    options o = *usual;
    results expected, r;
    kind->run(p, &o, &expected);
    for (o.state = STATE_ROUNDS_UP; o.state < N_STATES; o.state++) {
        describe(p, kind, &o, state_names[o.state]);
        if (o.state == STATE_TRAPS) { /* ends with a signal if the core lets a trap through */
            CHECK(same_in_a_child(p, kind, &o, &expected, 0));
            continue;
        }
        kind->run(p, &o, &r);
        check_same_outputs(p, &r, &expected);
        check_same_gradients(p, &r, &expected);
        results_free(&r);
    }
    results_free(&expected);
}

static void check_states_of_steps(const problem *p, const precision *kind,
                                  const options *usual) {
    options o = *usual;
    pygru_status status;
    double *expected = kind->run_steps(p, &o, 2, &status);
    CHECK_INT(status, PYGRU_OK);
    for (o.state = STATE_ROUNDS_UP; o.state < STATE_TRAPS; o.state++) {
        double *h;
        describe(p, kind, &o, state_names[o.state]);
        h = kind->run_steps(p, &o, 2, &status);
        CHECK_INT(status, PYGRU_OK);
        CHECK_SAME(2 * p->n_states, h, expected);
        free(h);
    }
    free(expected);
}

static void check_float_state(void) {
    int n, k, fused;
    for (n = 0; n < 2; n++) {
        /* both resets, with two directions and with one, because a step has one */
        const pygru_config c = {5, 7, 2, 2 - n, 1, n, n, 0, 0, .norm_eps = 0};
        problem p = problem_new(&c, 6, 20, 0, NO_NOISE);
        for (k = 0; k < N_PRECISIONS; k++) {
            for (fused = 0; fused < 2; fused++) {
                const kernel_set *set = first_of_family(fused);
                options o = plain_options;
                if (set == NULL) {
                    continue;
                }
                o.kernels = set->kernels;
                o.grads_before = 0.75;
                for (o.engine = 0; o.engine <= pygru_has_simd_engine(); o.engine++) {
                    for (o.n_threads = 1; o.n_threads <= 2; o.n_threads++) {
                        FOR_EACH_THREADING(o) { check_states_of_calls(&p, &precisions[k], &o); }
                    }
                    if (c.num_directions == 1) {
                        check_states_of_steps(&p, &precisions[k], &o);
                    }
                }
            }
        }
        problem_free(&p);
    }
}

/* ---- denormals ------------------------------------------------------------------------ */

static int64_t count_denormals(const precision *kind, int64_t n, const double *values) {
    int64_t i, count = 0;
    for (i = 0; i < n; i++) {
        count += values[i] != 0 && fabs(values[i]) < kind->smallest_normal;
    }
    return count;
}

/* With weights of 0 the update gate is 1/2 and the candidate 0. So a step halves the state, and
 * backward halves the gradient. */
static void check_decay_of(const precision *kind, const options *usual) {
    const pygru_config c = {
        2, 5, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    const int64_t T = kind->precision == PYGRU_FLOAT32 ? 200 : 1200;
    problem p = problem_new(&c, T, 20, 0, NO_NOISE);
    options o = *usual;
    pygru_status status;
    double *states;
    results r;
    int64_t i;
    memset(p.parameters, 0, (size_t)p.n_parameters * sizeof(double));
    memset(p.d_y, 0, (size_t)p.n_y * sizeof(double));
    describe(&p, kind, &o, "decay");
    kind->run(&p, &o, &r);
    CHECK(r.forward == PYGRU_OK && r.backward == PYGRU_OK);
    CHECK_INT(count_denormals(kind, p.n_y, r.y), 0);
    CHECK_INT(count_denormals(kind, p.n_states, r.h_n), 0);
    CHECK_INT(count_denormals(kind, p.n_states, r.d_h0), 0);
    CHECK_INT(count_denormals(kind, p.n_x, r.d_x), 0);
    CHECK_INT(count_denormals(kind, p.n_parameters, r.grads), 0);
    for (i = 0; i < p.n_states; i++) { /* all the way */
        CHECK_NEAR(r.h_n[i], 0, 0);
        CHECK_NEAR(r.d_h0[i], 0, 0);
    }
    states = kind->run_steps(&p, &o, T, &status);
    CHECK_INT(count_denormals(kind, T * p.n_states, states), 0);
    CHECK_CLOSE(p.n_states, states + (T - 1) * p.n_states, r.h_n, 0);
    free(states);
    results_free(&r);
    problem_free(&p);
}

static void check_decay(void) {
    int k, fused;
    if (!denormals_can_be_flushed()) {
        printf("denormals cannot be flushed here: check_decay skipped\n");
        return;
    }
    for (k = 0; k < N_PRECISIONS; k++) {
        for (fused = 0; fused < 2; fused++) {
            const kernel_set *set = first_of_family(fused);
            options o = plain_options;
            if (set == NULL) {
                continue;
            }
            o.kernels = set->kernels;
            o.n_threads = 2;
            for (o.engine = 0; o.engine <= pygru_has_simd_engine(); o.engine++) {
                FOR_EACH_THREADING(o) { check_decay_of(&precisions[k], &o); }
            }
        }
    }
}

#endif
