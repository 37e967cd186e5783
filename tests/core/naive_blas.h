/* naive_blas.h - gemm and gemv as three loops, column-major, called the way Fortran calls,
 * for float and double and for 32 and 64 bit integers.
 *
 * It refuses the arguments that the reference BLAS reports to xerbla, and counts the refusals.
 * The core must cause none. The sum over k always runs in the same order, so cutting a product
 * into panels of rows or columns does not change a bit.
 *
 * The file includes itself once per type; the part at the end is the BLAS. */
#ifndef NAIVE_BLAS_H
#define NAIVE_BLAS_H

#include <stdatomic.h>
#include <stdint.h>

#include "pygru.h"
#include "system.h"

static atomic_long blas_refusals;        /* calls with arguments that xerbla would report */
static _Atomic int64_t blas_largest_int; /* the largest dimension that was passed */
static atomic_int blas_nap_us;           /* how long each call sleeps, to make work slow */

static void blas_nap(void) {
    const int nap = atomic_load(&blas_nap_us);
    if (nap > 0) {
        pygru_nap(1000L * nap);
    }
}

static void blas_enter(int ok, int64_t a, int64_t b, int64_t c) {
    const int64_t largest = a > b ? (a > c ? a : c) : (b > c ? b : c);
    int64_t seen = atomic_load(&blas_largest_int);
    while (largest > seen && !atomic_compare_exchange_weak(&blas_largest_int, &seen, largest)) {
    }
    if (!ok) {
        (void)atomic_fetch_add(&blas_refusals, 1);
    }
    blas_nap();
}

static int blas_fits(int64_t rows, int64_t ld) { return rows >= 0 && ld >= 1 && ld >= rows; }

#define BLAS_NAME_OF(name, suffix) name##_##suffix
#define BLAS_NAME_(name, suffix) BLAS_NAME_OF(name, suffix)
#define BLAS_NAME(name) BLAS_NAME_(name, BLAS_SUFFIX)

#define BLAS_REAL float
#define BLAS_INT int32_t
#define BLAS_SUFFIX s32
#include "naive_blas.h"
#define BLAS_REAL float
#define BLAS_INT int64_t
#define BLAS_SUFFIX s64
#include "naive_blas.h"
#define BLAS_REAL double
#define BLAS_INT int32_t
#define BLAS_SUFFIX d32
#include "naive_blas.h"
#define BLAS_REAL double
#define BLAS_INT int64_t
#define BLAS_SUFFIX d64
#include "naive_blas.h"

/* The table for integers of 4 or 8 bytes. max_int 0 is the largest of that type. */
static pygru_blas naive_blas(int32_t int_bytes, int64_t max_int) {
    pygru_blas blas;
    const int wide = int_bytes == 8;
    blas.sgemm = wide ? (void (*)(void))gemm_s64 : (void (*)(void))gemm_s32;
    blas.dgemm = wide ? (void (*)(void))gemm_d64 : (void (*)(void))gemm_d32;
    blas.sgemv = wide ? (void (*)(void))gemv_s64 : (void (*)(void))gemv_s32;
    blas.dgemv = wide ? (void (*)(void))gemv_d64 : (void (*)(void))gemv_d32;
    blas.int_bytes = int_bytes;
    blas.max_int = max_int > 0 ? max_int : wide ? INT64_MAX : INT32_MAX;
    return blas;
}

#elif defined(BLAS_REAL)

/* C (m,n) = alpha op(A) op(B) + beta C; C is not read when beta is 0 */
static void BLAS_NAME(gemm)(char *ta, char *tb, BLAS_INT *m, BLAS_INT *n, BLAS_INT *k,
                            BLAS_REAL *alpha, BLAS_REAL *a, BLAS_INT *lda, BLAS_REAL *b,
                            BLAS_INT *ldb, BLAS_REAL *beta, BLAS_REAL *c, BLAS_INT *ldc) {
    const int64_t M = *m, N = *n, K = *k;
    const int a_turned = *ta == 'T', b_turned = *tb == 'T';
    /* op(A)(i,l) = a[i*a_i + l*a_l], op(B)(l,j) = b[l*b_l + j*b_j] */
    const int64_t a_i = a_turned ? *lda : 1, a_l = a_turned ? 1 : *lda;
    const int64_t b_l = b_turned ? *ldb : 1, b_j = b_turned ? 1 : *ldb;
    const int ok = (a_turned || *ta == 'N') && (b_turned || *tb == 'N') && M >= 0 && N >= 0 &&
                   K >= 0 && blas_fits(a_turned ? K : M, *lda) &&
                   blas_fits(b_turned ? N : K, *ldb) && blas_fits(M, *ldc);
    int64_t i, j, l;
    blas_enter(ok, M, N, K);
    blas_enter(1, *lda, *ldb, *ldc);
    for (j = 0; ok && j < N; j++) {
        for (i = 0; i < M; i++) {
            BLAS_REAL *c_ij = c + i + j * *ldc;
            BLAS_REAL sum = 0;
            for (l = 0; l < K; l++) {
                sum += a[i * a_i + l * a_l] * b[l * b_l + j * b_j];
            }
            *c_ij = *beta == 0 ? *alpha * sum : *alpha * sum + *beta * *c_ij;
        }
    }
}

/* y = alpha op(A) x + beta y, A (m,n); y is not read when beta is 0 */
static void BLAS_NAME(gemv)(char *ta, BLAS_INT *m, BLAS_INT *n, BLAS_REAL *alpha, BLAS_REAL *a,
                            BLAS_INT *lda, BLAS_REAL *x, BLAS_INT *incx, BLAS_REAL *beta,
                            BLAS_REAL *y, BLAS_INT *incy) {
    const int turned = *ta == 'T';
    const int64_t rows = turned ? *n : *m, columns = turned ? *m : *n;
    const int64_t a_i = turned ? *lda : 1, a_l = turned ? 1 : *lda;
    const int ok =
        (turned || *ta == 'N') && *n >= 0 && blas_fits(*m, *lda) && *incx > 0 && *incy > 0;
    int64_t i, l;
    blas_enter(ok, *m, *n, *lda);
    for (i = 0; ok && i < rows; i++) {
        BLAS_REAL *y_i = y + i * *incy;
        BLAS_REAL sum = 0;
        for (l = 0; l < columns; l++) {
            sum += a[i * a_i + l * a_l] * x[l * *incx];
        }
        *y_i = *beta == 0 ? *alpha * sum : *alpha * sum + *beta * *y_i;
    }
}

#undef BLAS_REAL
#undef BLAS_INT
#undef BLAS_SUFFIX

#endif
