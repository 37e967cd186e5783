/* quantized_checks.h - 8-bit weights: products against plain loops over integers, to the bit;
 * whole networks in every batch, on every number of threads and with every set of kernels; and
 * what is refused. */
#ifndef QUANTIZED_CHECKS_H
#define QUANTIZED_CHECKS_H

#include "float_state.h"
#include "quantized.h"
#include "same_bits.h"

/* The entries that use the other precisions only are not there. */
static const precision quantized_precision = {.name = "i8",
                                              .precision = PYGRU_INT8,
                                              .tolerance = 0.05,
                                              .run = run_i8,
                                              .run_steps = run_steps_i8};

/* ---- products --------------------------------------------------------------------------- */

enum { QUANTIZED_M = 20, QUANTIZED_PANELS = 9 };

/* The integers of K numbers and their scale: see docs/math.md. */
static float round_numbers(int64_t K, const float *x, int32_t *q) {
    float largest = 0, inverse;
    int64_t k;
    for (k = 0; k < K; k++) {
        q[k] = 0;
        if (isnan(x[k]) || isinf(x[k])) {
            memset(q, 0, (size_t)K * sizeof *q);
            return NAN;
        }
        if (fabsf(x[k]) >= FLT_MIN && fabsf(x[k]) > largest) {
            largest = fabsf(x[k]);
        }
    }
    inverse = 127 / largest;
    for (k = 0; k < K && !isinf(inverse); k++) {
        q[k] = (int32_t)rintf(x[k] * inverse);
    }
    return largest / 127;
}

/* Rows of A: most are random; some have special values, as the row number says. */
static float *quantized_rows(int64_t K) {
    float *a = allocate(QUANTIZED_M * K, sizeof *a);
    int64_t i, k;
    for (i = 0; i < QUANTIZED_M; i++) {
        for (k = 0; k < K; k++) {
            float *x = a + i * K + k;
            *x = (float)(random_unit() * (i % 3 == 0 ? 1 : 1e-3));
            if (i == 4) {
                *x = 0;
            } else if (i == 5) {
                *x = (float)random_unit() * 1e-40F;
            } else if (i == 6) {
                *x = k % 2 == 0 ? -3 : 3; /* the largest sums that there are */
            } else if (i == 7) {
                *x = 3;
            } else if (i == 8) { /* ties */
                *x = k == 0 ? 127 : (float)(k % 200) - 99.5F;
            }
        }
    }
    a[9 * K + K / 2] = NAN;
    a[10 * K + K - 1] = INFINITY;
    a[11 * K] = -INFINITY;
    a[12 * K + K - 1] = FLT_MAX;
    return a;
}

/* (columns, K) integers: random, or the largest. */
static int8_t *quantized_columns(int64_t columns, int64_t K) {
    int8_t *w = allocate(columns * K, 1);
    int64_t j, k;
    for (j = 0; j < columns; j++) {
        for (k = 0; k < K; k++) {
            const int largest = j % 5 == 1 ? 127 : k % 2 == 0 ? -127 : 127;
            w[j * K + k] =
                (int8_t)(j % 5 == 0 || j % 5 == 1 ? largest : (int)(random_bits() % 255) - 127);
        }
    }
    return w;
}

/* A problem for the kernels: columns (NV*panels*lanes) of W, in the order of the blocks. */
typedef struct quantized_case {
    const kernel_set *set;
    int NV;
    int64_t K;
    int64_t columns;
    float *a;        /* (QUANTIZED_M, K) */
    int8_t *w;       /* (columns, K) */
    float *scales;   /* (columns) */
    float *from;     /* (QUANTIZED_M, columns) */
    float *expected; /* the same */
} quantized_case;

static const pygru_table_f32 *quantized_table(const kernel_set *set) {
    return pygru_table_of_f32(set->kernels, PYGRU_INT8);
}

static void expect_quantized(quantized_case *c) {
    int32_t *q = allocate(c->K, sizeof *q);
    int64_t i, j, k;
    for (i = 0; i < QUANTIZED_M; i++) {
        const float scale = round_numbers(c->K, c->a + i * c->K, q);
        for (j = 0; j < c->columns; j++) {
            const int64_t at = i * c->columns + j;
            const float both = c->scales[j] * scale;
            int64_t sum = 0;
            for (k = 0; k < c->K; k++) {
                sum += q[k] * c->w[j * c->K + k];
            }
            c->expected[at] = c->set->fused ? fused_f32((float)sum, both, c->from[at])
                                            : (float)sum * both + c->from[at];
        }
    }
    free(q);
}

