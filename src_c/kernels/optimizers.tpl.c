/* optimizers.tpl.c - one pass over a flat array of parameters: the updates of the optimisers,
 * and the norm of the gradients. Operations are never contracted, so every instruction set
 * gives the same bits. The equations are those of PyTorch; d is the weight decay. Numbers that
 * depend only on the step are computed in float64 and rounded once. */

/* g' = g + d p;  v = momentum v + g';  p -= rate v, or rate (g' + momentum v) by Nesterov. */
static void NAME(sgd)(const NAME(pygru_update) *u) {
    const pygru_sgd_settings *s = u->settings;
    const REAL rate = (REAL)s->rate, momentum = (REAL)s->momentum, decay = (REAL)u->decay;
    REAL *RESTRICT p = u->parameters, *RESTRICT v = u->states[0];
    const REAL *RESTRICT g = u->gradients;
    int64_t j;
    if (s->nesterov != 0) {
        for (j = 0; j < u->n; j++) {
            const REAL slope = g[j] + decay * p[j];
            v[j] = momentum * v[j] + slope;
            p[j] -= rate * (slope + momentum * v[j]);
        }
    } else {
        for (j = 0; j < u->n; j++) {
            v[j] = momentum * v[j] + (g[j] + decay * p[j]);
            p[j] -= rate * v[j];
        }
    }
}

/* Kingma and Ba 2015, algorithm 1, where t counts the steps from 1:
 *   g' = g + d p;  m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g'^2
 *   p -= rate / (1-beta1^t) m / (sqrt(v) / sqrt(1-beta2^t) + eps)
 * With `decoupled`, Loshchilov and Hutter 2019, algorithm 2: g' = g, and p first shrinks to
 * (1 - rate d) p. */
static void NAME(adam)(const NAME(pygru_update) *u) {
    const pygru_adam_settings *s = u->settings;
    const double t = (double)u->step;
    const int decoupled = s->decoupled != 0;
    const REAL beta1 = (REAL)s->beta1, rest1 = (REAL)(1 - s->beta1);
    const REAL beta2 = (REAL)s->beta2, rest2 = (REAL)(1 - s->beta2);
    const REAL rate = (REAL)(s->rate / (1 - pow(s->beta1, t)));
    const REAL root = (REAL)(1 / sqrt(1 - pow(s->beta2, t)));
    const REAL decay = (REAL)(decoupled ? 0 : u->decay);
    const REAL kept = (REAL)(decoupled ? 1 - s->rate * u->decay : 1);
    const REAL eps = (REAL)s->eps;
    REAL *RESTRICT p = u->parameters, *RESTRICT m = u->states[0], *RESTRICT v = u->states[1];
    const REAL *RESTRICT g = u->gradients;
    int64_t j;
    for (j = 0; j < u->n; j++) {
        const REAL slope = g[j] + decay * p[j];
        m[j] = beta1 * m[j] + rest1 * slope;
        v[j] = beta2 * v[j] + rest2 * (slope * slope);
        p[j] = kept * p[j] - rate * (m[j] / (root * SQUARE_ROOT(v[j]) + eps));
    }
}

/* Tieleman and Hinton 2012, lecture 6.5; centred by Graves 2013, arXiv:1308.0850, section 4.2,
 * if there is a third array of state, a.
 *   g' = g + d p;  s = alpha s + (1-alpha) g'^2;  a = alpha a + (1-alpha) g' if centred, else 0
 *   v = momentum v + g' / (sqrt(s - a^2) + eps);  p -= rate v
 * Rounding may leave s a little below a^2. */
static void NAME(rmsprop)(const NAME(pygru_update) *u) {
    const pygru_rmsprop_settings *settings = u->settings;
    const REAL rate = (REAL)settings->rate, eps = (REAL)settings->eps;
    const REAL alpha = (REAL)settings->alpha, rest = (REAL)(1 - settings->alpha);
    const REAL momentum = (REAL)settings->momentum, decay = (REAL)u->decay;
    REAL *RESTRICT p = u->parameters, *RESTRICT s = u->states[0], *RESTRICT v = u->states[1];
    REAL *RESTRICT a = u->states[2];
    const REAL *RESTRICT g = u->gradients;
    int64_t j;
    if (a == NULL) {
        for (j = 0; j < u->n; j++) {
            const REAL slope = g[j] + decay * p[j];
            s[j] = alpha * s[j] + rest * (slope * slope);
            v[j] = momentum * v[j] + slope / (SQUARE_ROOT(s[j]) + eps);
            p[j] -= rate * v[j];
        }
    } else {
        for (j = 0; j < u->n; j++) {
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

/* In float64, so that many small squares are not lost. There are always eight partial sums, for
 * every width of a vector. */
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
