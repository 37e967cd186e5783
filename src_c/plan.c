/* plan.c - computes chunks and rows from a configuration and the lengths.
 *
 * This is arithmetic on integers only. pygru_plan_size finds every overflow, so the other
 * functions here need not check again. The sizes of buffers are in scratch.c. */
#include "plan.h"

#include "checked.h"

#include <string.h>

/* How the work is cut depends on shapes only. With few rows a product spends its time on moving
 * the weights, the more so the more weights there are, and a step its time on everything that is
 * done once per step. So a chunk has so many sequences at least that this does not matter. It
 * has not more than MAX_CHUNK, because its state should stay in the cache. The number of chunks
 * is a power of two, or a multiple of MOST_CHUNKS, and they are nearly equally large, so that 2,
 * 4, 8 or 16 threads get equally much. docs/decisions/0041-tasks-of-equal-size.md has the
 * measurements. */
enum { MAX_CHUNK = 64, MOST_CHUNKS = 32 };
static const struct {
    int64_t least;          /* sequences of a chunk, */
    int64_t units;          /* more with fewer units than this divided by `least`, */
    int64_t most_for_units; /* but for that reason not more than this; */
    int64_t units_per_row;  /* more with more than `least` times as many units, */
    int64_t bytes_per_row;  /* if there are also so many bytes of recurrent weights for each */
} CHUNK[] = {
    [PYGRU_ENGINE_BLAS] = {16, 0, 16, 8, 1}, [PYGRU_ENGINE_SIMD] = {4, 512, 8, 32, 192 * 1024}};

/* If there is only one chunk, recurrent weights of more bytes than this are divided among
 * threads, into parts of at least so many vectors of units. */
enum { SPLIT_BYTES = 512 * 1024, PANELS_PER_PART = 4 };

/* One time block of gate pre-activations should stay in the second-level cache. */
enum { BLOCK_BYTES = 128 * 1024 };

/* ---- the plan ----------------------------------------------------------------------- */

static int64_t recurrent_bytes(const pygru_config *c) {
    const int64_t bytes = pygru_times(pygru_times(GATES, pygru_weight_bytes(c)),
                                      pygru_times(c->hidden_size, c->hidden_size));
    return bytes < 0 ? INT64_MAX : bytes;
}

/* The least number of sequences with which a chunk is efficient. */
static int64_t efficient_rows(const pygru_config *c, int32_t engine) {
    const int64_t H = c->hidden_size;
    const int64_t for_steps =
        pygru_at_most(CHUNK[engine].units / H, CHUNK[engine].most_for_units);
    const int64_t for_weights = pygru_at_most(H / CHUNK[engine].units_per_row,
                                              recurrent_bytes(c) / CHUNK[engine].bytes_per_row);
    return pygru_at_least(CHUNK[engine].least,
                          pygru_at_least(for_steps, pygru_at_most(for_weights, MAX_CHUNK)));
}

static int64_t chunk_rows_for(const pygru_config *c, int32_t engine, int64_t B) {
    const int64_t rows = efficient_rows(c, engine);
    int64_t chunks = 1;
    while (chunks < MOST_CHUNKS && B / (2 * chunks) >= rows) {
        chunks *= 2;
    }
    if ((B - 1) / chunks >= MAX_CHUNK) {
        chunks = ((B - 1) / (MAX_CHUNK * MOST_CHUNKS) + 1) * MOST_CHUNKS;
    }
    return B == 0 ? 0 : (B - 1) / chunks + 1;
}

static int64_t count_chunks(const pygru_config *c, int32_t engine, int64_t B) {
    return B == 0 ? 0 : (B - 1) / chunk_rows_for(c, engine, B) + 1;
}

/* The entries of all start tables. They depend on the longest length of each chunk, which is
 * not known before sorting. T for each chunk is an upper bound. */
static int64_t bound_starts(const pygru_config *c, int32_t engine, int64_t T, int64_t B) {
    return pygru_times(pygru_plus(T, 1), count_chunks(c, engine, B));
}

