/* product.tpl.h - the `product`, `pack`, `pack_rows` and `sum_rows` entries of a table of
 * kernels against plain loops. Included by precisions.h, once per precision. Every sum is one chain of
 * multiply-adds in the order of k that begins at `from`, whatever the tile it is in. */

enum { NAME(MOST_M) = 20, NAME(MOST_PRODUCT_PANELS) = 9 };

/* One product to try. The matrices are filled up to MOST_M rows and all panels. */
typedef struct NAME(product_case) {
    const kernel_set *set;
    int NV;
    int64_t K;
    int64_t columns; /* of all panels: those of block v of panel p begin at (p*NV + v)*lanes */
    const REAL *a;   /* (MOST_M, K) */
    const REAL *w;   /* (K, columns), not packed */
    const REAL *from[2]; /* (MOST_M, columns), and (columns) for row distance 0 */
    REAL *expected[2];   /* the results of the two */
} NAME(product_case);

static const NAME(pygru_table) *NAME(table_of_set)(const kernel_set *set) {
    return NAME(pygru_table_of)(set->kernels, PRECISION);
}

static REAL *NAME(random_reals)(int64_t n) {
    REAL *array = allocate(n, sizeof(REAL));
    int64_t i;
    for (i = 0; i < n; i++) { /* with more digits than a float32 has */
        array[i] = (REAL)(random_unit() + random_unit() * 0x1p-24);
    }
    return array;
}

static REAL NAME(chain)(const NAME(product_case) *c, const REAL *a, int64_t column, REAL sum) {
    int64_t k;
    for (k = 0; k < c->K; k++) {
        const REAL w = c->w[k * c->columns + column];
        sum = c->set->fused ? FUSED_MULTIPLY_ADD(a[k], w, sum) : a[k] * w + sum;
    }
    return sum;
}

static void NAME(compute_expected)(const NAME(product_case) *c) {
    int64_t i, j;
    for (i = 0; i < NAME(MOST_M); i++) {
        for (j = 0; j < c->columns; j++) {
            const int64_t at = i * c->columns + j;
            c->expected[0][at] = NAME(chain)(c, c->a + i * c->K, j, c->from[0][at]);
            c->expected[1][at] = NAME(chain)(c, c->a + i * c->K, j, c->from[1][j]);
        }
    }
}

/* The first `panels` panels of W, packed; with `gap` elements from one to the next. */
static buffer NAME(packed_panels)(const NAME(product_case) *c, int64_t panels, int64_t gap) {
    const int64_t lanes = NAME(table_of_set)(c->set)->lanes, size = c->K * c->NV * lanes;
    buffer b = buffer_aligned((panels * size + (panels - 1) * gap) * (int64_t)sizeof(REAL),
                              (size_t)lanes * sizeof(REAL));
    const REAL *blocks[3];
    int64_t panel;
    int v;
    memset(b.data, 0xFF, b.bytes);
    for (panel = 0; panel < panels; panel++) {
        for (v = 0; v < c->NV; v++) {
            blocks[v] = c->w + (panel * c->NV + v) * lanes;
        }
        NAME(table_of_set)(c->set)->pack(c->NV, lanes, c->K, blocks, 1, (ptrdiff_t)c->columns,
                                         (REAL *)b.data + panel * (size + gap));
    }
    buffer_read_only(&b);
    return b;
}

/* The layout of the operands of a product. */
typedef struct NAME(product_way) {
    int64_t m;
    int64_t panels;
    int64_t gap;   /* between panels */
    int repeats;   /* `from` is one row */
    int in_place;  /* `from` is `out` */
    int64_t apart; /* unused columns between the blocks, at the ends of rows of A too */
    int unpacked;  /* the matrix itself is read */
} NAME(product_way);

/* The columns [0, panels*lanes) of block v, as block v of an array of rows: block after block,
 * `apart` between them. The last row ends with its last block. */
static int64_t NAME(place_row)(const NAME(product_case) *c, const NAME(product_way) *way) {
    return c->NV * (way->panels * NAME(table_of_set)(c->set)->lanes + way->apart);
}

