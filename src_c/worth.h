/* worth.h - whether several threads are faster than one, learned from the calls so far.
 *
 * On a busy machine the system interrupts a thread in the middle of a task, and the caller waits
 * for it as long as a time slice, which may be longer than the whole call. So after each call on
 * several threads the core estimates what the calling thread would have needed alone. Where that
 * is less, the next calls of this kind run alone, and more of them each time it happens again.
 * Then several threads are tried once more. Results do not depend on it. */
#ifndef PYGRU_WORTH_H
#define PYGRU_WORTH_H

#include <stdint.h>

/* What a call has cost its calling thread. */
typedef struct pygru_effort {
    int64_t begin_ns;
    int64_t waited_ns; /* of the time between begin and done, for other threads */
    int64_t done_ns;   /* when there was no task left to take */
    int64_t own_tasks; /* finished by the calling thread */
    int64_t all_tasks;
} pygru_effort;

/* The place in which calls are remembered that do the same work, or nearly. */
int32_t pygru_kind_of_work(uintptr_t function, int64_t first_tasks, int32_t n_phases);

/* Whether the next call of this kind should use several threads. */
int pygru_threads_are_worth_it(int32_t kind);

/* Remembers a call on several threads that has ended now. */
void pygru_remember_effort(int32_t kind, const pygru_effort *effort, int64_t end_ns);

#endif
