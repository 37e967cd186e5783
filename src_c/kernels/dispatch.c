/* dispatch.c - which kernels there are, and which of them this CPU can run. */
#include "kernels.h"

#include <stddef.h>

#if defined(__aarch64__)
#define BASELINE "neon" /* every 64-bit ARM has it */
#else
#define BASELINE "baseline"
#endif

static const struct {
    const char *name;
    const pygru_kernels *kernels;
} SETS[] = {
    {BASELINE, &pygru_kernels_baseline},
#if PYGRU_X86_KERNELS
    {"avx2", &pygru_kernels_avx2},
    {"avx512", &pygru_kernels_avx512},
#endif
};

enum { COUNT = sizeof SETS / sizeof SETS[0] };

/* __builtin_cpu_supports asks the operating system too: whether it saves the registers. */
static int runs_here(int32_t index) {
#if PYGRU_X86_KERNELS
    __builtin_cpu_init();
    switch (index) {
    case 1:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case 2:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    default:
        return 1;
    }
#else
    (void)index;
    return 1;
#endif
}

int32_t pygru_kernels_count(void) { return COUNT; }

const char *pygru_kernels_name(int32_t index) {
    return index >= 0 && index < COUNT ? SETS[index].name : NULL;
}

const pygru_kernels *pygru_kernels_at(int32_t index) {
    return index >= 0 && index < COUNT && runs_here(index) ? SETS[index].kernels : NULL;
}

int32_t pygru_has_simd_engine(void) { return PYGRU_PACKED_PRODUCTS; }

static const pygru_kernels *chosen(const pygru_kernels *kernels) {
    int32_t index;
    for (index = COUNT - 1; kernels == NULL; index--) {
        kernels = pygru_kernels_at(index);
    }
    return kernels;
}

const pygru_table_f32 *pygru_table_of_f32(const pygru_kernels *kernels) {
    return chosen(kernels)->f32;
}

const pygru_table_f64 *pygru_table_of_f64(const pygru_kernels *kernels) {
    return chosen(kernels)->f64;
}

void pygru_sigmoid_f32(const pygru_kernels *kernels, int64_t n, const float *in, float *out) {
    chosen(kernels)->f32->sigmoid(n, in, out);
}

void pygru_sigmoid_f64(const pygru_kernels *kernels, int64_t n, const double *in, double *out) {
    chosen(kernels)->f64->sigmoid(n, in, out);
}

void pygru_tanh_f32(const pygru_kernels *kernels, int64_t n, const float *in, float *out) {
    chosen(kernels)->f32->tanh(n, in, out);
}

void pygru_tanh_f64(const pygru_kernels *kernels, int64_t n, const double *in, double *out) {
    chosen(kernels)->f64->tanh(n, in, out);
}
