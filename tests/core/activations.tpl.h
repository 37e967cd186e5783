/* activations.tpl.h - sigmoid and tanh of the core against libm in long double. Included by
 * precisions.h, once per precision. */

#if REAL_BITS == 32
typedef uint32_t NAME(test_bits);
#define DIGITS FLT_MANT_DIG
#define LEAST_EXPONENT FLT_MIN_EXP
#define DENORMAL FLT_TRUE_MIN
#define SMALLEST_NORMAL FLT_MIN
#else
typedef uint64_t NAME(test_bits);
#define DIGITS DBL_MANT_DIG
#define LEAST_EXPONENT DBL_MIN_EXP
#define DENORMAL DBL_TRUE_MIN
#define SMALLEST_NORMAL DBL_MIN
#endif

static NAME(test_bits) NAME(bits_of)(REAL value) {
    NAME(test_bits) bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static REAL NAME(value_of)(NAME(test_bits) bits) {
    REAL value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The error of a result, in units in the last place of the true value. */
static double NAME(ulps)(REAL actual, long double truth) {
    int exponent;
    if (truth != truth || actual != actual) {
        return truth != truth && actual != actual ? 0 : (double)INFINITY;
    }
    (void)frexpl(truth, &exponent);
    exponent = (exponent < LEAST_EXPONENT ? LEAST_EXPONENT : exponent) - DIGITS;
    return (double)(fabsl((long double)actual - truth) / ldexpl(1, exponent));
}

/* The same bits; any NaN equals any other. */
static void NAME(check_equal)(int64_t n, const REAL *actual, const REAL *expected) {
    int64_t i = 0;
    while (i < n && (NAME(bits_of)(actual[i]) == NAME(bits_of)(expected[i]) ||
                     (isnan(actual[i]) && isnan(expected[i])))) {
        i++;
    }
    CHECK_INT(i, n);
}

static void NAME(keep_worst)(REAL in, REAL actual, long double truth, double *worst,
                             double *worst_at) {
    const double error = NAME(ulps)(actual, truth);
    if (error > *worst) {
        *worst = error;
        *worst_at = (double)in;
    }
}

/* Keeps the worst errors over n inputs; every set of a family must give the same bits. */
static void NAME(measure)(int64_t n, const REAL *in, worst_error *worst) {
    REAL sigmoid[2][256], tangent[2][256], otherwise[256];
    int64_t i;
    int set, fused;
    for (set = 0; set < n_kernel_sets; set++) {
        const pygru_kernels *kernels = kernel_sets[set].kernels;
        fused = kernel_sets[set].fused;
        if (first_of_family(fused) == &kernel_sets[set]) {
            CHECK_INT(pygru_sigmoid(PRECISION, kernels, n, in, sigmoid[fused]), PYGRU_OK);
            CHECK_INT(pygru_tanh(PRECISION, kernels, n, in, tangent[fused]), PYGRU_OK);
        } else {
            CHECK_INT(pygru_sigmoid(PRECISION, kernels, n, in, otherwise), PYGRU_OK);
            NAME(check_equal)(n, otherwise, sigmoid[fused]);
            CHECK_INT(pygru_tanh(PRECISION, kernels, n, in, otherwise), PYGRU_OK);
            NAME(check_equal)(n, otherwise, tangent[fused]);
        }
    }
    for (i = 0; i < n; i++) {
        const long double of_sigmoid = true_sigmoid(in[i]), of_tanh = tanhl(in[i]);
        for (fused = 0; fused < 2; fused++) {
            if (first_of_family(fused) != NULL) {
                NAME(keep_worst)(in[i], sigmoid[fused][i], of_sigmoid, &worst->sigmoid,
                                 &worst->sigmoid_at);
                NAME(keep_worst)(in[i], tangent[fused][i], of_tanh, &worst->tanh,
                                 &worst->tanh_at);
            }
        }
    }
}

/* float32: every stride-th bit pattern, NaNs and denormals included. float64: as many random
 * ones: a third any bit pattern, the rest where the functions are not constant. */
static worst_error NAME(sweep_activations)(uint64_t stride) {
    const uint64_t n = (UINT64_C(1) << 32) / stride;
    worst_error worst = {0, 0, 0, 0};
    REAL in[256];
    uint64_t i;
    int64_t filled = 0;
    for (i = 0; i < n; i++) {
#if REAL_BITS == 32
        in[filled++] = NAME(value_of)((NAME(test_bits))(i * stride));
#else
        const double spread = i % 3 == 1 ? 20 : 750;
        in[filled++] = i % 3 == 0 ? NAME(value_of)(random_bits())
                                  : spread * (random_unit() + random_unit() * 0x1p-24);
#endif
        if (filled == 256 || i + 1 == n) {
            NAME(measure)(filled, in, &worst);
            filled = 0;
        }
    }
    return worst;
}

static REAL NAME(one_sigmoid)(const pygru_kernels *kernels, REAL x) {
    REAL out;
    CHECK_INT(pygru_sigmoid(PRECISION, kernels, 1, &x, &out), PYGRU_OK);
    return out;
}

static REAL NAME(one_tanh)(const pygru_kernels *kernels, REAL x) {
    REAL out;
    CHECK_INT(pygru_tanh(PRECISION, kernels, 1, &x, &out), PYGRU_OK);
    return out;
}

static void NAME(check_special_values)(const kernel_set *set) {
    const pygru_kernels *kernels = set->kernels;
    const REAL infinite = (REAL)INFINITY, zero = 0, not_a_number = (REAL)NAN;
    const REAL tiny[] = {DENORMAL, 3 * DENORMAL, SMALLEST_NORMAL / 3, SMALLEST_NORMAL};
    size_t i;
    CHECK(NAME(one_sigmoid)(kernels, infinite) == 1);
    CHECK(NAME(one_tanh)(kernels, infinite) == 1);
    CHECK(NAME(one_tanh)(kernels, -infinite) == -1);
    CHECK(NAME(bits_of)(NAME(one_sigmoid)(kernels, -infinite)) == NAME(bits_of)(zero));
    CHECK(NAME(one_sigmoid)(kernels, zero) == (REAL)0.5);
    CHECK(NAME(one_sigmoid)(kernels, -zero) == (REAL)0.5);
    CHECK(NAME(bits_of)(NAME(one_tanh)(kernels, zero)) == NAME(bits_of)(zero));
    CHECK(NAME(bits_of)(NAME(one_tanh)(kernels, -zero)) == NAME(bits_of)(-zero));
    CHECK(isnan(NAME(one_sigmoid)(kernels, not_a_number)));
    CHECK(isnan(NAME(one_sigmoid)(kernels, -not_a_number)));
    CHECK(isnan(NAME(one_tanh)(kernels, not_a_number)));
    CHECK(isnan(NAME(one_tanh)(kernels, -not_a_number)));
    for (i = 0; i < sizeof tiny / sizeof *tiny; i++) {
        CHECK(NAME(one_sigmoid)(kernels, tiny[i]) == (REAL)0.5);
        CHECK(NAME(bits_of)(NAME(one_tanh)(kernels, tiny[i])) == NAME(bits_of)(tiny[i]));
        CHECK(NAME(bits_of)(NAME(one_tanh)(kernels, -tiny[i])) == NAME(bits_of)(-tiny[i]));
    }
}

/* The result for one element depends neither on its place nor on its neighbours, and the
 * call touches exactly n elements, in place or not. */
static void NAME(check_every_length)(const kernel_set *set) {
    const pygru_kernels *kernels = set->kernels;
    int64_t n, i;
    for (n = 0; n <= 40; n++) {
        buffer in = buffer_new(n * (int64_t)sizeof(REAL));
        buffer out = buffer_new(n * (int64_t)sizeof(REAL));
        REAL *x = in.data, *f = out.data;
        for (i = 0; i < n; i++) {
            x[i] = (REAL)(i % 7 == 6 ? 1000 * random_unit() : 5 * random_unit());
        }
        set_case("activations, %s, f%d, n=%lld", set->name, REAL_BITS, (long long)n);
        CHECK_INT(pygru_sigmoid(PRECISION, kernels, n, x, f), PYGRU_OK);
        for (i = 0; i < n; i++) {
            CHECK(NAME(bits_of)(f[i]) == NAME(bits_of)(NAME(one_sigmoid)(kernels, x[i])));
        }
        CHECK_INT(pygru_tanh(PRECISION, kernels, n, x, f), PYGRU_OK);
        for (i = 0; i < n; i++) {
            CHECK(NAME(bits_of)(f[i]) == NAME(bits_of)(NAME(one_tanh)(kernels, x[i])));
            CHECK(NAME(bits_of)(f[i]) == NAME(bits_of)(-NAME(one_tanh)(kernels, -x[i])));
        }
        CHECK_INT(pygru_tanh(PRECISION, kernels, n, x, x), PYGRU_OK);
        CHECK(n == 0 || memcmp(x, f, out.bytes) == 0);
        CHECK_INT(pygru_sigmoid(PRECISION, kernels, n, x, f), PYGRU_OK);
        CHECK_INT(pygru_sigmoid(PRECISION, kernels, n, x, x), PYGRU_OK);
        CHECK(n == 0 || memcmp(x, f, out.bytes) == 0);
        buffer_free(&in);
        buffer_free(&out);
    }
}

#undef DIGITS
#undef LEAST_EXPONENT
#undef DENORMAL
#undef SMALLEST_NORMAL
