/* every_call.h - every public call of pygru.h with every kind of bad argument: NULL,
 * misaligned, negative, overflowing, unknown, too small. The core must refuse each before it
 * uses it.
 *
 * EVERY_CALL lists the public calls, each with the function that tries it. run.sh compares that
 * list with the symbols that the core exports, so a new call without a test makes it fail. */
#ifndef EVERY_CALL_H
#define EVERY_CALL_H

#include "bad_network_calls.h"

/* ---- texts and facts ------------------------------------------------------------------ */

static void try_texts(void) {
    int i;
    set_case("texts of unknown codes");
    FOR_EACH(i, NOT_CODES) {
        CHECK(pygru_status_text(NOT_CODES[i]) != NULL);
        CHECK(pygru_status_exception(NOT_CODES[i]) != NULL);
        CHECK(pygru_traits_of(NOT_CODES[i]) == NULL);
        CHECK(pygru_optimizer_of(NOT_CODES[i]) == NULL);
        CHECK(pygru_activation_name(NOT_CODES[i]) == NULL);
        CHECK(pygru_kernels_name(NOT_CODES[i]) == NULL);
        CHECK(pygru_kernels_at(NOT_CODES[i]) == NULL);
        CHECK(pygru_kernels_obstacle(NOT_CODES[i]) != NULL);
    }
    CHECK(pygru_traits_of(PYGRU_PRECISIONS_END_) == NULL);
    CHECK(pygru_optimizer_of(PYGRU_OPTIMIZERS_END_) == NULL);
    CHECK(pygru_activation_name(PYGRU_ACTIVATIONS_END_) == NULL);
    CHECK(pygru_activation_name(PYGRU_ACTIVATION_USUAL) == NULL);
    CHECK(pygru_kernels_at(pygru_kernels_count()) == NULL);
    CHECK(strcmp(pygru_version(), PYGRU_VERSION) == 0);
    CHECK(pygru_compiler() != NULL && pygru_available_threads() >= 1);
    CHECK(pygru_openmp_version() >= 0 && pygru_has_simd_engine() >> 1 == 0);
    CHECK(pygru_has_pool() >> 1 == 0 && pygru_kernels_obstacle(0) == NULL);
}

