/* gemm.tpl.c - the three matrix products of a GRU, on row-major matrices, through the BLAS
 * table.
 *
 * Only this file depends on the facts that BLAS is column-major, that its pointers lack const,
 * and how wide its integers are. A row-major product C = A B is the column-major product
 * C' = B' A', so the operands are exchanged. Products with more rows than BLAS can index are
 * cut into tiles of max_int rows. */

typedef struct NAME(matrix) {
    const REAL *data;
    int64_t ld; /* elements from one row to the next */
} NAME(matrix);

#define BLAS_CALL(INT)                                                                         \
    do {                                                                                       \
        INT m_ = (INT)m, n_ = (INT)n, k_ = (INT)k;                                             \
        INT lda_ = (INT)lda, ldb_ = (INT)ldb, ldc_ = (INT)ldc;                                 \
        ((void (*)(char *, char *, INT *, INT *, INT *, REAL *, REAL *, INT *, REAL *, INT *,  \
                   REAL *, REAL *, INT *))(gemm))(&ta, &tb, &m_, &n_, &k_, &alpha, (REAL *)a,  \
                                                  &lda_, (REAL *)b, &ldb_, &beta, c, &ldc_);   \
    } while (0)

/* Column-major C (m,n) = op(A) op(B) + beta C */
static void NAME(blas_gemm)(const pygru_blas *blas, char ta, char tb, int64_t m, int64_t n,
                            int64_t k, const REAL *a, int64_t lda, const REAL *b, int64_t ldb,
                            REAL beta, REAL *c, int64_t ldc) {
    REAL alpha = 1;
    void (*const gemm)(void) = REAL_BITS == 32 ? blas->sgemm : blas->dgemm;
    if (blas->int_bytes == 8) {
        BLAS_CALL(int64_t);
    } else {
        BLAS_CALL(int32_t);
    }
}
#undef BLAS_CALL

#define BLAS_CALL(INT)                                                                         \
    do {                                                                                       \
        INT m_ = (INT)m, n_ = (INT)n, lda_ = (INT)lda, one = 1;                                \
        ((void (*)(char *, INT *, INT *, REAL *, REAL *, INT *, REAL *, INT *, REAL *, REAL *, \
                   INT *))(gemv))(&ta, &m_, &n_, &alpha, (REAL *)a, &lda_, (REAL *)x, &one,    \
                                  &beta, y, &one);                                             \
    } while (0)

/* Column-major y = op(A) x + beta y, A (m,n) */
static void NAME(blas_gemv)(const pygru_blas *blas, char ta, int64_t m, int64_t n,
                            const REAL *a, int64_t lda, const REAL *x, REAL beta, REAL *y) {
    REAL alpha = 1;
    void (*const gemv)(void) = REAL_BITS == 32 ? blas->sgemv : blas->dgemv;
    if (blas->int_bytes == 8) {
        BLAS_CALL(int64_t);
    } else {
        BLAS_CALL(int32_t);
    }
}
#undef BLAS_CALL

/* C (m,n) = A (m,k) B^T + beta C, B (n,k) - inputs and states times weights. One row is
 * computed by gemv, because gemm would copy the whole weight matrix into its own buffers. */
static void NAME(multiply_nt)(const pygru_blas *blas, int64_t m, int64_t n, int64_t k,
                              NAME(matrix) a, NAME(matrix) b, REAL beta, REAL *c, int64_t ldc) {
    int64_t row;
    if (m == 1) {
        NAME(blas_gemv)(blas, 'T', k, n, b.data, b.ld, a.data, beta, c);
        return;
    }
    for (row = 0; row < m; row += blas->max_int) {
        const int64_t rows = m - row < blas->max_int ? m - row : blas->max_int;
        NAME(blas_gemm)(blas, 'T', 'N', n, rows, k, b.data, b.ld, a.data + row * a.ld, a.ld,
                        beta, c + row * ldc, ldc);
    }
}

/* OpenBLAS computes small products (m n k up to a million) without copying B into its own
 * layout first. With few rows this copy takes longer than the arithmetic, so B is cut into
 * panels of columns that stay below the limit. This is 1.2 to 3 times faster for 8 and 16 rows
 * (docs/decisions/0003-chunks-by-shape.md). Any cut gives a correct product. */
#define SMALL_PRODUCT 1000000
enum { NAME(MANY_ROWS) = 48, NAME(LEAST_PANEL) = 48 };

static int64_t NAME(panel_width)(int64_t m, int64_t n, int64_t k) {
    const int64_t width = SMALL_PRODUCT / (m * k) / 16 * 16;
    return m >= NAME(MANY_ROWS) || width < NAME(LEAST_PANEL) || width > n ? n : width;
}

/* C (m,n) = A (m,k) B + beta C, B (k,n) - states times transposed weights, and gradients back
 * through the weights. */
static void NAME(multiply_nn)(const pygru_blas *blas, int64_t m, int64_t n, int64_t k,
                              NAME(matrix) a, NAME(matrix) b, REAL beta, REAL *c, int64_t ldc) {
    int64_t row, column;
    if (m == 1) {
        NAME(blas_gemv)(blas, 'N', n, k, b.data, b.ld, a.data, beta, c);
        return;
    }
    for (row = 0; row < m; row += blas->max_int) {
        const int64_t rows = m - row < blas->max_int ? m - row : blas->max_int;
        const int64_t width = NAME(panel_width)(rows, n, k);
        for (column = 0; column < n; column += width) {
            const int64_t columns = n - column < width ? n - column : width;
            NAME(blas_gemm)(blas, 'N', 'N', columns, rows, k, b.data + column, b.ld,
                            a.data + row * a.ld, a.ld, beta, c + row * ldc + column, ldc);
        }
    }
}

/* C (m,n) = A^T B + beta C, A (k,m), B (k,n) - weight gradients, where k runs over all
 * rows. The caller makes sure that k is at most max_int. */
static void NAME(multiply_tn)(const pygru_blas *blas, int64_t m, int64_t n, int64_t k,
                              NAME(matrix) a, NAME(matrix) b, REAL beta, REAL *c, int64_t ldc) {
    NAME(blas_gemm)(blas, 'N', 'T', n, m, k, b.data, b.ld, a.data, a.ld, beta, c, ldc);
}
