/* dispatch.c - the list of kernel sets, and which of them this CPU can run. */
#include "cpu.h"
#include "kernels.h"

#include <stddef.h>

#if defined(__aarch64__)
#define BASELINE "neon" /* every 64-bit ARM has it */
#else
#define BASELINE "baseline"
#endif

enum {
    AVX2 = PYGRU_CPU_SAVES_256 | PYGRU_CPU_AVX2 | PYGRU_CPU_FMA,
    AVX512 = AVX2 | PYGRU_CPU_SAVES_512 | PYGRU_CPU_AVX512F | PYGRU_CPU_AVX512VL |
             PYGRU_CPU_AVX512DQ | PYGRU_CPU_AVX512BW
};

/* A set that this build has, or NULL. */
#if PYGRU_X86_KERNELS
#define IF_BUILT(kernels) &(kernels)
#else
#define IF_BUILT(kernels) NULL
#endif

static const struct {
    const char *name;
    uint32_t needed; /* of the CPU and the operating system */
    const pygru_kernels *kernels;
} SETS[] = {
    {BASELINE, 0, &pygru_kernels_baseline},
#if defined(__x86_64__) || defined(_M_X64)
    {"avx2", AVX2, IF_BUILT(pygru_kernels_avx2)},
    {"avx512", AVX512, IF_BUILT(pygru_kernels_avx512)},
#endif
};

enum { COUNT = sizeof SETS / sizeof SETS[0] };

int32_t pygru_kernels_count(void) { return COUNT; }

const char *pygru_kernels_name(int32_t index) {
    return index >= 0 && index < COUNT ? SETS[index].name : NULL;
}

const char *pygru_kernels_obstacle(int32_t index) {
    if (index < 0 || index >= COUNT) {
        return "there are no such kernels";
    }
    if (SETS[index].kernels == NULL) {
        return "the compiler of this build could not make them";
    }
    return pygru_cpu_lacks(pygru_this_cpu(), SETS[index].needed);
}

const pygru_kernels *pygru_kernels_at(int32_t index) {
    const pygru_kernels *kernels =
        pygru_kernels_obstacle(index) == NULL ? SETS[index].kernels : NULL;
#if PYGRU_X86_KERNELS
    if (kernels == &pygru_kernels_avx512 &&
        pygru_cpu_has(pygru_this_cpu(), PYGRU_CPU_AVX512VNNI)) {
        return &pygru_kernels_avx512vnni;
    }
#endif
    return kernels;
}

int32_t pygru_has_simd_engine(void) { return PYGRU_PACKED_PRODUCTS; }

const pygru_kernels *pygru_chosen_kernels(const pygru_kernels *kernels) {
    int32_t index;
    for (index = COUNT - 1; kernels == NULL; index--) {
        kernels = pygru_kernels_at(index);
    }
    return kernels;
}
