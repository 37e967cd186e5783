/* stopping_checks.h - calls that their poll stops, and the core in a forked child. */
#ifndef STOPPING_CHECKS_H
#define STOPPING_CHECKS_H

#include <pthread.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#endif

#include "network_checks.h"

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

static double milliseconds_now(void) { return 1e-6 * (double)pygru_now_ns(); }

/* One run of a problem whose products are so slow that each call of the core takes over
 * 100 ms. */
static double run_watched(const problem *p, const precision *kind, const options *usual,
                          int backward_only, watch *w, results *r) {
    const double begin = milliseconds_now();
    options o = *usual;
    w->caller = pthread_self();
    w->calls = 0;
    w->calls_from_elsewhere = 0;
    o.poll = poll_watch;
    o.poll_context = w;
    o.nap_us = 1000;
    o.backward_only = backward_only;
    kind->run(p, &o, r);
    CHECK(w->calls >= 1);
    CHECK_INT(w->calls_from_elsewhere, 0);
    return milliseconds_now() - begin;
}

static void check_stopping_of(const problem *p, const precision *kind, const options *usual) {
    results expected, r;
    watch w = {0};
    double elapsed;
    int64_t i;

    describe(p, kind, usual, "poll stops forward");
    w.answer = 1;
    (void)run_watched(p, kind, usual, 0, &w, &r);
    CHECK_INT(r.forward, PYGRU_CANCELLED);
    results_free(&r);

    describe(p, kind, usual, "poll stops backward, gradients are as before");
    (void)run_watched(p, kind, usual, 1, &w, &r);
    CHECK_INT(r.forward, PYGRU_OK);
    CHECK_INT(r.backward, PYGRU_CANCELLED);
    for (i = 0; r.grads != NULL && i < p->n_parameters; i++) {
        CHECK_NEAR(r.grads[i], usual->grads_before, 0);
    }
    results_free(&r);

    describe(p, kind, usual, "poll that never stops");
    kind->run(p, usual, &expected);
    w.answer = 0;
    elapsed = run_watched(p, kind, usual, 0, &w, &r);
    CHECK(w.calls <= elapsed / 50);
    check_same_outputs(p, &r, &expected);
    check_same_gradients(p, &r, &expected);
    results_free(&r);
    results_free(&expected);
}

static void check_stopping(void) {
    const pygru_config c = {
        2, 3, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    problem p = problem_new(&c, 60, 40, 0, NO_NOISE);
    int k;
    int32_t engine;
    for (k = 0; k < N_PRECISIONS; k++) {
        for (engine = 0; engine <= pygru_has_simd_engine(); engine++) {
            options o = plain_options;
            o.engine = engine;
            o.kernels = engine == PYGRU_ENGINE_SIMD ? napping_kernels() : NULL;
            o.grads_before = 0.75;
            for (o.n_threads = 1; o.n_threads <= 2; o.n_threads++) {
                FOR_EACH_THREADING(o) { check_stopping_of(&p, &precisions[k], &o); }
            }
        }
    }
    problem_free(&p);
}

/* ---- a forked child ----------------------------------------------------------------- */

/* Whether the problem gives the same bits in the calling process. */
static int same_again(const problem *p, const precision *kind, const options *o,
                      const results *expected) {
    const long failed_before = checks_failed;
    results r;
    kind->run(p, o, &r);
    check_same_outputs(p, &r, expected);
    check_same_gradients(p, &r, expected);
    results_free(&r);
    return checks_failed == failed_before;
}

/* The same in a child, where threads must not be used; without a fork in the process itself. */
static int same_in_a_child(const problem *p, const precision *kind, const options *o,
                           const results *expected, int must_be_serial) {
#if defined(_WIN32)
    (void)must_be_serial;
    return same_again(p, kind, o, expected);
#else
    int state = 0;
    pid_t child;
    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        if (must_be_serial) {
            CHECK_INT(pygru_available_threads(), 1);
        }
        _exit(!same_again(p, kind, o, expected));
    }
    CHECK(child > 0);
    return child > 0 && waitpid(child, &state, 0) == child && WIFEXITED(state) &&
           WEXITSTATUS(state) == 0;
#endif
}

/* The threads of the parent are gone in the child: it must compute alone, not hang. */
static void check_forked_child(void) {
    const pygru_config c = {
        2, 8, 2, 2, 1, PYGRU_RESET_BEFORE, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    problem p = problem_new(&c, 12, 20, 1, NO_NOISE);
    options o = plain_options;
    o.n_threads = 2;
    for (o.engine = 0; o.engine <= pygru_has_simd_engine(); o.engine++) {
        FOR_EACH_THREADING(o) {
            results expected;
            describe(&p, &precisions[0], &o, "forked child");
            precisions[0].run(&p, &o, &expected);
            CHECK(same_in_a_child(&p, &precisions[0], &o, &expected, 1));
            results_free(&expected);
        }
    }
    problem_free(&p);
}

#endif
