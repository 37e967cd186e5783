/* bad_calls.tpl.h - calls that the core must refuse before it touches anything. Included by
 * precisions.h, once per precision. */

typedef struct NAME(tiny_call) {
    buffer memory; /* the plan, then the arrays */
    pygru_config config;
    pygru_blas blas;
    pygru_team team;
    pygru_forward_args forward;
    pygru_backward_args backward;
    pygru_step_args step;
} NAME(tiny_call);

static void NAME(tiny_call_init)(NAME(tiny_call) *call, int32_t engine, int32_t keep) {
    const pygru_config config = {
        3, 2, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0, PRECISION, .norm_eps = 0};
    REAL *array;
    memset(call, 0, sizeof *call);
    call->memory = buffer_aligned(14 * AMPLE * (int64_t)sizeof(REAL), 64);
    memset(call->memory.data, 0, call->memory.bytes);
    array = (REAL *)call->memory.data + AMPLE;
    call->config = config;
    call->blas = naive_blas(4, 0);
    call->team.n_threads = 1;
    CHECK_INT(pygru_plan_init(&config, engine, 2, 2, NULL, keep, call->memory.data,
                              AMPLE * (int64_t)sizeof(REAL)),
              PYGRU_OK);
#define NEXT_ARRAY (array += AMPLE, array - AMPLE)
    call->forward.plan = call->memory.data;
    call->forward.parameters = NEXT_ARRAY;
    call->forward.packed = NEXT_ARRAY;
    call->forward.x.data = NEXT_ARRAY;
    call->forward.y.data = NEXT_ARRAY;
    call->forward.y.step = call->backward.d_x.step = 64;
    call->forward.y.sequence = call->backward.d_x.sequence = 32;
    call->forward.h_n = NEXT_ARRAY;
    call->forward.tape = NEXT_ARRAY;
    call->forward.workspace = NEXT_ARRAY;
    call->forward.workspace_bytes = AMPLE * (int64_t)sizeof(REAL);
    call->forward.blas = &call->blas;
    call->forward.team = &call->team;
    call->backward.plan = call->memory.data;
    call->backward.parameters = call->forward.parameters;
    call->backward.packed = call->forward.packed;
    call->backward.tape = call->forward.tape;
    call->backward.d_x.data = NEXT_ARRAY;
    call->backward.d_h0 = NEXT_ARRAY;
    call->backward.grads = NEXT_ARRAY;
    call->backward.workspace = NEXT_ARRAY;
    call->backward.workspace_bytes = AMPLE * (int64_t)sizeof(REAL);
    call->backward.blas = &call->blas;
    call->backward.team = &call->team;
    call->step.config = &call->config;
    call->step.parameters = call->forward.parameters;
    call->step.B = 2;
    call->step.x = call->forward.x.data;
    call->step.h = call->forward.h_n;
    call->step.h_next = NEXT_ARRAY;
    call->step.workspace = NEXT_ARRAY;
    call->step.workspace_bytes = AMPLE * (int64_t)sizeof(REAL);
    call->step.blas = &call->blas;
#undef NEXT_ARRAY
}

