/* rows.tpl.c - where the rows of inputs, states and outputs are, and copies between them.
 *
 * All arrays inside the core are in the packed order of plan.h; arrays of the caller are not.
 * Only time_of() depends on the direction: it says which time step of a sequence the t-th step
 * of a sweep is. In a GRU that reads in reverse, the only direction does so. */

static int64_t NAME(time_of)(const pygru_plan *plan, int32_t direction, int64_t length,
                             int64_t t) {
    return direction == plan->config.reverse ? t : length - 1 - t;
}

/* Rows of an input or output array: either the caller's (T, B, n) array with its strides, or a
 * packed (R, n) array in time order (packed != 0, step is then its row length). */
typedef struct NAME(rows) {
    REAL *data;
    ptrdiff_t step;
    ptrdiff_t sequence;
    int packed;
} NAME(rows);

static NAME(rows) NAME(caller_rows)(REAL *data, ptrdiff_t step, ptrdiff_t sequence) {
    const NAME(rows) rows = {data, step, sequence, 0};
    return rows;
}

static NAME(rows) NAME(packed_rows)(REAL *data, int64_t width) {
    const NAME(rows) rows = {data, (ptrdiff_t)width, 0, 1};
    return rows;
}

/* The row of the i-th sequence of the chunk at a time step. */
static REAL *NAME(row_at)(const chunk_view *chunk, const NAME(rows) *rows, int64_t time,
                          int64_t i) {
    if (rows->packed) {
        return rows->data + (chunk->row0 + chunk->start[time] + i) * rows->step;
    }
    return rows->data + time * rows->step + chunk->order[i] * rows->sequence;
}

/* ---- copies -------------------------------------------------------------------------- */

static void NAME(copy_row)(int64_t n, const REAL *from, REAL *to) {
    memcpy(to, from, (size_t)n * sizeof(REAL));
}

static void NAME(zero_row)(int64_t n, REAL *to) { memset(to, 0, (size_t)n * sizeof(REAL)); }

/* A range of units of `rows` rows of H. */
static void NAME(copy_units)(int64_t rows, int64_t H, unit_range range, const REAL *from,
                             REAL *to) {
    int64_t i;
    if (range.n == H) {
        NAME(copy_row)(rows * H, from, to);
        return;
    }
    for (i = 0; i < rows; i++) {
        NAME(copy_row)(range.n, from + i * H + range.first, to + i * H + range.first);
    }
}

/* Writes zeros to columns [first, first+n) after the end of each sequence of the chunk. */
static void NAME(zero_padding)(const pygru_plan *plan, const chunk_view *chunk,
                               const NAME(rows) *rows, int64_t first, int64_t n) {
    int64_t i, time;
    for (i = 0; i < chunk->n; i++) {
        for (time = chunk->lengths[i]; time < plan->T; time++) {
            NAME(zero_row)(n, NAME(row_at)(chunk, rows, time, i) + first);
        }
    }
}

/* ---- what both passes know ----------------------------------------------------------- */

/* The source of the input of a layer. */
typedef struct NAME(source) {
    NAME(rows) x;          /* layer 0: x.data is not NULL */
    const REAL *h_prev[2]; /* above: the states of the layer below, per direction (R, H) */
    const REAL *h_last[2]; /* and its last states (B, H) */
    const uint8_t *mask;   /* (R, D*H) dropout between the two, may be NULL */
    REAL mask_scale;
    int32_t directions;
} NAME(source);

/* The dropout between `layer` >= 1 and the one below; all_masks (L-1, R, D*H) may be NULL. */
static void NAME(set_mask)(NAME(source) *source, const pygru_plan *plan, int64_t layer,
                           const uint8_t *all_masks, REAL scale) {
    const int64_t size = plan->rows * plan->config.num_directions * plan->config.hidden_size;
    source->mask = all_masks == NULL ? NULL : all_masks + (layer - 1) * size;
    source->mask_scale = scale;
}

/* Applies the dropout to a row of D*H, or to its gradient. */
static void NAME(drop_row)(const NAME(source) *source, const chunk_view *chunk, int64_t width,
                           int64_t time, int64_t i, REAL *row) {
    const uint8_t *mask;
    int64_t j;
    if (source->mask == NULL) {
        return;
    }
    mask = source->mask + (chunk->row0 + chunk->start[time] + i) * width;
    for (j = 0; j < width; j++) {
        row[j] *= (REAL)mask[j] * source->mask_scale;
    }
}

/* One chunk of a layer in one direction. */
typedef struct NAME(walk) {
    const pygru_plan *plan;
    chunk_view chunk;
    int32_t direction;
    NAME(cell) cell;
    NAME(cell_noise) noise;
    NAME(source) source;
    pygru_run *run;
    int32_t slot;
} NAME(walk);

/* The time step that is the t-th of the i-th sequence. */
static int64_t NAME(time_at)(const NAME(walk) *w, int64_t t, int64_t i) {
    return NAME(time_of)(w->plan, w->direction, w->chunk.lengths[i], t);
}

/* The output of the layer below at a time step of the i-th sequence, with dropout. */
static void NAME(gather_from_below)(const NAME(walk) *w, int64_t time, int64_t i, REAL *to) {
    const NAME(source) *source = &w->source;
    const chunk_view *chunk = &w->chunk;
    const int64_t H = w->cell.H, length = chunk->lengths[i];
    int32_t d;
    for (d = 0; d < source->directions; d++) {
        /* The state after the t-th step of that direction is the state before its next. */
        const int64_t t = NAME(time_of)(w->plan, d, length, time);
        const REAL *h = t + 1 < length
                            ? source->h_prev[d] + (chunk->row0 + chunk->start[t + 1] + i) * H
                            : source->h_last[d] + chunk->order[i] * H;
        NAME(copy_row)(H, h, to + d * H);
    }
    NAME(drop_row)(source, chunk, source->directions * H, time, i, to);
}

/* The inputs of steps t0 <= t < t1 in sweep order, rows of I. */
static void NAME(gather_inputs)(const NAME(walk) *w, int64_t t0, int64_t t1, REAL *to) {
    const int64_t I = w->cell.I;
    int64_t t, i;
    for (t = t0; t < t1; t++) {
        for (i = 0; i < rows_of_step(&w->chunk, t); i++, to += I) {
            const int64_t time = NAME(time_at)(w, t, i);
            if (w->source.x.data != NULL) {
                NAME(copy_row)(I, NAME(row_at)(&w->chunk, &w->source.x, time, i), to);
            } else {
                NAME(gather_from_below)(w, time, i, to);
            }
        }
    }
}
