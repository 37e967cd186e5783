/* norm.tpl.c - a step whose sums are normalised, and its derivative: layer normalisation (Ba,
 * Kiros and Hinton 2016, arXiv:1607.06450), for every gate on its own.
 *
 * Where cell.tpl.c has   W x + b + U h + b'
 * this file has          LN(W x; g, b) + LN(U h; g', b'),
 * with LN(v; g, b) = g * (the standardised v) + b. A gate needs the mean of its whole row.
 * Therefore the products are complete before the first gate is computed, and no product is
 * fused with the gates here. Backward needs the standardised sums: a norm_record of them is kept like the gates. */

/* The gains of one gate: of what the inputs contribute, and of what the states do. */
static const REAL *NAME(gain_of_input)(const NAME(cell) *cell, enum gate gate) {
    return cell->norm + PYGRU_X_GAINS * cell->H + at_gate(cell->H, gate);
}

static const REAL *NAME(gain_of_state)(const NAME(cell) *cell, enum gate gate) {
    return cell->norm + PYGRU_H_GAINS * cell->H + at_gate(cell->H, gate);
}

/* The bias of one column. */
static const REAL *NAME(bias_of_norm)(const NAME(cell) *cell, enum column column) {
    return cell->norm + PYGRU_NORM_BIAS * cell->H + at_column(cell->H, column);
}

/* ---- forward ------------------------------------------------------------------------ */

/* out (rows, 3H) r | z | n = A U_g^T for a run of gates; with the reset before, r and z are
 * packed together and n alone. */
static void NAME(multiply_states)(const NAME(cell) *cell, int64_t rows, gate_run run,
                                  NAME(matrix) a, REAL *out) {
    const int64_t H = cell->H, n = run.count * H, first = at_gate(H, run.first);
    const int64_t row = all_gates(H);
    out += first;
    if (cell->packed_u != NULL) {
        const int64_t lanes = cell->kernels->lanes;
        int v;
        NAME(pygru_product)
        p = {.m = rows,
             .NV = run.count,
             .K = H,
             .a = a.data,
             .lda = a.ld,
             .w = NAME(pygru_weights_at)(
                 cell->kernels, cell->packed_u,
                 at_gate(NAME(blocks_of)(cell, H) * lanes * H, run.first)),
             .panel = n * lanes};
        for (v = 0; v < run.count; v++) {
            p.from.at[v] = (REAL *)cell->bias; /* zeros; only read */
            p.out.at[v] = out + v * H;
            p.out.row[v] = row;
        }
        NAME(product_within)(cell, H, &p);
    } else if (cell->ut != NULL) {
        const NAME(matrix) ut = {cell->ut + first, row};
        NAME(multiply_nn)(cell->blas, rows, n, H, a, ut, 0, out, row);
    } else {
        const NAME(matrix) u = {cell->u + first * H, H};
        NAME(multiply_nt)(cell->blas, rows, n, H, a, u, 0, out, row);
    }
}

/* What the sums of one gate were multiplied by: the inputs' gates are first, then the states'. */
static REAL *NAME(input_scale)(const NAME(norm_record) *record, enum gate gate) {
    return record->scale + at_gate(record->distance, gate);
}

static REAL *NAME(state_scale)(const NAME(norm_record) *record, enum gate gate) {
    return record->scale + all_gates(record->distance) + at_gate(record->distance, gate);
}

/* Where the standardised sums of one gate are to be recorded. */
static void NAME(record_gate)(NAME(pygru_normalisation) *p, REAL *standardised, REAL *scale) {
    p->standardised = standardised;
    p->standardised_row = all_gates(p->H);
    p->scale = scale;
}

