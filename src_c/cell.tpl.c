/* cell.tpl.c - the equations of one GRU step and their derivatives, on a block of rows, without
 * layer normalisation, which is in norm.tpl.c.
 *
 * A row of `gates` has the four columns of gate_order.h. Before the step it holds W x and the
 * biases; after it, the values that backward needs. The equations are those of docs/math.md; h
 * is the state before the step. The products are here, by BLAS
 * (blas_*) or with packed weights (simd_*); the elementwise part is in kernels/gates.tpl.c. */

typedef struct NAME(cell) {
    int64_t I;
    int64_t H;
    int after;        /* reset after the product */
    int keeps;        /* z multiplies the old state */
    const REAL *bias; /* (4H) n | r | z | hn, the two biases of r, z (and n) already added;
                         zeros with layer normalisation */
    const REAL *norm; /* (PYGRU_NORM, H) or NULL, see plan.h */
    REAL norm_eps;
    REAL *products; /* (rows, 3H) scratch of a step with layer normalisation */
    const NAME(pygru_table) *kernels;
    const pygru_blas *blas;

    /* BLAS engine */
    const REAL *w;  /* (3H, I) rows r, z, n */
    const REAL *u;  /* (3H, H) rows r, z, n */
    const REAL *ut; /* (H, 3H) its transpose, for few rows and many steps; may be NULL */

    /* SIMD engine: NULL on the other, and where a call does not need them */
    const void *packed_w;  /* (I, 3H) panels of r, z, n */
    const void *packed_u;  /* (H, 3H) panels of r, z, n, or of r, z and then of n */
    const void *packed_ut; /* (3H, H) panels of one block, for the way back */
    const void *packed_wt; /* (3H, I) the same of the input weights */
    REAL *sums;            /* PYGRU_SUMS, scratch */
} NAME(cell);

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

/* ---- BLAS engine -------------------------------------------------------------------- */

/* gates (rows, 4H) = bias + X W^T in the columns n | r | z */
static void NAME(blas_project_input)(const NAME(cell) *cell, int64_t rows, const REAL *x,
                                     REAL *gates) {
    const int64_t H = cell->H, I = cell->I, row = all_columns(H);
    const NAME(matrix) inputs = {x, I};
    const NAME(matrix) w_rz = {cell->w, I};
    const NAME(matrix) w_n = {cell->w + at_gate(H, GATE_N) * I, I};
    int64_t i;
    for (i = 0; i < rows; i++) {
        memcpy(gates + at_row(H, i), cell->bias, (size_t)row * sizeof(REAL));
    }
    NAME(multiply_nt)(cell->blas, rows, R_Z.count * H, I, inputs, w_rz, 1,
                      gates + at_run(H, R_Z), row);
    NAME(multiply_nt)(cell->blas, rows, H, I, inputs, w_n, 1, gates + at_run(H, ONLY_N), row);
}

/* ut (H, 3H) = U^T */
static void NAME(transpose_recurrent)(int64_t H, const REAL *u, REAL *RESTRICT ut) {
    const int64_t rows = all_gates(H);
    int64_t row, column;
    for (column = 0; column < H; column++) {
        for (row = 0; row < rows; row++) {
            ut[column * rows + row] = u[row * H + column];
        }
    }
}

/* The sums of a run of gates += A U_g^T, in rows of gates. */
static void NAME(recurrent_product)(const NAME(cell) *cell, int64_t rows, gate_run run,
                                    NAME(matrix) a, REAL *gates) {
    const int64_t H = cell->H, n = run.count * H, first = at_gate(H, run.first);
    REAL *out = gates + at_run(H, run);
    if (cell->ut != NULL) {
        const NAME(matrix) ut = {cell->ut + first, all_gates(H)};
        NAME(multiply_nn)(cell->blas, rows, n, H, a, ut, 1, out, all_columns(H));
    } else {
        const NAME(matrix) u = {cell->u + first * H, H};
        NAME(multiply_nt)(cell->blas, rows, n, H, a, u, 1, out, all_columns(H));
    }
}

