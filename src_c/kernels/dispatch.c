/* dispatch.c - the list of kernel sets, and which of them this CPU can run. */
#include "kernels.h"

#include <stddef.h>

#if defined(__aarch64__)
#define BASELINE "neon" /* every 64-bit ARM has it */
#else
#define BASELINE "baseline"
#endif

/* Each set, or NULL if this CPU cannot run it. __builtin_cpu_supports also checks that the
 * operating system saves the registers. */
static const pygru_kernels *baseline(void) { return &pygru_kernels_baseline; }

#if PYGRU_X86_KERNELS
static const pygru_kernels *avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &pygru_kernels_avx2
                                                                           : NULL;
}

static const pygru_kernels *avx512(void) {
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))) {
        return NULL;
    }
    return __builtin_cpu_supports("avx512vnni") ? &pygru_kernels_avx512vnni
                                                : &pygru_kernels_avx512;
}
#endif

static const struct {
    const char *name;
    const pygru_kernels *(*if_runs_here)(void);
} SETS[] = {
    {BASELINE, baseline},
#if PYGRU_X86_KERNELS
    {"avx2", avx2},
    {"avx512", avx512},
#endif
};

enum { COUNT = sizeof SETS / sizeof SETS[0] };

int32_t pygru_kernels_count(void) { return COUNT; }

const char *pygru_kernels_name(int32_t index) {
    return index >= 0 && index < COUNT ? SETS[index].name : NULL;
}

const pygru_kernels *pygru_kernels_at(int32_t index) {
    return index >= 0 && index < COUNT ? SETS[index].if_runs_here() : NULL;
}

int32_t pygru_has_simd_engine(void) { return PYGRU_PACKED_PRODUCTS; }

const pygru_kernels *pygru_chosen_kernels(const pygru_kernels *kernels) {
    int32_t index;
    for (index = COUNT - 1; kernels == NULL; index--) {
        kernels = pygru_kernels_at(index);
    }
    return kernels;
}
