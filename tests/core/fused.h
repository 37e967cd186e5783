/* fused.h - a * b + c rounded once, from plain sums and products: the truth for the kernels' fused
 * multiply-add. The fma of some C libraries (MinGW's) rounds twice.
 *
 * No intermediate result may overflow or lose bits below the smallest number, so it is exact for
 * the magnitudes in these tests. See S. Boldo and G. Melquiond, "Emulation of FMA and correctly
 * rounded sums: proved algorithms using rounding to odd" (2008). */
#ifndef FUSED_H
#define FUSED_H

#include <stdint.h>
#include <string.h>

/* An unevaluated sum: high is the rounded result, low its error. */
typedef struct exact_sum {
    double high;
    double low;
} exact_sum;

static exact_sum add_exactly(double a, double b) {
    exact_sum s;
    double of_b;
    s.high = a + b;
    of_b = s.high - a;
    s.low = (a - (s.high - of_b)) + (b - of_b);
    return s;
}

/* The first 26 bits of x, so that products of halves are exact. */
static double upper_half(double x) {
    const double scaled = 134217729.0 * x; /* 2^27 + 1 */
    return scaled - (scaled - x);
}

static exact_sum multiply_exactly(double a, double b) {
    const double a1 = upper_half(a), a2 = a - a1, b1 = upper_half(b), b2 = b - b1;
    exact_sum p;
    p.high = a * b;
    p.low = a2 * b2 - (((p.high - a1 * b1) - a2 * b1) - a1 * b2);
    return p;
}

/* The sum rounded to odd: if it is not exact, the neighbour whose last bit is 1. Rounding that
 * again, to fewer bits, is like rounding the sum itself. */
static double add_to_odd(double a, double b) {
    const exact_sum s = add_exactly(a, b);
    uint64_t bits;
    double odd;
    memcpy(&bits, &s.high, sizeof bits);
    if (s.low != 0 && bits % 2 == 0) {
        bits = (s.low > 0) == (s.high > 0) ? bits + 1 : bits - 1;
    }
    memcpy(&odd, &bits, sizeof odd);
    return odd;
}

static double fused_f64(double a, double b, double c) {
    const exact_sum product = multiply_exactly(a, b);
    const exact_sum low = add_exactly(c, product.low);
    const exact_sum high = add_exactly(product.high, low.high);
    return high.high + add_to_odd(low.low, high.low);
}

static float fused_f32(float a, float b, float c) {
    return (float)add_to_odd((double)a * b, c);
}

#endif
