/* training.tpl.c - the public calls of the optimisers and of the loss: settings to the
 * precision, then a kernel. */

void NAME(pygru_sgd)(const pygru_kernels *kernels, int64_t n, REAL *p, const REAL *g, REAL *v,
                     const pygru_sgd_settings *settings) {
    const NAME(pygru_sgd_rates) rates = {
        .rate = (REAL)settings->rate,
        .momentum = (REAL)settings->momentum,
        .decay = (REAL)settings->decay,
        .nesterov = settings->nesterov,
    };
    const uint64_t float_state = pygru_enter_float_state();
    NAME(pygru_table_of)(kernels)->sgd(n, p, g, v, &rates);
    pygru_leave_float_state(float_state);
}

void NAME(pygru_adam)(const pygru_kernels *kernels, int64_t n, REAL *p, const REAL *g, REAL *m,
                      REAL *v, const pygru_adam_settings *settings) {
    const NAME(pygru_adam_rates) rates = {
        .beta1 = (REAL)settings->beta1,
        .rest1 = (REAL)(1 - settings->beta1),
        .beta2 = (REAL)settings->beta2,
        .rest2 = (REAL)(1 - settings->beta2),
        .rate = (REAL)settings->rate,
        .root = (REAL)settings->root,
        .eps = (REAL)settings->eps,
        .decay = (REAL)settings->decay,
        .kept = (REAL)settings->kept,
    };
    const uint64_t float_state = pygru_enter_float_state();
    NAME(pygru_table_of)(kernels)->adam(n, p, g, m, v, &rates);
    pygru_leave_float_state(float_state);
}

void NAME(pygru_rmsprop)(const pygru_kernels *kernels, int64_t n, REAL *p, const REAL *g,
                         REAL *s, REAL *v, REAL *a, const pygru_rmsprop_settings *settings) {
    const NAME(pygru_rmsprop_rates) rates = {
        .rate = (REAL)settings->rate,
        .alpha = (REAL)settings->alpha,
        .rest = (REAL)(1 - settings->alpha),
        .eps = (REAL)settings->eps,
        .momentum = (REAL)settings->momentum,
        .decay = (REAL)settings->decay,
    };
    const uint64_t float_state = pygru_enter_float_state();
    NAME(pygru_table_of)(kernels)->rmsprop(n, p, g, s, v, a, &rates);
    pygru_leave_float_state(float_state);
}

double NAME(pygru_sum_of_squares)(const pygru_kernels *kernels, int64_t n, const REAL *x) {
    const uint64_t float_state = pygru_enter_float_state();
    const double sum = NAME(pygru_table_of)(kernels)->sum_of_squares(n, x);
    pygru_leave_float_state(float_state);
    return sum;
}

double NAME(pygru_cross_entropy)(const pygru_kernels *kernels,
                                 const NAME(pygru_cross_entropy_args) *args) {
    const uint64_t float_state = pygru_enter_float_state();
    const double loss = NAME(pygru_table_of)(kernels)->cross_entropy(args);
    pygru_leave_float_state(float_state);
    return loss;
}
