/* parallel.c - phases of tasks, on threads of the pool or of OpenMP; the only file that uses
 * OpenMP and knows of forked children.
 *
 * In a forked child, which has none of its parent's threads, and inside another parallel region
 * the same tasks run in a plain loop, in the same order. */
#include "parallel.h"

#include "atomics.h"
#include "float_state.h"
#include "pool.h"
#include "system.h"
#include "worth.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    POLL_INTERVAL_NS = 50000000,
    SPIN_NS = 1000000,
    NAP_NS = 200000,
    SPINS = 100,
    HELD_UP_NS = 50000
};

/* The phase and the index of the next task are stored in one number, the ticket. So one atomic
 * addition takes a task, and the task belongs to the current phase. A phase has fewer than 2^40
 * tasks, because tasks are chunks and tiles. */
#define PHASE_SHIFT 40
#define INDEX_MASK ((INT64_C(1) << PHASE_SHIFT) - 1)

struct pygru_run {
    const pygru_team *team;
    const pygru_work *work;
    int64_t ticket;       /* atomic: the next task, phase << PHASE_SHIFT | index */
    int64_t done;         /* atomic: finished tasks of this phase */
    int32_t stop;         /* atomic flag */
    int32_t alone;        /* atomic flag: only the calling thread takes tasks from now on */
    int64_t last_poll_ns; /* used by the calling thread only */
    int64_t others_ns;    /* atomic: processor time of the tasks of the other threads */
    int32_t measures;     /* whether others_ns is measured */
    pygru_effort effort;  /* of the calling thread; who opens a phase adds to all_tasks */
    uint64_t float_state; /* the state of the caller, for the poll */
};

/* A forked child sets it once, before it runs anything. */
static int in_forked_child = 0;

static void remember_fork(void) { in_forked_child = 1; }

/* To be called before a thread of the pool or of OpenMP exists. Two threads may both find that
 * the guard is missing and install it twice, which does no harm. (pthread_once would need glibc
 * 2.34, where it got a new version.) */
static void install_fork_guard(void) {
    static int32_t installed; /* atomic */
    if (!LOAD32(&installed)) {
        pygru_call_in_forked_children(remember_fork);
        STORE32(&installed, 1);
    }
}

static int must_run_serially(void) {
#ifdef _OPENMP
    return in_forked_child || omp_in_parallel();
#else
    return in_forked_child;
#endif
}

static void poll_if_due(pygru_run *run) {
    const pygru_team *team = run->team;
    const int64_t now = pygru_now_ns();
    if (now - run->last_poll_ns < POLL_INTERVAL_NS) {
        return;
    }
    run->last_poll_ns = now;
    /* The poll is code of the caller, so it needs the caller's floating-point state. */
    pygru_leave_float_state(run->float_state);
    if (team->poll(team->poll_context)) {
        STORE32(&run->stop, 1);
    }
    run->float_state = pygru_enter_float_state();
}

int pygru_should_stop(pygru_run *run, int32_t slot) {
    if (slot == 0 && run->team->poll != NULL) {
        poll_if_due(run);
    }
    return LOAD32(&run->stop);
}

/* Opens the first phase from `phase` on that has tasks. If there is none, opens the phase after
 * the last one. */
static void open_phase(pygru_run *run, int32_t phase) {
    const pygru_work *work = run->work;
    while (phase < work->n_phases && work->count(phase, work->context) == 0) {
        phase++;
    }
    if (phase < work->n_phases) {
        run->effort.all_tasks += work->count(phase, work->context);
    }
    STORE64(&run->done, 0);
    STORE64(&run->ticket, (int64_t)phase << PHASE_SHIFT);
}

/* Tells the CPU that the thread is waiting in a loop. */
static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#elif defined(_M_X64)
    _mm_pause();
#elif defined(_M_ARM64)
    __yield();
#endif
}

/* Waits until another thread has finished the phase. For about a microsecond it only executes
 * pause instructions. Then it offers its processor to other threads, and later it sleeps for
 * short times, so that a busy machine can run the threads that still have a task. */
static void wait_for_next_phase(pygru_run *run, int32_t phase, int32_t slot, int64_t task_ns) {
    int64_t begin;
    int i;
    for (i = 0; i < SPINS; i++) {
        if (LOAD64(&run->ticket) >> PHASE_SHIFT != phase) {
            return;
        }
        relax();
    }
    begin = pygru_now_ns();
    while (LOAD64(&run->ticket) >> PHASE_SHIFT == phase && !pygru_should_stop(run, slot)) {
        if (run->work->meets_often && pygru_now_ns() - begin > HELD_UP_NS + 2 * task_ns) {
            STORE32(&run->alone, 1);
        }
        if (pygru_now_ns() - begin > SPIN_NS) {
            pygru_nap(NAP_NS);
        } else {
            pygru_yield();
        }
    }
}

