/* parallel.h - threads: phases of independent tasks, with a way to stop in between.
 *
 * One call of the core is one pygru_parallel_run: the threads start once, work through all
 * phases, and meet between phases. Tasks are numbered by shape alone and a task's result
 * must not depend on which thread (slot) runs it. */
#ifndef PYGRU_PARALLEL_H
#define PYGRU_PARALLEL_H

#include "pygru.h"

typedef struct pygru_run pygru_run;

/* More phases than this do not fit into a ticket; a phase has fewer than 2^40 tasks. */
enum { PYGRU_MOST_PHASES = 1 << 22 };

typedef struct pygru_work {
    int32_t n_phases;
    int64_t (*count)(int32_t phase, void *context); /* how many tasks a phase has */
    /* Runs one task. slot is in [0, n_threads): which scratch memory the thread owns. A
     * long task asks pygru_should_stop(run, slot) now and then and returns early. */
    void (*task)(int32_t phase, int64_t task, int32_t slot, pygru_run *run, void *context);
    void *context;
    int32_t meets_often; /* 1: phases take microseconds. When a thread is held up for much
                            longer than that, by other work on its processor, the calling thread
                            goes on alone. */
} pygru_work;

/* Errors: CANCELLED. */
pygru_status pygru_parallel_run(const pygru_team *team, const pygru_work *work);

/* Non-zero once the call is to stop. On the calling thread it polls, at most every 50 ms. */
int pygru_should_stop(pygru_run *run, int32_t slot);

#endif
