/* pool_checks.h - the pool's threads, and what is learned about whether they are worth it. */
#ifndef POOL_CHECKS_H
#define POOL_CHECKS_H

#include <pthread.h>
#include <signal.h>

#include "../../src_c/atomics.h"
#include "../../src_c/parallel.h"
#include "../../src_c/pool.h"
#include "../../src_c/system.h"
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

/* Python handles signals on its main thread. Windows starts a thread for each. */
static int python_gets_the_signals(void) {
#if defined(_WIN32)
    return 1;
#else
    sigset_t mask;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGINT) && !sigismember(&mask, SIGSEGV);
#endif
}

static void visit_slot(void *context, int32_t slot) {
    visit *v = context;
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
        if (python_gets_the_signals()) {
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

/* How many threads of four a call uses. */
static void check_threads_for_size(void) {
    static const struct {
        int64_t operations, since_last_ns;
        int32_t expected;
    } calls[] = {{0, 0, 1},
                 {999999, 0, 1}, /* less than two shares */
                 {1000000, 0, 2},
                 {1000000, 150000, 2},
                 {1000000, 150001, 1}, /* the others sleep */
                 {1999999, 0, 3},
                 {2000000, 0, 4},
                 {3999999, 0, 4},
                 {3999999, 150001, 1},
                 {4000000, 150001, 4}, /* long enough to wake them */
                 {INT64_MAX, INT64_MAX, 4},
                 {3999999, -1, 1}}; /* the clock was set */
    size_t i;
    set_case("how many threads are worth it");
    for (i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        CHECK_INT(pygru_threads_for_size(4, calls[i].operations, calls[i].since_last_ns),
                  calls[i].expected);
    }
}

/* A call whose times are so many units of `unit` ns. It begins at 1000 and ends after `all`. Its
 * thread has waited for a fifth of its 100 units, and has finished a quarter of the tasks. */
static pygru_effort effort_of(int64_t unit, int64_t all, int64_t others) {
    const pygru_effort effort = {.begin_ns = 1000 * unit,
                                 .joined_ns = 1010 * unit,
                                 .done_ns = 1110 * unit,
                                 .end_ns = (1000 + all) * unit,
                                 .waited_ns = 20 * unit,
                                 .others_ns = others < 0 ? -1 : others * unit,
                                 .own_tasks = 3,
                                 .all_tasks = 12};
    return effort;
}

static void check_time_alone(void) {
    pygru_effort effort = effort_of(1, 120, 60);
    set_case("the time that one thread would have needed");
    CHECK_INT(pygru_time_alone(&effort), 80 + 60);
    effort.own_tasks = 0; /* the other threads have done everything */
    CHECK_INT(pygru_time_alone(&effort), 80 + 60);
    effort = effort_of(1, 120, -1);
    CHECK_INT(pygru_time_alone(&effort), 80 / 3 * 12);
    effort.own_tasks = 0;
    CHECK_INT(pygru_time_alone(&effort), -1);
    effort = effort_of(1, 120, 60);
    effort.done_ns = 900; /* the clock was set */
    CHECK_INT(pygru_time_alone(&effort), -1);
}

/* Calls that run alone before threads are tried again. */
static int calls_alone(int64_t kind) {
    int n = 0;
    while (n < 1000 && !pygru_threads_are_worth_it(kind)) {
        n++;
    }
    return n;
}

/* What the calls after one on several threads do, which took `all` units instead of 140 alone. */
static int alone_after(int64_t kind, int64_t unit, int64_t all) {
    const pygru_effort effort = effort_of(unit, all, 60);
    pygru_remember_effort(kind, &effort);
    return calls_alone(kind);
}

/* A loss may cost 2 % of the time of the calls after it, and less if there were gains. */
static void check_losses(void) {
    enum { LONG = 10000 }; /* 1.4 ms */
    const int64_t kind = pygru_kind_of_work(12345, 7000000, 3);
    pygru_effort stopped = effort_of(LONG, 9999, 60);
    int i;
    set_case("losses of long calls");
    CHECK_INT(pygru_kind_of_work(12345, 7000000, 3), kind);
    CHECK_INT(calls_alone(kind), 0);
    CHECK_INT(alone_after(kind, LONG, 140), 0); /* nothing gained, nothing lost */
    CHECK_INT(alone_after(kind, LONG, 141), 1); /* 0.7 % lost */
    CHECK_INT(alone_after(kind, LONG, 147), 7 * 50 / 140 + 1);
    CHECK_INT(alone_after(kind, LONG, 147), 7 * 50 / 140 + 1); /* the debt was paid back */
    CHECK_INT(alone_after(kind, LONG, 140 + 1400), 501);       /* a time slice was lost */
    CHECK_INT(alone_after(kind, LONG, 80), 0);                 /* 60 gained */
    CHECK_INT(alone_after(kind, LONG, 160), 0);                /* 20 of them lost again */
    CHECK_INT(alone_after(kind, LONG, 181), 50 / 140 + 1);     /* 41, of 40 that were left */
    for (i = 0; i < 100; i++) {
        CHECK_INT(alone_after(kind, LONG, 70), 0);
    }
    CHECK_INT(alone_after(kind, LONG, 280), 0); /* at most one call's time is saved up */
    CHECK_INT(alone_after(kind, LONG, 141), 1);
    stopped.done_ns = 900;
    pygru_remember_effort(kind, &stopped);
    stopped = effort_of(LONG, -1, 60);
    pygru_remember_effort(kind, &stopped);
    CHECK_INT(calls_alone(kind), 0);
}

/* The second of 64 short calls is followed by one that runs alone, and its time counts if it is
 * less than the estimate. */
static void check_samples(void) {
    const int64_t kind = pygru_kind_of_work(54321, 7000000, 3);
    int i;
    set_case("short calls that are measured alone");
    for (i = 0; i < 200; i++) {
        CHECK_INT(alone_after(kind, 1, 120), i % 64 == 1);
    }
    pygru_remember_alone(kind, -5); /* the clock was set */
    pygru_remember_alone(kind, 0);
    CHECK_INT(alone_after(kind, 1, 120), 0);
    pygru_remember_alone(kind, 150);
    CHECK_INT(alone_after(kind, 1, 120), 0);
    pygru_remember_alone(kind, 100); /* so 120 was a loss; 100 had been saved up */
    CHECK_INT(alone_after(kind, 1, 120), 0);
    CHECK_INT(alone_after(kind, 1, 200), 0);
    CHECK_INT(alone_after(kind, 1, 120), 20 * 50 / 100 + 1);
}

/* Kinds that share a place in the memory do not take each other's measured times. */
static void check_shared_places(void) {
    const int64_t kind = pygru_kind_of_work(99999, 7000000, 3);
    int64_t size = 7000001, other;
    do {
        other = pygru_kind_of_work(99999, size++, 3);
    } while (other >> 55 != kind >> 55);
    set_case("kinds of calls in one place");
    CHECK(other != kind);
    pygru_remember_alone(other, 50);
    CHECK_INT(alone_after(kind, 1, 120), 0); /* not a loss of 70 */
    pygru_remember_alone(kind, 1);           /* a clock was set: no estimate is so wrong */
    CHECK_INT(alone_after(kind, 1, 75), 20 * 50 / 35 + 1);
}

static void check_worth(void) {
    check_threads_for_size();
    check_time_alone();
    check_losses();
    check_samples();
    check_shared_places();
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
            pygru_nap(100000); /* as a thread that the system has interrupted */
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
    const pygru_work work = {.n_phases = 1,
                             .count = two_tasks,
                             .task = hold_up,
                             .context = &h,
                             .operations = INT64_MAX};
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