static buffer NAME(rows_in_place)(const NAME(product_case) *c, const NAME(product_way) *way,
                                  const REAL *values, int64_t rows, NAME(pygru_place) *place,
                                  int repeats) {
    const int64_t lanes = NAME(table_of_set)(c->set)->lanes, row = NAME(place_row)(c, way);
    buffer b = buffer_new((rows * row - way->apart) * (int64_t)sizeof(REAL));
    REAL *to = b.data;
    int64_t i, panel, j;
    int v;
    memset(b.data, 0xFF, b.bytes);
    for (v = 0; v < c->NV; v++) {
        place->at[v] = to + v * (way->panels * lanes + way->apart);
        place->row[v] = repeats ? 0 : (ptrdiff_t)row;
        for (i = 0; values != NULL && i < rows; i++) {
            for (panel = 0; panel < way->panels; panel++) {
                for (j = 0; j < lanes; j++) {
                    place->at[v][i * row + panel * lanes + j] =
                        values[i * c->columns + (panel * c->NV + v) * lanes + j];
                }
            }
        }
    }
    return b;
}

static void NAME(try_product)(const NAME(product_case) *c, const NAME(product_way) *way) {
    const NAME(pygru_table) *table = NAME(table_of_set)(c->set);
    const int64_t lda = c->K + way->apart;
    NAME(pygru_product) p = {0};
    NAME(pygru_place) wanted = {0};
    buffer a = buffer_new(((way->m - 1) * lda + c->K) * (int64_t)sizeof(REAL));
    buffer w = NAME(packed_panels)(c, way->panels, way->gap);
    buffer from = NAME(rows_in_place)(c, way, c->from[way->repeats], way->repeats ? 1 : way->m,
                                      &p.from, way->repeats);
    buffer out = NAME(rows_in_place)(c, way, NULL, way->m, &p.out, 0);
    buffer expected =
        NAME(rows_in_place)(c, way, c->expected[way->repeats], way->m, &wanted, 0);
    int64_t i;
    memset(a.data, 0xFF, a.bytes);
    for (i = 0; i < way->m; i++) {
        memcpy((REAL *)a.data + i * lda, c->a + i * c->K, (size_t)c->K * sizeof(REAL));
    }
    p.m = way->m;
    p.panels = way->panels;
    p.NV = c->NV;
    p.K = c->K;
    p.a = a.data;
    p.lda = (ptrdiff_t)lda;
    p.w = w.data;
    p.panel = (ptrdiff_t)(c->K * c->NV * table->lanes + way->gap);
    p.w_step = c->NV * table->lanes;
    if (way->unpacked) {
        p.w = c->w;
        p.panel = table->lanes;
        p.w_step = (ptrdiff_t)c->columns;
    }
    if (way->in_place) {
        p.out = p.from;
    } else {
        buffer_read_only(&from);
    }
    buffer_read_only(&a);
    set_case("product, %s, f%d, m=%d NV=%d panels=%d K=%d repeats=%d in place=%d apart=%d "
             "unpacked=%d",
             c->set->name, REAL_BITS, (int)way->m, c->NV, (int)way->panels, (int)c->K,
             way->repeats, way->in_place, (int)way->apart, way->unpacked);
    table->product(&p);
    /* The gaps between the blocks are compared too: they are unchanged. */
    CHECK(memcmp(way->in_place ? from.data : out.data, expected.data, expected.bytes) == 0);
    buffer_free(&a);
    buffer_free(&w);
    buffer_free(&from);
    buffer_free(&out);
    buffer_free(&expected);
}

static void NAME(check_products_of)(const kernel_set *set, int NV, int64_t K, int quick) {
    NAME(product_case) c = {.set = set, .NV = NV, .K = K};
    NAME(product_way) way = {0};
    REAL *a, *w, *from, *row;
    int64_t number = 0;
    c.columns = NAME(MOST_PRODUCT_PANELS) *NV * NAME(table_of_set)(set)->lanes;
    c.a = a = NAME(random_reals)(NAME(MOST_M) *K);
    c.w = w = NAME(random_reals)(K * c.columns);
    c.from[0] = from = NAME(random_reals)(NAME(MOST_M) *c.columns);
    c.from[1] = row = NAME(random_reals)(c.columns);
    c.expected[0] = allocate(NAME(MOST_M) *c.columns, sizeof(REAL));
    c.expected[1] = allocate(NAME(MOST_M) *c.columns, sizeof(REAL));
    NAME(compute_expected)(&c);
    for (way.m = 1; way.m <= NAME(MOST_M); way.m += quick ? 6 : every) {
        for (way.panels = 1; way.panels <= NAME(MOST_PRODUCT_PANELS);
             way.panels += quick ? 4 : every) {
            number++;
            way.gap = number % 3 * NAME(table_of_set)(set)->lanes;
            way.apart = number % 4 * 5;
            way.repeats = 0;
            way.in_place = number % 2 == 0;
            way.unpacked = 0;
            NAME(try_product)(&c, &way);
            way.unpacked = NV == 1;
            way.repeats = 1;
            way.in_place = 0;
            NAME(try_product)(&c, &way);
        }
    }
    free(a);
    free(w);
    free(from);
    free(row);
    free(c.expected[0]);
    free(c.expected[1]);
}

