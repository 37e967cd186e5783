/* every_call.h - every public call of pygru.h with every kind of bad argument: NULL,
 * misaligned, negative, overflowing, unknown, too small. The core must refuse each before it
 * uses it.
 *
 * EVERY_CALL lists the public calls, each with the function that tries it. run.sh compares that
 * list with the symbols that the core exports, so a new call without a test makes it fail. */
#ifndef EVERY_CALL_H
#define EVERY_CALL_H

#include <stddef.h>

#include "precisions.h"

static const int64_t NOT_SIZES[] = {-1, -(INT64_C(1) << 40), INT64_MIN};
static const int32_t NOT_CODES[] = {-1, 1 << 20, INT32_MAX, INT32_MIN};
static const int32_t NOT_TEAMS[] = {0, -1, INT32_MIN, INT32_MAX};
static const double NOT_RATES[] = {-0.1, 1.5, -INFINITY, INFINITY, NAN};
#define EACH(i, array) (i = 0; i < (int)(sizeof(array) / sizeof *(array)); i++)

/* ---- a model so small that every array fits into the same few kilobytes -------------- */

enum { TINY_BYTES = 1 << 20, TINY_ARRAYS = 24 };

typedef struct tiny_model {
    buffer memory;
    int arrays; /* taken so far */
    int64_t value;
    pygru_config config;
    pygru_blas blas;
    pygru_team team;
    pygru_plan *plan;
    pygru_forward_args forward;
    pygru_backward_args backward;
    pygru_step_args step;
} tiny_model;

static void *tiny_array(tiny_model *m) {
    CHECK(m->arrays < TINY_ARRAYS);
    return (char *)m->memory.data + (size_t)m->arrays++ * TINY_BYTES;
}

/* T = B = 2, with room for recurrent dropout. */
static tiny_model tiny_new(int32_t code, int32_t engine) {
    const pygru_config config = {3, 2,    1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS,
                                 1, code, 0};
    tiny_model m = {0};
    m.memory = buffer_aligned((int64_t)TINY_ARRAYS * TINY_BYTES, 64);
    memset(m.memory.data, 0, m.memory.bytes);
    m.value = pygru_traits_of(code)->value_bytes;
    m.config = config;
    m.blas = naive_blas(4, 0);
    m.team.n_threads = 1;
    m.plan = tiny_array(&m);
    CHECK_INT(
        pygru_plan_init(&config, engine, 2, 2, NULL, PYGRU_KEEP_GATES, m.plan, TINY_BYTES),
        PYGRU_OK);
    return m;
}

/* The calls point into the model, so it must not be moved after this. */
static void tiny_calls(tiny_model *m) {
    pygru_forward_args *f = &m->forward;
    pygru_backward_args *b = &m->backward;
    pygru_step_args *s = &m->step;
    f->plan = m->plan;
    f->parameters = tiny_array(m);
    f->packed = tiny_array(m);
    f->x.data = tiny_array(m);
    f->h0 = tiny_array(m);
    f->y.data = tiny_array(m);
    f->x.step = f->y.step = 64;
    f->x.sequence = f->y.sequence = 32;
    f->h_n = tiny_array(m);
    f->tape = tiny_array(m);
    f->workspace = tiny_array(m);
    f->workspace_bytes = TINY_BYTES;
    f->blas = &m->blas;
    f->team = &m->team;
    b->plan = m->plan;
    b->parameters = f->parameters;
    b->packed = f->packed;
    b->tape = f->tape;
    b->d_y.data = tiny_array(m);
    b->d_x.data = tiny_array(m);
    b->d_y.step = b->d_x.step = 64;
    b->d_y.sequence = b->d_x.sequence = 32;
    b->d_h_n = tiny_array(m);
    b->d_h0 = tiny_array(m);
    b->grads = tiny_array(m);
    b->workspace = f->workspace;
    b->workspace_bytes = TINY_BYTES;
    b->blas = &m->blas;
    b->team = &m->team;
    s->config = &m->config;
    s->parameters = f->parameters;
    s->B = 2;
    s->x = f->x.data;
    s->h = f->h0;
    s->h_next = f->h_n;
    s->workspace = f->workspace;
    s->workspace_bytes = TINY_BYTES;
    s->blas = &m->blas;
}

/* ---- pointers of a struct of arguments ----------------------------------------------- */

typedef struct pointer_member {
    const char *name;
    size_t offset;
    int may_be_null;
    size_t alignment; /* 1: any */
} pointer_member;

