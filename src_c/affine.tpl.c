/* affine.tpl.c - y = x W^T + b for many rows, and its derivative.
 *
 * The products are those of the SIMD engine, so the bits of a row of y, or of the gradient of
 * x, do not depend on the other rows. Sums over rows have a fixed order. A forward call may be
 * given packed weights; every other call packs them in its workspace, to the same bits. Kernels
 * without packed products multiply in plain loops. There the same holds, but the bits differ
 * from those of the SIMD engine. */

typedef struct NAME(affine_call) {
    const NAME(pygru_table) *table;
    pygru_affine_layout layout;
    int64_t rows;
    int64_t inputs;
    int64_t outputs;
    const REAL *x;
    const REAL *weight;
    const REAL *bias; /* NULL: none */
    REAL *y;
    const REAL *d_y;
    REAL *d_x; /* NULL: not wanted */
    int is_packed;
    char *packed; /* only read if is_packed */
    char *memory;
} NAME(affine_call);

static REAL *NAME(affine_sums)(const NAME(affine_call) *call, int32_t slot) {
    return (REAL *)(call->memory + call->layout.threads + slot * call->layout.per_thread);
}

/* out (rows, n) = from + A (rows, K) M: a tile of it. `m` is M (K, n), whose element (k, j) is
 * m[j*unit + k*step]. */
typedef struct NAME(affine_product) {
    int64_t rows;
    int64_t n;
    int64_t K;
    const REAL *a;
    const REAL *m;
    ptrdiff_t unit;
    ptrdiff_t step;
    REAL *out;
} NAME(affine_product);

static NAME(affine_product) NAME(affine_forward_product)(const NAME(affine_call) *call) {
    const NAME(affine_product) p = {call->rows, call->outputs, call->inputs,
                                    call->x,    call->weight,  call->inputs,
                                    1,          call->y};
    return p;
}

static NAME(affine_product) NAME(affine_backward_product)(const NAME(affine_call) *call) {
    const NAME(affine_product) p = {call->rows,   call->inputs, call->outputs,
                                    call->d_y,    call->weight, 1,
                                    call->inputs, call->d_x};
    return p;
}

/* The multiply-adds of a forward call; INT64_MAX if they are too many to count. */
static int64_t NAME(affine_operations)(const NAME(affine_call) *call) {
    const int64_t n = pygru_times(call->rows, pygru_times(call->inputs, call->outputs));
    return n < 0 ? INT64_MAX : n;
}

static int64_t NAME(column_tiles)(const NAME(affine_product) *p) {
    return pygru_tiles_of(p->n, PYGRU_AFFINE_COLUMNS);
}

/* Packs the columns of one tile, and sets the start value of its rows. */
static void NAME(affine_pack)(const NAME(affine_call) *call, const NAME(affine_product) *p,
                              const REAL *from, int64_t tile) {
    const int64_t first = tile * PYGRU_AFFINE_COLUMNS;
    const int64_t left = p->n - first;
    const int64_t columns = left < PYGRU_AFFINE_COLUMNS ? left : PYGRU_AFFINE_COLUMNS;
    const REAL *m = p->m + first * p->unit;
    REAL *start = (REAL *)(call->packed + call->layout.from) + first;
    call->table->pack(1, columns, p->K, &m, p->unit, p->step,
                      call->packed + first * p->K * call->table->weight_bytes);
    /* One vector after the last column of all may be read. */
    memset(start, 0,
           (size_t)(columns + (left == columns ? PYGRU_MOST_LANES : 0)) * sizeof(REAL));
    if (from != NULL) {
        memcpy(start, from + first, (size_t)columns * sizeof(REAL));
    }
}

/* One tile, with packed weights. Whole vectors are written, so columns that do not fill a
 * vector are computed in `sums` and then copied. */
static void NAME(affine_multiply)(const NAME(affine_call) *call, const NAME(affine_product) *p,
                                  int64_t row, int64_t rows, int64_t first, int64_t columns,
                                  REAL *sums) {
    const int64_t lanes = call->table->lanes;
    const int64_t whole = columns / lanes, rest = columns % lanes;
    REAL *from = (REAL *)(call->packed + call->layout.from) + first; /* only read */
    REAL *out = p->out + row * p->n + first;
    NAME(pygru_product)
    product = {.m = rows,
               .panels = whole,
               .NV = 1,
               .K = p->K,
               .a = p->a + row * p->K,
               .lda = p->K,
               .w = call->packed + first * p->K * call->table->weight_bytes,
               .panel = p->K * lanes,
               .w_step = lanes,
               .from = {{from}, {0}},
               .out = {{out}, {p->n}}};
    int64_t i;
    if (whole > 0) {
        call->table->product(&product);
    }
    if (rest == 0) {
        return;
    }
    product.panels = 1;
    product.w = NAME(pygru_weights_at)(call->table, product.w, whole * product.panel);
    product.from.at[0] = from + whole * lanes;
    product.out.at[0] = sums;
    product.out.row[0] = lanes;
    call->table->product(&product);
    for (i = 0; i < rows; i++) {
        memcpy(out + i * p->n + whole * lanes, sums + i * lanes, (size_t)rest * sizeof(REAL));
    }
}

