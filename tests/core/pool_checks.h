/* pool_checks.h - the pool's threads, and what is learned about whether they are worth it. */
#ifndef POOL_CHECKS_H
#define POOL_CHECKS_H

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "../../src_c/atomics.h"
#include "../../src_c/parallel.h"
#include "../../src_c/pool.h"
#include "../../src_c/waiting.h"
#include "../../src_c/worth.h"
#include "check.h"

/* ---- the pool ----------------------------------------------------------------------- */

enum { MOST_SLOTS = 8 };

typedef struct visit {
    int64_t seen[MOST_SLOTS]; /* how often the body ran in each slot */
    int32_t inside;           /* bodies that have not returned */
    int32_t to_meet;          /* slot 0 waits until so many others are inside */
    int32_t may_leave;        /* the others stay inside until slot 0 has met them */
    int32_t nested;           /* slot 0 calls the pool again */
    int32_t blocked;          /* bodies of other threads in which SIGINT is blocked */
} visit;

static void visit_slot(void *context, int32_t slot) {
    visit *v = context;
    sigset_t mask;
    (void)ADD64(&v->seen[slot], 1);
    (void)__atomic_fetch_add(&v->inside, 1, __ATOMIC_ACQ_REL);
    if (slot == 0) {
        while (LOAD32(&v->inside) <= v->to_meet) {
            pygru_yield();
        }
        STORE32(&v->may_leave, 1);
        if (v->nested) {
            visit inner = {0};
            pygru_pool_run(3, visit_slot, &inner);
            CHECK_INT(inner.seen[0], 1);
            CHECK_INT(inner.inside, 0);
        }
    } else {
        (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
        if (sigismember(&mask, SIGINT) && !sigismember(&mask, SIGSEGV)) {
            (void)__atomic_fetch_add(&v->blocked, 1, __ATOMIC_ACQ_REL);
        }
        while (!LOAD32(&v->may_leave)) {
            pygru_yield();
        }
        pygru_nap(20000); /* so that the caller is done first, as a rule */
    }
    (void)__atomic_fetch_sub(&v->inside, 1, __ATOMIC_ACQ_REL);
}

static void check_visit(int32_t n_threads, int32_t to_meet, int32_t nested) {
    visit v = {0};
    int32_t slot, others = 0;
    v.to_meet = to_meet;
    v.nested = nested;
    pygru_pool_run(n_threads, visit_slot, &v);
    CHECK_INT(LOAD32(&v.inside), 0); /* nobody is inside any more */
    CHECK_INT(LOAD64(&v.seen[0]), 1);
    for (slot = 1; slot < MOST_SLOTS; slot++) {
        CHECK(v.seen[slot] <= (slot < n_threads));
        others += (int32_t)v.seen[slot];
    }
    CHECK(others >= to_meet);
    CHECK_INT(v.blocked, others);
}

static void *visit_often(void *wrong) {
    int i;
    for (i = 0; i < 200; i++) {
        visit v = {0};
        pygru_pool_run(2 + i % 3, visit_slot, &v);
        if (v.inside != 0 || v.seen[0] != 1 || v.seen[1] > 1 || v.seen[4] != 0) {
            *(int *)wrong = 1;
        }
    }
    return NULL;
}

/* All threads of a call work at the same time, also if other callers use the pool. */
static void check_pool(void) {
    pthread_t callers[4];
    int wrong[4] = {0}, i, started[4];
    int32_t n_threads;
    set_case("pool");
    for (n_threads = 1; n_threads <= 5; n_threads++) {
        check_visit(n_threads, 0, 0);
        check_visit(n_threads, n_threads - 1, 0);
        check_visit(n_threads, 0, 1);
    }
    for (i = 0; i < 4; i++) {
        started[i] = pthread_create(&callers[i], NULL, visit_often, &wrong[i]) == 0;
    }
    for (i = 0; i < 4; i++) {
        CHECK(started[i]);
        if (started[i]) {
            (void)pthread_join(callers[i], NULL);
        }
        CHECK_INT(wrong[i], 0);
    }
}

/* ---- whether threads are worth it --------------------------------------------------- */

/* Calls that run alone before threads are tried again. */
static int calls_alone(int32_t kind) {
    int n = 0;
    while (n < 1000 && !pygru_threads_are_worth_it(kind)) {
        n++;
    }
    return n;
}

static void check_worth(void) {
    /* The caller has done half of the tasks in 60 of 100 ns, and has waited for 40. */
    const pygru_effort half = {1000, 40, 1100, 5, 10};
    const pygru_effort stopped = {1000, 0, 1100, 0, 10}, set_back = {1000, 0, 900, 5, 10};
    static const int expected[] = {1, 2, 4, 8, 16, 32, 32, 32};
    const int32_t kind = pygru_kind_of_work(12345, 7, 3);
    int i;
    set_case("whether threads are worth it");
    CHECK(kind >= 0 && kind < 256);
    CHECK_INT(pygru_kind_of_work(12345, 7, 3), kind);
    CHECK_INT(calls_alone(kind), 0);
    pygru_remember_effort(kind, &half, 1120); /* alone it takes 120 */
    CHECK_INT(calls_alone(kind), 0);
    for (i = 0; i < 8; i++) {
        pygru_remember_effort(kind, &half, 1121);
        CHECK_INT(calls_alone(kind), expected[i]);
    }
    pygru_remember_effort(kind, &half, 1050); /* four gains make up for four losses */
    pygru_remember_effort(kind, &half, 1050);
    pygru_remember_effort(kind, &half, 1050);
    pygru_remember_effort(kind, &half, 1050);
    CHECK_INT(calls_alone(kind), 0);
    pygru_remember_effort(kind, &half, 1121);
    CHECK_INT(calls_alone(kind), 2);
    pygru_remember_effort(kind, &stopped, 9999);
    pygru_remember_effort(kind, &set_back, 9999);
    CHECK_INT(calls_alone(kind), 0);
}

/* Two tasks. If two threads work, the caller has to wait for the other one, for several times as
 * long as it was busy itself. */
typedef struct held_up {
    int32_t others;  /* tasks that other threads have begun */
    int64_t busy_ns; /* of the caller */
} held_up;

static int64_t two_tasks(int32_t phase, void *context) {
    (void)phase;
    (void)context;
    return 2;
}

static void hold_up(int32_t phase, int64_t task, int32_t slot, pygru_run *run, void *context) {
    held_up *h = context;
    const int64_t begin = pygru_now_ns();
    (void)phase;
    (void)task;
    (void)run;
    if (slot != 0) {
        STORE32(&h->others, 1);
        while (LOAD64(&h->busy_ns) == 0) {
            pygru_yield();
        }
        while (pygru_now_ns() - begin < 5 * LOAD64(&h->busy_ns) + 1000000) {
            pygru_yield();
        }
    } else if (LOAD64(&h->busy_ns) == 0) {
        while (LOAD32(&h->others) == 0) {
            pygru_yield();
        }
        STORE64(&h->busy_ns, pygru_now_ns() - begin);
    }
}

/* Whether another thread has worked in a call of these two tasks. */
static int others_worked(int32_t adaptive, int32_t threading) {
    pygru_team team = {2, NULL, NULL, 0, 0};
    held_up h = {0, 0};
    const pygru_work work = {1, two_tasks, hold_up, &h, 0};
    team.adaptive = adaptive;
    team.threading = threading;
    if (adaptive) {
        h.busy_ns = 1; /* nobody waits if it runs alone */
    }
    CHECK_INT(pygru_parallel_run(&team, &work), PYGRU_OK);
    return LOAD32(&h.others);
}

static void check_held_up_calls_run_alone(void) {
    int32_t threading;
    set_case("a call that is held up");
    for (threading = PYGRU_POOL; threading <= PYGRU_OPENMP; threading++) {
        CHECK_INT(others_worked(0, threading), 1);
        CHECK_INT(others_worked(0, threading), 1); /* without `adaptive` again and again */
        CHECK_INT(others_worked(1, threading), 0); /* each loss sends one call or more */
    }
}

#endif
