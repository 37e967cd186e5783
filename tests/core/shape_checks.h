/* shape_checks.h - checks without floating-point results: status texts, the fingerprint, sizes
 * that overflow and values that are refused. */
#ifndef SHAPE_CHECKS_H
#define SHAPE_CHECKS_H

#include <limits.h>

#include "problem.h"

/* ---- status texts and the build ----------------------------------------------------- */

static void check_status_texts(void) {
    static const int unknown[] = {-1, PYGRU_STATUS_END_, INT_MAX, INT_MIN};
    int code, other;
    size_t i;
    set_case("status texts");
    for (code = 0; code < PYGRU_STATUS_END_; code++) {
        CHECK(strlen(pygru_status_text(code)) > 0);
        CHECK(strlen(pygru_status_exception(code)) > 0);
        for (other = 0; other < code; other++) {
            CHECK(strcmp(pygru_status_text(code), pygru_status_text(other)) != 0);
        }
    }
    for (i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK(strstr(pygru_status_text(unknown[i]), "unknown") != NULL);
        CHECK(strlen(pygru_status_exception(unknown[i])) > 0);
    }
    CHECK(strlen(pygru_compiler()) > 0);
    CHECK(pygru_kernels_count() >= 1);
#if defined(__aarch64__)
    CHECK(strcmp(pygru_kernels_name(0), "neon") == 0);
#else
    CHECK(strcmp(pygru_kernels_name(0), "baseline") == 0);
#endif
    CHECK(pygru_kernels_name(-1) == NULL && pygru_kernels_name(pygru_kernels_count()) == NULL);
    CHECK(pygru_kernels_at(0) != NULL);
    CHECK(pygru_kernels_at(-1) == NULL && pygru_kernels_at(pygru_kernels_count()) == NULL);
    CHECK_INT(pygru_has_simd_engine(), 1); /* gcc and clang have what it needs */
    CHECK(pygru_available_threads() >= 1);
#ifdef _OPENMP
    CHECK_INT(pygru_openmp_version(), _OPENMP);
#else
    CHECK_INT(pygru_openmp_version(), 0);
#endif
}

/* ---- the fingerprint ---------------------------------------------------------------- */

static uint64_t fingerprint_of(const void *data, int64_t bytes) {
    uint64_t fingerprint = 0;
    CHECK_INT(pygru_fingerprint(data, bytes, &fingerprint), PYGRU_OK);
    return fingerprint;
}

/* Two numbers that change their signs must not cancel, whether they are float or double. */
static void check_fingerprint_of_signs(unsigned char *bytes, int n) {
    const uint64_t print = fingerprint_of(bytes, n);
    int i, j;
    for (i = 3; i < n; i += 4) {
        bytes[i] ^= 0x80;
        for (j = i + 4; j < n; j += 4) {
            bytes[j] ^= 0x80;
            CHECK(fingerprint_of(bytes, n) != print);
            bytes[j] ^= 0x80;
        }
        bytes[i] ^= 0x80;
    }
}

static void check_fingerprint(void) {
    enum { LONGEST = 600 };
    unsigned char contents[LONGEST];
    int n, i, bit;
    for (i = 0; i < LONGEST; i++) {
        contents[i] = (unsigned char)random_bits();
    }
    for (n = 0; n <= LONGEST; n++) {
        buffer b = buffer_new(n), elsewhere = buffer_new(n + 1);
        unsigned char *bytes = b.data, *same = (unsigned char *)elsewhere.data + 1;
        uint64_t print;
        for (i = 0; i < n; i++) {
            bytes[i] = contents[i];
            same[i] = contents[i];
        }
        set_case("fingerprint of %d bytes", n);
        print = fingerprint_of(bytes, n);
        CHECK(fingerprint_of(same, n) == print);
        for (i = 0; i < n; i++) {
            for (bit = 0; bit < 8; bit++) {
                bytes[i] = (unsigned char)(contents[i] ^ 1 << bit);
                CHECK(fingerprint_of(bytes, n) != print);
            }
            bytes[i] = contents[i];
        }
        CHECK(n == 0 || fingerprint_of(bytes, n - 1) != print);
        if (n == LONGEST) {
            check_fingerprint_of_signs(bytes, n);
        }
        buffer_free(&b);
        buffer_free(&elsewhere);
    }
}

