/* template.h - defines REAL and NAME(x) for the *.tpl.c files.
 *
 * A template file is written once and compiled for both precisions: the core by core_f32.c and
 * core_f64.c, the kernels by one file per instruction set. These files define REAL_BITS and
 * include this file first, and again for the other precision. */
#ifndef REAL_BITS
#error "define REAL_BITS as 32 or 64 before including template.h"
#endif
#undef REAL
#undef NAME

#if REAL_BITS == 32
#define REAL float
#define NAME(x) x##_f32
#elif REAL_BITS == 64
#define REAL double
#define NAME(x) x##_f64
#else
#error "REAL_BITS must be 32 or 64"
#endif

#include "template_macros.h"