static void NAME(blas_cell_forward)(const NAME(cell) *cell, int64_t rows, REAL *gates,
                                    const REAL *h, const REAL *h_in, REAL *h_next) {
    const int64_t H = cell->H;
    const NAME(matrix) states = {h_in, H};
    const NAME(matrix) rh = {gates + at_column(H, COLUMN_HN), all_columns(H)};
    /* All units at once; the sums stand where the gates will. */
    NAME(pygru_units)
    units = {.rows = rows,
             .units = H,
             .H = H,
             .sums = gates + at_run(H, R_Z_N),
             .sums_row = all_columns(H),
             .sums_units = H,
             .gate = H,
             .gates = gates,
             .h = h,
             .h_next = h_next,
             .keeps = cell->keeps,
             .stores = 1};
    if (cell->after) {
        NAME(recurrent_product)(cell, rows, R_Z_N, states, gates);
        cell->kernels->after_forward(&units);
        return;
    }
    NAME(recurrent_product)(cell, rows, R_Z, states, gates);
    units.h = h_in;
    cell->kernels->before_reset(&units);
    NAME(recurrent_product)(cell, rows, ONLY_N, rh, gates);
    units.h = h;
    units.sums = gates + at_run(H, ONLY_N);
    cell->kernels->before_candidate(&units);
}

/* ---- SIMD engine -------------------------------------------------------------------- */

static int64_t NAME(blocks_of)(const NAME(cell) *cell, int64_t columns) {
    return (columns + cell->kernels->lanes - 1) / cell->kernels->lanes;
}

/* Some panels of a cell: the units of each, whole vectors of them. */
typedef struct NAME(panels) {
    int64_t first;
    int64_t count;
} NAME(panels);

static NAME(panels) NAME(all_panels)(const NAME(cell) *cell) {
    const NAME(panels) all = {0, NAME(blocks_of)(cell, cell->H)};
    return all;
}

/* A product whose last block of columns may be partly beyond n: that one goes through `sums`,
 * because whole vectors are written. */
static void NAME(product_within)(const NAME(cell) *cell, int64_t n, NAME(pygru_product) *p) {
    const int64_t lanes = cell->kernels->lanes;
    const int64_t all = n / lanes;
    const int64_t rest = n % lanes;
    const int64_t rows = p->m;
    NAME(pygru_product) last = *p;
    int64_t row, i;
    int v;
    p->panels = all;
    if (all > 0) {
        cell->kernels->product(p);
    }
    if (rest == 0) {
        return;
    }
    last.panels = 1;
    last.w = NAME(pygru_weights_at)(cell->kernels, p->w, all * p->panel);
    for (row = 0; row < rows; row += PYGRU_SLAB) {
        last.m = rows - row < PYGRU_SLAB ? rows - row : PYGRU_SLAB;
        last.a = p->a + row * p->lda;
        for (v = 0; v < p->NV; v++) {
            last.from.at[v] = p->from.at[v] + row * p->from.row[v] + all * lanes;
            last.out.at[v] = cell->sums + v * lanes;
            last.out.row[v] = p->NV * lanes;
        }
        cell->kernels->product(&last);
        for (i = 0; i < last.m; i++) {
            for (v = 0; v < p->NV; v++) {
                memcpy(p->out.at[v] + (row + i) * p->out.row[v] + all * lanes,
                       cell->sums + (i * p->NV + v) * lanes, (size_t)rest * sizeof(REAL));
            }
        }
    }
}

static void NAME(simd_project_input)(const NAME(cell) *cell, NAME(panels) panels, int64_t rows,
                                     const REAL *x, REAL *gates) {
    const int64_t H = cell->H, I = cell->I, lanes = cell->kernels->lanes;
    const int64_t unit = panels.first * lanes;
    const int64_t units = H - unit < panels.count * lanes ? H - unit : panels.count * lanes;
    const int64_t panel = all_gates(lanes) * I;
    enum gate gate;
    NAME(pygru_product)
    p = {.m = rows,
         .NV = GATES,
         .K = I,
         .a = x,
         .lda = I,
         .w = NAME(pygru_weights_at)(cell->kernels, cell->packed_w, panels.first * panel),
         .panel = panel};
    for (gate = GATE_R; gate < GATES; gate++) {
        const int64_t at = at_column(H, column_of(gate)) + unit;
        p.from.at[gate] = (REAL *)cell->bias + at; /* only read */
        p.out.at[gate] = gates + at;
        p.out.row[gate] = all_columns(H);
    }
    NAME(product_within)(cell, units, &p);
}