/* The same without packed products; `from` may be NULL. */
static void NAME(affine_plain)(const NAME(affine_product) *p, const REAL *from, int64_t row,
                               int64_t rows, int64_t first, int64_t columns) {
    int64_t i, j, k;
    for (i = row; i < row + rows; i++) {
        for (j = first; j < first + columns; j++) {
            const REAL *a = p->a + i * p->K, *m = p->m + j * p->unit;
            REAL sum = from == NULL ? 0 : from[j];
            for (k = 0; k < p->K; k++) {
                sum += a[k] * m[k * p->step];
            }
            p->out[i * p->n + j] = sum;
        }
    }
}

static void NAME(affine_tile)(const NAME(affine_call) *call, const NAME(affine_product) *p,
                              const REAL *from, int64_t task, int32_t slot) {
    const int64_t row = task / NAME(column_tiles)(p) * PYGRU_AFFINE_ROWS;
    const int64_t first = task % NAME(column_tiles)(p) * PYGRU_AFFINE_COLUMNS;
    const int64_t rows = p->rows - row < PYGRU_AFFINE_ROWS ? p->rows - row : PYGRU_AFFINE_ROWS;
    const int64_t columns =
        p->n - first < PYGRU_AFFINE_COLUMNS ? p->n - first : PYGRU_AFFINE_COLUMNS;
    if (call->table->lanes > 0) {
        NAME(affine_multiply)(call, p, row, rows, first, columns,
                              NAME(affine_sums)(call, slot));
    } else {
        NAME(affine_plain)(p, from, row, rows, first, columns);
    }
}

/* ---- forward ------------------------------------------------------------------------ */

/* Phase 0 packs where that has not been done, phase 1 multiplies. */
static int64_t NAME(affine_count)(int32_t phase, void *context) {
    const NAME(affine_call) *call = context;
    const NAME(affine_product) p = NAME(affine_forward_product)(call);
    if (phase == 0) {
        return call->table->lanes > 0 && !call->is_packed ? NAME(column_tiles)(&p) : 0;
    }
    return NAME(column_tiles)(&p) * pygru_tiles_of(p.rows, PYGRU_AFFINE_ROWS);
}

static void NAME(affine_task)(int32_t phase, int64_t task, int32_t slot, pygru_run *run,
                              void *context) {
    const NAME(affine_call) *call = context;
    const NAME(affine_product) p = NAME(affine_forward_product)(call);
    (void)run;
    if (phase == 0) {
        NAME(affine_pack)(call, &p, call->bias, task);
    } else {
        NAME(affine_tile)(call, &p, call->bias, task, slot);
    }
}

static int64_t NAME(affine_needs)(const pygru_affine_sizes *sizes, pygru_affine_use use) {
    return use == PYGRU_AFFINE_BACKWARD ? sizes->backward_workspace
           : use == PYGRU_AFFINE_KEPT   ? sizes->packed_workspace
                                        : sizes->forward_workspace;
}

