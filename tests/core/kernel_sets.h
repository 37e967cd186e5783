/* kernel_sets.h - all sets of kernels that the tests run. These are the sets of the core that
 * this CPU can run, and the core's templates compiled for vectors of other sizes, which the
 * compiler splits (wide_kernels.c, narrow_kernels.c). So the tiles and lanes of other machines
 * are tested too.
 *
 * All sets with a fused multiply-add are a family: they give the same bits. All without are
 * another one. */
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
#if PYGRU_X86_KERNELS
    if (pygru_kernels_at(pygru_kernels_count() - 1) == &pygru_kernels_avx512vnni) {
        add_kernel_set("avx512 without VNNI", &pygru_kernels_avx512, 1);
    }
#endif
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

#define DEFINE_NAPPING_KERNELS(REAL, SUFFIX, PRECISION)                                        \
    static void napping_product_##SUFFIX(const pygru_product_##SUFFIX *p) {                    \
        blas_nap();                                                                            \
        pygru_table_of_##SUFFIX(&pygru_kernels_baseline, PRECISION)->product(p);               \
    }                                                                                          \
                                                                                               \
    static void napping_sums_##SUFFIX(const pygru_row_sums_##SUFFIX *p) {                      \
        blas_nap();                                                                            \
        pygru_table_of_##SUFFIX(&pygru_kernels_baseline, PRECISION)->sum_rows(p);              \
    }                                                                                          \
                                                                                               \
    static const pygru_table_##SUFFIX *napping_table_##SUFFIX(void) {                          \
        static pygru_table_##SUFFIX table;                                                     \
        table = *pygru_table_of_##SUFFIX(&pygru_kernels_baseline, PRECISION);                  \
        table.product = napping_product_##SUFFIX;                                              \
        table.sum_rows = napping_sums_##SUFFIX;                                                \
        return &table;                                                                         \
    }

DEFINE_NAPPING_KERNELS(float, f32, PYGRU_FLOAT32)
DEFINE_NAPPING_KERNELS(double, f64, PYGRU_FLOAT64)

static const pygru_kernels *napping_kernels(void) {
    static pygru_kernels kernels;
    kernels.tables[PYGRU_FLOAT32] = napping_table_f32();
    kernels.tables[PYGRU_FLOAT64] = napping_table_f64();
    return &kernels;
}

#endif
