/* gates.tpl.c - the elementwise part of a step and of its derivative, on a block of rows.
 *
 * These are plain loops, which the compiler vectorises. Each file of an instruction set
 * includes them once per precision. A row of `gates` has the columns of gate_order.h. Before the
 * step, the columns n, r and z contain what the input contributes, and `sums` contains the rest,
 * see pygru_units in table.tpl.h. No function here is inlined into a product, because the constants of the
 * activations would take the registers of the sums. */

/* So many units of a row at a time: a whole vector, and at least four, because clang leaves a
 * loop of two iterations without vectors. */
enum { NAME(group) = LANES < 4 ? 4 : LANES };

/* ---- forward ------------------------------------------------------------------------ */

/* h' = (1-z) h + z n (replaces)  |  z h + (1-z) n (keeps) */
ALWAYS_INLINE REAL NAME(blend)(REAL z, REAL n, REAL h, int keeps) {
    return keeps ? FUSE(z, h - n, n) : FUSE(z, n - h, h);
}

/* Replaces the sums of r and z by r and z. This is a separate loop, because here no activation
 * depends on another one, so that the CPU can work on several vectors at a time. It is a function
 * of its own, so that the constants of both loops need not be in registers at once. */
static NOINLINE void NAME(activate_r_and_z)(const NAME(pygru_units) *p) {
    int64_t row, j;
    int gate;
    for (row = 0; row < p->rows; row++) {
        for (gate = 0; gate < 2; gate++) {
            REAL *sums = p->sums + row * p->sums_row + gate * p->gate;
            INDEPENDENT
            for (j = 0; j < p->sums_units; j++) {
                sums[j] = NAME(sigmoid)(sums[j]);
            }
        }
    }
}

/* The arrays that some units of one row read and write. */
typedef struct NAME(unit_arrays) {
    const REAL *sums[GATES]; /* in their order; with the reset after, n of the states is hn */
    const REAL *in_n;
    const REAL *in_z;
    const REAL *h;
    REAL *gates[COLUMNS];
    REAL *out; /* the new state, or r*h */
} NAME(unit_arrays);

/* Reset after the product: r and z are in the places of their sums, the third sum is hn. */
ALWAYS_INLINE void NAME(units_after)(int count, const NAME(unit_arrays) *u, int keeps,
                                     int stores) {
    const REAL *r = u->sums[GATE_R], *z = u->sums[GATE_Z], *hn = u->sums[GATE_N];
    const REAL *in_n = u->in_n, *h = u->h;
    REAL *to_n = u->gates[COLUMN_N], *to_r = u->gates[COLUMN_R];
    REAL *to_z = u->gates[COLUMN_Z], *to_hn = u->gates[COLUMN_HN];
    REAL *h_next = u->out;
    int j;
    INDEPENDENT
    for (j = 0; j < count; j++) {
        const REAL n_j = NAME(hyperbolic_tangent)(FUSE(r[j], hn[j], in_n[j]));
        const REAL h_j = NAME(blend)(z[j], n_j, h[j], keeps);
        if (stores) {
            const REAL r_j = r[j], z_j = z[j], hn_j = hn[j];
            to_r[j] = r_j;
            to_z[j] = z_j;
            to_hn[j] = hn_j;
            to_n[j] = n_j;
        }
        h_next[j] = h_j;
    }
}

/* Reset before: first r, z and r*h, */
ALWAYS_INLINE void NAME(units_before_reset)(int count, const NAME(unit_arrays) *u, int stores) {
    const REAL *sum_r = u->sums[GATE_R], *sum_z = u->sums[GATE_Z], *h = u->h;
    REAL *to_r = u->gates[COLUMN_R], *to_z = u->gates[COLUMN_Z], *rh = u->out;
    REAL *to_rh = u->gates[COLUMN_HN];
    int j;
    INDEPENDENT
    for (j = 0; j < count; j++) {
        const REAL r_j = NAME(sigmoid)(sum_r[j]);
        const REAL rh_j = r_j * h[j];
        if (stores) {
            to_r[j] = r_j;
            to_rh[j] = rh_j;
        }
        rh[j] = rh_j;
    }
    INDEPENDENT
    for (j = 0; j < count; j++) {
        to_z[j] = NAME(sigmoid)(sum_z[j]);
    }
}

