/* vectors.h - how wide a vector can be: the one number that everything with a vector in it
 * follows. */
#ifndef PYGRU_VECTORS_H
#define PYGRU_VECTORS_H

/* The most values of a vector of any instruction set: 64 bytes of float32. */
enum { PYGRU_MOST_LANES = 16 };

/* Where every array of vectors begins, in bytes. */
enum { PYGRU_ALIGNMENT = 64 };
_Static_assert(PYGRU_ALIGNMENT == PYGRU_MOST_LANES * sizeof(float), "the widest vector");

#endif
