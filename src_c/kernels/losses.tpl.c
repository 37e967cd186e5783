/* losses.tpl.c - softmax and cross-entropy of rows of logits, with their gradient.
 *
 * loss = sum over rows of share * (log sum_j e^(x_j - m) - (x_target - m)), m the largest
 * logit; d loss / d x_j = share * (softmax_j - [j is the target]). A row with share 0 is not
 * read. */
static double NAME(cross_entropy)(int64_t rows, int64_t classes, const REAL *logits,
                                  const int64_t *target, const REAL *share,
                                  REAL *RESTRICT gradient) {
    double total = 0;
    int64_t i, j;
    for (i = 0; i < rows; i++, logits += classes, gradient += classes) {
        REAL largest, scale;
        double sum = 0;
        if (share[i] == 0) {
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
        for (j = 0; j < classes; j++) {
            sum += (double)gradient[j];
        }
        total += (double)share[i] * (log(sum) - (double)(logits[target[i]] - largest));
        scale = (REAL)((double)share[i] / sum);
        for (j = 0; j < classes; j++) {
            gradient[j] *= scale;
        }
        gradient[target[i]] -= share[i];
    }
    return total;
}