/* Weights of a panel that one walk over the rows uses, in bytes: K is cut there. */
#define K_BLOCK_BYTES (24 * 1024)

static void NAME(check_products)(const kernel_set *set, int quick) {
    const int64_t lanes = NAME(table_of_set)(set)->lanes;
    int NV, i;
    for (NV = 1; NV <= 3; NV++) {
        const int64_t block = K_BLOCK_BYTES / (int64_t)sizeof(REAL) / (NV * lanes);
        const int64_t sizes[] = {1, 2, 7, 37, block / 4 + 1, block, block + 1, 2 * block + 3};
        for (i = 0; i < (quick ? 4 : 8); i++) {
            NAME(check_products_of)(set, NV, sizes[i], quick);
        }
    }
}

/* ---- packing ---------------------------------------------------------------------------- */

/* H units of NV matrices whose element k of unit j is at j*unit + k*step. */
static void NAME(try_pack)(const kernel_set *set, int NV, int64_t H, int64_t K, int turned) {
    const NAME(pygru_table) *table = NAME(table_of_set)(set);
    const int64_t lanes = table->lanes, panels = (H + lanes - 1) / lanes;
    const ptrdiff_t unit = turned ? 1 : (ptrdiff_t)K + 2;
    const ptrdiff_t step = turned ? (ptrdiff_t)H + 2 : 1;
    const int64_t extent = (H - 1) * unit + (K - 1) * step + 1;
    buffer w[3], packed = buffer_aligned(panels * lanes * NV * K * (int64_t)sizeof(REAL),
                                         (size_t)lanes * sizeof(REAL));
    const REAL *matrices[3] = {NULL, NULL, NULL};
    int64_t j, k, wrong = 0;
    int v;
    for (v = 0; v < NV; v++) {
        REAL *values = NAME(random_reals)(extent);
        w[v] = buffer_new(extent * (int64_t)sizeof(REAL));
        memcpy(w[v].data, values, w[v].bytes);
        buffer_read_only(&w[v]);
        free(values);
        matrices[v] = w[v].data;
    }
    memset(packed.data, 0xFF, packed.bytes);
    set_case("pack, %s, f%d, NV=%d H=%d K=%d turned=%d", set->name, REAL_BITS, NV, (int)H,
             (int)K, turned);
    table->pack(NV, H, K, matrices, unit, step, packed.data);
    for (v = 0; v < NV; v++) {
        for (j = 0; j < panels * lanes; j++) {
            for (k = 0; k < K; k++) {
                const REAL *at = (const REAL *)packed.data +
                                 ((j / lanes * K + k) * NV + v) * lanes + j % lanes;
                const REAL expected = j < H ? matrices[v][j * unit + k * step] : (REAL)0;
                wrong += memcmp(at, &expected, sizeof expected) != 0;
            }
        }
        buffer_free(&w[v]);
    }
    CHECK_INT(wrong, 0);
    buffer_free(&packed);
}

static void NAME(check_packing)(const kernel_set *set, int quick) {
    int64_t H;
    int NV;
    for (NV = 1; NV <= 3; NV++) {
        for (H = 1; H <= 40; H += quick ? 13 : 1) {
            NAME(try_pack)(set, NV, H, 1 + H * 5 % 37,
                           0); /* blocks of vectors are transposed */
            NAME(try_pack)(set, NV, H, 1 + H % 5, 1);
        }
    }
}

/* ---- sums over rows --------------------------------------------------------------------- */

/* out (m, n) = A^T B for a block of rows: each sum is a chain from zero. */
static REAL NAME(summed)(const kernel_set *set, int64_t rows, const REAL *a, int64_t lda,
                         const REAL *b, int64_t ldb) {
    REAL sum = 0;
    int64_t k;
    for (k = 0; k < rows; k++) {
        sum = set->fused ? FUSED_MULTIPLY_ADD(a[k * lda], b[k * ldb], sum)
                         : a[k * lda] * b[k * ldb] + sum;
    }
    return sum;
}

/* The arrays of one case: A, the column sums, and two right sides with their results. */
#ifndef SUM_ARRAYS
#define SUM_ARRAYS 6
enum { SUM_A, SUM_COLUMNS, SUM_RIGHT, SUM_OUT = SUM_RIGHT + 2 };
#endif

