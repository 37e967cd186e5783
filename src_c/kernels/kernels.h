/* kernels.h - the table of kernels that each instruction set fills: products with packed
 * weights, and the elementwise part of a step.
 *
 * The layout of a row of gates is that of gate_order.h; the equations stand in gates.tpl.c, the
 * layout of packed weights in product.tpl.c. */
#ifndef PYGRU_KERNELS_H
#define PYGRU_KERNELS_H

#include "../gate_order.h"
#include "../pygru.h"

/* The tiles and their packed weights are written with the vector types of gcc and clang. */
#if defined(__GNUC__)
#define PYGRU_PACKED_PRODUCTS 1
#else
#define PYGRU_PACKED_PRODUCTS 0
#endif

enum {
    PYGRU_MOST_LANES = 16
}; /* of any vector: what a buffer that is read in vectors needs
      beyond its end */

/* A sum over rows takes so many of them, and of the columns of its right side, at a time: what
 * was packed of the right side stays in the second-level cache. */
enum {
    PYGRU_SUM_ROWS = 256,
    PYGRU_SUM_COLUMNS = 288, /* a multiple of three vectors of any length */
    PYGRU_SUM_SCRATCH = PYGRU_SUM_ROWS * (PYGRU_SUM_COLUMNS + 4 * 8) + 8 * 3 * PYGRU_MOST_LANES
};

