/* cpu.c - reads and understands the answers of CPUID; see cpu.h. */
#include "cpu.h"

#include "../atomics.h"

#include <stddef.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#elif defined(_M_X64)
#include <intrin.h>
#endif

#define BIT(word, number) ((word) >> (number) & 1U)

uint32_t pygru_cpu_facts(const pygru_cpu_answers *a, int saves_512_later) {
    uint32_t facts = 0;
    facts |= PYGRU_CPU_FMA * BIT(a->leaf_1_ecx, 12);
    facts |= PYGRU_CPU_AVX2 * BIT(a->leaf_7_ebx, 5);
    facts |= PYGRU_CPU_AVX512F * BIT(a->leaf_7_ebx, 16);
    facts |= PYGRU_CPU_AVX512DQ * BIT(a->leaf_7_ebx, 17);
    facts |= PYGRU_CPU_AVX512BW * BIT(a->leaf_7_ebx, 30);
    facts |= PYGRU_CPU_AVX512VL * BIT(a->leaf_7_ebx, 31);
    facts |= PYGRU_CPU_AVX512VNNI * BIT(a->leaf_7_ecx, 11);
    if ((a->xcr0 & 0x06) == 0x06) { /* registers of 128 and 256 bits */
        facts |= PYGRU_CPU_SAVES_256;
        /* masks, upper halves, and registers 16 to 31 */
        if (saves_512_later || (a->xcr0 & 0xE0) == 0xE0) {
            facts |= PYGRU_CPU_SAVES_512;
        }
    }
    return facts;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
static pygru_cpu_answers ask(void) {
    pygru_cpu_answers answers = {0};
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        answers.leaf_1_ecx = c;
        if (BIT(c, 27)) { /* the system uses XCR0 */
            __asm__ volatile("xgetbv" : "=a"(answers.xcr0), "=d"(d) : "c"(0));
        }
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        answers.leaf_7_ebx = b;
        answers.leaf_7_ecx = c;
    }
    return answers;
}
#elif defined(_M_X64)
static pygru_cpu_answers ask(void) {
    pygru_cpu_answers answers = {0};
    int words[4];
    __cpuid(words, 0);
    if (words[0] >= 7) {
        __cpuidex(words, 7, 0);
        answers.leaf_7_ebx = (uint32_t)words[1];
        answers.leaf_7_ecx = (uint32_t)words[2];
    }
    __cpuid(words, 1);
    answers.leaf_1_ecx = (uint32_t)words[2];
    if (BIT(answers.leaf_1_ecx, 27)) {
        answers.xcr0 = (uint32_t)_xgetbv(0);
    }
    return answers;
}
#else
static pygru_cpu_answers ask(void) {
    const pygru_cpu_answers nothing = {0};
    return nothing;
}
#endif

/* macOS gives a thread these registers when it first uses one. */
#if defined(__APPLE__)
enum { SAVES_512_LATER = 1 };
#else
enum { SAVES_512_LATER = 0 };
#endif

/* A virtual machine takes microseconds for an answer, so it is asked once. Two threads that ask at
 * the same time get the same answer. */
enum { KNOWN = 1 << 30 };
static int32_t known_facts; /* atomic; 0 before the first call */

uint32_t pygru_this_cpu(void) {
    int32_t facts = LOAD32(&known_facts);
    if (facts == 0) {
        const pygru_cpu_answers answers = ask();
        facts = (int32_t)(pygru_cpu_facts(&answers, SAVES_512_LATER) | KNOWN);
        STORE32(&known_facts, facts);
    }
    return (uint32_t)facts & ~(uint32_t)KNOWN;
}

const char *pygru_cpu_lacks(uint32_t facts, uint32_t needed) {
    static const char *const WITHOUT[PYGRU_CPU_FEATURES] = {
        "this CPU has no FMA",         "this CPU has no AVX2",
        "this CPU has no AVX-512 F",   "this CPU has no AVX-512 DQ",
        "this CPU has no AVX-512 BW",  "this CPU has no AVX-512 VL",
        "this CPU has no AVX-512 VNNI"};
    const uint32_t missing = needed & ~facts;
    int i;
    for (i = 0; i < PYGRU_CPU_FEATURES; i++) {
        if (BIT(missing, i)) {
            return WITHOUT[i];
        }
    }
    return missing == 0 ? NULL : "the operating system does not save the registers";
}
