/* optimizers.tpl.c - the public calls of the optimisers: scalars to the precision, then a
 * kernel. */

void NAME(pygru_sgd)(const pygru_kernels *kernels, int64_t n, REAL *p, const REAL *g, REAL *v,
                     double rate, double momentum) {
    const uint64_t float_state = pygru_enter_float_state();
    NAME(pygru_table_of)(kernels)->sgd(n, p, g, v, (REAL)rate, (REAL)momentum);
    pygru_leave_float_state(float_state);
}

void NAME(pygru_adam)(const pygru_kernels *kernels, int64_t n, REAL *p, const REAL *g, REAL *m,
                      REAL *v, double beta1, double beta2, double rate, double root,
                      double eps) {
    const NAME(pygru_adam_rates) rates = {(REAL)beta1,       (REAL)(1 - beta1), (REAL)beta2,
                                          (REAL)(1 - beta2), (REAL)rate,        (REAL)root,
                                          (REAL)eps};
    const uint64_t float_state = pygru_enter_float_state();
    NAME(pygru_table_of)(kernels)->adam(n, p, g, m, v, &rates);
    pygru_leave_float_state(float_state);
}

double NAME(pygru_sum_of_squares)(const pygru_kernels *kernels, int64_t n, const REAL *x) {
    const uint64_t float_state = pygru_enter_float_state();
    const double sum = NAME(pygru_table_of)(kernels)->sum_of_squares(n, x);
    pygru_leave_float_state(float_state);
    return sum;
}

double NAME(pygru_cross_entropy)(const pygru_kernels *kernels, int64_t rows, int64_t classes,
                                 const REAL *logits, const int64_t *target, const REAL *share,
                                 REAL *gradient) {
    const uint64_t float_state = pygru_enter_float_state();
    const double loss = NAME(pygru_table_of)(kernels)->cross_entropy(rows, classes, logits,
                                                                     target, share, gradient);
    pygru_leave_float_state(float_state);
    return loss;
}
