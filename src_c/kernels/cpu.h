/* cpu.h - what this CPU can do, and what its operating system lets it do.
 *
 * The compilers have functions for it, but not the same ones, and those of some say that every CPU
 * has nothing. So CPUID is read here. */
#ifndef PYGRU_CPU_H
#define PYGRU_CPU_H

#include <stdint.h>

/* Of an instruction set, and of the registers that the operating system saves. */
enum {
    PYGRU_CPU_FMA = 1 << 0,
    PYGRU_CPU_AVX2 = 1 << 1,
    PYGRU_CPU_AVX512F = 1 << 2,
    PYGRU_CPU_AVX512DQ = 1 << 3,
    PYGRU_CPU_AVX512BW = 1 << 4,
    PYGRU_CPU_AVX512VL = 1 << 5,
    PYGRU_CPU_AVX512VNNI = 1 << 6,
    PYGRU_CPU_FEATURES = 7, /* the number of those above */
    PYGRU_CPU_SAVES_256 = 1 << 7,
    PYGRU_CPU_SAVES_512 = 1 << 8
};

/* The answers of CPUID that count, and the register that says what the system saves. */
typedef struct pygru_cpu_answers {
    uint32_t leaf_1_ecx;
    uint32_t leaf_7_ebx; /* leaf 7: 0 if there is no such leaf */
    uint32_t leaf_7_ecx;
    uint32_t xcr0; /* 0 if the system does not use it */
} pygru_cpu_answers;

/* The facts in those answers, as a sum of the constants above. Some systems save the registers of
 * 512 bits, but say so in XCR0 only after a thread has used them: `saves_512_later`. */
uint32_t pygru_cpu_facts(const pygru_cpu_answers *answers, int saves_512_later);

/* The facts of this CPU; 0 on a CPU that is not x86-64. */
uint32_t pygru_this_cpu(void);

/* Whether all of `needed` are among `facts`. */
static inline int pygru_cpu_has(uint32_t facts, uint32_t needed) {
    return (facts & needed) == needed;
}

/* What of `needed` is missing, as a text for people; NULL if nothing is. */
const char *pygru_cpu_lacks(uint32_t facts, uint32_t needed);

#endif