/* ---- huge sizes --------------------------------------------------------------------- */

/* Exact arithmetic up to 2^63, one more than 64 bits can index. */
typedef unsigned __int128 wide;
#define TOO_MANY ((wide)1 << 63)

static wide capped(wide value) { return value > TOO_MANY ? TOO_MANY : value; }
static wide add(wide a, wide b) { return capped(a + b); }
static wide product(wide a, wide b) { return capped(a * b); }

static const int64_t sizes_to_try[] = {1,
                                       7,
                                       INT64_C(1) << 20,
                                       (INT64_C(1) << 30) - 1,
                                       INT64_C(1) << 31,
                                       INT64_C(1) << 40,
                                       INT64_C(1) << 62,
                                       INT64_MAX};
enum { N_SIZES = sizeof sizes_to_try / sizeof *sizes_to_try };

static wide exact_cell(const pygru_config *c, wide width) {
    const wide H = (wide)c->hidden_size;
    const wide vectors = (c->has_bias ? 2U : 0U) + (c->norm_eps > 0 ? 2U : 0U);
    return product(product(3, H), add(add(width, H), vectors));
}

static wide exact_parameters(const pygru_config *c) {
    const wide D = (wide)c->num_directions;
    const wide upper = exact_cell(c, product(D, (wide)c->hidden_size));
    return add(product(D, exact_cell(c, (wide)c->input_size)),
               c->num_layers == 1 ? 0 : product(product(D, (wide)c->num_layers - 1), upper));
}

static wide value_bytes(const pygru_config *c) {
    return (wide)pygru_traits_of(c->precision)->value_bytes;
}

static wide rounded_up(wide n, wide to) { return product(add(n, to - 1) / to, to); }

/* n elements in bytes, rounded up so that the next array is aligned too. */
static wide aligned(wide n, wide bytes) { return rounded_up(product(n, bytes), 64); }

/* Per cell: four biases with 16 elements that may be read beyond them, what normalises, then
 * the columns of three gates, padded to the widest vector, for every input and every unit. */
static wide exact_packed_cell(const pygru_config *c, wide inputs) {
    const wide H = (wide)c->hidden_size, values = value_bytes(c);
    const wide weights = (wide)pygru_traits_of(c->precision)->weight_bytes;
    const wide columns = product(3, rounded_up(H, 16));
    const wide vectors = add(aligned(add(product(4, H), 16), values),
                             aligned(c->norm_eps > 0 ? product(10, H) : 0, values));
    return add(vectors, add(aligned(product(columns, inputs), weights),
                            aligned(product(columns, H), weights)));
}

static wide exact_packed(const pygru_config *c) {
    const wide D = (wide)c->num_directions, outputs = product(D, (wide)c->hidden_size);
    return product(D, add(exact_packed_cell(c, (wide)c->input_size),
                          product((wide)c->num_layers - 1, exact_packed_cell(c, outputs))));
}

static void check_packed_size(const pygru_config *c) {
    int64_t bytes = -1;
    const pygru_status status = pygru_packed_size(c, &bytes);
    if (exact_packed(c) >= TOO_MANY || product(8, exact_parameters(c)) >= TOO_MANY) {
        CHECK_INT(status, PYGRU_SIZE_OVERFLOW);
    } else {
        CHECK_INT(status, PYGRU_OK);
        CHECK((wide)bytes == exact_packed(c));
        CHECK(bytes % 64 == 0);
    }
}

