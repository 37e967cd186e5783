/* packed.tpl.c - arranges the parameters of a cell as its engine needs them. */

/* The bias of each column of a gates row; zeros without bias. */
static void NAME(combine_biases)(int64_t H, int after, const REAL *b_ih, const REAL *b_hh,
                                 REAL *bias) {
    const int64_t r = at_gate(H, GATE_R), z = at_gate(H, GATE_Z), n = at_gate(H, GATE_N);
    int64_t j;
    if (b_ih == NULL) {
        memset(bias, 0, (size_t)all_columns(H) * sizeof(REAL));
        return;
    }
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const REAL b_hn = b_hh[n + j];
        bias[at_column(H, COLUMN_N) + j] = after ? b_ih[n + j] : b_ih[n + j] + b_hn;
        bias[at_column(H, COLUMN_R) + j] = b_ih[r + j] + b_hh[r + j];
        bias[at_column(H, COLUMN_Z) + j] = b_ih[z + j] + b_hh[z + j];
        bias[at_column(H, COLUMN_HN) + j] = after ? b_hn : (REAL)0;
    }
}

/* The parameters of a cell besides the weights: bias (4H) and, with layer normalisation, norm
 * (PYGRU_NORM, H), which then contains the biases. */
static void NAME(fill_vectors)(const pygru_config *c, const REAL *parameters,
                               const pygru_cell *at, REAL *bias, REAL *norm) {
    const int64_t H = c->hidden_size;
    const int normalises = pygru_normalises(c);
    NAME(combine_biases)(H, c->reset == PYGRU_RESET_AFTER,
                         c->has_bias ? parameters + at->bias_ih : NULL,
                         c->has_bias ? parameters + at->bias_hh : NULL,
                         normalises ? norm + PYGRU_NORM_BIAS * H : bias);
    if (normalises) {
        const size_t bytes = (size_t)all_gates(H) * sizeof(REAL);
        memset(bias, 0, (size_t)all_columns(H) * sizeof(REAL));
        memcpy(norm + PYGRU_X_GAINS * H, parameters + at->gain_ih, bytes);
        memcpy(norm + PYGRU_H_GAINS * H, parameters + at->gain_hh, bytes);
    }
}

static NAME(pygru_activation)
    NAME(activation_of)(const pygru_config *c, const NAME(pygru_table) *kernels,
                        const pygru_activation *given, int32_t usual) {
    NAME(pygru_activation)
    f = {given->function == PYGRU_ACTIVATION_USUAL ? usual : given->function,
         (REAL)given->alpha,
         (REAL)given->beta,
         (REAL)c->clip,
         -(REAL)c->clip,
         (REAL)c->clip};
    kernels->activate(&f, 1, &f.least);
    kernels->activate(&f, 1, &f.most);
    return f;
}

/* The equations of a cell, and the kernels that compute them. */
static void NAME(choose_gates)(const pygru_config *c, NAME(cell) *cell) {
    NAME(pygru_equations) *e = &cell->equations;
    e->keeps = c->update == PYGRU_UPDATE_KEEPS;
    cell->gates = &cell->kernels->usual_gates;
    if (!pygru_is_usual(c)) {
        e->activation =
            NAME(activation_of)(c, cell->kernels, &c->activation, PYGRU_ACTIVATION_tanh);
        e->recurrent_activation = NAME(activation_of)(
            c, cell->kernels, &c->recurrent_activation, PYGRU_ACTIVATION_sigmoid);
        cell->gates = &cell->kernels->other_gates;
    }
}

/* A cell for the plan's engine. The BLAS engine fills `bias` (4H) and, after it, the parameters
 * of layer normalisation; the SIMD engine has its own, so `bias` may be NULL there. `sums` may
 * be NULL on the BLAS engine, `products` without layer normalisation, and `rounded` without
 * 8-bit weights. */
static NAME(cell)
    NAME(cell_at)(const pygru_config *c, const pygru_kernels *kernels, const pygru_blas *blas,
                  const REAL *parameters, const void *packed, int64_t layer, int32_t direction,
                  REAL *bias, REAL *sums, REAL *products, REAL *rounded) {
    NAME(cell) cell = {0};
    pygru_cell at;
    cell.I = pygru_inputs_of_layer(c, layer);
    cell.H = c->hidden_size;
    cell.after = c->reset == PYGRU_RESET_AFTER;
    cell.kernels = NAME(pygru_table_of)(kernels, c->precision);
    NAME(choose_gates)(c, &cell);
    cell.blas = blas;
    cell.norm_eps = (REAL)c->norm_eps;
    cell.products = products;
    if (packed != NULL) {
        const pygru_packed_cell in = pygru_packed_cell_of(c, layer, direction);
        const char *base = packed;
        cell.bias = (const REAL *)(base + in.bias);
        cell.norm = pygru_normalises(c) ? (const REAL *)(base + in.norm) : NULL;
        cell.packed_w = base + in.w;
        cell.packed_u = base + in.u;
        cell.depth_w = pygru_packed_depth(c, cell.I);
        cell.depth_u = pygru_packed_depth(c, cell.H);
        cell.sums = sums;
        cell.rounded = rounded;
        return cell;
    }
    (void)pygru_cell_of(c, layer, direction, &at);
    cell.w = parameters + at.weight_ih;
    cell.u = parameters + at.weight_hh;
    cell.bias = bias;
    cell.norm = pygru_normalises(c) ? bias + all_columns(cell.H) : NULL;
    NAME(fill_vectors)(c, parameters, &at, bias, bias + all_columns(cell.H));
    return cell;
}

