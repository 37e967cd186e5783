/* arguments.tpl.c - checks the arguments of the public calls, and gives them the types of this
 * precision.
 *
 * The public structs contain `void *` and double. Each read_* function checks all arguments of
 * a call before any of them is used, and fills a struct with the same members as `REAL *` and
 * REAL. The other files of the core use only these structs. */

typedef struct NAME(input) {
    const REAL *data;
    ptrdiff_t step;
    ptrdiff_t sequence;
} NAME(input);

typedef struct NAME(output) {
    REAL *data;
    ptrdiff_t step;
    ptrdiff_t sequence;
} NAME(output);

typedef struct NAME(noise) {
    const uint8_t *dropout;
    REAL dropout_scale;
    const uint8_t *recurrent;
    REAL recurrent_scale;
    const uint8_t *zoneout;
    REAL zoneout_rate;
} NAME(noise);

typedef struct NAME(forward_args) {
    const pygru_plan *plan;
    const REAL *parameters;
    const void *packed;
    NAME(input) x;
    const REAL *h0;
    NAME(output) y;
    REAL *h_n;
    REAL *tape;
    NAME(noise) noise;
    void *workspace;
    const pygru_blas *blas;
    const pygru_kernels *kernels;
    const pygru_team *team;
} NAME(forward_args);

typedef struct NAME(backward_args) {
    const pygru_plan *plan;
    const REAL *parameters;
    const void *packed;
    const REAL *tape;
    NAME(noise) noise;
    NAME(input) d_y;
    const REAL *d_h_n;
    NAME(output) d_x;
    REAL *d_h0;
    REAL *grads;
    void *workspace;
    const pygru_blas *blas;
    const pygru_kernels *kernels;
    const pygru_team *team;
} NAME(backward_args);

typedef struct NAME(step_args) {
    const pygru_config *config;
    const REAL *parameters;
    const void *packed;
    int64_t B;
    const REAL *x;
    const REAL *h;
    REAL *h_next;
    REAL *workspace;
    REAL zoneout_rate;
    const pygru_blas *blas;
    const pygru_kernels *kernels;
} NAME(step_args);

/* ---- single arguments ------------------------------------------------------------------ */

/* An array of values that may be NULL. */
static int NAME(fits_or_null)(const void *array) {
    return (uintptr_t)array % sizeof(REAL) == 0;
}

static int NAME(fits)(const void *array) { return array != NULL && NAME(fits_or_null)(array); }

/* Whether the strides of a (T, B, width) array are possible: every offset can be counted in
 * bytes, and rows that are written do not overlap the next ones along an axis. */
static int NAME(strides_fit)(const pygru_plan *plan, ptrdiff_t step, ptrdiff_t sequence,
                             int64_t width, int is_written) {
    const int64_t most = PTRDIFF_MAX / (int64_t)sizeof(REAL) / 4;
    const int64_t along_time = step < 0 ? -(step + 1) : step; /* one less if negative */
    const int64_t along_batch = sequence < 0 ? -(sequence + 1) : sequence;
    if (plan->T == 0 || plan->B == 0) {
        return 1;
    }
    if (width > most || along_time > most / plan->T || along_batch > most / plan->B) {
        return 0;
    }
    return !is_written || ((plan->T == 1 || along_time + (step < 0) >= width) &&
                           (plan->B == 1 || along_batch + (sequence < 0) >= width));
}

static int NAME(rate_fits)(double rate) { return rate >= 0 && rate <= 1; }

static int NAME(read_noise)(const pygru_plan *plan, const pygru_noise *given, NAME(noise) *to) {
    to->dropout = given->dropout;
    to->dropout_scale = (REAL)given->dropout_scale;
    to->recurrent = given->recurrent;
    to->recurrent_scale = (REAL)given->recurrent_scale;
    to->zoneout = given->zoneout;
    to->zoneout_rate = (REAL)given->zoneout_rate;
    return NAME(rate_fits)(given->zoneout_rate) &&
           (given->recurrent == NULL || plan->config.drops_states);
}

