/* product.tpl.c - matrix products with weights that were packed for the vector registers.
 *
 * out (m, n) = from (m, n) + A (m, K) W, with the columns of W in blocks of LANES. NV blocks
 * (the r, z and n columns of the same units, say) form a panel:
 *
 *     k=0: LANES of block 0 | .. | LANES of block NV-1,  k=1: ..,  k=K-1   the next panel ..
 *
 * Columns after the last one are zeros. A matrix (K, n) whose n is a multiple of LANES can be
 * read in place: its panels of one block are LANES apart, and its k are n apart.
 *
 * A tile of MR rows and P panels keeps MR*NV*P sums in registers and walks over k once. Each sum
 * is one chain of multiply-adds in the order of k that begins at `from`. So its bits do not
 * depend on MR, P, the number of rows, or on where the walk is interrupted. Therefore the result
 * of a sequence does not depend on the batch it is in. docs/speed.md explains why the tiles have
 * these shapes. */

typedef REAL NAME(vector) __attribute__((vector_size(VECTOR_BYTES)));
#define VECTOR NAME(vector)
#define PLACE NAME(pygru_place)

/* The operands of a tile: element k of row i is a[i*lda + k*step]; w is the first panel. */
typedef struct NAME(pygru_walk) {
    int64_t K;
    const REAL *a;
    ptrdiff_t lda;
    ptrdiff_t step;
    const WEIGHT *w;
    ptrdiff_t panel;
    ptrdiff_t w_step; /* from one k to the next */
} NAME(pygru_walk);

/* ---- one tile --------------------------------------------------------------------------- */

