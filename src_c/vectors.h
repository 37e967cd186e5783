/* vectors.h - the largest width of a vector, the single number from which all sizes and
 * alignments of vectors follow. */
#ifndef PYGRU_VECTORS_H
#define PYGRU_VECTORS_H

#include <stdint.h>

/* The most values of a vector of any instruction set: 64 bytes of float32. */
enum { PYGRU_MOST_LANES = 16 };

/* Where every array of vectors begins, in bytes. */
enum { PYGRU_ALIGNMENT = 64 };
/* The first aligned byte of a buffer that has PYGRU_ALIGNMENT bytes to spare. */
static inline char *pygru_aligned(void *memory) {
    return (char *)memory + (-(uintptr_t)memory & (PYGRU_ALIGNMENT - 1));
}

_Static_assert(PYGRU_ALIGNMENT == PYGRU_MOST_LANES * sizeof(float), "the widest vector");

#endif
