/* worth.h - how many threads are faster than one, from the size of a call and from what earlier
 * calls have cost. Results do not depend on it.
 *
 * Threads that sleep take some 50 us until they work, and to wake them costs the caller a part
 * of that. So a brief call uses threads only soon after another call, when they are awake.
 *
 * On a busy machine the system interrupts a thread in the middle of a task, and the caller waits
 * for it as long as a time slice, which may be longer than the whole call. So after each call on
 * several threads the core estimates what the calling thread would have needed alone, and what
 * calls of this kind have lost so far. Then so many calls run alone that the loss is small
 * beside their time, and several threads are tried once more. */
#ifndef PYGRU_WORTH_H
#define PYGRU_WORTH_H

#include <stdint.h>

/* How many of n_threads a call should use that does so many multiply-adds, and that begins so
 * long after the end of the last one. */
int32_t pygru_threads_for_size(int32_t n_threads, int64_t operations, int64_t since_last_ns);

/* What a call has cost. */
typedef struct pygru_effort {
    int64_t begin_ns;  /* when the call began, */
    int64_t joined_ns; /* when its own thread, which has called the others, began with tasks, */
    int64_t done_ns;   /* when there was no task left for it, */
    int64_t end_ns;    /* and when all threads were done */
    int64_t waited_ns; /* of the time between joined and done, for other threads */
    int64_t others_ns; /* processor time of the other threads' tasks; -1: not measured */
    int64_t own_tasks; /* finished by the calling thread */
    int64_t all_tasks;
} pygru_effort;

/* The time that the calling thread would have needed alone; -1 if nobody can tell. */
int64_t pygru_time_alone(const pygru_effort *effort);

/* A number that calls have in common that do the same work. Many kinds share one place in the
 * memory, and with it what their threads have gained and lost. */
int64_t pygru_kind_of_work(uintptr_t function, int64_t operations, int64_t first_tasks);

/* Whether the next call of this kind should use several threads. */
int pygru_threads_are_worth_it(int64_t kind);

/* Remembers how long a call took that ran alone. */
void pygru_remember_alone(int64_t kind, int64_t ns);

/* Remembers a call on several threads that has ended. */
void pygru_remember_effort(int64_t kind, const pygru_effort *effort);

#endif
