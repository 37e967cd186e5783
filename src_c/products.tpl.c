/* products.tpl.c - the matrix products of a cell, by BLAS or with packed weights.
 *
 * Forward: the inputs and the states times their weights. Backward: the gradients of the gates
 * times the same weights. The products over all rows that give the gradients of the weights are
 * in gradients.tpl.c. */

/* ---- packed weights ----------------------------------------------------------------- */

/* The number of panels for so many units. The last one may be partly empty. */
static int64_t NAME(panels_of)(const NAME(cell) *cell, int64_t units) {
    return (units + cell->kernels->lanes - 1) / cell->kernels->lanes;
}

/* The beginning of the panels of a run of gates in packed_u. */
static const void *NAME(panels_of_run)(const NAME(cell) *cell, gate_run run) {
    const int64_t panels_of_gate =
        NAME(panels_of)(cell, cell->H) * cell->kernels->lanes * cell->depth_u;
    return NAME(pygru_weights_at)(cell->kernels, cell->packed_u,
                                  at_gate(panels_of_gate, run.first));
}

/* Sets A, (rows, K). For 8-bit weights its rows become integers, once for all panels. */
static void NAME(set_rows)(const NAME(cell) *cell, NAME(pygru_product) *p, int64_t rows,
                           NAME(matrix) a) {
    p->m = rows;
    p->a = a.data;
    p->lda = a.ld;
    if (cell->kernels->round_rows != NULL) {
        cell->kernels->round_rows(rows, p->K, a.data, a.ld, cell->rounded);
        p->a = cell->rounded;
        p->lda = pygru_rounded_row(p->K);
    }
}

/* A product whose last block of columns may be partly beyond n. This block is computed in
 * `sums` and then copied, because whole vectors are written. */
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

/* ---- inputs ------------------------------------------------------------------------- */

static void NAME(simd_multiply_inputs)(const NAME(cell) *cell, unit_range range, int64_t rows,
                                       const REAL *x, REAL *gates) {
    const int64_t H = cell->H, I = cell->I, lanes = cell->kernels->lanes;
    enum gate gate;
    NAME(pygru_product)
    p = {.NV = GATES,
         .K = I,
         .w = NAME(pygru_weights_at)(cell->kernels, cell->packed_w,
                                     range.first * all_gates(cell->depth_w)),
         .panel = all_gates(cell->depth_w) * lanes,
         .w_step = GATES * lanes};
    const NAME(matrix) inputs = {x, I};
    NAME(set_rows)(cell, &p, rows, inputs);
    for (gate = GATE_R; gate < GATES; gate++) {
        const int64_t at = at_column(H, column_of(gate)) + range.first;
        p.from.at[gate] = (REAL *)cell->bias + at; /* only read */
        p.out.at[gate] = gates + at;
        p.out.row[gate] = all_columns(H);
    }
    NAME(product_within)(cell, range.n, &p);
}

