/* standardise.tpl.c - the arithmetic of layer normalisation for the sums of one gate, and its
 * derivative, on rows.
 *
 * From a row of H sums v come the standardised sums (v - mean) / sqrt(variance + eps), which
 * are then multiplied by the gain. A sum over a row consists of 16 partial sums for every
 * length of a vector, so all instruction sets add in the same order. */

#ifndef PARTIAL_SUMS
#define PARTIAL_SUMS 16
#endif

/* The total of partial sums, added in pairs. Every width has its own loop, because the compiler
 * does not unroll a single loop over the widths into vectors. */
#define FOLD(width)                                                                            \
    for (k = 0; k < (width); k++) {                                                            \
        sums[k] += sums[k + (width)];                                                          \
    }

ALWAYS_INLINE REAL NAME(total_of)(REAL *sums) {
    int k;
    FOLD(PARTIAL_SUMS / 2)
    FOLD(PARTIAL_SUMS / 4)
    FOLD(PARTIAL_SUMS / 8)
    FOLD(PARTIAL_SUMS / 16)
    return sums[0];
}

#undef FOLD

static REAL NAME(row_mean)(int64_t H, const REAL *v) {
    REAL sums[PARTIAL_SUMS] = {0};
    int64_t j;
    int k;
    for (j = 0; j + PARTIAL_SUMS <= H; j += PARTIAL_SUMS) {
        for (k = 0; k < PARTIAL_SUMS; k++) {
            sums[k] += v[j + k];
        }
    }
    for (k = 0; j + k < H; k++) {
        sums[k] += v[j + k];
    }
    return NAME(total_of)(sums) / (REAL)H;
}

static REAL NAME(row_variance)(int64_t H, const REAL *v, REAL mean) {
    REAL sums[PARTIAL_SUMS] = {0};
    int64_t j;
    int k;
    for (j = 0; j + PARTIAL_SUMS <= H; j += PARTIAL_SUMS) {
        for (k = 0; k < PARTIAL_SUMS; k++) {
            const REAL apart = v[j + k] - mean;
            sums[k] = FUSE(apart, apart, sums[k]);
        }
    }
    for (k = 0; j + k < H; k++) {
        const REAL apart = v[j + k] - mean;
        sums[k] = FUSE(apart, apart, sums[k]);
    }
    return NAME(total_of)(sums) / (REAL)H;
}

/* out = gain * standardised + add. If the pointers are not NULL, the standardised sums and
 * their scale, 1 / sqrt(variance + eps), are stored too. */
static void NAME(normalise)(const NAME(pygru_normalisation) *p) {
    int64_t row, j;
    for (row = 0; row < p->rows; row++) {
        const REAL *v = p->sums + row * p->sums_row;
        const REAL *gain = p->gain, *add = p->add + row * p->add_row;
        REAL *out = p->out + row * p->out_row;
        const REAL mean = NAME(row_mean)(p->H, v);
        const REAL scale = (REAL)1 / SQUARE_ROOT(NAME(row_variance)(p->H, v, mean) + p->eps);
        if (p->standardised == NULL) {
            INDEPENDENT
            for (j = 0; j < p->H; j++) {
                out[j] = FUSE(gain[j], (v[j] - mean) * scale, add[j]);
            }
        } else {
            REAL *standardised = p->standardised + row * p->standardised_row;
            INDEPENDENT
            for (j = 0; j < p->H; j++) {
                const REAL s = (v[j] - mean) * scale;
                standardised[j] = s;
                out[j] = FUSE(gain[j], s, add[j]);
            }
            p->scale[row] = scale;
        }
    }
}

/* d is the gradient of gain * s, where s are the standardised sums. Computes the gradient of
 * the sums, and adds that of the gain to d_gain:
 *   e = gain d;  d_sums = scale (e - mean(e) - s mean(e s));  d_gain += d s */
static void NAME(normalise_backward)(const NAME(pygru_normalisation_gradient) *p) {
    const REAL *gain = p->gain;
    int64_t row, j;
    int k;
    for (row = 0; row < p->rows; row++) {
        const REAL *s = p->standardised + row * p->standardised_row;
        const REAL *d = p->d + row * p->d_row;
        REAL *d_sums = p->d_sums + row * p->d_row;
        const REAL scale = p->scale[row];
        REAL sums[PARTIAL_SUMS] = {0}, products[PARTIAL_SUMS] = {0};
        REAL mean, slope;
        for (j = 0; j + PARTIAL_SUMS <= p->H; j += PARTIAL_SUMS) {
            INDEPENDENT
            for (k = 0; k < PARTIAL_SUMS; k++) {
                const REAL e = gain[j + k] * d[j + k];
                sums[k] += e;
                products[k] = FUSE(e, s[j + k], products[k]);
            }
        }
        for (k = 0; j + k < p->H; k++) {
            const REAL e = gain[j + k] * d[j + k];
            sums[k] += e;
            products[k] = FUSE(e, s[j + k], products[k]);
        }
        mean = NAME(total_of)(sums) / (REAL)p->H;
        slope = NAME(total_of)(products) / (REAL)p->H;
        INDEPENDENT
        for (j = 0; j < p->H; j++) {
            const REAL d_j = d[j];
            p->d_gain[j] = FUSE(d_j, s[j], p->d_gain[j]);
            d_sums[j] = scale * (gain[j] * d_j - FUSE(s[j], slope, mean));
        }
    }
}
