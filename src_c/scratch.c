/* scratch.c - computes from a plan the sizes and offsets of its tape and of its scratch
 * buffers.
 *
 * This is arithmetic on integers only. Every size is computed in 64 bits. An overflow is found
 * when a caller asks for sizes, so no other file needs to check again. */
#include "scratch.h"

#include "checked.h"
#include "kernels/kernels.h"
#include "template_macros.h"

/* The number of values between two buffers that nobody may write. Tests of the core set it to
 * find out whether every buffer is large enough. */
#ifndef PYGRU_SCRATCH_GAP
#define PYGRU_SCRATCH_GAP 0
#endif

/* ---- reserving ------------------------------------------------------------------------ */

static int64_t padded(int64_t n) { return n < 0 ? -1 : pygru_padded(n); }

/* Reserves n values: returns their offset and adds them to *total. */
static int64_t reserve(int64_t *total, int64_t n) {
    const int64_t begin = *total;
    *total = pygru_plus(*total, n);
    return begin;
}

/* Reserves a buffer of each kind of scratch.def; nothing for one without values. */
static int64_t reserve_VALUES(int64_t *total, int64_t n) {
    return reserve(total, n == 0 ? 0 : pygru_plus(n, PYGRU_SCRATCH_GAP));
}

static int64_t reserve_VECTORS(int64_t *total, int64_t n) {
    if (n == 0) {
        return *total;
    }
    *total = padded(*total);
    return reserve_VALUES(total, pygru_plus(n, PYGRU_SLACK));
}

/* ---- the tape ------------------------------------------------------------------------- */

pygru_tape_layout pygru_layout_tape(const pygru_plan *plan) {
    const pygru_config *c = &plan->config;
    const int64_t LD = pygru_times(c->num_layers, c->num_directions);
    const int64_t columns = plan->keep == PYGRU_KEEP_GATES ? 5 : 1;
    pygru_tape_layout a = {0};
    if (plan->keep == PYGRU_KEEP_NOTHING) {
        return a;
    }
    a.x = reserve(&a.total, pygru_times(plan->rows, c->input_size));
    a.h_last = reserve(&a.total, pygru_times(LD, pygru_times(plan->B, c->hidden_size)));
    a.cell_size = pygru_times(plan->rows, pygru_times(columns, c->hidden_size));
    if (pygru_normalises(c) && plan->keep == PYGRU_KEEP_GATES) {
        a.cell_size = pygru_plus(
            a.cell_size,
            pygru_times(2 * GATES, pygru_times(plan->rows, pygru_plus(c->hidden_size, 1))));
    }
    a.cells = reserve(&a.total, pygru_times(LD, a.cell_size));
    (void)reserve(&a.total, PYGRU_SLACK);
    return a;
}

