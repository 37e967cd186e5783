/* row_sums.tpl.c - sums over the rows of a batch, which give the gradients of weights.
 *
 * out (m, n) = A^T B for a block of rows of A (rows, m) and B (rows, n). The tiles are those of
 * product.tpl.c: the columns of B are packed into panels, and the columns of A in groups, from
 * which each tile takes a few. Each sum is one chain of multiply-adds in the order of the rows,
 * from zero, so its bits do not depend on the tile it is in. docs/speed.md explains the shapes. */

/* ---- the right side --------------------------------------------------------------------- */

/* How many vectors the next panel takes of those that are left. A panel should leave the tile
 * enough chains, so the widths are chosen such that no panel of one vector remains. */
static int NAME(width_of_panel)(int64_t left) {
#if MOST_SUMS == 12
    return left == 4 ? 2 : left < 3 ? (int)left : 3;
#else
    return left < 5 ? (int)left : left == 5 || left % 3 == 0 ? 3 : 4;
#endif
}

/* The rows of `columns` columns of B, k by k, in a panel of `width` vectors, with zeros after
 * the last column. */
ALWAYS_INLINE void NAME(pack_panel)(const int width, int64_t rows, int64_t columns,
                                    const REAL *b, int64_t ldb, REAL *packed) {
    int64_t k;
    int v;
    if (columns < width * LANES) {
        memset(packed, 0, (size_t)(rows * width * LANES) * sizeof(REAL));
        for (k = 0; k < rows; k++) {
            memcpy(packed + k * width * LANES, b + k * ldb, (size_t)columns * sizeof(REAL));
        }
        return;
    }
    for (k = 0; k < rows; k++, b += ldb, packed += width * LANES) {
        UNROLL for (v = 0; v < width; v++) {
            NAME(store)(packed + v * LANES, NAME(load)(b + v * LANES));
        }
    }
}

static void NAME(pack_rows)(int64_t rows, int64_t n, const REAL *b, int64_t ldb, REAL *packed) {
    int64_t left = (n + LANES - 1) / LANES, at = 0;
    int width;
    for (; left > 0; left -= width, at += width * LANES) {
        const int64_t rest = n - at;
        width = NAME(width_of_panel)(left);
        switch (width) {
        case 1:
            NAME(pack_panel)(1, rows, rest < LANES ? rest : LANES, b + at, ldb, packed);
            break;
        case 2:
            NAME(pack_panel)(2, rows, rest < 2 * LANES ? rest : 2 * LANES, b + at, ldb, packed);
            break;
        case 3:
            NAME(pack_panel)(3, rows, rest < 3 * LANES ? rest : 3 * LANES, b + at, ldb, packed);
            break;
        default:
            NAME(pack_panel)(4, rows, rest < 4 * LANES ? rest : 4 * LANES, b + at, ldb, packed);
        }
        packed += rows * width * LANES;
    }
}

/* ---- the left side ---------------------------------------------------------------------- */

/* Packs a group of columns of A, k by k. They have been read then, so their sums are computed
 * here too. */
typedef REAL NAME(eight) __attribute__((vector_size(8 * sizeof(REAL))));

static void NAME(pack_group)(int64_t rows, int64_t columns, const REAL *a, int64_t lda,
                             REAL *packed, REAL *sums) {
    int64_t k, i;
    if (columns == PYGRU_SUM_GROUP) {
        NAME(eight) sum[PYGRU_SUM_GROUP / 8] = {{0}};
        for (k = 0; k < rows; k++, a += lda, packed += PYGRU_SUM_GROUP) {
            UNROLL for (i = 0; i < PYGRU_SUM_GROUP / 8; i++) {
                NAME(eight) of_row;
                memcpy(&of_row, a + i * 8, sizeof of_row);
                memcpy(packed + i * 8, &of_row, sizeof of_row);
                sum[i] += of_row;
            }
        }
        memcpy(sums, sum, sizeof sum);
        return;
    }
    memset(sums, 0, (size_t)columns * sizeof(REAL));
    for (k = 0; k < rows; k++, a += lda, packed += PYGRU_SUM_GROUP) {
        for (i = 0; i < columns; i++) {
            packed[i] = a[i];
            sums[i] += a[i];
        }
    }
}

/* ---- tiles ------------------------------------------------------------------------------ */

/* out (rows, columns) += or = sums, whose rows are ld_sums apart. */
static void NAME(give_sums)(int64_t rows, int64_t columns, const REAL *sums, int64_t ld_sums,
                            int adds, REAL *out, int64_t ld_out) {
    int64_t i, j;
    for (i = 0; i < rows; i++, sums += ld_sums, out += ld_out) {
        for (j = 0; j + LANES <= columns; j += LANES) {
            const VECTOR sum = NAME(load)(sums + j);
            NAME(store)(out + j, adds ? NAME(load)(out + j) + sum : sum);
        }
        for (; j < columns; j++) {
            out[j] = adds ? out[j] + sums[j] : sums[j];
        }
    }
}