/* gates: the products of the inputs become their part of the gates' sums. */
static void NAME(normalise_inputs)(const NAME(cell) *cell, int64_t rows, REAL *gates,
                                   const NAME(norm_record) *record) {
    const int64_t H = cell->H;
    enum gate gate;
    for (gate = GATE_R; gate < GATES; gate++) {
        REAL *sums = gates + at_column(H, column_of(gate));
        NAME(pygru_normalisation)
        p = {.rows = rows,
             .H = H,
             .eps = cell->norm_eps,
             .sums = sums,
             .sums_row = all_columns(H),
             .gain = NAME(gain_of_input)(cell, gate),
             .add = NAME(bias_of_norm)(cell, column_of(gate)),
             .out = sums,
             .out_row = all_columns(H)};
        if (record->x_hat != NULL) {
            NAME(record_gate)(&p, record->x_hat + at_gate(H, gate),
                              NAME(input_scale)(record, gate));
        }
        cell->kernels->normalise(&p);
    }
}

/* The products of the states with the weights of one gate become the gate's sums. */
static void NAME(normalise_states)(const NAME(cell) *cell, int64_t rows, enum gate gate,
                                   const REAL *add, ptrdiff_t add_row,
                                   const NAME(norm_record) *record) {
    const int64_t H = cell->H;
    REAL *sums = cell->products + at_gate(H, gate);
    NAME(pygru_normalisation)
    p = {.rows = rows,
         .H = H,
         .eps = cell->norm_eps,
         .sums = sums,
         .sums_row = all_gates(H),
         .gain = NAME(gain_of_state)(cell, gate),
         .add = add,
         .add_row = add_row,
         .out = sums,
         .out_row = all_gates(H)};
    if (record->h_hat != NULL) {
        NAME(record_gate)(&p, record->h_hat + at_gate(H, gate),
                          NAME(state_scale)(record, gate));
    }
    cell->kernels->normalise(&p);
}

static void NAME(normalised_forward)(const NAME(cell) *cell, int64_t rows, REAL *gates,
                                     const REAL *h, const REAL *h_in, REAL *h_next, int stores,
                                     const NAME(norm_record) *record) {
    const int64_t H = cell->H;
    const NAME(matrix) states = {h_in, H};
    const int64_t row = all_columns(H);
    const NAME(matrix) rh = {gates + at_column(H, COLUMN_HN), row};
    NAME(pygru_units)
    units = {.rows = rows,
             .units = H,
             .H = H,
             .sums = cell->products,
             .sums_row = all_gates(H),
             .sums_units = H,
             .gate = H,
             .gates = gates,
             .h = h,
             .h_next = h_next,
             .keeps = cell->keeps,
             .stores = stores};
    NAME(multiply_states)(cell, rows, cell->after ? R_Z_N : R_Z, states, cell->products);
    NAME(normalise_states)(cell, rows, GATE_R, gates + at_column(H, COLUMN_R), row, record);
    NAME(normalise_states)(cell, rows, GATE_Z, gates + at_column(H, COLUMN_Z), row, record);
    if (cell->after) {
        NAME(normalise_states)(cell, rows, GATE_N, NAME(bias_of_norm)(cell, COLUMN_HN), 0,
                               record);
        cell->kernels->after_forward(&units);
        return;
    }
    units.h = h_in;
    cell->kernels->before_reset(&units);
    NAME(multiply_states)(cell, rows, ONLY_N, rh, cell->products);
    NAME(normalise_states)(cell, rows, GATE_N, gates + at_column(H, COLUMN_N), row, record);
    units.h = h;
    units.sums = cell->products + at_gate(H, GATE_N);
    cell->kernels->before_candidate(&units);
}

/* ---- backward ----------------------------------------------------------------------- */

/* From d, the gradients of the sums of one gate (rows of 4H), to d_sums, those of the products
 * of the states. */
static void NAME(states_backward)(const NAME(cell) *cell, int64_t rows, enum gate gate,
                                  const NAME(norm_gradient) *norm, const REAL *d,
                                  REAL *d_sums) {
    const int64_t H = cell->H;
    const NAME(norm_record) *record = &norm->record;
    const NAME(pygru_normalisation_gradient) p = {
        .rows = rows,
        .H = H,
        .gain = NAME(gain_of_state)(cell, gate),
        .standardised = record->h_hat + at_gate(H, gate),
        .standardised_row = all_gates(H),
        .scale = NAME(state_scale)(record, gate),
        .d = d,
        .d_sums = d_sums,
        .d_row = all_columns(H),
        .d_gain = norm->d_norm + PYGRU_H_GAINS * H + at_gate(H, gate)};
    cell->kernels->normalise_backward(&p);
}

