/* layer_norm.tpl.c - layer normalisation of a step's sums (Ba, Kiros and Hinton 2016,
 * arXiv:1607.06450), for every gate on its own, and its derivative.
 *
 * Without it, the sums of a gate are
 *   W x + b + U h + b'
 * and with it
 *   LN(W x; g, b) + LN(U h; g', b')   where LN(v; g, b) = g * (the standardised v) + b
 *
 * kernels/standardise.tpl.c has the arithmetic on rows. This file applies it to every gate with
 * the gate's own gain and bias. Backward needs the standardised sums, so they are kept in a
 * norm_record, like the gates. Without layer normalisation step.tpl.c calls no function of this
 * file. */

/* The gains of one gate: for the products of the inputs, and for those of the states. */
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

/* The scales of the sums of one gate. */
static REAL *NAME(input_scale)(const NAME(norm_record) *record, enum gate gate) {
    return record->scale + at_gate(record->distance, gate);
}

static REAL *NAME(state_scale)(const NAME(norm_record) *record, enum gate gate) {
    return record->scale + all_gates(record->distance) + at_gate(record->distance, gate);
}

/* ---- forward ------------------------------------------------------------------------ */

/* Normalises the sums of one gate in place, in rows of `row` elements, and adds `add`. */
static NAME(pygru_normalisation)
    NAME(normalisation_of)(const NAME(cell) *cell, int64_t rows, REAL *sums, int64_t row,
                           const REAL *gain, const REAL *add) {
    const NAME(pygru_normalisation) p = {.rows = rows,
                                         .H = cell->H,
                                         .eps = cell->norm_eps,
                                         .sums = sums,
                                         .sums_row = row,
                                         .gain = gain,
                                         .add = add,
                                         .out = sums,
                                         .out_row = row};
    return p;
}

/* The place for the standardised sums of one gate in the record. */
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
        NAME(pygru_normalisation)
        p = NAME(normalisation_of)(cell, rows, gates + at_column(H, column_of(gate)),
                                   all_columns(H), NAME(gain_of_input)(cell, gate),
                                   NAME(bias_of_norm)(cell, column_of(gate)));
        if (record->x_hat != NULL) {
            NAME(record_gate)(&p, record->x_hat + at_gate(H, gate),
                              NAME(input_scale)(record, gate));
        }
        cell->kernels->normalise(&p);
    }
}

/* cell->products: the products of the states with a run of gates become the sums of the gates.
 * The part of the inputs is added; for hn only its bias is added. */
static void NAME(normalise_states)(const NAME(cell) *cell, const NAME(step_arrays) *s,
                                   gate_run run) {
    const int64_t H = cell->H;
    int i;
    for (i = 0; i < run.count; i++) {
        const enum gate gate = gate_in(run, i);
        const int is_hn = state_column_of(gate, cell->after) == COLUMN_HN;
        NAME(pygru_normalisation)
        p = NAME(normalisation_of)(cell, s->rows, cell->products + at_gate(H, gate),
                                   all_gates(H), NAME(gain_of_state)(cell, gate),
                                   is_hn ? NAME(bias_of_norm)(cell, COLUMN_HN)
                                         : s->gates + at_column(H, column_of(gate)));
        p.add_row = is_hn ? 0 : all_columns(H);
        if (s->record.h_hat != NULL) {
            NAME(record_gate)(&p, s->record.h_hat + at_gate(H, gate),
                              NAME(state_scale)(&s->record, gate));
        }
        cell->kernels->normalise(&p);
    }
}

/* ---- backward ----------------------------------------------------------------------- */

/* d_products from d_gates for a run of gates: from the gradients of the sums to those of the
 * products of the states. */
static void NAME(normalise_states_backward)(const NAME(cell) *cell,
                                            const NAME(step_gradient) *s, gate_run run) {
    const int64_t H = cell->H;
    int i;
    for (i = 0; i < run.count; i++) {
        const enum gate gate = gate_in(run, i);
        const enum column column = state_column_of(gate, cell->after);
        const NAME(pygru_normalisation_gradient) p = {
            .rows = s->rows,
            .H = H,
            .gain = NAME(gain_of_state)(cell, gate),
            .standardised = s->record.h_hat + at_gate(H, gate),
            .standardised_row = all_gates(H),
            .scale = NAME(state_scale)(&s->record, gate),
            .d = s->d_gates + at_column(H, column),
            .d_sums = s->d_products + at_column(H, column),
            .d_row = all_columns(H),
            .d_gain = s->d_norm + PYGRU_H_GAINS * H + at_gate(H, gate)};
        cell->kernels->normalise_backward(&p);
    }
}

/* d_gates: the gradients of the sums become those of the products of the inputs. */
static void NAME(normalise_inputs_backward)(const NAME(cell) *cell,
                                            const NAME(step_gradient) *s) {
    const int64_t H = cell->H;
    enum gate gate;
    for (gate = GATE_R; gate < GATES; gate++) {
        REAL *d = s->d_gates + at_column(H, column_of(gate));
        const NAME(pygru_normalisation_gradient) p = {
            .rows = s->rows,
            .H = H,
            .gain = NAME(gain_of_input)(cell, gate),
            .standardised = s->record.x_hat + at_gate(H, gate),
            .standardised_row = all_gates(H),
            .scale = NAME(input_scale)(&s->record, gate),
            .d = d,
            .d_sums = d,
            .d_row = all_columns(H),
            .d_gain = s->d_norm + PYGRU_X_GAINS * H + at_gate(H, gate)};
        cell->kernels->normalise_backward(&p);
    }
}

/* The biases' gradients: sums over the rows, of four columns with the reset after. */
static void NAME(add_bias_gradients)(const NAME(cell) *cell, const NAME(step_gradient) *s) {
    const int64_t H = cell->H;
    const int64_t columns = cell->after ? all_columns(H) : at_column(H, COLUMN_HN);
    REAL *d_bias = s->d_norm + PYGRU_NORM_BIAS * H;
    int64_t i, j;
    for (i = 0; i < s->rows; i++) {
        for (j = 0; j < columns; j++) {
            d_bias[j] += s->d_gates[at_row(H, i) + j];
        }
    }
}
