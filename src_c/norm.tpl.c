/* norm.tpl.c - a step whose sums are normalised, and its derivative: layer normalisation (Ba,
 * Kiros and Hinton 2016, arXiv:1607.06450), for every gate on its own.
 *
 * Where cell.tpl.c has   W x + b + U h + b'
 * this file has          LN(W x; g, b) + LN(U h; g', b'),
 * with LN(v; g, b) = g * (the standardised v) + b. A gate needs the mean of its whole row.
 * Therefore the products are complete before the first gate is computed, and no product is
 * fused with the gates here. Backward needs the standardised sums: a norm_record of them is kept like the gates. */

enum { NAME(X_GAINS) = 0, NAME(H_GAINS) = 3, NAME(NORM_BIAS) = 6 };

/* The gains of one column of the inputs: 0 n, 1 r, 2 z; */
static const REAL *NAME(gain_of_input)(const NAME(cell) *cell, int64_t column) {
    return cell->norm + (NAME(X_GAINS) + column) * cell->H;
}

/* and of one gate of the states: 0 r, 1 z, 2 n. */
static const REAL *NAME(gain_of_state)(const NAME(cell) *cell, int64_t gate) {
    return cell->norm + (NAME(H_GAINS) + gate) * cell->H;
}

/* ---- forward ------------------------------------------------------------------------ */

/* out (rows, 3H) r | z | n = A U_g^T for n gates from `first` on (0 r, 1 z, 2 n); with the
 * reset before, r and z are packed together and n alone. */
static void NAME(multiply_states)(const NAME(cell) *cell, int64_t rows, int64_t first,
                                  int64_t n, NAME(matrix) a, REAL *out) {
    const int64_t H = cell->H;
    if (cell->packed_u != NULL) {
        const int64_t lanes = cell->kernels->lanes;
        int64_t v;
        NAME(pygru_product)
        p = {.m = rows,
             .NV = (int)n,
             .K = H,
             .a = a.data,
             .lda = a.ld,
             .w = cell->packed_u + first * NAME(blocks_of)(cell, H) * lanes * H,
             .panel = n * H * lanes};
        for (v = 0; v < n; v++) {
            p.from.at[v] = (REAL *)cell->bias; /* zeros; only read */
            p.out.at[v] = out + (first + v) * H;
            p.out.row[v] = 3 * H;
        }
        NAME(product_within)(cell, H, &p);
    } else if (cell->ut != NULL) {
        const NAME(matrix) ut = {cell->ut + first * H, 3 * H};
        NAME(multiply_nn)(cell->blas, rows, n * H, H, a, ut, 0, out + first * H, 3 * H);
    } else {
        const NAME(matrix) u = {cell->u + first * H * H, H};
        NAME(multiply_nt)(cell->blas, rows, n * H, H, a, u, 0, out + first * H, 3 * H);
    }
}

/* Where the standardised sums of one gate are to be recorded. */
static void NAME(record_column)(NAME(pygru_normalisation) *p, REAL *standardised, REAL *scale) {
    p->standardised = standardised;
    p->standardised_row = 3 * p->H;
    p->scale = scale;
}

/* gates: the products of the inputs become their part of the gates' sums. */
static void NAME(normalise_inputs)(const NAME(cell) *cell, int64_t rows, REAL *gates,
                                   const NAME(norm_record) *record) {
    const int64_t H = cell->H;
    int64_t column;
    for (column = 0; column < 3; column++) {
        NAME(pygru_normalisation)
        p = {.rows = rows,
             .H = H,
             .eps = cell->norm_eps,
             .sums = gates + column * H,
             .sums_row = 4 * H,
             .gain = NAME(gain_of_input)(cell, column),
             .add = cell->norm + (NAME(NORM_BIAS) + column) * H,
             .out = gates + column * H,
             .out_row = 4 * H};
        if (record->x_hat != NULL) {
            NAME(record_column)(&p, record->x_hat + column * H,
                                record->scale + column * record->distance);
        }
        cell->kernels->normalise(&p);
    }
}

/* The products of the states with the weights of one gate become the gate's sums. */
static void NAME(normalise_states)(const NAME(cell) *cell, int64_t rows, int64_t gate,
                                   const REAL *add, ptrdiff_t add_row,
                                   const NAME(norm_record) *record) {
    const int64_t H = cell->H;
    NAME(pygru_normalisation)
    p = {.rows = rows,
         .H = H,
         .eps = cell->norm_eps,
         .sums = cell->products + gate * H,
         .sums_row = 3 * H,
         .gain = NAME(gain_of_state)(cell, gate),
         .add = add,
         .add_row = add_row,
         .out = cell->products + gate * H,
         .out_row = 3 * H};
    if (record->h_hat != NULL) {
        NAME(record_column)(&p, record->h_hat + gate * H,
                            record->scale + (3 + gate) * record->distance);
    }
    cell->kernels->normalise(&p);
}

