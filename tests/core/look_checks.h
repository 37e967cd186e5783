/* look_checks.h - how much work a call does between two looks at its stop flag.
 *
 * Ctrl-C ends a call at its next look, so this work bounds how long it takes. Products are
 * counted here and not computed. A look calls the poll only if 50 ms have passed since the last
 * one. Therefore a product sleeps for so long when much has been counted, and the next look
 * calls the poll, whatever the machine does. */
#ifndef LOOK_CHECKS_H
#define LOOK_CHECKS_H

#include "../../src_c/system.h"
#include "kernel_sets.h"

enum {
    MOST_WORK = 1 << 29, /* multiply-adds in one go: 17 ms at 30 per ns */
    MUCH_WORK = 1 << 28
};

static int64_t work_since_look, most_work;

static void count_work(int64_t work) {
    enum { OVER_50_MS = 51000000 };
    const int had_much = work_since_look >= MUCH_WORK;
    work_since_look += work;
    most_work = work_since_look > most_work ? work_since_look : most_work;
    if (!had_much && work_since_look >= MUCH_WORK) {
        pygru_nap(OVER_50_MS);
    }
}

static int look(void *unused) {
    (void)unused;
    work_since_look = 0;
    return 0;
}

static void counted_gemm(char *ta, char *tb, int64_t *m, int64_t *n, int64_t *k, float *alpha,
                         float *a, int64_t *lda, float *b, int64_t *ldb, float *beta, float *c,
                         int64_t *ldc) {
    (void)ta, (void)tb, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb, (void)beta;
    (void)c, (void)ldc;
    count_work(*m * *n * *k);
}

static void counted_product(const pygru_product_f32 *p) {
    const pygru_table_f32 *table = pygru_table_of_f32(&pygru_kernels_baseline, PYGRU_FLOAT32);
    count_work(p->m * p->panels * p->NV * table->lanes * p->K);
}

static void counted_sums(const pygru_row_sums_f32 *p) {
    int i;
    for (i = 0; i < p->n_right; i++) {
        count_work(p->rows * p->m * p->right[i].n);
    }
}

static const pygru_kernels *counting_kernels(void) {
    static pygru_kernels kernels;
    static pygru_table_f32 table;
    table = *pygru_table_of_f32(&pygru_kernels_baseline, PYGRU_FLOAT32);
    table.product = counted_product;
    table.sum_rows = counted_sums;
    kernels.tables[PYGRU_FLOAT32] = &table;
    return &kernels;
}

/* Forward and backward of T steps of 64 sequences with I inputs and H units. */
static void check_looks_of(int32_t engine, int64_t T, int64_t I, int64_t H) {
    enum { SEQUENCES = 64 };
    const pygru_config config = {
        I, H, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, 0, .norm_eps = 0};
    void (*const gemm)(void) = (void (*)(void))counted_gemm; /* the only one that is called */
    const pygru_blas blas = {gemm, gemm, gemm, gemm, 8, INT64_MAX};
    const pygru_team team = {1, look, NULL, PYGRU_POOL, 0};
    pygru_forward_args forward = {.blas = &blas, .kernels = counting_kernels(), .team = &team};
    pygru_backward_args backward = {.blas = &blas, .kernels = forward.kernels, .team = &team};
    pygru_sizes sizes;
    pygru_plan *plan;
    float *x, *parameters, *states, *tape, *gradients;
    void *workspace;
    char *packed;
    int64_t bytes;
    set_case("work between two looks, %s, I %lld, H %lld", engine ? "SIMD" : "BLAS",
             (long long)I, (long long)H);
    CHECK_INT(pygru_plan_size(&config, engine, T, SEQUENCES, NULL, &bytes), PYGRU_OK);
    plan = allocate(bytes, 1);
    CHECK_INT(
        pygru_plan_init(&config, engine, T, SEQUENCES, NULL, PYGRU_KEEP_OUTPUTS, plan, bytes),
        PYGRU_OK);
    CHECK_INT(pygru_plan_sizes(plan, 1, &sizes), PYGRU_OK);
    CHECK_INT(pygru_packed_size(&config, &bytes), PYGRU_OK);
    packed = allocate(bytes + 64, 1);
    x = allocate(T * SEQUENCES * I, sizeof *x);
    parameters = allocate(sizes.parameters, sizeof *parameters);
    gradients = allocate(sizes.parameters, sizeof *gradients);
    states = allocate(SEQUENCES * H, sizeof *states);
    tape = allocate(sizes.tape, sizeof *tape);
    bytes = sizes.forward_workspace > sizes.backward_workspace ? sizes.forward_workspace
                                                               : sizes.backward_workspace;
    workspace = allocate(bytes, 1);

    forward.plan = backward.plan = plan;
    forward.parameters = backward.parameters = parameters;
    forward.packed = backward.packed = pygru_aligned(packed); /* of zeros, which are not read */
    forward.x.data = x;
    forward.x.step = SEQUENCES * I;
    forward.x.sequence = I;
    forward.h_n = backward.d_h0 = states;
    forward.tape = tape;
    backward.tape = tape;
    backward.grads = gradients;
    forward.workspace = backward.workspace = workspace;
    forward.workspace_bytes = backward.workspace_bytes = bytes;
    work_since_look = most_work = 0;
    CHECK_INT(pygru_forward(&forward), PYGRU_OK);
    CHECK(most_work >= MUCH_WORK); /* else there is nothing to test here */
    CHECK(most_work <= MUCH_WORK + MOST_WORK);
    work_since_look = most_work = 0;
    CHECK_INT(pygru_backward(&backward), PYGRU_OK);
    CHECK(most_work >= MUCH_WORK);
    CHECK(most_work <= MUCH_WORK + MOST_WORK);
    free(plan);
    free(packed);
    free(x);
    free(parameters);
    free(gradients);
    free(states);
    free(tape);
    free(workspace);
}

/* Many rows for few units, which matters to the sums over all rows, and large weights. */
static void check_looks(void) {
    check_looks_of(PYGRU_ENGINE_BLAS, 64, 2048, 64);
    check_looks_of(PYGRU_ENGINE_BLAS, 2, 1024, 1024);
    if (pygru_has_simd_engine()) {
        check_looks_of(PYGRU_ENGINE_SIMD, 4, 2048, 512);
        check_looks_of(PYGRU_ENGINE_SIMD, 2, 1024, 1024);
    }
}

#endif
