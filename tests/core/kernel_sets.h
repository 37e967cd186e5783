/* kernel_sets.h - every set of kernels that the tests run: those of the core that this CPU has,
 * and the core's templates compiled for vectors that the compiler takes apart (wide_kernels.c,
 * narrow_kernels.c), so that the tiles and the lanes of other machines are tested here.
 *
 * All sets with a fused multiply-add give the same bits, and so do all without: a family. */
#ifndef KERNEL_SETS_H
#define KERNEL_SETS_H

#include "kernels/kernels.h"
#include "naive_blas.h"

typedef struct kernel_set {
    const char *name;
    const pygru_kernels *kernels;
    int fused;
} kernel_set;

enum { MOST_SETS = 8 };
static kernel_set kernel_sets[MOST_SETS];
static int n_kernel_sets;

extern const pygru_kernels wide_kernels;
extern const pygru_kernels narrow_kernels;

static void add_kernel_set(const char *name, const pygru_kernels *kernels, int fused) {
    const kernel_set set = {name, kernels, fused};
    if (kernels != NULL && n_kernel_sets < MOST_SETS) {
        kernel_sets[n_kernel_sets++] = set;
    }
}

/* To be called once, before anything below. */
static void find_kernel_sets(void) {
    int32_t i;
    for (i = 0; i < pygru_kernels_count(); i++) {
        const char *name = pygru_kernels_name(i);
        add_kernel_set(name, pygru_kernels_at(i), strcmp(name, "baseline") != 0);
    }
    add_kernel_set("plain 64 bytes", &wide_kernels, 0);
    add_kernel_set("plain 16 bytes", &narrow_kernels, 0);
}

/* The first set of a family, or NULL if this CPU has none. */
static const kernel_set *first_of_family(int fused) {
    int i = 0;
    while (i < n_kernel_sets && kernel_sets[i].fused != fused) {
        i++;
    }
    return i < n_kernel_sets ? &kernel_sets[i] : NULL;
}

/* The set of these kernels; NULL stands for the best one of the core. */
static const kernel_set *set_of(const pygru_kernels *kernels) {
    int32_t index;
    int i = 0;
    for (index = pygru_kernels_count() - 1; kernels == NULL; index--) {
        kernels = pygru_kernels_at(index);
    }
    while (i < n_kernel_sets && kernel_sets[i].kernels != kernels) {
        i++;
    }
    return i < n_kernel_sets ? &kernel_sets[i] : NULL;
}

/* ---- kernels whose products are as slow as the BLAS is told to be --------------------- */

static void napping_product_f32(const pygru_product_f32 *p) {
    blas_nap();
    pygru_kernels_baseline.f32->product(p);
}

static void napping_product_f64(const pygru_product_f64 *p) {
    blas_nap();
    pygru_kernels_baseline.f64->product(p);
}

static void napping_sum_f32(int64_t m, int64_t n, int64_t K, const float *a, int64_t lda,
                            const float *b, int64_t ldb, float *out, int64_t ld_out,
                            float *scratch) {
    blas_nap();
    pygru_kernels_baseline.f32->sum_over_rows(m, n, K, a, lda, b, ldb, out, ld_out, scratch);
}

static void napping_sum_f64(int64_t m, int64_t n, int64_t K, const double *a, int64_t lda,
                            const double *b, int64_t ldb, double *out, int64_t ld_out,
                            double *scratch) {
    blas_nap();
    pygru_kernels_baseline.f64->sum_over_rows(m, n, K, a, lda, b, ldb, out, ld_out, scratch);
}

static const pygru_kernels *napping_kernels(void) {
    static pygru_table_f32 f32;
    static pygru_table_f64 f64;
    static const pygru_kernels kernels = {&f32, &f64};
    f32 = *pygru_kernels_baseline.f32;
    f64 = *pygru_kernels_baseline.f64;
    f32.product = napping_product_f32;
    f64.product = napping_product_f64;
    f32.sum_over_rows = napping_sum_f32;
    f64.sum_over_rows = napping_sum_f64;
    return &kernels;
}

#endif