/* One product and the gates that follow from it, a group of panels at a time: as many as leave
 * the sums in the first-level cache. p: from, a, w and K are set for the cell's first panel. */
static void NAME(product_and_gates)(const NAME(cell) *cell, NAME(panels) panels,
                                    NAME(pygru_product) *p, NAME(pygru_units) *units,
                                    void (*pass)(const NAME(pygru_units) *)) {
    const int64_t lanes = cell->kernels->lanes;
    const int64_t H = cell->H;
    const int64_t end = panels.first + panels.count;
    const int64_t fitting = PYGRU_SUMS / 2 / (p->m * p->NV * lanes);
    const int64_t group = fitting < 1 ? 1 : fitting < panels.count ? fitting : panels.count;
    const NAME(pygru_product) whole = *p;
    const NAME(pygru_units) all = *units;
    int64_t at;
    int v;
    p->panel = p->K * p->NV * lanes;
    for (v = 0; v < p->NV; v++) {
        p->out.at[v] = cell->sums + v * group * lanes;
        p->out.row[v] = p->NV * group * lanes;
    }
    units->sums = cell->sums;
    units->sums_row = p->NV * group * lanes;
    units->gate = group * lanes;
    for (at = panels.first; at < end; at += group) {
        const int64_t unit = at * lanes;
        const int64_t left = H - unit;
        p->panels = end - at < group ? end - at : group;
        p->w = NAME(pygru_weights_at)(cell->kernels, whole.w, at * p->panel);
        for (v = 0; v < p->NV; v++) {
            p->from.at[v] = whole.from.at[v] + unit;
        }
        units->units = left < p->panels * lanes ? left : p->panels * lanes;
        units->sums_units = p->panels * lanes;
        units->gates = all.gates + unit;
        units->h = all.h + unit;
        units->h_next = all.h_next + unit;
        cell->kernels->product(p);
        pass(units);
    }
}

/* The arrays of one step of up to PYGRU_SLAB rows. */
typedef struct NAME(slab) {
    int64_t rows;
    REAL *gates;
    const REAL *h;
    const REAL *h_in;
    REAL *h_next;
    int stores;
} NAME(slab);

static NAME(pygru_units)
    NAME(units_of)(const NAME(cell) *cell, const NAME(slab) *slab, const REAL *h) {
    const NAME(pygru_units) units = {.rows = slab->rows,
                                     .H = cell->H,
                                     .gates = slab->gates,
                                     .h = h,
                                     .h_next = slab->h_next,
                                     .keeps = cell->keeps,
                                     .stores = slab->stores};
    return units;
}

/* The first product of a step: all of it with the reset after, r, z and r*h before. */
static void NAME(slab_first)(const NAME(cell) *cell, NAME(panels) panels,
                             const NAME(slab) *slab) {
    const int64_t H = cell->H;
    REAL *bias = (REAL *)cell->bias; /* only read */
    NAME(pygru_units) units = NAME(units_of)(cell, slab, cell->after ? slab->h : slab->h_in);
    NAME(pygru_product)
    p = {.m = slab->rows,
         .NV = cell->after ? R_Z_N.count : R_Z.count,
         .K = H,
         .a = slab->h_in,
         .lda = H,
         .w = cell->packed_u,
         .from = {{slab->gates + at_column(H, COLUMN_R), slab->gates + at_column(H, COLUMN_Z),
                   bias + at_column(H, COLUMN_HN)},
                  {all_columns(H), all_columns(H), 0}}};
    NAME(product_and_gates)(cell, panels, &p, &units,
                            cell->after ? cell->kernels->after_forward
                                        : cell->kernels->before_reset);
}

/* The second one with the reset before: the candidate and the new state, once r*h of all units
 * is there. */
