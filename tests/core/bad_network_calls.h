/* bad_network_calls.h - the calls around a GRU with bad arguments: sizes, plans, forward, backward,
 * single steps, packing. */
#ifndef BAD_NETWORK_CALLS_H
#define BAD_NETWORK_CALLS_H

#include "bad_arguments.h"

/* ---- sizes and the plan ---------------------------------------------------------------- */

static void try_sizes(void) {
    tiny_model m = tiny_new(PYGRU_FLOAT64, PYGRU_ENGINE_BLAS);
    const pygru_config good = m.config;
    pygru_config bad = m.config;
    pygru_cell cell;
    pygru_affine_sizes affine;
    int64_t bytes;
    int i;
    set_case("sizes without memory for them");
    CHECK_INT(pygru_cell_of(NULL, 0, 0, &cell), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_cell_of(&good, 0, 0, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_cell_of(&good, 1, 0, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_cell_of(&good, 0, 1, &cell), PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_step_workspace(NULL, 2, &bytes), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_step_workspace(&good, 2, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_step_workspace(&good, INT64_MAX, &bytes), PYGRU_SIZE_OVERFLOW);
    CHECK_INT(pygru_packed_size(NULL, &bytes), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_packed_size(&good, NULL), PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_SIZES) {
        CHECK_INT(pygru_cell_of(&good, NOT_SIZES[i], 0, &cell), PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_step_workspace(&good, NOT_SIZES[i], &bytes), PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_affine_sizes_of(0, NOT_SIZES[i], 1, 1, &affine), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_affine_sizes_of(0, 1, NOT_SIZES[i], 1, &affine), PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_CODES) {
        bad.precision = NOT_CODES[i];
        CHECK_INT(pygru_packed_size(&bad, &bytes), PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_cell_of(&bad, 0, 0, &cell), PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_affine_sizes_of(NOT_CODES[i], 1, 1, 1, &affine), PYGRU_BAD_ARGUMENT);
    }
    set_case("sizes of an affine map");
    CHECK_INT(pygru_affine_sizes_of(0, 1, 1, 0, &affine), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_sizes_of(0, 1, 1, 1, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_sizes_of(0, 1, 1, 1, (void *)((char *)&affine + 1)),
              PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_sizes_of(0, INT64_MAX, 1, 1, &affine), PYGRU_SIZE_OVERFLOW);
    CHECK_INT(pygru_affine_sizes_of(0, 1, INT64_MAX / 2, 1, &affine), PYGRU_SIZE_OVERFLOW);
    CHECK_INT(pygru_affine_sizes_of(0, INT64_C(1) << 31, INT64_C(1) << 31, 1, &affine),
              PYGRU_SIZE_OVERFLOW);
    buffer_free(&m.memory);
}

static void try_plans(void) {
    tiny_model m = tiny_new(PYGRU_FLOAT32, PYGRU_ENGINE_BLAS);
    const pygru_config good = m.config;
    const int64_t lengths[2] = {2, 1};
    int64_t *odd = (int64_t *)((char *)m.plan + 1);
    int64_t rows[8], bytes = -1;
    pygru_plan *fresh = tiny_array(&m), *no_plan = tiny_array(&m);
    pygru_sizes sizes;
    pygru_tape_view view;
    int i;
    set_case("plan_size");
    CHECK_INT(pygru_plan_size(NULL, 0, 2, 2, NULL, &bytes), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_size(&good, 0, 2, 2, NULL, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_size(&good, 0, 2, 2, odd, &bytes), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_size(&good, 0, INT64_MAX, INT64_MAX, NULL, &bytes),
              PYGRU_SIZE_OVERFLOW);
    CHECK_INT(pygru_plan_size(&good, 0, 2, 2, lengths, &bytes), PYGRU_OK);
    set_case("plan_init");
    CHECK_INT(pygru_plan_init(NULL, 0, 2, 2, NULL, 0, fresh, TINY_BYTES), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_init(&good, 0, 2, 2, lengths, 0, NULL, TINY_BYTES),
              PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_init(&good, 0, 2, 2, lengths, 0, odd, TINY_BYTES), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_init(&good, 0, 2, 2, lengths, 0, fresh, bytes - 1),
              PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_SIZES) {
        CHECK_INT(pygru_plan_init(&good, 0, 2, 2, lengths, 0, fresh, NOT_SIZES[i]),
                  PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_plan_size(&good, 0, NOT_SIZES[i], 2, NULL, &bytes), PYGRU_BAD_BATCH);
        CHECK_INT(pygru_plan_size(&good, 0, 2, NOT_SIZES[i], NULL, &bytes), PYGRU_BAD_BATCH);
    }
    FOR_EACH(i, NOT_CODES) {
        CHECK_INT(pygru_plan_init(&good, 0, 2, 2, NULL, NOT_CODES[i], fresh, TINY_BYTES),
                  PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_plan_init(&good, NOT_CODES[i], 2, 2, NULL, 0, fresh, TINY_BYTES),
                  PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_tape_view_of(m.plan, 0, NOT_CODES[i], &view), PYGRU_BAD_ARGUMENT);
    }
    set_case("what asks a plan");
    CHECK_INT(pygru_plan_sizes(m.plan, 1, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_sizes(m.plan, 0, &sizes), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_sizes(m.plan, INT32_MIN, &sizes), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_rows(m.plan, NULL, rows), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_rows(m.plan, rows, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_plan_rows(m.plan, odd, rows), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_tape_view_of(m.plan, 0, 0, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_tape_view_of(m.plan, 1, 0, &view), PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_SIZES) {
        CHECK_INT(pygru_tape_view_of(m.plan, NOT_SIZES[i], 0, &view), PYGRU_BAD_ARGUMENT);
    }
    set_case("memory that holds no plan");
    for (i = 0; i < 4; i++) {
        const pygru_plan *bad = i == 0   ? NULL
                                : i == 1 ? no_plan /* zeros */
                                : i == 2 ? (const pygru_plan *)odd
                                         : no_plan; /* ones */
        memset(no_plan, i == 3 ? 0xFF : 0, 4096);
        CHECK_INT(pygru_plan_sizes(bad, 1, &sizes), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_plan_rows(bad, rows, rows + 4), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_tape_view_of(bad, 0, 0, &view), PYGRU_BAD_ARGUMENT);
        m.forward.plan = m.backward.plan = bad;
        CHECK_INT(pygru_forward(&m.forward), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_backward(&m.backward), PYGRU_BAD_ARGUMENT);
    }
    buffer_free(&m.memory);
}

/* ---- forward, backward, step, pack ------------------------------------------------------ */

#define BAD_STRIDES(call, args, member)                                                        \
    REFUSES(call, args, member, PTRDIFF_MAX, PYGRU_BAD_ARGUMENT);                              \
    REFUSES(call, args, member, PTRDIFF_MIN, PYGRU_BAD_ARGUMENT);                              \
    REFUSES(call, args, member, PTRDIFF_MAX / 8, PYGRU_BAD_ARGUMENT)

/* What forward, backward and step have in common. */
#define BAD_BLAS(call, args, table)                                                            \
    do {                                                                                       \
        const pygru_blas good_blas_ = (table);                                                 \
        set_case("%s, a bad table of BLAS functions", #call);                                  \
        (table).int_bytes = 2;                                                                 \
        CHECK_INT(call(&(args)), PYGRU_BAD_ARGUMENT);                                          \
        (table) = good_blas_;                                                                  \
        (table).max_int = 0;                                                                   \
        CHECK_INT(call(&(args)), PYGRU_BAD_ARGUMENT);                                          \
        (table).max_int = INT64_MIN;                                                           \
        CHECK_INT(call(&(args)), PYGRU_BAD_ARGUMENT);                                          \
        (table) = good_blas_;                                                                  \
        (table).sgemm = (table).dgemm = NULL;                                                  \
        CHECK_INT(call(&(args)), PYGRU_BAD_ARGUMENT);                                          \
        (table) = good_blas_;                                                                  \
        (table).sgemv = (table).dgemv = NULL;                                                  \
        CHECK_INT(call(&(args)), PYGRU_BAD_ARGUMENT);                                          \
        (table) = good_blas_;                                                                  \
        CHECK_INT(call(&(args)), PYGRU_OK);                                                    \
    } while (0)

static void try_forward(int32_t code, int32_t engine) {
    const int simd = engine == PYGRU_ENGINE_SIMD;
    const pointer_member members[] = {
        POINTER(pygru_forward_args, plan, 0, 8),
        POINTER(pygru_forward_args, parameters, 0, VALUES),
        POINTER(pygru_forward_args, packed, !simd, simd ? 64 : 1),
        POINTER(pygru_forward_args, x.data, 0, VALUES),
        POINTER(pygru_forward_args, h0, 1, VALUES),
        POINTER(pygru_forward_args, y.data, 1, VALUES),
        POINTER(pygru_forward_args, h_n, 0, VALUES),
        POINTER(pygru_forward_args, tape, 0, VALUES),
        POINTER(pygru_forward_args, workspace, 0, 1),
        POINTER(pygru_forward_args, blas, simd, simd ? 1 : 8),
        POINTER(pygru_forward_args, team, 0, 8),
    };
    tiny_model m = tiny_new(code, engine);
    pygru_forward_args *f = &m.forward;
    pygru_sizes sizes;
    int i;
    tiny_calls(&m);
    CHECK_INT(pygru_plan_sizes(m.plan, 1, &sizes), PYGRU_OK);
    WALK(f, members, call_forward);
    f->workspace_bytes = sizes.forward_workspace;
    CHECK_INT(pygru_forward(f), PYGRU_OK);
    REFUSES(pygru_forward, *f, workspace_bytes, sizes.forward_workspace - 1,
            PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_SIZES) {
        REFUSES(pygru_forward, *f, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_RATES) {
        REFUSES(pygru_forward, *f, noise.zoneout_rate, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
    }
    BAD_STRIDES(pygru_forward, *f, x.step);
    BAD_STRIDES(pygru_forward, *f, x.sequence);
    BAD_STRIDES(pygru_forward, *f, y.step);
    BAD_STRIDES(pygru_forward, *f, y.sequence);
    REFUSES(pygru_forward, *f, y.step, 0, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_forward, *f, y.sequence, 1, PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_TEAMS) {
        set_case("forward, %d threads", (int)NOT_TEAMS[i]);
        m.team.n_threads = NOT_TEAMS[i];
        CHECK_INT(pygru_forward(f), PYGRU_BAD_ARGUMENT);
    }
    m.team.n_threads = 1;
    FOR_EACH(i, NOT_CHOICES) {
        set_case("forward, threading or adaptive %d", (int)NOT_CHOICES[i]);
        m.team.threading = NOT_CHOICES[i];
        CHECK_INT(pygru_forward(f), PYGRU_BAD_ARGUMENT);
        m.team.threading = PYGRU_POOL;
        m.team.adaptive = NOT_CHOICES[i];
        CHECK_INT(pygru_forward(f), PYGRU_BAD_ARGUMENT);
        m.team.adaptive = 0;
    }
    if (!simd) {
        BAD_BLAS(pygru_forward, *f, m.blas);
    }
    buffer_free(&m.memory);
}

static void try_backward(int32_t code, int32_t engine) {
    const int simd = engine == PYGRU_ENGINE_SIMD;
    const pointer_member members[] = {
        POINTER(pygru_backward_args, plan, 0, 8),
        POINTER(pygru_backward_args, parameters, 0, VALUES),
        POINTER(pygru_backward_args, packed, !simd, simd ? 64 : 1),
        POINTER(pygru_backward_args, tape, 0, VALUES),
        POINTER(pygru_backward_args, d_y.data, 1, VALUES),
        POINTER(pygru_backward_args, d_h_n, 1, VALUES),
        POINTER(pygru_backward_args, d_x.data, 1, VALUES),
        POINTER(pygru_backward_args, d_h0, 0, VALUES),
        POINTER(pygru_backward_args, grads, 0, VALUES),
        POINTER(pygru_backward_args, workspace, 0, 1),
        POINTER(pygru_backward_args, blas, simd, simd ? 1 : 8),
        POINTER(pygru_backward_args, team, 0, 8),
    };
    tiny_model m = tiny_new(code, engine);
    pygru_backward_args *b = &m.backward;
    pygru_sizes sizes;
    int i;
    tiny_calls(&m);
    CHECK_INT(pygru_plan_sizes(m.plan, 1, &sizes), PYGRU_OK);
    WALK(b, members, call_backward);
    b->workspace_bytes = sizes.backward_workspace;
    CHECK_INT(pygru_backward(b), PYGRU_OK);
    REFUSES(pygru_backward, *b, workspace_bytes, sizes.backward_workspace - 1,
            PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_SIZES) {
        REFUSES(pygru_backward, *b, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_RATES) {
        REFUSES(pygru_backward, *b, noise.zoneout_rate, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
    }
    BAD_STRIDES(pygru_backward, *b, d_y.step);
    BAD_STRIDES(pygru_backward, *b, d_y.sequence);
    BAD_STRIDES(pygru_backward, *b, d_x.step);
    BAD_STRIDES(pygru_backward, *b, d_x.sequence);
    REFUSES(pygru_backward, *b, d_x.step, 0, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_backward, *b, d_x.sequence, -1, PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_TEAMS) {
        set_case("backward, %d threads", (int)NOT_TEAMS[i]);
        m.team.n_threads = NOT_TEAMS[i];
        CHECK_INT(pygru_backward(b), PYGRU_BAD_ARGUMENT);
    }
    m.team.n_threads = 1;
    FOR_EACH(i, NOT_CHOICES) {
        set_case("backward, threading or adaptive %d", (int)NOT_CHOICES[i]);
        m.team.threading = NOT_CHOICES[i];
        CHECK_INT(pygru_backward(b), PYGRU_BAD_ARGUMENT);
        m.team.threading = PYGRU_POOL;
        m.team.adaptive = NOT_CHOICES[i];
        CHECK_INT(pygru_backward(b), PYGRU_BAD_ARGUMENT);
        m.team.adaptive = 0;
    }
    if (!simd) {
        BAD_BLAS(pygru_backward, *b, m.blas);
    }
    buffer_free(&m.memory);
}

static void try_step(int32_t code, int32_t engine) {
    const int simd = engine == PYGRU_ENGINE_SIMD;
    const pointer_member members[] = {
        POINTER(pygru_step_args, config, 0, 8),
        POINTER(pygru_step_args, parameters, simd, VALUES),
        POINTER(pygru_step_args, x, 0, VALUES),
        POINTER(pygru_step_args, h, 0, VALUES),
        POINTER(pygru_step_args, h_next, 0, VALUES),
        POINTER(pygru_step_args, workspace, 0, VALUES),
        POINTER(pygru_step_args, blas, simd, simd ? 1 : 8),
    };
    tiny_model m = tiny_new(code, engine);
    pygru_step_args *s = &m.step;
    int64_t bytes = 0;
    int i;
    tiny_calls(&m);
    s->packed = simd ? m.forward.packed : NULL;
    CHECK_INT(pygru_step_workspace(&m.config, 2, &bytes), PYGRU_OK);
    WALK(s, members, call_step);
    s->workspace_bytes = bytes;
    CHECK_INT(pygru_step(s), PYGRU_OK);
    REFUSES(pygru_step, *s, workspace_bytes, bytes - 1, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_step, *s, B, 3, PYGRU_BAD_ARGUMENT); /* the workspace is for 2 */
    REFUSES(pygru_step, *s, B, INT64_MAX, PYGRU_SIZE_OVERFLOW);
    REFUSES(pygru_step, *s, B, INT64_MAX / 8, PYGRU_SIZE_OVERFLOW);
    FOR_EACH(i, NOT_SIZES) {
        REFUSES(pygru_step, *s, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_step, *s, B, NOT_SIZES[i], PYGRU_BAD_CONFIG);
    }
    FOR_EACH(i, NOT_RATES) {
        REFUSES(pygru_step, *s, zoneout_rate, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_CODES) {
        m.config.precision = NOT_CODES[i];
        CHECK_INT(pygru_step(s), PYGRU_BAD_CONFIG);
    }
    m.config.precision = code;
    if (simd) {
        REFUSES(pygru_step, *s, packed, (const char *)m.forward.packed + 1, PYGRU_BAD_ARGUMENT);
    } else {
        BAD_BLAS(pygru_step, *s, m.blas);
    }
    buffer_free(&m.memory);
}

static void try_pack(int32_t code) {
    tiny_model m = tiny_new(code, PYGRU_ENGINE_BLAS);
    const pygru_status good = pygru_has_simd_engine() ? PYGRU_OK : PYGRU_BAD_CONFIG;
    const pygru_status bad = pygru_has_simd_engine() ? PYGRU_BAD_ARGUMENT : PYGRU_BAD_CONFIG;
    char *parameters = tiny_array(&m), *packed = tiny_array(&m);
    set_case("pack");
    CHECK_INT(pygru_pack(&m.config, NULL, parameters, packed), good);
    CHECK_INT(pygru_pack(NULL, NULL, parameters, packed), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_pack(&m.config, NULL, NULL, packed), bad);
    CHECK_INT(pygru_pack(&m.config, NULL, parameters + 1, packed), bad);
    CHECK_INT(pygru_pack(&m.config, NULL, parameters, NULL), bad);
    CHECK_INT(pygru_pack(&m.config, NULL, parameters, packed + 32), bad);
    m.config.hidden_size = INT64_MAX;
    CHECK_INT(pygru_pack(&m.config, NULL, parameters, packed), PYGRU_SIZE_OVERFLOW);
    m.config.hidden_size = 2;
    m.config.precision = PYGRU_PRECISIONS_END_;
    CHECK_INT(pygru_pack(&m.config, NULL, parameters, packed), PYGRU_BAD_CONFIG);
    buffer_free(&m.memory);
}

#endif