/* Every thread runs this: it takes tasks until there are none. The thread that finishes the
 * last task of a phase opens the next phase. There is no barrier, so a thread that the system
 * has not started yet, or has interrupted between two tasks, does not delay the others. A
 * thread that is interrupted within a task does. */
static void take_tasks(pygru_run *run, int32_t slot) {
    const pygru_work *work = run->work;
    const int measures = slot != 0 && run->measures;
    int64_t task_ns = 0;
    while (!pygru_should_stop(run, slot) && (slot == 0 || !LOAD32(&run->alone))) {
        const int64_t begin = work->meets_often ? pygru_now_ns() : 0;
        const int64_t ticket = ADD64(&run->ticket, 1);
        const int32_t phase = (int32_t)(ticket >> PHASE_SHIFT);
        const int64_t task = ticket & INDEX_MASK;
        int64_t count, before;
        if (phase >= work->n_phases) {
            return;
        }
        count = work->count(phase, work->context);
        if (task >= count) {
            const int64_t from = slot == 0 ? pygru_now_ns() : 0;
            wait_for_next_phase(run, phase, slot, task_ns);
            if (slot == 0) {
                run->effort.waited_ns += pygru_now_ns() - from;
            }
            continue;
        }
        before = measures ? pygru_thread_ns() : 0;
        work->task(phase, task, slot, run, work->context);
        if (measures) {
            (void)ADD64(&run->others_ns, pygru_thread_ns() - before);
        }
        task_ns = work->meets_often ? pygru_now_ns() - begin : 0;
        if (slot == 0) {
            run->effort.own_tasks++;
        }
        if (ADD64(&run->done, 1) + 1 == count) {
            open_phase(run, phase + 1);
        }
    }
}

static void work_through(void *context, int32_t slot) {
    pygru_run *run = context;
    const int times = slot == 0 && run->team->n_threads > 1;
    const uint64_t float_state = pygru_enter_float_state();
    if (slot == 0) {
        run->float_state = float_state;
    }
    if (times) {
        run->effort.joined_ns = pygru_now_ns();
    }
    take_tasks(run, slot);
    if (times) {
        run->effort.done_ns = pygru_now_ns();
    }
    pygru_leave_float_state(slot == 0 ? run->float_state : float_state);
}

/* Runs it on n_threads. A build that lacks the threads that the team asks for uses the others,
 * and if it has neither, the calling thread. */
static void work_together(pygru_run *run, int32_t n_threads) {
#ifdef _OPENMP
    if (!PYGRU_HAS_POOL || run->team->threading == PYGRU_OPENMP) {
#pragma omp parallel num_threads(n_threads)
        work_through(run, (int32_t)omp_get_thread_num());
        return;
    }
#endif
    pygru_pool_run(n_threads, work_through, run);
}

/* When the last call ended that could use threads. */
static int64_t last_end_ns; /* atomic */

/* The same, but, if the team is adaptive, on as many threads as are worth it. */
static void work_where_it_pays(pygru_run *run) {
    const pygru_work *work = run->work;
    const pygru_team *team = run->team;
    pygru_effort *effort = &run->effort;
    const int64_t kind =
        pygru_kind_of_work((uintptr_t)work->task, work->operations, effort->all_tasks);
    int32_t n_threads = team->n_threads;
    if (team->adaptive) {
        n_threads = pygru_threads_for_size(n_threads, work->operations,
                                           effort->begin_ns - LOAD64(&last_end_ns));
        if (n_threads > 1 && !pygru_threads_are_worth_it(kind)) {
            n_threads = 1;
        }
    }
    if (n_threads > 1) {
        run->measures = !work->meets_often && pygru_thread_ns() >= 0;
        work_together(run, n_threads);
    } else {
        work_through(run, 0);
    }
    effort->end_ns = pygru_now_ns();
    STORE64(&last_end_ns, effort->end_ns);
    if (LOAD32(&run->stop)) {
        return; /* a call that was stopped does not tell how long such calls take */
    }
    if (n_threads > 1) {
        effort->others_ns = run->measures ? run->others_ns : -1;
        pygru_remember_effort(kind, effort);
    } else {
        pygru_remember_alone(kind, effort->end_ns - effort->begin_ns);
    }
}

pygru_status pygru_parallel_run(const pygru_team *team, const pygru_work *work) {
    pygru_run run = {0};
    run.team = team;
    run.work = work;
    run.last_poll_ns = run.effort.begin_ns = pygru_now_ns();
    install_fork_guard();
    open_phase(&run, 0);
    if (team->n_threads > 1 && !must_run_serially()) {
        work_where_it_pays(&run);
    } else {
        work_through(&run, 0);
    }
    return LOAD32(&run.stop) ? PYGRU_CANCELLED : PYGRU_OK;
}

int32_t pygru_has_pool(void) { return PYGRU_HAS_POOL; }

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
    return !PYGRU_HAS_POOL || must_run_serially() ? 1 : pygru_processors();
#endif
}
