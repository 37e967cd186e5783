/* cell.tpl.c - the equations of one GRU step and their derivatives, on a block of rows.
 *
 * A row of `gates` has four columns of H: n | r | z | hn. Before the step it holds W x; after
 * it, the values that backward needs: the candidate n, the gates r and z, and in the fourth
 * column hn = U_n h + b_hn (reset after) or r*h (reset before). This order keeps both n|r|z
 * (what multiplies x) and r|z|hn (what multiplies h) contiguous.
 * The equations are those of docs/math.md; h is the state before the step. */

typedef struct NAME(cell) {
    int64_t I;
    int64_t H;
    int after;        /* reset after the product */
    int keeps;        /* z multiplies the old state */
    const REAL *w;    /* (3H, I) rows r, z, n */
    const REAL *u;    /* (3H, H) rows r, z, n */
    const REAL *ut;   /* (H, 3H) its transpose, for few rows and many steps; may be NULL */
    const REAL *bias; /* (4H) n | r | z | hn, the two biases of r, z (and n) already added */
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

/* h' = (1-z) h + z n (replaces)  |  z h + (1-z) n (keeps) */
ALWAYS_INLINE REAL NAME(blend)(REAL z, REAL n, REAL h, int keeps) {
    return keeps ? n + z * (h - n) : h + z * (n - h);
}

/* One row, reset after the product: gh (3H) holds U_r h | U_z h | U_n h. */
ALWAYS_INLINE void NAME(row_after)(int64_t H, REAL *gates, const REAL *gh, const REAL *bias,
                                   const REAL *h, REAL *h_next, int keeps) {
    REAL *n = gates, *r = gates + H, *z = gates + 2 * H, *hn = gates + 3 * H;
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const REAL r_j = NAME(sigmoid)(r[j] + gh[j] + bias[H + j]);
        const REAL z_j = NAME(sigmoid)(z[j] + gh[H + j] + bias[2 * H + j]);
        const REAL hn_j = gh[2 * H + j] + bias[3 * H + j];
        const REAL n_j = NAME(hyperbolic_tangent)(n[j] + bias[j] + r_j * hn_j);
        r[j] = r_j;
        z[j] = z_j;
        hn[j] = hn_j;
        n[j] = n_j;
        h_next[j] = NAME(blend)(z_j, n_j, h[j], keeps);
    }
}

/* One row, reset before: first r, z and r*h from gh = U_r h | U_z h, */
ALWAYS_INLINE void NAME(row_before_reset)(int64_t H, REAL *gates, const REAL *gh,
                                          const REAL *bias, const REAL *h) {
    REAL *r = gates + H, *z = gates + 2 * H, *rh = gates + 3 * H;
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const REAL r_j = NAME(sigmoid)(r[j] + gh[j] + bias[H + j]);
        r[j] = r_j;
        z[j] = NAME(sigmoid)(z[j] + gh[H + j] + bias[2 * H + j]);
        rh[j] = r_j * h[j];
    }
}

/* then n and the new state from gh = U_n (r*h). */
ALWAYS_INLINE void NAME(row_before_candidate)(int64_t H, REAL *gates, const REAL *gh,
                                              const REAL *bias, const REAL *h, REAL *h_next,
                                              int keeps) {
    REAL *n = gates;
    const REAL *z = gates + 2 * H;
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        n[j] = NAME(hyperbolic_tangent)(n[j] + bias[j] + gh[j]);
        h_next[j] = NAME(blend)(z[j], n[j], h[j], keeps);
    }
}

/* One step of `rows` independent rows. gates (rows, 4H): in W x, out n|r|z|hn. h (rows, H);
 * h_next may be h. gh (rows, 3H) is scratch. */
static void NAME(cell_forward)(const pygru_blas *blas, const NAME(cell) *cell, int64_t rows,
                               REAL *gates, const REAL *h, REAL *h_next, REAL *gh) {
    const int64_t H = cell->H;
    const NAME(matrix) states = {h, H};
    const NAME(matrix) rh = {gates + 3 * H, 4 * H};
    int64_t i;
    if (cell->after) {
        /* gh = h U^T, all three gates at once */
        NAME(recurrent_product)(blas, cell, rows, 0, 3, states, gh);
        for (i = 0; i < rows; i++) {
            if (cell->keeps) {
                NAME(row_after)(H, gates + i * 4 * H, gh + i * 3 * H, cell->bias, h + i * H,
                                h_next + i * H, 1);
            } else {
                NAME(row_after)(H, gates + i * 4 * H, gh + i * 3 * H, cell->bias, h + i * H,
                                h_next + i * H, 0);
            }
        }
        return;
    }
    /* gh = h U_rz^T, then gh = (r*h) U_n^T */
    NAME(recurrent_product)(blas, cell, rows, 0, 2, states, gh);
    for (i = 0; i < rows; i++) {
        NAME(row_before_reset)(H, gates + i * 4 * H, gh + i * 2 * H, cell->bias, h + i * H);
    }
    NAME(recurrent_product)(blas, cell, rows, 2, 1, rh, gh);
    for (i = 0; i < rows; i++) {
        if (cell->keeps) {
            NAME(row_before_candidate)(H, gates + i * 4 * H, gh + i * H, cell->bias, h + i * H,
                                       h_next + i * H, 1);
        } else {
            NAME(row_before_candidate)(H, gates + i * 4 * H, gh + i * H, cell->bias, h + i * H,
                                       h_next + i * H, 0);
        }
    }
}

