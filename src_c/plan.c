/* plan.c - from a configuration and the lengths to sizes, offsets and chunks.
 *
 * Pure arithmetic on integers. Every size is computed in 64 bits with overflow checked in
 * one place (pygru_plan_size and pygru_plan_sizes); after that, no file checks again. */
#include "plan.h"

#include "kernels/kernels.h"

#include <string.h>

/* Work is cut by shape alone. A chunk should be large, because a product of few rows spends its
 * time on moving the weights, the more so the more weights there are, but not larger than
 * MAX_CHUNK sequences, because its state should stay in cache. Beyond that least size the
 * batch is cut into about TARGET_CHUNKS. Packed weights are moved only once and serve fewer
 * rows. docs/decisions/0003-chunks-by-shape.md has the measurement. */
enum { MAX_CHUNK = 64, TARGET_CHUNKS = 16 };
static const struct {
    int64_t least;         /* sequences of a chunk */
    int64_t units_per_row; /* with more hidden units than `least` times this, more */
} CHUNK[] = {[PYGRU_ENGINE_BLAS] = {16, 8}, [PYGRU_ENGINE_SIMD] = {8, 16}};

/* Recurrent weights of more bytes than this are split over threads if there is only one chunk,
 * into parts of at least so many vectors of units. */
enum { SPLIT_BYTES = 512 * 1024, PANELS_PER_PART = 4 };

/* One time block of gate pre-activations should stay in the second-level cache. */
enum { BLOCK_BYTES = 128 * 1024 };

/* ---- checked arithmetic: a negative operand or result marks an overflow ------------- */

static int64_t times(int64_t a, int64_t b) {
    if (a < 0 || b < 0 || (b > 0 && a > INT64_MAX / b)) {
        return -1;
    }
    return a * b;
}

static int64_t plus(int64_t a, int64_t b) {
    if (a < 0 || b < 0 || a > INT64_MAX - b) {
        return -1;
    }
    return a + b;
}

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

/* Reserves n elements: returns where they begin and moves *total past them. */
static int64_t reserve(int64_t *total, int64_t n) {
    const int64_t begin = *total;
    *total = plus(*total, n);
    return begin;
}

/* The same for an array that is read in vectors: it begins on 64 bytes if `total` is counted
 * from there, and can be read one vector beyond its end. So can what follows it. */
static int64_t reserve_vectors(int64_t *total, int64_t n) {
    int64_t begin;
    *total = *total < 0 ? -1 : pygru_padded(*total);
    begin = reserve(total, plus(n, PYGRU_SLACK));
    *total = *total < 0 ? -1 : pygru_padded(*total);
    return begin;
}

/* ---- the model ---------------------------------------------------------------------- */

static int config_is_valid(const pygru_config *c) {
    return c->precision >= 0 && c->precision < PYGRU_PRECISIONS_END_ && c->input_size >= 1 &&
           c->hidden_size >= 1 && c->num_layers >= 1 &&
           (c->num_directions == 1 || c->num_directions == 2) && (c->has_bias >> 1) == 0 &&
           (c->reset >> 1) == 0 && (c->update >> 1) == 0 && (c->drops_states >> 1) == 0 &&
           c->norm_eps >= 0 && c->norm_eps <= 1;
}

static int64_t cell_size(const pygru_config *c, int64_t input_size) {
    const int64_t vectors = (c->has_bias ? 2 : 0) + (pygru_normalises(c) ? 2 : 0);
    return times(times(GATES, c->hidden_size), plus(plus(input_size, c->hidden_size), vectors));
}

