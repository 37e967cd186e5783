/* other_gates.tpl.c - the elementwise part of a step, and of its derivative, for cells with other
 * activations than the usual ones, or with clipped sums.
 *
 * gates.tpl.c has tanh and sigmoid inside its loops. Here an activation is a pass of its own over
 * some units of a row: which one it is, is asked once for each row, and not for each unit. Forward
 * replaces sums by activations in place. Backward writes the slopes of the activations to the
 * columns of their gradients, where the common loops of gates.tpl.c multiply by them. */

/* ---- the activations -------------------------------------------------------------------- */

ALWAYS_INLINE REAL NAME(magnitude)(REAL x) { return x < (REAL)0 ? -x : x; }

/* x is at least `low` and at most `high` then; NaN stays NaN. */
ALWAYS_INLINE REAL NAME(limited)(REAL x, REAL low, REAL high) {
    const REAL above = x < low ? low : x;
    return above > high ? high : above;
}

/* x / (1 + |x|), and +-1 for +-inf. */
ALWAYS_INLINE REAL NAME(softsign)(REAL x) {
    const REAL sum = (REAL)1 + NAME(magnitude)(x);
    return sum == (REAL)INFINITY ? (x < (REAL)0 ? (REAL)-1 : (REAL)1) : x / sum;
}

/* Runs a statement for each of n units. */
#define EACH_UNIT(statement)                                                                   \
    INDEPENDENT                                                                                \
    for (j = 0; j < n; j++) {                                                                  \
        statement;                                                                             \
    }

/* Replaces the sums of n units by their activations. */
static NOINLINE void NAME(activate)(const NAME(pygru_activation) *f, int64_t n, REAL *x) {
    const REAL alpha = f->alpha, beta = f->beta, clip = f->clip;
    int64_t j;
    if (clip > (REAL)0) {
        EACH_UNIT(x[j] = NAME(limited)(x[j], -clip, clip))
    }
    switch (f->function) {
    case PYGRU_ACTIVATION_tanh:
        NAME(all_tanh)(n, x, x);
        break;
    case PYGRU_ACTIVATION_sigmoid:
        NAME(all_sigmoid)(n, x, x);
        break;
    case PYGRU_ACTIVATION_relu:
        EACH_UNIT(x[j] = x[j] < (REAL)0 ? (REAL)0 : x[j])
        break;
    case PYGRU_ACTIVATION_softsign:
        EACH_UNIT(x[j] = NAME(softsign)(x[j]))
        break;
    case PYGRU_ACTIVATION_hard_sigmoid:
        EACH_UNIT(x[j] = NAME(limited)(FUSE(alpha, x[j], beta), (REAL)0, (REAL)1))
        break;
    default: /* linear */
        break;
    }
}

/* The slopes of the activations of n units at their values y. At a kink the slope is 0, as in
 * PyTorch and TensorFlow. It is also 0 where the sum was clipped. This is known from the value
 * too: it is then one of the two values at the limits, because all activations are increasing. */
static NOINLINE void NAME(slopes_at)(const NAME(pygru_activation) *f, int64_t n, const REAL *y,
                                     REAL *slope) {
    const REAL alpha = f->alpha, least = f->least, most = f->most, zero = 0, one = 1;
    int64_t j;
    switch (f->function) {
    case PYGRU_ACTIVATION_tanh:
        EACH_UNIT(slope[j] = (one - y[j]) * (one + y[j]))
        break;
    case PYGRU_ACTIVATION_sigmoid:
        EACH_UNIT(slope[j] = y[j] * (one - y[j]))
        break;
    case PYGRU_ACTIVATION_relu:
        EACH_UNIT(slope[j] = y[j] <= zero ? zero : one)
        break;
    case PYGRU_ACTIVATION_softsign: /* 1 / (1 + |x|)^2 */
        EACH_UNIT(const REAL rest = one - NAME(magnitude)(y[j]); slope[j] = rest * rest)
        break;
    case PYGRU_ACTIVATION_hard_sigmoid:
        EACH_UNIT(slope[j] = y[j] <= zero || y[j] >= one ? zero : alpha)
        break;
    default: /* linear */
        EACH_UNIT(slope[j] = one)
        break;
    }
    if (f->clip > zero) {
        EACH_UNIT(slope[j] = y[j] <= least || y[j] >= most ? zero : slope[j])
    }
}

#undef EACH_UNIT

/* ---- forward ---------------------------------------------------------------------------- */

static void NAME(other_r_and_z)(const NAME(pygru_units) *p, int64_t row) {
    REAL *sums = p->sums + row * p->sums_row;
    NAME(activate)(&p->equations->recurrent_activation, p->units,
                   sums + at_gate(p->gate, GATE_R));
    NAME(activate)(&p->equations->recurrent_activation, p->units,
                   sums + at_gate(p->gate, GATE_Z));
}

/* The sums of the candidate with the reset after the product, in their column of the gates. */
ALWAYS_INLINE void NAME(add_reset_product)(int64_t n, const NAME(unit_arrays) *u, int stores) {
    const REAL *hn = u->sums[GATE_N], *r = u->sums[GATE_R], *z = u->sums[GATE_Z];
    REAL *sum_n = u->gates[COLUMN_N], *to_r = u->gates[COLUMN_R];
    REAL *to_z = u->gates[COLUMN_Z], *to_hn = u->gates[COLUMN_HN];
    int64_t j;
    INDEPENDENT
    for (j = 0; j < n; j++) {
        sum_n[j] = FUSE(r[j], hn[j], sum_n[j]);
        if (stores) {
            const REAL r_j = r[j], z_j = z[j], hn_j = hn[j];
            to_r[j] = r_j;
            to_z[j] = z_j;
            to_hn[j] = hn_j;
        }
    }
}