/* A size is exact, or the call reports an overflow. It never wraps around. */
static void check_sizes_of(const pygru_config *c, int32_t engine, int32_t keep,
                           int32_t n_threads) {
    const int64_t T = 3, B = 2;
    const wide H = (wide)c->hidden_size, L = (wide)c->num_layers, D = (wide)c->num_directions;
    const wide R = (wide)(T * B), cells = product(L, D);
    const wide states = product(cells, product((wide)B, H));
    const wide columns = keep == PYGRU_KEEP_GATES ? 5 : 1;
    const wide standardised =
        keep == PYGRU_KEEP_GATES && c->norm_eps > 0 ? product(6, add(H, 1)) : 0;
    const wide row = add(product(columns, H), standardised);
    const wide tape = add(
        add(add(product(R, (wide)c->input_size), states), product(cells, product(R, row))), 16);
    const wide dropout = product(L - 1, product(R, product(D, H)));
    const wide zoneout = product(cells, product(R, H));
    const wide scratch = product((wide)n_threads, product(4, H));
    int64_t memory[256];
    int64_t bytes;
    pygru_sizes sizes;
    pygru_status status = pygru_plan_size(c, engine, T, B, NULL, &bytes);
    if (status == PYGRU_OK) {
        CHECK(bytes > 0 && bytes <= (int64_t)sizeof memory);
        CHECK_INT(pygru_plan_init(c, engine, T, B, NULL, keep, memory, sizeof memory),
                  PYGRU_OK);
        status = pygru_plan_sizes((const pygru_plan *)memory, n_threads, &sizes);
    }
    CHECK(status == PYGRU_OK || status == PYGRU_SIZE_OVERFLOW);
    if (status == PYGRU_OK) {
        CHECK_INT(sizes.rows, T * B);
        CHECK((wide)sizes.parameters == exact_parameters(c));
        CHECK((wide)sizes.dropout == dropout);
        CHECK((wide)sizes.recurrent == states);
        CHECK((wide)sizes.zoneout == zoneout);
        CHECK(sizes.tape >= 0 && sizes.forward_workspace > 0 && sizes.backward_workspace > 0);
        CHECK((wide)sizes.tape == (keep == PYGRU_KEEP_NOTHING ? 0 : tape));
        CHECK((wide)sizes.forward_workspace >= product(value_bytes(c), scratch));
        CHECK((wide)sizes.backward_workspace >=
              product(value_bytes(c), add(scratch, (wide)sizes.parameters)));
        CHECK(sizes.largest_product > 0 && sizes.operations > 0 && sizes.max_threads > 0);
        CHECK(sizes.operations == INT64_MAX || (wide)sizes.operations >= R);
    }
}

static void check_huge_models(void) {
    int i, h, l, n;
    int32_t engine;
    for (i = 0; i < N_SIZES; i++) {
        for (h = 0; h < N_SIZES; h++) {
            for (l = 0; l < N_SIZES; l++) {
                for (n = 0; n < 8; n++) {
                    const pygru_config c = {sizes_to_try[i],
                                            sizes_to_try[h],
                                            sizes_to_try[l],
                                            1 + (n & 1),
                                            n >> 1 & 1,
                                            PYGRU_RESET_AFTER,
                                            PYGRU_UPDATE_KEEPS,
                                            0,
                                            (i + h + l) % N_PRECISIONS,
                                            .norm_eps = n >> 2 ? 1e-5 : 0};
                    pygru_cell last = {0};
                    pygru_status status =
                        pygru_cell_of(&c, c.num_layers - 1, c.num_directions - 1, &last);
                    set_case("huge model: I=%lld H=%lld L=%lld D=%d bias=%d",
                             (long long)c.input_size, (long long)c.hidden_size,
                             (long long)c.num_layers, (int)c.num_directions, (int)c.has_bias);
                    /* the limit is in bytes, 8 per element */
                    CHECK_INT(status, product(8, exact_parameters(&c)) < TOO_MANY
                                          ? PYGRU_OK
                                          : PYGRU_SIZE_OVERFLOW);
                    if (status == PYGRU_OK) {
                        CHECK((wide)last.end == exact_parameters(&c));
                    }
                    check_packed_size(&c);
                    for (engine = 0; engine <= pygru_has_simd_engine(); engine++) {
                        check_sizes_of(&c, engine, PYGRU_KEEP_NOTHING, 1);
                        check_sizes_of(&c, engine, PYGRU_KEEP_OUTPUTS, 64);
                        check_sizes_of(&c, engine, PYGRU_KEEP_GATES, INT32_MAX);
                    }
                }
            }
        }
    }
}

