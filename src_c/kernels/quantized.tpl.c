/* quantized.tpl.c - matrix products with 8-bit weights, for inference in float32.
 *
 * out (m, n) = from (m, n) + A (m, K) W, with the rows of A and the columns of W as integers in
 * [-127, 127], each times a scale:
 *
 *     a[k] = scale * rint(a[k] * (127 / max |a[k]|))   with scale = max |a[k]| / 127
 *     out = from + (scale of the row * scale of the column) * sum of products of integers
 *
 * The sum is exact, and the last line is one multiplication and one multiply-add. So the bits do
 * not depend on tiles, rows or instruction sets, as long as the multiply-add is fused. A row that has a NaN or an infinity has the
 * scale NaN, and so has all that follows from it.
 *
 * The including file defines INTEGER(name), and how its vectors multiply:
 *   TERMS             products that are added up in a lane of a vector by one step
 *   ELEMENT           the type of an element of A; TERMS of them have four bytes
 *   ELEMENT_OFFSET    what is added to each, because an operand must not be negative
 *   INTEGER(weights)  the type of LANES * TERMS weights, in a register
 *   INTEGER(load_weights), INTEGER(broadcast), INTEGER(dot)
 *
 * A panel is like that of product.tpl.c, with TERMS weights of a column beside one another:
 *
 *     k=0: block 0: column 0: k=0..TERMS-1 | column 1: ..,  block NV-1,  k=TERMS: ..
 *
 * and, after K in whole groups, the scales of its columns, and the sums of their weights, which
 * undo ELEMENT_OFFSET. */
#define LANES ((int)(VECTOR_BYTES / sizeof(float)))

#if PYGRU_PACKED_PRODUCTS
typedef int32_t INTEGER(sums) __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t INTEGER(bits) __attribute__((vector_size(VECTOR_BYTES)));
typedef float INTEGER(floats) __attribute__((vector_size(VECTOR_BYTES)));

_Static_assert(sizeof(ELEMENT) * TERMS == 4 && PYGRU_WEIGHT_GROUP % TERMS == 0, "four bytes");

/* The operands of a tile: rows as INTEGER(round_rows) makes them, `lda` floats apart, and the
 * first panel. */
typedef struct INTEGER(walk) {
    int64_t K; /* in whole groups */
    const float *a;
    ptrdiff_t lda;
    const int8_t *w;
    ptrdiff_t panel;
} INTEGER(walk);

/* ---- one tile --------------------------------------------------------------------------- */

ALWAYS_INLINE INTEGER(floats) INTEGER(load_floats)(const void *from) {
    INTEGER(floats) v;
    memcpy(&v, from, sizeof v);
    return v;
}

