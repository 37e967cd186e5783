/* activations.tpl.c - sigmoid and tanh without libm, written so that the compiler can
 * vectorise a loop over them: no branch, no table, no call.
 *
 * Both use e^y = 2^k (1 + p(r)) with k = round(y / ln 2), r = y - k ln 2, |r| <= ln 2 / 2,
 * and p(r) = e^r - 1 by its Taylor series, whose coefficients are 1/j!. The first term that is
 * left out is smaller than a quarter of a rounding error. The rounding errors of r and of the
 * larger sums are kept and added to the smaller terms, so that the result is within 2 ULP.
 * docs/math.md has the measured error.
 * NaN gives NaN, +-inf give the limits, -0.0 keeps its sign, denormal results are right.
 * FUSE(a, b, c) is a b + c, rounded only once if the instruction set can do that. */

#if REAL_BITS == 32
typedef uint32_t NAME(bits);
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define ROUNDER 0x1.8p23f          /* adding it leaves an integer in the low bits */
#define LOG2_E 0x1.715476p+0f      /* 1 / ln 2 */
#define LN2_HIGH 0x1.63p-1f        /* ln 2 in 9 bits: k * LN2_HIGH is exact */
#define LN2_LOW (-0x1.bd0106p-13f) /* the rest of ln 2 */
#define SIGMOID_LIMIT 105.0f       /* sigma(-105) rounds to 0 */
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

/* y = k ln 2 + r + low, for y >= 0; `low` is the rounding error of r. */
typedef struct NAME(reduced) {
    NAME(bits) k;
    REAL r;
    REAL low;
} NAME(reduced);

ALWAYS_INLINE NAME(reduced) NAME(reduce)(REAL y) {
    const REAL shifted = FUSE(y, LOG2_E, ROUNDER);
    const REAL k = shifted - ROUNDER;
    const REAL high = FUSE(-k, LN2_HIGH, y); /* exact */
    const REAL rest = k * LN2_LOW;
    NAME(reduced) a;
    a.k = NAME(to_bits)(shifted) - NAME(to_bits)(ROUNDER);
    a.r = high - rest;
    a.low = (high - a.r) - rest;
    return a;
}

/* (e^r - 1 - r) / r^2 */
ALWAYS_INLINE REAL NAME(exp_tail)(REAL r) {
#define INVERSE(factorial) ((REAL)(1.0 / (factorial)))
    REAL q;
#if REAL_BITS == 32
    q = INVERSE(5040.0);
#else
    q = INVERSE(6227020800.0);
    q = FUSE(q, r, INVERSE(479001600.0));
    q = FUSE(q, r, INVERSE(39916800.0));
    q = FUSE(q, r, INVERSE(3628800.0));
    q = FUSE(q, r, INVERSE(362880.0));
    q = FUSE(q, r, INVERSE(40320.0));
    q = FUSE(q, r, INVERSE(5040.0));
#endif
    q = FUSE(q, r, INVERSE(720.0));
    q = FUSE(q, r, INVERSE(120.0));
    q = FUSE(q, r, INVERSE(24.0));
    q = FUSE(q, r, INVERSE(6.0));
    q = FUSE(q, r, INVERSE(2.0));
    return q;
#undef INVERSE
}

/* With |x| = k ln 2 + r and s = 2^-k:
 *   x >= 0:  sigma(x) = 1 / (1 + e^-x)  = 1 / (1 + s + s p(-r))
 *   x <  0:  sigma(x) = 1 / (1 + e^|x|) = s / (s + 1 +   p(r))     nothing overflows */
ALWAYS_INLINE REAL NAME(sigmoid)(REAL x) {
    const int positive = x >= (REAL)0;
    const REAL magnitude = x < (REAL)0 ? -x : x;
    const NAME(reduced) a = NAME(reduce)(magnitude > SIGMOID_LIMIT ? SIGMOID_LIMIT : magnitude);
    const REAL r = positive ? -a.r : a.r;
    const REAL low = positive ? -a.low : a.low;
    /* s may be denormal, so it is the product of two factors that are not. */
    const NAME(bits) half = a.k >> 1;
    const REAL s = NAME(power_of_two)(EXPONENT_BIAS - half) *
                   NAME(power_of_two)(EXPONENT_BIAS - (a.k - half));
    const REAL p = r + FUSE(r * r, NAME(exp_tail)(r), low);
    const REAL sum = (REAL)1 + s;
    const REAL lost = s - (sum - (REAL)1);
    return (positive ? (REAL)1 : s) / (sum + FUSE(positive ? s : (REAL)1, p, lost));
}

/* tanh(x) = sign(x) h / (1 + h) with h = (e^(2|x|) - 1) / 2 and e^y - 1 = (2^k - 1) + 2^k p(r),
 * which does not cancel. For small h the rounding of 1 + h would be
 * visible, so there h / (1 + h) = h - h^2 / (1 + h) is used. */
ALWAYS_INLINE REAL NAME(hyperbolic_tangent)(REAL x) {
    const REAL magnitude = x < (REAL)0 ? -x : x;
    const REAL y = (REAL)2 * (magnitude > TANH_LIMIT ? TANH_LIMIT : magnitude);
    const NAME(reduced) a = NAME(reduce)(y);
    const REAL scale = NAME(power_of_two)(a.k + EXPONENT_BIAS);
    const REAL larger = scale - (REAL)1;
    const REAL smaller = scale * a.r;
    const REAL sum = larger + smaller;
    const REAL lost = (larger - sum) + smaller;
    const REAL tail = scale * FUSE(a.r * a.r, NAME(exp_tail)(a.r), a.low);
    const REAL h = (REAL)0.5 * (sum + (lost + tail));
    const int is_small = y < (REAL)0.9;
    const REAL quotient = (is_small ? h * h : h) / ((REAL)1 + h);
    const REAL result = is_small ? h - quotient : quotient;
    const NAME(bits) sign = (NAME(bits))1 << (REAL_BITS - 1);
    return NAME(from_bits)(NAME(to_bits)(result) | (NAME(to_bits)(x) & sign));
}

/* e^x for x <= 0, within 2 ULP: 2^-k (1 + p(-r)). */
ALWAYS_INLINE REAL NAME(exp_of_negative)(REAL x) {
    const REAL magnitude = -x;
    const NAME(reduced) a = NAME(reduce)(magnitude > SIGMOID_LIMIT ? SIGMOID_LIMIT : magnitude);
    const NAME(bits) half = a.k >> 1;
    const REAL s = NAME(power_of_two)(EXPONENT_BIAS - half) *
                   NAME(power_of_two)(EXPONENT_BIAS - (a.k - half));
    const REAL r = -a.r;
    return FUSE(s, r + FUSE(r * r, NAME(exp_tail)(r), -a.low), s);
}

#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#undef ROUNDER
#undef LOG2_E
#undef LN2_HIGH
#undef LN2_LOW
#undef SIGMOID_LIMIT
#undef TANH_LIMIT