/* The first `panels` panels of W, packed from integers, or from floats that give them. */
static buffer quantized_panels(const quantized_case *c, int64_t panels, int from_floats) {
    const pygru_table_f32 *table = quantized_table(c->set);
    const int64_t lanes = table->lanes;
    const int64_t size = c->NV * lanes * pygru_quantized_depth(c->K);
    buffer b = buffer_aligned(panels * size, (size_t)lanes * sizeof(float));
    int64_t panel, k;
    int v;
    for (panel = 0; panel < panels; panel++) {
        const int8_t *integers[3];
        const float *scales[3], *floats[3];
        float *memory[3];
        for (v = 0; v < c->NV; v++) {
            const int64_t first = (panel * c->NV + v) * lanes;
            integers[v] = c->w + first * c->K;
            scales[v] = c->scales + first;
            memory[v] = allocate(lanes * c->K, sizeof(float));
            for (k = 0; k < lanes * c->K; k++) {
                memory[v][k] = (float)integers[v][k] * scales[v][k / c->K];
            }
            floats[v] = memory[v];
        }
        if (from_floats) {
            table->pack(c->NV, lanes, c->K, floats, (ptrdiff_t)c->K, 1,
                        (char *)b.data + panel * size);
        } else {
            table->pack_integers(c->NV, lanes, c->K, integers, scales,
                                 (char *)b.data + panel * size);
        }
        for (v = 0; v < c->NV; v++) {
            free(memory[v]);
        }
    }
    buffer_read_only(&b);
    return b;
}

/* m rows from row `first` on, and the first panels. */
static void try_quantized(const quantized_case *c, int64_t first, int64_t m, int64_t panels) {
    const pygru_table_f32 *table = quantized_table(c->set);
    const int64_t lanes = table->lanes, width = panels * lanes;
    const int64_t row = pygru_rounded_row(c->K);
    buffer a = buffer_new(m * c->K * (int64_t)sizeof(float));
    buffer rounded = buffer_new(m * row * (int64_t)sizeof(float));
    buffer w = quantized_panels(c, panels, 0);
    buffer from = buffer_new(m * c->NV * width * (int64_t)sizeof(float));
    buffer out = buffer_new(m * c->NV * width * (int64_t)sizeof(float));
    pygru_product_f32 p = {.m = m,
                           .panels = panels,
                           .NV = c->NV,
                           .K = c->K,
                           .a = rounded.data,
                           .lda = (ptrdiff_t)row,
                           .w = w.data,
                           .panel = (ptrdiff_t)(c->NV * lanes * pygru_quantized_depth(c->K))};
    const uint64_t state = pygru_enter_float_state();
    int64_t i, j, panel;
    int v;
    set_case("quantized product, %s, NV=%d K=%d rows %d to %d, %d panels", c->set->name, c->NV,
             (int)c->K, (int)first, (int)(first + m), (int)panels);
    memcpy(a.data, c->a + first * c->K, a.bytes);
    buffer_read_only(&a);
    for (v = 0; v < c->NV; v++) {
        p.from.at[v] = (float *)from.data + v * width;
        p.out.at[v] = (float *)out.data + v * width;
        p.from.row[v] = p.out.row[v] = (ptrdiff_t)(c->NV * width);
        for (i = 0; i < m; i++) {
            for (panel = 0; panel < panels; panel++) {
                memcpy(p.from.at[v] + i * p.from.row[v] + panel * lanes,
                       c->from + (first + i) * c->columns + (panel * c->NV + v) * lanes,
                       (size_t)lanes * sizeof(float));
            }
        }
    }
    table->round_rows(m, c->K, a.data, (ptrdiff_t)c->K, rounded.data);
    table->product(&p);
    pygru_leave_float_state(state);
    for (v = 0; v < c->NV; v++) {
        for (i = 0; i < m; i++) {
            for (j = 0; j < width; j++) {
                const int64_t column = (j / lanes * c->NV + v) * lanes + j % lanes;
                const float got = p.out.at[v][i * p.out.row[v] + j];
                const float wanted = c->expected[(first + i) * c->columns + column];
                CHECK(isnan(wanted) ? isnan(got) : memcmp(&got, &wanted, sizeof got) == 0);
            }
        }
    }
    buffer_free(&a);
    buffer_free(&rounded);
    buffer_free(&w);
    buffer_free(&from);
    buffer_free(&out);
}

