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

/* How many units in the last place of the true value the result is away from it. */
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

/* Keeps the worst errors over n inputs; every set of kernels must give the same bits. */
static void NAME(measure)(int64_t n, const REAL *in, worst_error *worst) {
    REAL sigmoid[256], tangent[256], otherwise[256];
    int64_t i;
    int32_t set;
    NAME(pygru_sigmoid)(NULL, n, in, sigmoid);
    NAME(pygru_tanh)(NULL, n, in, tangent);
    for (set = 0; set < pygru_kernels_count(); set++) {
        if (pygru_kernels_at(set) != NULL) {
            NAME(pygru_sigmoid)(pygru_kernels_at(set), n, in, otherwise);
            NAME(check_equal)(n, otherwise, sigmoid);
            NAME(pygru_tanh)(pygru_kernels_at(set), n, in, otherwise);
            NAME(check_equal)(n, otherwise, tangent);
        }
    }
    for (i = 0; i < n; i++) {
        const double of_sigmoid = NAME(ulps)(sigmoid[i], true_sigmoid(in[i]));
        const double of_tanh = NAME(ulps)(tangent[i], tanhl(in[i]));
        if (of_sigmoid > worst->sigmoid) {
            worst->sigmoid = of_sigmoid;
            worst->sigmoid_at = (double)in[i];
        }
        if (of_tanh > worst->tanh) {
            worst->tanh = of_tanh;
            worst->tanh_at = (double)in[i];
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

static REAL NAME(one_sigmoid)(REAL x) {
    REAL out;
    NAME(pygru_sigmoid)(NULL, 1, &x, &out);
    return out;
}

static REAL NAME(one_tanh)(REAL x) {
    REAL out;
    NAME(pygru_tanh)(NULL, 1, &x, &out);
    return out;
}

static void NAME(check_special_values)(void) {
    const REAL infinite = (REAL)INFINITY, zero = 0, not_a_number = (REAL)NAN;
    const REAL tiny[] = {DENORMAL, 3 * DENORMAL, SMALLEST_NORMAL / 3, SMALLEST_NORMAL};
    size_t i;
    CHECK(NAME(one_sigmoid)(infinite) == 1);
    CHECK(NAME(one_tanh)(infinite) == 1);
    CHECK(NAME(one_tanh)(-infinite) == -1);
    CHECK(NAME(bits_of)(NAME(one_sigmoid)(-infinite)) == NAME(bits_of)(zero));
    CHECK(NAME(one_sigmoid)(zero) == (REAL)0.5);
    CHECK(NAME(one_sigmoid)(-zero) == (REAL)0.5);
    CHECK(NAME(bits_of)(NAME(one_tanh)(zero)) == NAME(bits_of)(zero));
    CHECK(NAME(bits_of)(NAME(one_tanh)(-zero)) == NAME(bits_of)(-zero));
    CHECK(isnan(NAME(one_sigmoid)(not_a_number)));
    CHECK(isnan(NAME(one_sigmoid)(-not_a_number)));
    CHECK(isnan(NAME(one_tanh)(not_a_number)));
    CHECK(isnan(NAME(one_tanh)(-not_a_number)));
    for (i = 0; i < sizeof tiny / sizeof *tiny; i++) {
        CHECK(NAME(one_sigmoid)(tiny[i]) == (REAL)0.5);
        CHECK(NAME(bits_of)(NAME(one_tanh)(tiny[i])) == NAME(bits_of)(tiny[i]));
        CHECK(NAME(bits_of)(NAME(one_tanh)(-tiny[i])) == NAME(bits_of)(-tiny[i]));
    }
}

/* The result for one element depends neither on its place nor on its neighbours, and the
 * call touches exactly n elements, in place or not. */
static void NAME(check_every_length)(void) {
    int64_t n, i;
    for (n = 0; n <= 40; n++) {
        buffer in = buffer_new(n * (int64_t)sizeof(REAL));
        buffer out = buffer_new(n * (int64_t)sizeof(REAL));
        REAL *x = in.data, *f = out.data;
        for (i = 0; i < n; i++) {
            x[i] = (REAL)(i % 7 == 6 ? 1000 * random_unit() : 5 * random_unit());
        }
        set_case("activations, f%d, n=%lld", REAL_BITS, (long long)n);
        NAME(pygru_sigmoid)(NULL, n, x, f);
        for (i = 0; i < n; i++) {
            CHECK(NAME(bits_of)(f[i]) == NAME(bits_of)(NAME(one_sigmoid)(x[i])));
        }
        NAME(pygru_tanh)(NULL, n, x, f);
        for (i = 0; i < n; i++) {
            CHECK(NAME(bits_of)(f[i]) == NAME(bits_of)(NAME(one_tanh)(x[i])));
            CHECK(NAME(bits_of)(f[i]) == NAME(bits_of)(-NAME(one_tanh)(-x[i])));
        }
        NAME(pygru_tanh)(NULL, n, x, x);
        CHECK(n == 0 || memcmp(x, f, out.bytes) == 0);
        NAME(pygru_sigmoid)(NULL, n, x, f);
        NAME(pygru_sigmoid)(NULL, n, x, x);
        CHECK(n == 0 || memcmp(x, f, out.bytes) == 0);
        buffer_free(&in);
        buffer_free(&out);
    }
}

#undef DIGITS
#undef LEAST_EXPONENT
#undef DENORMAL
#undef SMALLEST_NORMAL
