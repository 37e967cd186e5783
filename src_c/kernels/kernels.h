/* kernels.h - the table of elementwise kernels that each instruction set fills.
 *
 * Each function works on `rows` rows of H units; the layout of a row of gates is that of
 * cell.tpl.c, the equations stand in gates.tpl.c. */
#ifndef PYGRU_KERNELS_H
#define PYGRU_KERNELS_H

#include "../pygru.h"

#define PYGRU_DECLARE_GATES(REAL_, SUFFIX)                                                     \
    typedef struct pygru_gates_##SUFFIX {                                                      \
        void (*after_forward)(int64_t rows, int64_t H, REAL_ *gates, const REAL_ *gh,          \
                              const REAL_ *bias, const REAL_ *h, REAL_ *h_next, int keeps);    \
        void (*before_reset)(int64_t rows, int64_t H, REAL_ *gates, const REAL_ *gh,           \
                             const REAL_ *bias, const REAL_ *h);                               \
        void (*before_candidate)(int64_t rows, int64_t H, REAL_ *gates, const REAL_ *gh,       \
                                 const REAL_ *bias, const REAL_ *h, REAL_ *h_next, int keeps); \
        void (*after_backward)(int64_t rows, int64_t H, const REAL_ *gates, const REAL_ *h,    \
                               REAL_ *d_h, REAL_ *d_gates, int keeps);                         \
        void (*before_backward)(int64_t rows, int64_t H, const REAL_ *gates, const REAL_ *h,   \
                                REAL_ *d_h, REAL_ *d_gates, int keeps);                        \
        void (*reset_backward)(int64_t rows, int64_t H, const REAL_ *gates, const REAL_ *h,    \
                               const REAL_ *d_rh, REAL_ *d_h, REAL_ *d_gates);                 \
        void (*sigmoid)(int64_t n, const REAL_ *in, REAL_ *out);                               \
        void (*tanh)(int64_t n, const REAL_ *in, REAL_ *out);                                  \
    } pygru_gates_##SUFFIX

PYGRU_DECLARE_GATES(float, f32);
PYGRU_DECLARE_GATES(double, f64);

struct pygru_kernels {
    const pygru_gates_f32 *f32;
    const pygru_gates_f64 *f64;
};

/* The kernels of a set that may be NULL: then the best that this CPU has. */
const pygru_gates_f32 *pygru_gates_of_f32(const pygru_kernels *kernels);
const pygru_gates_f64 *pygru_gates_of_f64(const pygru_kernels *kernels);

/* Which sets this build has. A target can be set within a file by gcc and clang only. */
#if defined(__x86_64__) && defined(__GNUC__)
#define PYGRU_X86_KERNELS 1
#else
#define PYGRU_X86_KERNELS 0
#endif

extern const pygru_kernels pygru_kernels_baseline;
#if PYGRU_X86_KERNELS
extern const pygru_kernels pygru_kernels_avx2;
extern const pygru_kernels pygru_kernels_avx512;
#endif

#endif