#define REFUSES_NULL(call_name, member)                                                        \
    do {                                                                                       \
        const pygru_##call_name##_args good = call.call_name;                                  \
        call.call_name.member = NULL;                                                          \
        CHECK_INT(pygru_##call_name(&call.call_name), PYGRU_BAD_ARGUMENT);                     \
        call.call_name = good;                                                                 \
    } while (0)

static void NAME(check_null_pointers)(int32_t engine) {
    NAME(tiny_call) call;
    set_case("null pointers, f%d, engine %d", REAL_BITS, (int)engine);
    NAME(tiny_call_init)(&call, engine, PYGRU_KEEP_GATES);
    CHECK_INT(pygru_forward(&call.forward), PYGRU_OK);
    CHECK_INT(pygru_backward(&call.backward), PYGRU_OK);
    REFUSES_NULL(forward, parameters);
    REFUSES_NULL(forward, team);
    REFUSES_NULL(forward, x.data);
    REFUSES_NULL(forward, h_n);
    REFUSES_NULL(forward, tape);
    REFUSES_NULL(forward, workspace);
    REFUSES_NULL(backward, parameters);
    REFUSES_NULL(backward, tape);
    REFUSES_NULL(backward, d_h0);
    REFUSES_NULL(backward, grads);
    REFUSES_NULL(backward, workspace);
    REFUSES_NULL(backward, team);
    if (engine == PYGRU_ENGINE_SIMD) {
        REFUSES_NULL(forward, packed);
        REFUSES_NULL(backward, packed);
        call.forward.blas = call.backward.blas = NULL;
    } else {
        REFUSES_NULL(forward, blas);
        REFUSES_NULL(backward, blas);
        call.forward.packed = call.backward.packed = NULL;
    }
    /* without what the other engine would need */
    CHECK_INT(pygru_forward(&call.forward), PYGRU_OK);
    CHECK_INT(pygru_backward(&call.backward), PYGRU_OK);
    buffer_free(&call.memory);
    NAME(tiny_call_init)(&call, engine, PYGRU_KEEP_NOTHING);
    call.forward.tape = NULL;
    CHECK_INT(pygru_forward(&call.forward), PYGRU_OK);
    CHECK_INT(pygru_backward(&call.backward), PYGRU_BAD_ARGUMENT);
    buffer_free(&call.memory);
}
#undef REFUSES_NULL

/* A row of gates has 4H = 8 elements: a BLAS whose integers end at 7 cannot express it. The
 * SIMD engine does not care. */
static void NAME(check_blas_limit)(int32_t engine) {
    const pygru_status beyond = engine == PYGRU_ENGINE_BLAS ? PYGRU_BLAS_LIMIT : PYGRU_OK;
    NAME(tiny_call) call;
    set_case("BLAS limit, f%d, engine %d", REAL_BITS, (int)engine);
    NAME(tiny_call_init)(&call, engine, PYGRU_KEEP_OUTPUTS);
    call.blas.max_int = 8;
    CHECK_INT(pygru_forward(&call.forward), PYGRU_OK);
    CHECK_INT(pygru_backward(&call.backward), PYGRU_OK);
    CHECK_INT(pygru_step(&call.step), PYGRU_OK);
    call.blas.max_int = 7;
    CHECK_INT(pygru_forward(&call.forward), beyond);
    CHECK_INT(pygru_backward(&call.backward), beyond);
    CHECK_INT(pygru_step(&call.step), PYGRU_BLAS_LIMIT);
    call.blas.max_int = 8;
    call.config.input_size = 9;
    CHECK_INT(pygru_plan_init(&call.config, engine, 2, 2, NULL, PYGRU_KEEP_OUTPUTS,
                              call.memory.data, AMPLE * (int64_t)sizeof(REAL)),
              PYGRU_OK);
    CHECK_INT(pygru_forward(&call.forward), beyond);
    CHECK_INT(pygru_backward(&call.backward), beyond);
    CHECK_INT(pygru_step(&call.step), PYGRU_BLAS_LIMIT);
    buffer_free(&call.memory);
}

/* With B = 0, so that a core that does not look has nothing to compute with. */
static void NAME(check_bad_steps)(void) {
    NAME(tiny_call) call;
    pygru_config good;
    NAME(tiny_call_init)(&call, PYGRU_ENGINE_BLAS, PYGRU_KEEP_NOTHING);
    good = call.config;
    call.step.B = 0;
    set_case("bad steps, f%d", REAL_BITS);
    CHECK_INT(pygru_step(&call.step), PYGRU_OK);
    call.config.num_directions = 2;
    CHECK_INT(pygru_step(&call.step), PYGRU_BAD_CONFIG);
    call.config = good;
    call.config.hidden_size = 0;
    CHECK_INT(pygru_step(&call.step), PYGRU_BAD_CONFIG);
    call.config = good;
    call.config.reset = 2;
    CHECK_INT(pygru_step(&call.step), PYGRU_BAD_CONFIG);
    buffer_free(&call.memory);
}

/* A step finds its engine by what it is given: without packed parameters it needs the BLAS and
 * its integers, with them neither. */
static void NAME(check_step_engines)(void) {
    NAME(tiny_call) call;
    set_case("the engine of a step, f%d", REAL_BITS);
    NAME(tiny_call_init)(&call, PYGRU_ENGINE_BLAS, PYGRU_KEEP_NOTHING);
    call.step.packed = NULL;
    CHECK_INT(pygru_step(&call.step), PYGRU_OK);
    call.step.packed = call.forward.packed;
    call.step.blas = NULL;
    CHECK_INT(pygru_step(&call.step), PYGRU_OK);
    call.step.blas = &call.blas;
    call.blas.max_int = 1;
    CHECK_INT(pygru_step(&call.step), PYGRU_OK);
    call.step.packed = NULL;
    CHECK_INT(pygru_step(&call.step), PYGRU_BLAS_LIMIT);
    buffer_free(&call.memory);
}

/* A model too large to pack, and one that is none: nothing is read or written. */
static void NAME(check_bad_packs)(void) {
    pygru_config config = {
        3,         INT64_C(1) << 40, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS, 0,
        PRECISION, .norm_eps = 0};
    buffer nothing = buffer_new(0);
    set_case("bad packs, f%d", REAL_BITS);
    CHECK_INT(pygru_pack(&config, NULL, nothing.data, nothing.data), PYGRU_SIZE_OVERFLOW);
    config.hidden_size = 0;
    CHECK_INT(pygru_pack(&config, NULL, nothing.data, nothing.data), PYGRU_BAD_CONFIG);
    buffer_free(&nothing);
}

static void NAME(check_bad_calls)(void) {
    int32_t engine;
    for (engine = 0; engine <= pygru_has_simd_engine(); engine++) {
        NAME(check_null_pointers)(engine);
        NAME(check_blas_limit)(engine);
    }
    NAME(check_bad_steps)();
    NAME(check_bad_packs)();
    if (pygru_has_simd_engine()) {
        NAME(check_step_engines)();
    }
}
