/* pool.h - threads of pygru's own, which sleep while there is no work.
 *
 * An OpenMP region ends when every thread of its team has arrived. On a busy machine the caller
 * therefore waits for threads that the system has not even started, and libgomp's threads wait
 * by spinning, on the processors that others need. Here a thread joins a call if it gets a
 * processor in time, and a call ends when those that have joined are done. */
#ifndef PYGRU_POOL_H
#define PYGRU_POOL_H

#include <stdint.h>

/* For a system without threads. Then each call runs on the calling thread, or those of OpenMP. */
#if defined(PYGRU_NO_POOL)
#define PYGRU_HAS_POOL 0
#else
#define PYGRU_HAS_POOL 1
#endif

/* Runs body(context, 0) on the calling thread, and body(context, slot) for some of the slots
 * from 1 to n_threads - 1 on other threads at the same time: for none of them, if no other
 * thread gets a processor before the calling one is done, or if there is no pool. Returns when
 * all have returned. Many threads may call it at once, and body may call it again. */
void pygru_pool_run(int32_t n_threads, void (*body)(void *context, int32_t slot),
                    void *context);

#endif