pygru_status pygru_plan_size(const pygru_config *config, int32_t engine, int64_t T, int64_t B,
                             const int64_t *lengths, int64_t *bytes) {
    pygru_cell last;
    pygru_status status;
    int64_t b, integers;
    if (!pygru_points(config) || !pygru_points(bytes) ||
        (uintptr_t)lengths % sizeof *lengths != 0) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (!pygru_config_is_valid(config) || (engine >> 1) != 0 ||
        (engine == PYGRU_ENGINE_SIMD && !pygru_has_simd_engine()) ||
        (engine == PYGRU_ENGINE_BLAS && pygru_is_quantized(config))) {
        return PYGRU_BAD_CONFIG;
    }
    if (config->num_layers > INT32_MAX / 2) { /* phases are counted in 32 bits */
        return PYGRU_SIZE_OVERFLOW;
    }
    if (T < 0 || B < 0) {
        return PYGRU_BAD_BATCH;
    }
    for (b = 0; lengths != NULL && b < B; b++) {
        if (lengths[b] < 0 || lengths[b] > T) {
            return PYGRU_BAD_BATCH;
        }
    }
    status = pygru_cell_of(config, config->num_layers - 1, config->num_directions - 1, &last);
    if (status != PYGRU_OK) {
        return status;
    }
    integers = pygru_plus(pygru_times(2, B), bound_starts(config, engine, T, B));
    *bytes = pygru_plus(
        pygru_times(8, integers),
        pygru_plus((int64_t)sizeof(pygru_plan),
                   pygru_times((int64_t)sizeof(pygru_chunk), count_chunks(config, engine, B))));
    return *bytes < 0 || pygru_times(T, B) < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}

/* A counting sort, longest first, equal lengths in batch order. `count` has T+1 entries. */
static void sort_by_length(int64_t T, int64_t B, const int64_t *lengths, int64_t *order,
                           int64_t *sorted, int64_t *count) {
    int64_t b, length;
    memset(count, 0, (size_t)(T + 1) * sizeof *count);
    for (b = 0; b < B; b++) {
        count[lengths[b]]++;
    }
    /* count[k] becomes the number of sequences longer than k, the first place for length k. */
    for (length = T, b = 0; length >= 0; length--) {
        const int64_t n = count[length];
        count[length] = b;
        b += n;
    }
    for (b = 0; b < B; b++) {
        const int64_t at = count[lengths[b]]++;
        order[at] = b;
        sorted[at] = lengths[b];
    }
}

static void order_sequences(int64_t T, int64_t B, const int64_t *lengths, int64_t *order,
                            int64_t *sorted, int64_t *scratch) {
    int64_t b;
    if (lengths != NULL) {
        sort_by_length(T, B, lengths, order, sorted, scratch);
        return;
    }
    for (b = 0; b < B; b++) {
        order[b] = b;
        sorted[b] = T;
    }
}

/* start[t] = rows of the steps before t; at the end start[steps] = rows of the chunk. */
static int64_t fill_starts(const int64_t *sorted, int64_t n, int64_t steps, int64_t *start) {
    int64_t t, active = n, rows = 0;
    for (t = 0; t < steps; t++) {
        while (active > 0 && sorted[active - 1] <= t) {
            active--;
        }
        start[t] = rows;
        rows += active;
    }
    start[steps] = rows;
    return rows;
}

