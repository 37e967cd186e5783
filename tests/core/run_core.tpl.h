/* run_core.tpl.h - runs one problem through the core. Every buffer is guarded and exactly as
 * large as the core asks for. Included by precisions.h, once per precision.
 *
 * It checks that nothing outside the buffers and in the gaps between rows is written, and that
 * inputs are not modified. The caller checks the results. */

/* The configuration of a problem in this precision. */
static pygru_config NAME(config_of)(const problem *p) {
    pygru_config config = p->config;
    config.precision = PRECISION;
    return config;
}

/* A guarded copy of n numbers that nobody may modify. */
static buffer NAME(input)(int64_t n, const double *from) {
    buffer b = buffer_new(n * (int64_t)sizeof(REAL));
    REAL *to = b.data;
    int64_t i;
    for (i = 0; i < n; i++) {
        to[i] = (REAL)from[i];
    }
    buffer_read_only(&b);
    return b;
}

static double *NAME(as_doubles)(int64_t n, const REAL *from) {
    double *to = doubles(n);
    int64_t i;
    for (i = 0; i < n; i++) {
        to[i] = (double)from[i];
    }
    return to;
}

/* A strided input: only the rows of valid steps hold numbers, the rest is NaN. */
static buffer NAME(strided_input)(const problem *p, int64_t features, const placement *at,
                                  const double *from) {
    buffer b = buffer_new(at->elements * (int64_t)sizeof(REAL));
    int64_t t, s, j;
    memset(b.data, 0xFF, b.bytes);
    for (s = 0; s < p->B; s++) {
        for (t = 0; t < length_of(p, s); t++) {
            REAL *row = (REAL *)b.data + at->first + t * at->step + s * at->sequence;
            for (j = 0; j < features; j++) {
                row[j] = (REAL)from[(t * p->B + s) * features + j];
            }
        }
    }
    buffer_read_only(&b);
    return b;
}

static buffer NAME(strided_output)(const placement *at) {
    buffer b = buffer_new(at->elements * (int64_t)sizeof(REAL));
    memset(b.data, 0xFF, b.bytes);
    return b;
}

/* Copies the rows of a strided output; the rest of it must be unchanged. */
static double *NAME(take_rows)(const problem *p, int64_t features, const placement *at,
                               const buffer *b) {
    double *dense = doubles(p->T * p->B * features);
    const unsigned char *bytes = b->data;
    int64_t t, s, j;
    size_t i = 0;
    for (t = 0; t < p->T; t++) {
        for (s = 0; s < p->B; s++) {
            REAL *row = (REAL *)b->data + at->first + t * at->step + s * at->sequence;
            for (j = 0; j < features; j++) {
                dense[(t * p->B + s) * features + j] = (double)row[j];
            }
            memset(row, 0xFF, (size_t)features * sizeof(REAL));
        }
    }
    while (i < b->bytes && bytes[i] == 0xFF) {
        i++;
    }
    CHECK(i == b->bytes); /* the gaps are untouched */
    return dense;
}

/* The first n numbers of a buffer; the tape ends with some that are never set. */
static void NAME(check_first_unchanged)(const buffer *b, int64_t n, const double *expected) {
    double *now = NAME(as_doubles)(n, b->data);
    CHECK_SAME(n, now, expected);
    free(now);
}

static void NAME(check_unchanged)(const buffer *b, const double *expected) {
    NAME(check_first_unchanged)(b, (int64_t)(b->bytes / sizeof(REAL)), expected);
}

/* A mask (planes, T, B, width) in the order of the packed rows, (planes, R, width). */
static buffer NAME(packed_mask)(const problem *p, const pygru_plan *plan, int64_t rows,
                                int64_t planes, int64_t width, const uint8_t *mask) {
    buffer b = buffer_new(mask == NULL ? 0 : planes * rows * width);
    int64_t *step = allocate(rows, sizeof *step), *sequence = allocate(rows, sizeof *sequence);
    int64_t plane, row;
    pygru_plan_rows(plan, step, sequence);
    for (plane = 0; mask != NULL && plane < planes; plane++) {
        for (row = 0; row < rows; row++) {
            const int64_t place_in_time = (plane * p->T + step[row]) * p->B + sequence[row];
            memcpy((uint8_t *)b.data + (plane * rows + row) * width,
                   mask + place_in_time * width, (size_t)width);
        }
    }
    buffer_read_only(&b);
    free(step);
    free(sequence);
    return b;
}