pygru_status pygru_cell_of(const pygru_config *config, int64_t layer, int32_t direction,
                           pygru_cell *cell) {
    int64_t H, D, first, upper, above, bias, gain;
    if (config == NULL || cell == NULL) {
        return PYGRU_BAD_ARGUMENT;
    }
    H = config->hidden_size;
    D = config->num_directions;
    if (!config_is_valid(config) || layer < 0 || layer >= config->num_layers || direction < 0 ||
        direction >= config->num_directions) {
        return PYGRU_BAD_CONFIG;
    }
    cell->input_size = layer == 0 ? config->input_size : times(D, H);
    first = cell_size(config, config->input_size);
    upper = cell_size(config, times(D, H));
    above = layer == 0
                ? times(direction, first)
                : plus(times(D, first), times(plus(times(layer - 1, D), direction), upper));
    cell->weight_ih = above;
    cell->weight_hh = plus(above, times(times(GATES, H), cell->input_size));
    bias = plus(cell->weight_hh, times(times(GATES, H), H));
    cell->bias_ih = config->has_bias ? bias : -1;
    cell->bias_hh = config->has_bias ? plus(bias, times(GATES, H)) : -1;
    gain = config->has_bias ? plus(bias, times(2 * GATES, H)) : bias;
    cell->gain_ih = pygru_normalises(config) ? gain : -1;
    cell->gain_hh = pygru_normalises(config) ? plus(gain, times(GATES, H)) : -1;
    cell->end = plus(above, layer == 0 ? first : upper);
    return times(cell->end, 8) < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}

int64_t pygru_widest_input(const pygru_config *config) {
    if (config->num_layers == 1) {
        return config->input_size;
    }
    return at_least(config->input_size, times(config->num_directions, config->hidden_size));
}

/* ---- the plan ----------------------------------------------------------------------- */

static int64_t chunk_rows_for(const pygru_config *c, int32_t engine, int64_t B) {
    const int64_t efficient =
        at_least(CHUNK[engine].least, c->hidden_size / CHUNK[engine].units_per_row);
    const int64_t wanted = at_least(efficient, (B - 1) / TARGET_CHUNKS + 1);
    return at_most(B, at_most(wanted, MAX_CHUNK));
}

static int64_t count_chunks(const pygru_config *c, int32_t engine, int64_t B) {
    return B == 0 ? 0 : (B - 1) / chunk_rows_for(c, engine, B) + 1;
}

/* Entries of all start tables. The chunks hold the sorted lengths, so the sum over chunks of
 * the longest length is not known before sorting; T for each is a bound. */
static int64_t bound_starts(const pygru_config *c, int32_t engine, int64_t T, int64_t B) {
    return times(plus(T, 1), count_chunks(c, engine, B));
}

pygru_status pygru_plan_size(const pygru_config *config, int32_t engine, int64_t T, int64_t B,
                             const int64_t *lengths, int64_t *bytes) {
    pygru_cell last;
    pygru_status status;
    int64_t b, integers;
    if (config == NULL || bytes == NULL || (uintptr_t)lengths % sizeof *lengths != 0) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (!config_is_valid(config) || (engine >> 1) != 0 ||
        (engine == PYGRU_ENGINE_SIMD && !pygru_has_simd_engine())) {
        return PYGRU_BAD_CONFIG;
    }
    if (config->num_layers > INT32_MAX / 2 - 1) { /* phases are counted in 32 bits */
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
    integers = plus(times(2, B), bound_starts(config, engine, T, B));
    *bytes = plus(times(8, integers),
                  plus((int64_t)sizeof(pygru_plan),
                       times((int64_t)sizeof(pygru_chunk), count_chunks(config, engine, B))));
    return *bytes < 0 || times(T, B) < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}

/* A counting sort, longest first, equal lengths in batch order. `count` has T+1 entries. */
static void sort_by_length(int64_t T, int64_t B, const int64_t *lengths, int64_t *order,
                           int64_t *sorted, int64_t *count) {
    int64_t b, length;
    memset(count, 0, (size_t)(T + 1) * sizeof *count);
    for (b = 0; b < B; b++) {
        count[lengths[b]]++;
    }
    /* count[k] becomes the number of sequences longer than k: where length k begins. */
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
    if (keep < PYGRU_KEEP_NOTHING || keep > PYGRU_KEEP_GATES) {
        return PYGRU_BAD_CONFIG;
    }
    if (memory == NULL || (uintptr_t)memory % sizeof(int64_t) != 0 || bytes < needed) {
        return PYGRU_BAD_ARGUMENT;
    }
    step = chunk_rows_for(config, engine, B);
    memset(plan, 0, sizeof *plan);
    plan->mark = PYGRU_PLAN_MARK;
    plan->config = *config;
    plan->T = T;
    plan->B = B;
    plan->n_chunks = count_chunks(config, engine, B);
    plan->chunk_rows = B == 0 ? 0 : step;
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
        chunk->n = at_most(step, B - chunk->sequence0);
        chunk->steps = sorted[chunk->sequence0];
        chunk->row0 = plan->rows;
        chunk->start0 = start0;
        plan->rows +=
            fill_starts(sorted + chunk->sequence0, chunk->n, chunk->steps, starts + start0);
        start0 += chunk->steps + 1;
    }
    plan->block_rows =
        at_most(plan->rows,
                at_least(plan->chunk_rows,
                         BLOCK_BYTES / at_least(1, times(COLUMNS * pygru_value_bytes(config),
                                                         config->hidden_size))));
    return PYGRU_OK;
}

