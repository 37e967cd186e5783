/* gradients.tpl.c - computes from the gate gradients of all rows those of the inputs, the
 * weights and the biases of a layer.
 *
 * The sweeps of a layer have left da_n | da_r | da_z | da_hn for every row. The remaining work
 * is products over many rows at once: the gradient of the layer's input is computed chunk by
 * chunk, and the gradients of its parameters tile by tile, where each tile is a product over
 * all rows of the batch. */

/* The most rows and columns of a weight-gradient product between two checks of the stop flag. */
enum { NAME(INNER) = 4096, NAME(MOST_COLUMNS) = 1024 };

typedef struct NAME(backward_call) {
    const NAME(backward_args) *args;
    pygru_tape_layout tape;
    pygru_backward_layout layout;
    REAL *memory; /* the workspace, aligned */
    NAME(backward_shared) shared;
    REAL *d_parameters; /* where the gradients go: */
    int adds;           /* they are added to what is there; otherwise they replace it */
} NAME(backward_call);

static NAME(backward_own) NAME(own_buffers)(const NAME(backward_call) *call, int32_t slot) {
    return NAME(backward_own_at)(&call->layout, call->memory, slot);
}

/* ---- where things stand in the workspace ---------------------------------------------- */

/* The inputs of a layer in sweep order are on the tape only for the forward direction of the
 * first layer; elsewhere the sweep gathers them here. */
static REAL *NAME(gathered_inputs)(const NAME(backward_call) *call, int64_t layer,
                                   int32_t direction) {
    const pygru_plan *plan = call->args->plan;
    if (layer == 0 && direction == 0) {
        return NULL;
    }
    return call->shared.x + direction * plan->rows * pygru_widest_input(&plan->config);
}

static REAL *NAME(gate_gradients)(const NAME(backward_call) *call, int32_t direction) {
    const pygru_plan *plan = call->args->plan;
    return call->shared.d_gates + direction * at_row(plan->config.hidden_size, plan->rows);
}

/* The same before layer normalisation of the states' products; without it they are one. */
static REAL *NAME(product_gradients)(const NAME(backward_call) *call, int32_t direction) {
    const pygru_plan *plan = call->args->plan;
    REAL *of_all = call->shared.d_products;
    if (!pygru_normalises(&plan->config)) {
        of_all = call->shared.d_gates;
    }
    return of_all + direction * at_row(plan->config.hidden_size, plan->rows);
}

/* The gradients of gains and biases of one chunk, with layer normalisation, (PYGRU_NORM, H). */
static REAL *NAME(norm_gradients)(const NAME(backward_call) *call, int32_t direction,
                                  int64_t chunk) {
    const pygru_plan *plan = call->args->plan;
    return call->shared.d_norm +
           (direction * plan->n_chunks + chunk) * PYGRU_NORM * plan->config.hidden_size;
}

/* The states in the products, (R, H): the states before each step, or these states after
 * recurrent dropout, which the sweep puts into the workspace. */
static REAL *NAME(dropped_states)(const NAME(backward_call) *call, int32_t direction) {
    const pygru_plan *plan = call->args->plan;
    if (call->args->noise.recurrent == NULL) {
        return NULL;
    }
    return call->shared.h_in + direction * plan->rows * plan->config.hidden_size;
}

/* The weights of a cell packed for backward, on the SIMD engine. */
static REAL *NAME(packed_ut)(const NAME(backward_call) *call, int64_t cell) {
    const int64_t H = call->args->plan->config.hidden_size;
    return call->shared.u + cell * all_gates(H) * pygru_padded(H);
}

static REAL *NAME(packed_wt)(const NAME(backward_call) *call, int64_t cell) {
    const pygru_config *c = &call->args->plan->config;
    return call->shared.w +
           cell * all_gates(c->hidden_size) * pygru_padded(pygru_widest_input(c));
}

