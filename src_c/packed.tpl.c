/* packed.tpl.c - the parameters of a cell as its engine wants them. */

/* What stands beside the products of a cell: bias (4H) and, with layer normalisation, norm
 * (PYGRU_NORM, H), to which the biases move then. */
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

/* A cell of the plan's engine. `bias` (4H), with what normalises behind it, is filled on the
 * BLAS engine and may be NULL on the other, which finds its own, and `sums` the other way
 * round. `products` may be NULL without layer normalisation. */
static NAME(cell)
    NAME(cell_at)(const pygru_config *c, const pygru_kernels *kernels, const pygru_blas *blas,
                  const REAL *parameters, const REAL *packed, int64_t layer, int32_t direction,
                  REAL *bias, REAL *sums, REAL *products) {
    NAME(cell) cell = {0};
    pygru_cell at;
    (void)pygru_cell_of(c, layer, direction, &at);
    cell.I = at.input_size;
    cell.H = c->hidden_size;
    cell.after = c->reset == PYGRU_RESET_AFTER;
    cell.keeps = c->update == PYGRU_UPDATE_KEEPS;
    cell.kernels = NAME(pygru_table_of)(kernels);
    cell.blas = blas;
    cell.norm_eps = (REAL)c->norm_eps;
    cell.products = products;
    if (packed != NULL) {
        const pygru_packed_cell in = pygru_packed_cell_of(c, layer, direction);
        cell.bias = packed + in.bias;
        cell.norm = pygru_normalises(c) ? packed + in.norm : NULL;
        cell.packed_w = packed + in.w;
        cell.packed_u = packed + in.u;
        cell.sums = sums;
        return cell;
    }
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
                             const REAL *weights, REAL *packed) {
    const REAL *gates[GATES] = {NULL};
    int v;
    for (v = 0; v < run.count; v++) {
        gates[v] = weights + (at_gate(H, run.first) + v * H) * K;
    }
    table->pack(run.count, H, K, gates, K, 1, packed);
}

pygru_status NAME(pygru_pack)(const pygru_config *c, const pygru_kernels *kernels,
                              const REAL *parameters, REAL *packed) {
    const NAME(pygru_table) *table = NAME(pygru_table_of)(kernels);
    const int64_t H = c->hidden_size;
    const int after = c->reset == PYGRU_RESET_AFTER;
    uint64_t float_state;
    int64_t layer, elements;
    int32_t d;
    const pygru_status status = pygru_packed_size(c, &elements);
    if (status != PYGRU_OK || table->lanes == 0) {
        return status != PYGRU_OK ? status : PYGRU_BAD_CONFIG;
    }
    float_state = pygru_enter_float_state(); /* biases are added up */
    for (layer = 0; layer < c->num_layers; layer++) {
        for (d = 0; d < c->num_directions; d++) {
            const pygru_packed_cell to = pygru_packed_cell_of(c, layer, d);
            const REAL *w, *u;
            pygru_cell at;
            int64_t I;
            (void)pygru_cell_of(c, layer, d, &at);
            I = at.input_size;
            w = parameters + at.weight_ih;
            u = parameters + at.weight_hh;
            NAME(fill_vectors)(c, parameters, &at, packed + to.bias, packed + to.norm);
            memset(packed + to.bias + all_columns(H), 0, PYGRU_SLACK * sizeof(REAL));
            {
                const int64_t lanes = table->lanes;
                const int64_t padded = (H + lanes - 1) / lanes * lanes;
                NAME(pack_gates)(table, R_Z_N, H, I, w, packed + to.w);
                NAME(pack_gates)(table, after ? R_Z_N : R_Z, H, H, u, packed + to.u);
                if (!after) {
                    NAME(pack_gates)(table, ONLY_N, H, H, u,
                                     packed + to.u + at_gate(padded * H, GATE_N));
                }
            }
        }
    }
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}

/* W or U for the way back: packed (3H, columns), its rows in the order r, z, n. */
static void NAME(pack_back)(const NAME(pygru_table) *table, int64_t H, int64_t columns,
                            const REAL *weights, REAL *packed) {
    table->pack(1, columns, all_gates(H), &weights, 1, columns, packed);
}

/* Whether a call has what the engine of its plan needs. */
static int NAME(engine_is_ready)(const pygru_plan *plan, const pygru_blas *blas,
                                 const pygru_kernels *kernels, const REAL *packed) {
    if (plan->engine == PYGRU_ENGINE_BLAS) {
        return blas != NULL;
    }
    return packed != NULL && NAME(pygru_table_of)(kernels)->lanes > 0;
}
