/* waiting.h - the time, and ways to wait. Whoever includes it defines _POSIX_C_SOURCE first. */
#ifndef PYGRU_WAITING_H
#define PYGRU_WAITING_H

#include <stdint.h>
#include <time.h>

#if !defined(_WIN32)
#include <sched.h>
#endif

static inline int64_t pygru_now_ns(void) {
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The processor time of the calling thread; -1 where the system does not tell it. */
static inline int64_t pygru_thread_ns(void) {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    struct timespec now;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0
               ? (int64_t)now.tv_sec * 1000000000 + now.tv_nsec
               : -1;
#else
    return -1;
#endif
}

/* Tells the CPU that the thread is waiting in a loop. */
static inline void pygru_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Offers the processor to other threads that wait for it. */
static inline void pygru_yield(void) {
#if !defined(_WIN32)
    (void)sched_yield();
#endif
}

/* Sleeps for so many nanoseconds, fewer than a second. */
static inline void pygru_nap(int64_t ns) {
#if !defined(_WIN32)
    const struct timespec nap = {0, (long)ns};
    (void)nanosleep(&nap, NULL);
#else
    (void)ns;
#endif
}

#endif
