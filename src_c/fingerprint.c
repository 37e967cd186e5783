/* fingerprint.c - a fast 64-bit fingerprint of the weights.
 *
 * A tape is valid only with the weights with which it was made. NumPy can write through a view
 * without informing pygru, so a version counter would miss a change. Independent chains read
 * memory at nearly its bandwidth. */
#include "calls.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"

#include <string.h>

/* A word of a block belongs to the chain of its place. So vectors of any width read the same
 * chains, and give the same fingerprint. */
enum { WORD = sizeof(uint64_t), CHAINS = 24, BLOCK = CHAINS * WORD };

/* Defines a function that takes all whole blocks into the chains, `width` words at a time. Every
 * step of a chain is invertible, so two chains that differ once never become equal without
 * another difference. The shifts carry a difference to higher and to lower bits, without a
 * multiplication of 64 bits, for which most CPUs have no vectors. */
#define DEFINE_READ(name, width, attributes, vector)                                           \
    attributes static void name(uint64_t *chains, const unsigned char *p, int64_t bytes) {     \
        typedef uint64_t words vector;                                                         \
        words chain[CHAINS / (width)], word;                                                   \
        int64_t at;                                                                            \
        size_t k;                                                                              \
        memcpy(chain, chains, sizeof chain);                                                   \
        for (at = 0; at + BLOCK <= bytes; at += BLOCK) {                                       \
            for (k = 0; k < CHAINS / (width); k++) {                                           \
                memcpy(&word, p + at + k * sizeof word, sizeof word);                          \
                word ^= chain[k];                                                              \
                word += word << 13;                                                            \
                chain[k] = word ^ (word >> 29);                                                \
            }                                                                                  \
        }                                                                                      \
        memcpy(chains, chain, sizeof chain);                                                   \
    }

#if defined(__GNUC__) || defined(__clang__)
DEFINE_READ(read_blocks, 2, , __attribute__((vector_size(2 * WORD))))
#else
DEFINE_READ(read_blocks, 1, , )
#endif
#if PYGRU_X86_KERNELS
DEFINE_READ(read_blocks_avx2, 4, __attribute__((target("avx2"))),
            __attribute__((vector_size(4 * WORD))))
DEFINE_READ(read_blocks_avx512, 8, __attribute__((target("avx512f"))),
            __attribute__((vector_size(8 * WORD))))
#endif

static void read_all_blocks(uint64_t *chains, const unsigned char *p, int64_t bytes) {
#if PYGRU_X86_KERNELS
    const uint32_t cpu = pygru_this_cpu();
    if (pygru_cpu_has(cpu, PYGRU_CPU_AVX512F | PYGRU_CPU_SAVES_512)) {
        read_blocks_avx512(chains, p, bytes);
        return;
    }
    if (pygru_cpu_has(cpu, PYGRU_CPU_AVX2 | PYGRU_CPU_SAVES_256)) {
        read_blocks_avx2(chains, p, bytes);
        return;
    }
#endif
    read_blocks(chains, p, bytes);
}

static uint64_t mix(uint64_t state, uint64_t word) {
    state = (state ^ word) * UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / golden ratio, odd */
    return (state << 29) | (state >> 35);
}

pygru_status pygru_fingerprint(const void *data, int64_t bytes, uint64_t *fingerprint) {
    const unsigned char *p = data;
    uint64_t chains[CHAINS], result = (uint64_t)bytes;
    int64_t at;
    int k;
    if (bytes < 0 || (data == NULL && bytes > 0) || !pygru_points(fingerprint)) {
        return PYGRU_BAD_ARGUMENT;
    }
    for (k = 0; k < CHAINS; k++) {
        chains[k] = (uint64_t)k + 1;
    }
    read_all_blocks(chains, p, bytes);
    for (at = bytes - bytes % BLOCK; at < bytes; at++) {
        result = mix(result, p[at]);
    }
    for (k = 0; k < CHAINS; k++) {
        result = mix(result, chains[k]);
    }
    *fingerprint = result;
    return PYGRU_OK;
}