/* Floats that are integers times a power of two are packed to the same bytes as the integers. */
static void check_quantized_packing(quantized_case *c) {
    float *scales = c->scales;
    const int64_t columns = c->columns;
    buffer integers, floats;
    int64_t j;
    c->scales = allocate(columns, sizeof *scales);
    for (j = 0; j < columns; j++) {
        c->w[j * c->K + j % c->K] = j % 2 == 0 ? -127 : 127;
        c->scales[j] = ldexpf(1, (int)(j % 9) - 4);
    }
    set_case("packing, %s, NV=%d K=%d", c->set->name, c->NV, (int)c->K);
    integers = quantized_panels(c, 2, 0);
    floats = quantized_panels(c, 2, 1);
    CHECK(memcmp(integers.data, floats.data, integers.bytes) == 0);
    buffer_free(&integers);
    buffer_free(&floats);
    free(c->scales);
    c->scales = scales;
}

static void check_quantized_products_of(const kernel_set *set, int NV, int64_t K, int quick) {
    const int64_t lanes = quantized_table(set)->lanes;
    quantized_case c = {.set = set, .NV = NV, .K = K, .columns = NV * QUANTIZED_PANELS * lanes};
    int64_t i, m, panels;
    c.a = quantized_rows(K);
    c.w = quantized_columns(c.columns, K);
    c.scales = allocate(c.columns, sizeof *c.scales);
    c.from = allocate(QUANTIZED_M * c.columns, sizeof *c.from);
    c.expected = allocate(QUANTIZED_M * c.columns, sizeof *c.expected);
    for (i = 0; i < c.columns; i++) {
        c.scales[i] = (float)(random_unit() + 1.5) / 100;
    }
    for (i = 0; i < QUANTIZED_M * c.columns; i++) {
        c.from[i] = (float)random_unit();
    }
    expect_quantized(&c);
    for (m = 1; m <= 9; m += quick ? 4 : 1) {
        panels = 1 + (m + K) % QUANTIZED_PANELS;
        try_quantized(&c, (m * 7 + K) % (QUANTIZED_M - m), m, panels);
    }
    for (panels = 1; panels <= QUANTIZED_PANELS; panels += quick ? 8 : 1) {
        try_quantized(&c, 0, 1 + panels % 4, panels);
    }
    try_quantized(&c, 0, QUANTIZED_M, 3);
    check_quantized_packing(&c);
    free(c.a);
    free(c.w);
    free(c.scales);
    free(c.from);
    free(c.expected);
}

static void check_quantized_products(int quick) {
    static const int64_t wide[] = {15, 16, 17, 64, 129, 515};
    int set, NV, i;
    for (set = 0; set < n_kernel_sets; set++) {
        for (NV = 1; NV <= 3; NV++) {
            for (i = 1; i <= 9; i += quick ? 3 : 1) {
                check_quantized_products_of(&kernel_sets[set], NV, i, quick);
            }
            for (i = 0; i < (quick ? 2 : 6); i += 1) {
                check_quantized_products_of(&kernel_sets[set], NV, wide[i], quick);
            }
        }
    }
    if (!quick) { /* the largest sum that there is: K is PYGRU_MOST_TERMS */
        for (set = 0; set < n_kernel_sets; set++) {
            check_quantized_products_of(&kernel_sets[set], 1, PYGRU_MOST_TERMS, 1);
        }
    }
}

/* ---- networks --------------------------------------------------------------------------- */

/* Near the results of float64, and the same bits with every set of a family. */
static void check_quantized_network(const problem *p) {
    results exact, first[2], r;
    options o = plain_options;
    int set, seen[2] = {0, 0};
    o.engine = PYGRU_ENGINE_SIMD;
    o.keep = PYGRU_KEEP_NOTHING;
    run_f64(p, &o, &exact);
    for (set = 0; set < n_kernel_sets; set++) {
        const int fused = kernel_sets[set].fused;
        o.kernels = kernel_sets[set].kernels;
        describe(p, &quantized_precision, &o, "near float64, the same with all kernels");
        run_i8(p, &o, &r);
        CHECK_INT(r.forward, PYGRU_OK);
        CHECK_CLOSE(p->n_y, r.y, exact.y, quantized_precision.tolerance);
        CHECK_CLOSE(p->n_states, r.h_n, exact.h_n, quantized_precision.tolerance);
        if (!seen[fused]) {
            first[fused] = r;
            seen[fused] = 1;
            continue;
        }
        CHECK_SAME(p->n_y, r.y, first[fused].y);
        CHECK_SAME(p->n_states, r.h_n, first[fused].h_n);
        results_free(&r);
    }
    for (set = 0; set < 2; set++) {
        if (seen[set]) {
            results_free(&first[set]);
        }
    }
    results_free(&exact);
}

