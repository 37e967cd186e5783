/* parallel.c - the only file that knows OpenMP, forks and clocks.
 *
 * Without OpenMP, in a forked child (libgomp's pool does not survive a fork) and inside
 * another parallel region the same tasks run as a plain loop, in the same order. */
#define _POSIX_C_SOURCE 200809L
#include "parallel.h"

#include <time.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#endif

enum { POLL_INTERVAL_NS = 50000000, SPIN_NS = 1000000, NAP_NS = 200000 };

struct pygru_run {
    const pygru_team *team;
    const pygru_work *work;
    int64_t next;         /* atomic: the next task of this phase */
    int32_t arrived;      /* atomic: how often helpers finished a phase */
    int32_t stop;         /* atomic flag */
    int64_t last_poll_ns; /* touched by the calling thread only */
};

#if defined(_MSC_VER)
#include <intrin.h>
#define LOAD32(p) _InterlockedOr((volatile long *)(p), 0)
#define STORE32(p, v) _InterlockedExchange((volatile long *)(p), (v))
#define ADD32(p, v) _InterlockedExchangeAdd((volatile long *)(p), (v))
#define STORE64(p, v) _InterlockedExchange64((p), (v))
#define ADD64(p, v) _InterlockedExchangeAdd64((p), (v))
#else
#define LOAD32(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE32(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define ADD32(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define STORE64(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define ADD64(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#endif

/* The one mutable global of the core: written once, in a child, before it runs anything. */
static int in_forked_child = 0;

#if !defined(_WIN32)
static pthread_once_t fork_guard_once = PTHREAD_ONCE_INIT;

static void remember_fork(void) { in_forked_child = 1; }

static void install_fork_guard(void) { (void)pthread_atfork(NULL, NULL, remember_fork); }
#endif

static int must_run_serially(void) {
#ifdef _OPENMP
    return in_forked_child || omp_in_parallel();
#else
    return 1;
#endif
}

static int64_t now_ns(void) {
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void poll_if_due(pygru_run *run) {
    const pygru_team *team = run->team;
    const int64_t now = now_ns();
    /* A clock that was set back must not silence the poll: compare the distance. */
    const int64_t waited = now - run->last_poll_ns;
    if (waited >= 0 && waited < POLL_INTERVAL_NS) {
        return;
    }
    run->last_poll_ns = now;
    if (team->poll(team->poll_context)) {
        STORE32(&run->stop, 1);
    }
}

int pygru_should_stop(pygru_run *run, int32_t slot) {
    if (slot == 0 && run->team->poll != NULL) {
        poll_if_due(run);
    }
    return LOAD32(&run->stop);
}

static void work_through(pygru_run *run, int32_t phase, int32_t slot) {
    const pygru_work *work = run->work;
    const int64_t n = work->count(phase, work->context);
    int64_t task;
    while (!pygru_should_stop(run, slot) && (task = ADD64(&run->next, 1)) < n) {
        work->task(phase, task, slot, run, work->context);
    }
}

#ifdef _OPENMP
/* The calling thread waits for its helpers here rather than in the barrier, so that Ctrl-C
 * is noticed although it has nothing left to do itself. */
static void wait_for_helpers(pygru_run *run, int32_t expected) {
    const int64_t begin = now_ns();
    while (LOAD32(&run->arrived) < expected) {
        (void)pygru_should_stop(run, 0);
#if !defined(_WIN32)
        if (now_ns() - begin > SPIN_NS) {
            const struct timespec nap = {0, NAP_NS};
            (void)nanosleep(&nap, NULL);
        }
#endif
    }
}

static void run_in_parallel(pygru_run *run, int32_t n_threads) {
#pragma omp parallel num_threads(n_threads)
    {
        const int32_t slot = (int32_t)omp_get_thread_num();
        const int32_t helpers = (int32_t)omp_get_num_threads() - 1;
        int32_t phase;
        for (phase = 0; phase < run->work->n_phases; phase++) {
            work_through(run, phase, slot);
            if (slot == 0) {
                wait_for_helpers(run, helpers * (phase + 1));
                STORE64(&run->next, 0);
            } else {
                (void)ADD32(&run->arrived, 1);
            }
#pragma omp barrier
        }
    }
}
#endif

static void run_serially(pygru_run *run) {
    int32_t phase;
    for (phase = 0; phase < run->work->n_phases; phase++) {
        run->next = 0;
        work_through(run, phase, 0);
    }
}

pygru_status pygru_parallel_run(const pygru_team *team, const pygru_work *work) {
    pygru_run run = {0};
    run.team = team;
    run.work = work;
    run.last_poll_ns = now_ns();
#if !defined(_WIN32)
    (void)pthread_once(&fork_guard_once, install_fork_guard);
#endif
#ifdef _OPENMP
    if (team->n_threads > 1 && !must_run_serially()) {
        run_in_parallel(&run, team->n_threads);
    } else {
        run_serially(&run);
    }
#else
    run_serially(&run);
#endif
    return LOAD32(&run.stop) ? PYGRU_CANCELLED : PYGRU_OK;
}

int32_t pygru_openmp_version(void) {
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}

int32_t pygru_available_threads(void) {
#ifdef _OPENMP
    return must_run_serially() ? 1 : (int32_t)omp_get_max_threads();
#else
    return must_run_serially();
#endif
}
