/* gates.tpl.c - the elementwise part of a step and of its derivative, on a block of rows.
 *
 * Plain loops that the compiler vectorises; each file of an instruction set includes them once
 * per precision. No product of matrices, no branch inside a loop, no memory of its own. A row
 * of `gates` is n | r | z | hn (reset after) or n | r | z | r*h (before), 4H; see cell.tpl.c.
 * Operations are never contracted, so that every instruction set gives the same bits. */

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

/* ---- blocks of rows ----------------------------------------------------------------- */

static void NAME(after_forward)(int64_t rows, int64_t H, REAL *gates, const REAL *gh,
                                const REAL *bias, const REAL *h, REAL *h_next, int keeps) {
    int64_t i;
    for (i = 0; i < rows; i++, gates += 4 * H, gh += 3 * H, h += H, h_next += H) {
        if (keeps) {
            NAME(row_after)(H, gates, gh, bias, h, h_next, 1);
        } else {
            NAME(row_after)(H, gates, gh, bias, h, h_next, 0);
        }
    }
}

static void NAME(before_reset)(int64_t rows, int64_t H, REAL *gates, const REAL *gh,
                               const REAL *bias, const REAL *h) {
    int64_t i;
    for (i = 0; i < rows; i++, gates += 4 * H, gh += 2 * H, h += H) {
        NAME(row_before_reset)(H, gates, gh, bias, h);
    }
}

static void NAME(before_candidate)(int64_t rows, int64_t H, REAL *gates, const REAL *gh,
                                   const REAL *bias, const REAL *h, REAL *h_next, int keeps) {
    int64_t i;
    for (i = 0; i < rows; i++, gates += 4 * H, gh += H, h += H, h_next += H) {
        if (keeps) {
            NAME(row_before_candidate)(H, gates, gh, bias, h, h_next, 1);
        } else {
            NAME(row_before_candidate)(H, gates, gh, bias, h, h_next, 0);
        }
    }
}

static void NAME(after_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                                 REAL *d_h, REAL *d_gates, int keeps) {
    int64_t i;
    for (i = 0; i < rows; i++, gates += 4 * H, h += H, d_h += H, d_gates += 4 * H) {
        if (keeps) {
            NAME(row_after_backward)(H, gates, h, d_h, d_gates, 1);
        } else {
            NAME(row_after_backward)(H, gates, h, d_h, d_gates, 0);
        }
    }
}

static void NAME(before_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                                  REAL *d_h, REAL *d_gates, int keeps) {
    int64_t i;
    for (i = 0; i < rows; i++, gates += 4 * H, h += H, d_h += H, d_gates += 4 * H) {
        if (keeps) {
            NAME(row_before_backward)(H, gates, h, d_h, d_gates, 1);
        } else {
            NAME(row_before_backward)(H, gates, h, d_h, d_gates, 0);
        }
    }
}

static void NAME(reset_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                                 const REAL *d_rh, REAL *d_h, REAL *d_gates) {
    int64_t i;
    for (i = 0; i < rows; i++, gates += 4 * H, h += H, d_rh += H, d_h += H, d_gates += 4 * H) {
        NAME(row_reset_backward)(H, gates, h, d_rh, d_h, d_gates);
    }
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

#define GATE_KERNELS                                                                           \
    {                                                                                          \
        NAME(after_forward),  NAME(before_reset),    NAME(before_candidate),                   \
        NAME(after_backward), NAME(before_backward), NAME(reset_backward),                     \
        NAME(all_sigmoid),    NAME(all_tanh)}
static const NAME(pygru_gates) NAME(gate_kernels) = GATE_KERNELS;
#undef GATE_KERNELS
