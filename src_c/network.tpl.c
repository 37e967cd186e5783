/* network.tpl.c - the public calls: all layers and directions of one batch.
 *
 * Forward runs one phase of tasks per layer, a task being one chunk in one direction.
 * Backward runs two phases per layer, from the top: the sweeps, then everything that needs
 * their gate gradients: the gradient of the layer's input, chunk by chunk, and the gradients
 * of its parameters, tile by tile, each tile one product over all rows of the batch. */

/* Rows of the inner dimension of a weight-gradient product between two looks at the stop flag.
 */
enum { NAME(INNER) = 4096 };

static char *NAME(align)(void *memory) {
    return (char *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
}

/* BLAS takes row lengths as its own integers; longer rows cannot be expressed at all. */
static int NAME(rows_fit_blas)(const pygru_config *c, const pygru_blas *blas) {
    const int64_t widest = pygru_widest_input(c);
    return 4 * c->hidden_size <= blas->max_int && widest <= blas->max_int;
}

static NAME(cell)
    NAME(cell_at)(const pygru_config *c, const pygru_kernels *kernels, const REAL *parameters,
                  int64_t layer, int32_t direction, REAL *bias) {
    NAME(cell) cell;
    pygru_cell at;
    (void)pygru_cell_of(c, layer, direction, &at);
    cell.I = at.input_size;
    cell.H = c->hidden_size;
    cell.after = c->reset == PYGRU_RESET_AFTER;
    cell.keeps = c->update == PYGRU_UPDATE_KEEPS;
    cell.w = parameters + at.weight_ih;
    cell.u = parameters + at.weight_hh;
    cell.ut = NULL;
    cell.bias = bias;
    cell.kernels = NAME(pygru_gates_of)(kernels);
    NAME(combine_biases)(cell.H, cell.after, c->has_bias ? parameters + at.bias_ih : NULL,
                         c->has_bias ? parameters + at.bias_hh : NULL, bias);
    return cell;
}

static NAME(rows) NAME(caller_rows)(REAL *data, ptrdiff_t step, ptrdiff_t sequence) {
    const NAME(rows) rows = {data, step, sequence, 0};
    return rows;
}

static NAME(rows) NAME(packed_rows)(REAL *data, int64_t width) {
    const NAME(rows) rows = {data, (ptrdiff_t)width, 0, 1};
    return rows;
}

/* ---- forward ------------------------------------------------------------------------ */

typedef struct NAME(forward_call) {
    const NAME(pygru_forward_args) *args;
    pygru_tape_layout tape;
    pygru_forward_layout layout;
    REAL *shared;
    REAL *threads;
} NAME(forward_call);

/* Phase 0 prepares the weights, phase 1 + l runs layer l. */
static int64_t NAME(forward_count)(int32_t phase, void *context) {
    const pygru_plan *plan = ((NAME(forward_call) *)context)->args->plan;
    const int64_t D = plan->config.num_directions;
    return phase == 0 ? plan->config.num_layers * D : plan->n_chunks * D;
}

static REAL *NAME(transposed_weights)(const NAME(forward_call) *call, int64_t cell) {
    const int64_t H = call->args->plan->config.hidden_size;
    return call->shared + call->layout.ut + cell * 3 * H * H;
}

/* Where the states of a layer and direction are kept during this call: on the tape, or, in
 * inference, in a buffer that every second layer reuses. The top layer's have no reader. */
static REAL *NAME(states_of)(const NAME(forward_call) *call, int64_t layer, int32_t d) {
    const pygru_plan *plan = call->args->plan;
    const pygru_config *c = &plan->config;
    if (plan->keep != PYGRU_KEEP_NOTHING) {
        pygru_tape_view view;
        pygru_tape_view_of(plan, layer, d, &view);
        return call->args->tape + view.h_prev;
    }
    if (layer == c->num_layers - 1) {
        return NULL;
    }
    return call->shared + call->layout.states +
           ((layer & 1) * c->num_directions + d) * plan->rows * c->hidden_size;
}

static void NAME(forward_source)(const NAME(forward_call) *call, int64_t layer,
                                 NAME(source) *source) {
    const NAME(pygru_forward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t H = c->hidden_size;
    int32_t d;
    source->directions = c->num_directions;
    if (layer == 0) {
        source->x = NAME(caller_rows)((REAL *)args->x.data, args->x.step, args->x.sequence);
        return;
    }
    for (d = 0; d < c->num_directions; d++) {
        source->h_prev[d] = NAME(states_of)(call, layer - 1, d);
        source->h_last[d] = args->h_n + ((layer - 1) * c->num_directions + d) * plan->B * H;
    }
    if (args->mask != NULL) {
        source->mask = args->mask + (layer - 1) * plan->rows * c->num_directions * H;
        source->mask_scale = args->mask_scale;
    }
}

static void NAME(forward_task)(int32_t phase, int64_t task, int32_t slot, pygru_run *run,
                               void *context) {
    const NAME(forward_call) *call = context;
    const NAME(pygru_forward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t D = c->num_directions;
    const int64_t state_size = plan->B * c->hidden_size;
    const pygru_forward_layout *layout = &call->layout;
    REAL *scratch = call->threads + slot * layout->thread_total;
    int64_t layer, index;
    NAME(sweep) s;
    if (phase == 0) {
        const NAME(cell) cell = NAME(cell_at)(c, args->kernels, args->parameters, task / D,
                                              (int32_t)(task % D), scratch + layout->bias);
        NAME(transpose_recurrent)(cell.H, cell.u, NAME(transposed_weights)(call, task));
        return;
    }
    layer = phase - 1;
    memset(&s, 0, sizeof s);
    s.plan = plan;
    s.chunk = pygru_plan_chunk(plan, task / D);
    s.direction = (int32_t)(task % D);
    s.cell = NAME(cell_at)(c, args->kernels, args->parameters, layer, s.direction,
                           scratch + layout->bias);
    index = layer * D + s.direction;
    s.cell.ut = NAME(transposed_weights)(call, index);
    NAME(forward_source)(call, layer, &s.source);
    s.blas = args->blas;
    s.run = run;
    s.slot = slot;
    s.h0 = args->h0 == NULL ? NULL : args->h0 + index * state_size;
    s.h_n = args->h_n + index * state_size;
    s.h_prev = NAME(states_of)(call, layer, s.direction);
    if (plan->keep != PYGRU_KEEP_NOTHING) {
        pygru_tape_view view;
        pygru_tape_view_of(plan, layer, s.direction, &view);
        s.tape_h_last = args->tape + view.h_last;
        s.tape_gates = view.gates < 0 ? NULL : args->tape + view.gates;
        s.tape_x = layer == 0 ? args->tape + call->tape.x : NULL;
    }
    if (layer == c->num_layers - 1) {
        s.y = NAME(caller_rows)(args->y.data, args->y.step, args->y.sequence);
    }
    s.x = scratch + layout->x;
    s.gates = scratch + layout->gates;
    s.gh = scratch + layout->gh;
    s.h = scratch + layout->h;
    NAME(sweep_forward)(&s);
}

pygru_status NAME(pygru_forward)(const NAME(pygru_forward_args) *args) {
    const pygru_plan *plan = args->plan;
    NAME(forward_call) call;
    const pygru_work work = {(int32_t)plan->config.num_layers + 1, NAME(forward_count),
                             NAME(forward_task), &call};
    if (args->parameters == NULL || args->h_n == NULL || args->workspace == NULL ||
        args->y.data == NULL || args->x.data == NULL ||
        (plan->keep != PYGRU_KEEP_NOTHING && args->tape == NULL)) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (!NAME(rows_fit_blas)(&plan->config, args->blas)) {
        return PYGRU_BLAS_LIMIT;
    }
    call.args = args;
    call.tape = pygru_layout_tape(plan);
    call.layout = pygru_layout_forward(plan);
    call.shared = (REAL *)NAME(align)(args->workspace);
    call.threads = call.shared + call.layout.shared_total;
    return pygru_parallel_run(args->team, &work);
}

/* ---- backward ----------------------------------------------------------------------- */

typedef struct NAME(backward_call) {
    const NAME(pygru_backward_args) *args;
    pygru_tape_layout tape;
    pygru_backward_layout layout;
    REAL *shared;
    REAL *threads;
} NAME(backward_call);

static int64_t NAME(layer_of_phase)(const NAME(backward_call) *call, int32_t phase) {
    return call->args->plan->config.num_layers - 1 - phase / 2;
}

static int NAME(wants_d_x)(const NAME(backward_call) *call, int64_t layer) {
    return layer > 0 || call->args->d_x.data != NULL;
}

static int64_t NAME(backward_count)(int32_t phase, void *context) {
    const NAME(backward_call) *call = context;
    const pygru_plan *plan = call->args->plan;
    const pygru_config *c = &plan->config;
    const int64_t layer = NAME(layer_of_phase)(call, phase);
    if (phase % 2 == 0) {
        return plan->n_chunks * c->num_directions;
    }
    return (NAME(wants_d_x)(call, layer) ? plan->n_chunks : 0) +
           c->num_directions * (2 * pygru_tiles_of_matrix(c->hidden_size) + c->has_bias);
}

/* The inputs of a layer in sweep order are on the tape only for the forward direction of the
 * first layer; elsewhere the sweep gathers them here. */
static REAL *NAME(gathered_inputs)(const NAME(backward_call) *call, int64_t layer,
                                   int32_t direction) {
    const pygru_plan *plan = call->args->plan;
    if (layer == 0 && direction == 0) {
        return NULL;
    }
    return call->shared + call->layout.x +
           direction * plan->rows * pygru_widest_input(&plan->config);
}

static REAL *NAME(gate_gradients)(const NAME(backward_call) *call, int32_t direction) {
    const pygru_plan *plan = call->args->plan;
    return call->shared + call->layout.d_gates +
           direction * plan->rows * 4 * plan->config.hidden_size;
}

/* The gradient of a layer's output: the caller's for the top layer. */
static NAME(rows) NAME(output_gradient)(const NAME(backward_call) *call, int64_t layer) {
    const NAME(pygru_backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const int64_t width = plan->config.num_directions * plan->config.hidden_size;
    if (layer == plan->config.num_layers - 1) {
        return NAME(caller_rows)((REAL *)args->d_y.data, args->d_y.step, args->d_y.sequence);
    }
    return NAME(packed_rows)(call->shared + call->layout.d_y + (layer & 1) * plan->rows * width,
                             width);
}

static void NAME(backward_source)(const NAME(backward_call) *call, int64_t layer,
                                  NAME(source) *source) {
    const NAME(pygru_backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t H = c->hidden_size;
    int32_t d;
    source->directions = c->num_directions;
    if (layer == 0) {
        source->x = NAME(packed_rows)((REAL *)args->tape + call->tape.x, c->input_size);
        return;
    }
    for (d = 0; d < c->num_directions; d++) {
        pygru_tape_view below;
        pygru_tape_view_of(plan, layer - 1, d, &below);
        source->h_prev[d] = args->tape + below.h_prev;
        source->h_last[d] = args->tape + below.h_last;
    }
    if (args->mask != NULL) {
        source->mask = args->mask + (layer - 1) * plan->rows * c->num_directions * H;
        source->mask_scale = args->mask_scale;
    }
}

static void NAME(backward_sweep_task)(const NAME(backward_call) *call, int64_t layer,
                                      int64_t task, int32_t slot, pygru_run *run) {
    const NAME(pygru_backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t D = c->num_directions;
    const int64_t state_size = plan->B * c->hidden_size;
    const pygru_backward_layout *layout = &call->layout;
    REAL *scratch = call->threads + slot * layout->thread_total;
    pygru_tape_view view;
    int64_t index;
    NAME(sweep) s;
    memset(&s, 0, sizeof s);
    s.plan = plan;
    s.chunk = pygru_plan_chunk(plan, task / D);
    s.direction = (int32_t)(task % D);
    s.cell = NAME(cell_at)(c, args->kernels, args->parameters, layer, s.direction,
                           scratch + layout->bias);
    index = layer * D + s.direction;
    NAME(backward_source)(call, layer, &s.source);
    s.blas = args->blas;
    s.run = run;
    s.slot = slot;
    pygru_tape_view_of(plan, layer, s.direction, &view);
    s.tape_x = (REAL *)args->tape + call->tape.x;
    s.h_prev = (REAL *)args->tape + view.h_prev;
    s.tape_gates = view.gates < 0 ? NULL : (REAL *)args->tape + view.gates;
    s.d_h_n = args->d_h_n == NULL ? NULL : args->d_h_n + index * state_size;
    s.d_h0 = args->d_h0 + index * state_size;
    s.d_y = NAME(output_gradient)(call, layer);
    s.d_gates = NAME(gate_gradients)(call, s.direction);
    s.x_rows = NAME(gathered_inputs)(call, layer, s.direction);
    s.gates = scratch + layout->gates;
    s.gh = scratch + layout->gh;
    s.h_next = scratch + layout->h_next;
    s.d_h = scratch + layout->dh;
    s.d_rh = scratch + layout->d_rh;
    NAME(sweep_backward)(&s);
}

/* Stores (direction 0) or adds (direction 1) the gradient of inputs, rows in sweep order. */
static void NAME(scatter_d_x)(const pygru_plan *plan, const pygru_chunk *chunk,
                              int32_t direction, int64_t t0, int64_t t1,
                              const NAME(source) *source, int64_t width, const REAL *from,
                              const NAME(rows) *to) {
    const int64_t *start = pygru_plan_starts(plan, chunk);
    const int64_t *lengths = pygru_plan_lengths(plan) + chunk->sequence0;
    int64_t t, i, j;
    for (t = t0; t < t1; t++) {
        for (i = 0; i < start[t + 1] - start[t]; i++, from += width) {
            const int64_t time = NAME(time_of)(direction, lengths[i], t);
            REAL *row = NAME(row_at)(plan, chunk, to, time, i);
            if (direction == 0) {
                NAME(copy_row)(width, from, row);
            } else {
                for (j = 0; j < width; j++) {
                    row[j] += from[j];
                }
            }
            /* The last direction to arrive applies the dropout of the forward pass. */
            if (source->mask != NULL && direction == source->directions - 1) {
                const uint8_t *mask = source->mask + (chunk->row0 + start[time] + i) * width;
                for (j = 0; j < width; j++) {
                    row[j] *= (REAL)mask[j] * source->mask_scale;
                }
            }
        }
    }
}

/* d_X (rows, I) = da_rz W_rz + da_n W_n of one chunk, summed over the directions. */
static void NAME(d_x_task)(const NAME(backward_call) *call, int64_t layer, int64_t task,
                           int32_t slot, pygru_run *run) {
    const NAME(pygru_backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const pygru_chunk *chunk = pygru_plan_chunk(plan, task);
    const int64_t *start = pygru_plan_starts(plan, chunk);
    const int64_t H = c->hidden_size;
    REAL *d_x = call->threads + slot * call->layout.thread_total + call->layout.d_x;
    NAME(rows) to = layer == 0
                        ? NAME(caller_rows)(args->d_x.data, args->d_x.step, args->d_x.sequence)
                        : NAME(output_gradient)(call, layer - 1);
    NAME(source) source;
    int32_t d;
    int64_t t0, t1;
    memset(&source, 0, sizeof source);
    NAME(backward_source)(call, layer, &source);
    for (d = 0; d < c->num_directions; d++) {
        const REAL *d_gates = NAME(gate_gradients)(call, d);
        pygru_cell at;
        (void)pygru_cell_of(c, layer, d, &at);
        for (t0 = 0; t0 < chunk->steps && !pygru_should_stop(run, slot); t0 = t1) {
            const int64_t I = at.input_size;
            const REAL *block = d_gates + (chunk->row0 + start[t0]) * 4 * H;
            const NAME(matrix) da_n = {block, 4 * H};
            const NAME(matrix) da_rz = {block + H, 4 * H};
            const NAME(matrix) w_rz = {args->parameters + at.weight_ih, I};
            const NAME(matrix) w_n = {args->parameters + at.weight_ih + 2 * H * I, I};
            for (t1 = t0 + 1; t1 < chunk->steps; t1++) {
                if (start[t1 + 1] - start[t0] > plan->block_rows) {
                    break;
                }
            }
            NAME(multiply_nn)(args->blas, start[t1] - start[t0], I, 2 * H, da_rz, w_rz, 0, d_x,
                              I);
            NAME(multiply_nn)(args->blas, start[t1] - start[t0], I, H, da_n, w_n, 1, d_x, I);
            NAME(scatter_d_x)(plan, chunk, d, t0, t1, &source, I, d_x, &to);
        }
    }
    if (layer == 0) {
        NAME(zero_padding)(plan, chunk, &to, 0, c->input_size);
    }
}

/* d_out (m,n) = A^T B over all rows of the batch, in fixed order. */
static void NAME(sum_over_rows)(const NAME(backward_call) *call, int64_t m, int64_t n,
                                NAME(matrix) a, NAME(matrix) b, REAL *out, int32_t slot,
                                pygru_run *run) {
    const pygru_blas *blas = call->args->blas;
    const int64_t rows = call->args->plan->rows;
    const int64_t inner = NAME(INNER) < blas->max_int ? NAME(INNER) : blas->max_int;
    int64_t row;
    if (rows == 0) {
        memset(out, 0, (size_t)(m * n) * sizeof(REAL));
    }
    for (row = 0; row < rows && !pygru_should_stop(run, slot); row += inner) {
        const NAME(matrix) a_rows = {a.data + row * a.ld, a.ld};
        const NAME(matrix) b_rows = {b.data + row * b.ld, b.ld};
        const int64_t k = rows - row < inner ? rows - row : inner;
        NAME(multiply_tn)(blas, m, n, k, a_rows, b_rows, row == 0 ? (REAL)0 : (REAL)1, out, n);
    }
}

/* A tile of dW = dG^T X or dU = dG^T h (dU_n = da_n^T (r*h) with the reset before). */
static void NAME(weight_tile_task)(const NAME(backward_call) *call, int64_t layer,
                                   int32_t direction, int recurrent, int64_t tile, int32_t slot,
                                   pygru_run *run) {
    const NAME(pygru_backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const int64_t H = plan->config.hidden_size;
    const int64_t tiles_rz = pygru_tiles(2 * H);
    const int is_n = tile >= tiles_rz;
    const int64_t first = (is_n ? tile - tiles_rz : tile) * PYGRU_TILE;
    const int64_t part = is_n ? H : 2 * H;
    const int64_t m = part - first < PYGRU_TILE ? part - first : PYGRU_TILE;
    const REAL *d_gates = NAME(gate_gradients)(call, direction);
    NAME(matrix) a, b;
    REAL *out = call->shared + call->layout.d_parameters;
    pygru_cell at;
    pygru_tape_view view;
    int64_t n;
    (void)pygru_cell_of(&plan->config, layer, direction, &at);
    pygru_tape_view_of(plan, layer, direction, &view);
    a.data = d_gates + (is_n ? 0 : H) + first;
    a.ld = 4 * H;
    if (!recurrent) {
        const REAL *gathered = NAME(gathered_inputs)(call, layer, direction);
        n = at.input_size;
        b.data = gathered != NULL ? gathered : args->tape + call->tape.x;
        out += at.weight_ih;
    } else {
        n = H;
        b.data = args->tape + view.h_prev;
        out += at.weight_hh;
    }
    b.ld = n;
    if (recurrent && is_n && plan->config.reset == PYGRU_RESET_AFTER) {
        a.data = d_gates + 3 * H + first; /* da_hn */
    } else if (recurrent && is_n) {
        b.data = d_gates + 3 * H; /* r*h */
        b.ld = 4 * H;
    }
    out += ((is_n ? 2 * H : 0) + first) * n;
    NAME(sum_over_rows)(call, m, n, a, b, out, slot, run);
}

/* Bias gradients: column sums of the gate gradients, in blocks so that the error of a long
 * float32 sum grows with the number of blocks, not of rows. */
static void NAME(bias_task)(const NAME(backward_call) *call, int64_t layer, int32_t direction,
                            int32_t slot) {
    enum { BLOCK = 256 };
    const pygru_plan *plan = call->args->plan;
    const int64_t H = plan->config.hidden_size;
    const REAL *d_gates = NAME(gate_gradients)(call, direction);
    REAL *total = call->threads + slot * call->layout.thread_total + call->layout.sums;
    REAL *partial = total + 4 * H;
    REAL *d_parameters = call->shared + call->layout.d_parameters;
    const int after = plan->config.reset == PYGRU_RESET_AFTER;
    pygru_cell at;
    int64_t row, j;
    (void)pygru_cell_of(&plan->config, layer, direction, &at);
    NAME(zero_row)(4 * H, total);
    NAME(zero_row)(4 * H, partial);
    for (row = 0; row < plan->rows; row++) {
        const REAL *d_row = d_gates + row * 4 * H;
        for (j = 0; j < 4 * H; j++) {
            partial[j] += d_row[j];
        }
        if (row % BLOCK == BLOCK - 1 || row == plan->rows - 1) {
            for (j = 0; j < 4 * H; j++) {
                total[j] += partial[j];
                partial[j] = 0;
            }
        }
    }
    NAME(copy_row)(2 * H, total + H, d_parameters + at.bias_ih);
    NAME(copy_row)(H, total, d_parameters + at.bias_ih + 2 * H);
    NAME(copy_row)(2 * H, total + H, d_parameters + at.bias_hh);
    NAME(copy_row)(H, after ? total + 3 * H : total, d_parameters + at.bias_hh + 2 * H);
}

static void NAME(backward_task)(int32_t phase, int64_t task, int32_t slot, pygru_run *run,
                                void *context) {
    const NAME(backward_call) *call = context;
    const pygru_plan *plan = call->args->plan;
    const int64_t layer = NAME(layer_of_phase)(call, phase);
    const int64_t tiles = pygru_tiles_of_matrix(plan->config.hidden_size);
    const int64_t chunks = NAME(wants_d_x)(call, layer) ? plan->n_chunks : 0;
    const int64_t per_direction = 2 * tiles + plan->config.has_bias;
    int32_t direction;
    if (phase % 2 == 0) {
        NAME(backward_sweep_task)(call, layer, task, slot, run);
        return;
    }
    if (task < chunks) {
        NAME(d_x_task)(call, layer, task, slot, run);
        return;
    }
    direction = (int32_t)((task - chunks) / per_direction);
    task = (task - chunks) % per_direction;
    if (task < 2 * tiles) {
        NAME(weight_tile_task)(call, layer, direction, task >= tiles, task % tiles, slot, run);
    } else {
        NAME(bias_task)(call, layer, direction, slot);
    }
}

pygru_status NAME(pygru_backward)(const NAME(pygru_backward_args) *args) {
    const pygru_plan *plan = args->plan;
    const int32_t phases = 2 * (int32_t)plan->config.num_layers;
    NAME(backward_call) call;
    const pygru_work work = {phases, NAME(backward_count), NAME(backward_task), &call};
    pygru_status status;
    pygru_cell last;
    int64_t j;
    if (plan->keep == PYGRU_KEEP_NOTHING || args->parameters == NULL || args->tape == NULL ||
        args->grads == NULL || args->d_h0 == NULL || args->workspace == NULL) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (!NAME(rows_fit_blas)(&plan->config, args->blas)) {
        return PYGRU_BLAS_LIMIT;
    }
    call.args = args;
    call.tape = pygru_layout_tape(plan);
    call.layout = pygru_layout_backward(plan);
    call.shared = (REAL *)NAME(align)(args->workspace);
    call.threads = call.shared + call.layout.shared_total;
    status = pygru_parallel_run(args->team, &work);
    if (status != PYGRU_OK) {
        return status;
    }
    /* Only a complete gradient reaches the caller. */
    (void)pygru_cell_of(&plan->config, plan->config.num_layers - 1,
                        plan->config.num_directions - 1, &last);
    for (j = 0; j < last.end; j++) {
        args->grads[j] += call.shared[call.layout.d_parameters + j];
    }
    return PYGRU_OK;
}

/* ---- one step ----------------------------------------------------------------------- */

pygru_status NAME(pygru_step)(const NAME(pygru_step_args) *args) {
    const pygru_config *c = args->config;
    const int64_t H = c->hidden_size;
    const int64_t B = args->B;
    REAL *bias = args->workspace;
    REAL *gates = bias + 4 * H;
    REAL *gh = gates + B * 4 * H;
    int64_t layer, elements;
    const pygru_status status = pygru_step_workspace(c, B, &elements);
    if (status != PYGRU_OK) {
        return status;
    }
    if (!NAME(rows_fit_blas)(c, args->blas)) {
        return PYGRU_BLAS_LIMIT;
    }
    for (layer = 0; layer < c->num_layers && B > 0; layer++) {
        const NAME(cell) cell =
            NAME(cell_at)(c, args->kernels, args->parameters, layer, 0, bias);
        const REAL *x = layer == 0 ? args->x : args->h_next + (layer - 1) * B * H;
        NAME(project_input)(args->blas, &cell, B, x, gates);
        NAME(cell_forward)(args->blas, &cell, B, gates, args->h + layer * B * H,
                           args->h_next + layer * B * H, gh);
    }
    return PYGRU_OK;
}