static void try_fingerprint(void) {
    uint64_t fingerprint = 7;
    int i;
    set_case("fingerprint");
    CHECK_INT(pygru_fingerprint(NULL, 0, &fingerprint), PYGRU_OK);
    fingerprint = 7;
    CHECK_INT(pygru_fingerprint(NULL, 1, &fingerprint), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_fingerprint("", 1, NULL), PYGRU_BAD_ARGUMENT);
    FOR_EACH(i, NOT_SIZES) {
        CHECK_INT(pygru_fingerprint("", NOT_SIZES[i], &fingerprint), PYGRU_BAD_ARGUMENT);
    }
    CHECK(fingerprint == 7);
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
    FOR_EACH(i, NOT_SIZES) {
        CHECK_INT(pygru_sigmoid(code, NULL, NOT_SIZES[i], in, out), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_tanh(code, NULL, NOT_SIZES[i], in, out), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_sum_of_squares(code, NULL, NOT_SIZES[i], in, &sum), PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_CODES) {
        CHECK_INT(pygru_sigmoid(NOT_CODES[i], NULL, 3, in, out), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_tanh(NOT_CODES[i], NULL, 3, in, out), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_sum_of_squares(NOT_CODES[i], NULL, 3, in, &sum), PYGRU_BAD_ARGUMENT);
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
    FOR_EACH(i, NOT_SIZES) {
        REFUSES(pygru_update, u, n, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_update, u, step, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_CODES) {
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
    FOR_EACH(i, NOT_SIZES) {
        REFUSES(pygru_cross_entropy, c, rows, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_cross_entropy, c, classes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_RATES) {
        REFUSES(pygru_cross_entropy, c, smoothing, NOT_RATES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_CODES) {
        REFUSES(pygru_cross_entropy, c, precision, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, no_classes) {
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
    pygru_affine_sizes sizes = {0};
    int64_t size, back;
    int i;
    CHECK_INT(pygru_affine_sizes_of(code, 3, 2, 1, &sizes), PYGRU_OK);
    size = sizes.forward_workspace, back = sizes.backward_workspace;
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
    FOR_EACH(i, NOT_SIZES) {
        REFUSES(pygru_affine, a, rows, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine, a, inputs, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine, a, outputs, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine, a, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine_backward, a, rows, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine_backward, a, workspace_bytes, NOT_SIZES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_CODES) {
        REFUSES(pygru_affine, a, precision, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine_backward, a, precision, NOT_CODES[i], PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_TEAMS) {
        set_case("affine, %d threads", (int)NOT_TEAMS[i]);
        m.team.n_threads = NOT_TEAMS[i];
        CHECK_INT(pygru_affine(&a), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_affine_backward(&a), PYGRU_BAD_ARGUMENT);
    }
    buffer_free(&m.memory);
}

static void try_affine_pack(int32_t code) {
    const pointer_member kept[] = {
        POINTER(pygru_affine_args, x, 0, VALUES),
        POINTER(pygru_affine_args, weight, 1, VALUES),
        POINTER(pygru_affine_args, bias, 1, VALUES),
        POINTER(pygru_affine_args, y, 0, VALUES),
        POINTER(pygru_affine_args, workspace, 0, 1),
        POINTER(pygru_affine_args, team, 0, 8),
    };
    const pygru_status good = pygru_has_simd_engine() ? PYGRU_OK : PYGRU_BAD_CONFIG;
    const pygru_status bad = pygru_has_simd_engine() ? PYGRU_BAD_ARGUMENT : PYGRU_BAD_CONFIG;
    tiny_model m = tiny_new(code, PYGRU_ENGINE_BLAS);
    pygru_affine_args a = {.precision = code, .rows = 5, .inputs = 3, .outputs = 2};
    pygru_affine_sizes sizes = {0};
    char *weight = tiny_array(&m), *bias = tiny_array(&m), *packed = tiny_array(&m);
    int i;
    set_case("affine_pack");
    CHECK_INT(pygru_affine_sizes_of(code, 3, 2, 1, &sizes), PYGRU_OK);
    CHECK(sizes.packed < TINY_BYTES && sizes.packed_workspace < sizes.forward_workspace);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 2, weight, NULL, packed), good);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 2, weight, bias, packed), good);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 2, NULL, bias, packed), bad);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 2, weight + 1, bias, packed), bad);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 2, weight, bias + 1, packed), bad);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 2, weight, bias, NULL), bad);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 2, weight, bias, packed + 32), bad);
    CHECK_INT(pygru_affine_pack(code, NULL, 0, 2, weight, bias, packed), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_pack(code, NULL, 3, 0, weight, bias, packed), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_pack(code, NULL, INT64_MAX, 2, weight, bias, packed),
              PYGRU_SIZE_OVERFLOW);
    FOR_EACH(i, NOT_SIZES) {
        CHECK_INT(pygru_affine_pack(code, NULL, NOT_SIZES[i], 2, weight, bias, packed),
                  PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_affine_pack(code, NULL, 3, NOT_SIZES[i], weight, bias, packed),
                  PYGRU_BAD_ARGUMENT);
    }
    FOR_EACH(i, NOT_CODES) {
        CHECK_INT(pygru_affine_pack(NOT_CODES[i], NULL, 3, 2, weight, bias, packed),
                  PYGRU_BAD_ARGUMENT);
    }
    a.x = tiny_array(&m);
    a.weight = weight;
    a.bias = bias;
    a.packed = packed;
    a.y = tiny_array(&m);
    a.workspace = tiny_array(&m);
    a.workspace_bytes = sizes.packed_workspace;
    a.team = &m.team;
    if (pygru_has_simd_engine()) {
        WALK(&a, kept, call_affine);
        REFUSES(pygru_affine, a, packed, packed + 32, PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine, a, packed, NULL, PYGRU_BAD_ARGUMENT); /* needs more workspace */
        REFUSES(pygru_affine, a, workspace_bytes, a.workspace_bytes - 1, PYGRU_BAD_ARGUMENT);
        REFUSES(pygru_affine, a, inputs, INT64_MAX, PYGRU_SIZE_OVERFLOW);
    } else {
        set_case("affine, packed weights for kernels that read none");
        CHECK_INT(pygru_affine(&a), PYGRU_BAD_ARGUMENT);
    }
    buffer_free(&m.memory);
}

/* ---- 8-bit weights --------------------------------------------------------------------- */

