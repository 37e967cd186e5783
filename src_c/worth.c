/* worth.c - the cost model of worth.h, and its memory: a few numbers for each kind of work. */
#include "worth.h"

#include "atomics.h"
#include "checked.h"

/* Each thread should have work for some 10 us at least. A call is brief if one thread needs no
 * longer than twice the time in which a sleeping thread wakes up. The workers of pool.c stay
 * awake as long as SUCCESSION_NS. */
enum { LEAST_SHARE = 500000, BRIEF = 4000000, SUCCESSION_NS = 150000 };

/* The calls that run alone after a loss take PAYBACK times as long as it: it costs 2 % of their
 * time. */
enum { KINDS = 256, PAYBACK = 50, MOST_ALONE = 1000000 };

/* In short calls the other threads need more time for a task than the calling thread would, whose
 * caches have the data. So one of so many calls of less than SHORT_NS runs alone and is measured,
 * the first time after FIRST_SAMPLE calls. */
enum { SHORT_NS = 1000000, SAMPLE = 64, FIRST_SAMPLE = 2 };

/* Threads may read and write these at the same time. What is lost then does no harm. */
static struct {
    int64_t credit_ns;    /* atomic: what threads have gained, at most one call's time */
    int64_t measured_ns;  /* atomic: the time of the last call that ran alone; 0: none did */
    int64_t measured;     /* atomic: the kind of that call, because a place has several */
    int32_t to_run_alone; /* atomic: how many of the next calls */
    int32_t together;     /* atomic: calls on several threads so far */
} memory[KINDS];

static int place_of(int64_t kind) { return (int)(kind >> 55); } /* its first 8 bits */

int32_t pygru_threads_for_size(int32_t n_threads, int64_t operations, int64_t since_last_ns) {
    const int64_t most = pygru_at_least(1, operations / LEAST_SHARE);
    /* If the clock was set, since_last_ns may be negative. */
    if (operations < BRIEF && (since_last_ns < 0 || since_last_ns > SUCCESSION_NS)) {
        return 1;
    }
    return (int32_t)pygru_at_most(n_threads, most);
}

int64_t pygru_time_alone(const pygru_effort *effort) {
    const int64_t busy_ns = effort->done_ns - effort->joined_ns - effort->waited_ns;
    if (busy_ns <= 0) { /* a clock that was set, or a call that was stopped */
        return -1;
    }
    if (effort->others_ns >= 0) {
        return busy_ns + effort->others_ns;
    }
    /* In integers, because floating-point operations would raise flags of the caller. */
    return effort->own_tasks > 0 ? pygru_times(busy_ns / effort->own_tasks, effort->all_tasks)
                                 : -1;
}

int64_t pygru_kind_of_work(uintptr_t function, int64_t operations, int64_t first_tasks) {
    uint64_t mixed = (uint64_t)function;
    mixed = (mixed ^ (uint64_t)operations) * UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 32) ^ (uint64_t)first_tasks) * UINT64_C(0x9E3779B97F4A7C15);
    return (int64_t)(mixed >> 1);
}

int pygru_threads_are_worth_it(int64_t kind) {
    const int place = place_of(kind);
    const int32_t alone = LOAD32(&memory[place].to_run_alone);
    if (alone > 0) {
        STORE32(&memory[place].to_run_alone, alone - 1);
    }
    return alone <= 0;
}

void pygru_remember_alone(int64_t kind, int64_t ns) {
    if (ns > 0) { /* else the clock was set */
        STORE64(&memory[place_of(kind)].measured_ns, ns);
        STORE64(&memory[place_of(kind)].measured, kind);
    }
}

void pygru_remember_effort(int64_t kind, const pygru_effort *effort) {
    const int place = place_of(kind);
    const int64_t measured_ns = LOAD64(&memory[place].measured_ns);
    const int64_t all_ns = effort->end_ns - effort->begin_ns;
    const int32_t together = LOAD32(&memory[place].together) + 1;
    int64_t alone_ns = pygru_time_alone(effort), credit_ns;
    if (alone_ns <= 0 || all_ns <= 0) {
        return;
    }
    if (measured_ns > 0 && LOAD64(&memory[place].measured) == kind) {
        /* The estimate is wrong by a factor of 4 at most, but a clock may have been set. */
        alone_ns = pygru_at_least(alone_ns / 4, pygru_at_most(alone_ns, measured_ns));
    }
    STORE32(&memory[place].together, together % SAMPLE);
    if (together == FIRST_SAMPLE && alone_ns < SHORT_NS) {
        STORE32(&memory[place].to_run_alone, 1);
    }
    credit_ns = pygru_at_most(LOAD64(&memory[place].credit_ns) + alone_ns - all_ns, alone_ns);
    if (credit_ns < 0) {
        const int64_t calls = pygru_times(PAYBACK, -credit_ns) / alone_ns + 1;
        STORE32(&memory[place].to_run_alone, (int32_t)pygru_at_most(calls, MOST_ALONE));
        credit_ns = 0;
    }
    STORE64(&memory[place].credit_ns, credit_ns);
}
