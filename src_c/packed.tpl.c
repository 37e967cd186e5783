/* packed.tpl.c - the parameters of a cell as its engine wants them. */

/* What stands beside the products of a cell: bias (4H) and, with layer normalisation, norm
 * (PYGRU_NORM, H), to which the biases move then. */
static void NAME(fill_vectors)(const pygru_config *c, const REAL *parameters,
                               const pygru_cell *at, REAL *bias, REAL *norm) {
    const int64_t H = c->hidden_size;
    const int normalises = pygru_normalises(c);
    REAL *h_gains = norm + NAME(H_GAINS) *H;
    NAME(combine_biases)(H, c->reset == PYGRU_RESET_AFTER,
                         c->has_bias ? parameters + at->bias_ih : NULL,
                         c->has_bias ? parameters + at->bias_hh : NULL,
                         normalises ? norm + NAME(NORM_BIAS) *H : bias);
    if (normalises) {
        const REAL *gain = parameters + at->gain_ih;
        const size_t bytes = (size_t)H * sizeof(REAL);
        memset(bias, 0, 4 * bytes);
        memcpy(norm, gain + 2 * H, bytes);
        memcpy(norm + H, gain, 2 * bytes);
        memcpy(h_gains, parameters + at->gain_hh, 3 * bytes);
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
    cell.norm = pygru_normalises(c) ? bias + 4 * cell.H : NULL;
    NAME(fill_vectors)(c, parameters, &at, bias, bias + 4 * cell.H);
    return cell;
}

/* ---- packed parameters -------------------------------------------------------------- */

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
            memset(packed + to.bias + 4 * H, 0, PYGRU_SLACK * sizeof(REAL));
            {
                const REAL *const n_r_z[3] = {w + 2 * H * I, w, w + H * I};
                const REAL *const r_z_n[3] = {u, u + H * H, u + 2 * H * H};
                const int64_t lanes = table->lanes;
                const int64_t padded = (H + lanes - 1) / lanes * lanes;
                table->pack(3, H, I, n_r_z, I, 1, packed + to.w);
                table->pack(after ? 3 : 2, H, H, r_z_n, H, 1, packed + to.u);
                if (!after) {
                    table->pack(1, H, H, r_z_n + 2, H, 1, packed + to.u + 2 * padded * H);
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
    table->pack(1, columns, 3 * H, &weights, 1, columns, packed);
}

/* Whether a call has what the engine of its plan needs. */
static int NAME(engine_is_ready)(const pygru_plan *plan, const pygru_blas *blas,
                                 const pygru_kernels *kernels, const REAL *packed) {
    if (plan->engine == PYGRU_ENGINE_BLAS) {
        return blas != NULL;
    }
    return packed != NULL && NAME(pygru_table_of)(kernels)->lanes > 0;
}
