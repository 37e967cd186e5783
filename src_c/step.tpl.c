/* step.tpl.c - one step of a cell, and its derivative. Every call of the core uses these
 * functions, on either engine, with layer normalisation or without.
 *
 * The equations are those of docs/math.md. A step has a beginning and an end, each over a range
 * of units. With the reset before the product, the candidate needs r*h of all units, so threads
 * that share the units of a step wait for each other between the two. The SIMD engine takes a
 * group of units at a time: it computes their products, and from these at once their gates and
 * states. Otherwise the products are complete before an elementwise pass over them. Layer
 * normalisation needs the mean of a whole row, so it is applied between products and
 * elementwise pass. The elementwise part is in kernels/gates.tpl.c. */

/* ---- forward ------------------------------------------------------------------------ */

/* gates (rows, 4H): what the inputs contribute to the sums of the columns n | r | z, biases
 * included; the fourth is the engine's own. Only layer normalisation has a record. */
static void NAME(project_input)(const NAME(cell) *cell, unit_range range, int64_t rows,
                                const REAL *x, REAL *gates, const NAME(norm_record) *record) {
    NAME(multiply_inputs)(cell, range, rows, x, gates);
    if (cell->norm != NULL) {
        NAME(normalise_inputs)(cell, rows, gates, record);
    }
}

typedef void (*NAME(pass))(const NAME(pygru_units) *);

/* Makes the product begin at a copy of `from`, with zeros after the last of n columns. The copy
 * is where the results go, because each is read before it is written. */
static void NAME(begin_at_copy)(NAME(pygru_product) *p, int64_t n, int64_t padded) {
    int64_t row;
    int v;
    for (row = 0; row < p->m; row++) {
        for (v = 0; v < p->NV; v++) {
            REAL *to = p->out.at[v] + row * p->out.row[v];
            memcpy(to, p->from.at[v] + row * p->from.row[v], (size_t)n * sizeof(REAL));
            memset(to + n, 0, (size_t)(padded - n) * sizeof(REAL));
        }
    }
    p->from = p->out;
}

/* The product of a run of gates and the elementwise pass after it, from the first rows and
 * units of p and units on. It takes a group of panels at a time, as many as leave the sums in
 * the first-level cache. p and units move on from one group to the next. */
static void NAME(fused_groups)(const NAME(cell) *cell, int64_t n, int guarded,
                               NAME(pygru_product) *p, NAME(pygru_units) *units,
                               NAME(pass) pass) {
    const int64_t lanes = cell->kernels->lanes;
    const int64_t panels = NAME(panels_of)(cell, n);
    const int64_t fitting = PYGRU_SUMS / 2 / (p->m * p->NV * lanes);
    const int64_t group = fitting < 1 ? 1 : fitting < panels ? fitting : panels;
    int64_t done;
    int v;
    for (v = 0; v < p->NV; v++) {
        p->out.at[v] = cell->sums + v * group * lanes;
        p->out.row[v] = p->NV * group * lanes;
    }
    units->sums = cell->sums;
    units->sums_row = p->NV * group * lanes;
    units->gate = group * lanes;
    for (done = 0; done < panels; done += group) {
        const int64_t left = n - done * lanes;
        if (done > 0) {
            p->w = NAME(pygru_weights_at)(cell->kernels, p->w, group * p->panel);
            for (v = 0; v < p->NV; v++) {
                p->from.at[v] += group * lanes;
            }
            units->gates += group * lanes;
            units->h += group * lanes;
            units->out += group * lanes;
        }
        p->panels = panels - done < group ? panels - done : group;
        units->sums_units = p->panels * lanes;
        units->units = left < units->sums_units ? left : units->sums_units;
        if (guarded && left < units->sums_units) {
            NAME(begin_at_copy)(p, left, units->sums_units);
        }
        cell->kernels->product(p);
        pass(units);
    }
}