static void check_huge_batches(void) {
    const pygru_config c = {
        7, 8, 2, 2, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    const pygru_config one = {
        7, 8, 2, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    const pygru_config wide_step = {7, INT64_C(1) << 31, 1, 1, 1, 0, 0, 0, 0, .norm_eps = 0};
    int t, b;
    for (t = 0; t < N_SIZES; t++) {
        for (b = 0; b < N_SIZES; b++) {
            const wide T = (wide)sizes_to_try[t], B = (wide)sizes_to_try[b];
            const wide chunks = (B - 1) / 64 + 1; /* at least */
            const wide least = add(product(16, B), product(8, product(chunks, add(T, 1))));
            int64_t bytes = -1, step_bytes = -1;
            pygru_status status = pygru_plan_size(&c, (t + b) % 2, sizes_to_try[t],
                                                  sizes_to_try[b], NULL, &bytes);
            set_case("huge batch: T=%lld B=%lld", (long long)T, (long long)B);
            CHECK(status == PYGRU_OK || status == PYGRU_SIZE_OVERFLOW);
            if (status == PYGRU_OK) {
                CHECK(bytes > 0 && (wide)bytes >= least);
                CHECK(product(T, B) < TOO_MANY);
            } else {
                CHECK(product(T, B) == TOO_MANY || product(32, least) == TOO_MANY);
                CHECK_INT(pygru_plan_init(&c, (t + b) % 2, sizes_to_try[t], sizes_to_try[b],
                                          NULL, PYGRU_KEEP_GATES, NULL, 0),
                          PYGRU_SIZE_OVERFLOW);
            }
            status = pygru_step_workspace(&one, sizes_to_try[b], &step_bytes);
            if (status == PYGRU_OK) {
                CHECK((wide)step_bytes >= product(B, 4 * 5 * 8));
            } else {
                CHECK_INT(status, PYGRU_SIZE_OVERFLOW);
                CHECK(product(4, product(B, 8 * 8)) == TOO_MANY);
            }
            status = pygru_step_workspace(&wide_step, sizes_to_try[b], &step_bytes);
            if (status == PYGRU_OK) {
                CHECK((wide)step_bytes >= product(B, product(4 * 5, (wide)1 << 31)));
            } else {
                CHECK_INT(status, PYGRU_SIZE_OVERFLOW);
            }
        }
    }
}

/* ---- values out of range ------------------------------------------------------------ */

static void check_bad_config(const pygru_config *c) {
    int64_t memory[256], number;
    pygru_cell cell;
    set_case("bad config: I=%lld H=%lld L=%lld D=%d bias=%d reset=%d update=%d",
             (long long)c->input_size, (long long)c->hidden_size, (long long)c->num_layers,
             (int)c->num_directions, (int)c->has_bias, (int)c->reset, (int)c->update);
    CHECK_INT(pygru_cell_of(c, 0, 0, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_plan_size(c, PYGRU_ENGINE_BLAS, 3, 2, NULL, &number), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_plan_init(c, PYGRU_ENGINE_BLAS, 3, 2, NULL, PYGRU_KEEP_GATES, memory,
                              sizeof memory),
              PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_step_workspace(c, 2, &number), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_packed_size(c, &number), PYGRU_BAD_CONFIG);
}

static void check_bad_configs(void) {
    static const int64_t bad_sizes[] = {0, -1, -(INT64_C(1) << 40), INT64_MIN};
    static const int32_t bad_flags[] = {-1, 2, INT32_MAX, INT32_MIN};
    static const double bad_eps[] = {-1e-5, 2, -INFINITY, INFINITY, NAN};
    static const double bad_factors[] = {-1, 1e-31, 1e31, -INFINITY, INFINITY, NAN};
    static const double bad_alpha[] = {-1, 0, 1e-31, 1e31, -INFINITY, INFINITY, NAN};
    static const double bad_beta[] = {-1e31, 1e31, INFINITY, NAN};
    static const int32_t bad_codes[] = {-1, PYGRU_ACTIVATIONS_END_, INT32_MAX, INT32_MIN};
    static const int32_t bad_directions[] = {0, -1, 3, INT32_MAX, INT32_MIN};
    const pygru_config good = {
        3, 2, 2, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    int64_t memory[256], number;
    pygru_cell cell;
    pygru_config c;
    int i;
    for (i = 0; i < 4; i++) {
        set_case("engine %d", (int)bad_flags[i]);
        CHECK_INT(pygru_plan_size(&good, bad_flags[i], 3, 2, NULL, &number), PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_plan_init(&good, bad_flags[i], 3, 2, NULL, PYGRU_KEEP_GATES, memory,
                                  sizeof memory),
                  PYGRU_BAD_CONFIG);
    }
    for (i = 0; i < 4; i++) {
        c = good, c.input_size = bad_sizes[i], check_bad_config(&c);
        c = good, c.hidden_size = bad_sizes[i], check_bad_config(&c);
        c = good, c.num_layers = bad_sizes[i], check_bad_config(&c);
        c = good, c.has_bias = bad_flags[i], check_bad_config(&c);
        c = good, c.reset = bad_flags[i], check_bad_config(&c);
        c = good, c.precision = bad_flags[i] < 0 ? bad_flags[i] : PYGRU_PRECISIONS_END_ + i,
        check_bad_config(&c);
        c = good, c.update = bad_flags[i], check_bad_config(&c);
    }
    for (i = 0; i < 5; i++) {
        c = good, c.num_directions = bad_directions[i], check_bad_config(&c);
        c = good, c.norm_eps = bad_eps[i], check_bad_config(&c);
    }
    for (i = 0; i < 6; i++) {
        c = good, c.clip = bad_factors[i], check_bad_config(&c);
    }
    for (i = 0; i < 7; i++) {
        const pygru_activation alpha = {PYGRU_ACTIVATION_hard_sigmoid, bad_alpha[i], 0.5};
        const pygru_activation beta = {PYGRU_ACTIVATION_hard_sigmoid, 0.2, bad_beta[i % 4]};
        c = good, c.activation = alpha, check_bad_config(&c);
        c = good, c.activation = beta, check_bad_config(&c);
        c = good, c.recurrent_activation = alpha, check_bad_config(&c);
        c = good, c.recurrent_activation = beta, check_bad_config(&c);
    }
    for (i = 0; i < 4; i++) {
        c = good, c.activation.function = bad_codes[i], check_bad_config(&c);
        c = good, c.recurrent_activation.function = bad_codes[i], check_bad_config(&c);
        c = good, c.reverse = bad_flags[i], check_bad_config(&c);
    }
    c = good, c.reverse = 1, c.num_directions = 2, check_bad_config(&c);
    set_case("a single step in reverse");
    c = good, c.reverse = 1;
    CHECK_INT(pygru_step_workspace(&c, 1, &number), PYGRU_BAD_CONFIG);
    set_case("bad layer or direction");
    CHECK_INT(pygru_cell_of(&good, -1, 0, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_cell_of(&good, 2, 0, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_cell_of(&good, INT64_MIN, 0, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_cell_of(&good, INT64_MAX, 0, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_cell_of(&good, 0, -1, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_cell_of(&good, 0, 1, &cell), PYGRU_BAD_CONFIG);
}

static void check_bad_batches(void) {
    static const int64_t bad_lengths[] = {-1, 4, INT64_MAX, INT64_MIN};
    static const int64_t negative[] = {-1, -(INT64_C(1) << 40), INT64_MIN};
    const pygru_config c = {
        3, 2, 2, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    int64_t memory[256], number, lengths[2];
    int i;
    for (i = 0; i < 8; i++) {
        lengths[0] = i < 4 ? bad_lengths[i] : 3;
        lengths[1] = i < 4 ? 0 : bad_lengths[i - 4];
        set_case("bad lengths %lld, %lld", (long long)lengths[0], (long long)lengths[1]);
        CHECK_INT(pygru_plan_size(&c, i % 2, 3, 2, lengths, &number), PYGRU_BAD_BATCH);
        CHECK_INT(pygru_plan_init(&c, i % 2, 3, 2, lengths, 0, memory, sizeof memory),
                  PYGRU_BAD_BATCH);
    }
    for (i = 0; i < 3; i++) {
        set_case("negative T or B: %lld", (long long)negative[i]);
        CHECK_INT(pygru_plan_size(&c, i % 2, negative[i], 2, NULL, &number), PYGRU_BAD_BATCH);
        CHECK_INT(pygru_plan_size(&c, i % 2, 3, negative[i], NULL, &number), PYGRU_BAD_BATCH);
        CHECK_INT(pygru_plan_init(&c, i % 2, negative[i], 2, NULL, 0, memory, sizeof memory),
                  PYGRU_BAD_BATCH);
        CHECK_INT(pygru_plan_init(&c, i % 2, 3, negative[i], NULL, 0, memory, sizeof memory),
                  PYGRU_BAD_BATCH);
        CHECK_INT(pygru_step_workspace(&c, negative[i], &number), PYGRU_BAD_CONFIG);
    }
}

/* "-1 where the tape does not hold it" */
static void check_tape_views(void) {
    pygru_config c = {
        3, 2, 2, 2, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    int64_t memory[256];
    const pygru_plan *plan = (const pygru_plan *)memory;
    int64_t layer;
    int32_t d, n;
    for (n = 0; n < 6; n++) {
        const int32_t keep = n % 3;
        pygru_sizes sizes;
        c.norm_eps = n < 3 ? 0 : 0.1;
        CHECK_INT(pygru_plan_init(&c, keep % 2, 3, 2, NULL, keep, memory, sizeof memory),
                  PYGRU_OK);
        CHECK_INT(pygru_plan_sizes(plan, 1, &sizes), PYGRU_OK);
        for (layer = 0; layer < 2; layer++) {
            for (d = 0; d < 2; d++) {
                pygru_tape_view view;
                set_case("tape view, keep=%d layer=%d direction=%d", (int)keep, (int)layer,
                         (int)d);
                pygru_tape_view_of(plan, layer, d, &view);
                if (keep == PYGRU_KEEP_NOTHING) {
                    CHECK_INT(view.h_prev, -1);
                    CHECK_INT(view.h_last, -1);
                } else {
                    CHECK(view.h_prev >= 0 && view.h_prev + 6 * 2 <= sizes.tape);
                    CHECK(view.h_last >= 0 && view.h_last + 2 * 2 <= sizes.tape);
                }
                if (keep != PYGRU_KEEP_GATES) {
                    CHECK_INT(view.gates, -1);
                } else {
                    CHECK(view.gates >= 0 && view.gates + 6 * 4 * 2 <= sizes.tape);
                }
                if (keep != PYGRU_KEEP_GATES || c.norm_eps == 0) {
                    CHECK_INT(view.norm, -1);
                } else {
                    CHECK(view.norm >= 0 && view.norm + 6 * 6 * (2 + 1) <= sizes.tape);
                }
            }
        }
    }
}

#endif