/* d_gates: the gradients of the sums become those of the products of the inputs. */
static void NAME(inputs_backward)(const NAME(cell) *cell, int64_t rows,
                                  const NAME(norm_gradient) *norm, REAL *d_gates) {
    const NAME(norm_record) *record = &norm->record;
    const int64_t H = cell->H;
    enum gate gate;
    for (gate = GATE_R; gate < GATES; gate++) {
        REAL *d = d_gates + at_column(H, column_of(gate));
        const NAME(pygru_normalisation_gradient) p = {
            .rows = rows,
            .H = H,
            .gain = NAME(gain_of_input)(cell, gate),
            .standardised = record->x_hat + at_gate(H, gate),
            .standardised_row = all_gates(H),
            .scale = NAME(input_scale)(record, gate),
            .d = d,
            .d_sums = d,
            .d_row = all_columns(H),
            .d_gain = norm->d_norm + PYGRU_X_GAINS * H + at_gate(H, gate)};
        cell->kernels->normalise_backward(&p);
    }
}

/* The biases' gradients: sums over the rows, of four columns with the reset after. */
static void NAME(add_bias_gradients)(const NAME(cell) *cell, int64_t rows, const REAL *d_gates,
                                     REAL *d_norm) {
    const int64_t H = cell->H;
    const int64_t columns = cell->after ? all_columns(H) : at_column(H, COLUMN_HN);
    REAL *d_bias = d_norm + PYGRU_NORM_BIAS * H;
    int64_t i, j;
    for (i = 0; i < rows; i++) {
        for (j = 0; j < columns; j++) {
            d_bias[j] += d_gates[at_row(H, i) + j];
        }
    }
}

/* The derivative of normalised_forward: like plain_backward, but d_gates are the gradients of
 * the inputs' products in the end, and norm.d_products those of the states'. */
static void NAME(normalised_backward)(const NAME(cell) *cell, int64_t rows,
                                      const NAME(step_gradient) *s) {
    const NAME(pygru_table) *kernels = cell->kernels;
    const NAME(norm_gradient) *norm = &s->norm;
    const int64_t H = cell->H;
    const int64_t n = at_column(H, COLUMN_N), r = at_column(H, COLUMN_R);
    const int64_t z = at_column(H, COLUMN_Z), hn = at_column(H, COLUMN_HN);
    REAL *d = s->d_gates, *d_products = norm->d_products;
    int64_t i;
    if (cell->after) {
        kernels->after_backward(rows, H, s->gates, s->h, s->d_h, d, cell->keeps);
        NAME(states_backward)(cell, rows, GATE_N, norm, d + hn, d_products + hn);
    } else {
        kernels->before_backward(rows, H, s->gates, s->h, s->d_h, d, cell->keeps);
        NAME(states_backward)(cell, rows, GATE_N, norm, d + n, d_products + n);
        memset(s->d_rh, 0, (size_t)(rows * H) * sizeof(REAL));
        NAME(back_product)(cell, rows, ONLY_N, d_products, s->d_rh);
        kernels->reset_backward(rows, H, s->gates, s->h_in, s->d_rh, s->d_h_in, d);
        for (i = 0; i < rows; i++) { /* r*h, which the gradient of U_n needs */
            memcpy(d_products + at_row(H, i) + hn, d + at_row(H, i) + hn,
                   (size_t)H * sizeof(REAL));
        }
    }
    NAME(states_backward)(cell, rows, GATE_R, norm, d + r, d_products + r);
    NAME(states_backward)(cell, rows, GATE_Z, norm, d + z, d_products + z);
    NAME(back_product)(cell, rows, cell->after ? R_Z_N : R_Z, d_products, s->d_h_in);
    NAME(add_bias_gradients)(cell, rows, d, norm->d_norm);
    NAME(inputs_backward)(cell, rows, norm, d);
}