/* The same for all rows of a step, PYGRU_SLAB at a time. */
static void NAME(fused_pass)(const NAME(cell) *cell, unit_range range,
                             const NAME(step_arrays) *s, gate_run run, NAME(matrix) a,
                             const REAL *h, REAL *out, NAME(pass) pass) {
    const int64_t H = cell->H, panel = run.count * cell->depth_u * cell->kernels->lanes;
    int64_t row;
    int v;
    for (row = 0; row < s->rows; row += PYGRU_SLAB) {
        const int64_t rows = s->rows - row < PYGRU_SLAB ? s->rows - row : PYGRU_SLAB;
        REAL *gates = s->gates + at_row(H, row) + range.first;
        const NAME(matrix) slab = {a.data + row * a.ld, a.ld};
        NAME(pygru_units) units;
        NAME(pygru_product) p;
        units.rows = rows;
        units.H = H;
        units.gates = gates;
        units.h = h + row * H + range.first;
        units.out = out + row * H + range.first;
        units.equations = &cell->equations;
        units.stores = s->stores;
        p.NV = run.count;
        p.K = H;
        NAME(set_rows)(cell, &p, rows, slab);
        p.w = NAME(pygru_weights_at)(cell->kernels, NAME(panels_of_run)(cell, run),
                                     range.first * run.count * cell->depth_u);
        p.panel = panel;
        p.w_step = run.count * cell->kernels->lanes;
        for (v = 0; v < run.count; v++) {
            p.from.at[v] = gates + at_run(H, run) + v * H;
            p.from.row[v] = all_columns(H);
        }
        if (cell->after) { /* hn has the states' part and a bias, which is only read */
            p.from.at[GATE_N] = (REAL *)cell->bias + at_column(H, COLUMN_HN) + range.first;
            p.from.row[GATE_N] = 0;
        }
        NAME(fused_groups)(cell, range.n, s->guarded, &p, &units, pass);
    }
}

static void NAME(separate_pass)(const NAME(cell) *cell, const NAME(step_arrays) *s,
                                gate_run run, NAME(matrix) a, const REAL *h, REAL *out,
                                NAME(pass) pass) {
    const int64_t H = cell->H;
    const int normalises = cell->norm != NULL;
    const int64_t row = normalises ? all_gates(H) : all_columns(H);
    /* Without layer normalisation the sums are in the places of the gates. */
    REAL *sums =
        normalises ? cell->products + at_gate(H, run.first) : s->gates + at_run(H, run);
    const NAME(pygru_units) units = {.rows = s->rows,
                                     .units = H,
                                     .H = H,
                                     .sums = sums,
                                     .sums_row = row,
                                     .sums_units = H,
                                     .gate = H,
                                     .gates = s->gates,
                                     .h = h,
                                     .out = out,
                                     .equations = &cell->equations,
                                     .stores = s->stores};
    NAME(multiply_states)(cell, s->rows, run, a, !normalises, sums, row);
    if (normalises) {
        NAME(normalise_states)(cell, s, run);
    }
    pass(&units);
}

/* The product of a run of gates with the rows of A, and the elementwise pass over its sums,
 * which takes h for the state before the step and writes to `out`. */
ALWAYS_INLINE void NAME(multiply_and_pass)(const NAME(cell) *cell, unit_range range,
                                           const NAME(step_arrays) *s, gate_run run,
                                           NAME(matrix) a, const REAL *h, REAL *out,
                                           NAME(pass) pass) {
    if (cell->packed_u != NULL && cell->norm == NULL) {
        NAME(fused_pass)(cell, range, s, run, a, h, out, pass);
    } else {
        NAME(separate_pass)(cell, s, run, a, h, out, pass);
    }
}

/* The beginning of a step: with the reset after, all of it; with the reset before, r, z, r*h. */
static void NAME(step_begin)(const NAME(cell) *cell, unit_range range,
                             const NAME(step_arrays) *s) {
    const NAME(matrix) states = {s->h_in, cell->H};
    if (cell->after) {
        NAME(multiply_and_pass)(cell, range, s, R_Z_N, states, s->h, s->h_next,
                                cell->gates->after_forward);
    } else {
        NAME(multiply_and_pass)(cell, range, s, R_Z, states, s->h_in, s->rh,
                                cell->gates->before_reset);
    }
}

/* The end of a step, once its beginning is done for all units: with the reset before the
 * candidate and the new state, and zoneout. */
