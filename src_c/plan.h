/* plan.h - the contents of a plan, for the files of the core that use it.
 *
 * Sequences are sorted by length, longest first, and cut into chunks of consecutive
 * sequences. Inside a chunk the sequences still running at step t are the first n_t, so the
 * rows of one step are contiguous: row(t, i) = row0 + start[t] + i. The numbering serves both
 * directions: for the reverse one, step t of a sequence is its time length-1-t. The same is true
 * for the only direction of a GRU that reads in reverse. */
#ifndef PYGRU_PLAN_H
#define PYGRU_PLAN_H

#include "model.h"

typedef struct pygru_chunk {
    int64_t n;         /* sequences in this chunk */
    int64_t sequence0; /* index of the first one in the sorted order */
    int64_t steps;     /* the longest length in this chunk */
    int64_t row0;      /* first packed row */
    int64_t start0;    /* where this chunk's start table begins; it has steps+1 entries */
} pygru_chunk;

/* The first bytes of a plan, by which other memory is recognised. */
#define PYGRU_PLAN_MARK UINT64_C(0x7079677275706C06)

struct pygru_plan {
    uint64_t mark;
    pygru_config config;
    int64_t T;
    int64_t B;
    int64_t rows;
    int64_t n_chunks;
    int64_t chunk_rows; /* sequences in the largest chunk */
    int64_t block_rows; /* rows of one time block: the products before the recurrence */
    int32_t engine;
    int32_t keep;
    /* Byte offsets from the plan itself, so that it may be copied. */
    int64_t order;   /* int64 (B): batch index of the i-th sorted sequence */
    int64_t lengths; /* int64 (B): its length */
    int64_t chunks;  /* pygru_chunk (n_chunks) */
    int64_t starts;  /* int64: the start tables */
};

/* Whether a pointer of a caller points to a plan. */
static inline int pygru_is_plan(const pygru_plan *plan) {
    return pygru_points(plan) && plan->mark == PYGRU_PLAN_MARK;
}

/* Rows of one weight-gradient product: enough for BLAS to be efficient, few enough that
 * several threads find work. */
enum { PYGRU_TILE = 128 };

/* The number of tiles of one weight matrix: those of its r and z rows, then those of n. */
static inline int64_t pygru_tiles(int64_t rows) { return (rows - 1) / PYGRU_TILE + 1; }

static inline int64_t pygru_tiles_of_matrix(int64_t H) {
    return pygru_tiles(at_gate(H, GATE_N)) + pygru_tiles(H);
}

/* The multiply-adds of a forward pass, about; INT64_MAX if they are too many to count. */
int64_t pygru_operations(const pygru_plan *plan);

/* Some units of a cell. On the SIMD engine the first one begins a panel, and the last one ends
 * a panel or is the last of the cell. On the BLAS engine, and with layer normalisation, the
 * only range is that of all units. */
typedef struct unit_range {
    int64_t first;
    int64_t n;
} unit_range;

/* Whether a call of several threads splits the units of this plan's only chunk: on the SIMD
 * engine, in one direction, with recurrent weights larger than a core's second-level cache. */
int pygru_plan_splits(const pygru_plan *plan);

/* The largest number of parts. Each part has a few vectors of `lanes` units. */
int64_t pygru_most_parts(const pygru_plan *plan, int64_t lanes);

/* One chunk with its parts of the plan's tables. */
typedef struct chunk_view {
    int64_t n;              /* sequences */
    int64_t steps;          /* of the longest one */
    int64_t row0;           /* first packed row */
    const int64_t *start;   /* (steps + 1) rows of the chunk before a step */
    const int64_t *order;   /* (n) batch index of a sequence */
    const int64_t *lengths; /* (n) */
} chunk_view;

static inline chunk_view chunk_of(const pygru_plan *plan, int64_t index) {
    const char *base = (const char *)plan;
    const pygru_chunk *chunk = (const pygru_chunk *)(base + plan->chunks) + index;
    const chunk_view view = {chunk->n,
                             chunk->steps,
                             chunk->row0,
                             (const int64_t *)(base + plan->starts) + chunk->start0,
                             (const int64_t *)(base + plan->order) + chunk->sequence0,
                             (const int64_t *)(base + plan->lengths) + chunk->sequence0};
    return view;
}

/* The number of sequences that are running at a step; 0 at the step after the last. */
static inline int64_t rows_of_step(const chunk_view *chunk, int64_t t) {
    return t < chunk->steps ? chunk->start[t + 1] - chunk->start[t] : 0;
}

/* One past the last step of the time block that begins at t0: as many whole steps as fit. */
static inline int64_t block_end(const pygru_plan *plan, const chunk_view *chunk, int64_t t0) {
    int64_t t1 = t0 + 1;
    while (t1 < chunk->steps && chunk->start[t1 + 1] - chunk->start[t0] <= plan->block_rows) {
        t1++;
    }
    return t1;
}

/* First step of the time block that ends before t1, for backward. */
static inline int64_t block_begin(const pygru_plan *plan, const chunk_view *chunk, int64_t t1) {
    int64_t t0 = t1 - 1;
    while (t0 > 0 && chunk->start[t1] - chunk->start[t0 - 1] <= plan->block_rows) {
        t0--;
    }
    return t0;
}

#endif