/* ---- packed parameters -------------------------------------------------------------- */

/* The rows of a run of gates of a weight matrix (3H, K), as panels. */
static void NAME(pack_gates)(const NAME(pygru_table) *table, gate_run run, int64_t H, int64_t K,
                             const REAL *weights, void *packed) {
    const REAL *gates[GATES] = {NULL};
    int v;
    for (v = 0; v < run.count; v++) {
        gates[v] = weights + (at_gate(H, run.first) + v * H) * K;
    }
    table->pack(run.count, H, K, gates, K, 1, packed);
}

/* The vectors of one cell, and the slack after them. */
static void NAME(pack_vectors)(const pygru_config *c, const pygru_packed_cell *to,
                               const REAL *parameters, const pygru_cell *at, char *packed) {
    REAL *bias = (REAL *)(packed + to->bias);
    NAME(fill_vectors)(c, parameters, at, bias, (REAL *)(packed + to->norm));
    memset(bias + all_columns(c->hidden_size), 0, PYGRU_SLACK * sizeof(REAL));
}

/* Where the panels of a run begin in those of U, which begin at `u`. */
static char *NAME(run_in)(const pygru_config *c, const NAME(pygru_table) *table, gate_run run,
                          char *u) {
    const int64_t H = c->hidden_size;
    const int64_t columns = (H + table->lanes - 1) / table->lanes * table->lanes;
    return u + at_gate(columns * pygru_packed_depth(c, H), run.first) * table->weight_bytes;
}

/* One cell: its other parameters, then the panels of W and U. */
static void NAME(pack_cell)(const pygru_config *c, const NAME(pygru_table) *table,
                            const REAL *parameters, int64_t layer, int32_t direction,
                            char *packed) {
    const pygru_packed_cell to = pygru_packed_cell_of(c, layer, direction);
    const int after = c->reset == PYGRU_RESET_AFTER;
    const int64_t H = c->hidden_size;
    pygru_cell at;
    (void)pygru_cell_of(c, layer, direction, &at);
    NAME(pack_vectors)(c, &to, parameters, &at, packed);
    NAME(pack_gates)(table, R_Z_N, H, at.input_size, parameters + at.weight_ih, packed + to.w);
    NAME(pack_gates)(table, after ? R_Z_N : R_Z, H, H, parameters + at.weight_hh,
                     packed + to.u);
    if (!after) {
        NAME(pack_gates)(table, ONLY_N, H, H, parameters + at.weight_hh,
                         NAME(run_in)(c, table, ONLY_N, packed + to.u));
    }
}

/* Whether a call that packs has what it needs. */
static pygru_status NAME(check_packing)(const NAME(pygru_table) *table, const void *from,
                                        const void *packed) {
    if (table->lanes == 0) {
        return PYGRU_BAD_CONFIG;
    }
    return NAME(fits)(from) && packed != NULL && (uintptr_t)packed % PYGRU_ALIGNMENT == 0
               ? PYGRU_OK
               : PYGRU_BAD_ARGUMENT;
}

/* The public call: the configuration has been checked. */
static pygru_status NAME(pack_parameters)(const pygru_config *c, const pygru_kernels *kernels,
                                          const void *parameters, void *packed) {
    const NAME(pygru_table) *table = NAME(pygru_table_of)(kernels, c->precision);
    const pygru_status status = NAME(check_packing)(table, parameters, packed);
    uint64_t float_state;
    int64_t layer;
    int32_t d;
    if (status != PYGRU_OK) {
        return status;
    }
    float_state = pygru_enter_float_state(); /* biases are added up */
    for (layer = 0; layer < c->num_layers; layer++) {
        for (d = 0; d < c->num_directions; d++) {
            NAME(pack_cell)(c, table, parameters, layer, d, packed);
        }
    }
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}

/* ---- weights that are integers already -------------------------------------------------- */