ALWAYS_INLINE INTEGER(sums) INTEGER(load_sums)(const void *from) {
    INTEGER(sums) v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* The end of a tile: sums of row i and block v, where `ends` is what follows the weights. */
ALWAYS_INLINE void INTEGER(finish)(const int NV, INTEGER(sums) sum, int v, const float *row,
                                   const int8_t *ends, const float *from, float *to) {
    const int8_t *end = ends + v * LANES * (int)sizeof(float);
    const INTEGER(floats) scale =
        INTEGER(load_floats)(end) * (INTEGER(floats))broadcast_f32(row);
    INTEGER(floats) out;
    if (ELEMENT_OFFSET != 0) {
        const INTEGER(sums) weights = INTEGER(load_sums)(end + NV * LANES * (int)sizeof(float));
        /* Sums may wrap around on the way to one that fits, so they have no sign here. */
        sum = (INTEGER(sums))((INTEGER(bits))sum - (INTEGER(bits))weights * ELEMENT_OFFSET);
    }
    out = (INTEGER(floats))multiply_add_f32(__builtin_convertvector(sum, INTEGER(floats)),
                                            scale, INTEGER(load_floats)(from));
    memcpy(to, &out, sizeof out);
}

/* The body of all tiles: `blocks` blocks of MR rows one after the other, on P panels. The
 * operand that needs fewer registers stays in them. */
ALWAYS_INLINE void INTEGER(tile)(const int MR, const int NV, const int P, int64_t blocks,
                                 const INTEGER(walk) * walk, const pygru_place_f32 *from_place,
                                 const pygru_place_f32 *to_place) {
    const int NP = NV * P;
    const ptrdiff_t lda = walk->lda, panel = walk->panel;
    pygru_place_f32 from = *from_place, to = *to_place;
    const float *rows = walk->a;
    int i, v;
    do {
        INTEGER(sums) sum[MOST_SUMS];
        const float *a = rows + PYGRU_MOST_LANES; /* after the scale */
        const int8_t *w = walk->w;
        int64_t steps = walk->K / TERMS;
        UNROLL for (i = 0; i < MR * NP; i++) {
            const INTEGER(sums) zeros = {0};
            sum[i] = zeros;
        }
        do {
            if (NP <= MR) {
                INTEGER(weights) weight[MOST_SUMS];
                UNROLL for (v = 0; v < NP; v++) {
                    weight[v] =
                        INTEGER(load_weights)(w + v / NV * panel + v % NV * LANES * TERMS);
                }
                UNROLL for (i = 0; i < MR; i++) {
                    const INTEGER(weights) x = INTEGER(broadcast)(a + i * lda);
                    UNROLL for (v = 0; v < NP; v++) {
                        sum[i * NP + v] = INTEGER(dot)(sum[i * NP + v], x, weight[v]);
                    }
                }
            } else {
                INTEGER(weights) x[MOST_SUMS];
                UNROLL for (i = 0; i < MR; i++) { x[i] = INTEGER(broadcast)(a + i * lda); }
                UNROLL for (v = 0; v < NP; v++) {
                    const INTEGER(weights) weight =
                        INTEGER(load_weights)(w + v / NV * panel + v % NV * LANES * TERMS);
                    UNROLL for (i = 0; i < MR; i++) {
                        sum[i * NP + v] = INTEGER(dot)(sum[i * NP + v], x[i], weight);
                    }
                }
            }
            a++;
            w += NV * LANES * TERMS;
        } while (--steps > 0);
        UNROLL for (i = 0; i < MR; i++) {
            UNROLL for (v = 0; v < NP; v++) {
                const int block = v % NV, at = v / NV;
                INTEGER(finish)
                (NV, sum[i * NP + v], block, rows + i * lda, w + at * panel,
                 from.at[block] + i * from.row[block] + at * LANES,
                 to.at[block] + i * to.row[block] + at * LANES);
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

typedef void INTEGER(tile_function)(int64_t blocks, const INTEGER(walk) * walk,
                                    const pygru_place_f32 *from, const pygru_place_f32 *to);

/* X(NV, MR, P), as in product.tpl.c, but only what one row and many rows need: larger tiles are
 * hardly faster, because a step of k multiplies by two or four weights. */
/* clang-format off */
#if MOST_SUMS == 12 /* 16 registers: with more than ten sums, one would pass through memory */
#define SHAPES(X)                                                                              \
    X(3, 1, 1) X(3, 1, 2) X(3, 1, 3) X(3, 2, 1) X(3, 3, 1)                                     \
    X(2, 1, 1) X(2, 1, 4) X(2, 2, 1) X(2, 2, 2) X(2, 3, 1) X(2, 4, 1) X(2, 5, 1)               \
    X(1, 1, 1) X(1, 1, 8) X(1, 2, 1) X(1, 2, 4) X(1, 3, 1) X(1, 3, 3) X(1, 4, 1) X(1, 4, 2)    \
    X(1, 5, 1) X(1, 5, 2)
static const int INTEGER(MOST_ROWS)[GATES + 1] = {0, 5, 5, 3};
#else /* 32 registers */
#define SHAPES(X)                                                                              \
    X(3, 1, 1) X(3, 1, 2) X(3, 1, 4) X(3, 2, 1) X(3, 2, 2) X(3, 3, 1) X(3, 4, 1) X(3, 5, 1)    \
    X(3, 6, 1)                                                                                 \
    X(2, 1, 1) X(2, 1, 4) X(2, 2, 1) X(2, 2, 2) X(2, 3, 1) X(2, 4, 1) X(2, 5, 1) X(2, 6, 1)    \
    X(1, 1, 1) X(1, 1, 8) X(1, 2, 1) X(1, 2, 4) X(1, 3, 1) X(1, 3, 3) X(1, 4, 1) X(1, 4, 3)
static const int INTEGER(MOST_ROWS)[GATES + 1] = {0, 4, 6, 6};
#endif
/* clang-format on */

#define DEFINE_TILE(NV, MR, P)                                                                 \
    static NOINLINE void INTEGER(tile_##NV##_##MR##_##P)(                                      \
        int64_t blocks, const INTEGER(walk) * walk, const pygru_place_f32 *from,               \
        const pygru_place_f32 *to) {                                                           \
        INTEGER(tile)(MR, NV, P, blocks, walk, from, to);                                      \
    }
#define TILE_ENTRY(NV, MR, P) [NV][MR][P] = INTEGER(tile_##NV##_##MR##_##P),

SHAPES(DEFINE_TILE)
enum { INTEGER(MOST_PANELS) = 8 };
static INTEGER(tile_function) *const
    INTEGER(tiles)[GATES + 1][7][INTEGER(MOST_PANELS) + 1] = {SHAPES(TILE_ENTRY)};
#undef SHAPES
#undef DEFINE_TILE
#undef TILE_ENTRY

/* How many of the `left` panels the next tiles take: as many as both heights of tiles can. */
static int INTEGER(next_panels)(int NV, int64_t few, int64_t most, int64_t left) {
    int P = left < INTEGER(MOST_PANELS) ? (int)left : INTEGER(MOST_PANELS);
    while (INTEGER(tiles)[NV][few][P] == NULL || INTEGER(tiles)[NV][most][P] == NULL) {
        P--;
    }
    return P;
}

/* ---- the product ------------------------------------------------------------------------ */

static void INTEGER(move)(pygru_place_f32 *place, int NV, int64_t rows, int64_t columns) {
    int v;
    for (v = 0; v < NV; v++) {
        place->at[v] += rows * place->row[v] + columns;
    }
}

static void INTEGER(product)(const pygru_product_f32 *p) {
    const int64_t blocks = (p->m - 1) / INTEGER(MOST_ROWS)[p->NV] + 1;
    const int64_t few = p->m / blocks, more = p->m % blocks; /* the first have one row more */
    pygru_place_f32 from = p->from, out = p->out;
    int64_t at;
    int P;
    for (at = 0; at < p->panels; at += P) {
        INTEGER(walk)
        walk = {.K = pygru_whole_groups(p->K),
                .a = p->a,
                .lda = p->lda,
                .w = (const int8_t *)p->w + at * p->panel,
                .panel = p->panel};
        pygru_place_f32 first = from, to = out;
        P = INTEGER(next_panels)(p->NV, few, few + (more > 0), p->panels - at);
        if (more > 0) {
            INTEGER(tiles)[p->NV][few + 1][P](more, &walk, &first, &to);
            walk.a += more * (few + 1) * p->lda;
            INTEGER(move)(&first, p->NV, more * (few + 1), 0);
            INTEGER(move)(&to, p->NV, more * (few + 1), 0);
        }
        INTEGER(tiles)[p->NV][few][P](blocks - more, &walk, &first, &to);
        INTEGER(move)(&from, p->NV, 0, P * LANES);
        INTEGER(move)(&out, p->NV, 0, P * LANES);
    }
}

/* ---- rounding rows ---------------------------------------------------------------------- */

/* The bits of max |x[k]|, which order like the numbers; a NaN is above infinity. */
static int32_t INTEGER(largest)(int64_t K, const float *x, ptrdiff_t step) {
    int32_t most = 0;
    int64_t k;
    for (k = 0; k < K; k++) {
        int32_t bits;
        memcpy(&bits, x + k * step, sizeof bits);
        bits &= INT32_MAX;
        most = bits > most ? bits : most;
    }
    return most;
}

static float INTEGER(float_of)(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The nearest integer of a number in [-128, 128], half to even: the last bits of the sum with
 * 1.5 * 2^23. */
ALWAYS_INLINE int32_t INTEGER(nearest)(float x) {
    const float sum = x + 12582912.0F;
    int32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits - 0x4B400000;
}

/* A scale, and whether the numbers have to be divided by it; otherwise all integers are 0. */
static int INTEGER(scale_of)(int32_t most, float *scale, float *inverse) {
    const int32_t infinity = 0x7F800000;
    *scale = most >= infinity ? INTEGER(float_of)(0x7FC00000)
                              : INTEGER(float_of)(most) / (float)PYGRU_MOST_WEIGHT;
    *inverse = most >= infinity ? 0 : (float)PYGRU_MOST_WEIGHT / INTEGER(float_of)(most);
    return most < infinity && *inverse < INTEGER(float_of)(infinity);
}

static void INTEGER(round_rows)(int64_t rows, int64_t K, const float *a, ptrdiff_t lda,
                                float *rounded) {
    const int64_t whole = pygru_whole_groups(K);
    int64_t i, k;
    for (i = 0; i < rows; i++, a += lda, rounded += pygru_rounded_row(K)) {
        ELEMENT *to = (ELEMENT *)(rounded + PYGRU_MOST_LANES);
        float inverse;
        if (INTEGER(scale_of)(INTEGER(largest)(K, a, 1), rounded, &inverse)) {
            INDEPENDENT
            for (k = 0; k < K; k++) {
                to[k] = (ELEMENT)(INTEGER(nearest)(a[k] * inverse) + ELEMENT_OFFSET);
            }
        } else {
            INDEPENDENT
            for (k = 0; k < K; k++) {
                to[k] = ELEMENT_OFFSET;
            }
        }
        for (k = K; k < whole; k++) {
            to[k] = ELEMENT_OFFSET;
        }
    }
}

/* ---- packing ---------------------------------------------------------------------------- */

/* One column of a panel: lane j of block v of NV. */
typedef struct INTEGER(column) {
    int8_t *panel;
    int64_t K;
    int NV;
    int v;
    int64_t j;
} INTEGER(column);

static void INTEGER(set_weight)(const INTEGER(column) * c, int64_t k, int32_t weight) {
    const int64_t block = k / TERMS * c->NV + c->v;
    c->panel[(block * LANES + c->j) * TERMS + k % TERMS] = (int8_t)weight;
}

/* The end of a column, and the zeros that fill its last group. */
static void INTEGER(end_column)(const INTEGER(column) * c, float scale, int32_t sum) {
    const int64_t whole = pygru_whole_groups(c->K), all = (int64_t)c->NV * LANES;
    int8_t *end = c->panel + all * whole + (c->v * LANES + c->j) * (int64_t)sizeof scale;
    int64_t k;
    for (k = c->K; k < whole; k++) {
        INTEGER(set_weight)(c, k, 0);
    }
    memcpy(end, &scale, sizeof scale);
    memcpy(end + all * (int64_t)sizeof scale, &sum, sizeof sum);
}

static void INTEGER(empty_column)(const INTEGER(column) * c) {
    int64_t k;
    for (k = 0; k < c->K; k++) {
        INTEGER(set_weight)(c, k, 0);
    }
    INTEGER(end_column)(c, 0, 0);
}

static void INTEGER(pack_integers)(int NV, int64_t H, int64_t K, const int8_t *const *w,
                                   const float *const *scales, void *packed) {
    INTEGER(column) c = {.panel = packed, .K = K, .NV = NV};
    int64_t first, k;
    for (first = 0; first < H;
         first += LANES, c.panel += NV * LANES * pygru_quantized_depth(K)) {
        for (c.v = 0; c.v < NV; c.v++) {
            for (c.j = 0; c.j < LANES; c.j++) {
                const int8_t *column;
                int32_t sum = 0;
                if (first + c.j >= H) {
                    INTEGER(empty_column)(&c);
                    continue;
                }
                column = w[c.v] + (first + c.j) * K;
                for (k = 0; k < K; k++) {
                    INTEGER(set_weight)(&c, k, column[k]);
                    sum += column[k];
                }
                INTEGER(end_column)(&c, scales[c.v][first + c.j], sum);
            }
        }
    }
}

/* Rounds the weights itself: rint(w / scale), with the scale of round_rows. */
static void INTEGER(pack)(int NV, int64_t H, int64_t K, const float *const *w, ptrdiff_t unit,
                          ptrdiff_t step, void *packed) {
    INTEGER(column) c = {.panel = packed, .K = K, .NV = NV};
    int64_t first, k;
    for (first = 0; first < H;
         first += LANES, c.panel += NV * LANES * pygru_quantized_depth(K)) {
        for (c.v = 0; c.v < NV; c.v++) {
            for (c.j = 0; c.j < LANES; c.j++) {
                const float *column;
                float scale, inverse;
                int32_t sum = 0;
                if (first + c.j >= H) {
                    INTEGER(empty_column)(&c);
                    continue;
                }
                column = w[c.v] + (first + c.j) * unit;
                (void)INTEGER(scale_of)(INTEGER(largest)(K, column, step), &scale, &inverse);
                if (!(scale >= FLT_MIN)) { /* zeros, denormals, or a NaN */
                    INTEGER(empty_column)(&c);
                    INTEGER(end_column)(&c, scale, 0);
                    continue;
                }
                for (k = 0; k < K; k++) {
                    const int32_t weight = INTEGER(nearest)(column[k * step] / scale);
                    INTEGER(set_weight)(&c, k, weight);
                    sum += weight;
                }
                INTEGER(end_column)(&c, scale, sum);
            }
        }
    }
}
#endif

static const pygru_table_f32 INTEGER(table) = {
#include "entries.tpl.h"
#if PYGRU_PACKED_PRODUCTS
    .lanes = LANES,
    .weight_bytes = 1,
    .product = INTEGER(product),
    .round_rows = INTEGER(round_rows),
    .pack = INTEGER(pack),
    .pack_integers = INTEGER(pack_integers),
#endif
};

#undef LANES
#undef INTEGER
#undef TERMS
#undef ELEMENT
#undef ELEMENT_OFFSET