#define PYGRU_DECLARE_KERNELS(REAL_, SUFFIX)                                                     \
    /* Where up to three column blocks of a product begin, and the distance of their rows. */    \
    typedef struct pygru_place_##SUFFIX {                                                        \
        REAL_ *at[3];                                                                            \
        ptrdiff_t row[3];                                                                        \
    } pygru_place_##SUFFIX;                                                                      \
                                                                                                 \
    /* out (m, panels*NV*lanes) = from + A (m, K) W with packed W. */                            \
    typedef struct pygru_product_##SUFFIX {                                                      \
        int64_t m;                                                                               \
        int64_t panels;                                                                          \
        int NV; /* column blocks of a panel: 1, 2 or 3 */                                        \
        int64_t K;                                                                               \
        const REAL_ *a;                                                                          \
        ptrdiff_t lda;                                                                           \
        const REAL_ *w;  /* the first panel */                                                   \
        ptrdiff_t panel; /* from one panel to the next */                                        \
        pygru_place_##SUFFIX from;                                                               \
        pygru_place_##SUFFIX out; /* whole vectors are written */                                \
    } pygru_product_##SUFFIX;                                                                    \
                                                                                                 \
    /* Units [0, units) of `rows` rows after a product. sums: r | z | hn (reset after), r | z  \
     * (before), or n (before, second half), `gate` apart. gates: the n column; the others are \
     * H apart and rows 4H. */ \
    typedef struct pygru_units_##SUFFIX {                                                        \
        int64_t rows;                                                                            \
        int64_t units;                                                                           \
        int64_t H;                                                                               \
        REAL_ *sums;                                                                             \
        ptrdiff_t sums_row;                                                                      \
        int64_t sums_units;                                                                      \
        ptrdiff_t gate;                                                                          \
        REAL_ *gates;                                                                            \
        const REAL_ *h; /* rows of H */                                                          \
        REAL_ *h_next;  /* rows of H; may be h */                                                \
        int keeps;                                                                               \
        int stores; /* whether the gates are kept (reset after; before always does) */           \
    } pygru_units_##SUFFIX;                                                                      \
                                                                                                 \
    /* The sums of one gate in `rows` rows, to be normalised: out = gain * standardised + add, \
     * where add_row is 0 for a vector that all rows share. out may be sums or add. The        \
     * standardised sums and what they were multiplied by, scale (rows), may be NULL. */ \
    typedef struct pygru_normalisation_##SUFFIX {                                                \
        int64_t rows;                                                                            \
        int64_t H;                                                                               \
        REAL_ eps;                                                                               \
        const REAL_ *sums;                                                                       \
        ptrdiff_t sums_row;                                                                      \
        const REAL_ *gain;                                                                       \
        const REAL_ *add;                                                                        \
        ptrdiff_t add_row;                                                                       \
        REAL_ *out;                                                                              \
        ptrdiff_t out_row;                                                                       \
        REAL_ *standardised;                                                                     \
        ptrdiff_t standardised_row;                                                              \
        REAL_ *scale;                                                                            \
    } pygru_normalisation_##SUFFIX;                                                              \
                                                                                                 \
    /* From d, the gradient of out, to d_sums, which may be d, and d_gain, which is added to.  \
     */ \
    typedef struct pygru_normalisation_gradient_##SUFFIX {                                       \
        int64_t rows;                                                                            \
        int64_t H;                                                                               \
        const REAL_ *gain;                                                                       \
        const REAL_ *standardised;                                                               \
        ptrdiff_t standardised_row;                                                              \
        const REAL_ *scale;                                                                      \
        const REAL_ *d;                                                                          \
        REAL_ *d_sums;                                                                           \
        ptrdiff_t d_row; /* of both */                                                           \
        REAL_ *d_gain;                                                                           \
    } pygru_normalisation_gradient_##SUFFIX;                                                     \
    /* The settings of an optimiser in this precision; see pygru_sgd_settings and so on. */      \
    typedef struct pygru_sgd_rates_##SUFFIX {                                                    \
        REAL_ rate, momentum, decay;                                                             \
        int nesterov;                                                                            \
    } pygru_sgd_rates_##SUFFIX;                                                                  \
                                                                                                 \
    typedef struct pygru_adam_rates_##SUFFIX {                                                   \
        REAL_ beta1, rest1, beta2, rest2, rate, root, eps, decay, kept;                          \
    } pygru_adam_rates_##SUFFIX;                                                                 \
                                                                                                 \
    typedef struct pygru_rmsprop_rates_##SUFFIX {                                                \
        REAL_ rate, alpha, rest, eps, momentum, decay;                                           \
    } pygru_rmsprop_rates_##SUFFIX;                                                              \
                                                                                                 \
    typedef struct pygru_table_##SUFFIX {                                                        \
        void (*after_forward)(const pygru_units_##SUFFIX *);                                     \
        void (*before_reset)(const pygru_units_##SUFFIX *);                                      \
        void (*before_candidate)(const pygru_units_##SUFFIX *);                                  \
        void (*after_backward)(int64_t rows, int64_t H, const REAL_ *gates, const REAL_ *h,      \
                               REAL_ *d_h, REAL_ *d_gates, int keeps);                           \
        void (*before_backward)(int64_t rows, int64_t H, const REAL_ *gates, const REAL_ *h,     \
                                REAL_ *d_h, REAL_ *d_gates, int keeps);                          \
        void (*reset_backward)(int64_t rows, int64_t H, const REAL_ *gates, const REAL_ *h,      \
                               const REAL_ *d_rh, REAL_ *d_h, REAL_ *d_gates);                   \
        void (*normalise)(const pygru_normalisation_##SUFFIX *);                                 \
        void (*normalise_backward)(const pygru_normalisation_gradient_##SUFFIX *);               \
        void (*sigmoid)(int64_t n, const REAL_ *in, REAL_ *out);                                 \
        void (*tanh)(int64_t n, const REAL_ *in, REAL_ *out);                                    \
        void (*sgd)(int64_t n, REAL_ *p, const REAL_ *g, REAL_ *v,                               \
                    const pygru_sgd_rates_##SUFFIX *rates);                                      \
        void (*adam)(int64_t n, REAL_ *p, const REAL_ *g, REAL_ *m, REAL_ *v,                    \
                     const pygru_adam_rates_##SUFFIX *rates);                                    \
        void (*rmsprop)(int64_t n, REAL_ *p, const REAL_ *g, REAL_ *s, REAL_ *v, REAL_ *a,       \
                        const pygru_rmsprop_rates_##SUFFIX *rates);                              \
        double (*cross_entropy)(const pygru_cross_entropy_args_##SUFFIX *args);                  \
        double (*sum_of_squares)(int64_t n, const REAL_ *x);                                     \
        int lanes; /* of a vector; 0 without packed products */                                  \
        void (*product)(const pygru_product_##SUFFIX *);                                         \
        /* Packs columns [0, H) of NV matrices: element k of unit j of matrix v is             \
         * w[v][j*unit + k*step]. */ \
        void (*pack)(int NV, int64_t H, int64_t K, const REAL_ *const *w, ptrdiff_t unit,        \
                     ptrdiff_t step, REAL_ *packed);                                             \
        /* out (m, n) += A^T B, A (K, m), B (K, n); scratch: PYGRU_SUM_SCRATCH, aligned. */      \
        void (*sum_over_rows)(int64_t m, int64_t n, int64_t K, const REAL_ *a, int64_t lda,      \
                              const REAL_ *b, int64_t ldb, REAL_ *out, int64_t ld_out,           \
                              REAL_ *scratch);                                                   \
    } pygru_table_##SUFFIX

PYGRU_DECLARE_KERNELS(float, f32);
PYGRU_DECLARE_KERNELS(double, f64);

struct pygru_kernels {
    const pygru_table_f32 *f32;
    const pygru_table_f64 *f64;
};

/* The kernels of a set that may be NULL: then the best that this CPU has. */
const pygru_table_f32 *pygru_table_of_f32(const pygru_kernels *kernels);
const pygru_table_f64 *pygru_table_of_f64(const pygru_kernels *kernels);

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