static void NAME(try_sums)(const kernel_set *set, int64_t m, const int64_t *n, int n_right,
                           int64_t rows, int adds) {
    const NAME(pygru_table) *table = NAME(table_of_set)(set);
    const int64_t lda = m + 3, size = (int64_t)sizeof(REAL);
    NAME(pygru_row_sums)
    sums = {.rows = rows, .m = m, .lda = lda, .adds = adds, .n_right = n_right};
    int64_t counts[SUM_ARRAYS] = {(rows - 1) * lda + m, m};
    buffer arrays[SUM_ARRAYS], packed[2], scratch = buffer_aligned(PYGRU_SUM_TILES * size, 64);
    REAL *expected[SUM_ARRAYS];
    int64_t i, j, k;
    int side;
    for (side = 0; side < n_right; side++) {
        counts[SUM_RIGHT + side] = (rows - 1) * (n[side] + 2) + n[side];
        counts[SUM_OUT + side] = (m - 1) * (n[side] + 1) + n[side];
    }
    for (i = 0; i < SUM_ARRAYS; i++) {
        if (counts[i] > 0) {
            expected[i] = NAME(random_reals)(counts[i]);
            arrays[i] = buffer_new(counts[i] * size);
            memcpy(arrays[i].data, expected[i], arrays[i].bytes);
        }
    }
    buffer_read_only(&arrays[SUM_A]);
    sums.a = arrays[SUM_A].data;
    sums.column_sums = arrays[SUM_COLUMNS].data;
    sums.adds_columns = !adds;
    sums.scratch = scratch.data;
    for (j = 0; j < m; j++) {
        REAL sum = 0;
        for (k = 0; k < rows; k++) {
            sum += sums.a[k * lda + j];
        }
        expected[SUM_COLUMNS][j] = adds ? sum : expected[SUM_COLUMNS][j] + sum;
    }
    for (side = 0; side < n_right; side++) {
        const int64_t vectors = (n[side] + table->lanes - 1) / table->lanes;
        const REAL *b = arrays[SUM_RIGHT + side].data;
        NAME(pygru_right_side) *right = &sums.right[side];
        buffer_read_only(&arrays[SUM_RIGHT + side]);
        packed[side] = buffer_aligned(rows * vectors * table->lanes * size,
                                      (size_t)table->lanes * sizeof(REAL));
        table->pack_rows(rows, n[side], b, n[side] + 2, packed[side].data);
        buffer_read_only(&packed[side]);
        right->packed = packed[side].data;
        right->n = n[side];
        right->out = arrays[SUM_OUT + side].data;
        right->ld_out = n[side] + 1;
        for (i = 0; i < m; i++) {
            for (j = 0; j < n[side]; j++) {
                REAL *out = expected[SUM_OUT + side] + i * right->ld_out + j;
                const REAL sum = NAME(summed)(set, rows, sums.a + i, lda, b + j, n[side] + 2);
                *out = adds ? *out + sum : sum;
            }
        }
    }
    set_case("sum of rows, %s, f%d, m=%d n=%d right sides=%d rows=%d adds=%d", set->name,
             REAL_BITS, (int)m, (int)n[0], n_right, (int)rows, adds);
    table->sum_rows(&sums);
    for (i = 0; i < SUM_ARRAYS; i++) { /* what is between the rows is unchanged too */
        if (counts[i] > 0) {
            CHECK(memcmp(arrays[i].data, expected[i], arrays[i].bytes) == 0);
            free(expected[i]);
            buffer_free(&arrays[i]);
        }
    }
    for (side = 0; side < n_right; side++) {
        buffer_free(&packed[side]);
    }
    buffer_free(&scratch);
}

static void NAME(check_sums)(const kernel_set *set, int quick) {
    static const int64_t rows[] = {1, 5, 33, PYGRU_SUM_ROWS};
    const int64_t lanes = NAME(table_of_set)(set)->lanes;
    int64_t m, vectors;
    int i;
    /* Every number of vectors from 1 to that of the widest, with a last one that is full or not. */
    for (vectors = 1; vectors * lanes <= PYGRU_SUM_COLUMNS; vectors += vectors < 9 ? 1 : 7) {
        const int64_t n[2] = {vectors * lanes - vectors % 3 % lanes, 1 + vectors * 5 % 29};
        for (i = 0; i < (quick ? 2 : 4); i++) {
            for (m = 1 + vectors % 5; m <= 2 * PYGRU_SUM_GROUP + 8;
                 m += quick ? 23 : 5 * every) {
                NAME(try_sums)(set, m, n, 1 + (int)(m % 2), rows[i], (int)(m / 2 % 2));
            }
        }
    }
}
