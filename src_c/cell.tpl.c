/* cell.tpl.c - the equations of one GRU step and their derivatives, on a block of rows.
 *
 * A row of `gates` has four columns of H: n | r | z | hn. Before the step it holds W x; after
 * it, the values that backward needs: the candidate n, the gates r and z, and in the fourth
 * column hn = U_n h + b_hn (reset after) or r*h (reset before). This order keeps both n|r|z
 * (what multiplies x) and r|z|hn (what multiplies h) contiguous.
 * The equations are those of docs/math.md; h is the state before the step. The products are
 * here, the elementwise part is in kernels/gates.tpl.c. */

typedef struct NAME(cell) {
    int64_t I;
    int64_t H;
    int after;        /* reset after the product */
    int keeps;        /* z multiplies the old state */
    const REAL *w;    /* (3H, I) rows r, z, n */
    const REAL *u;    /* (3H, H) rows r, z, n */
    const REAL *ut;   /* (H, 3H) its transpose, for few rows and many steps; may be NULL */
    const REAL *bias; /* (4H) n | r | z | hn, the two biases of r, z (and n) already added */
    const NAME(pygru_gates) *kernels;
} NAME(cell);

/* The bias of each column of a gates row; zeros without bias. */
static void NAME(combine_biases)(int64_t H, int after, const REAL *b_ih, const REAL *b_hh,
                                 REAL *bias) {
    int64_t j;
    if (b_ih == NULL) {
        memset(bias, 0, (size_t)(4 * H) * sizeof(REAL));
        return;
    }
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const REAL b_hn = b_hh[2 * H + j];
        bias[j] = after ? b_ih[2 * H + j] : b_ih[2 * H + j] + b_hn;
        bias[H + j] = b_ih[j] + b_hh[j];
        bias[2 * H + j] = b_ih[H + j] + b_hh[H + j];
        bias[3 * H + j] = after ? b_hn : (REAL)0;
    }
}

/* gates[:, n|r|z] (rows, 3H of 4H) = X W^T */
static void NAME(project_input)(const pygru_blas *blas, const NAME(cell) *cell, int64_t rows,
                                const REAL *x, REAL *gates) {
    const int64_t H = cell->H, I = cell->I;
    const NAME(matrix) inputs = {x, I};
    const NAME(matrix) w_rz = {cell->w, I};
    const NAME(matrix) w_n = {cell->w + 2 * H * I, I};
    NAME(multiply_nt)(blas, rows, 2 * H, I, inputs, w_rz, 0, gates + H, 4 * H);
    NAME(multiply_nt)(blas, rows, H, I, inputs, w_n, 0, gates, 4 * H);
}

/* ut (H, 3H) = U^T */
static void NAME(transpose_recurrent)(int64_t H, const REAL *u, REAL *RESTRICT ut) {
    int64_t row, column;
    for (column = 0; column < H; column++) {
        for (row = 0; row < 3 * H; row++) {
            ut[column * 3 * H + row] = u[row * H + column];
        }
    }
}

/* out (rows, n H) = A U_g^T for n gates from `first` on (0 r, 1 z, 2 n) */
static void NAME(recurrent_product)(const pygru_blas *blas, const NAME(cell) *cell,
                                    int64_t rows, int64_t first, int64_t n, NAME(matrix) a,
                                    REAL *out) {
    const int64_t H = cell->H;
    if (cell->ut != NULL) {
        const NAME(matrix) ut = {cell->ut + first * H, 3 * H};
        NAME(multiply_nn)(blas, rows, n * H, H, a, ut, 0, out, n * H);
    } else {
        const NAME(matrix) u = {cell->u + first * H * H, H};
        NAME(multiply_nt)(blas, rows, n * H, H, a, u, 0, out, n * H);
    }
}

/* ---- forward ------------------------------------------------------------------------ */

/* One step of `rows` independent rows. gates (rows, 4H): in W x, out n|r|z|hn. h (rows, H);
 * h_next may be h. gh (rows, 3H) is scratch. */
static void NAME(cell_forward)(const pygru_blas *blas, const NAME(cell) *cell, int64_t rows,
                               REAL *gates, const REAL *h, REAL *h_next, REAL *gh) {
    const int64_t H = cell->H;
    const NAME(matrix) states = {h, H};
    const NAME(matrix) rh = {gates + 3 * H, 4 * H};
    if (cell->after) {
        /* gh = h U^T, all three gates at once */
        NAME(recurrent_product)(blas, cell, rows, 0, 3, states, gh);
        cell->kernels->after_forward(rows, H, gates, gh, cell->bias, h, h_next, cell->keeps);
        return;
    }
    /* gh = h U_rz^T, then gh = (r*h) U_n^T */
    NAME(recurrent_product)(blas, cell, rows, 0, 2, states, gh);
    cell->kernels->before_reset(rows, H, gates, gh, cell->bias, h);
    NAME(recurrent_product)(blas, cell, rows, 2, 1, rh, gh);
    cell->kernels->before_candidate(rows, H, gates, gh, cell->bias, h, h_next, cell->keeps);
}

/* ---- backward ----------------------------------------------------------------------- */

/* The derivative of cell_forward. gates (rows, 4H) as forward left them, h (rows, H) the state
 * before the step. d_h (rows, H): in the gradient of the state after it, out of the state
 * before it. d_gates (rows, 4H) out: da_n | da_r | da_z | da_hn (after) or r*h (before).
 * d_rh (rows, H) is scratch. */
static void NAME(cell_backward)(const pygru_blas *blas, const NAME(cell) *cell, int64_t rows,
                                const REAL *gates, const REAL *h, REAL *d_h, REAL *d_gates,
                                REAL *d_rh) {
    const int64_t H = cell->H;
    const NAME(matrix) u = {cell->u, H};
    const NAME(matrix) u_n = {cell->u + 2 * H * H, H};
    const NAME(matrix) da_n = {d_gates, 4 * H};
    const NAME(matrix) da_rz = {d_gates + H, 4 * H};
    if (cell->after) {
        /* d_h += [da_r da_z da_hn] U */
        cell->kernels->after_backward(rows, H, gates, h, d_h, d_gates, cell->keeps);
        NAME(multiply_nn)(blas, rows, H, 3 * H, da_rz, u, 1, d_h, H);
        return;
    }
    /* d_rh = da_n U_n */
    cell->kernels->before_backward(rows, H, gates, h, d_h, d_gates, cell->keeps);
    NAME(multiply_nn)(blas, rows, H, H, da_n, u_n, 0, d_rh, H);
    /* d_h += [da_r da_z] U_rz */
    cell->kernels->reset_backward(rows, H, gates, h, d_rh, d_h, d_gates);
    NAME(multiply_nn)(blas, rows, H, 2 * H, da_rz, u, 1, d_h, H);
}
