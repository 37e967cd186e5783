/* fingerprint.c - a fast 64-bit fingerprint of the weights.
 *
 * A tape is valid only with the weights with which it was made. NumPy can write through a view
 * without informing pygru, so a version counter would miss a change. Four independent chains of
 * multiply-and-rotate read memory at nearly its bandwidth. */
#include "calls.h"

#include <string.h>

enum { LANES = 4 };

static uint64_t mix(uint64_t state, uint64_t word) {
    state = (state ^ word) * UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / golden ratio, odd */
    return (state << 29) | (state >> 35);
}

pygru_status pygru_fingerprint(const void *data, int64_t bytes, uint64_t *fingerprint) {
    const unsigned char *p = data;
    uint64_t lane[LANES] = {1, 2, 3, 4};
    uint64_t word;
    uint64_t result = (uint64_t)bytes;
    int64_t at = 0;
    int k;
    if (bytes < 0 || (data == NULL && bytes > 0) || !pygru_points(fingerprint)) {
        return PYGRU_BAD_ARGUMENT;
    }
    for (; at + LANES * 8 <= bytes; at += LANES * 8) {
        for (k = 0; k < LANES; k++) {
            memcpy(&word, p + at + 8 * k, 8);
            lane[k] = mix(lane[k], word);
        }
    }
    for (; at < bytes; at++) {
        lane[0] = mix(lane[0], p[at]);
    }
    for (k = 0; k < LANES; k++) {
        result = mix(result, lane[k]);
    }
    *fingerprint = result;
    return PYGRU_OK;
}