ALWAYS_INLINE VECTOR NAME(load)(const REAL *from) {
    VECTOR v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* The next LANES weights of a panel. */
ALWAYS_INLINE VECTOR NAME(load_weights)(const WEIGHT *from) { return NAME(load)(from); }

ALWAYS_INLINE void NAME(store)(REAL *to, VECTOR v) { memcpy(to, &v, sizeof v); }

/* The body of all tiles: `blocks` blocks of MR rows one after the other, on the same panels.
 * MR, NV and P are constants where it is inlined, so that the arrays become registers. The
 * operand that needs fewer registers stays in them, and the other passes through a single one.
 * If both stayed, gcc 12 would move a sum to memory and back, at half the speed. */
ALWAYS_INLINE void NAME(tile)(const int MR, const int NV, const int P, int64_t blocks,
                              const NAME(pygru_walk) *walk, const PLACE *from_place,
                              const PLACE *to_place) {
    const int NP = NV * P;
    const ptrdiff_t lda = walk->lda, step = walk->step;
    const ptrdiff_t panel = walk->panel, w_step = walk->w_step;
    PLACE from = *from_place, to = *to_place;
    const REAL *rows = walk->a;
    int i, v;
    do {
        VECTOR sum[MOST_SUMS];
        const REAL *a = rows;
        const WEIGHT *w = walk->w;
        int64_t k = walk->K;
        UNROLL for (i = 0; i < MR; i++) {
            UNROLL for (v = 0; v < NP; v++) {
                const REAL *row = from.at[v % NV] + i * from.row[v % NV];
                sum[i * NP + v] = NAME(load)(row + v / NV * LANES);
            }
        }
        do { /* K is at least 1; for a loop that may not run, gcc copies all sums */
            if (NP <= MR) {
                VECTOR weight[MOST_SUMS];
                UNROLL for (v = 0; v < NP; v++) {
                    weight[v] = NAME(load_weights)(w + v / NV * panel + v % NV * LANES);
                }
                UNROLL for (i = 0; i < MR; i++) {
                    const VECTOR x = NAME(broadcast)(a + i * lda);
                    UNROLL for (v = 0; v < NP; v++) {
                        sum[i * NP + v] = NAME(multiply_add)(x, weight[v], sum[i * NP + v]);
                    }
                }
            } else {
                VECTOR x[MOST_SUMS];
                UNROLL for (i = 0; i < MR; i++) { x[i] = NAME(broadcast)(a + i * lda); }
                UNROLL for (v = 0; v < NP; v++) {
                    const VECTOR weight =
                        NAME(load_weights)(w + v / NV * panel + v % NV * LANES);
                    UNROLL for (i = 0; i < MR; i++) {
                        sum[i * NP + v] = NAME(multiply_add)(x[i], weight, sum[i * NP + v]);
                    }
                }
            }
            a += step;
            w += w_step;
        } while (--k > 0);
        UNROLL for (i = 0; i < MR; i++) {
            UNROLL for (v = 0; v < NP; v++) {
                REAL *row = to.at[v % NV] + i * to.row[v % NV];
                NAME(store)(row + v / NV * LANES, sum[i * NP + v]);
            }
        }
        rows += MR * lda;
        UNROLL for (v = 0; v < NV; v++) {
            from.at[v] += MR * from.row[v];
            to.at[v] += MR * to.row[v];
        }
    } while (--blocks > 0);
}

/* ---- the shapes ------------------------------------------------------------------------- */

typedef void NAME(tile_function)(int64_t blocks, const NAME(pygru_walk) *walk,
                                 const PLACE *from, const PLACE *to);

/* X(NV, MR, P): with few rows a tile takes several panels at once. Each multiply-add of a sum
 * has to wait for the one before, so 8 to 10 sums must be in progress to keep the CPU busy. */
/* clang-format off */
#if MOST_SUMS == 12 /* 16 registers */
#define SHAPES(X)                                                                              \
    X(3, 1, 1) X(3, 1, 2) X(3, 1, 4) X(3, 2, 1) X(3, 2, 2) X(3, 3, 1) X(3, 4, 1)               \
    X(2, 1, 1) X(2, 1, 2) X(2, 1, 4) X(2, 2, 1) X(2, 2, 2) X(2, 2, 3) X(2, 3, 1) X(2, 3, 2)    \
    X(2, 4, 1) X(2, 5, 1) X(2, 6, 1)                                                           \
    X(1, 1, 1) X(1, 1, 2) X(1, 1, 4) X(1, 1, 8) X(1, 2, 1) X(1, 2, 2) X(1, 2, 4) X(1, 3, 1)    \
    X(1, 3, 2) X(1, 3, 3) X(1, 4, 1) X(1, 4, 2) X(1, 4, 3)
static const int NAME(MOST_ROWS)[5] = {0, 4, 6, 4, 0};
#else /* 32 registers */
#define SHAPES(X)                                                                              \
    X(3, 1, 1) X(3, 1, 2) X(3, 1, 4) X(3, 2, 1) X(3, 2, 2) X(3, 2, 4) X(3, 3, 1) X(3, 3, 2)    \
    X(3, 4, 1) X(3, 4, 2) X(3, 5, 1) X(3, 6, 1) X(3, 7, 1) X(3, 8, 1)                          \
    X(2, 1, 1) X(2, 1, 2) X(2, 1, 4) X(2, 2, 1) X(2, 2, 4) X(2, 3, 1) X(2, 3, 3) X(2, 4, 1)    \
    X(2, 4, 3) X(2, 5, 1) X(2, 5, 2) X(2, 6, 1) X(2, 6, 2) X(2, 7, 1) X(2, 8, 1)               \
    X(1, 1, 1) X(1, 1, 2) X(1, 1, 4) X(1, 1, 8) X(1, 2, 1) X(1, 2, 2) X(1, 2, 4) X(1, 2, 8)    \
    X(1, 3, 1) X(1, 3, 2) X(1, 3, 4) X(1, 4, 1) X(1, 4, 2) X(1, 4, 4) X(1, 5, 1) X(1, 5, 2)    \
    X(1, 5, 3) X(1, 5, 4) X(1, 6, 1) X(1, 6, 2) X(1, 6, 3) X(1, 6, 4) X(1, 7, 1) X(1, 7, 2)    \
    X(1, 7, 3) X(1, 8, 1) X(1, 8, 2) X(1, 8, 3)
static const int NAME(MOST_ROWS)[5] = {0, 8, 8, 8, 6};
#endif
/* clang-format on */

#define DEFINE_TILE(NV, MR, P)                                                                 \
    static NOINLINE void NAME(tile_##NV##_##MR##_##P)(                                         \
        int64_t blocks, const NAME(pygru_walk) *walk, const PLACE *from, const PLACE *to) {    \
        NAME(tile)(MR, NV, P, blocks, walk, from, to);                                         \
    }
#define TILE_ENTRY(NV, MR, P) [NV][MR][P] = NAME(tile_##NV##_##MR##_##P),

SHAPES(DEFINE_TILE)
enum { NAME(MOST_PANELS) = 8 };
static NAME(tile_function) *const NAME(tiles)[4][9][NAME(MOST_PANELS) + 1] = {
    SHAPES(TILE_ENTRY)};
#undef SHAPES
#undef DEFINE_TILE
#undef TILE_ENTRY

/* How many of the `left` panels the next tiles of at most MR rows take. */
static int NAME(next_panels)(int NV, int MR, int64_t left) {
    int P = left < NAME(MOST_PANELS) ? (int)left : NAME(MOST_PANELS);
    while (NAME(tiles)[NV][MR][P] == NULL) {
        P--;
    }
    /* Two and two panels keep more sums in progress than three and one. */
    return P == 3 && left == 4 && NAME(tiles)[NV][MR][2] != NULL ? 2 : P;
}

/* ---- the product ------------------------------------------------------------------------ */

/* The part of a panel that stays in the first-level cache while all rows are multiplied. */
enum { NAME(K_BLOCK) = 24 * 1024 / sizeof(REAL) };

static void NAME(move)(PLACE *place, int NV, int64_t rows, int64_t columns) {
    int v;
    for (v = 0; v < NV; v++) {
        place->at[v] += rows * place->row[v] + columns;
    }
}

/* All rows of a group of P panels, in blocks of nearly equal size. */
static void NAME(all_rows)(const NAME(pygru_product) *p, int P, const WEIGHT *w,
                           const PLACE *from, const PLACE *out) {
    const int64_t blocks = (p->m - 1) / NAME(MOST_ROWS)[p->NV] + 1;
    const int64_t few = p->m / blocks,
                  more = p->m % blocks; /* the first blocks have one row more */
    const int64_t step = blocks == 1 ? p->K : NAME(K_BLOCK) / (p->NV * P * LANES);
    int64_t k;
    for (k = 0; k == 0 || k < p->K; k += step) {
        NAME(pygru_walk)
        walk = {p->K - k < step ? p->K - k : step,
                p->a + k,
                p->lda,
                1,
                w + k * p->w_step,
                p->panel,
                p->w_step};
        PLACE first = k == 0 ? *from : *out, to = *out;
        if (more > 0) {
            NAME(tiles)[p->NV][few + 1][P](more, &walk, &first, &to);
            walk.a += more * (few + 1) * p->lda;
            NAME(move)(&first, p->NV, more * (few + 1), 0);
            NAME(move)(&to, p->NV, more * (few + 1), 0);
        }
        NAME(tiles)[p->NV][few][P](blocks - more, &walk, &first, &to);
    }
}

static void NAME(product)(const NAME(pygru_product) *p) {
    const int64_t blocks = (p->m - 1) / NAME(MOST_ROWS)[p->NV] + 1;
    const int MR = (int)((p->m + blocks - 1) / blocks);
    PLACE from = p->from, out = p->out;
    const WEIGHT *w = p->w;
    int64_t at;
    int P;
    for (at = 0; at < p->panels; at += P) {
        P = NAME(next_panels)(p->NV, MR, p->panels - at);
        if (p->m % MR != 0 && NAME(tiles)[p->NV][MR - 1][P] == NULL) {
            P = 1;
        }
        NAME(all_rows)(p, P, w + at * p->panel, &from, &out);
        NAME(move)(&from, p->NV, 0, P * LANES);
        NAME(move)(&out, p->NV, 0, P * LANES);
    }
}

/* ---- packing ---------------------------------------------------------------------------- */

/* A vector from two: the lower halves of both, element by element in turns, or the upper ones. */
#define LANE_COUNT (VECTOR_BYTES * 8 / REAL_BITS)
#if LANE_COUNT == 2
#define LOWER_HALVES 0, 2
#define UPPER_HALVES 1, 3
#elif LANE_COUNT == 4
#define LOWER_HALVES 0, 4, 1, 5
#define UPPER_HALVES 2, 6, 3, 7
#elif LANE_COUNT == 8
#define LOWER_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOWER_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#if REAL_BITS == 32
typedef int32_t NAME(lane_numbers) __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int64_t NAME(lane_numbers) __attribute__((vector_size(VECTOR_BYTES)));
#endif
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (NAME(lane_numbers)){__VA_ARGS__})
#endif