static void NAME(step_end)(const NAME(cell) *cell, unit_range range,
                           const NAME(step_arrays) *s) {
    const int64_t H = cell->H;
    if (!cell->after) {
        const NAME(matrix) rh = {s->rh, H};
        NAME(multiply_and_pass)(cell, range, s, ONLY_N, rh, s->h, s->h_next,
                                cell->gates->before_candidate);
    }
    if (s->noise != NULL && NAME(zones_out)(s->noise)) {
        NAME(zone_out)(s->noise, s->row, s->rows, H, range, s->h, s->h_next);
    }
}

static void NAME(whole_step)(const NAME(cell) *cell, const NAME(step_arrays) *s) {
    NAME(step_begin)(cell, NAME(all_units)(cell), s);
    NAME(step_end)(cell, NAME(all_units)(cell), s);
}

/* ---- backward ----------------------------------------------------------------------- */

/* The first half with the reset before: everything that depends on the candidate.
 *   d_rh = da_n U_n;  d_h_in += d_rh r;  da_r follows from d_rh */
static void NAME(candidate_backward)(const NAME(cell) *cell, const NAME(step_gradient) *s,
                                     REAL *d_h_in) {
    const int64_t H = cell->H, rh = at_column(H, COLUMN_HN);
    int64_t i;
    cell->gates->before_backward(s->rows, H, s->gates, s->h, s->d_h, s->d_gates,
                                 &cell->equations);
    if (cell->norm != NULL) {
        NAME(normalise_states_backward)(cell, s, ONLY_N);
    }
    memset(s->d_rh, 0, (size_t)(s->rows * H) * sizeof(REAL));
    NAME(back_product)(cell, s->rows, ONLY_N, s->d_products, s->d_rh);
    cell->gates->reset_backward(s->rows, H, s->gates, s->h_in, s->d_rh, d_h_in, s->d_gates,
                                &cell->equations);
    for (i = 0; cell->norm != NULL && i < s->rows; i++) { /* for the gradient of U_n */
        memcpy(s->d_products + at_row(H, i) + rh, s->d_gates + at_row(H, i) + rh,
               (size_t)H * sizeof(REAL));
    }
}

/* d_h is the gradient of the state after the step, and becomes that of the state before it,
 * without noise. The gradient of h_in is added to d_h_in, which may be d_h. */
static void NAME(cell_backward)(const NAME(cell) *cell, const NAME(step_gradient) *s,
                                REAL *d_h_in) {
    const gate_run run = cell->after ? R_Z_N : R_Z;
    if (cell->after) {
        cell->gates->after_backward(s->rows, cell->H, s->gates, s->h, s->d_h, s->d_gates,
                                    &cell->equations);
    } else {
        NAME(candidate_backward)(cell, s, d_h_in);
    }
    if (cell->norm != NULL) {
        NAME(normalise_states_backward)(cell, s, run);
        NAME(add_bias_gradients)(cell, s);
        NAME(normalise_inputs_backward)(cell, s);
    }
    /* d_h_in += [da_r da_z da_hn] U, or [da_r da_z] U_rz */
    NAME(back_product)(cell, s->rows, run, s->d_products, d_h_in);
}

/* The derivative of a whole step. */
static void NAME(step_backward)(const NAME(cell) *cell, const NAME(step_gradient) *s) {
    const int64_t n = s->rows * cell->H;
    const int drops = s->noise->recurrent != NULL;
    const int zones_out = NAME(zones_out)(s->noise);
    int64_t j;
    if (zones_out) {
        NAME(zone_out_backward)(s->noise, s->row * cell->H, n, s->d_h, s->d_kept);
    }
    if (drops) {
        memset(s->d_h_in, 0, (size_t)n * sizeof(REAL));
    }
    NAME(cell_backward)(cell, s, drops ? s->d_h_in : s->d_h);
    if (drops) {
        NAME(drop_states_backward)(s->noise, s->rows, cell->H, s->order, s->d_h_in, s->d_h);
    }
    for (j = 0; zones_out && j < n; j++) {
        s->d_h[j] += s->d_kept[j];
    }
}