static void NAME(slab_second)(const NAME(cell) *cell, NAME(panels) panels,
                              const NAME(slab) *slab) {
    const int64_t H = cell->H, lanes = cell->kernels->lanes;
    NAME(pygru_units) units = NAME(units_of)(cell, slab, slab->h);
    NAME(pygru_product)
    p = {.m = slab->rows,
         .NV = 1,
         .K = H,
         .a = slab->gates + at_column(H, COLUMN_HN),
         .lda = all_columns(H),
         .w = NAME(pygru_weights_at)(cell->kernels, cell->packed_u,
                                     at_gate(NAME(blocks_of)(cell, H) * lanes * H, GATE_N)),
         .from = {{slab->gates + at_column(H, COLUMN_N)}, {all_columns(H)}}};
    NAME(product_and_gates)(cell, panels, &p, &units, cell->kernels->before_candidate);
}

static void NAME(simd_cell_forward)(const NAME(cell) *cell, int64_t rows, REAL *gates,
                                    const REAL *h, const REAL *h_in, REAL *h_next, int stores) {
    const int64_t H = cell->H;
    int64_t row;
    for (row = 0; row < rows; row += PYGRU_SLAB) {
        const NAME(slab) slab = {rows - row < PYGRU_SLAB ? rows - row : PYGRU_SLAB,
                                 gates + at_row(H, row),
                                 h + row * H,
                                 h_in + row * H,
                                 h_next + row * H,
                                 stores};
        NAME(slab_first)(cell, NAME(all_panels)(cell), &slab);
        if (!cell->after) {
            NAME(slab_second)(cell, NAME(all_panels)(cell), &slab);
        }
    }
}

/* d (rows, columns) += A M_g for a run of gates: A is the run in rows of gates, and M (3H,
 * columns) the packed rows of W or U. */
static void NAME(simd_back_product)(const NAME(cell) *cell, const void *packed, int64_t columns,
                                    int64_t rows, gate_run run, const REAL *gates, REAL *d) {
    const int64_t H = cell->H, lanes = cell->kernels->lanes;
    NAME(pygru_product)
    p = {.m = rows,
         .NV = 1,
         .K = run.count * H,
         .a = gates + at_run(H, run),
         .lda = all_columns(H),
         .w = NAME(pygru_weights_at)(cell->kernels, packed, at_gate(H, run.first) * lanes),
         .panel = all_gates(H) * lanes,
         .from = {{d}, {columns}},
         .out = {{d}, {columns}}};
    NAME(product_within)(cell, columns, &p);
}

/* ---- either ------------------------------------------------------------------------- */

/* gates (rows, 4H) = bias + X W^T in the columns n | r | z; the fourth is the engine's own. */
static void NAME(multiply_inputs)(const NAME(cell) *cell, int64_t rows, const REAL *x,
                                  REAL *gates) {
    if (cell->packed_w != NULL) {
        NAME(simd_project_input)(cell, NAME(all_panels)(cell), rows, x, gates);
    } else {
        NAME(blas_project_input)(cell, rows, x, gates);
    }
}

/* A step whose sums are the products and the biases; see cell_forward. */
static void NAME(plain_forward)(const NAME(cell) *cell, int64_t rows, REAL *gates,
                                const REAL *h, const REAL *h_in, REAL *h_next, int stores) {
    if (cell->packed_u != NULL) {
        NAME(simd_cell_forward)(cell, rows, gates, h, h_in, h_next, stores);
    } else {
        NAME(blas_cell_forward)(cell, rows, gates, h, h_in, h_next);
    }
}

/* d (rows, H) += A U_g for a run of gates, A in rows of gates. */
static void NAME(back_product)(const NAME(cell) *cell, int64_t rows, gate_run run,
                               const REAL *gates, REAL *d) {
    const int64_t H = cell->H;
    if (cell->packed_ut != NULL) {
        NAME(simd_back_product)(cell, cell->packed_ut, H, rows, run, gates, d);
    } else {
        const NAME(matrix) gradients = {gates + at_run(H, run), all_columns(H)};
        const NAME(matrix) u = {cell->u + at_gate(H, run.first) * H, H};
        NAME(multiply_nn)(cell->blas, rows, H, run.count * H, gradients, u, 1, d, H);
    }
}

