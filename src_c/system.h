/* system.h - what each operating system does in its own way: threads, locks, forks, the time, and
 * ways to wait. system_posix.c and system_windows.c define the same functions; nothing else in the
 * core depends on the system. */
#ifndef PYGRU_SYSTEM_H
#define PYGRU_SYSTEM_H

#include <stdint.h>

/* ---- threads ------------------------------------------------------------------------ */

/* Starts a thread that runs body, which never returns. Signals that Python handles on its main
 * thread do not reach it. Returns 0 if the system has no thread left. */
int pygru_start_thread(void (*body)(void));

/* Has body called in every child that this process forks from now on, before the child does
 * anything else. Called twice with the same body it has the same effect. */
void pygru_call_in_forked_children(void (*body)(void));

/* How many processors the threads of this process may use, where the system tells it, or else
 * how many the machine has; 1 or more. */
int32_t pygru_processors(void);

/* ---- locks, and conditions that threads wait for ------------------------------------- */

#if defined(_WIN32)
typedef struct pygru_lock {
    void *system; /* an SRWLOCK, without <windows.h> in every file */
} pygru_lock;

typedef struct pygru_condition {
    void *system; /* a CONDITION_VARIABLE */
} pygru_condition;

#define PYGRU_LOCK_INIT {0}
#define PYGRU_CONDITION_INIT {0}
#else
#include <pthread.h>
typedef pthread_mutex_t pygru_lock;
typedef pthread_cond_t pygru_condition;
#define PYGRU_LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define PYGRU_CONDITION_INIT PTHREAD_COND_INITIALIZER
#endif

void pygru_take(pygru_lock *lock);
void pygru_release(pygru_lock *lock);

/* Releases the lock, sleeps until the condition is woken, and takes the lock again. It may also
 * wake up for no reason. */
void pygru_wait(pygru_condition *condition, pygru_lock *lock);
void pygru_wake_one(pygru_condition *condition);
void pygru_wake_all(pygru_condition *condition);

/* ---- the time, and ways to wait ------------------------------------------------------- */

/* The time since some moment in the past. Setting the clock does not change it. */
int64_t pygru_now_ns(void);

/* The processor time of the calling thread; -1 where the system does not tell it precisely. */
int64_t pygru_thread_ns(void);

/* Offers the processor to other threads that wait for it. */
void pygru_yield(void);

/* Sleeps for so many nanoseconds, fewer than a second, or somewhat longer. */
void pygru_nap(int64_t ns);

#endif