/* Stores a block of LANES units and as many k, whose units are `unit` apart, transposed: k by
 * k, `distance` apart. In every round the first and the second half of the rows are mixed,
 * element by element. After log2(LANES) rounds they are transposed. */
ALWAYS_INLINE void NAME(pack_block)(const REAL *from, ptrdiff_t unit, REAL *to,
                                    ptrdiff_t distance) {
    VECTOR rows[LANE_COUNT], mixed[LANE_COUNT];
    int i, round;
    UNROLL for (i = 0; i < LANE_COUNT; i++) { rows[i] = NAME(load)(from + i * unit); }
    UNROLL for (round = 1; round < LANE_COUNT; round *= 2) {
        UNROLL for (i = 0; i < LANE_COUNT / 2; i++) {
            const VECTOR a = rows[i], b = rows[i + LANE_COUNT / 2];
            mixed[2 * i] = SHUFFLE(a, b, LOWER_HALVES);
            mixed[2 * i + 1] = SHUFFLE(a, b, UPPER_HALVES);
        }
        UNROLL for (i = 0; i < LANE_COUNT; i++) { rows[i] = mixed[i]; }
    }
    UNROLL for (i = 0; i < LANE_COUNT; i++) { NAME(store)(to + i * distance, rows[i]); }
}

