/* plan.h - what a plan holds, for the files of the core that walk it.
 *
 * Sequences are sorted by length, longest first, and cut into chunks of consecutive
 * sequences. Inside a chunk the sequences still running at step t are the first n_t, so the
 * rows of one step are contiguous: row(t, i) = row0 + start[t] + i. The numbering serves both
 * directions: for the reverse one, step t of a sequence is its time length-1-t. */
#ifndef PYGRU_PLAN_H
#define PYGRU_PLAN_H

#include "calls.h"
#include "gate_order.h"
#include "vectors.h"

typedef struct pygru_chunk {
    int64_t n;         /* sequences in this chunk */
    int64_t sequence0; /* index of the first one in the sorted order */
    int64_t steps;     /* the longest length in this chunk */
    int64_t row0;      /* first packed row */
    int64_t start0;    /* where this chunk's start table begins; it has steps+1 entries */
} pygru_chunk;

/* What a plan begins with, so that memory which holds none is told apart. */
#define PYGRU_PLAN_MARK UINT64_C(0x7079677275706C05)

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

/* Whether a pointer from outside leads to a plan. */
static inline int pygru_is_plan(const pygru_plan *plan) {
    return plan != NULL && (uintptr_t)plan % sizeof(int64_t) == 0 &&
           plan->mark == PYGRU_PLAN_MARK;
}

/* Bytes of a value and of a packed weight of a valid configuration. */
static inline int64_t pygru_value_bytes(const pygru_config *config) {
    return pygru_calls_of(config->precision)->traits.value_bytes;
}

static inline int64_t pygru_weight_bytes(const pygru_config *config) {
    return pygru_calls_of(config->precision)->traits.weight_bytes;
}

/* Rows of one weight-gradient product: enough for BLAS to be efficient, few enough that
 * several threads find work. */
enum { PYGRU_TILE = 128 };

/* How many tiles one weight matrix has: those of its r and z rows, then those of its n rows. */
static inline int64_t pygru_tiles(int64_t rows) { return (rows - 1) / PYGRU_TILE + 1; }

static inline int64_t pygru_tiles_of_matrix(int64_t H) {
    return pygru_tiles(at_gate(H, GATE_N)) + pygru_tiles(H);
}

/* Some units of a cell. On the SIMD engine the first one begins a panel, and the last one ends
 * a panel or is the cell's last; on the BLAS engine and with layer normalisation there is only
 * the range of all units. */
typedef struct unit_range {
    int64_t first;
    int64_t n;
} unit_range;

/* What arrays that are read in whole vectors have beyond their last element. */
enum { PYGRU_SLACK = PYGRU_MOST_LANES };

/* Elements, or columns of a packed matrix, rounded up to whole vectors of any instruction set.
 * Negative, for an overflow, if that is too many. */
static inline int64_t pygru_padded(int64_t n) {
    return n > INT64_MAX - PYGRU_SLACK ? -1 : (n + PYGRU_SLACK - 1) / PYGRU_SLACK * PYGRU_SLACK;
}

static inline int pygru_normalises(const pygru_config *config) { return config->norm_eps > 0; }

/* What normalises the sums of a cell, in vectors of H: the gains of the inputs r | z | n, those
 * of the states r | z | n, and the biases n | r | z | hn. Their gradients stand the same way. */
enum {
    PYGRU_X_GAINS = 0,
    PYGRU_H_GAINS = PYGRU_X_GAINS + GATES,
    PYGRU_NORM_BIAS = PYGRU_H_GAINS + GATES,
    PYGRU_NORM = PYGRU_NORM_BIAS + COLUMNS
};

/* Elements of what stands beside the products of a cell: their bias, and what normalises them;
 * negative if that is too many. */
int64_t pygru_vectors_of_cell(const pygru_config *config);

/* Rows that go through a product together, and elements of the buffer where their sums stand
 * until the gates are applied: three columns of the widest vector for each row. */
enum { PYGRU_SLAB = 64, PYGRU_SUMS = PYGRU_SLAB * GATES * PYGRU_MOST_LANES };

/* Where the arrays of a tape stand, in elements. */
typedef struct pygru_tape_layout {
    int64_t x;      /* (R, I) packed, time order */
    int64_t h_last; /* (L*D, B, H) */
    int64_t cells;  /* first cell; each holds h_prev (R, H), then gates (R, 4H) if kept, and
                       with layer normalisation what pygru_tape_view says of it */
    int64_t cell_size;
    int64_t total;
} pygru_tape_layout;

/* Where the scratch of one thread and the shared buffers stand, in elements. A section that
 * a call does not need has no extent. */