/* The packed parameters, read only; the BLAS engine gets memory that it may not even read. */
static buffer NAME(packed_parameters)(const problem *p, const options *o,
                                      const buffer *parameters) {
    const pygru_config config = NAME(config_of)(p);
    int64_t bytes = -1;
    caller_state state;
    pygru_status status;
    buffer b;
    if (o->engine != PYGRU_ENGINE_SIMD) {
        return buffer_new(0);
    }
    CHECK_INT(pygru_packed_size(&config, &bytes), PYGRU_OK);
    b = buffer_aligned(bytes, 64);
    CHECK((uintptr_t)b.data % 64 == 0);
    state = enter_state(o->state);
    status = pygru_pack(&config, o->kernels, parameters->data, b.data);
    CHECK(leave_state(&state)); /* pygru_pack does not change the floating-point state */
    CHECK_INT(status, PYGRU_OK);
    buffer_read_only(&b);
    return b;
}

/* The buffers of one run. */
typedef struct NAME(run_memory) {
    buffer plan;
    buffer parameters;
    buffer packed;
    buffer dropout;
    buffer recurrent;
    buffer zoneout;
    buffer tape;
    placement x_at;
    placement y_at;
    pygru_blas blas;
    pygru_team team;
} NAME(run_memory);

static pygru_noise NAME(noise_of)(const problem *p, const NAME(run_memory) *m) {
    pygru_noise noise = {0};
    noise.dropout = p->dropout != NULL && p->config.num_layers > 1 ? m->dropout.data : NULL;
    noise.dropout_scale = p->dropout_scale;
    noise.recurrent = p->recurrent != NULL ? m->recurrent.data : NULL;
    noise.recurrent_scale = p->recurrent_scale;
    noise.zoneout = p->zoneout != NULL ? m->zoneout.data : NULL;
    return noise;
}

/* The masks of a problem, read only. */
static void NAME(make_masks)(const problem *p, NAME(run_memory) *m, int64_t rows) {
    const int64_t H = p->config.hidden_size, D = p->config.num_directions;
    const int64_t L = p->config.num_layers;
    const pygru_plan *plan = m->plan.data;
    m->dropout = NAME(packed_mask)(p, plan, rows, L - 1, D * H, p->dropout);
    m->zoneout = NAME(packed_mask)(p, plan, rows, L * D, H, p->zoneout);
    m->recurrent = buffer_new(p->recurrent == NULL ? 0 : p->n_states);
    if (p->recurrent != NULL) {
        memcpy(m->recurrent.data, p->recurrent, (size_t)p->n_states);
    }
    buffer_read_only(&m->recurrent);
}

static void NAME(run_forward)(const problem *p, const options *o, NAME(run_memory) *m,
                              results *r) {
    const int64_t width = p->config.num_directions * p->config.hidden_size;
    const int64_t state_bytes = p->n_states * (int64_t)sizeof(REAL);
    buffer x = NAME(strided_input)(p, p->config.input_size, &m->x_at, p->x);
    buffer y = NAME(strided_output)(&m->y_at);
    buffer workspace = buffer_new(r->sizes.forward_workspace + 2 * o->odd_workspace);
    buffer h0, h_n;
    caller_state state;
    pygru_forward_args args = {0};
    if (o->in_place) {
        int64_t i;
        h0 = buffer_new(state_bytes);
        for (i = 0; i < p->n_states; i++) {
            ((REAL *)h0.data)[i] = (REAL)p->h0[i];
        }
        h_n = h0;
    } else {
        h0 = NAME(input)(p->n_states, p->h0);
        h_n = buffer_new(state_bytes);
    }
    args.plan = m->plan.data;
    args.parameters = m->parameters.data;
    args.packed = m->packed.data;
    args.x.data = (const REAL *)x.data + m->x_at.first;
    args.x.step = m->x_at.step;
    args.x.sequence = m->x_at.sequence;
    args.h0 = o->null_h0 ? NULL : h0.data;
    args.y.data = (REAL *)y.data + m->y_at.first;
    args.y.step = m->y_at.step;
    args.y.sequence = m->y_at.sequence;
    args.h_n = h_n.data;
    args.tape = r->sizes.tape > 0 ? m->tape.data : NULL;
    if (o->keep != PYGRU_KEEP_NOTHING) {
        args.tape = m->tape.data;
    }
    args.noise = NAME(noise_of)(p, m);
    args.workspace = (char *)workspace.data + o->odd_workspace;
    args.workspace_bytes = r->sizes.forward_workspace;
    args.blas = o->engine == PYGRU_ENGINE_SIMD ? NULL : &m->blas;
    args.kernels = o->kernels;
    args.team = &m->team;
    state = enter_state(o->state);
    r->forward = pygru_forward(&args);
    CHECK(leave_state(&state)); /* pygru_forward does not change the floating-point state */
    if (r->forward == PYGRU_OK) {
        r->y = NAME(take_rows)(p, width, &m->y_at, &y);
        r->h_n = NAME(as_doubles)(p->n_states, h_n.data);
        r->tape = NAME(as_doubles)(r->sizes.tape, m->tape.data);
    }
    if (!o->in_place) {
        NAME(check_unchanged)(&h0, p->h0);
        buffer_free(&h0);
    }
    buffer_free(&x);
    buffer_free(&y);
    check_written_inside(m->plan.data, 0, o->n_threads, args.workspace);
    buffer_free(&h_n);
    buffer_free(&workspace);
}