/* What layer normalisation leaves for backward: the standardised sums of every column, and what
 * they were multiplied by. All NULL where nobody wants it. */
typedef struct NAME(norm_record) {
    REAL *x_hat;      /* (rows, 3H) of the inputs, r | z | n */
    REAL *h_hat;      /* (rows, 3H) of the states, r | z | n */
    REAL *scale;      /* (6, distance) of the inputs' gates and of the states' */
    int64_t distance; /* rows of everything that is recorded */
} NAME(norm_record);

/* What it adds to step_gradient. */
typedef struct NAME(norm_gradient) {
    NAME(norm_record) record;
    REAL *d_products; /* out (rows, 4H): like d_gates, before the states' normalisation */
    REAL *d_norm;     /* (PYGRU_NORM, H): the gradients are added */
} NAME(norm_gradient);

/* The arrays of cell_backward, (rows, H) each but for the gates. */
typedef struct NAME(step_gradient) {
    const REAL *gates; /* (rows, 4H) as forward left them */
    const REAL *h;     /* the state before the step */
    const REAL *h_in;  /* and what stood for it in the products */
    REAL *d_h;         /* in: gradient of the state after the step; out: of h */
    REAL *d_h_in;      /* the gradient of h_in is added; may be d_h */
    REAL *d_gates; /* out (rows, 4H): da_n | da_r | da_z | da_hn (after) or r*h_in (before) */
    REAL *d_rh;    /* scratch */
    NAME(norm_gradient) norm;
} NAME(step_gradient);

/* The derivative of plain_forward. */
static void NAME(plain_backward)(const NAME(cell) *cell, int64_t rows,
                                 const NAME(step_gradient) *s) {
    const NAME(pygru_table) *kernels = cell->kernels;
    const int64_t H = cell->H;
    if (cell->after) {
        /* d_h_in += [da_r da_z da_hn] U */
        kernels->after_backward(rows, H, s->gates, s->h, s->d_h, s->d_gates, cell->keeps);
        NAME(back_product)(cell, rows, R_Z_N, s->d_gates, s->d_h_in);
        return;
    }
    /* d_rh = da_n U_n */
    kernels->before_backward(rows, H, s->gates, s->h, s->d_h, s->d_gates, cell->keeps);
    memset(s->d_rh, 0, (size_t)(rows * H) * sizeof(REAL));
    NAME(back_product)(cell, rows, ONLY_N, s->d_gates, s->d_rh);
    /* d_h_in += d_rh r + [da_r da_z] U_rz */
    kernels->reset_backward(rows, H, s->gates, s->h_in, s->d_rh, s->d_h_in, s->d_gates);
    NAME(back_product)(cell, rows, R_Z, s->d_gates, s->d_h_in);
}

/* d_x (rows, I) = da_rz W_rz + da_n W_n, the gradient of the inputs of `rows` rows. */
static void NAME(input_gradient)(const NAME(cell) *cell, int64_t rows, const REAL *d_gates,
                                 REAL *d_x) {
    const int64_t H = cell->H, I = cell->I;
    const NAME(matrix) da_n = {d_gates + at_run(H, ONLY_N), all_columns(H)};
    const NAME(matrix) da_rz = {d_gates + at_run(H, R_Z), all_columns(H)};
    const NAME(matrix) w_rz = {cell->w, I};
    const NAME(matrix) w_n = {cell->w + at_gate(H, GATE_N) * I, I};
    if (cell->packed_wt != NULL) {
        memset(d_x, 0, (size_t)(rows * I) * sizeof(REAL));
        NAME(simd_back_product)(cell, cell->packed_wt, I, rows, R_Z, d_gates, d_x);
        NAME(simd_back_product)(cell, cell->packed_wt, I, rows, ONLY_N, d_gates, d_x);
        return;
    }
    NAME(multiply_nn)(cell->blas, rows, I, R_Z.count * H, da_rz, w_rz, 0, d_x, I);
    NAME(multiply_nn)(cell->blas, rows, I, H, da_n, w_n, 1, d_x, I);
}