typedef struct pygru_forward_layout {
    int64_t ut;          /* BLAS engine, shared (L*D, H, 3H): transposed recurrent weights */
    int64_t states;      /* (2, D, R, H): h_prev of a layer and of the one below */
    int64_t split_gates; /* (block_rows, 4H) if the plan splits, and */
    int64_t split_h;     /* (2, chunk_rows, H), shared by the threads, and */
    int64_t split_h_in;  /* (2, chunk_rows, H) with recurrent dropout */
    int64_t shared_total;
    int64_t bias;     /* per thread (4H), with layer normalisation and (PYGRU_NORM, H) */
    int64_t x;        /* (block_rows, widest input) */
    int64_t gates;    /* (block_rows, 4H) */
    int64_t sums;     /* PYGRU_SUMS, SIMD engine */
    int64_t h;        /* (2, chunk_rows, H): before and after a step */
    int64_t h_in;     /* (2, chunk_rows, H) with recurrent dropout: in the products */
    int64_t products; /* (chunk_rows, 3H) with layer normalisation: of the states */
    int64_t thread_total;
} pygru_forward_layout;

typedef struct pygru_backward_layout {
    int64_t d_parameters; /* shared, like the parameters */
    int64_t d_gates;      /* (D, R, 4H) of the current layer */
    int64_t d_products;   /* the same before layer normalisation of the states' products */
    int64_t d_norm;       /* (D, n_chunks, PYGRU_NORM, H) with layer normalisation */
    int64_t x;            /* (D, R, widest input) of the current layer */
    int64_t h_in;         /* (D, R, H) with recurrent dropout: the states in the products */
    int64_t d_y;          /* (2, R, D*H): of a layer and of the one below */
    int64_t u;            /* SIMD engine (L*D, 3H, H padded): packed recurrent weights */
    int64_t w;            /* and input weights (L*D, 3H, widest input padded) */
    int64_t shared_total;
    int64_t bias;         /* per thread, as in the forward layout */
    int64_t gates;        /* (block_rows, 4H) recomputed */
    int64_t sums;         /* PYGRU_SUMS, SIMD engine */
    int64_t h_next;       /* (block_rows, H) recomputed, not used further */
    int64_t d_x;          /* (block_rows, widest input) */
    int64_t sum;          /* PYGRU_SUM_SCRATCH, SIMD engine */
    int64_t d_h;          /* (chunk_rows, H) */
    int64_t d_h_in;       /* (chunk_rows, H) with recurrent dropout */
    int64_t d_kept;       /* (chunk_rows, H) for zoneout */
    int64_t d_rh;         /* (chunk_rows, H) */
    int64_t d_bias;       /* (2, 4H) bias gradients */
    int64_t products;     /* with layer normalisation (block_rows, 3H): of the states, */
    int64_t x_hat;        /* and the norm_record of cell.tpl.c (block_rows, 3H), */
    int64_t h_hat;        /* (block_rows, 3H) */
    int64_t scale;        /* and (6, block_rows), recomputed */
    int64_t d_norm_block; /* (PYGRU_NORM, H) gradients of one time block */
    int64_t thread_total;
} pygru_backward_layout;

/* Whether a call of several threads splits the units of this plan's only chunk: on the SIMD
 * engine, in one direction, with recurrent weights larger than a core's second-level cache. */
int pygru_plan_splits(const pygru_plan *plan);

/* Into how many parts at most: each has a few vectors of `lanes` units. */
int64_t pygru_most_parts(const pygru_plan *plan, int64_t lanes);

/* Bytes of a workspace of so many elements, shared and per thread; negative if that is too many.
 * 64 bytes more, so that the core can align the buffer itself. */
int64_t pygru_workspace_bytes(const pygru_plan *plan, int32_t n_threads, int64_t shared,
                              int64_t per_thread);

pygru_tape_layout pygru_layout_tape(const pygru_plan *plan);
pygru_forward_layout pygru_layout_forward(const pygru_plan *plan);
pygru_backward_layout pygru_layout_backward(const pygru_plan *plan);

/* Where the parts of one packed cell stand, in bytes; every part begins on PYGRU_ALIGNMENT.
 * Biases and what normalises are values; the panels are packed weights. */
typedef struct pygru_packed_cell {
    int64_t bias; /* (4H) n | r | z | hn, see cell.tpl.c, and PYGRU_SLACK */
    int64_t norm; /* (PYGRU_NORM, H) with layer normalisation; the biases are here then */
    int64_t w;    /* panels r, z, n of the input weights, K = the layer's input size */
    int64_t u;    /* panels r, z, n (reset after), or r, z and then n (before), K = H */
    int64_t end;
} pygru_packed_cell;

/* For a valid config and cell; all -1 or less if the total overflows. */
pygru_packed_cell pygru_packed_cell_of(const pygru_config *config, int64_t layer,
                                       int32_t direction);

/* Input size of the widest layer. */
int64_t pygru_widest_input(const pygru_config *config);

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

/* How many sequences take part in a step; none in the step after the last. */
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

/* First step of the time block that ends before t1, for the way back. */
static inline int64_t block_begin(const pygru_plan *plan, const chunk_view *chunk, int64_t t1) {
    int64_t t0 = t1 - 1;
    while (t0 > 0 && chunk->start[t1] - chunk->start[t0 - 1] <= plan->block_rows) {
        t0--;
    }
    return t0;
}

#endif