static void NAME(run_backward)(const problem *p, const options *o, NAME(run_memory) *m,
                               results *r) {
    const int64_t width = p->config.num_directions * p->config.hidden_size;
    buffer d_y = NAME(strided_input)(p, width, &m->y_at, p->d_y);
    buffer d_h_n = NAME(input)(p->n_states, p->d_h_n);
    buffer d_x = NAME(strided_output)(&m->x_at);
    buffer d_h0 = buffer_new(p->n_states * (int64_t)sizeof(REAL));
    buffer grads = buffer_new(p->n_parameters * (int64_t)sizeof(REAL));
    buffer workspace = buffer_new(r->sizes.backward_workspace + 2 * o->odd_workspace);
    pygru_backward_args args = {0};
    caller_state state;
    int64_t i;
    for (i = 0; i < p->n_parameters; i++) {
        ((REAL *)grads.data)[i] = (REAL)o->grads_before;
    }
    args.plan = m->plan.data;
    args.parameters = m->parameters.data;
    args.packed = m->packed.data;
    args.tape = m->tape.data;
    args.noise = NAME(noise_of)(p, m);
    args.d_y.data = o->null_d_y ? NULL : (const REAL *)d_y.data + m->y_at.first;
    args.d_y.step = m->y_at.step;
    args.d_y.sequence = m->y_at.sequence;
    args.d_h_n = o->null_d_h_n ? NULL : d_h_n.data;
    args.d_x.data = o->null_d_x ? NULL : (REAL *)d_x.data + m->x_at.first;
    args.d_x.step = m->x_at.step;
    args.d_x.sequence = m->x_at.sequence;
    args.d_h0 = d_h0.data;
    args.grads = grads.data;
    args.workspace = (char *)workspace.data + o->odd_workspace;
    args.workspace_bytes = r->sizes.backward_workspace;
    args.blas = o->engine == PYGRU_ENGINE_SIMD ? NULL : &m->blas;
    args.kernels = o->kernels;
    args.team = &m->team;
    buffer_read_only(&m->tape);
    state = enter_state(o->state);
    r->backward = pygru_backward(&args);
    CHECK(leave_state(&state)); /* pygru_backward does not change the floating-point state */
    r->grads = NAME(as_doubles)(p->n_parameters, grads.data);
    if (r->backward == PYGRU_OK) {
        r->d_x = o->null_d_x ? NULL : NAME(take_rows)(p, p->config.input_size, &m->x_at, &d_x);
        r->d_h0 = NAME(as_doubles)(p->n_states, d_h0.data);
    }
    NAME(check_first_unchanged)(&m->tape, r->sizes.tape - TAPE_SLACK, r->tape);
    buffer_free(&d_y);
    buffer_free(&d_h_n);
    buffer_free(&d_x);
    buffer_free(&d_h0);
    check_written_inside(m->plan.data, 1, o->n_threads, args.workspace);
    buffer_free(&grads);
    buffer_free(&workspace);
}