pygru_status pygru_plan_init(const pygru_config *config, int32_t engine, int64_t T, int64_t B,
                             const int64_t *lengths, int32_t keep, void *memory,
                             int64_t bytes) {
    pygru_plan *plan = memory;
    int64_t needed, c, step, start0 = 0;
    int64_t *order, *sorted, *starts;
    pygru_chunk *chunks;
    const pygru_status status = pygru_plan_size(config, engine, T, B, lengths, &needed);
    if (status != PYGRU_OK) {
        return status;
    }
    if (keep < PYGRU_KEEP_NOTHING || keep > PYGRU_KEEP_GATES ||
        (keep != PYGRU_KEEP_NOTHING && pygru_is_quantized(config))) {
        return PYGRU_BAD_CONFIG;
    }
    if (!pygru_points(memory) || bytes < needed) {
        return PYGRU_BAD_ARGUMENT;
    }
    step = chunk_rows_for(config, engine, B);
    memset(plan, 0, sizeof *plan);
    plan->mark = PYGRU_PLAN_MARK;
    plan->config = *config;
    plan->T = T;
    plan->B = B;
    plan->n_chunks = count_chunks(config, engine, B);
    plan->chunk_rows = step;
    plan->engine = engine;
    plan->keep = keep;
    plan->order = (int64_t)sizeof *plan;
    plan->lengths = plan->order + 8 * B;
    plan->chunks = plan->lengths + 8 * B;
    plan->starts = plan->chunks + (int64_t)sizeof(pygru_chunk) * plan->n_chunks;

    order = (int64_t *)((char *)memory + plan->order);
    sorted = (int64_t *)((char *)memory + plan->lengths);
    chunks = (pygru_chunk *)((char *)memory + plan->chunks);
    starts = (int64_t *)((char *)memory + plan->starts);
    if (B > 0) {
        order_sequences(T, B, lengths, order, sorted, starts);
    }
    for (c = 0; c < plan->n_chunks; c++) {
        pygru_chunk *chunk = &chunks[c];
        chunk->sequence0 = c * step;
        chunk->n = pygru_at_most(step, B - chunk->sequence0);
        chunk->steps = sorted[chunk->sequence0];
        chunk->row0 = plan->rows;
        chunk->start0 = start0;
        plan->rows +=
            fill_starts(sorted + chunk->sequence0, chunk->n, chunk->steps, starts + start0);
        start0 += chunk->steps + 1;
    }
    plan->block_rows = pygru_at_most(
        plan->rows,
        pygru_at_least(plan->chunk_rows,
                       BLOCK_BYTES /
                           pygru_at_least(1, pygru_times(COLUMNS * pygru_value_bytes(config),
                                                         config->hidden_size))));
    return PYGRU_OK;
}

pygru_status pygru_plan_rows(const pygru_plan *plan, int64_t *step, int64_t *sequence) {
    int64_t c, t, i;
    if (!pygru_is_plan(plan) || !pygru_points(step) || !pygru_points(sequence)) {
        return PYGRU_BAD_ARGUMENT;
    }
    for (c = 0; c < plan->n_chunks; c++) {
        const chunk_view chunk = chunk_of(plan, c);
        for (t = 0; t < chunk.steps; t++) {
            for (i = 0; i < rows_of_step(&chunk, t); i++) {
                step[chunk.row0 + chunk.start[t] + i] = t;
                sequence[chunk.row0 + chunk.start[t] + i] = chunk.order[i];
            }
        }
    }
    return PYGRU_OK;
}

int64_t pygru_operations(const pygru_plan *plan) {
    const pygru_config *c = &plan->config;
    pygru_cell last = {0};
    int64_t operations;
    (void)pygru_cell_of(c, c->num_layers - 1, c->num_directions - 1, &last);
    operations = pygru_times(plan->rows, last.end);
    return operations < 0 ? INT64_MAX : operations;
}

/* ---- split units --------------------------------------------------------------------- */

int pygru_plan_splits(const pygru_plan *plan) {
    return plan->engine == PYGRU_ENGINE_SIMD && plan->n_chunks == 1 &&
           plan->config.num_directions == 1 && !pygru_normalises(&plan->config) &&
           recurrent_bytes(&plan->config) > SPLIT_BYTES;
}

int64_t pygru_most_parts(const pygru_plan *plan, int64_t lanes) {
    return pygru_at_least(1, plan->config.hidden_size /
                                 (PANELS_PER_PART * pygru_at_least(1, lanes)));
}
