/* worth.c - the memory of worth.h: two small numbers for each kind of work. */
#include "worth.h"

#include "atomics.h"
#include "checked.h"

enum { KINDS = 256, MOST_ALONE = 32 };

/* Threads may read and write these at the same time. What is lost then does no harm. */
static struct {
    int32_t to_run_alone; /* atomic: how many of the next calls */
    int32_t penalty;      /* atomic: how many it will be after the next loss; 0 counts as 1 */
} memory[KINDS];

int32_t pygru_kind_of_work(uintptr_t function, int64_t first_tasks, int32_t n_phases) {
    uint64_t mixed = (uint64_t)function;
    mixed = (mixed ^ (uint64_t)first_tasks) * UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 32) ^ (uint64_t)n_phases) * UINT64_C(0x9E3779B97F4A7C15);
    return (int32_t)(mixed >> 56);
}

int pygru_threads_are_worth_it(int32_t kind) {
    const int32_t alone = LOAD32(&memory[kind].to_run_alone);
    if (alone > 0) {
        STORE32(&memory[kind].to_run_alone, alone - 1);
    }
    return alone <= 0;
}

void pygru_remember_effort(int32_t kind, const pygru_effort *effort, int64_t end_ns) {
    const int64_t busy_ns = effort->done_ns - effort->begin_ns - effort->waited_ns;
    int32_t penalty = LOAD32(&memory[kind].penalty);
    int64_t alone_ns;
    /* A clock that was set, or a call that was stopped, teaches nothing. */
    if (effort->own_tasks <= 0 || busy_ns <= 0 || end_ns <= effort->begin_ns) {
        return;
    }
    /* In integers, because floating-point operations would raise flags of the caller. */
    alone_ns = pygru_times(busy_ns / effort->own_tasks, effort->all_tasks);
    if (alone_ns < 0 || end_ns - effort->begin_ns <= alone_ns) {
        penalty /= 2;
    } else {
        penalty = penalty > 0 ? penalty : 1;
        STORE32(&memory[kind].to_run_alone, penalty);
        penalty = 2 * penalty < MOST_ALONE ? 2 * penalty : MOST_ALONE;
    }
    STORE32(&memory[kind].penalty, penalty);
}
