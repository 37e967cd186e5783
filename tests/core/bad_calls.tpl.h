/* bad_calls.tpl.h - calls that the core must refuse before it touches anything. Included by
 * precisions.h, once per precision. */

typedef struct NAME(tiny_call) {
    buffer memory; /* the plan, then the arrays */
    pygru_config config;
    pygru_blas blas;
    pygru_team team;
    NAME(pygru_forward_args) forward;
    NAME(pygru_backward_args) backward;
    NAME(pygru_step_args) step;
} NAME(tiny_call);

static void NAME(tiny_call_init)(NAME(tiny_call) *call, int32_t keep) {
    const pygru_config config = {3, 2, 1, 1, 1, PYGRU_RESET_AFTER, PYGRU_UPDATE_KEEPS};
    REAL *array;
    memset(call, 0, sizeof *call);
    call->memory = buffer_new(13 * AMPLE * (int64_t)sizeof(REAL));
    memset(call->memory.data, 0, call->memory.bytes);
    array = (REAL *)call->memory.data + AMPLE;
    call->config = config;
    call->blas = naive_blas(4, 0);
    call->team.n_threads = 1;
    CHECK_INT(
        pygru_plan_init(&config, 2, 2, NULL, (int32_t)sizeof(REAL), keep, call->memory.data),
        PYGRU_OK);
#define NEXT_ARRAY (array += AMPLE, array - AMPLE)
    call->forward.plan = call->memory.data;
    call->forward.parameters = NEXT_ARRAY;
    call->forward.x.data = NEXT_ARRAY;
    call->forward.y.data = NEXT_ARRAY;
    call->forward.h_n = NEXT_ARRAY;
    call->forward.tape = NEXT_ARRAY;
    call->forward.workspace = NEXT_ARRAY;
    call->forward.blas = &call->blas;
    call->forward.team = &call->team;
    call->backward.plan = call->memory.data;
    call->backward.parameters = call->forward.parameters;
    call->backward.tape = call->forward.tape;
    call->backward.d_x.data = NEXT_ARRAY;
    call->backward.d_h0 = NEXT_ARRAY;
    call->backward.grads = NEXT_ARRAY;
    call->backward.workspace = NEXT_ARRAY;
    call->backward.blas = &call->blas;
    call->backward.team = &call->team;
    call->step.config = &call->config;
    call->step.parameters = call->forward.parameters;
    call->step.B = 2;
    call->step.x = call->forward.x.data;
    call->step.h = call->forward.h_n;
    call->step.h_next = NEXT_ARRAY;
    call->step.workspace = NEXT_ARRAY;
    call->step.blas = &call->blas;
#undef NEXT_ARRAY
}

#define REFUSES_NULL(call_name, member)                                                        \
    do {                                                                                       \
        const NAME(pygru_##call_name##_args) good = call.call_name;                            \
        call.call_name.member = NULL;                                                          \
        CHECK_INT(NAME(pygru_##call_name)(&call.call_name), PYGRU_BAD_ARGUMENT);               \
        call.call_name = good;                                                                 \
    } while (0)

static void NAME(check_null_pointers)(void) {
    NAME(tiny_call) call;
    set_case("null pointers, f%d", REAL_BITS);
    NAME(tiny_call_init)(&call, PYGRU_KEEP_GATES);
    CHECK_INT(NAME(pygru_forward)(&call.forward), PYGRU_OK);
    CHECK_INT(NAME(pygru_backward)(&call.backward), PYGRU_OK);
    REFUSES_NULL(forward, parameters);
    REFUSES_NULL(forward, x.data);
    REFUSES_NULL(forward, y.data);
    REFUSES_NULL(forward, h_n);
    REFUSES_NULL(forward, tape);
    REFUSES_NULL(forward, workspace);
    REFUSES_NULL(backward, parameters);
    REFUSES_NULL(backward, tape);
    REFUSES_NULL(backward, d_h0);
    REFUSES_NULL(backward, grads);
    REFUSES_NULL(backward, workspace);
    buffer_free(&call.memory);
    NAME(tiny_call_init)(&call, PYGRU_KEEP_NOTHING);
    call.forward.tape = NULL;
    CHECK_INT(NAME(pygru_forward)(&call.forward), PYGRU_OK);
    CHECK_INT(NAME(pygru_backward)(&call.backward), PYGRU_BAD_ARGUMENT);
    buffer_free(&call.memory);
}
#undef REFUSES_NULL

/* A row of gates has 4H = 8 elements: a BLAS whose integers end at 7 cannot express it. */
static void NAME(check_blas_limit)(void) {
    NAME(tiny_call) call;
    set_case("BLAS limit, f%d", REAL_BITS);
    NAME(tiny_call_init)(&call, PYGRU_KEEP_OUTPUTS);
    call.blas.max_int = 8;
    CHECK_INT(NAME(pygru_forward)(&call.forward), PYGRU_OK);
    CHECK_INT(NAME(pygru_backward)(&call.backward), PYGRU_OK);
    CHECK_INT(NAME(pygru_step)(&call.step), PYGRU_OK);
    call.blas.max_int = 7;
    CHECK_INT(NAME(pygru_forward)(&call.forward), PYGRU_BLAS_LIMIT);
    CHECK_INT(NAME(pygru_backward)(&call.backward), PYGRU_BLAS_LIMIT);
    CHECK_INT(NAME(pygru_step)(&call.step), PYGRU_BLAS_LIMIT);
    call.blas.max_int = 8;
    call.config.input_size = 9;
    CHECK_INT(pygru_plan_init(&call.config, 2, 2, NULL, (int32_t)sizeof(REAL),
                              PYGRU_KEEP_OUTPUTS, call.memory.data),
              PYGRU_OK);
    CHECK_INT(NAME(pygru_forward)(&call.forward), PYGRU_BLAS_LIMIT);
    CHECK_INT(NAME(pygru_backward)(&call.backward), PYGRU_BLAS_LIMIT);
    CHECK_INT(NAME(pygru_step)(&call.step), PYGRU_BLAS_LIMIT);
    buffer_free(&call.memory);
}

/* With B = 0, so that a core that does not look has nothing to compute with. */
static void NAME(check_bad_steps)(void) {
    NAME(tiny_call) call;
    pygru_config good;
    NAME(tiny_call_init)(&call, PYGRU_KEEP_NOTHING);
    good = call.config;
    call.step.B = 0;
    set_case("bad steps, f%d", REAL_BITS);
    CHECK_INT(NAME(pygru_step)(&call.step), PYGRU_OK);
    call.config.num_directions = 2;
    CHECK_INT(NAME(pygru_step)(&call.step), PYGRU_BAD_CONFIG);
    call.config = good;
    call.config.hidden_size = 0;
    CHECK_INT(NAME(pygru_step)(&call.step), PYGRU_BAD_CONFIG);
    call.config = good;
    call.config.reset = 2;
    CHECK_INT(NAME(pygru_step)(&call.step), PYGRU_BAD_CONFIG);
    buffer_free(&call.memory);
}

static void NAME(check_bad_calls)(void) {
    NAME(check_null_pointers)();
    NAME(check_blas_limit)();
    NAME(check_bad_steps)();
}