pygru_status pygru_tape_view_of(const pygru_plan *plan, int64_t layer, int32_t direction,
                                pygru_tape_view *view) {
    pygru_tape_layout a;
    int64_t H, cell;
    if (!pygru_is_plan(plan) || !pygru_points(view) || layer < 0 ||
        layer >= plan->config.num_layers || direction < 0 ||
        direction >= plan->config.num_directions) {
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

/* ---- scratch --------------------------------------------------------------------------- */

/* The factors of the sizes in scratch.def. */
typedef struct pygru_extents {
    int64_t H;
    int64_t gates;   /* 3H */
    int64_t columns; /* 4H */
    int64_t widest;  /* input of any layer */
    int64_t padded_H;
    int64_t padded_widest;
    int64_t vectors;      /* of a cell, see pygru_vectors_of_cell */
    int64_t norm_vectors; /* PYGRU_NORM of H */
    int64_t rounded_row;  /* of the widest product, as integers */
    int64_t parameters;
    int64_t D;
    int64_t cells; /* L*D */
    int64_t rows;  /* R */
    int64_t n_chunks;
    int64_t chunk_rows;
    int64_t block_rows;
    int64_t states_rows;     /* rows whose states are kept between two layers of inference */
    int64_t between_rows;    /* rows with a gradient between two layers */
    int64_t recomputed_rows; /* of a time block, if backward computes its gates again */
    /* 0 or 1 */
    int64_t blas;
    int64_t simd;
    int64_t norm;
    int64_t quantized;
    int64_t drops;
    int64_t before; /* the reset is before the product */
    int64_t splits;
    int64_t gathers; /* inputs in another order than that of the tape */
} pygru_extents;

/* The factors that follow from the configuration. */
static pygru_extents extents_of_config(const pygru_config *c) {
    const int64_t H = c->hidden_size;
    pygru_extents e = {0};
    e.H = H;
    e.gates = pygru_times(GATES, H);
    e.columns = pygru_times(COLUMNS, H);
    e.vectors = pygru_vectors_of_cell(c);
    e.norm = pygru_normalises(c);
    e.quantized = pygru_is_quantized(c);
    e.rounded_row =
        e.quantized ? pygru_rounded_row(pygru_at_least(pygru_widest_input(c), H)) : 0;
    e.drops = c->drops_states;
    e.before = c->reset == PYGRU_RESET_BEFORE;
    return e;
}

static pygru_extents extents_of(const pygru_plan *plan) {
    const pygru_config *c = &plan->config;
    const int64_t is_deep = c->num_layers > 1;
    pygru_extents e = extents_of_config(c);
    pygru_cell last = {0};
    (void)pygru_cell_of(c, c->num_layers - 1, c->num_directions - 1, &last);
    e.widest = pygru_widest_input(c);
    e.padded_H = padded(e.H);
    e.padded_widest = padded(e.widest);
    e.norm_vectors = pygru_times(PYGRU_NORM, e.H);
    e.parameters = last.end;
    e.D = c->num_directions;
    e.cells = pygru_times(c->num_layers, e.D);
    e.rows = plan->rows;
    e.n_chunks = plan->n_chunks;
    e.chunk_rows = plan->chunk_rows;
    e.block_rows = plan->block_rows;
    e.states_rows = plan->keep == PYGRU_KEEP_NOTHING && is_deep ? plan->rows : 0;
    e.between_rows = is_deep ? plan->rows : 0;
    e.recomputed_rows = plan->keep == PYGRU_KEEP_OUTPUTS ? plan->block_rows : 0;
    e.simd = plan->engine == PYGRU_ENGINE_SIMD;
    e.blas = !e.simd;
    e.splits = pygru_plan_splits(plan);
    e.gathers = is_deep || e.D > 1;
    return e;
}

/* The product of n factors. If one factor is 0, the product is 0, also if the others overflow,
 * because a buffer that a call does not need cannot be too large. */
ALWAYS_INLINE int64_t product_of(int n, const int64_t *factors) {
    int64_t product = 1;
    int i;
    for (i = 0; i < n; i++) {
        product = product == 0 || factors[i] == 0 ? 0 : pygru_times(product, factors[i]);
    }
    return product;
}

#define OF(...)                                                                                \
    product_of((int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                \
               (const int64_t[]){__VA_ARGS__})

pygru_forward_layout pygru_layout_forward(const pygru_plan *plan) {
    const pygru_extents e = extents_of(plan);
    pygru_forward_layout a = {0};
#define FORWARD_SHARED(name, kind, values) a.name = reserve_##kind(&a.shared_total, values);
#define FORWARD_THREAD(name, kind, values) a.name = reserve_##kind(&a.thread_total, values);
#include "scratch.def"
    a.shared_total = padded(a.shared_total);
    a.thread_total = padded(a.thread_total);
    return a;
}

pygru_backward_layout pygru_layout_backward(const pygru_plan *plan) {
    const pygru_extents e = extents_of(plan);
    pygru_backward_layout a = {0};
#define BACKWARD_SHARED(name, kind, values) a.name = reserve_##kind(&a.shared_total, values);
#define BACKWARD_THREAD(name, kind, values) a.name = reserve_##kind(&a.thread_total, values);
#include "scratch.def"
    a.shared_total = padded(a.shared_total);
    a.thread_total = padded(a.thread_total);
    return a;
}

pygru_status pygru_layout_step(const pygru_config *config, int64_t B, pygru_step_layout *layout,
                               int64_t *bytes) {
    pygru_step_layout a = {0};
    pygru_extents e;
    if (!pygru_points(config) || !pygru_points(bytes)) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (!pygru_config_is_valid(config) || config->num_directions != 1 || config->reverse ||
        B < 0) {
        return PYGRU_BAD_CONFIG;
    }
    e = extents_of_config(config);
    e.chunk_rows = B;
#define STEP(name, kind, values) a.name = reserve_##kind(&a.total, values);
#include "scratch.def"
    a.total = pygru_plus(a.total, PYGRU_SLACK);
    *layout = a;
    *bytes = pygru_times(a.total, pygru_value_bytes(config));
    return *bytes < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}

pygru_status pygru_step_workspace(const pygru_config *config, int64_t B, int64_t *bytes) {
    pygru_step_layout layout;
    return pygru_layout_step(config, B, &layout, bytes);
}

void pygru_list_buffers(const pygru_plan *plan, pygru_buffer *buffers) {
    enum { VALUES, VECTORS };
    const pygru_extents e = extents_of(plan);
    const pygru_forward_layout forward = pygru_layout_forward(plan);
    const pygru_backward_layout backward = pygru_layout_backward(plan);
    const pygru_buffer rows[] = {
#define FORWARD_SHARED(name, kind, values) {#name, 0, 1, kind, forward.name, values},
#define FORWARD_THREAD(name, kind, values) {#name, 0, 0, kind, forward.name, values},
#define BACKWARD_SHARED(name, kind, values) {#name, 1, 1, kind, backward.name, values},
#define BACKWARD_THREAD(name, kind, values) {#name, 1, 0, kind, backward.name, values},
#include "scratch.def"
    };
    int i;
    for (i = 0; i < PYGRU_BUFFERS; i++) {
        buffers[i] = rows[i];
    }
}

/* ---- sizes -------------------------------------------------------------------------- */

int64_t pygru_workspace_bytes(const pygru_plan *plan, int32_t n_threads, int64_t shared,
                              int64_t per_thread) {
    const int64_t elements = pygru_plus(shared, pygru_times(n_threads, per_thread));
    return pygru_plus(64, pygru_times(elements, pygru_value_bytes(&plan->config)));
}

pygru_status pygru_plan_sizes(const pygru_plan *plan, int32_t n_threads, pygru_sizes *sizes) {
    const pygru_config *c;
    int64_t H, widest;
    pygru_tape_layout tape;
    pygru_forward_layout forward;
    pygru_backward_layout backward;
    pygru_cell last;
    pygru_status status;
    if (!pygru_is_plan(plan) || n_threads < 1 || !pygru_points(sizes)) {
        return PYGRU_BAD_ARGUMENT;
    }
    c = &plan->config;
    status = pygru_cell_of(c, c->num_layers - 1, c->num_directions - 1, &last);
    if (status != PYGRU_OK) {
        return status;
    }
    H = c->hidden_size;
    widest = pygru_at_least(pygru_widest_input(c), H);
    tape = pygru_layout_tape(plan);
    forward = pygru_layout_forward(plan);
    backward = pygru_layout_backward(plan);
    sizes->rows = plan->rows;
    sizes->parameters = last.end;
    sizes->tape = tape.total;
    sizes->dropout = pygru_times(pygru_times(c->num_layers - 1, plan->rows),
                                 pygru_times(c->num_directions, H));
    sizes->recurrent =
        pygru_times(pygru_times(c->num_layers, c->num_directions), pygru_times(plan->B, H));
    sizes->zoneout =
        pygru_times(pygru_times(c->num_layers, c->num_directions), pygru_times(plan->rows, H));
    sizes->forward_workspace =
        pygru_workspace_bytes(plan, n_threads, forward.shared_total, forward.thread_total);
    sizes->backward_workspace =
        pygru_workspace_bytes(plan, n_threads, backward.shared_total, backward.thread_total);
    /* Backward multiplies over all rows at once, forward over one block of them. */
    sizes->largest_product =
        pygru_times(plan->keep == PYGRU_KEEP_NOTHING ? plan->block_rows : plan->rows,
                    pygru_times(pygru_times(GATES, H), widest));
    sizes->operations = pygru_operations(plan);
    sizes->max_threads = plan->n_chunks * c->num_directions;
    if (plan->keep != PYGRU_KEEP_NOTHING) {
        sizes->max_threads += 2 * c->num_directions * pygru_tiles_of_matrix(H);
    }
    if (pygru_plan_splits(plan)) {
        sizes->max_threads =
            pygru_at_least(sizes->max_threads, pygru_most_parts(plan, PYGRU_MOST_LANES));
    }
    sizes->max_threads = pygru_at_least(1, sizes->max_threads);
    if (sizes->dropout < 0 || sizes->recurrent < 0 || sizes->zoneout < 0 ||
        pygru_times(sizes->tape, pygru_value_bytes(&plan->config)) < 0 ||
        sizes->forward_workspace < 0 || sizes->backward_workspace < 0) {
        return PYGRU_SIZE_OVERFLOW;
    }
    if (sizes->largest_product < 0) {
        sizes->largest_product = INT64_MAX;
    }
    return PYGRU_OK;
}