/* The rows of a run of gates of a weight matrix (3H, K) and their scales (3H), as panels. */
static void NAME(pack_integers_of)(const NAME(pygru_table) *table, gate_run run, int64_t H,
                                   int64_t K, const int8_t *weights, const float *scales,
                                   void *packed) {
    const int8_t *gates[GATES] = {NULL};
    const REAL *scales_of[GATES] = {NULL};
    int v;
    for (v = 0; v < run.count; v++) {
        const int64_t first = at_gate(H, gate_in(run, v));
        gates[v] = weights + first * K;
        scales_of[v] = (const void *)(scales + first);
    }
    table->pack_integers(run.count, H, K, gates, scales_of, packed);
}

/* Where a cell finds its vectors in an array that has nothing else: `at` becomes what
 * pygru_cell_of says, without the weights. */
static void NAME(without_weights)(const pygru_config *c, int64_t cells_before, pygru_cell *at) {
    const int64_t vector = all_gates(c->hidden_size);
    const int64_t count = at->end - at->weight_hh - vector * c->hidden_size;
    const int64_t moved = at->weight_hh + vector * c->hidden_size - cells_before * count;
    at->bias_ih -= moved;
    at->bias_hh -= moved;
    at->gain_ih -= moved;
    at->gain_hh -= moved;
}

/* The public call: the configuration has been checked. */
static pygru_status NAME(pack_integers)(const pygru_config *c, const pygru_kernels *kernels,
                                        const int8_t *integers, const float *scales,
                                        const float *vectors, void *packed) {
    const NAME(pygru_table) *table = NAME(pygru_table_of)(kernels, c->precision);
    const pygru_status status = NAME(check_packing)(table, scales, packed);
    const int64_t H = c->hidden_size, L = c->num_layers, D = c->num_directions;
    const int after = c->reset == PYGRU_RESET_AFTER;
    uint64_t float_state;
    int64_t i;
    if (status != PYGRU_OK) {
        return status;
    }
    if (integers == NULL || !NAME(fits_or_null)(vectors) ||
        (vectors == NULL && (c->has_bias || pygru_normalises(c)))) {
        return PYGRU_BAD_ARGUMENT;
    }
    float_state = pygru_enter_float_state(); /* biases are added up */
    for (i = 0; i < L * D; i++) {
        const pygru_packed_cell to = pygru_packed_cell_of(c, i / D, (int32_t)(i % D));
        const int64_t I = pygru_inputs_of_layer(c, i / D);
        char *base = packed;
        pygru_cell at;
        (void)pygru_cell_of(c, i / D, (int32_t)(i % D), &at);
        NAME(without_weights)(c, i, &at);
        NAME(pack_vectors)(c, &to, (const void *)vectors, &at, base);
        NAME(pack_integers_of)(table, R_Z_N, H, I, integers, scales, base + to.w);
        integers += all_gates(H) * I;
        scales += all_gates(H);
        NAME(pack_integers_of)(table, after ? R_Z_N : R_Z, H, H, integers, scales, base + to.u);
        if (!after) {
            NAME(pack_integers_of)(table, ONLY_N, H, H, integers, scales,
                                   NAME(run_in)(c, table, ONLY_N, base + to.u));
        }
        integers += all_gates(H) * H;
        scales += all_gates(H);
    }
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}

/* Whether backward reads a weight matrix with so many columns in place. Packing it is worth the
 * time only if it is read a few times. */
static int NAME(reads_in_place)(const pygru_plan *plan, const NAME(pygru_table) *table,
                                int64_t columns) {
    enum { FEW_READS = 4 };
    return columns % table->lanes == 0 && plan->n_chunks * plan->T <= FEW_READS;
}

/* W or U for backward, (3H, columns) with the rows of r, z and n: `weights` itself, or what
 * pack_back() has made of it. */
static NAME(back_weights)
    NAME(back_weights_of)(const pygru_plan *plan, const NAME(pygru_table) *table,
                          int64_t columns, const REAL *weights, const REAL *packed) {
    const NAME(back_weights) in_place = {weights, table->lanes, columns};
    const NAME(back_weights) panels = {
        packed, all_gates(plan->config.hidden_size) * table->lanes, table->lanes};
    return NAME(reads_in_place)(plan, table, columns) ? in_place : panels;
}

static void NAME(pack_back)(const pygru_plan *plan, const NAME(pygru_table) *table,
                            int64_t columns, const REAL *weights, REAL *packed) {
    if (!NAME(reads_in_place)(plan, table, columns)) {
        table->pack(1, columns, all_gates(plan->config.hidden_size), &weights, 1, columns,
                    packed);
    }
}

/* The kernels of a call, for the precision of its plan. */
static const NAME(pygru_table) *NAME(table_of_call)(const pygru_plan *plan,
                                                    const pygru_kernels *kernels) {
    return NAME(pygru_table_of)(kernels, plan->config.precision);
}
