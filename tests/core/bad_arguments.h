/* bad_arguments.h - what the tests of bad arguments share: values that no argument may have, a
 * model so small that every array of it fits into a few kilobytes, and a walk over the pointers
 * of a struct. */
#ifndef BAD_ARGUMENTS_H
#define BAD_ARGUMENTS_H

#include <stddef.h>

#include "precisions.h"

static const int64_t NOT_SIZES[] = {-1, -(INT64_C(1) << 40), INT64_MIN};
static const int32_t NOT_CODES[] = {-1, 1 << 20, INT32_MAX, INT32_MIN};
static const int32_t NOT_TEAMS[] = {0, -1, INT32_MIN, INT32_MAX};
static const int32_t NOT_CHOICES[] = {-1, 2, INT32_MIN, INT32_MAX}; /* neither 0 nor 1 */
static const double NOT_RATES[] = {-0.1, 1.5, -INFINITY, INFINITY, NAN};
#define FOR_EACH(i, array) for (i = 0; i < (int)(sizeof(array) / sizeof *(array)); i++)

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
    const pygru_config config = {
        3, 2, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 1, code, .norm_eps = 0};
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

#endif