/* then n, whose sums are the only ones, and the new state. */
ALWAYS_INLINE void NAME(units_before_candidate)(int count, const NAME(unit_arrays) *u,
                                                int keeps, int stores) {
    const REAL *sum_n = u->sums[0], *z = u->in_z, *h = u->h;
    REAL *n = u->gates[COLUMN_N], *h_next = u->out;
    int j;
    INDEPENDENT
    for (j = 0; j < count; j++) {
        const REAL n_j = NAME(hyperbolic_tangent)(sum_n[j]);
        if (stores) {
            n[j] = n_j;
        }
        h_next[j] = NAME(blend)(z[j], n_j, h[j], keeps);
    }
}

/* The same arrays, `at` units further. */
ALWAYS_INLINE NAME(unit_arrays)
    NAME(arrays_of)(const NAME(pygru_units) *p, int64_t row, int64_t at) {
    const REAL *sums = p->sums + row * p->sums_row + at;
    REAL *gates = p->gates + at_row(p->H, row) + at;
    REAL *n = gates + at_column(p->H, COLUMN_N), *r = gates + at_column(p->H, COLUMN_R);
    REAL *z = gates + at_column(p->H, COLUMN_Z), *hn = gates + at_column(p->H, COLUMN_HN);
    const NAME(unit_arrays) u = {
        .sums = {sums, sums + at_gate(p->gate, GATE_Z), sums + at_gate(p->gate, GATE_N)},
        .in_n = n,
        .in_z = z,
        .h = p->h + row * p->H + at,
        .gates = {[COLUMN_N] = n, [COLUMN_R] = r, [COLUMN_Z] = z, [COLUMN_HN] = hn},
        .out = p->out + row * p->H + at};
    return u;
}

ALWAYS_INLINE void NAME(copy_units)(int64_t count, const REAL *from, REAL *to) {
    memcpy(to, from, (size_t)count * sizeof(REAL));
}

/* The three passes of a step. */
#ifndef PASSES
#define PASSES
enum pass { AFTER, BEFORE_RESET, BEFORE_CANDIDATE };
#endif

ALWAYS_INLINE void NAME(pass_units)(enum pass pass, int count, const NAME(unit_arrays) *u,
                                    int keeps, int stores) {
    switch (pass) {
    case AFTER:
        NAME(units_after)(count, u, keeps, stores);
        break;
    case BEFORE_RESET:
        NAME(units_before_reset)(count, u, stores);
        break;
    default:
        NAME(units_before_candidate)(count, u, keeps, stores);
    }
}

/* The last units of a row, if they do not fill a group: copies whose other units are 0. */
ALWAYS_INLINE void NAME(pass_last_units)(enum pass pass, int64_t count,
                                         const NAME(unit_arrays) *row, int keeps, int stores) {
    /* The columns that the pass may write, and the number of gates that have sums. */
    const int first = pass != BEFORE_RESET ? COLUMN_N : stores ? COLUMN_R : COLUMN_Z;
    const int last = pass == BEFORE_CANDIDATE          ? COLUMN_N
                     : pass == BEFORE_RESET && !stores ? COLUMN_Z
                                                       : COLUMN_HN;
    const int n_sums = pass == AFTER ? 3 : pass == BEFORE_RESET ? 2 : 1;
    REAL copy[GATES + 3 + COLUMNS + 1][NAME(group)] = {{0}};
    const NAME(unit_arrays) u = {
        {copy[0], copy[1], copy[2]},          copy[3], copy[4], copy[5],
        {copy[6], copy[7], copy[8], copy[9]}, copy[10]};
    int i;
    for (i = 0; i < n_sums; i++) {
        NAME(copy_units)(count, row->sums[i], copy[i]);
    }
    NAME(copy_units)(count, row->in_n, copy[3]);
    NAME(copy_units)(count, row->in_z, copy[4]);
    NAME(copy_units)(count, row->h, copy[5]);
    NAME(pass_units)(pass, NAME(group), &u, keeps, stores);
    for (i = first; (stores || pass == BEFORE_RESET) && i <= last; i++) {
        NAME(copy_units)(count, u.gates[i], row->gates[i]);
    }
    NAME(copy_units)(count, u.out, row->out);
}

