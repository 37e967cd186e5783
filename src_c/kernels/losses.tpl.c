/* losses.tpl.c - softmax and cross-entropy of rows of logits, with their gradient.
 *
 * With y the target of a row, m its largest logit, w the weights of the C classes and s the
 * smoothing (Szegedy et al. 2016, section 7, as PyTorch weights it):
 *
 *   q_j = (1-s) w_j [j is y] + s/C w_j                 the wanted probability
 *   loss = sum over rows of share * sum_j q_j (log sum_k e^(x_k - m) - (x_j - m))
 *   d loss / d x_j = share * (softmax_j sum_k q_k - q_j)
 *
 * A row with share 0 is not read. */

/* Eight sums that never depend on how wide a vector is. */
static double NAME(sum)(int64_t n, const REAL *x) {
    double sums[8] = {0};
    double total = 0;
    int64_t j;
    int k;
    for (j = 0; j + 8 <= n; j += 8) {
        for (k = 0; k < 8; k++) {
            sums[k] += (double)x[j + k];
        }
    }
    for (k = 0; k < 8; k++) {
        total += sums[k];
    }
    for (; j < n; j++) {
        total += (double)x[j];
    }
    return total;
}

/* The sum of w_j (largest - x_j), in eight sums as above. */
static double NAME(spread_loss)(int64_t n, const REAL *x, REAL largest, const REAL *w) {
    double sums[8] = {0};
    double total = 0;
    int64_t j;
    int k;
    for (j = 0; j + 8 <= n; j += 8) {
        for (k = 0; k < 8; k++) {
            sums[k] += (w == NULL ? 1 : (double)w[j + k]) * (double)(largest - x[j + k]);
        }
    }
    for (k = 0; k < 8; k++) {
        total += sums[k];
    }
    for (; j < n; j++) {
        total += (w == NULL ? 1 : (double)w[j]) * (double)(largest - x[j]);
    }
    return total;
}

/* 0 if a target is out of range. Each is read only once, so the checked value is used. */
static int NAME(cross_entropy)(const NAME(pygru_cross_entropy) *args) {
    const int64_t classes = args->classes;
    const REAL *weights = args->weights;
    const double all = weights == NULL ? (double)classes : NAME(sum)(classes, weights);
    const double even = args->smoothing / (double)classes;
    const REAL *logits = args->logits;
    REAL *gradient = args->gradient;
    double total = 0;
    int64_t i, j;
    for (i = 0; i < args->rows; i++, logits += classes, gradient += classes) {
        const int64_t target = args->target[i];
        const double share = (double)args->share[i];
        REAL largest, scale;
        double sum, own, count;
        if (share != 0 && (target < 0 || target >= classes)) {
            return 0;
        }
        own = (1 - args->smoothing) *
              (share == 0 || weights == NULL ? 1 : (double)weights[target]);
        count = share * (own + even * all);
        if (share == 0 || count == 0) {
            memset(gradient, 0, (size_t)classes * sizeof(REAL));
            continue;
        }
        largest = logits[0];
        for (j = 1; j < classes; j++) {
            largest = logits[j] > largest ? logits[j] : largest;
        }
        for (j = 0; j < classes; j++) {
            gradient[j] = NAME(exp_of_negative)(logits[j] - largest);
        }
        sum = NAME(sum)(classes, gradient);
        total += count * log(sum) - share * own * (double)(logits[target] - largest);
        scale = (REAL)(count / sum);
        for (j = 0; j < classes; j++) {
            gradient[j] *= scale;
        }
        if (even > 0) {
            const REAL part = (REAL)(share * even);
            total += share * even * NAME(spread_loss)(classes, logits, largest, weights);
            for (j = 0; j < classes; j++) {
                gradient[j] -= weights == NULL ? part : part * weights[j];
            }
        }
        gradient[target] -= (REAL)(share * own);
    }
    *args->loss = total;
    return 1;
}
