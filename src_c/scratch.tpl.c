/* scratch.tpl.c - pointers to the scratch buffers of a call, from the list in scratch.def. */

/* The buffers that all threads of a call share, and those of one thread. A buffer that the call
 * does not need has no values, so its pointer must not be used. */
typedef struct NAME(forward_shared) {
#define FORWARD_SHARED(name, kind, values) REAL *name;
#include "scratch.def"
} NAME(forward_shared);

typedef struct NAME(forward_own) {
#define FORWARD_THREAD(name, kind, values) REAL *name;
#include "scratch.def"
} NAME(forward_own);

typedef struct NAME(backward_shared) {
#define BACKWARD_SHARED(name, kind, values) REAL *name;
#include "scratch.def"
} NAME(backward_shared);

typedef struct NAME(backward_own) {
#define BACKWARD_THREAD(name, kind, values) REAL *name;
#include "scratch.def"
} NAME(backward_own);

typedef struct NAME(step_own) {
#define STEP(name, kind, values) REAL *name;
#include "scratch.def"
} NAME(step_own);

/* `memory` is the workspace, aligned; `slot` is the number of the thread. */
static NAME(forward_shared)
    NAME(forward_shared_at)(const pygru_forward_layout *at, REAL *memory) {
    const NAME(forward_shared) shared = {
#define FORWARD_SHARED(name, kind, values) .name = memory + at->name,
#include "scratch.def"
    };
    return shared;
}

static NAME(forward_own)
    NAME(forward_own_at)(const pygru_forward_layout *at, REAL *memory, int32_t slot) {
    REAL *begin = memory + at->shared_total + slot * at->thread_total;
    const NAME(forward_own) own = {
#define FORWARD_THREAD(name, kind, values) .name = begin + at->name,
#include "scratch.def"
    };
    return own;
}

static NAME(backward_shared)
    NAME(backward_shared_at)(const pygru_backward_layout *at, REAL *memory) {
    const NAME(backward_shared) shared = {
#define BACKWARD_SHARED(name, kind, values) .name = memory + at->name,
#include "scratch.def"
    };
    return shared;
}

static NAME(backward_own)
    NAME(backward_own_at)(const pygru_backward_layout *at, REAL *memory, int32_t slot) {
    REAL *begin = memory + at->shared_total + slot * at->thread_total;
    const NAME(backward_own) own = {
#define BACKWARD_THREAD(name, kind, values) .name = begin + at->name,
#include "scratch.def"
    };
    return own;
}

static NAME(step_own) NAME(step_own_at)(const pygru_step_layout *at, REAL *memory) {
    const NAME(step_own) own = {
#define STEP(name, kind, values) .name = memory + at->name,
#include "scratch.def"
    };
    return own;
}