/* The new state from z and the candidate, which is stored. */
static NOINLINE void NAME(blend_units)(const NAME(pygru_units) *p, const NAME(unit_arrays) *u,
                                       const REAL *z, const REAL *n) {
    const int keeps = p->equations->keeps;
    const REAL *h = u->h;
    REAL *to_n = u->gates[COLUMN_N], *h_next = u->out;
    int64_t j;
    INDEPENDENT
    for (j = 0; j < p->units; j++) {
        const REAL n_j = n[j];
        h_next[j] = NAME(blend)(z[j], n_j, h[j], keeps);
        to_n[j] = n_j;
    }
}

static void NAME(other_after_forward)(const NAME(pygru_units) *p) {
    int64_t row;
    for (row = 0; row < p->rows; row++) {
        const NAME(unit_arrays) u = NAME(arrays_of)(p, row, 0);
        NAME(other_r_and_z)(p, row);
        if (p->stores) {
            NAME(add_reset_product)(p->units, &u, 1);
        } else {
            NAME(add_reset_product)(p->units, &u, 0);
        }
        NAME(activate)(&p->equations->activation, p->units, u.gates[COLUMN_N]);
        NAME(blend_units)(p, &u, u.sums[GATE_Z], u.gates[COLUMN_N]);
    }
}

/* r*h, and the places of r and z. */
ALWAYS_INLINE void NAME(reset_units)(int64_t n, const NAME(unit_arrays) *u, int stores) {
    const REAL *r = u->sums[GATE_R], *z = u->sums[GATE_Z], *h = u->h;
    REAL *to_r = u->gates[COLUMN_R], *to_z = u->gates[COLUMN_Z], *rh = u->out;
    REAL *to_rh = u->gates[COLUMN_HN];
    int64_t j;
    INDEPENDENT
    for (j = 0; j < n; j++) {
        const REAL r_j = r[j], z_j = z[j], rh_j = r_j * h[j];
        to_z[j] = z_j;
        if (stores) {
            to_r[j] = r_j;
            to_rh[j] = rh_j;
        }
        rh[j] = rh_j;
    }
}

static void NAME(other_before_reset)(const NAME(pygru_units) *p) {
    int64_t row;
    for (row = 0; row < p->rows; row++) {
        const NAME(unit_arrays) u = NAME(arrays_of)(p, row, 0);
        NAME(other_r_and_z)(p, row);
        if (p->stores) {
            NAME(reset_units)(p->units, &u, 1);
        } else {
            NAME(reset_units)(p->units, &u, 0);
        }
    }
}

static void NAME(other_before_candidate)(const NAME(pygru_units) *p) {
    int64_t row;
    for (row = 0; row < p->rows; row++) {
        const NAME(unit_arrays) u = NAME(arrays_of)(p, row, 0);
        REAL *n = p->sums + row * p->sums_row;
        NAME(activate)(&p->equations->activation, p->units, n);
        NAME(blend_units)(p, &u, u.in_z, n);
    }
}

/* ---- backward --------------------------------------------------------------------------- */

/* The slopes of one gate, in the column of its gradient. */
static void NAME(slopes_of)(const NAME(pygru_activation) *f, int64_t H, enum column column,
                            const REAL *gates, REAL *d_gates) {
    NAME(slopes_at)(f, H, gates + at_column(H, column), d_gates + at_column(H, column));
}

static void NAME(other_after_backward)(int64_t rows, int64_t H, const REAL *gates,
                                       const REAL *h, REAL *d_h, REAL *d_gates,
                                       const NAME(pygru_equations) *e) {
    const int64_t row = all_columns(H);
    int64_t i;
    for (i = 0; i < rows; i++, gates += row, h += H, d_h += H, d_gates += row) {
        NAME(slopes_of)(&e->activation, H, COLUMN_N, gates, d_gates);
        NAME(slopes_of)(&e->recurrent_activation, H, COLUMN_R, gates, d_gates);
        NAME(slopes_of)(&e->recurrent_activation, H, COLUMN_Z, gates, d_gates);
        NAME(row_after_backward)(H, gates, h, d_h, d_gates, e->keeps, 0);
    }
}

static void NAME(other_before_backward)(int64_t rows, int64_t H, const REAL *gates,
                                        const REAL *h, REAL *d_h, REAL *d_gates,
                                        const NAME(pygru_equations) *e) {
    const int64_t row = all_columns(H);
    int64_t i;
    for (i = 0; i < rows; i++, gates += row, h += H, d_h += H, d_gates += row) {
        NAME(slopes_of)(&e->activation, H, COLUMN_N, gates, d_gates);
        NAME(slopes_of)(&e->recurrent_activation, H, COLUMN_Z, gates, d_gates);
        NAME(row_before_backward)(H, gates, h, d_h, d_gates, e->keeps, 0);
    }
}

static void NAME(other_reset_backward)(int64_t rows, int64_t H, const REAL *gates,
                                       const REAL *h, const REAL *d_rh, REAL *d_h,
                                       REAL *d_gates, const NAME(pygru_equations) *e) {
    const int64_t row = all_columns(H);
    int64_t i;
    for (i = 0; i < rows; i++, gates += row, h += H, d_rh += H, d_h += H, d_gates += row) {
        NAME(slopes_of)(&e->recurrent_activation, H, COLUMN_R, gates, d_gates);
        NAME(row_reset_backward)(H, gates, h, d_rh, d_h, d_gates, 0);
    }
}
