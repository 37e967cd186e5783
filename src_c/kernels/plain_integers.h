/* plain_integers.h - how the products of quantized.tpl.c multiply on any machine: one product a
 * lane, in vectors of int32_t. The including file defines VECTOR_BYTES. */
#ifndef PYGRU_PLAIN_INTEGERS_H
#define PYGRU_PLAIN_INTEGERS_H

#include <string.h>

#define TERMS 1
#define ELEMENT int32_t
#define ELEMENT_OFFSET 0
typedef int32_t weights_i8 __attribute__((vector_size(VECTOR_BYTES)));

ALWAYS_INLINE weights_i8 load_weights_i8(const int8_t *w) {
    weights_i8 v = {0};
    int i;
    UNROLL for (i = 0; i < (int)(VECTOR_BYTES / sizeof(int32_t)); i++) { v[i] = w[i]; }
    return v;
}

ALWAYS_INLINE weights_i8 broadcast_i8(const float *a) {
    weights_i8 v = {0};
    int32_t x;
    int i;
    memcpy(&x, a, sizeof x);
    UNROLL for (i = 0; i < (int)(VECTOR_BYTES / sizeof(int32_t)); i++) { v[i] = x; }
    return v;
}

ALWAYS_INLINE weights_i8 dot_i8(weights_i8 sum, weights_i8 a, weights_i8 w) {
    return sum + a * w;
}

#endif
