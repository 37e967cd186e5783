/* count.c - fixed calls of the core, for tests/instruction_counts.py to count under callgrind.
 *
 * Usage: count CASE KERNELS, where CASE is a name in the table of cases below, or "step" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pygru.h"

static void *memory(int64_t bytes) {
    void *data = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64 + 64);
    if (data == NULL) {
        exit(2);
    }
    memset(data, 0, (size_t)bytes);
    return data;
}

static const pygru_kernels *kernels_named(const char *name) {
    int32_t i;
    for (i = 0; i < pygru_kernels_count(); i++) {
        if (strcmp(pygru_kernels_name(i), name) == 0) {
            return pygru_kernels_at(i);
        }
    }
    return NULL;
}

/* Numbers that are neither all equal nor denormal. */
#define FILL(array, n)                                                                         \
    do {                                                                                       \
        int64_t i_;                                                                            \
        for (i_ = 0; i_ < (n); i_++) {                                                         \
            (array)[i_] = (float)((i_ * 37) % 101 - 50) / 400.0F;                              \
        }                                                                                      \
    } while (0)

#define DEFINE_RUN(REAL, SUFFIX, PRECISION)                                                    \
    static int run_##SUFFIX(const pygru_kernels *kernels, int64_t T, int64_t B, int64_t H,     \
                            int32_t keep) {                                                    \
        const pygru_config config = {                                                          \
            H, H, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, PRECISION, 0};            \
        const pygru_team team = {1, NULL, NULL};                                               \
        const int64_t size = (int64_t)sizeof(REAL);                                            \
        pygru_forward_args f = {0};                                                            \
        pygru_backward_args b = {0};                                                           \
        pygru_sizes sizes;                                                                     \
        int64_t bytes, packed;                                                                 \
        REAL *parameters, *x, *d_y;                                                            \
        void *plan;                                                                            \
        (void)pygru_plan_size(&config, PYGRU_ENGINE_SIMD, T, B, NULL, &bytes);                 \
        plan = memory(bytes);                                                                  \
        (void)pygru_plan_init(&config, PYGRU_ENGINE_SIMD, T, B, NULL, keep, plan, bytes);      \
        (void)pygru_plan_sizes(plan, 1, &sizes);                                               \
        (void)pygru_packed_size(&config, &packed);                                             \
        parameters = memory(sizes.parameters * size);                                          \
        x = memory(T * B * H * size);                                                          \
        d_y = memory(T * B * H * size);                                                        \
        FILL(parameters, sizes.parameters);                                                    \
        FILL(x, T *B *H);                                                                      \
        FILL(d_y, T *B *H);                                                                    \
        f.plan = plan;                                                                         \
        f.parameters = parameters;                                                             \
        f.packed = memory(packed);                                                             \
        (void)pygru_pack(&config, kernels, parameters, (void *)f.packed);                      \
        f.x.data = x;                                                                          \
        f.x.step = f.y.step = B * H;                                                           \
        f.x.sequence = f.y.sequence = H;                                                       \
        f.y.data = memory(T * B * H * size);                                                   \
        f.h_n = memory(B * H * size);                                                          \
        f.tape = memory(sizes.tape * size);                                                    \
        f.workspace = memory(sizes.forward_workspace);                                         \
        f.workspace_bytes = sizes.forward_workspace;                                           \
        f.kernels = kernels;                                                                   \
        f.team = &team;                                                                        \
        if (pygru_forward(&f) != PYGRU_OK) {                                                   \
            return 1;                                                                          \
        }                                                                                      \
        if (keep == PYGRU_KEEP_NOTHING) {                                                      \
            return 0;                                                                          \
        }                                                                                      \
        b.plan = plan;                                                                         \
        b.parameters = parameters;                                                             \
        b.packed = f.packed;                                                                   \
        b.tape = f.tape;                                                                       \
        b.d_y.data = d_y;                                                                      \
        b.d_y.step = b.d_x.step = B * H;                                                       \
        b.d_y.sequence = b.d_x.sequence = H;                                                   \
        b.d_x.data = memory(T * B * H * size);                                                 \
        b.d_h0 = memory(B * H * size);                                                         \
        b.grads = memory(sizes.parameters * size);                                             \
        b.workspace = memory(sizes.backward_workspace);                                        \
        b.workspace_bytes = sizes.backward_workspace;                                          \
        b.kernels = kernels;                                                                   \
        b.team = &team;                                                                        \
        return pygru_backward(&b) != PYGRU_OK;                                                 \
    }

DEFINE_RUN(float, f32, PYGRU_FLOAT32)
DEFINE_RUN(double, f64, PYGRU_FLOAT64)
DEFINE_RUN(float, i8, PYGRU_INT8)

static int run_step(const pygru_kernels *kernels, int64_t H) {
    const pygru_config config = {H, H, 1, 1, 1, PYGRU_RESET_BEFORE, PYGRU_UPDATE_REPLACES,
                                 0, 0, 0};
    pygru_step_args args = {0};
    pygru_cell cell;
    int64_t packed, workspace;
    float *parameters, *x;
    (void)pygru_cell_of(&config, 0, 0, &cell);
    (void)pygru_packed_size(&config, &packed);
    (void)pygru_step_workspace(&config, 1, &workspace);
    parameters = memory(cell.end * 4);
    x = memory(H * 4);
    FILL(parameters, cell.end);
    FILL(x, H);
    args.config = &config;
    args.packed = memory(packed);
    (void)pygru_pack(&config, kernels, parameters, (void *)args.packed);
    args.B = 1;
    args.x = x;
    args.h = args.h_next = memory(H * 4);
    args.workspace = memory(workspace);
    args.workspace_bytes = workspace;
    args.kernels = kernels;
    return pygru_step(&args) != PYGRU_OK;
}

typedef int run(const pygru_kernels *kernels, int64_t T, int64_t B, int64_t H, int32_t keep);

static const struct {
    const char *name;
    run *run;
    int64_t T, B, H;
    int32_t keep;
} cases[] = {
    {"inference", run_f32, 20, 8, 64, PYGRU_KEEP_NOTHING},
    {"one_row", run_f32, 20, 1, 64, PYGRU_KEEP_NOTHING},
    {"training", run_f32, 20, 8, 64, PYGRU_KEEP_GATES},
    {"training_of_many", run_f32, 5, 32, 64, PYGRU_KEEP_GATES},
    {"training_of_one_row", run_f32, 20, 1, 64, PYGRU_KEEP_GATES},
    {"training_of_one_step", run_f32, 1, 1, 64, PYGRU_KEEP_GATES},
    {"inference_f64", run_f64, 20, 8, 64, PYGRU_KEEP_NOTHING},
    {"inference_8_bits", run_i8, 20, 8, 64, PYGRU_KEEP_NOTHING},
    {"one_row_8_bits", run_i8, 20, 1, 64, PYGRU_KEEP_NOTHING},
};

int main(int argc, char **argv) {
    const pygru_kernels *kernels = argc == 3 ? kernels_named(argv[2]) : NULL;
    size_t i;
    if (kernels == NULL) {
        fprintf(stderr, "usage: count CASE KERNELS, of kernels that this CPU has\n");
        return 2;
    }
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            return cases[i].run(kernels, cases[i].T, cases[i].B, cases[i].H, cases[i].keep);
        }
    }
    return strcmp(argv[1], "step") == 0 ? run_step(kernels, 64) : 2;
}