pygru_status pygru_plan_rows(const pygru_plan *plan, int64_t *step, int64_t *sequence) {
    int64_t c, t, i;
    if (!pygru_is_plan(plan) || step == NULL || sequence == NULL ||
        ((uintptr_t)step | (uintptr_t)sequence) % sizeof(int64_t) != 0) {
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

/* ---- split units --------------------------------------------------------------------- */

int pygru_plan_splits(const pygru_plan *plan) {
    const int64_t H = plan->config.hidden_size;
    return plan->engine == PYGRU_ENGINE_SIMD && plan->n_chunks == 1 &&
           plan->config.num_directions == 1 && !pygru_normalises(&plan->config) &&
           times(times(GATES, times(H, H)), pygru_value_bytes(&plan->config)) > SPLIT_BYTES;
}

int64_t pygru_most_parts(const pygru_plan *plan, int64_t lanes) {
    return at_least(1, plan->config.hidden_size / (PANELS_PER_PART * at_least(1, lanes)));
}

/* ---- layouts ------------------------------------------------------------------------ */

int64_t pygru_vectors_of_cell(const pygru_config *c) {
    return times(pygru_normalises(c) ? COLUMNS + PYGRU_NORM : COLUMNS, c->hidden_size);
}

pygru_tape_layout pygru_layout_tape(const pygru_plan *plan) {
    const pygru_config *c = &plan->config;
    const int64_t LD = times(c->num_layers, c->num_directions);
    const int64_t columns = plan->keep == PYGRU_KEEP_GATES ? 5 : 1;
    pygru_tape_layout a = {0};
    if (plan->keep == PYGRU_KEEP_NOTHING) {
        return a;
    }
    a.x = reserve(&a.total, times(plan->rows, c->input_size));
    a.h_last = reserve(&a.total, times(LD, times(plan->B, c->hidden_size)));
    a.cell_size = times(plan->rows, times(columns, c->hidden_size));
    if (pygru_normalises(c) && plan->keep == PYGRU_KEEP_GATES) {
        a.cell_size =
            plus(a.cell_size, times(2 * GATES, times(plan->rows, plus(c->hidden_size, 1))));
    }
    a.cells = reserve(&a.total, times(LD, a.cell_size));
    (void)reserve(&a.total, PYGRU_SLACK);
    return a;
}

pygru_status pygru_tape_view_of(const pygru_plan *plan, int64_t layer, int32_t direction,
                                pygru_tape_view *view) {
    pygru_tape_layout a;
    int64_t H, cell;
    if (!pygru_is_plan(plan) || view == NULL || layer < 0 || layer >= plan->config.num_layers ||
        direction < 0 || direction >= plan->config.num_directions) {
        return PYGRU_BAD_ARGUMENT;
    }
    a = pygru_layout_tape(plan);
    H = plan->config.hidden_size;
    cell = layer * plan->config.num_directions + direction;
    if (plan->keep == PYGRU_KEEP_NOTHING) {
        view->h_prev = view->gates = view->h_last = view->norm = -1;
        return PYGRU_OK;
    }
    view->h_prev = a.cells + cell * a.cell_size;
    view->gates = plan->keep == PYGRU_KEEP_GATES ? view->h_prev + plan->rows * H : -1;
    view->norm = view->gates >= 0 && pygru_normalises(&plan->config)
                     ? view->gates + at_row(H, plan->rows)
                     : -1;
    view->h_last = a.h_last + cell * plan->B * H;
    return PYGRU_OK;
}

pygru_forward_layout pygru_layout_forward(const pygru_plan *plan) {
    const pygru_config *c = &plan->config;
    const int64_t H = c->hidden_size;
    const int64_t rows_of_states =
        plan->keep == PYGRU_KEEP_NOTHING && c->num_layers > 1 ? plan->rows : 0;
    const int64_t simd = plan->engine == PYGRU_ENGINE_SIMD;
    pygru_forward_layout a = {0};
    a.ut = reserve(
        &a.shared_total,
        simd ? 0 : times(times(c->num_layers, c->num_directions), times(GATES, times(H, H))));
    a.states =
        reserve(&a.shared_total, times(2, times(c->num_directions, times(rows_of_states, H))));
    if (pygru_plan_splits(plan)) {
        a.split_gates =
            reserve_vectors(&a.shared_total, times(plan->block_rows, times(COLUMNS, H)));
        a.split_h = reserve_vectors(&a.shared_total, times(2, times(plan->chunk_rows, H)));
        a.split_h_in = reserve_vectors(&a.shared_total,
                                       times(2 * c->drops_states, times(plan->chunk_rows, H)));
    }
    a.shared_total = a.shared_total < 0 ? -1 : pygru_padded(a.shared_total);
    a.bias = reserve(&a.thread_total, simd ? 0 : pygru_vectors_of_cell(c));
    a.x = reserve(&a.thread_total, times(plan->block_rows, pygru_widest_input(c)));
    a.gates = reserve_vectors(&a.thread_total, times(plan->block_rows, times(COLUMNS, H)));
    a.sums = reserve_vectors(&a.thread_total, simd * PYGRU_SUMS);
    a.h = reserve_vectors(&a.thread_total, times(2, times(plan->chunk_rows, H)));
    a.h_in = reserve_vectors(&a.thread_total, times(2 * c->drops_states * plan->chunk_rows, H));
    a.products = reserve_vectors(
        &a.thread_total, times(pygru_normalises(c) * plan->chunk_rows, times(GATES, H)));
    return a;
}

pygru_backward_layout pygru_layout_backward(const pygru_plan *plan) {
    const pygru_config *c = &plan->config;
    const int64_t H = c->hidden_size;
    const int64_t D = c->num_directions;
    const int64_t simd = plan->engine == PYGRU_ENGINE_SIMD;
    const int64_t gathers = c->num_layers > 1 || D > 1;
    const int64_t recomputed = plan->keep == PYGRU_KEEP_OUTPUTS ? plan->block_rows : 0;
    const int64_t between = c->num_layers > 1 ? plan->rows : 0;
    const int64_t widest = pygru_widest_input(c);
    const int64_t norm = pygru_normalises(c);
    pygru_backward_layout a = {0};
    pygru_cell last = {0};
    (void)pygru_cell_of(c, c->num_layers - 1, c->num_directions - 1, &last);
    a.u = reserve(&a.shared_total, times(times(c->num_layers, simd * D),
                                         times(times(GATES, H), pygru_padded(H))));
    a.w = reserve(&a.shared_total, times(times(c->num_layers, simd * D),
                                         times(times(GATES, H), pygru_padded(widest))));
    a.d_parameters = reserve(&a.shared_total, last.end);
    a.d_gates = reserve(&a.shared_total, times(D, times(plan->rows, times(COLUMNS, H))));
    a.d_products =
        norm == 0 ? a.d_gates
                  : reserve(&a.shared_total, times(D, times(plan->rows, times(COLUMNS, H))));
    a.d_norm =
        reserve(&a.shared_total, times(norm * D, times(plan->n_chunks, times(PYGRU_NORM, H))));
    a.x = reserve(&a.shared_total, times(gathers * D, times(plan->rows, widest)));
    a.h_in = reserve(&a.shared_total, times(c->drops_states * D, times(plan->rows, H)));
    a.d_y = reserve(&a.shared_total, times(2, times(between, times(D, H))));
    a.shared_total = a.shared_total < 0 ? -1 : pygru_padded(a.shared_total);
    a.bias = reserve(&a.thread_total, simd ? 0 : pygru_vectors_of_cell(c));
    a.gates = reserve_vectors(&a.thread_total, times(recomputed, times(COLUMNS, H)));
    a.sums = reserve_vectors(&a.thread_total, simd * PYGRU_SUMS);
    a.h_next = reserve_vectors(&a.thread_total, times(recomputed, H));
    a.d_x = reserve_vectors(&a.thread_total, times(plan->block_rows, widest));
    a.sum = reserve_vectors(&a.thread_total, simd * PYGRU_SUM_SCRATCH);
    a.d_bias = reserve(&a.thread_total, times(2, times(COLUMNS, H)));
    a.d_h = reserve_vectors(&a.thread_total, times(plan->chunk_rows, H));
    a.d_h_in = reserve_vectors(&a.thread_total, times(c->drops_states * plan->chunk_rows, H));
    a.d_kept = reserve(&a.thread_total, times(plan->chunk_rows, H));
    a.d_rh = reserve_vectors(&a.thread_total, times(plan->chunk_rows, H));
    a.products = reserve_vectors(&a.thread_total, times(norm * recomputed, times(GATES, H)));
    a.x_hat = reserve_vectors(&a.thread_total, times(norm * recomputed, times(GATES, H)));
    a.h_hat = reserve_vectors(&a.thread_total, times(norm * recomputed, times(GATES, H)));
    a.scale = reserve(&a.thread_total, times(norm * 2 * GATES, recomputed));
    a.d_norm_block = reserve_vectors(&a.thread_total, times(norm * PYGRU_NORM, H));
    return a;
}

/* ---- sizes -------------------------------------------------------------------------- */

int64_t pygru_workspace_bytes(const pygru_plan *plan, int32_t n_threads, int64_t shared,
                              int64_t per_thread) {
    const int64_t elements = plus(shared, times(n_threads, per_thread));
    return plus(64, times(elements, pygru_value_bytes(&plan->config)));
}

pygru_status pygru_plan_sizes(const pygru_plan *plan, int32_t n_threads, pygru_sizes *sizes) {
    const pygru_config *c;
    int64_t H, widest;
    pygru_tape_layout tape;
    pygru_forward_layout forward;
    pygru_backward_layout backward;
    pygru_cell last;
    pygru_status status;
    if (!pygru_is_plan(plan) || n_threads < 1 || sizes == NULL) {
        return PYGRU_BAD_ARGUMENT;
    }
    c = &plan->config;
    status = pygru_cell_of(c, c->num_layers - 1, c->num_directions - 1, &last);
    if (status != PYGRU_OK) {
        return status;
    }
    H = c->hidden_size;
    widest = at_least(pygru_widest_input(c), H);
    tape = pygru_layout_tape(plan);
    forward = pygru_layout_forward(plan);
    backward = pygru_layout_backward(plan);
    sizes->rows = plan->rows;
    sizes->parameters = last.end;
    sizes->tape = tape.total;
    sizes->dropout = times(times(c->num_layers - 1, plan->rows), times(c->num_directions, H));
    sizes->recurrent = times(times(c->num_layers, c->num_directions), times(plan->B, H));
    sizes->zoneout = times(times(c->num_layers, c->num_directions), times(plan->rows, H));
    sizes->forward_workspace =
        pygru_workspace_bytes(plan, n_threads, forward.shared_total, forward.thread_total);
    sizes->backward_workspace =
        pygru_workspace_bytes(plan, n_threads, backward.shared_total, backward.thread_total);
    /* Backward multiplies over all rows at once, forward over one block of them. */
    sizes->largest_product =
        times(plan->keep == PYGRU_KEEP_NOTHING ? plan->block_rows : plan->rows,
              times(times(GATES, H), widest));
    sizes->operations = times(plan->rows, last.end);
    sizes->max_threads = plan->n_chunks * c->num_directions;
    if (plan->keep != PYGRU_KEEP_NOTHING) {
        sizes->max_threads += 2 * c->num_directions * pygru_tiles_of_matrix(H);
    }
    if (pygru_plan_splits(plan)) {
        sizes->max_threads =
            at_least(sizes->max_threads, pygru_most_parts(plan, PYGRU_MOST_LANES));
    }
    sizes->max_threads = at_least(1, sizes->max_threads);
    if (sizes->dropout < 0 || sizes->recurrent < 0 || sizes->zoneout < 0 ||
        times(sizes->tape, pygru_value_bytes(&plan->config)) < 0 ||
        sizes->forward_workspace < 0 || sizes->backward_workspace < 0) {
        return PYGRU_SIZE_OVERFLOW;
    }
    if (sizes->operations < 0) {
        sizes->operations = INT64_MAX;
    }
    if (sizes->largest_product < 0) {
        sizes->largest_product = INT64_MAX;
    }
    return PYGRU_OK;
}

pygru_status pygru_step_workspace(const pygru_config *config, int64_t B, int64_t *bytes) {
    int64_t elements;
    if (config == NULL || bytes == NULL) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (!config_is_valid(config) || config->num_directions != 1 || B < 0) {
        return PYGRU_BAD_CONFIG;
    }
    /* bias and norm, gates (B, 4H), h (B, H), products (B, 3H), sums */
    elements = plus(plus(pygru_vectors_of_cell(config),
                         times(B, times(COLUMNS + 1 + pygru_normalises(config) * GATES,
                                        config->hidden_size))),
                    PYGRU_SUMS + PYGRU_SLACK);
    *bytes = times(elements, pygru_value_bytes(config));
    return *bytes < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}

/* ---- packed parameters ------------------------------------------------------------------ */

/* n elements in bytes, rounded up so that what follows is aligned. */
static int64_t aligned_bytes(int64_t n, int64_t bytes) {
    const int64_t rounded = plus(times(n, bytes), PYGRU_ALIGNMENT - 1);
    return rounded < 0 ? -1 : rounded / PYGRU_ALIGNMENT * PYGRU_ALIGNMENT;
}

/* The parts of a cell that begins at `begin`. */
static pygru_packed_cell packed_cell_from(const pygru_config *c, int64_t inputs,
                                          int64_t begin) {
    const int64_t H = c->hidden_size;
    const int64_t values = pygru_value_bytes(c), weights = pygru_weight_bytes(c);
    const int64_t columns = times(GATES, pygru_padded(H));
    pygru_packed_cell a;
    a.bias = begin;
    a.norm = plus(a.bias, aligned_bytes(plus(times(COLUMNS, H), PYGRU_SLACK), values));
    a.w = plus(a.norm, aligned_bytes(pygru_normalises(c) ? times(PYGRU_NORM, H) : 0, values));
    a.u = plus(a.w, aligned_bytes(times(columns, inputs), weights));
    a.end = plus(a.u, aligned_bytes(times(columns, H), weights));
    return a;
}

pygru_packed_cell pygru_packed_cell_of(const pygru_config *c, int64_t layer,
                                       int32_t direction) {
    const int64_t D = c->num_directions;
    const int64_t outputs = times(D, c->hidden_size);
    int64_t first, upper;
    if (layer == 0 && direction == 0) {
        return packed_cell_from(c, c->input_size, 0);
    }
    first = packed_cell_from(c, c->input_size, 0).end;
    if (layer == 0) {
        return packed_cell_from(c, c->input_size, times(direction, first));
    }
    upper = packed_cell_from(c, outputs, 0).end;
    return packed_cell_from(
        c, outputs, plus(times(D, first), times(times(layer - 1, D) + direction, upper)));
}

pygru_status pygru_packed_size(const pygru_config *config, int64_t *bytes) {
    pygru_cell last;
    pygru_status status;
    if (config == NULL || bytes == NULL) {
        return PYGRU_BAD_ARGUMENT;
    }
    status = pygru_cell_of(config, config->num_layers - 1, config->num_directions - 1, &last);
    if (status != PYGRU_OK) {
        return status;
    }
    *bytes =
        pygru_packed_cell_of(config, config->num_layers - 1, config->num_directions - 1).end;
    return *bytes < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}
