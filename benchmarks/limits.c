/* limits.c - what one core of this machine can do: multiply-adds per second from registers, and
 * bytes per second read from a buffer of any size. limits.py compiles it for this CPU. */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __AVX512F__
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif

typedef float vector_f32 __attribute__((vector_size(BYTES)));
typedef double vector_f64 __attribute__((vector_size(BYTES)));
enum { CHAINS = 12 }; /* more than latency times ports, fewer than the registers */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Operations per second, where a multiply-add counts as two; the best of several tries. */
#define DEFINE_PEAK(NAME, VECTOR, REAL)                                                        \
    double NAME(void) {                                                                        \
        double best = 0;                                                                       \
        for (int round = 0; round < 10; round++) {                                             \
            const int64_t loops = 1000000;                                                     \
            VECTOR sum[CHAINS] = {0}, x = {0}, y = {0};                                        \
            for (size_t i = 0; i < BYTES / sizeof(REAL); i++) {                                \
                x[i] = (REAL)0.999;                                                            \
                y[i] = (REAL)1e-3;                                                             \
            }                                                                                  \
            for (int i = 0; i < CHAINS; i++) { /* equal chains: computed once */               \
                sum[i] = x * (REAL)i;                                                          \
            }                                                                                  \
            const double begin = now();                                                        \
            for (int64_t loop = 0; loop < loops; loop++) {                                     \
                _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {                    \
                    sum[i] = sum[i] * x + y;                                                   \
                }                                                                              \
            }                                                                                  \
            const double seconds = now() - begin;                                              \
            volatile REAL used = 0;                                                            \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) { used += sum[i][0]; }   \
            const double rate =                                                                \
                2.0 * CHAINS * (BYTES / sizeof(REAL)) * (double)loops / seconds;               \
            best = rate > best ? rate : best;                                                  \
        }                                                                                      \
        return best;                                                                           \
    }

DEFINE_PEAK(peak_f32, vector_f32, float)
DEFINE_PEAK(peak_f64, vector_f64, double)

/* Bytes per second when `bytes` are read again and again, from whichever cache holds them. */
double read_bandwidth(const void *memory, size_t bytes) {
    const vector_f32 *v = memory;
    const size_t n = bytes / BYTES / 8 * 8;
    const int64_t loops = (int64_t)(256e6 / (double)bytes) + 1;
    double best = 0;
    for (int round = 0; round < 5; round++) {
        vector_f32 sum[8] = {0};
        const double begin = now();
        for (int64_t loop = 0; loop < loops; loop++) {
            for (size_t i = 0; i < n; i += 8) {
                _Pragma("GCC unroll 8") for (size_t k = 0; k < 8; k++) { sum[k] += v[i + k]; }
            }
            __asm__ volatile("" : : "r"(v) : "memory"); /* the compiler must read again */
        }
        const double seconds = now() - begin;
        volatile float used = 0;
        _Pragma("GCC unroll 8") for (int k = 0; k < 8; k++) { used += sum[k][0]; }
        const double rate = (double)(n * BYTES) * (double)loops / seconds;
        best = rate > best ? rate : best;
    }
    return best;
}