#define POINTER(type, member, may_be_null, alignment)                                          \
    {#member, offsetof(type, member), may_be_null, alignment}
#define VALUES 4 /* at least: float32 */

/* Every pointer in turn is NULL, and then one byte off. */
static void walk_pointers(void *args, const pointer_member *members, int n,
                          pygru_status (*call)(const void *), const char *name) {
    int i;
    for (i = 0; i < n; i++) {
        void **pointer = (void **)((char *)args + members[i].offset);
        void *good = *pointer;
        set_case("%s, %s is NULL", name, members[i].name);
        *pointer = NULL;
        CHECK_INT(call(args), members[i].may_be_null ? PYGRU_OK : PYGRU_BAD_ARGUMENT);
        set_case("%s, %s is misaligned", name, members[i].name);
        if (members[i].alignment > 1) {
            *pointer = (char *)good + 1;
            CHECK_INT(call(args), PYGRU_BAD_ARGUMENT);
        }
        *pointer = good;
    }
    set_case("%s, as it should be", name);
    CHECK_INT(call(args), PYGRU_OK);
    set_case("%s, no arguments", name);
    CHECK_INT(call(NULL), PYGRU_BAD_ARGUMENT);
}
#define WALK(args, members, call)                                                              \
    walk_pointers(args, members, (int)(sizeof(members) / sizeof *(members)), call, #call)

static pygru_status call_forward(const void *args) { return pygru_forward(args); }
static pygru_status call_backward(const void *args) { return pygru_backward(args); }
static pygru_status call_step(const void *args) { return pygru_step(args); }
static pygru_status call_update(const void *args) { return pygru_update(args); }
static pygru_status call_cross_entropy(const void *args) { return pygru_cross_entropy(args); }
static pygru_status call_affine(const void *args) { return pygru_affine(args); }
static pygru_status call_affine_backward(const void *args) {
    return pygru_affine_backward(args);
}

/* Gives one member a bad value, and then its own again. `args` is the struct. */
#define REFUSES(call, args, member, bad, status)                                               \
    do {                                                                                       \
        const __typeof__((args).member) good_ = (args).member;                                 \
        set_case("%s, %s = %s", #call, #member, #bad);                                         \
        (args).member = (bad);                                                                 \
        CHECK_INT(call(&(args)), status);                                                      \
        (args).member = good_;                                                                 \
    } while (0)

/* ---- texts and facts ------------------------------------------------------------------ */

static void try_texts(void) {
    int i;
    set_case("texts of unknown codes");
    for
        EACH(i, NOT_CODES) {
            CHECK(pygru_status_text(NOT_CODES[i]) != NULL);
            CHECK(pygru_status_exception(NOT_CODES[i]) != NULL);
            CHECK(pygru_traits_of(NOT_CODES[i]) == NULL);
            CHECK(pygru_optimizer_of(NOT_CODES[i]) == NULL);
            CHECK(pygru_kernels_name(NOT_CODES[i]) == NULL);
            CHECK(pygru_kernels_at(NOT_CODES[i]) == NULL);
        }
    CHECK(pygru_traits_of(PYGRU_PRECISIONS_END_) == NULL);
    CHECK(pygru_optimizer_of(PYGRU_OPTIMIZERS_END_) == NULL);
    CHECK(pygru_kernels_at(pygru_kernels_count()) == NULL);
    CHECK(pygru_compiler() != NULL && pygru_available_threads() >= 1);
    CHECK(pygru_openmp_version() >= 0 && pygru_has_simd_engine() >> 1 == 0);
}

static void try_fingerprint(void) {
    uint64_t fingerprint = 7;
    int i;
    set_case("fingerprint");
    CHECK_INT(pygru_fingerprint(NULL, 0, &fingerprint), PYGRU_OK);
    fingerprint = 7;
    CHECK_INT(pygru_fingerprint(NULL, 1, &fingerprint), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_fingerprint("", 1, NULL), PYGRU_BAD_ARGUMENT);
    for
        EACH(i, NOT_SIZES) {
            CHECK_INT(pygru_fingerprint("", NOT_SIZES[i], &fingerprint), PYGRU_BAD_ARGUMENT);
        }
    CHECK(fingerprint == 7);
}

/* ---- sizes and the plan ---------------------------------------------------------------- */

static void try_sizes(void) {
    tiny_model m = tiny_new(PYGRU_FLOAT64, PYGRU_ENGINE_BLAS);
    const pygru_config good = m.config;
    pygru_config bad = m.config;
    pygru_cell cell;
    int64_t bytes, more;
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
    for
        EACH(i, NOT_SIZES) {
            CHECK_INT(pygru_cell_of(&good, NOT_SIZES[i], 0, &cell), PYGRU_BAD_CONFIG);
            CHECK_INT(pygru_step_workspace(&good, NOT_SIZES[i], &bytes), PYGRU_BAD_CONFIG);
            CHECK_INT(pygru_affine_workspace(0, NOT_SIZES[i], 1, 1, &bytes, &more),
                      PYGRU_BAD_ARGUMENT);
            CHECK_INT(pygru_affine_workspace(0, 1, NOT_SIZES[i], 1, &bytes, &more),
                      PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_CODES) {
            bad.precision = NOT_CODES[i];
            CHECK_INT(pygru_packed_size(&bad, &bytes), PYGRU_BAD_CONFIG);
            CHECK_INT(pygru_cell_of(&bad, 0, 0, &cell), PYGRU_BAD_CONFIG);
            CHECK_INT(pygru_affine_workspace(NOT_CODES[i], 1, 1, 1, &bytes, &more),
                      PYGRU_BAD_ARGUMENT);
        }
    set_case("workspace of an affine map");
    CHECK_INT(pygru_affine_workspace(0, 1, 1, 0, &bytes, &more), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_workspace(0, 1, 1, 1, NULL, &more), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_workspace(0, 1, 1, 1, &bytes, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_workspace(0, INT64_MAX, 1, 1, &bytes, &more), PYGRU_SIZE_OVERFLOW);
    CHECK_INT(pygru_affine_workspace(0, INT64_C(1) << 31, INT64_C(1) << 31, 1, &bytes, &more),
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
    for
        EACH(i, NOT_SIZES) {
            CHECK_INT(pygru_plan_init(&good, 0, 2, 2, lengths, 0, fresh, NOT_SIZES[i]),
                      PYGRU_BAD_ARGUMENT);
            CHECK_INT(pygru_plan_size(&good, 0, NOT_SIZES[i], 2, NULL, &bytes),
                      PYGRU_BAD_BATCH);
            CHECK_INT(pygru_plan_size(&good, 0, 2, NOT_SIZES[i], NULL, &bytes),
                      PYGRU_BAD_BATCH);
        }
    for
        EACH(i, NOT_CODES) {
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
    for
        EACH(i, NOT_SIZES) {
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
        POINTER(pygru_forward_args, y.data, 0, VALUES),
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
    for
        EACH(i, NOT_SIZES) {
            REFUSES(pygru_forward, *f, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_RATES) {
            REFUSES(pygru_forward, *f, noise.zoneout_rate, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
        }
    BAD_STRIDES(pygru_forward, *f, x.step);
    BAD_STRIDES(pygru_forward, *f, x.sequence);
    BAD_STRIDES(pygru_forward, *f, y.step);
    BAD_STRIDES(pygru_forward, *f, y.sequence);
    REFUSES(pygru_forward, *f, y.step, 0, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_forward, *f, y.sequence, 1, PYGRU_BAD_ARGUMENT);
    for
        EACH(i, NOT_TEAMS) {
            set_case("forward, %d threads", (int)NOT_TEAMS[i]);
            m.team.n_threads = NOT_TEAMS[i];
            CHECK_INT(pygru_forward(f), PYGRU_BAD_ARGUMENT);
        }
    m.team.n_threads = 1;
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
    for
        EACH(i, NOT_SIZES) {
            REFUSES(pygru_backward, *b, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_RATES) {
            REFUSES(pygru_backward, *b, noise.zoneout_rate, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
        }
    BAD_STRIDES(pygru_backward, *b, d_y.step);
    BAD_STRIDES(pygru_backward, *b, d_y.sequence);
    BAD_STRIDES(pygru_backward, *b, d_x.step);
    BAD_STRIDES(pygru_backward, *b, d_x.sequence);
    REFUSES(pygru_backward, *b, d_x.step, 0, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_backward, *b, d_x.sequence, -1, PYGRU_BAD_ARGUMENT);
    for
        EACH(i, NOT_TEAMS) {
            set_case("backward, %d threads", (int)NOT_TEAMS[i]);
            m.team.n_threads = NOT_TEAMS[i];
            CHECK_INT(pygru_backward(b), PYGRU_BAD_ARGUMENT);
        }
    m.team.n_threads = 1;
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
    for
        EACH(i, NOT_SIZES) {
            REFUSES(pygru_step, *s, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_step, *s, B, NOT_SIZES[i], PYGRU_BAD_CONFIG);
        }
    for
        EACH(i, NOT_RATES) {
            REFUSES(pygru_step, *s, zoneout_rate, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_CODES) {
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

/* ---- calls on flat arrays -------------------------------------------------------------- */

static void try_flat(int32_t code) {
    tiny_model m = tiny_new(code, PYGRU_ENGINE_BLAS);
    char *in = tiny_array(&m), *out = tiny_array(&m);
    double sum = 7;
    int i;
    set_case("activations and the sum of squares");
    CHECK_INT(pygru_sigmoid(code, NULL, 0, in, out), PYGRU_OK);
    CHECK_INT(pygru_sigmoid(code, NULL, 3, NULL, out), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_sigmoid(code, NULL, 3, in, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_sigmoid(code, NULL, 3, in + 1, out), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_sigmoid(code, NULL, INT64_MAX, in, out), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_tanh(code, NULL, 3, in, out), PYGRU_OK);
    CHECK_INT(pygru_tanh(code, NULL, 3, NULL, out), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_tanh(code, NULL, 3, in, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_tanh(code, NULL, 3, in, out + 1), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_tanh(code, NULL, INT64_MAX / 2, in, out), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_sum_of_squares(code, NULL, 3, NULL, &sum), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_sum_of_squares(code, NULL, 3, in + 1, &sum), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_sum_of_squares(code, NULL, 3, in, NULL), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_sum_of_squares(code, NULL, INT64_MAX, in, &sum), PYGRU_BAD_ARGUMENT);
    for
        EACH(i, NOT_SIZES) {
            CHECK_INT(pygru_sigmoid(code, NULL, NOT_SIZES[i], in, out), PYGRU_BAD_ARGUMENT);
            CHECK_INT(pygru_tanh(code, NULL, NOT_SIZES[i], in, out), PYGRU_BAD_ARGUMENT);
            CHECK_INT(pygru_sum_of_squares(code, NULL, NOT_SIZES[i], in, &sum),
                      PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_CODES) {
            CHECK_INT(pygru_sigmoid(NOT_CODES[i], NULL, 3, in, out), PYGRU_BAD_ARGUMENT);
            CHECK_INT(pygru_tanh(NOT_CODES[i], NULL, 3, in, out), PYGRU_BAD_ARGUMENT);
            CHECK_INT(pygru_sum_of_squares(NOT_CODES[i], NULL, 3, in, &sum),
                      PYGRU_BAD_ARGUMENT);
        }
    CHECK(sum == 7);
    CHECK_INT(pygru_sum_of_squares(code, NULL, 3, in, &sum), PYGRU_OK);
    buffer_free(&m.memory);
}

static void try_update(int32_t code, int32_t optimizer) {
    const pygru_optimizer *needs = pygru_optimizer_of(optimizer);
    const pointer_member members[] = {
        POINTER(pygru_update_args, parameters, 0, VALUES),
        POINTER(pygru_update_args, gradients, 0, VALUES),
        POINTER(pygru_update_args, states[0], needs->least_states < 1, VALUES),
        POINTER(pygru_update_args, states[1], needs->least_states < 2,
                needs->most_states < 2 ? 1 : VALUES),
        POINTER(pygru_update_args, states[2], needs->least_states < 3,
                needs->most_states < 3 ? 1 : VALUES),
        POINTER(pygru_update_args, settings, 0, sizeof(double)),
    };
    const double settings[8] = {0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
    tiny_model m = tiny_new(code, PYGRU_ENGINE_BLAS);
    pygru_update_args u = {.optimizer = optimizer, .precision = code, .n = 5, .step = 1};
    int i;
    u.parameters = tiny_array(&m);
    u.gradients = tiny_array(&m);
    for (i = 0; i < PYGRU_MOST_STATES; i++) {
        u.states[i] = tiny_array(&m);
    }
    u.settings = settings;
    CHECK(needs->n_settings <= 8);
    WALK(&u, members, call_update);
    REFUSES(pygru_update, u, n, INT64_MAX, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_update, u, step, 0, PYGRU_BAD_ARGUMENT);
    for
        EACH(i, NOT_SIZES) {
            REFUSES(pygru_update, u, n, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_update, u, step, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_CODES) {
            REFUSES(pygru_update, u, optimizer, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_update, u, precision, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
        }
    buffer_free(&m.memory);
}

static void try_cross_entropy(int32_t code) {
    static const int64_t no_classes[] = {-1, 3, INT64_MIN, INT64_MAX};
    const pointer_member members[] = {
        POINTER(pygru_cross_entropy_args, logits, 0, VALUES),
        POINTER(pygru_cross_entropy_args, target, 0, 8),
        POINTER(pygru_cross_entropy_args, share, 0, VALUES),
        POINTER(pygru_cross_entropy_args, weights, 1, VALUES),
        POINTER(pygru_cross_entropy_args, gradient, 0, VALUES),
        POINTER(pygru_cross_entropy_args, loss, 0, 8),
    };
    tiny_model m = tiny_new(code, PYGRU_ENGINE_BLAS);
    int64_t target[2] = {0, 2};
    pygru_cross_entropy_args c = {.precision = code, .rows = 2, .classes = 3};
    double loss;
    int i;
    c.logits = tiny_array(&m);
    c.target = target;
    c.share = tiny_array(&m);
    c.weights = tiny_array(&m);
    c.gradient = tiny_array(&m);
    c.loss = &loss;
    WALK(&c, members, call_cross_entropy);
    REFUSES(pygru_cross_entropy, c, classes, 0, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_cross_entropy, c, classes, INT64_MAX, PYGRU_SIZE_OVERFLOW);
    REFUSES(pygru_cross_entropy, c, rows, INT64_MAX, PYGRU_SIZE_OVERFLOW);
    for
        EACH(i, NOT_SIZES) {
            REFUSES(pygru_cross_entropy, c, rows, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_cross_entropy, c, classes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_RATES) {
            REFUSES(pygru_cross_entropy, c, smoothing, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_CODES) {
            REFUSES(pygru_cross_entropy, c, precision, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, no_classes) {
            set_case("cross_entropy, class %lld of 3", (long long)no_classes[i]);
            target[1] = no_classes[i];
            memset((void *)c.share, 0, (size_t)(2 * m.value));
            CHECK_INT(pygru_cross_entropy(&c), PYGRU_OK); /* the row has share 0 */
            memset((void *)c.share, 0x3F, (size_t)(2 * m.value));
            CHECK_INT(pygru_cross_entropy(&c), PYGRU_BAD_ARGUMENT);
        }
    buffer_free(&m.memory);
}

static void try_affine(int32_t code) {
    const pointer_member forward[] = {
        POINTER(pygru_affine_args, x, 0, VALUES),
        POINTER(pygru_affine_args, weight, 0, VALUES),
        POINTER(pygru_affine_args, bias, 1, VALUES),
        POINTER(pygru_affine_args, y, 0, VALUES),
        POINTER(pygru_affine_args, workspace, 0, 1),
        POINTER(pygru_affine_args, team, 0, 8),
    };
    const pointer_member backward[] = {
        POINTER(pygru_affine_args, x, 0, VALUES),
        POINTER(pygru_affine_args, weight, 0, VALUES),
        POINTER(pygru_affine_args, d_y, 0, VALUES),
        POINTER(pygru_affine_args, d_x, 1, VALUES),
        POINTER(pygru_affine_args, d_weight, 0, VALUES),
        POINTER(pygru_affine_args, d_bias, 1, VALUES),
        POINTER(pygru_affine_args, workspace, 0, 1),
        POINTER(pygru_affine_args, team, 0, 8),
    };
    tiny_model m = tiny_new(code, PYGRU_ENGINE_BLAS);
    pygru_affine_args a = {.precision = code, .rows = 5, .inputs = 3, .outputs = 2};
    int64_t size = 0, back = 0;
    int i;
    CHECK_INT(pygru_affine_workspace(code, 3, 2, 1, &size, &back), PYGRU_OK);
    CHECK(size < TINY_BYTES && back < TINY_BYTES);
    a.x = tiny_array(&m);
    a.weight = tiny_array(&m);
    a.bias = tiny_array(&m);
    a.y = tiny_array(&m);
    a.d_y = tiny_array(&m);
    a.d_x = tiny_array(&m);
    a.d_weight = tiny_array(&m);
    a.d_bias = tiny_array(&m);
    a.workspace = tiny_array(&m);
    a.workspace_bytes = back;
    a.team = &m.team;
    WALK(&a, forward, call_affine);
    WALK(&a, backward, call_affine_backward);
    REFUSES(pygru_affine, a, workspace_bytes, size - 1, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_affine_backward, a, workspace_bytes, back - 1, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_affine, a, rows, INT64_MAX / 2, PYGRU_SIZE_OVERFLOW);
    REFUSES(pygru_affine_backward, a, rows, INT64_MAX / 2, PYGRU_SIZE_OVERFLOW);
    REFUSES(pygru_affine, a, inputs, INT64_MAX, PYGRU_SIZE_OVERFLOW);
    REFUSES(pygru_affine, a, outputs, INT64_MAX / 2, PYGRU_SIZE_OVERFLOW);
    REFUSES(pygru_affine_backward, a, outputs, INT64_MAX, PYGRU_SIZE_OVERFLOW);
    REFUSES(pygru_affine, a, inputs, 0, PYGRU_BAD_ARGUMENT);
    REFUSES(pygru_affine_backward, a, outputs, 0, PYGRU_BAD_ARGUMENT);
    for
        EACH(i, NOT_SIZES) {
            REFUSES(pygru_affine, a, rows, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_affine, a, inputs, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_affine, a, outputs, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_affine, a, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_affine_backward, a, rows, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_affine_backward, a, workspace_bytes, NOT_SIZES[i],
                    PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_CODES) {
            REFUSES(pygru_affine, a, precision, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
            REFUSES(pygru_affine_backward, a, precision, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
        }
    for
        EACH(i, NOT_TEAMS) {
            set_case("affine, %d threads", (int)NOT_TEAMS[i]);
            m.team.n_threads = NOT_TEAMS[i];
            CHECK_INT(pygru_affine(&a), PYGRU_BAD_ARGUMENT);
            CHECK_INT(pygru_affine_backward(&a), PYGRU_BAD_ARGUMENT);
        }
    buffer_free(&m.memory);
}

/* ---- all of them ------------------------------------------------------------------------*/

/* call, and the function above that tries it */
#define EVERY_CALL(X)                                                                          \
    X(pygru_affine, try_affine)                                                                \
    X(pygru_affine_backward, try_affine)                                                       \
    X(pygru_affine_workspace, try_sizes)                                                       \
    X(pygru_available_threads, try_texts)                                                      \
    X(pygru_backward, try_backward)                                                            \
    X(pygru_cell_of, try_sizes)                                                                \
    X(pygru_compiler, try_texts)                                                               \
    X(pygru_cross_entropy, try_cross_entropy)                                                  \
    X(pygru_fingerprint, try_fingerprint)                                                      \
    X(pygru_forward, try_forward)                                                              \
    X(pygru_has_simd_engine, try_texts)                                                        \
    X(pygru_kernels_at, try_texts)                                                             \
    X(pygru_kernels_count, try_texts)                                                          \
    X(pygru_kernels_name, try_texts)                                                           \
    X(pygru_openmp_version, try_texts)                                                         \
    X(pygru_optimizer_of, try_texts)                                                           \
    X(pygru_pack, try_pack)                                                                    \
    X(pygru_packed_size, try_sizes)                                                            \
    X(pygru_plan_init, try_plans)                                                              \
    X(pygru_plan_rows, try_plans)                                                              \
    X(pygru_plan_size, try_plans)                                                              \
    X(pygru_plan_sizes, try_plans)                                                             \
    X(pygru_sigmoid, try_flat)                                                                 \
    X(pygru_status_exception, try_texts)                                                       \
    X(pygru_status_text, try_texts)                                                            \
    X(pygru_step, try_step)                                                                    \
    X(pygru_step_workspace, try_sizes)                                                         \
    X(pygru_sum_of_squares, try_flat)                                                          \
    X(pygru_tanh, try_flat)                                                                    \
    X(pygru_tape_view_of, try_plans)                                                           \
    X(pygru_traits_of, try_texts)                                                              \
    X(pygru_update, try_update)

/* For run.sh, which compares it with what the core exports. */
static void print_every_call(void) {
#define PRINT_CALL(call, tried_by) printf("%s\n", #call);
    EVERY_CALL(PRINT_CALL)
#undef PRINT_CALL
}

static void check_every_call(void) {
    int32_t code, engine, optimizer;
    try_texts();
    try_fingerprint();
    try_sizes();
    try_plans();
    for (code = 0; code < PYGRU_PRECISIONS_END_; code++) {
        for (engine = 0; engine <= pygru_has_simd_engine(); engine++) {
            try_forward(code, engine);
            try_backward(code, engine);
            try_step(code, engine);
        }
        try_pack(code);
        try_flat(code);
        for (optimizer = 0; optimizer < PYGRU_OPTIMIZERS_END_; optimizer++) {
            try_update(code, optimizer);
        }
        try_cross_entropy(code);
        try_affine(code);
    }
}

#endif