ALWAYS_INLINE void NAME(pass_rows)(enum pass pass, const NAME(pygru_units) *p, int keeps,
                                   int stores) {
    int64_t row, at;
    for (row = 0; row < p->rows; row++) {
        for (at = 0; at + NAME(group) <= p->units; at += NAME(group)) {
            const NAME(unit_arrays) u = NAME(arrays_of)(p, row, at);
            NAME(pass_units)(pass, NAME(group), &u, keeps, stores);
        }
        if (at < p->units) {
            const NAME(unit_arrays) u = NAME(arrays_of)(p, row, at);
            NAME(pass_last_units)(pass, p->units - at, &u, keeps, stores);
        }
    }
}

static void NAME(after_forward)(const NAME(pygru_units) *p) {
    NAME(activate_r_and_z)(p);
    if (p->stores) {
        if (p->equations->keeps) {
            NAME(pass_rows)(AFTER, p, 1, 1);
        } else {
            NAME(pass_rows)(AFTER, p, 0, 1);
        }
    } else if (p->equations->keeps) {
        NAME(pass_rows)(AFTER, p, 1, 0);
    } else {
        NAME(pass_rows)(AFTER, p, 0, 0);
    }
}

static void NAME(before_reset)(const NAME(pygru_units) *p) {
    if (p->stores) {
        NAME(pass_rows)(BEFORE_RESET, p, 0, 1);
    } else {
        NAME(pass_rows)(BEFORE_RESET, p, 0, 0);
    }
}

static void NAME(before_candidate)(const NAME(pygru_units) *p) {
    if (p->stores) {
        if (p->equations->keeps) {
            NAME(pass_rows)(BEFORE_CANDIDATE, p, 1, 1);
        } else {
            NAME(pass_rows)(BEFORE_CANDIDATE, p, 0, 1);
        }
    } else if (p->equations->keeps) {
        NAME(pass_rows)(BEFORE_CANDIDATE, p, 1, 0);
    } else {
        NAME(pass_rows)(BEFORE_CANDIDATE, p, 0, 0);
    }
}

/* ---- backward ----------------------------------------------------------------------- */

/* The common part of both resets, for one unit: from d_h come the derivatives before the
 * activations of the candidate and the update gate, and the part of d_h that goes straight to
 * the old state.
 *   replaces: d_z = d_h (n - h)   d_n = d_h z       straight = d_h (1-z)
 *   keeps:    d_z = d_h (h - n)   d_n = d_h (1-z)   straight = d_h z
 *   da_z = d_z z (1-z)            da_n = d_n (1 - n^2)
 * With other activations than sigmoid and tanh, their slopes have been computed already. */
typedef struct NAME(unit_gradient) {
    REAL da_n;
    REAL da_z;
    REAL straight;
} NAME(unit_gradient);

ALWAYS_INLINE NAME(unit_gradient) NAME(unit_backward)(REAL d_h, REAL n, REAL z, REAL h,
                                                      REAL slope_n, REAL slope_z, int keeps) {
    const REAL one_minus_z = (REAL)1 - z;
    NAME(unit_gradient) g;
    g.straight = d_h * (keeps ? z : one_minus_z);
    g.da_n = d_h * (keeps ? one_minus_z : z) * slope_n;
    g.da_z = d_h * (keeps ? h - n : n - h) * slope_z;
    return g;
}

/* The slope of the usual activation at its value, or the one that is kept. */
ALWAYS_INLINE REAL NAME(tanh_slope)(REAL n, REAL kept, int usual) {
    return usual ? ((REAL)1 - n) * ((REAL)1 + n) : kept;
}

ALWAYS_INLINE REAL NAME(sigmoid_slope)(REAL r, REAL kept, int usual) {
    return usual ? r * ((REAL)1 - r) : kept;
}

/* One row, reset after. d_hn = da_n r;  da_r = da_n hn r (1-r).
 * d_h is the gradient of the new state at first, and the straight part afterwards. */
ALWAYS_INLINE void NAME(row_after_backward)(int64_t H, const REAL *gates, const REAL *h,
                                            REAL *d_h, REAL *d_gates, int keeps, int usual) {
    const REAL *n = gates + at_column(H, COLUMN_N), *r = gates + at_column(H, COLUMN_R);
    const REAL *z = gates + at_column(H, COLUMN_Z), *hn = gates + at_column(H, COLUMN_HN);
    REAL *da_n = d_gates + at_column(H, COLUMN_N), *da_r = d_gates + at_column(H, COLUMN_R);
    REAL *da_z = d_gates + at_column(H, COLUMN_Z), *da_hn = d_gates + at_column(H, COLUMN_HN);
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const NAME(unit_gradient) g = NAME(unit_backward)(
            d_h[j], n[j], z[j], h[j], NAME(tanh_slope)(n[j], da_n[j], usual),
            NAME(sigmoid_slope)(z[j], da_z[j], usual), keeps);
        da_n[j] = g.da_n;
        da_r[j] = g.da_n * hn[j] * NAME(sigmoid_slope)(r[j], da_r[j], usual);
        da_z[j] = g.da_z;
        da_hn[j] = g.da_n * r[j];
        d_h[j] = g.straight;
    }
}

