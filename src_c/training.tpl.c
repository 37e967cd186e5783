/* training.tpl.c - the calls on flat arrays: activations, optimisers, losses. Each of them
 * checks its arguments and then calls a kernel in the core's own floating-point state. */

/* Whether the bytes of n values can be counted, and `array` is not NULL if n > 0. */
static int NAME(array_fits)(int64_t n, const void *array) {
    return n >= 0 && n <= PTRDIFF_MAX / (int64_t)sizeof(REAL) && NAME(fits)(array);
}

typedef void NAME(activation)(int64_t n, const REAL *in, REAL *out);

static pygru_status NAME(activate)(NAME(activation) *activation, int64_t n, const void *in,
                                   void *out) {
    if (!NAME(array_fits)(n, in) || !NAME(array_fits)(n, out)) {
        return PYGRU_BAD_ARGUMENT;
    }
    activation(n, in, out);
    return PYGRU_OK;
}

static pygru_status NAME(sigmoid_of)(int32_t precision, const pygru_kernels *kernels, int64_t n,
                                     const void *in, void *out) {
    return NAME(activate)(NAME(pygru_table_of)(kernels, precision)->sigmoid, n, in, out);
}

static pygru_status NAME(tanh_of)(int32_t precision, const pygru_kernels *kernels, int64_t n,
                                  const void *in, void *out) {
    return NAME(activate)(NAME(pygru_table_of)(kernels, precision)->tanh, n, in, out);
}

static pygru_status NAME(update)(const pygru_update_args *args) {
    const pygru_optimizer *optimizer = pygru_optimizer_of(args->optimizer);
    NAME(pygru_update) u = {.n = args->n,
                            .parameters = args->parameters,
                            .gradients = args->gradients,
                            .settings = args->settings,
                            .decay = args->decay,
                            .step = args->step};
    uint64_t float_state;
    int k;
    if (optimizer == NULL || !pygru_points(args->settings) || args->step < 1 ||
        !NAME(array_fits)(args->n, args->parameters) ||
        !NAME(array_fits)(args->n, args->gradients)) {
        return PYGRU_BAD_ARGUMENT;
    }
    for (k = 0; k < optimizer->most_states; k++) {
        u.states[k] = args->states[k];
        if (!NAME(fits_or_null)(u.states[k]) ||
            (u.states[k] == NULL && k < optimizer->least_states)) {
            return PYGRU_BAD_ARGUMENT;
        }
    }
    float_state = pygru_enter_float_state();
    NAME(pygru_table_of)(args->kernels, args->precision)->updates[args->optimizer](&u);
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}

static pygru_status NAME(sum_of_squares)(int32_t precision, const pygru_kernels *kernels,
                                         int64_t n, const void *x, double *sum) {
    uint64_t float_state;
    if (!NAME(array_fits)(n, x) || !pygru_points(sum)) {
        return PYGRU_BAD_ARGUMENT;
    }
    float_state = pygru_enter_float_state();
    *sum = NAME(pygru_table_of)(kernels, precision)->sum_of_squares(n, x);
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}

static pygru_status NAME(cross_entropy)(const pygru_cross_entropy_args *args) {
    const NAME(pygru_cross_entropy) call = {.rows = args->rows,
                                            .classes = args->classes,
                                            .logits = args->logits,
                                            .target = args->target,
                                            .share = args->share,
                                            .weights = args->weights,
                                            .smoothing = args->smoothing,
                                            .gradient = args->gradient,
                                            .loss = args->loss};
    uint64_t float_state;
    int is_valid;
    if (args->rows < 0 || args->classes < 1 || !pygru_points(args->target) ||
        !pygru_points(args->loss) || !NAME(fits)(args->logits) || !NAME(fits)(args->share) ||
        !NAME(fits_or_null)(args->weights) || !NAME(fits)(args->gradient) ||
        !NAME(rate_fits)(args->smoothing)) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (args->rows > PTRDIFF_MAX / (int64_t)sizeof(REAL) / args->classes) {
        return PYGRU_SIZE_OVERFLOW;
    }
    float_state = pygru_enter_float_state();
    is_valid = NAME(pygru_table_of)(args->kernels, args->precision)->cross_entropy(&call);
    pygru_leave_float_state(float_state);
    return is_valid ? PYGRU_OK : PYGRU_BAD_ARGUMENT;
}
