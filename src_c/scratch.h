/* scratch.h - the layout of a tape, and of the scratch buffers of a call.
 *
 * The buffers are listed in scratch.def. Offsets count values from the beginning of the shared
 * buffers, or of those of a thread, which is a multiple of PYGRU_ALIGNMENT. */
#ifndef PYGRU_SCRATCH_H
#define PYGRU_SCRATCH_H

#include "plan.h"

/* The number of rows that go through a product together, and the values of the buffer that
 * holds their sums until the gates are applied: three columns of the widest vector for each
 * row. */
enum { PYGRU_SLAB = 64, PYGRU_SUMS = PYGRU_SLAB * GATES * PYGRU_MOST_LANES };

/* ---- the tape ------------------------------------------------------------------------- */

/* The offsets of the arrays of a tape, in values. */
typedef struct pygru_tape_layout {
    int64_t x;      /* (R, I) packed, time order */
    int64_t h_last; /* (L*D, B, H) */
    int64_t cells;  /* first cell; each has h_prev (R, H), then gates (R, 4H) if kept, and
                       with layer normalisation the arrays in pygru_tape_view */
    int64_t cell_size;
    int64_t total;
} pygru_tape_layout;

pygru_tape_layout pygru_layout_tape(const pygru_plan *plan);

/* ---- scratch -------------------------------------------------------------------------- */

typedef struct pygru_forward_layout {
#define FORWARD_SHARED(name, kind, values) int64_t name;
#define FORWARD_THREAD(name, kind, values) int64_t name;
#include "scratch.def"
    int64_t shared_total;
    int64_t thread_total;
} pygru_forward_layout;

typedef struct pygru_backward_layout {
#define BACKWARD_SHARED(name, kind, values) int64_t name;
#define BACKWARD_THREAD(name, kind, values) int64_t name;
#include "scratch.def"
    int64_t shared_total;
    int64_t thread_total;
} pygru_backward_layout;

typedef struct pygru_step_layout {
#define STEP(name, kind, values) int64_t name;
#include "scratch.def"
    int64_t total;
} pygru_step_layout;

pygru_forward_layout pygru_layout_forward(const pygru_plan *plan);
pygru_backward_layout pygru_layout_backward(const pygru_plan *plan);

/* Errors: those of pygru_step_workspace. */
pygru_status pygru_layout_step(const pygru_config *config, int64_t B, pygru_step_layout *layout,
                               int64_t *bytes);

/* Bytes of a workspace of so many values, shared and per thread; negative if that is too many.
 * It has 64 bytes more, so that the core can align the buffer itself. */
int64_t pygru_workspace_bytes(const pygru_plan *plan, int32_t n_threads, int64_t shared,
                              int64_t per_thread);

/* ---- for tests ------------------------------------------------------------------------ */

/* A row of scratch.def for one plan. */
typedef struct pygru_buffer {
    const char *name;
    int32_t is_backward;
    int32_t is_shared;
    int32_t is_read_in_vectors;
    int64_t begin;
    int64_t values;
} pygru_buffer;

enum {
#define FORWARD_SHARED(name, kind, values) PYGRU_FORWARD_SHARED_##name,
#define FORWARD_THREAD(name, kind, values) PYGRU_FORWARD_THREAD_##name,
#define BACKWARD_SHARED(name, kind, values) PYGRU_BACKWARD_SHARED_##name,
#define BACKWARD_THREAD(name, kind, values) PYGRU_BACKWARD_THREAD_##name,
#include "scratch.def"
    PYGRU_BUFFERS /* their number, forward and backward */
};

/* Fills PYGRU_BUFFERS rows, in the order of the list. */
void pygru_list_buffers(const pygru_plan *plan, pygru_buffer *buffers);

#endif