static void try_quantized_calls(void) {
    tiny_model m = tiny_new(PYGRU_FLOAT32, PYGRU_ENGINE_BLAS);
    char *packed = tiny_array(&m), *scales = tiny_array(&m), *vectors = tiny_array(&m);
    const int8_t *integers = tiny_array(&m);
    pygru_plan *plan = tiny_array(&m);
    pygru_affine_sizes affine;
    int64_t bytes;
    const int32_t engine = PYGRU_ENGINE_SIMD;
    set_case("8-bit weights");
    CHECK_INT(pygru_pack_integers(&m.config, NULL, integers, (float *)(void *)scales,
                                  (float *)(void *)vectors, packed),
              PYGRU_BAD_CONFIG);
    m.config.precision = PYGRU_INT8;
    CHECK_INT(pygru_plan_size(&m.config, PYGRU_ENGINE_BLAS, 2, 2, NULL, &bytes),
              PYGRU_BAD_CONFIG);
    CHECK_INT(pygru_affine_sizes_of(PYGRU_INT8, 3, 2, 1, &affine), PYGRU_BAD_ARGUMENT);
    CHECK_INT(pygru_affine_pack(PYGRU_INT8, NULL, 3, 2, scales, NULL, packed),
              PYGRU_BAD_ARGUMENT);
    if (pygru_has_simd_engine()) {
#define TRY(config, integers, scales, vectors, packed)                                         \
    pygru_pack_integers(config, NULL, integers, (const float *)(const void *)(scales),         \
                        (const float *)(const void *)(vectors), packed)
        CHECK_INT(TRY(&m.config, integers, scales, vectors, packed), PYGRU_OK);
        CHECK_INT(TRY(NULL, integers, scales, vectors, packed), PYGRU_BAD_ARGUMENT);
        CHECK_INT(TRY(&m.config, NULL, scales, vectors, packed), PYGRU_BAD_ARGUMENT);
        CHECK_INT(TRY(&m.config, integers, NULL, vectors, packed), PYGRU_BAD_ARGUMENT);
        CHECK_INT(TRY(&m.config, integers, scales + 1, vectors, packed), PYGRU_BAD_ARGUMENT);
        CHECK_INT(TRY(&m.config, integers, scales, NULL, packed), PYGRU_BAD_ARGUMENT);
        CHECK_INT(TRY(&m.config, integers, scales, vectors + 1, packed), PYGRU_BAD_ARGUMENT);
        CHECK_INT(TRY(&m.config, integers, scales, vectors, NULL), PYGRU_BAD_ARGUMENT);
        CHECK_INT(TRY(&m.config, integers, scales, vectors, packed + 32), PYGRU_BAD_ARGUMENT);
#undef TRY
        CHECK_INT(pygru_plan_init(&m.config, engine, 2, 2, NULL, PYGRU_KEEP_OUTPUTS, plan,
                                  TINY_BYTES),
                  PYGRU_BAD_CONFIG);
        CHECK_INT(
            pygru_plan_init(&m.config, engine, 2, 2, NULL, PYGRU_KEEP_GATES, plan, TINY_BYTES),
            PYGRU_BAD_CONFIG);
        CHECK_INT(pygru_plan_init(&m.config, engine, 2, 2, NULL, PYGRU_KEEP_NOTHING, plan,
                                  TINY_BYTES),
                  PYGRU_OK);
        tiny_calls(&m);
        m.forward.plan = m.backward.plan = plan;
        m.forward.packed = packed;
        CHECK_INT(pygru_forward(&m.forward), PYGRU_OK);
        m.forward.parameters = NULL; /* nobody needs them */
        CHECK_INT(pygru_forward(&m.forward), PYGRU_OK);
        CHECK_INT(pygru_backward(&m.backward), PYGRU_BAD_ARGUMENT);
        CHECK_INT(pygru_step(&m.step), PYGRU_BAD_CONFIG);
        m.step.packed = packed;
        m.step.parameters = NULL;
        CHECK_INT(pygru_step(&m.step), PYGRU_OK);
        m.config.hidden_size = (1 << 17) + 1;
        CHECK_INT(pygru_packed_size(&m.config, &bytes), PYGRU_BAD_CONFIG);
    }
    buffer_free(&m.memory);
}

/* ---- all of them ------------------------------------------------------------------------*/

/* call, and the function above that tries it */
#define EVERY_CALL(X)                                                                          \
    X(pygru_activation_name, try_texts)                                                        \
    X(pygru_affine, try_affine)                                                                \
    X(pygru_affine_backward, try_affine)                                                       \
    X(pygru_affine_pack, try_affine_pack)                                                      \
    X(pygru_affine_sizes_of, try_sizes)                                                        \
    X(pygru_available_threads, try_texts)                                                      \
    X(pygru_backward, try_backward)                                                            \
    X(pygru_cell_of, try_sizes)                                                                \
    X(pygru_compiler, try_texts)                                                               \
    X(pygru_cross_entropy, try_cross_entropy)                                                  \
    X(pygru_fingerprint, try_fingerprint)                                                      \
    X(pygru_forward, try_forward)                                                              \
    X(pygru_has_pool, try_texts)                                                               \
    X(pygru_has_simd_engine, try_texts)                                                        \
    X(pygru_kernels_at, try_texts)                                                             \
    X(pygru_kernels_count, try_texts)                                                          \
    X(pygru_kernels_name, try_texts)                                                           \
    X(pygru_kernels_obstacle, try_texts)                                                       \
    X(pygru_version, try_texts)                                                                \
    X(pygru_openmp_version, try_texts)                                                         \
    X(pygru_optimizer_of, try_texts)                                                           \
    X(pygru_pack, try_pack)                                                                    \
    X(pygru_pack_integers, try_quantized_calls)                                                \
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
    for (code = 0; code < N_PRECISIONS; code++) {
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
        try_affine_pack(code);
    }
    try_quantized_calls();
}

#endif