/* One row, reset before, first half: everything except the reset gate. */
ALWAYS_INLINE void NAME(row_before_backward)(int64_t H, const REAL *gates, const REAL *h,
                                             REAL *d_h, REAL *d_gates, int keeps, int usual) {
    const REAL *n = gates + at_column(H, COLUMN_N), *z = gates + at_column(H, COLUMN_Z);
    REAL *da_n = d_gates + at_column(H, COLUMN_N), *da_z = d_gates + at_column(H, COLUMN_Z);
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        const NAME(unit_gradient) g = NAME(unit_backward)(
            d_h[j], n[j], z[j], h[j], NAME(tanh_slope)(n[j], da_n[j], usual),
            NAME(sigmoid_slope)(z[j], da_z[j], usual), keeps);
        da_n[j] = g.da_n;
        da_z[j] = g.da_z;
        d_h[j] = g.straight;
    }
}

/* Second half, from d_rh = da_n U_n:  da_r = d_rh h r (1-r);  d_h += d_rh r. The fourth column
 * gets r*h, because the gradient of U_n needs it. */
ALWAYS_INLINE void NAME(row_reset_backward)(int64_t H, const REAL *gates, const REAL *h,
                                            const REAL *d_rh, REAL *d_h, REAL *d_gates,
                                            int usual) {
    const REAL *r = gates + at_column(H, COLUMN_R);
    REAL *da_r = d_gates + at_column(H, COLUMN_R), *rh = d_gates + at_column(H, COLUMN_HN);
    int64_t j;
    INDEPENDENT
    for (j = 0; j < H; j++) {
        rh[j] = r[j] * h[j];
        da_r[j] = d_rh[j] * h[j] * NAME(sigmoid_slope)(r[j], da_r[j], usual);
        d_h[j] += d_rh[j] * r[j];
    }
}

/* ---- blocks of rows ----------------------------------------------------------------- */

static void NAME(after_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                                 REAL *d_h, REAL *d_gates,
                                 const NAME(pygru_equations) *equations) {
    const int64_t row = all_columns(H);
    int64_t i;
    for (i = 0; i < rows; i++, gates += row, h += H, d_h += H, d_gates += row) {
        if (equations->keeps) {
            NAME(row_after_backward)(H, gates, h, d_h, d_gates, 1, 1);
        } else {
            NAME(row_after_backward)(H, gates, h, d_h, d_gates, 0, 1);
        }
    }
}

static void NAME(before_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                                  REAL *d_h, REAL *d_gates,
                                  const NAME(pygru_equations) *equations) {
    const int64_t row = all_columns(H);
    int64_t i;
    for (i = 0; i < rows; i++, gates += row, h += H, d_h += H, d_gates += row) {
        if (equations->keeps) {
            NAME(row_before_backward)(H, gates, h, d_h, d_gates, 1, 1);
        } else {
            NAME(row_before_backward)(H, gates, h, d_h, d_gates, 0, 1);
        }
    }
}

static void NAME(reset_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                                 const REAL *d_rh, REAL *d_h, REAL *d_gates,
                                 const NAME(pygru_equations) *equations) {
    const int64_t row = all_columns(H);
    int64_t i;
    for (i = 0; i < rows; i++, gates += row, h += H, d_rh += H, d_h += H, d_gates += row) {
        NAME(row_reset_backward)(H, gates, h, d_rh, d_h, d_gates, 1);
    }
    (void)equations;
}

static void NAME(all_sigmoid)(int64_t n, const REAL *in, REAL *out) {
    int64_t i;
    INDEPENDENT
    for (i = 0; i < n; i++) {
        out[i] = NAME(sigmoid)(in[i]);
    }
}

static void NAME(all_tanh)(int64_t n, const REAL *in, REAL *out) {
    int64_t i;
    INDEPENDENT
    for (i = 0; i < n; i++) {
        out[i] = NAME(hyperbolic_tangent)(in[i]);
    }
}
