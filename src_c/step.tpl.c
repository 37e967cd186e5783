/* step.tpl.c - one step of a cell, with layer normalisation or without. */

/* The same record, `row` rows further. */
static NAME(norm_record)
    NAME(record_at)(const NAME(norm_record) *record, int64_t H, int64_t row) {
    NAME(norm_record) at = *record;
    if (at.x_hat != NULL) {
        at.x_hat += row * all_gates(H);
        at.h_hat += row * all_gates(H);
        at.scale += row;
    }
    return at;
}

/* gates (rows, 4H): what the inputs contribute to the sums of the columns n | r | z, biases
 * included; the fourth is the engine's own. Only layer normalisation has a record. */
static void NAME(project_input)(const NAME(cell) *cell, int64_t rows, const REAL *x,
                                REAL *gates, const NAME(norm_record) *record) {
    NAME(multiply_inputs)(cell, rows, x, gates);
    if (cell->norm != NULL) {
        NAME(normalise_inputs)(cell, rows, gates, record);
    }
}

/* One step of `rows` independent rows. gates (rows, 4H): in as project_input left them, out
 * n|r|z|hn if `stores`, otherwise undefined. h (rows, H); h_in (rows, H) is what stands for it
 * in the products and beside the reset gate: h itself but for recurrent dropout. h_next is
 * neither. */
static void NAME(cell_forward)(const NAME(cell) *cell, int64_t rows, REAL *gates, const REAL *h,
                               const REAL *h_in, REAL *h_next, int stores,
                               const NAME(norm_record) *record) {
    if (cell->norm != NULL) {
        NAME(normalised_forward)(cell, rows, gates, h, h_in, h_next, stores, record);
    } else {
        NAME(plain_forward)(cell, rows, gates, h, h_in, h_next, stores);
    }
}

/* The derivative of cell_forward. */
static void NAME(cell_backward)(const NAME(cell) *cell, int64_t rows,
                                const NAME(step_gradient) *s) {
    if (cell->norm != NULL) {
        NAME(normalised_backward)(cell, rows, s);
    } else {
        NAME(plain_backward)(cell, rows, s);
    }
}
