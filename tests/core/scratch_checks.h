/* scratch_checks.h - the layout of the scratch buffers of a call. The tests check properties of
 * the layouts for many sizes. In a run with gaps between the buffers they check that nothing
 * outside them is written. */
#ifndef SCRATCH_CHECKS_H
#define SCRATCH_CHECKS_H

#include "problem.h"
#include "scratch.h"

/* ---- the layouts ---------------------------------------------------------------------- */

/* One pass of a plan: its buffers, and the sizes of the shared section and of one thread's. */
typedef struct section {
    int is_backward;
    int is_shared;
    int64_t total;
} section;

/* The buffers of a section lie inside it and do not overlap. A buffer that is read in vectors
 * begins on a vector, and one more vector after it can be read. */
static void check_section(const pygru_buffer *buffers, const section *in) {
    int i, j;
    CHECK(in->total >= 0 && in->total % PYGRU_MOST_LANES == 0);
    for (i = 0; i < PYGRU_BUFFERS; i++) {
        const pygru_buffer *b = &buffers[i];
        const int64_t end = b->begin + b->values + (b->is_read_in_vectors ? PYGRU_SLACK : 0);
        if (b->is_backward != in->is_backward || b->is_shared != in->is_shared ||
            b->values == 0) {
            continue;
        }
        CHECK(b->values > 0 && b->begin >= 0 && end <= in->total);
        CHECK(!b->is_read_in_vectors || b->begin % PYGRU_MOST_LANES == 0);
        for (j = 0; j < PYGRU_BUFFERS; j++) {
            const pygru_buffer *other = &buffers[j];
            if (j != i && other->is_backward == in->is_backward &&
                other->is_shared == in->is_shared && other->values > 0) {
                CHECK(end <= other->begin || other->begin + other->values <= b->begin);
            }
        }
    }
}

static void check_layouts(const pygru_plan *plan) {
    const pygru_forward_layout forward = pygru_layout_forward(plan);
    const pygru_backward_layout backward = pygru_layout_backward(plan);
    const section sections[] = {{0, 1, forward.shared_total},
                                {0, 0, forward.thread_total},
                                {1, 1, backward.shared_total},
                                {1, 0, backward.thread_total}};
    pygru_buffer buffers[PYGRU_BUFFERS];
    int i;
    pygru_list_buffers(plan, buffers);
    for (i = 0; i < 4; i++) {
        check_section(buffers, &sections[i]);
    }
}

/* Every size of the larger plan is at least that of the smaller one. */
static void check_not_smaller(const pygru_plan *small, const pygru_plan *large) {
    pygru_buffer of_small[PYGRU_BUFFERS], of_large[PYGRU_BUFFERS];
    pygru_sizes sizes_of_small, sizes_of_large;
    int i;
    pygru_list_buffers(small, of_small);
    pygru_list_buffers(large, of_large);
    for (i = 0; i < PYGRU_BUFFERS; i++) {
        CHECK(of_small[i].values <= of_large[i].values);
    }
    CHECK_INT(pygru_plan_sizes(small, 2, &sizes_of_small), PYGRU_OK);
    CHECK_INT(pygru_plan_sizes(large, 2, &sizes_of_large), PYGRU_OK);
    CHECK(sizes_of_small.tape <= sizes_of_large.tape);
    CHECK(sizes_of_small.forward_workspace <= sizes_of_large.forward_workspace);
    CHECK(sizes_of_small.backward_workspace <= sizes_of_large.backward_workspace);
}

static buffer plan_of(const pygru_config *c, int32_t engine, int64_t T, int64_t B,
                      int32_t keep) {
    int64_t bytes = -1;
    buffer b;
    CHECK_INT(pygru_plan_size(c, engine, T, B, NULL, &bytes), PYGRU_OK);
    b = buffer_new(bytes);
    CHECK_INT(pygru_plan_init(c, engine, T, B, NULL, keep, b.data, bytes), PYGRU_OK);
    return b;
}

