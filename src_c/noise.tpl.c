/* noise.tpl.c - recurrent dropout and zoneout of one layer in one direction, forward and
 * backward. Forward functions work on a range of units.
 *
 * Recurrent dropout (Gal and Ghahramani 2016, arXiv:1512.05287) replaces the old state h by
 * h_in = m * h / (1-p) where weights multiply it; m is one mask per sequence, the same at every
 * step. The equation of the new state uses h itself. Zoneout (Krueger et al. 2017,
 * arXiv:1606.01305) lets units keep their old state: h' = d * h + (1-d) * h', with a mask d per
 * step, or with its mean if there is no mask. Both work on rows of H, before and after the
 * kernels, which do not change. */

typedef struct NAME(cell_noise) {
    const uint8_t *recurrent; /* (B, H) or NULL */
    REAL recurrent_scale;
    const uint8_t *zoneout; /* (R, H) or NULL */
    REAL zoneout_rate;
} NAME(cell_noise);

/* The part of a call's noise that belongs to one layer and direction. */
static NAME(cell_noise)
    NAME(noise_of_cell)(const NAME(noise) *noise, const pygru_plan *plan, int64_t cell) {
    const int64_t H = plan->config.hidden_size;
    const NAME(cell_noise) of_cell = {
        noise->recurrent == NULL ? NULL : noise->recurrent + cell * plan->B * H,
        noise->recurrent_scale,
        noise->zoneout == NULL ? NULL : noise->zoneout + cell * plan->rows * H,
        noise->zoneout_rate};
    return of_cell;
}

/* ---- recurrent dropout ---------------------------------------------------------------- */

/* to = m * h / (1-p) for `rows` sequences whose batch indices are `order`. */
static void NAME(drop_states)(const NAME(cell_noise) *noise, int64_t rows, int64_t H,
                              unit_range range, const int64_t *order, const REAL *h, REAL *to) {
    int64_t i, j;
    for (i = 0; i < rows; i++) {
        const uint8_t *mask = noise->recurrent + order[i] * H;
        for (j = range.first; j < range.first + range.n; j++) {
            to[i * H + j] = h[i * H + j] * ((REAL)mask[j] * noise->recurrent_scale);
        }
    }
}

/* d_h += d_h_in * m / (1-p) */
static void NAME(drop_states_backward)(const NAME(cell_noise) *noise, int64_t n, int64_t H,
                                       const int64_t *order, const REAL *d_h_in, REAL *d_h) {
    int64_t i, j;
    for (i = 0; i < n; i++) {
        const uint8_t *mask = noise->recurrent + order[i] * H;
        for (j = 0; j < H; j++) {
            d_h[i * H + j] += d_h_in[i * H + j] * ((REAL)mask[j] * noise->recurrent_scale);
        }
    }
}

/* ---- zoneout --------------------------------------------------------------------------- */

static int NAME(zones_out)(const NAME(cell_noise) *noise) {
    return noise->zoneout != NULL || noise->zoneout_rate != 0;
}

/* h_next = d * h + (1-d) * h_next; `row` is the first row's in the mask. */
static void NAME(zone_out)(const NAME(cell_noise) *noise, int64_t row, int64_t rows, int64_t H,
                           unit_range range, const REAL *h, REAL *h_next) {
    const REAL rate = noise->zoneout_rate;
    int64_t i, j;
    for (i = 0; i < rows; i++, h += H, h_next += H) {
        if (noise->zoneout == NULL) {
            for (j = range.first; j < range.first + range.n; j++) {
                h_next[j] = rate * h[j] + ((REAL)1 - rate) * h_next[j];
            }
        } else {
            const uint8_t *mask = noise->zoneout + (row + i) * H;
            for (j = range.first; j < range.first + range.n; j++) {
                h_next[j] = mask[j] ? h[j] : h_next[j];
            }
        }
    }
}

/* d_kept = d * d_h, the part of the gradient that goes straight to the old state;
 * d_h = (1-d) * d_h, the part that goes through the cell. */
static void NAME(zone_out_backward)(const NAME(cell_noise) *noise, int64_t at, int64_t n,
                                    REAL *d_h, REAL *d_kept) {
    int64_t j;
    for (j = 0; j < n; j++) {
        const REAL kept = noise->zoneout == NULL   ? noise->zoneout_rate * d_h[j]
                          : noise->zoneout[at + j] ? d_h[j]
                                                   : 0;
        d_kept[j] = kept;
        d_h[j] -= kept;
    }
}