static void NAME(blas_multiply_inputs)(const NAME(cell) *cell, int64_t rows, const REAL *x,
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

/* gates (rows, 4H) = bias + X W^T in the columns n | r | z of some units; the fourth is the
 * engine's own. */
static void NAME(multiply_inputs)(const NAME(cell) *cell, unit_range range, int64_t rows,
                                  const REAL *x, REAL *gates) {
    if (cell->packed_w != NULL) {
        NAME(simd_multiply_inputs)(cell, range, rows, x, gates);
    } else {
        NAME(blas_multiply_inputs)(cell, rows, x, gates);
    }
}

/* ---- states ------------------------------------------------------------------------- */

/* ut (H, 3H) = U^T, in square tiles: else nearly every number of a large U would come from
 * another page of memory. */
static void NAME(transpose_recurrent)(int64_t H, const REAL *u, REAL *RESTRICT ut) {
    enum { TILE = 32 };
    const int64_t rows = all_gates(H);
    int64_t first, end, row, column, j;
    for (first = 0; first < rows; first += TILE) {
        end = pygru_at_most(first + TILE, rows);
        for (column = 0; column < H; column += TILE) {
            for (j = column; j < pygru_at_most(column + TILE, H); j++) {
                for (row = first; row < end; row++) {
                    ut[j * rows + row] = u[row * H + j];
                }
            }
        }
    }
}

/* out = A U_g^T + out, or without `adds` A U_g^T alone, for a run of gates, all units at once.
 * Rows of out are `row` elements apart and contain the gates of the run one after the other. */
static void NAME(multiply_states)(const NAME(cell) *cell, int64_t rows, gate_run run,
                                  NAME(matrix) a, int adds, REAL *out, int64_t row) {
    const int64_t H = cell->H, n = run.count * H, first = at_gate(H, run.first);
    const REAL beta = adds ? 1 : 0;
    if (cell->packed_u != NULL) {
        int v;
        NAME(pygru_product)
        p = {.NV = run.count,
             .K = H,
             .w = NAME(panels_of_run)(cell, run),
             .panel = run.count * cell->depth_u * cell->kernels->lanes,
             .w_step = run.count * cell->kernels->lanes};
        NAME(set_rows)(cell, &p, rows, a);
        for (v = 0; v < run.count; v++) {
            p.out.at[v] = out + v * H;
            p.out.row[v] = row;
            p.from.at[v] = adds ? p.out.at[v] : (REAL *)cell->bias; /* zeros; only read */
            p.from.row[v] = adds ? row : 0;
        }
        NAME(product_within)(cell, H, &p);
    } else if (cell->ut != NULL) {
        const NAME(matrix) ut = {cell->ut + first, all_gates(H)};
        NAME(multiply_nn)(cell->blas, rows, n, H, a, ut, beta, out, row);
    } else {
        const NAME(matrix) u = {cell->u + first * H, H};
        NAME(multiply_nt)(cell->blas, rows, n, H, a, u, beta, out, row);
    }
}

/* ---- the way back ------------------------------------------------------------------- */

/* d (rows, columns) += A M_g for a run of gates: A is the run in rows of gates, and M (3H,
 * columns) is W or U. */
static void NAME(simd_back_product)(const NAME(cell) *cell, const NAME(back_weights) *weights,
                                    int64_t columns, int64_t rows, gate_run run,
                                    const REAL *gates, REAL *d) {
    const int64_t H = cell->H;
    NAME(pygru_product)
    p = {.m = rows,
         .NV = 1,
         .K = run.count * H,
         .a = gates + at_run(H, run),
         .lda = all_columns(H),
         .w = weights->data + at_gate(H, run.first) * weights->step,
         .panel = weights->panel,
         .w_step = weights->step,
         .from = {{d}, {columns}},
         .out = {{d}, {columns}}};
    NAME(product_within)(cell, columns, &p);
}

/* d (rows, H) += A U_g for a run of gates, A in rows of gates. */
static void NAME(back_product)(const NAME(cell) *cell, int64_t rows, gate_run run,
                               const REAL *gates, REAL *d) {
    const int64_t H = cell->H;
    if (cell->back_u.data != NULL) {
        NAME(simd_back_product)(cell, &cell->back_u, H, rows, run, gates, d);
    } else {
        const NAME(matrix) gradients = {gates + at_run(H, run), all_columns(H)};
        const NAME(matrix) u = {cell->u + at_gate(H, run.first) * H, H};
        NAME(multiply_nn)(cell->blas, rows, H, run.count * H, gradients, u, 1, d, H);
    }
}

/* d_x (rows, I) = da_rz W_rz + da_n W_n, the gradient of the inputs of `rows` rows. */
static void NAME(input_gradient)(const NAME(cell) *cell, int64_t rows, const REAL *d_gates,
                                 REAL *d_x) {
    const int64_t H = cell->H, I = cell->I;
    const NAME(matrix) da_n = {d_gates + at_run(H, ONLY_N), all_columns(H)};
    const NAME(matrix) da_rz = {d_gates + at_run(H, R_Z), all_columns(H)};
    const NAME(matrix) w_rz = {cell->w, I};
    const NAME(matrix) w_n = {cell->w + at_gate(H, GATE_N) * I, I};
    if (cell->back_w.data != NULL) {
        memset(d_x, 0, (size_t)(rows * I) * sizeof(REAL));
        NAME(simd_back_product)(cell, &cell->back_w, I, rows, R_Z, d_gates, d_x);
        NAME(simd_back_product)(cell, &cell->back_w, I, rows, ONLY_N, d_gates, d_x);
        return;
    }
    NAME(multiply_nn)(cell->blas, rows, I, R_Z.count * H, da_rz, w_rz, 0, d_x, I);
    NAME(multiply_nn)(cell->blas, rows, I, H, da_n, w_n, 1, d_x, I);
}

/* ---- sums over rows ----------------------------------------------------------------- */

/* out (m, n) += A^T B over any number of rows, A (rows, m), B (rows, n), with SIMD kernels.
 * Blocks of PYGRU_SUM_ROWS are summed from zero, and their sums are added in their order. So the
 * rounding error of a long sum grows with the number of blocks, not of rows. scratch:
 * PYGRU_SUM_SCRATCH, aligned. */
static void NAME(sum_over_rows)(const NAME(pygru_table) *table, int64_t m, int64_t n,
                                int64_t rows, NAME(matrix) a, NAME(matrix) b, REAL *out,
                                int64_t ld_out, REAL *scratch) {
    REAL *packed = scratch + PYGRU_SUM_TILES;
    int64_t row, j;
    for (row = 0; row < rows; row += PYGRU_SUM_ROWS) {
        const int64_t left = rows - row;
        NAME(pygru_row_sums)
        sums = {.rows = left < PYGRU_SUM_ROWS ? left : PYGRU_SUM_ROWS,
                .m = m,
                .a = a.data + row * a.ld,
                .lda = a.ld,
                .n_right = 1,
                .adds = 1,
                .scratch = scratch};
        for (j = 0; j < n; j += PYGRU_SUM_COLUMNS) {
            const int64_t columns = n - j < PYGRU_SUM_COLUMNS ? n - j : PYGRU_SUM_COLUMNS;
            table->pack_rows(sums.rows, columns, b.data + row * b.ld + j, b.ld, packed);
            sums.right[0].packed = packed;
            sums.right[0].n = columns;
            sums.right[0].out = out + j;
            sums.right[0].ld_out = ld_out;
            table->sum_rows(&sums);
        }
    }
}
