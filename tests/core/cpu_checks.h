/* cpu_checks.h - what cpu.c makes of answers of CPUID that real CPUs and systems gave or could give. */
#ifndef CPU_CHECKS_H
#define CPU_CHECKS_H

#include "check.h"
#include "kernels/cpu.h"

#include <string.h>

/* What avx2.c and avx512.c are compiled for, once more. */
enum {
    FOR_AVX2 = PYGRU_CPU_SAVES_256 | PYGRU_CPU_AVX2 | PYGRU_CPU_FMA,
    FOR_AVX512 = FOR_AVX2 | PYGRU_CPU_SAVES_512 | PYGRU_CPU_AVX512F | PYGRU_CPU_AVX512DQ |
                 PYGRU_CPU_AVX512BW | PYGRU_CPU_AVX512VL
};

typedef struct cpu_case {
    const char *name;
    pygru_cpu_answers answers;
    const char *avx2, *avx512; /* a part of the obstacle; NULL if it runs */
    int vnni;
    int later; /* whether XCR0 has 512 bits only after they were used, as on macOS */
} cpu_case;

static void check_cpus(void) {
    static const cpu_case CASES[] = {
        {"none of it", {0, 0, 0, 0}, "no FMA", "no FMA", 0, 0},
        {"Sandy Bridge: AVX alone", {0x1F9AE3BF, 0, 0, 0x7}, "no FMA", "no FMA", 0, 0},
        {"Haswell", {0x7FFAFBFF, 0x000027AB, 0, 0x7}, NULL, "no AVX-512 F", 0, 0},
        {"Haswell, noxsave",
         {0x73FAFBFF & ~(1U << 27), 0x27AB, 0, 0},
         "not save",
         "no AVX-512 F",
         0,
         0},
        {"AVX2 without FMA", {0x7FFAEBFF, 0x000027AB, 0, 0x7}, "no FMA", "no FMA", 0, 0},
        {"Knights Landing", {0x7FF8F3BF, 0x1C0D23AB, 0, 0xE7}, NULL, "no AVX-512 DQ", 0, 0},
        {"Skylake-SP", {0x7FFEFBFF, 0xD39FFFFB, 0x8, 0xE7}, NULL, NULL, 0, 0},
        {"Skylake-SP, a system that saves 256 bits",
         {0x7FFEFBFF, 0xD39FFFFB, 0x8, 0x7},
         NULL,
         "not save",
         0,
         0},
        {"the same, only a part of it",
         {0x7FFEFBFF, 0xD39FFFFB, 0x8, 0x67},
         NULL,
         "not save",
         0,
         0},
        {"only the upper halves, not the lower",
         {0x7FFEFBFF, 0xD39FFFFB, 0x8, 0xE5},
         "not save",
         "not save",
         0,
         0},
        {"Zen 4", {0x7EF8320B, 0xF1BF97A9, 0x00405FCE, 0x207 | 0xE0}, NULL, NULL, 1, 0},
        {"Zen 4 without VL",
         {0x7EF8320B, 0x71BF97A9, 0x00405FCE, 0x2E7},
         NULL,
         "no AVX-512 VL",
         1,
         0},
        {"Zen 4 without BW",
         {0x7EF8320B, 0xB1BF97A9, 0x00405FCE, 0x2E7},
         NULL,
         "no AVX-512 BW",
         1,
         0},
        {"Skylake-SP, macOS before the first use",
         {0x7FFEFBFF, 0xD39FFFFB, 0x8, 0x7},
         NULL,
         NULL,
         0,
         1},
        {"Skylake-SP, macOS after it", {0x7FFEFBFF, 0xD39FFFFB, 0x8, 0xE7}, NULL, NULL, 0, 1},
        {"Haswell, macOS", {0x7FFAFBFF, 0x000027AB, 0, 0x7}, NULL, "no AVX-512 F", 0, 1},
        {"Skylake-SP, macOS that saves 128 bits",
         {0x7FFEFBFF, 0xD39FFFFB, 0x8, 0x3},
         "not save",
         "not save",
         0,
         1},
    };
    size_t i;
    int k;
    for (i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const cpu_case *c = &CASES[i];
        const uint32_t facts = pygru_cpu_facts(&c->answers, c->later);
        const char *lacks[2], *expected[2];
        lacks[0] = pygru_cpu_lacks(facts, FOR_AVX2);
        lacks[1] = pygru_cpu_lacks(facts, FOR_AVX512);
        expected[0] = c->avx2;
        expected[1] = c->avx512;
        set_case("%s", c->name);
        for (k = 0; k < 2; k++) {
            CHECK((lacks[k] == NULL) == (expected[k] == NULL));
            CHECK(lacks[k] == NULL || expected[k] == NULL ||
                  strstr(lacks[k], expected[k]) != NULL);
        }
        CHECK_INT(pygru_cpu_has(facts, PYGRU_CPU_AVX512VNNI), c->vnni);
    }
    set_case("this CPU, against what the compiler says");
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    __builtin_cpu_init();
    CHECK_INT(pygru_cpu_has(pygru_this_cpu(), FOR_AVX2),
              __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    CHECK_INT(pygru_cpu_has(pygru_this_cpu(), FOR_AVX512),
              __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("fma"));
#else
    CHECK(pygru_this_cpu() == pygru_this_cpu());
#endif
}

#endif