/* ---- backward ----------------------------------------------------------------------- */

/* What both resets share, for one unit: from d_h the derivatives before the activations of
 * the candidate and the update gate, and the part of d_h that passes straight through.
 *   replaces: d_z = d_h (n - h)   d_n = d_h z       straight = d_h (1-z)
 *   keeps:    d_z = d_h (h - n)   d_n = d_h (1-z)   straight = d_h z
 *   da_z = d_z z (1-z)            da_n = d_n (1 - n^2) */
typedef struct NAME(unit_gradient) {
    REAL da_n;
    REAL da_z;
    REAL straight;
} NAME(unit_gradient);

ALWAYS_INLINE NAME(unit_gradient)
    NAME(unit_backward)(REAL d_h, REAL n, REAL z, REAL h, int keeps) {
    const REAL one_minus_z = (REAL)1 - z;
    NAME(unit_gradient) g;
    g.straight = d_h * (keeps ? z : one_minus_z);
    g.da_n = d_h * (keeps ? one_minus_z : z) * (((REAL)1 - n) * ((REAL)1 + n));
    g.da_z = d_h * (keeps ? h - n : n - h) * (z * one_minus_z);
    return g;
}

/* One row, reset after. d_hn = da_n r;  da_r = da_n hn r (1-r).
 * d_h: in the gradient of the new state, out the straight part. */
ALWAYS_INLINE void NAME(row_after_backward)(int64_t H, const REAL *gates, const REAL *h,
                                            REAL *d_h, REAL *d_gates, int keeps) {
    const REAL *n = gates, *r = gates + H, *z = gates + 2 * H, *hn = gates + 3 * H;
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const NAME(unit_gradient) g = NAME(unit_backward)(d_h[j], n[j], z[j], h[j], keeps);
        d_gates[j] = g.da_n;
        d_gates[H + j] = g.da_n * hn[j] * (r[j] * ((REAL)1 - r[j]));
        d_gates[2 * H + j] = g.da_z;
        d_gates[3 * H + j] = g.da_n * r[j];
        d_h[j] = g.straight;
    }
}

/* One row, reset before, first half: everything but the reset gate. The fourth column keeps
 * r*h, which the gradient of U_n needs. */
ALWAYS_INLINE void NAME(row_before_backward)(int64_t H, const REAL *gates, const REAL *h,
                                             REAL *d_h, REAL *d_gates, int keeps) {
    const REAL *n = gates, *z = gates + 2 * H, *rh = gates + 3 * H;
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const NAME(unit_gradient) g = NAME(unit_backward)(d_h[j], n[j], z[j], h[j], keeps);
        d_gates[j] = g.da_n;
        d_gates[2 * H + j] = g.da_z;
        d_gates[3 * H + j] = rh[j];
        d_h[j] = g.straight;
    }
}

/* Second half, from d_rh = da_n U_n:  da_r = d_rh h r (1-r);  d_h += d_rh r. */
ALWAYS_INLINE void NAME(row_reset_backward)(int64_t H, const REAL *gates, const REAL *h,
                                            const REAL *d_rh, REAL *d_h, REAL *d_gates) {
    const REAL *r = gates + H;
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        d_gates[H + j] = d_rh[j] * h[j] * (r[j] * ((REAL)1 - r[j]));
        d_h[j] += d_rh[j] * r[j];
    }
}

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
    int64_t i;
    for (i = 0; i < rows; i++) {
        const REAL *g = gates + i * 4 * H, *h_i = h + i * H;
        REAL *d_g = d_gates + i * 4 * H, *d_h_i = d_h + i * H;
        if (cell->after && cell->keeps) {
            NAME(row_after_backward)(H, g, h_i, d_h_i, d_g, 1);
        } else if (cell->after) {
            NAME(row_after_backward)(H, g, h_i, d_h_i, d_g, 0);
        } else if (cell->keeps) {
            NAME(row_before_backward)(H, g, h_i, d_h_i, d_g, 1);
        } else {
            NAME(row_before_backward)(H, g, h_i, d_h_i, d_g, 0);
        }
    }
    if (cell->after) {
        /* d_h += [da_r da_z da_hn] U */
        NAME(multiply_nn)(blas, rows, H, 3 * H, da_rz, u, 1, d_h, H);
        return;
    }
    /* d_rh = da_n U_n */
    NAME(multiply_nn)(blas, rows, H, H, da_n, u_n, 0, d_rh, H);
    for (i = 0; i < rows; i++) {
        NAME(row_reset_backward)(H, gates + i * 4 * H, h + i * H, d_rh + i * H, d_h + i * H,
                                 d_gates + i * 4 * H);
    }
    /* d_h += [da_r da_z] U_rz */
    NAME(multiply_nn)(blas, rows, H, 2 * H, da_rz, u, 1, d_h, H);
}
