/* parallel.h - threads: phases of independent tasks, with a way to stop in between.
 *
 * One call of the core is one pygru_parallel_run: the threads join it once, work through all
 * phases, and wait for each other between phases. The tasks depend on shapes only, and the
 * result of a task must not depend on which thread (slot) runs it. */
#ifndef PYGRU_PARALLEL_H
#define PYGRU_PARALLEL_H

#include "pygru.h"

typedef struct pygru_run pygru_run;

/* The largest number of phases that a ticket can count; a phase has fewer than 2^40 tasks. */
enum { PYGRU_MOST_PHASES = 1 << 22 };

typedef struct pygru_work {
    int32_t n_phases;
    int64_t (*count)(int32_t phase, void *context); /* how many tasks a phase has */
    /* Runs one task. slot is in [0, n_threads) and says which scratch memory the thread owns. A
     * long task calls pygru_should_stop(run, slot) from time to time and returns early if the
     * result is not 0. */
    void (*task)(int32_t phase, int64_t task, int32_t slot, pygru_run *run, void *context);
    void *context;
    int64_t operations; /* multiply-adds of all phases, about; they tell how many threads pay */
    int32_t meets_often; /* 1: phases take microseconds. If other work on its processor delays
                            a thread for much longer than that, the calling thread continues
                            alone. */
} pygru_work;

/* Errors: CANCELLED. */
pygru_status pygru_parallel_run(const pygru_team *team, const pygru_work *work);

/* Not 0 if the call has to stop. On the calling thread it polls, at most every 50 ms. */
int pygru_should_stop(pygru_run *run, int32_t slot);

#endif