static int NAME(blas_fits)(const pygru_blas *blas) {
    return pygru_points(blas) && (blas->int_bytes == 4 || blas->int_bytes == 8) &&
           blas->max_int >= 1 && (REAL_BITS == 32 ? blas->sgemm : blas->dgemm) != NULL &&
           (REAL_BITS == 32 ? blas->sgemv : blas->dgemv) != NULL;
}

/* BLAS takes row lengths as its own integers, so longer rows cannot be passed to it. */
static int NAME(rows_fit_blas)(const pygru_config *c, const pygru_blas *blas) {
    const int64_t widest = pygru_widest_input(c);
    return c->hidden_size <= blas->max_int / COLUMNS && widest <= blas->max_int;
}

static int NAME(packed_fits)(const pygru_kernels *kernels, int32_t precision,
                             const void *packed) {
    return packed != NULL && (uintptr_t)packed % PYGRU_ALIGNMENT == 0 &&
           NAME(pygru_table_of)(kernels, precision)->lanes > 0;
}

/* Whether a call has what its engine needs. */
static pygru_status NAME(check_engine)(int32_t engine, const pygru_config *c,
                                       const pygru_blas *blas, const pygru_kernels *kernels,
                                       const void *packed) {
    if (engine == PYGRU_ENGINE_BLAS && pygru_is_quantized(c)) {
        return PYGRU_BAD_CONFIG;
    }
    if (engine == PYGRU_ENGINE_SIMD) {
        return NAME(packed_fits)(kernels, c->precision, packed) ? PYGRU_OK : PYGRU_BAD_ARGUMENT;
    }
    if (!NAME(blas_fits)(blas)) {
        return PYGRU_BAD_ARGUMENT;
    }
    return NAME(rows_fit_blas)(c, blas) ? PYGRU_OK : PYGRU_BLAS_LIMIT;
}

static int NAME(team_fits)(const pygru_team *team) {
    return pygru_points(team) && team->n_threads >= 1 &&
           (team->threading == PYGRU_POOL || team->threading == PYGRU_OPENMP) &&
           (team->adaptive == 0 || team->adaptive == 1);
}

/* Whether `bytes` bytes are enough for so many elements, shared and per thread. */
static int NAME(workspace_fits)(const pygru_plan *plan, const pygru_team *team,
                                const void *workspace, int64_t bytes, int64_t shared,
                                int64_t per_thread) {
    const int64_t needed = pygru_workspace_bytes(plan, team->n_threads, shared, per_thread);
    return workspace != NULL && needed >= 0 && bytes >= needed;
}

/* ---- the calls ------------------------------------------------------------------------- */

static pygru_status NAME(read_forward)(const pygru_forward_args *given,
                                       const pygru_forward_layout *layout,
                                       NAME(forward_args) *args) {
    const pygru_plan *plan = given->plan;
    const pygru_config *c = &plan->config;
    const int64_t width = c->num_directions * c->hidden_size;
    const NAME(input) x = {given->x.data, given->x.step, given->x.sequence};
    const NAME(output) y = {given->y.data, given->y.step, given->y.sequence};
    if (!NAME(team_fits)(given->team) || !NAME(fits_or_null)(given->parameters) ||
        (given->parameters == NULL && !pygru_is_quantized(c)) || !NAME(fits)(given->x.data) ||
        !NAME(fits_or_null)(given->h0) || !NAME(fits_or_null)(given->y.data) ||
        !NAME(fits)(given->h_n) || !NAME(fits_or_null)(given->tape) ||
        !NAME(strides_fit)(plan, x.step, x.sequence, c->input_size, 0) ||
        (y.data != NULL && !NAME(strides_fit)(plan, y.step, y.sequence, width, 1)) ||
        (plan->keep != PYGRU_KEEP_NOTHING && given->tape == NULL) ||
        !NAME(read_noise)(plan, &given->noise, &args->noise) ||
        !NAME(workspace_fits)(plan, given->team, given->workspace, given->workspace_bytes,
                              layout->shared_total, layout->thread_total)) {
        return PYGRU_BAD_ARGUMENT;
    }
    args->plan = plan;
    args->parameters = given->parameters;
    args->packed = plan->engine == PYGRU_ENGINE_SIMD ? given->packed : NULL;
    args->x = x;
    args->h0 = given->h0;
    args->y = y;
    args->h_n = given->h_n;
    args->tape = given->tape;
    args->workspace = given->workspace;
    args->blas = given->blas;
    args->kernels = given->kernels;
    args->team = given->team;
    return NAME(check_engine)(plan->engine, c, given->blas, given->kernels, given->packed);
}

