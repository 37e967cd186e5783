/* system_posix.c - system.h on Linux, macOS and other POSIX systems. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE /* macOS hides _SC_NPROCESSORS_ONLN without it */
#include "system.h"

#if !defined(_WIN32)

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

static void *run_body(void *body) {
    ((void (*)(void))body)(); /* POSIX allows the cast of a function to a pointer and back */
    return NULL;
}

int pygru_start_thread(void (*body)(void)) {
    /* The thread's own faults are the only signals that it gets. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t blocked, before;
    size_t i;
    int failed;
    if (pthread_attr_init(&attributes) != 0) {
        return 0;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&blocked);
    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        (void)sigdelset(&blocked, own[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &blocked, &before);
    failed = pthread_create(&thread, &attributes, run_body, (void *)body);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return !failed;
}

void pygru_call_in_forked_children(void (*body)(void)) {
    (void)pthread_atfork(NULL, NULL, body);
}

int32_t pygru_processors(void) {
#if defined(_SC_NPROCESSORS_ONLN)
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : (int32_t)processors;
#else
    return 1;
#endif
}

void pygru_take(pygru_lock *lock) { (void)pthread_mutex_lock(lock); }

void pygru_release(pygru_lock *lock) { (void)pthread_mutex_unlock(lock); }

void pygru_wait(pygru_condition *condition, pygru_lock *lock) {
    (void)pthread_cond_wait(condition, lock);
}

void pygru_wake_one(pygru_condition *condition) { (void)pthread_cond_signal(condition); }

void pygru_wake_all(pygru_condition *condition) { (void)pthread_cond_broadcast(condition); }

int64_t pygru_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t pygru_thread_ns(void) {
#if defined(CLOCK_THREAD_CPUTIME_ID)
    struct timespec now;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0
               ? (int64_t)now.tv_sec * 1000000000 + now.tv_nsec
               : -1;
#else
    return -1;
#endif
}

void pygru_yield(void) { (void)sched_yield(); }

void pygru_nap(int64_t ns) {
    const struct timespec nap = {0, (long)ns};
    (void)nanosleep(&nap, NULL);
}

#else
typedef int pygru_no_posix; /* C wants at least one declaration in a file */
#endif
