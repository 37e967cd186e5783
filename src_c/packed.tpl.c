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
 * be NULL on the BLAS engine, and `products` without layer normalisation. */
static NAME(cell)
    NAME(cell_at)(const pygru_config *c, const pygru_kernels *kernels, const pygru_blas *blas,
                  const REAL *parameters, const void *packed, int64_t layer, int32_t direction,
                  REAL *bias, REAL *sums, REAL *products) {
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
        cell.sums = sums;
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

/* One cell: its other parameters, then the panels of W and U. */
static void NAME(pack_cell)(const pygru_config *c, const NAME(pygru_table) *table,
                            const REAL *parameters, int64_t layer, int32_t direction,
                            char *packed) {
    const pygru_packed_cell to = pygru_packed_cell_of(c, layer, direction);
    const int after = c->reset == PYGRU_RESET_AFTER;
    const int64_t H = c->hidden_size;
    const int64_t blocks = (H + table->lanes - 1) / table->lanes;
    REAL *bias = (REAL *)(packed + to.bias);
    pygru_cell at;
    (void)pygru_cell_of(c, layer, direction, &at);
    NAME(fill_vectors)(c, parameters, &at, bias, (REAL *)(packed + to.norm));
    memset(bias + all_columns(H), 0, PYGRU_SLACK * sizeof(REAL));
    NAME(pack_gates)(table, R_Z_N, H, at.input_size, parameters + at.weight_ih, packed + to.w);
    NAME(pack_gates)(table, after ? R_Z_N : R_Z, H, H, parameters + at.weight_hh,
                     packed + to.u);
    if (!after) {
        NAME(pack_gates)(table, ONLY_N, H, H, parameters + at.weight_hh,
                         packed + to.u +
                             at_gate(blocks * table->lanes * H, GATE_N) * table->weight_bytes);
    }
}

/* The public call: the configuration has been checked. */
static pygru_status NAME(pack_parameters)(const pygru_config *c, const pygru_kernels *kernels,
                                          const void *parameters, void *packed) {
    const NAME(pygru_table) *table = NAME(pygru_table_of)(kernels, c->precision);
    uint64_t float_state;
    int64_t layer;
    int32_t d;
    if (table->lanes == 0) {
        return PYGRU_BAD_CONFIG;
    }
    if (!NAME(fits)(parameters) || packed == NULL || (uintptr_t)packed % PYGRU_ALIGNMENT != 0) {
        return PYGRU_BAD_ARGUMENT;
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

/* W or U for backward: packed (3H, columns), its rows in the order r, z, n. */
static void NAME(pack_back)(const NAME(pygru_table) *table, int64_t H, int64_t columns,
                            const REAL *weights, void *packed) {
    table->pack(1, columns, all_gates(H), &weights, 1, columns, packed);
}

/* The kernels of a call, for the precision of its plan. */
static const NAME(pygru_table) *NAME(table_of_call)(const pygru_plan *plan,
                                                    const pygru_kernels *kernels) {
    return NAME(pygru_table_of)(kernels, plan->config.precision);
}