/* Forward, and backward if a tape is kept. */
static void NAME(run)(const problem *p, const options *o, results *r) {
    const int64_t width = p->config.num_directions * p->config.hidden_size;
    const pygru_config config = NAME(config_of)(p);
    NAME(run_memory) m = {0};
    int64_t plan_bytes = -1;
    buffer first_plan;
    memset(r, 0, sizeof *r);
    CHECK_INT(pygru_plan_size(&config, o->engine, p->T, p->B, p->lengths, &plan_bytes),
              PYGRU_OK);
    first_plan = buffer_new(plan_bytes);
    CHECK_INT(pygru_plan_init(&config, o->engine, p->T, p->B, p->lengths, o->keep,
                              first_plan.data, plan_bytes),
              PYGRU_OK);
    /* A plan may be moved, and no call modifies it. */
    m.plan = buffer_new(plan_bytes);
    memcpy(m.plan.data, first_plan.data, (size_t)plan_bytes);
    memset(first_plan.data, 0xFF, (size_t)plan_bytes);
    buffer_free(&first_plan);
    r->plan = allocate(plan_bytes, 1);
    memcpy(r->plan, m.plan.data, (size_t)plan_bytes);
    buffer_read_only(&m.plan);
    CHECK_INT(pygru_plan_sizes(m.plan.data, o->n_threads, &r->sizes), PYGRU_OK);
    CHECK_INT(r->sizes.parameters, p->n_parameters);

    m.parameters = NAME(input)(p->n_parameters, p->parameters);
    m.packed = NAME(packed_parameters)(p, o, &m.parameters);
    NAME(make_masks)(p, &m, r->sizes.rows);
    m.tape = buffer_new(r->sizes.tape * (int64_t)sizeof(REAL));
    m.x_at = place(o->lay, p->T, p->B, p->config.input_size);
    m.y_at = place(o->lay, p->T, p->B, width);
    m.blas = naive_blas(o->int_bytes, o->max_int);
    m.team.n_threads = o->n_threads;
    m.team.threading = o->threading;
    m.team.poll = o->backward_only ? NULL : o->poll;
    m.team.poll_context = o->poll_context;
    atomic_store(&blas_nap_us, o->backward_only ? 0 : o->nap_us);
    atomic_store(&blas_largest_int, 0);

    NAME(run_forward)(p, o, &m, r);
    m.team.poll = o->poll;
    atomic_store(&blas_nap_us, o->nap_us);
    if (r->forward == PYGRU_OK && o->keep != PYGRU_KEEP_NOTHING) {
        NAME(run_backward)(p, o, &m, r);
    }
    atomic_store(&blas_nap_us, 0);
    CHECK_INT(atomic_load(&blas_refusals), 0);
    CHECK(atomic_load(&blas_largest_int) <= m.blas.max_int);
    NAME(check_unchanged)(&m.parameters, p->parameters);
    buffer_free(&m.plan);
    buffer_free(&m.parameters);
    buffer_free(&m.packed);
    buffer_free(&m.dropout);
    buffer_free(&m.recurrent);
    buffer_free(&m.zoneout);
    buffer_free(&m.tape);
}

/* The first n time steps of a problem without lengths, one pygru_step after the other: the
 * states (L, B, H) after each of them, or NULL after an error. A step uses the options for the
 * engine, the kernels, in_place, state and the BLAS. */
static double *NAME(run_steps)(const problem *p, const options *o, int64_t n,
                               pygru_status *status) {
    const int64_t in_x = p->B * p->config.input_size;
    const pygru_blas blas = naive_blas(o->int_bytes, o->max_int);
    const int simd = o->engine == PYGRU_ENGINE_SIMD;
    double *out = doubles(n * p->n_states);
    buffer parameters = NAME(input)(p->n_parameters, p->parameters);
    buffer packed = NAME(packed_parameters)(p, o, &parameters);
    const pygru_config config = NAME(config_of)(p);
    int64_t t, i, bytes = -1;
    *status = PYGRU_OK;
    CHECK_INT(pygru_step_workspace(&config, p->B, &bytes), PYGRU_OK);
    for (t = 0; t < n && *status == PYGRU_OK; t++) {
        const double *before = t == 0 ? p->h0 : out + (t - 1) * p->n_states;
        buffer x = NAME(input)(in_x, p->x + t * in_x);
        buffer h = NAME(input)(p->n_states, before);
        buffer h_next = buffer_new(p->n_states * (int64_t)sizeof(REAL));
        buffer workspace = buffer_new(bytes);
        pygru_step_args args = {0};
        caller_state state;
        if (o->in_place) {
            memcpy(h_next.data, h.data, h.bytes);
        }
        args.config = &config;
        args.parameters = parameters.data;
        args.packed = simd ? packed.data : NULL;
        args.B = p->B;
        args.x = x.data;
        args.h = o->in_place ? h_next.data : h.data;
        args.h_next = h_next.data;
        args.workspace = workspace.data;
        args.workspace_bytes = bytes;
        args.blas = simd ? NULL : &blas;
        args.kernels = o->kernels;
        state = enter_state(o->state);
        *status = pygru_step(&args);
        CHECK(leave_state(&state)); /* pygru_step does not change the floating-point state */
        for (i = 0; i < p->n_states && *status == PYGRU_OK; i++) {
            out[t * p->n_states + i] = (double)((const REAL *)h_next.data)[i];
        }
        NAME(check_unchanged)(&h, before);
        buffer_free(&x);
        buffer_free(&h);
        buffer_free(&h_next);
        buffer_free(&workspace);
    }
    NAME(check_unchanged)(&parameters, p->parameters);
    buffer_free(&parameters);
    buffer_free(&packed);
    if (*status != PYGRU_OK) {
        free(out);
        return NULL;
    }
    return out;
}
