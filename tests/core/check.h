/* check.h - a very small test library: it counts checks, and prints for each failure what went
 * wrong and which case was running. It never stops at a failure. */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_REPORTS = 60 };

/* The long loops run only one of so many cases: 3 if a tool makes everything slow. */
static int every = 1;

static long checks_passed;
static long checks_failed;
static char check_case[256]; /* what is being tested, printed with each failure */

static void set_case(const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(check_case, sizeof check_case, format, values);
    va_end(values);
}

/* Counts one check; true if the caller should print why it failed. */
static int failed(int ok, const char *file, int line, const char *what) {
    if (ok) {
        checks_passed++;
        return 0;
    }
    checks_failed++;
    if (checks_failed > MAX_REPORTS) {
        return 0;
    }
    fprintf(stderr, "%s:%d: %s\n    case: %s\n", file, line, what, check_case);
    return 1;
}

static void check_integers(int64_t actual, int64_t expected, const char *file, int line,
                           const char *what) {
    if (failed(actual == expected, file, line, what)) {
        fprintf(stderr, "    expected %lld, got %lld\n", (long long)expected,
                (long long)actual);
    }
}

static void check_near(double actual, double expected, double tolerance, const char *file,
                       int line, const char *what) {
    if (failed(fabs(actual - expected) <= tolerance, file, line, what)) {
        fprintf(stderr, "    expected %.17g, got %.17g, differ by %.3g, allowed %.3g\n",
                expected, actual, actual - expected, tolerance);
    }
}

/* Equal bit for bit, including the sign of zero; a NaN is never expected. */
static void check_same_bits(int64_t n, const double *actual, const double *expected,
                            const char *file, int line, const char *what) {
    int64_t i = 0;
    while (i < n && memcmp(&actual[i], &expected[i], sizeof(double)) == 0 &&
           actual[i] == actual[i]) {
        i++;
    }
    if (failed(i == n, file, line, what)) {
        fprintf(stderr, "    element %lld of %lld: expected %a, got %a\n", (long long)i,
                (long long)n, expected[i], actual[i]);
    }
}

/* Each element within tolerance times the larger of 1 and the array's largest magnitude. */
static void check_close(int64_t n, const double *actual, const double *expected,
                        double tolerance, const char *file, int line, const char *what) {
    double scale = 1, worst = 0;
    int64_t i, at = -1;
    for (i = 0; i < n; i++) {
        scale = fmax(scale, fabs(expected[i]));
    }
    for (i = 0; i < n; i++) {
        const double difference = fabs(actual[i] - expected[i]);
        if (!(difference <= worst)) { /* a NaN counts as the worst */
            worst = difference == difference ? difference : INFINITY;
            at = i;
        }
    }
    if (failed(worst <= tolerance * scale, file, line, what)) {
        fprintf(stderr, "    element %lld of %lld: expected %.17g, got %.17g, allowed %.3g\n",
                (long long)at, (long long)n, expected[at], actual[at], tolerance * scale);
    }
}

#define CHECK(condition) ((void)failed((condition) != 0, __FILE__, __LINE__, #condition))
#define CHECK_INT(actual, expected)                                                            \
    check_integers((actual), (expected), __FILE__, __LINE__, #actual " == " #expected)
#define CHECK_NEAR(actual, expected, tolerance)                                                \
    check_near((actual), (expected), (tolerance), __FILE__, __LINE__, #actual " ~ " #expected)
#define CHECK_SAME(n, actual, expected)                                                        \
    check_same_bits((n), (actual), (expected), __FILE__, __LINE__,                             \
                    #actual " same bits as " #expected)
#define CHECK_CLOSE(n, actual, expected, tolerance)                                            \
    check_close((n), (actual), (expected), (tolerance), __FILE__, __LINE__,                    \
                #actual " close to " #expected)

#endif