/* Models of all kinds: every set of kernels with batches of some sizes. */
static void check_quantized_networks(int quick) {
    static const int noise[] = {NO_NOISE, RECURRENT + ZONEOUT, DROPOUT};
    int n, set;
    for (n = 0; n < 16; n += quick ? 5 : 1) {
        const int64_t H = 1 + (n * 7) % 40;
        pygru_config c = nth_model(n, 1 + (5 * n) % 23, H, 1 + n % 2, 1 + (n / 3) % 2);
        problem p = problem_new(&c, 3 + n % 2, quick ? 9 : 20, n % 3 == 1, NO_NOISE);
        problem noisy = problem_new(&c, 4, 6, n % 3 == 1, noise[n % 3]);
        check_quantized_network(&noisy);
        check_quantized_network(&p);
        for (set = 0; set < n_kernel_sets; set++) {
            check_batches_of(&p, &quantized_precision, &kernel_sets[set], 2 + (n + set) % 8, 9,
                             0);
        }
        problem_free(&p);
        problem_free(&noisy);
    }
    for (n = 0; n < (quick ? 1 : 4); n++) {
        pygru_config c = nth_model(n, 5, 420 + n, 1 + n % 2, 1);
        problem p = problem_new(&c, 3, 1 + n, 0, n % 2 ? ZONEOUT : NO_NOISE);
        check_split_of(&p, &quantized_precision, &kernel_sets[n % n_kernel_sets],
                       PYGRU_KEEP_NOTHING);
        problem_free(&p);
    }
}

/* Packing the integers of a whole model gives the bytes of packing the floats they stand for. */
static void check_pack_integers(void) {
    int n;
    for (n = 0; n < 16; n++) {
        pygru_config c = nth_model(n, 3 + n, 5 + 3 * n, 1 + n % 3, 1 + n / 2 % 2);
        problem p = problem_new(&c, 1, 1, 0, NO_NOISE);
        const int64_t LD = c.num_layers * c.num_directions;
        float *parameters = allocate(p.n_parameters, sizeof *parameters);
        int8_t *integers = allocate(p.n_parameters, 1), *weight = integers;
        float *scales = allocate(6 * c.hidden_size * LD, sizeof *scales), *scale = scales;
        float *vectors = allocate(p.n_parameters, sizeof *vectors), *vector = vectors;
        int64_t i, j, k, bytes = 0;
        buffer from_floats, from_integers;
        c.precision = PYGRU_INT8;
        for (i = 0; i < p.n_parameters; i++) {
            parameters[i] = (float)p.parameters[i];
        }
        for (i = 0; i < LD; i++) {
            pygru_cell at;
            int64_t end;
            CHECK_INT(
                pygru_cell_of(&c, i / c.num_directions, (int32_t)(i % c.num_directions), &at),
                PYGRU_OK);
            end = at.weight_hh + 3 * c.hidden_size * c.hidden_size;
            for (j = 0; j < 6 * c.hidden_size; j++) {
                const int is_u = j >= 3 * c.hidden_size;
                const int64_t K = is_u ? c.hidden_size : at.input_size;
                const int64_t row = is_u ? j - 3 * c.hidden_size : j;
                float *w = parameters + (is_u ? at.weight_hh : at.weight_ih) + row * K;
                *scale = ldexpf(1, (int)(random_bits() % 5) - 8);
                for (k = 0; k < K; k++, weight++) {
                    *weight = (int8_t)((int)(random_bits() % 255) - 127);
                    if (k == 0) {
                        *weight = 127;
                    }
                    w[k] = (float)*weight * *scale;
                }
                scale++;
            }
            for (j = end; j < at.end; j++) {
                *vector++ = parameters[j];
            }
        }
        set_case("pack_integers, model %d", n);
        CHECK_INT(pygru_packed_size(&c, &bytes), PYGRU_OK);
        from_floats = buffer_aligned(bytes, 64);
        from_integers = buffer_aligned(bytes, 64);
        memset(from_floats.data, 0xFF, (size_t)bytes);
        memset(from_integers.data, 0xFF, (size_t)bytes);
        CHECK_INT(pygru_pack(&c, NULL, parameters, from_floats.data), PYGRU_OK);
        CHECK_INT(pygru_pack_integers(&c, NULL, integers, scales, vectors, from_integers.data),
                  PYGRU_OK);
        CHECK(memcmp(from_floats.data, from_integers.data, (size_t)bytes) == 0);
        buffer_free(&from_floats);
        buffer_free(&from_integers);
        free(parameters);
        free(integers);
        free(scales);
        free(vectors);
        problem_free(&p);
    }
}

static void check_quantized(int quick) {
    if (!pygru_has_simd_engine()) {
        return;
    }
    check_quantized_products(quick);
    check_pack_integers();
    check_quantized_networks(quick);
}

#endif
