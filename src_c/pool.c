/* pool.c - the threads of pool.h. It knows nothing of tasks and phases.
 *
 * The threads are started when they are first needed and live as long as the process. A forked
 * child does not have them, and must not call this file (parallel.c sees to it). */
#include "pool.h"

#if PYGRU_HAS_POOL

#include "atomics.h"
#include "system.h"

#include <stddef.h>

enum {
    MOST_WORKERS = 63,  /* with the calling thread as many as pygru uses at most */
    IDLE_NS = 200000,   /* a worker looks for more work so long before it sleeps */
    LEAVING_NS = 100000 /* a caller waits awake so long for workers that are leaving */
};

typedef struct job {
    struct job *next;
    void (*body)(void *context, int32_t slot);
    void *context;
    int32_t wanted; /* how many workers may join */
    int32_t joined; /* how many have joined */
    int32_t inside; /* atomic: how many of these have not returned yet */
} job;

/* The lock guards everything here, except that the two atomic numbers are also read without it. */
static struct {
    pygru_lock lock;
    pygru_condition posted; /* there is a job to join */
    pygru_condition left;   /* the last worker has left a job */
    job *jobs;              /* those that workers may still join, the oldest first */
    int64_t posts;          /* atomic: how many jobs there have been */
    int32_t workers;
    int32_t sleeping;
} pool = {PYGRU_LOCK_INIT, PYGRU_CONDITION_INIT, PYGRU_CONDITION_INIT, NULL, 0, 0, 0};

static job *next_job(void) {
    job *each = pool.jobs;
    while (each != NULL && each->joined == each->wanted) {
        each = each->next;
    }
    return each;
}

/* Works for the job until there is nothing left to do; called and left with the lock held. */
static void work_for(job *joined) {
    const int32_t slot = ++joined->joined;
    int32_t inside;
    STORE32(&joined->inside, joined->inside + 1);
    pygru_release(&pool.lock);
    joined->body(joined->context, slot);
    pygru_take(&pool.lock);
    inside = joined->inside - 1;
    /* The job may end when the caller reads 0, so nothing refers to it after this. */
    STORE32(&joined->inside, inside);
    if (inside == 0) {
        pygru_wake_all(&pool.left);
    }
}

/* Waits awake for another job, for a short time; called without the lock. */
static void look_for_work(int64_t posts) {
    const int64_t begin = pygru_now_ns();
    while (LOAD64(&pool.posts) == posts && pygru_now_ns() - begin < IDLE_NS) {
        pygru_yield();
    }
}

static void worker(void) {
    int64_t seen = -1;
    pygru_take(&pool.lock);
    for (;;) {
        job *found = next_job();
        if (found != NULL) {
            work_for(found);
        } else if (seen != pool.posts) { /* look once after each job */
            seen = pool.posts;
            pygru_release(&pool.lock);
            look_for_work(seen);
            pygru_take(&pool.lock);
        } else {
            pool.sleeping++;
            pygru_wait(&pool.posted, &pool.lock);
            pool.sleeping--;
        }
    }
}

static void post(job *posted) {
    job **end = &pool.jobs;
    int32_t wanted = 0, woken;
    pygru_take(&pool.lock);
    while (*end != NULL) {
        wanted += (*end)->wanted;
        end = &(*end)->next;
    }
    *end = posted;
    wanted += posted->wanted;
    while (pool.workers < wanted && pool.workers < MOST_WORKERS && pygru_start_thread(worker)) {
        pool.workers++;
    }
    STORE64(&pool.posts, pool.posts + 1);
    woken = pool.sleeping < posted->wanted ? pool.sleeping : posted->wanted;
    pygru_release(&pool.lock);
    while (woken-- > 0) {
        pygru_wake_one(&pool.posted);
    }
}

/* Nobody joins after this, and when it returns nobody is inside. */
static void close(job *closed) {
    job **at = &pool.jobs;
    int64_t begin;
    pygru_take(&pool.lock);
    while (*at != closed) {
        at = &(*at)->next;
    }
    *at = closed->next;
    pygru_release(&pool.lock);
    begin = pygru_now_ns();
    while (LOAD32(&closed->inside) != 0 && pygru_now_ns() - begin < LEAVING_NS) {
        pygru_yield();
    }
    pygru_take(&pool.lock);
    while (closed->inside != 0) {
        pygru_wait(&pool.left, &pool.lock);
    }
    pygru_release(&pool.lock);
}

void pygru_pool_run(int32_t n_threads, void (*body)(void *context, int32_t slot),
                    void *context) {
    job posted = {NULL, body, context, n_threads - 1, 0, 0};
    post(&posted);
    body(context, 0);
    close(&posted);
}

#else

void pygru_pool_run(int32_t n_threads, void (*body)(void *context, int32_t slot),
                    void *context) {
    (void)n_threads;
    body(context, 0);
}

#endif