static void NAME(normalised_forward)(const NAME(cell) *cell, int64_t rows, REAL *gates,
                                     const REAL *h, const REAL *h_in, REAL *h_next, int stores,
                                     const NAME(norm_record) *record) {
    const int64_t H = cell->H;
    const NAME(matrix) states = {h_in, H};
    const NAME(matrix) rh = {gates + 3 * H, 4 * H};
    NAME(pygru_units)
    units = {.rows = rows,
             .units = H,
             .H = H,
             .sums = cell->products,
             .sums_row = 3 * H,
             .sums_units = H,
             .gate = H,
             .gates = gates,
             .h = h,
             .h_next = h_next,
             .keeps = cell->keeps,
             .stores = stores};
    NAME(multiply_states)(cell, rows, 0, cell->after ? 3 : 2, states, cell->products);
    NAME(normalise_states)(cell, rows, 0, gates + H, 4 * H, record);
    NAME(normalise_states)(cell, rows, 1, gates + 2 * H, 4 * H, record);
    if (cell->after) {
        NAME(normalise_states)(cell, rows, 2, cell->norm + (NAME(NORM_BIAS) + 3) * H, 0,
                               record);
        cell->kernels->after_forward(&units);
        return;
    }
    units.h = h_in;
    cell->kernels->before_reset(&units);
    NAME(multiply_states)(cell, rows, 2, 1, rh, cell->products);
    NAME(normalise_states)(cell, rows, 2, gates, 4 * H, record);
    units.h = h;
    units.sums = cell->products + 2 * H;
    cell->kernels->before_candidate(&units);
}

/* ---- backward ----------------------------------------------------------------------- */

/* From d, the gradients of the sums of one gate (rows of 4H), to d_sums, those of the products
 * of the states. */
static void NAME(states_backward)(const NAME(cell) *cell, int64_t rows, int64_t gate,
                                  const NAME(norm_gradient) *norm, const REAL *d,
                                  REAL *d_sums) {
    const int64_t H = cell->H;
    const NAME(norm_record) *record = &norm->record;
    const NAME(pygru_normalisation_gradient) p = {
        .rows = rows,
        .H = H,
        .gain = NAME(gain_of_state)(cell, gate),
        .standardised = record->h_hat + gate * H,
        .standardised_row = 3 * H,
        .scale = record->scale + (3 + gate) * record->distance,
        .d = d,
        .d_sums = d_sums,
        .d_row = 4 * H,
        .d_gain = norm->d_norm + (NAME(H_GAINS) + gate) * H};
    cell->kernels->normalise_backward(&p);
}

/* d_gates: the gradients of the sums become those of the products of the inputs. */
static void NAME(inputs_backward)(const NAME(cell) *cell, int64_t rows,
                                  const NAME(norm_gradient) *norm, REAL *d_gates) {
    const NAME(norm_record) *record = &norm->record;
    const int64_t H = cell->H;
    int64_t column;
    for (column = 0; column < 3; column++) {
        const NAME(pygru_normalisation_gradient) p = {
            .rows = rows,
            .H = H,
            .gain = NAME(gain_of_input)(cell, column),
            .standardised = record->x_hat + column * H,
            .standardised_row = 3 * H,
            .scale = record->scale + column * record->distance,
            .d = d_gates + column * H,
            .d_sums = d_gates + column * H,
            .d_row = 4 * H,
            .d_gain = norm->d_norm + (NAME(X_GAINS) + column) * H};
        cell->kernels->normalise_backward(&p);
    }
}

/* The biases' gradients: sums over the rows, of four columns with the reset after. */
static void NAME(add_bias_gradients)(const NAME(cell) *cell, int64_t rows, const REAL *d_gates,
                                     REAL *d_norm) {
    const int64_t H = cell->H, columns = cell->after ? 4 * H : 3 * H;
    REAL *d_bias = d_norm + NAME(NORM_BIAS) *H;
    int64_t i, j;
    for (i = 0; i < rows; i++) {
        for (j = 0; j < columns; j++) {
            d_bias[j] += d_gates[i * 4 * H + j];
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
    REAL *d = s->d_gates, *d_products = norm->d_products;
    int64_t i;
    if (cell->after) {
        kernels->after_backward(rows, H, s->gates, s->h, s->d_h, d, cell->keeps);
        NAME(states_backward)(cell, rows, 2, norm, d + 3 * H, d_products + 3 * H);
    } else {
        kernels->before_backward(rows, H, s->gates, s->h, s->d_h, d, cell->keeps);
        NAME(states_backward)(cell, rows, 2, norm, d, d_products);
        memset(s->d_rh, 0, (size_t)(rows * H) * sizeof(REAL));
        NAME(back_product)(cell, rows, 2, 1, d_products, s->d_rh);
        kernels->reset_backward(rows, H, s->gates, s->h_in, s->d_rh, s->d_h_in, d);
        for (i = 0; i < rows; i++) { /* r*h, which the gradient of U_n needs */
            memcpy(d_products + (4 * i + 3) * H, d + (4 * i + 3) * H, (size_t)H * sizeof(REAL));
        }
    }
    NAME(states_backward)(cell, rows, 0, norm, d + H, d_products + H);
    NAME(states_backward)(cell, rows, 1, norm, d + 2 * H, d_products + 2 * H);
    NAME(back_product)(cell, rows, 0, cell->after ? 3 : 2, d_products + H, s->d_h_in);
    NAME(add_bias_gradients)(cell, rows, d, norm->d_norm);
    NAME(inputs_backward)(cell, rows, norm, d);
}