/* Checks the sizes and arrays that both directions have. */
static pygru_status NAME(affine_begin)(const pygru_affine_args *args, pygru_affine_use use,
                                       NAME(affine_call) *call) {
    pygru_status status;
    pygru_affine_sizes sizes;
    if (!NAME(team_fits)(args->team) || args->rows < 0 || !NAME(fits)(args->x) ||
        !(use == PYGRU_AFFINE_KEPT ? NAME(fits_or_null) : NAME(fits))(args->weight) ||
        !NAME(fits_or_null)(args->bias) || !NAME(fits_or_null)(args->y) ||
        !NAME(fits_or_null)(args->d_y) || !NAME(fits_or_null)(args->d_x) ||
        !NAME(fits_or_null)(args->d_weight) || !NAME(fits_or_null)(args->d_bias) ||
        args->workspace == NULL) {
        return PYGRU_BAD_ARGUMENT;
    }
    status = pygru_affine_sizes_of(args->precision, args->inputs, args->outputs,
                                   args->team->n_threads, &sizes);
    if (status != PYGRU_OK) {
        return status;
    }
    if (pygru_times(pygru_times(args->rows, sizeof(REAL)),
                    args->inputs > args->outputs ? args->inputs : args->outputs) < 0) {
        return PYGRU_SIZE_OVERFLOW;
    }
    if (args->workspace_bytes < NAME(affine_needs)(&sizes, use)) {
        return PYGRU_BAD_ARGUMENT;
    }
    call->table = NAME(pygru_table_of)(args->kernels, args->precision);
    call->layout = pygru_affine_layout_of(args->precision, args->inputs, args->outputs,
                                          args->team->n_threads, use);
    call->rows = args->rows;
    call->inputs = args->inputs;
    call->outputs = args->outputs;
    call->x = args->x;
    call->weight = args->weight;
    call->bias = args->bias;
    call->y = args->y;
    call->d_y = args->d_y;
    call->d_x = args->d_x;
    call->memory = pygru_aligned(args->workspace);
    call->is_packed = use == PYGRU_AFFINE_KEPT;
    call->packed = call->is_packed ? (char *)args->packed : call->memory;
    return PYGRU_OK;
}

static pygru_status NAME(affine)(const pygru_affine_args *args) {
    NAME(affine_call) call;
    pygru_work work = {.n_phases = 2,
                       .count = NAME(affine_count),
                       .task = NAME(affine_task),
                       .context = &call};
    const pygru_affine_use use =
        args->packed != NULL ? PYGRU_AFFINE_KEPT : PYGRU_AFFINE_FORWARD;
    pygru_status status;
    if (use == PYGRU_AFFINE_KEPT &&
        !NAME(packed_fits)(args->kernels, args->precision, args->packed)) {
        return PYGRU_BAD_ARGUMENT;
    }
    status = NAME(affine_begin)(args, use, &call);
    if (status != PYGRU_OK) {
        return status;
    }
    work.operations = NAME(affine_operations)(&call);
    return args->y == NULL ? PYGRU_BAD_ARGUMENT : pygru_parallel_run(args->team, &work);
}

/* The public call that packs: precision and sizes have been checked. */
static pygru_status NAME(pack_affine)(int32_t precision, const pygru_kernels *kernels,
                                      int64_t inputs, int64_t outputs, const void *weight,
                                      const void *bias, void *packed) {
    NAME(affine_call) call = {0};
    NAME(affine_product) p;
    int64_t tile;
    call.table = NAME(pygru_table_of)(kernels, precision);
    if (call.table->lanes == 0) {
        return PYGRU_BAD_CONFIG;
    }
    if (!NAME(fits)(weight) || !NAME(fits_or_null)(bias) ||
        !NAME(packed_fits)(kernels, precision, packed)) {
        return PYGRU_BAD_ARGUMENT;
    }
    call.layout = pygru_affine_layout_of(precision, inputs, outputs, 1, PYGRU_AFFINE_KEPT);
    call.inputs = inputs;
    call.outputs = outputs;
    call.weight = weight;
    call.packed = packed;
    p = NAME(affine_forward_product)(&call);
    for (tile = 0; tile < NAME(column_tiles)(&p); tile++) {
        NAME(affine_pack)(&call, &p, bias, tile);
    }
    return PYGRU_OK;
}

/* ---- backward ----------------------------------------------------------------------- */

/* The tasks of the second phase: tiles of d_x, rows of d_W, and d_b. */
static int64_t NAME(d_x_tiles)(const NAME(affine_call) *call) {
    const NAME(affine_product) p = NAME(affine_backward_product)(call);
    return call->d_x == NULL
               ? 0
               : NAME(column_tiles)(&p) * pygru_tiles_of(p.rows, PYGRU_AFFINE_ROWS);
}

static int64_t NAME(affine_backward_count)(int32_t phase, void *context) {
    const NAME(affine_call) *call = context;
    const NAME(affine_product) p = NAME(affine_backward_product)(call);
    if (phase == 0) {
        return call->table->lanes > 0 && call->d_x != NULL ? NAME(column_tiles)(&p) : 0;
    }
    return NAME(d_x_tiles)(call) + pygru_tiles_of(call->outputs, PYGRU_AFFINE_ROWS) + 1;
}

