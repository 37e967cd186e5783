/* optimizers.tpl.c - one pass over a flat array of parameters: the updates of the optimisers,
 * and the norm of the gradients. Operations are never contracted, so every instruction set
 * gives the same bits. */

/* v = momentum v + g;  p -= rate v */
static void NAME(sgd)(int64_t n, REAL *RESTRICT p, const REAL *RESTRICT g, REAL *RESTRICT v,
                      REAL rate, REAL momentum) {
    int64_t j;
    for (j = 0; j < n; j++) {
        v[j] = momentum * v[j] + g[j];
        p[j] -= rate * v[j];
    }
}

/* Kingma and Ba 2015, algorithm 1. rate and root hold the bias corrections of the moments:
 *   m = beta1 m + (1-beta1) g;  v = beta2 v + (1-beta2) g^2;  p -= rate m / (root sqrt(v) +
 * eps) */
static void NAME(adam)(int64_t n, REAL *RESTRICT p, const REAL *RESTRICT g, REAL *RESTRICT m,
                       REAL *RESTRICT v, const NAME(pygru_adam_rates) *rates) {
    const REAL beta1 = rates->beta1, rest1 = rates->rest1;
    const REAL beta2 = rates->beta2, rest2 = rates->rest2;
    const REAL rate = rates->rate, root = rates->root, eps = rates->eps;
    int64_t j;
    for (j = 0; j < n; j++) {
        m[j] = beta1 * m[j] + rest1 * g[j];
        v[j] = beta2 * v[j] + rest2 * (g[j] * g[j]);
        p[j] -= rate * (m[j] / (root * SQUARE_ROOT(v[j]) + eps));
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