/* Random models and batches, each compared with one that has one more of something. */
static void check_scratch_layouts(int quick) {
    int n;
    for (n = 0; n < (quick ? 100 : 2000); n++) {
        const int32_t engine = (int32_t)(random_bits() % (pygru_has_simd_engine() ? 2 : 1));
        const int32_t keep = (int32_t)(random_bits() % 3);
        const int64_t T = (int64_t)(random_bits() % 40);
        const int64_t B = (int64_t)(random_bits() % 200);
        pygru_config c = {.precision = (int32_t)(random_bits() % 2), /* float32, float64 */
                          .input_size = 1 + (int64_t)(random_bits() % 300),
                          .hidden_size = 1 + (int64_t)(random_bits() % 300),
                          .num_layers = 1 + (int64_t)(random_bits() % 3),
                          .num_directions = 1 + (int32_t)(random_bits() % 2),
                          .has_bias = (int32_t)(random_bits() % 2),
                          .reset = (int32_t)(random_bits() % 2),
                          .drops_states = (int32_t)(random_bits() % 2),
                          .norm_eps = random_bits() % 2 ? 1e-5 : 0};
        buffer plan = plan_of(&c, engine, T, B, keep), larger;
        set_case("layouts: engine %d keep %d T=%d B=%d I=%d H=%d L=%d D=%d drops=%d norm=%d",
                 (int)engine, (int)keep, (int)T, (int)B, (int)c.input_size, (int)c.hidden_size,
                 (int)c.num_layers, (int)c.num_directions, (int)c.drops_states, c.norm_eps > 0);
        check_layouts(plan.data);
        switch (random_bits() % 4) {
        case 0:
            c.input_size++;
            break;
        case 1:
            c.num_layers++;
            break;
        case 2:
            c.drops_states = 1;
            break;
        default:
            c.has_bias = 1;
        }
        larger = plan_of(&c, engine, T, B, keep);
        check_not_smaller(plan.data, larger.data);
        buffer_free(&plan);
        buffer_free(&larger);
    }
}

/* ---- what a call has written ------------------------------------------------------------ */

/* The number of bytes of a workspace, which were 0xFF before the call, that were written
 * although they belong to no buffer. `memory` is the aligned beginning. */
static int64_t written_outside(const pygru_plan *plan, int is_backward, int32_t n_threads,
                               const unsigned char *memory) {
    const int64_t size = pygru_value_bytes(&plan->config);
    const pygru_forward_layout forward = pygru_layout_forward(plan);
    const pygru_backward_layout backward = pygru_layout_backward(plan);
    const int64_t shared = is_backward ? backward.shared_total : forward.shared_total;
    const int64_t thread = is_backward ? backward.thread_total : forward.thread_total;
    const int64_t total = shared + n_threads * thread;
    pygru_buffer buffers[PYGRU_BUFFERS];
    unsigned char *owned = allocate(total, 1);
    int64_t wrong = 0, at, slot;
    int i;
    pygru_list_buffers(plan, buffers);
    for (i = 0; i < PYGRU_BUFFERS; i++) {
        const pygru_buffer *b = &buffers[i];
        for (slot = 0; b->is_backward == is_backward && slot < (b->is_shared ? 1 : n_threads);
             slot++) {
            const int64_t begin = b->begin + (b->is_shared ? 0 : shared + slot * thread);
            memset(owned + begin, 1, (size_t)b->values);
        }
    }
    for (at = 0; at < total * size; at++) {
        wrong += !owned[at / size] && memory[at] != 0xFF;
    }
    free(owned);
    return wrong;
}

/* Nothing after a buffer is written. Only for memory that begins as 0xFF bytes. */
static void check_written_inside(const pygru_plan *plan, int is_backward, int32_t n_threads,
                                 const void *workspace) {
    if (memory_kind == MEMORY_PAGES) {
        const unsigned char *memory =
            (const unsigned char *)(((uintptr_t)workspace + 63) & ~(uintptr_t)63);
        CHECK_INT(written_outside(plan, is_backward, n_threads, memory), 0);
    }
}

#endif