/* d_W (outputs, inputs) = d_y^T x, the rows of one tile. */
static void NAME(d_weight_tile)(const NAME(affine_call) *call, int64_t tile, int32_t slot,
                                pygru_run *run) {
    enum { AT_A_TIME = PYGRU_SUM_ROWS }; /* rows between two looks at the stop flag */
    const int64_t first = tile * PYGRU_AFFINE_ROWS, n = call->inputs;
    const int64_t left = call->outputs - first;
    const int64_t m = left < PYGRU_AFFINE_ROWS ? left : PYGRU_AFFINE_ROWS;
    REAL *d_weight = (REAL *)(call->memory + call->layout.d_weight) + first * n;
    int64_t row, k, i, j;
    memset(d_weight, 0, (size_t)(m * n) * sizeof(REAL));
    for (row = 0; row < call->rows && !pygru_should_stop(run, slot); row += AT_A_TIME) {
        const int64_t rows = call->rows - row < AT_A_TIME ? call->rows - row : AT_A_TIME;
        const REAL *d_y = call->d_y + row * call->outputs + first, *x = call->x + row * n;
        if (call->table->lanes > 0) {
            const NAME(matrix) of_y = {d_y, call->outputs}, of_x = {x, n};
            NAME(sum_over_rows)
            (call->table, m, n, rows, of_y, of_x, d_weight, n, NAME(affine_sums)(call, slot));
            continue;
        }
        for (k = 0; k < rows; k++) {
            for (i = 0; i < m; i++) {
                for (j = 0; j < n; j++) {
                    d_weight[i * n + j] += d_y[k * call->outputs + i] * x[k * n + j];
                }
            }
        }
    }
}

/* d_b (outputs) = the sums of the columns of d_y, in blocks so that the error of a long float32
 * sum grows with the number of blocks, not of rows. */
static void NAME(d_bias_sums)(const NAME(affine_call) *call, int32_t slot, pygru_run *run) {
    enum { BLOCK = 256 };
    const int64_t n = call->outputs;
    REAL *d_bias = (REAL *)(call->memory + call->layout.d_bias);
    int64_t row, k, first, j;
    memset(d_bias, 0, (size_t)n * sizeof(REAL));
    for (first = 0; first < n; first += BLOCK) {
        const int64_t columns = n - first < BLOCK ? n - first : BLOCK;
        for (row = 0; row < call->rows && !pygru_should_stop(run, slot); row += BLOCK) {
            const int64_t rows = call->rows - row < BLOCK ? call->rows - row : BLOCK;
            REAL sums[BLOCK] = {0};
            for (k = 0; k < rows; k++) {
                const REAL *d_y = call->d_y + (row + k) * n + first;
                for (j = 0; j < columns; j++) {
                    sums[j] += d_y[j];
                }
            }
            for (j = 0; j < columns; j++) {
                d_bias[first + j] += sums[j];
            }
        }
    }
}

static void NAME(affine_backward_task)(int32_t phase, int64_t task, int32_t slot,
                                       pygru_run *run, void *context) {
    const NAME(affine_call) *call = context;
    const NAME(affine_product) p = NAME(affine_backward_product)(call);
    const int64_t tiles = NAME(d_x_tiles)(call);
    const int64_t weights = pygru_tiles_of(call->outputs, PYGRU_AFFINE_ROWS);
    if (phase == 0) {
        NAME(affine_pack)(call, &p, NULL, task);
    } else if (task < tiles) {
        NAME(affine_tile)(call, &p, NULL, task, slot);
    } else if (task < tiles + weights) {
        NAME(d_weight_tile)(call, task - tiles, slot, run);
    } else {
        NAME(d_bias_sums)(call, slot, run);
    }
}

static void NAME(add_to)(int64_t n, const REAL *from, REAL *to) {
    int64_t j;
    for (j = 0; to != NULL && j < n; j++) {
        to[j] += from[j];
    }
}

static pygru_status NAME(affine_backward)(const pygru_affine_args *args) {
    NAME(affine_call) call;
    pygru_work work = {.n_phases = 2,
                       .count = NAME(affine_backward_count),
                       .task = NAME(affine_backward_task),
                       .context = &call};
    pygru_status status = NAME(affine_begin)(args, PYGRU_AFFINE_BACKWARD, &call);
    uint64_t float_state;
    if (status != PYGRU_OK) {
        return status;
    }
    if (args->d_y == NULL || args->d_weight == NULL) {
        return PYGRU_BAD_ARGUMENT;
    }
    work.operations = NAME(affine_operations)(&call);
    status = pygru_parallel_run(args->team, &work);
    if (status != PYGRU_OK) {
        return status;
    }
    /* The caller gets a complete gradient or none. */
    float_state = pygru_enter_float_state();
    NAME(add_to)(args->outputs * args->inputs, (REAL *)(call.memory + call.layout.d_weight),
                 args->d_weight);
    NAME(add_to)(args->outputs, (REAL *)(call.memory + call.layout.d_bias), args->d_bias);
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}