/* MR columns of A, which begin at a, times a panel. */
static void NAME(sum_tile)(int MR, int width, int64_t rows, const REAL *a, const REAL *w,
                           REAL *to, int64_t ld_to) {
    static REAL zeros[4 * LANES]; /* only read */
    const int NV = width < 4 ? width : 1, P = width < 4 ? 1 : 4;
    const PLACE from = {{zeros, zeros, zeros}, {0, 0, 0}};
    const PLACE out = {{to, to + LANES, to + 2 * LANES}, {ld_to, ld_to, ld_to}};
    const NAME(pygru_walk) walk = {
        rows, a, 1, PYGRU_SUM_GROUP, w, LANES, (ptrdiff_t)width * LANES};
    NAME(tiles)[NV][MR][P](1, &walk, &from, &out);
}

/* A packed group of columns of A times all panels of a right side. */
static void NAME(sum_group)(const NAME(pygru_row_sums) *p, const NAME(pygru_right_side) *right,
                            int64_t first, int64_t columns, const REAL *group, REAL *sums) {
    const REAL *w = right->packed;
    int64_t left = (right->n + LANES - 1) / LANES, at = 0, i;
    int width;
    for (; left > 0; left -= width, at += width * LANES) {
        const int64_t rest = right->n - at;
        int MR;
        width = NAME(width_of_panel)(left);
        MR = NAME(MOST_ROWS)[width];
        for (i = 0; i < columns; i += MR) {
            const int rows = (int)(columns - i < MR ? columns - i : MR);
            REAL *out = right->out + (first + i) * right->ld_out + at;
            if (!p->adds && rest >= width * LANES) {
                NAME(sum_tile)(rows, width, p->rows, group + i, w, out, right->ld_out);
                continue;
            }
            NAME(sum_tile)(rows, width, p->rows, group + i, w, sums, width * LANES);
            NAME(give_sums)
            (rows, rest < width * LANES ? rest : width * LANES, sums, width * LANES, p->adds,
             out, right->ld_out);
        }
        w += p->rows * width * LANES;
    }
}

/* The column sums of a group, computed where it is packed. */
static void NAME(give_column_sums)(const NAME(pygru_row_sums) *p, int64_t first,
                                   int64_t columns, const REAL *column_sums) {
    if (p->column_sums != NULL) {
        NAME(give_sums)
        (1, columns, column_sums, 0, p->adds_columns, p->column_sums + first, 0);
    }
}

/* ---- few rows --------------------------------------------------------------------------- */

/* With so few rows the results cost more than the products, so they are written row by row, as
 * one stream, and the columns of A are not packed. */
enum { NAME(FEW_ROWS) = 3 };

/* One row of the results of a right side: the same chains as those of a tile. */
ALWAYS_INLINE void NAME(sum_row)(const NAME(pygru_row_sums) *p,
                                 const NAME(pygru_right_side) *right, int64_t row, int adds) {
    const REAL *w = right->packed;
    REAL *out = right->out + row * right->ld_out;
    int64_t left = (right->n + LANES - 1) / LANES, rest = right->n, k;
    for (; left > 0;) {
        const int width = NAME(width_of_panel)(left);
        int v;
        for (v = 0; v < width; v++, out += LANES, rest -= LANES) {
            const REAL *a = p->a + row, *b = w + v * LANES;
            VECTOR sum = {0};
            for (k = 0; k < p->rows; k++, a += p->lda, b += width * LANES) {
                sum = NAME(multiply_add)(NAME(broadcast)(a), NAME(load)(b), sum);
            }
            if (rest >= LANES) {
                NAME(store)(out, adds ? NAME(load)(out) + sum : sum);
            } else {
                REAL last[LANES];
                NAME(store)(last, sum);
                NAME(give_sums)(1, rest, last, 0, adds, out, 0);
            }
        }
        w += p->rows * width * LANES;
        left -= width;
    }
}

static void NAME(sum_few_rows)(const NAME(pygru_row_sums) *p) {
    int64_t row, first, k;
    int i;
    for (i = 0; i < p->n_right; i++) {
        for (row = 0; row < p->m; row++) {
            NAME(sum_row)(p, &p->right[i], row, p->adds);
        }
    }
    for (first = 0; p->column_sums != NULL && first < p->m; first++) {
        REAL sum = 0;
        for (k = 0; k < p->rows; k++) {
            sum += p->a[k * p->lda + first];
        }
        NAME(give_column_sums)(p, first, 1, &sum);
    }
}

/* ---- any number of rows ----------------------------------------------------------------- */

static void NAME(sum_rows)(const NAME(pygru_row_sums) *p) {
    REAL *group = p->scratch;
    REAL *sums = group + PYGRU_SUM_ROWS * PYGRU_SUM_GROUP;
    REAL column_sums[PYGRU_SUM_GROUP];
    int64_t first;
    int i;
    if (p->rows <= NAME(FEW_ROWS)) {
        NAME(sum_few_rows)(p);
        return;
    }
    for (first = 0; first < p->m; first += PYGRU_SUM_GROUP) {
        const int64_t left = p->m - first;
        const int64_t columns = left < PYGRU_SUM_GROUP ? left : PYGRU_SUM_GROUP;
        NAME(pack_group)(p->rows, columns, p->a + first, p->lda, group, column_sums);
        NAME(give_column_sums)(p, first, columns, column_sums);
        for (i = 0; i < p->n_right; i++) {
            NAME(sum_group)(p, &p->right[i], first, columns, group, sums);
        }
    }
}

#undef VECTOR
#undef PLACE
