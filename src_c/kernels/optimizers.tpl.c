/* optimizers.tpl.c - one pass over a flat array of parameters: the updates of the optimisers,
 * and the norm of the gradients. Operations are never contracted, so every instruction set
 * gives the same bits. The equations are those of PyTorch; d is the weight decay. */

/* g' = g + d p;  v = momentum v + g';  p -= rate v, or rate (g' + momentum v) by Nesterov. */
static void NAME(sgd)(int64_t n, REAL *RESTRICT p, const REAL *RESTRICT g, REAL *RESTRICT v,
                      const NAME(pygru_sgd_rates) *rates) {
    const REAL rate = rates->rate, momentum = rates->momentum, decay = rates->decay;
    int64_t j;
    if (rates->nesterov) {
        for (j = 0; j < n; j++) {
            const REAL slope = g[j] + decay * p[j];
            v[j] = momentum * v[j] + slope;
            p[j] -= rate * (slope + momentum * v[j]);
        }
    } else {
        for (j = 0; j < n; j++) {
            v[j] = momentum * v[j] + (g[j] + decay * p[j]);
            p[j] -= rate * v[j];
        }
    }
}

/* Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2. rate and root hold
 * the bias corrections of the moments; kept is 1 - rate d where the decay is decoupled:
 *   g' = g + d p;  m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g'^2
 *   p = kept p - rate m / (root sqrt(v) + eps) */
static void NAME(adam)(int64_t n, REAL *RESTRICT p, const REAL *RESTRICT g, REAL *RESTRICT m,
                       REAL *RESTRICT v, const NAME(pygru_adam_rates) *rates) {
    const REAL beta1 = rates->beta1, rest1 = rates->rest1;
    const REAL beta2 = rates->beta2, rest2 = rates->rest2;
    const REAL rate = rates->rate, root = rates->root, eps = rates->eps;
    const REAL decay = rates->decay, kept = rates->kept;
    int64_t j;
    for (j = 0; j < n; j++) {
        const REAL slope = g[j] + decay * p[j];
        m[j] = beta1 * m[j] + rest1 * slope;
        v[j] = beta2 * v[j] + rest2 * (slope * slope);
        p[j] = kept * p[j] - rate * (m[j] / (root * SQUARE_ROOT(v[j]) + eps));
    }
}

/* Tieleman and Hinton 2012, lecture 6.5; centred by Graves 2013, arXiv:1308.0850, section 4.2.
 *   g' = g + d p;  s = alpha s + (1-alpha) g'^2;  a = alpha a + (1-alpha) g' if centred, else 0
 *   v = momentum v + g' / (sqrt(s - a^2) + eps);  p -= rate v
 * Rounding may leave s a little below a^2. */
static void NAME(rmsprop)(int64_t n, REAL *RESTRICT p, const REAL *RESTRICT g, REAL *RESTRICT s,
                          REAL *RESTRICT v, REAL *RESTRICT a,
                          const NAME(pygru_rmsprop_rates) *rates) {
    const REAL rate = rates->rate, alpha = rates->alpha, rest = rates->rest;
    const REAL eps = rates->eps, momentum = rates->momentum, decay = rates->decay;
    int64_t j;
    if (a == NULL) {
        for (j = 0; j < n; j++) {
            const REAL slope = g[j] + decay * p[j];
            s[j] = alpha * s[j] + rest * (slope * slope);
            v[j] = momentum * v[j] + slope / (SQUARE_ROOT(s[j]) + eps);
            p[j] -= rate * v[j];
        }
    } else {
        for (j = 0; j < n; j++) {
            const REAL slope = g[j] + decay * p[j];
            REAL spread;
            s[j] = alpha * s[j] + rest * (slope * slope);
            a[j] = alpha * a[j] + rest * slope;
            spread = s[j] - a[j] * a[j];
            spread = spread > 0 ? spread : 0;
            v[j] = momentum * v[j] + slope / (SQUARE_ROOT(spread) + eps);
            p[j] -= rate * v[j];
        }
    }
}

/* In float64, so that many small squares are not lost; eight sums that never depend on how wide
 * a vector is. */
static double NAME(sum_of_squares)(int64_t n, const REAL *x) {
    double sums[8] = {0};
    double total = 0;
    int64_t j;
    int k;
    for (j = 0; j + 8 <= n; j += 8) {
        for (k = 0; k < 8; k++) {
            sums[k] += (double)x[j + k] * (double)x[j + k];
        }
    }
    for (k = 0; k < 8; k++) {
        total += sums[k];
    }
    for (; j < n; j++) {
        total += (double)x[j] * (double)x[j];
    }
    return total;
}
