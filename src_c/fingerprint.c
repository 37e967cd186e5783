/* fingerprint.c - a fast 64-bit fingerprint of the weights.
 *
 * A tape is valid only with the weights with which it was made. NumPy can write through a view
 * without informing pygru, so a version counter would miss a change. Independent chains read
 * memory at nearly its bandwidth. */
#include "calls.h"

#include <string.h>

/* Two words at a time where the compiler has vectors: every CPU that it knows can add, shift and
 * exclusive-or them. Multiplications of 64 bits would take one cycle for each word. */
#if defined(__GNUC__)
typedef uint64_t words __attribute__((vector_size(16)));
#else
typedef uint64_t words;
#endif

enum { CHAINS = 6, BLOCK = CHAINS * (int)sizeof(words) };

/* Every step is invertible, so two chains that differ once never become equal without another
 * difference. The shifts carry a difference to higher and to lower bits. */
static words step(words state, words word) {
    state ^= word;
    state += state << 13;
    return state ^ (state >> 29);
}

static uint64_t mix(uint64_t state, uint64_t word) {
    state = (state ^ word) * UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / golden ratio, odd */
    return (state << 29) | (state >> 35);
}

pygru_status pygru_fingerprint(const void *data, int64_t bytes, uint64_t *fingerprint) {
    const unsigned char *p = data;
    words chain[CHAINS], word;
    uint64_t ends[BLOCK / sizeof(uint64_t)];
    uint64_t result = (uint64_t)bytes;
    int64_t at = 0;
    size_t k;
    if (bytes < 0 || (data == NULL && bytes > 0) || !pygru_points(fingerprint)) {
        return PYGRU_BAD_ARGUMENT;
    }
    for (k = 0; k < sizeof ends / sizeof *ends; k++) {
        ends[k] = k + 1;
    }
    memcpy(chain, ends, sizeof chain);
    for (; at + BLOCK <= bytes; at += BLOCK) {
        for (k = 0; k < CHAINS; k++) {
            memcpy(&word, p + at + k * sizeof word, sizeof word);
            chain[k] = step(chain[k], word);
        }
    }
    for (; at < bytes; at++) {
        result = mix(result, p[at]);
    }
    memcpy(ends, chain, sizeof ends);
    for (k = 0; k < sizeof ends / sizeof *ends; k++) {
        result = mix(result, ends[k]);
    }
    *fingerprint = result;
    return PYGRU_OK;
}
