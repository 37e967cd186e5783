/* checked.h - arithmetic on sizes. A negative operand or result marks an overflow. It makes
 * every later result negative too, so one check at the end is enough. */
#ifndef PYGRU_CHECKED_H
#define PYGRU_CHECKED_H

#include <stdint.h>

static inline int64_t pygru_times(int64_t a, int64_t b) {
#if defined(__GNUC__) || defined(__clang__)
    int64_t product; /* without a division: a single step computes a few sizes, too */
    return (a | b) < 0 || __builtin_mul_overflow(a, b, &product) ? -1 : product;
#else
    return a < 0 || b < 0 || (b > 0 && a > INT64_MAX / b) ? -1 : a * b;
#endif
}

static inline int64_t pygru_plus(int64_t a, int64_t b) {
#if defined(__GNUC__) || defined(__clang__)
    int64_t sum;
    return (a | b) < 0 || __builtin_add_overflow(a, b, &sum) ? -1 : sum;
#else
    return a < 0 || b < 0 || a > INT64_MAX - b ? -1 : a + b;
#endif
}

static inline int64_t pygru_at_most(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t pygru_at_least(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
