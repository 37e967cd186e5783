/* activations.tpl.c - sigmoid and tanh without libm, written so that the compiler can
 * vectorise a loop over them: no branch, no table, no call.
 *
 * Both rest on e^y = 2^k (1 + p(r)) with k = round(y / ln 2), r = y - k ln 2, |r| <= ln 2 / 2,
 * and p(r) = e^r - 1 by its Taylor series, whose coefficients are 1/j!. The last term left
 * out is below a quarter of a rounding error. Measured error: docs/math.md.
 * NaN gives NaN, +-inf the limits, -0.0 keeps its sign, denormal results are exact to
 * rounding. */

#if REAL_BITS == 32
typedef uint32_t NAME(bits);
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define ROUNDER 0x1.8p23f          /* adding it leaves an integer in the low bits */
#define LOG2_E 0x1.715476p+0f      /* 1 / ln 2 */
#define LN2_HIGH 0x1.63p-1f        /* ln 2 in 9 bits: k * LN2_HIGH is exact */
#define LN2_LOW (-0x1.bd0106p-13f) /* the rest of ln 2 */
#define SIGMOID_LIMIT 105.0f       /* e^-105 rounds to 0 */
#define TANH_LIMIT 10.0f           /* tanh(10) rounds to 1 */
#else
typedef uint64_t NAME(bits);
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define ROUNDER 0x1.8p52
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define SIGMOID_LIMIT 746.0
#define TANH_LIMIT 20.0
#endif

/* Even, and larger than any -k: k + OFFSET is positive, so that shifts need no sign. */
#define OFFSET (2 * EXPONENT_BIAS + 2)

ALWAYS_INLINE REAL NAME(from_bits)(NAME(bits) bits) {
    REAL value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

ALWAYS_INLINE NAME(bits) NAME(to_bits)(REAL value) {
    NAME(bits) bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* 2^(exponent - EXPONENT_BIAS) for a biased exponent in the normal range. */
ALWAYS_INLINE REAL NAME(power_of_two)(NAME(bits) exponent) {
    return NAME(from_bits)(exponent << MANTISSA_BITS);
}

/* p(r) = e^r - 1 */
ALWAYS_INLINE REAL NAME(expm1_series)(REAL r) {
#define INVERSE(factorial) ((REAL)(1.0 / (factorial)))
    REAL q;
#if REAL_BITS == 32
    q = INVERSE(5040.0);
#else
    q = INVERSE(6227020800.0);
    q = q * r + INVERSE(479001600.0);
    q = q * r + INVERSE(39916800.0);
    q = q * r + INVERSE(3628800.0);
    q = q * r + INVERSE(362880.0);
    q = q * r + INVERSE(40320.0);
    q = q * r + INVERSE(5040.0);
#endif
    q = q * r + INVERSE(720.0);
    q = q * r + INVERSE(120.0);
    q = q * r + INVERSE(24.0);
    q = q * r + INVERSE(6.0);
    q = q * r + INVERSE(2.0);
    return r + (r * r) * q;
#undef INVERSE
}

/* sigma(x) = 1 / (1 + e^-x) for x >= 0 and e^x / (1 + e^x) below: e^-|x| never overflows. */
ALWAYS_INLINE REAL NAME(sigmoid)(REAL x) {
    const REAL magnitude = x < (REAL)0 ? -x : x;
    const REAL y = -(magnitude > SIGMOID_LIMIT ? SIGMOID_LIMIT : magnitude);
    const REAL shifted = y * LOG2_E + ROUNDER;
    const REAL k = shifted - ROUNDER;
    const REAL r = (y - k * LN2_HIGH) - k * LN2_LOW;
    /* The result may be denormal, so 2^k is applied as two factors that are not. */
    const NAME(bits) wide = NAME(to_bits)(shifted) - NAME(to_bits)(ROUNDER) + OFFSET;
    const NAME(bits) half = wide >> 1;
    const REAL e = (((REAL)1 + NAME(expm1_series)(r)) *
                    NAME(power_of_two)(half - OFFSET / 2 + EXPONENT_BIAS)) *
                   NAME(power_of_two)(wide - half - OFFSET / 2 + EXPONENT_BIAS);
    return (x >= (REAL)0 ? (REAL)1 : e) / ((REAL)1 + e);
}

/* tanh(x) = sign(x) m / (m + 2) with m = e^(2|x|) - 1 = 2^k p(r) + (2^k - 1): no cancellation,
 * so the relative error stays small near 0. */
ALWAYS_INLINE REAL NAME(hyperbolic_tangent)(REAL x) {
    const REAL magnitude = x < (REAL)0 ? -x : x;
    const REAL y = (REAL)2 * (magnitude > TANH_LIMIT ? TANH_LIMIT : magnitude);
    const REAL shifted = y * LOG2_E + ROUNDER;
    const REAL k = shifted - ROUNDER;
    const REAL r = (y - k * LN2_HIGH) - k * LN2_LOW;
    const REAL scale =
        NAME(power_of_two)(NAME(to_bits)(shifted) - NAME(to_bits)(ROUNDER) + EXPONENT_BIAS);
    const REAL m = scale * NAME(expm1_series)(r) + (scale - (REAL)1);
    const NAME(bits) sign = (NAME(bits))1 << (REAL_BITS - 1);
    return NAME(from_bits)(NAME(to_bits)(m / (m + (REAL)2)) | (NAME(to_bits)(x) & sign));
}

#undef OFFSET

void NAME(pygru_sigmoid)(int64_t n, const REAL *in, REAL *out) {
    int64_t i;
    INDEPENDENT
    for (i = 0; i < n; i++) {
        out[i] = NAME(sigmoid)(in[i]);
    }
}

void NAME(pygru_tanh)(int64_t n, const REAL *in, REAL *out) {
    int64_t i;
    INDEPENDENT
    for (i = 0; i < n; i++) {
        out[i] = NAME(hyperbolic_tangent)(in[i]);
    }
}