/* One block of columns: the numbers of `units` units, k by k. */
static void NAME(pack_column)(int64_t units, int64_t K, const REAL *from, ptrdiff_t unit,
                              ptrdiff_t step, WEIGHT *to, ptrdiff_t distance) {
    int64_t k = 0, j;
    if (units == LANES && unit == 1) {
        for (; k < K; k++) {
            NAME(store)(to + k * distance, NAME(load)(from + k * step));
        }
    } else if (units == LANES && step == 1) {
        for (; k + LANES <= K; k += LANES) {
            NAME(pack_block)(from + k, unit, to + k * distance, distance);
        }
    }
    for (; k < K; k++) {
        for (j = 0; j < units; j++) {
            to[k * distance + j] = from[j * unit + k * step];
        }
    }
}

static void NAME(pack)(int NV, int64_t H, int64_t K, const REAL *const *w, ptrdiff_t unit,
                       ptrdiff_t step, void *to_packed) {
    WEIGHT *packed = to_packed;
    int64_t first;
    int v;
    for (first = 0; first < H; first += LANES, packed += K * NV * LANES) {
        const int64_t units = H - first < LANES ? H - first : LANES;
        if (units < LANES) {
            memset(packed, 0, (size_t)(K * NV * LANES) * sizeof(WEIGHT));
        }
        for (v = 0; v < NV; v++) {
            NAME(pack_column)
            (units, K, w[v] + first * unit, unit, step, packed + v * LANES, NV * LANES);
        }
    }
}

#undef LANE_COUNT
#undef LOWER_HALVES
#undef UPPER_HALVES
#undef SHUFFLE