static NAME(cell) NAME(backward_cell)(const NAME(backward_call) *call, int64_t layer,
                                      int32_t direction, int32_t slot) {
    const NAME(backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const int simd = plan->engine == PYGRU_ENGINE_SIMD;
    const NAME(backward_own) own = NAME(own_buffers)(call, slot);
    NAME(cell)
    cell =
        NAME(cell_at)(&plan->config, args->kernels, args->blas, args->parameters, args->packed,
                      layer, direction, own.bias, own.sums, own.products, NULL);
    if (simd) {
        const int64_t index = layer * plan->config.num_directions + direction;
        pygru_cell at;
        (void)pygru_cell_of(&plan->config, layer, direction, &at);
        cell.back_u =
            NAME(back_weights_of)(plan, cell.kernels, cell.H, args->parameters + at.weight_hh,
                                  NAME(packed_ut)(call, index));
        cell.back_w =
            NAME(back_weights_of)(plan, cell.kernels, cell.I, args->parameters + at.weight_ih,
                                  NAME(packed_wt)(call, index));
    }
    return cell;
}

/* The gradient of a layer's output: the caller's for the top layer. */
static NAME(rows) NAME(output_gradient)(const NAME(backward_call) *call, int64_t layer) {
    const NAME(backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const int64_t width = plan->config.num_directions * plan->config.hidden_size;
    if (layer == plan->config.num_layers - 1) {
        return NAME(caller_rows)((REAL *)args->d_y.data, args->d_y.step, args->d_y.sequence);
    }
    return NAME(packed_rows)(call->shared.d_y + (layer & 1) * plan->rows * width, width);
}

static void NAME(backward_source)(const NAME(backward_call) *call, int64_t layer,
                                  NAME(source) *source) {
    const NAME(backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
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
    NAME(set_mask)(source, plan, layer, args->noise.dropout, args->noise.dropout_scale);
}

/* ---- inputs --------------------------------------------------------------------------- */

static int NAME(wants_d_x)(const NAME(backward_call) *call, int64_t layer) {
    return layer > 0 || call->args->d_x.data != NULL;
}

/* Where the gradient of a layer's inputs goes: to the caller, or to the layer below. */
static NAME(rows) NAME(place_of_d_x)(const NAME(backward_call) *call, int64_t layer) {
    const NAME(backward_args) *args = call->args;
    return layer > 0 ? NAME(output_gradient)(call, layer - 1)
                     : NAME(caller_rows)(args->d_x.data, args->d_x.step, args->d_x.sequence);
}

/* With one direction the sweep computes the gradient of the inputs, block by block, while the
 * gates' gradients are in the cache. With two, both must be complete. */
static int NAME(has_d_x_tasks)(const NAME(backward_call) *call, int64_t layer) {
    return NAME(wants_d_x)(call, layer) && call->args->plan->config.num_directions > 1;
}

/* The gradient of the inputs of one chunk, summed over the directions. */
static void NAME(d_x_task)(const NAME(backward_call) *call, int64_t layer, int64_t task,
                           int32_t slot, pygru_run *run) {
    const pygru_plan *plan = call->args->plan;
    const pygru_config *c = &plan->config;
    const chunk_view chunk = chunk_of(plan, task);
    REAL *scratch = NAME(own_buffers)(call, slot).d_x;
    const NAME(rows) to = NAME(place_of_d_x)(call, layer);
    NAME(walk) walk = {.plan = plan, .chunk = chunk};
    int32_t d;
    int64_t t0, t1;
    NAME(backward_source)(call, layer, &walk.source);
    for (d = 0; d < c->num_directions; d++) {
        walk.direction = d;
        walk.cell = NAME(backward_cell)(call, layer, d, slot);
        for (t0 = 0; t0 < chunk.steps && !pygru_should_stop(run, slot); t0 = t1) {
            t1 = block_end(plan, &chunk, t0);
            NAME(block_input_gradient)
            (&walk, t0, t1, NAME(gate_gradients)(call, d), scratch, &to);
        }
    }
    if (layer == 0) {
        NAME(zero_padding)(plan, &chunk, &to, 0, c->input_size);
    }
}

/* ---- parameters ----------------------------------------------------------------------- */

/* Stores or adds n gradients, from parameter `at` on. */
static void NAME(give_gradients)(const NAME(backward_call) *call, int64_t n, const REAL *from,
                                 int64_t at) {
    REAL *to = call->d_parameters + at;
    int64_t j;
    if (!call->adds) {
        NAME(copy_row)(n, from, to);
        return;
    }
    for (j = 0; j < n; j++) {
        to[j] += from[j];
    }
}

/* From the sums of the columns n | r | z | hn to the gradients of the two biases, for some
 * units. */
static void NAME(give_bias_gradients)(const NAME(backward_call) *call, const pygru_cell *at,
                                      unit_range range, const REAL *sums) {
    const pygru_config *c = &call->args->plan->config;
    const int64_t H = c->hidden_size;
    enum gate gate;
    for (gate = GATE_R; gate < GATES; gate++) {
        const enum column of_state = state_column_of(gate, c->reset == PYGRU_RESET_AFTER);
        const int64_t first = at_gate(H, gate) + range.first;
        NAME(give_gradients)
        (call, range.n, sums + at_column(H, column_of(gate)) + range.first,
         at->bias_ih + first);
        NAME(give_gradients)
        (call, range.n, sums + at_column(H, of_state) + range.first, at->bias_hh + first);
    }
}

/* The inputs (rows, I) and the states (rows, H) in the products of a layer, in sweep order. */
static NAME(matrix)
    NAME(inputs_of)(const NAME(backward_call) *call, int64_t layer, int32_t direction) {
    const REAL *gathered = NAME(gathered_inputs)(call, layer, direction);
    const NAME(matrix) x = {gathered != NULL ? gathered : call->args->tape + call->tape.x,
                            pygru_inputs_of_layer(&call->args->plan->config, layer)};
    return x;
}

static NAME(matrix) NAME(states_in_products)(const NAME(backward_call) *call, int64_t layer,
                                             int32_t direction) {
    const pygru_plan *plan = call->args->plan;
    const REAL *dropped = NAME(dropped_states)(call, direction);
    NAME(matrix) h = {dropped, plan->config.hidden_size};
    pygru_tape_view view;
    pygru_tape_view_of(plan, layer, direction, &view);
    if (dropped == NULL) {
        h.data = call->args->tape + view.h_prev;
    }
    return h;
}

/* ---- by BLAS -------------------------------------------------------------------------- */

/* d_out (m,n) = A^T B over all rows of the batch, in fixed order. */
static void NAME(product_over_rows)(const NAME(backward_call) *call, int64_t m, int64_t n,
                                    NAME(matrix) a, NAME(matrix) b, REAL *out, int32_t slot,
                                    pygru_run *run) {
    const pygru_blas *blas = call->args->blas;
    const int64_t rows = call->args->plan->rows;
    const int64_t inner = NAME(INNER) < blas->max_int ? NAME(INNER) : blas->max_int;
    int64_t row, column;
    memset(out, 0, (size_t)(m * n) * sizeof(REAL));
    for (row = 0; row < rows; row += inner) {
        const NAME(matrix) a_rows = {a.data + row * a.ld, a.ld};
        const int64_t k = rows - row < inner ? rows - row : inner;
        for (column = 0; column < n; column += NAME(MOST_COLUMNS)) {
            const NAME(matrix) b_part = {b.data + row * b.ld + column, b.ld};
            if (pygru_should_stop(run, slot)) {
                return;
            }
            NAME(multiply_tn)(blas, m, pygru_at_most(NAME(MOST_COLUMNS), n - column), k, a_rows,
                              b_part, 1, out + column, n);
        }
    }
}

/* A tile of dW = dG^T X or dU = dG^T h (dU_n = da_n^T (r*h) with the reset before),
 * where h is the state in the products. */
static void NAME(weight_tile_task)(const NAME(backward_call) *call, int64_t layer,
                                   int32_t direction, int recurrent, int64_t tile, int32_t slot,
                                   pygru_run *run) {
    const NAME(backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const int64_t H = plan->config.hidden_size;
    const int64_t tiles_rz = pygru_tiles(at_gate(H, GATE_N));
    const int is_n = tile >= tiles_rz;
    const int64_t first = (is_n ? tile - tiles_rz : tile) * PYGRU_TILE;
    const int64_t part = is_n ? H : at_gate(H, GATE_N);
    const int64_t m = part - first < PYGRU_TILE ? part - first : PYGRU_TILE;
    const REAL *d_gates = recurrent ? NAME(product_gradients)(call, direction)
                                    : NAME(gate_gradients)(call, direction);
    NAME(matrix) a, b;
    REAL *out = call->d_parameters;
    pygru_cell at;
    int64_t n;
    (void)pygru_cell_of(&plan->config, layer, direction, &at);
    a.data = d_gates + at_run(H, is_n ? ONLY_N : R_Z) + first;
    a.ld = all_columns(H);
    b = recurrent ? NAME(states_in_products)(call, layer, direction)
                  : NAME(inputs_of)(call, layer, direction);
    n = b.ld;
    out += recurrent ? at.weight_hh : at.weight_ih;
    if (recurrent && is_n && plan->config.reset == PYGRU_RESET_AFTER) {
        a.data = d_gates + at_column(H, COLUMN_HN) + first; /* da_hn */
    } else if (recurrent && is_n) {
        b.data = d_gates + at_column(H, COLUMN_HN); /* r*h */
        b.ld = all_columns(H);
    }
    out += (at_gate(H, is_n ? GATE_N : GATE_R) + first) * n;
    NAME(product_over_rows)(call, m, n, a, b, out, slot, run);
}

/* Whether a cell has other parameters besides its matrices. */
static int NAME(has_vectors)(const pygru_config *c) {
    return c->has_bias || pygru_normalises(c);
}

/* Bias gradients: column sums of the gate gradients, in blocks so that the error of a long
 * float32 sum grows with the number of blocks, not of rows. */
static void NAME(bias_task)(const NAME(backward_call) *call, int64_t layer, int32_t direction,
                            int32_t slot, pygru_run *run) {
    enum { BLOCK = 256 };
    const pygru_plan *plan = call->args->plan;
    const int64_t H = plan->config.hidden_size, columns = all_columns(H);
    const REAL *d_gates = NAME(gate_gradients)(call, direction);
    REAL *total = NAME(own_buffers)(call, slot).d_bias;
    REAL *partial = total + columns;
    const unit_range all = {0, H};
    pygru_cell at;
    int64_t row, j;
    (void)pygru_cell_of(&plan->config, layer, direction, &at);
    NAME(zero_row)(columns, total);
    NAME(zero_row)(columns, partial);
    for (row = 0; row < plan->rows; row++) {
        const REAL *d_row = d_gates + at_row(H, row);
        for (j = 0; j < columns; j++) {
            partial[j] += d_row[j];
        }
        if (row % BLOCK == BLOCK - 1 || row == plan->rows - 1) {
            for (j = 0; j < columns; j++) {
                total[j] += partial[j];
                partial[j] = 0;
            }
            if (pygru_should_stop(run, slot)) {
                return;
            }
        }
    }
    NAME(give_bias_gradients)(call, &at, all, total);
}

/* The gradients of gains and biases with layer normalisation: the sums of the chunks'. */
static void NAME(norm_task)(const NAME(backward_call) *call, int64_t layer, int32_t direction,
                            int32_t slot) {
    const pygru_plan *plan = call->args->plan;
    const pygru_config *c = &plan->config;
    const int64_t H = c->hidden_size, size = PYGRU_NORM * H;
    REAL *total = NAME(own_buffers)(call, slot).d_norm_block;
    const unit_range all = {0, H};
    pygru_cell at;
    int64_t chunk, j;
    (void)pygru_cell_of(c, layer, direction, &at);
    NAME(zero_row)(size, total);
    for (chunk = 0; chunk < plan->n_chunks; chunk++) {
        const REAL *of_chunk = NAME(norm_gradients)(call, direction, chunk);
        for (j = 0; j < size; j++) {
            total[j] += of_chunk[j];
        }
    }
    NAME(give_gradients)(call, all_gates(H), total + PYGRU_X_GAINS * H, at.gain_ih);
    NAME(give_gradients)(call, all_gates(H), total + PYGRU_H_GAINS * H, at.gain_hh);
    if (c->has_bias) {
        NAME(give_bias_gradients)(call, &at, all, total + PYGRU_NORM_BIAS * H);
    }
}