static pygru_status NAME(read_backward)(const pygru_backward_args *given,
                                        const pygru_backward_layout *layout,
                                        NAME(backward_args) *args) {
    const pygru_plan *plan = given->plan;
    const pygru_config *c = &plan->config;
    const int64_t width = c->num_directions * c->hidden_size;
    const NAME(input) d_y = {given->d_y.data, given->d_y.step, given->d_y.sequence};
    const NAME(output) d_x = {given->d_x.data, given->d_x.step, given->d_x.sequence};
    if (!NAME(team_fits)(given->team) || plan->keep == PYGRU_KEEP_NOTHING ||
        !NAME(fits)(given->parameters) || !NAME(fits)(given->tape) ||
        !NAME(fits_or_null)(given->d_y.data) || !NAME(fits_or_null)(given->d_h_n) ||
        !NAME(fits_or_null)(given->d_x.data) || !NAME(fits)(given->d_h0) ||
        !NAME(fits)(given->grads) ||
        (d_y.data != NULL && !NAME(strides_fit)(plan, d_y.step, d_y.sequence, width, 0)) ||
        (d_x.data != NULL &&
         !NAME(strides_fit)(plan, d_x.step, d_x.sequence, c->input_size, 1)) ||
        !NAME(read_noise)(plan, &given->noise, &args->noise) ||
        !NAME(workspace_fits)(plan, given->team, given->workspace, given->workspace_bytes,
                              layout->shared_total, layout->thread_total)) {
        return PYGRU_BAD_ARGUMENT;
    }
    args->plan = plan;
    args->parameters = given->parameters;
    args->packed = plan->engine == PYGRU_ENGINE_SIMD ? given->packed : NULL;
    args->tape = given->tape;
    args->d_y = d_y;
    args->d_h_n = given->d_h_n;
    args->d_x = d_x;
    args->d_h0 = given->d_h0;
    args->grads = given->grads;
    args->workspace = given->workspace;
    args->blas = given->blas;
    args->kernels = given->kernels;
    args->team = given->team;
    return NAME(check_engine)(plan->engine, c, given->blas, given->kernels, given->packed);
}

static pygru_status NAME(read_step)(const pygru_step_args *given, pygru_step_layout *layout,
                                    NAME(step_args) *args) {
    int64_t bytes;
    const pygru_status status = pygru_layout_step(given->config, given->B, layout, &bytes);
    if (status != PYGRU_OK) {
        return status;
    }
    if (!NAME(fits_or_null)(given->parameters) ||
        (given->parameters == NULL && given->packed == NULL) || !NAME(fits)(given->x) ||
        !NAME(fits)(given->h) || !NAME(fits)(given->h_next) || !NAME(fits)(given->workspace) ||
        given->workspace_bytes < bytes || !NAME(rate_fits)(given->zoneout_rate)) {
        return PYGRU_BAD_ARGUMENT;
    }
    args->config = given->config;
    args->parameters = given->parameters;
    args->packed = given->packed;
    args->B = given->B;
    args->x = given->x;
    args->h = given->h;
    args->h_next = given->h_next;
    args->workspace = given->workspace;
    args->zoneout_rate = (REAL)given->zoneout_rate;
    args->blas = given->blas;
    args->kernels = given->kernels;
    return NAME(check_engine)(given->packed != NULL ? PYGRU_ENGINE_SIMD : PYGRU_ENGINE_BLAS,
                              given->config, given->blas, given->kernels, given->packed);
}
