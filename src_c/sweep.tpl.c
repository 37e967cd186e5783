/* sweep.tpl.c - one layer in one direction over one chunk of sequences.
 *
 * Forward: per time block one product for the inputs, then step by step the recurrence.
 * Backward: the same steps from the last to the first; it leaves the gate gradients of all
 * rows, from which network.tpl.c forms the weight and input gradients.
 *
 * Everything here is in the packed order of plan.h. The direction matters in one place only:
 * time_of() says which time step of a sequence the t-th step of the sweep is. */

/* Rows of an array that belongs to somebody: either the caller's (T, B, n) array with its
 * strides, or a packed (R, n) array in time order (packed != 0, step is then its row length).
 */
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

/* Where the input of a layer comes from. */
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

/* One sweep. Members that only one of the two passes uses are NULL in the other. */
typedef struct NAME(sweep) {
    const pygru_plan *plan;
    const pygru_chunk *chunk;
    int32_t direction;
    NAME(cell) cell;
    NAME(cell_noise) noise;
    NAME(source) source;
    pygru_run *run;
    int32_t slot;

    /* forward */
    const REAL *h0;           /* (B, H) or NULL */
    REAL *h_n;                /* (B, H) */
    REAL *tape_h_last;        /* (B, H) a copy of h_n that the tape owns, or NULL */
    REAL *tape_x;             /* (R, I) the tape's copy of x, packed: filled by direction 0 */
    REAL *h_prev;             /* (R, H) or NULL if nobody reads the states afterwards */
    REAL *tape_gates;         /* (R, 4H) or NULL: then `gates` holds one block */
    NAME(norm_record) record; /* of layer normalisation, as long as the gates, or all NULL */
    NAME(rows) y;             /* data NULL below the top layer */

    /* backward */
    const REAL *d_h_n; /* (B, H) or NULL */
    REAL *d_h0;        /* (B, H) */
    NAME(rows) d_y;    /* gradient of this layer's output; data may be NULL */
    REAL *d_gates;     /* (R, 4H) */
    REAL *d_products;  /* (R, 4H) before layer normalisation; d_gates without it */
    REAL *d_norm;      /* (PYGRU_NORM, H) of this chunk */
    REAL *x_rows;      /* (R, I) the inputs in sweep order, to be gathered, or NULL */
    REAL *h_in_rows;   /* (R, H) what stood for h_prev in the products, or NULL */

    /* scratch of this thread, see plan.h */
    REAL *x;
    REAL *gates;
    REAL *h;
    REAL *h_in;
    REAL *h_next;
    REAL *d_h;
    REAL *d_h_in;
    REAL *d_kept;
    REAL *d_rh;
    REAL *d_norm_block;
} NAME(sweep);

/* ---- rows --------------------------------------------------------------------------- */

static int64_t NAME(time_of)(int32_t direction, int64_t length, int64_t t) {
    return direction == 0 ? t : length - 1 - t;
}

/* The row of the i-th sequence of the chunk at a time step. */
static REAL *NAME(row_at)(const pygru_plan *plan, const pygru_chunk *chunk,
                          const NAME(rows) *rows, int64_t time, int64_t i) {
    if (rows->packed) {
        const int64_t *start = pygru_plan_starts(plan, chunk);
        return rows->data + (chunk->row0 + start[time] + i) * rows->step;
    }
    return rows->data + time * rows->step +
           pygru_plan_order(plan)[chunk->sequence0 + i] * rows->sequence;
}

static void NAME(copy_row)(int64_t n, const REAL *from, REAL *to) {
    memcpy(to, from, (size_t)n * sizeof(REAL));
}

static void NAME(zero_row)(int64_t n, REAL *to) { memset(to, 0, (size_t)n * sizeof(REAL)); }

/* The output of the layer below at a time step of the i-th sequence, dropout applied. */
static void NAME(gather_from_below)(const NAME(sweep) *s, int64_t length, int64_t time,
                                    int64_t i, REAL *to) {
    const NAME(source) *source = &s->source;
    const int64_t H = s->cell.H;
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    const int64_t row0 = s->chunk->row0;
    int32_t d;
    int64_t j;
    for (d = 0; d < source->directions; d++) {
        /* The state after the t-th step of that direction is the state before its next. */
        const int64_t t = NAME(time_of)(d, length, time);
        const REAL *h =
            t + 1 < length
                ? source->h_prev[d] + (row0 + start[t + 1] + i) * H
                : source->h_last[d] + pygru_plan_order(s->plan)[s->chunk->sequence0 + i] * H;
        NAME(copy_row)(H, h, to + d * H);
    }
    if (source->mask != NULL) {
        const int64_t width = source->directions * H;
        const uint8_t *mask = source->mask + (row0 + start[time] + i) * width;
        for (j = 0; j < width; j++) {
            to[j] *= (REAL)mask[j] * source->mask_scale;
        }
    }
}

/* The inputs of steps t0 <= t < t1 in sweep order, rows of I. */
static void NAME(gather_inputs)(const NAME(sweep) *s, int64_t t0, int64_t t1, REAL *to) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    const int64_t *lengths = pygru_plan_lengths(s->plan) + s->chunk->sequence0;
    const int64_t I = s->cell.I;
    int64_t t, i;
    for (t = t0; t < t1; t++) {
        for (i = 0; i < start[t + 1] - start[t]; i++) {
            const int64_t time = NAME(time_of)(s->direction, lengths[i], t);
            if (s->source.x.data != NULL) {
                NAME(copy_row)(I, NAME(row_at)(s->plan, s->chunk, &s->source.x, time, i), to);
            } else {
                NAME(gather_from_below)(s, lengths[i], time, i, to);
            }
            to += I;
        }
    }
}

/* One past the last step of the time block that begins at t0: as many whole steps as fit. */
static int64_t NAME(block_end)(const NAME(sweep) *s, int64_t t0) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    int64_t t1 = t0 + 1;
    while (t1 < s->chunk->steps && start[t1 + 1] - start[t0] <= s->plan->block_rows) {
        t1++;
    }
    return t1;
}

/* First step of the time block that ends before t1, for the way back. */
static int64_t NAME(block_begin)(const NAME(sweep) *s, int64_t t1) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    int64_t t0 = t1 - 1;
    while (t0 > 0 && start[t1] - start[t0 - 1] <= s->plan->block_rows) {
        t0--;
    }
    return t0;
}

/* ---- forward ------------------------------------------------------------------------ */

static void NAME(load_state)(const NAME(sweep) *s) {
    const int64_t *order = pygru_plan_order(s->plan) + s->chunk->sequence0;
    const int64_t H = s->cell.H;
    int64_t i;
    for (i = 0; i < s->chunk->n; i++) {
        if (s->h0 != NULL) {
            NAME(copy_row)(H, s->h0 + order[i] * H, s->h + i * H);
        } else {
            NAME(zero_row)(H, s->h + i * H);
        }
    }
}

/* The last state of sequences [first, end) of the chunk; h0 for a sequence of length 0. */
static void NAME(store_last_states)(const NAME(sweep) *s, int64_t first, int64_t end,
                                    const REAL *h) {
    const int64_t *order = pygru_plan_order(s->plan) + s->chunk->sequence0;
    const int64_t H = s->cell.H;
    int64_t i;
    for (i = first; i < end; i++) {
        NAME(copy_row)(H, h + i * H, s->h_n + order[i] * H);
        if (s->tape_h_last != NULL) {
            NAME(copy_row)(H, h + i * H, s->tape_h_last + order[i] * H);
        }
    }
}

static void NAME(store_outputs)(const NAME(sweep) *s, int64_t t, int64_t active,
                                const REAL *h) {
    const int64_t *lengths = pygru_plan_lengths(s->plan) + s->chunk->sequence0;
    const int64_t H = s->cell.H;
    int64_t i;
    for (i = 0; i < active; i++) {
        const int64_t time = NAME(time_of)(s->direction, lengths[i], t);
        REAL *y = NAME(row_at)(s->plan, s->chunk, &s->y, time, i);
        NAME(copy_row)(H, h + i * H, y + s->direction * H);
    }
}

/* Zeros in columns [first, first+n) past the end of each sequence of the chunk. */
static void NAME(zero_padding)(const pygru_plan *plan, const pygru_chunk *chunk,
                               const NAME(rows) *rows, int64_t first, int64_t n) {
    const int64_t *lengths = pygru_plan_lengths(plan) + chunk->sequence0;
    int64_t i, time;
    for (i = 0; i < chunk->n; i++) {
        for (time = lengths[i]; time < plan->T; time++) {
            NAME(zero_row)(n, NAME(row_at)(plan, chunk, rows, time, i) + first);
        }
    }
}

/* The inputs of a block: the tape's packed copy of x is in the order of direction 0. */
static const REAL *NAME(block_inputs)(const NAME(sweep) *s, int64_t t0, int64_t t1) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    REAL *to = s->tape_x != NULL && s->direction == 0
                   ? s->tape_x + (s->chunk->row0 + start[t0]) * s->cell.I
                   : s->x;
    NAME(gather_inputs)(s, t0, t1, to);
    return to;
}

/* What stands for the states h of the first n sequences in the products. */
static const REAL *NAME(states_in_products)(const NAME(sweep) *s, int64_t n, const REAL *h,
                                            REAL *to) {
    if (s->noise.recurrent == NULL) {
        return h;
    }
    NAME(drop_states)(&s->noise, n, s->cell.H, pygru_plan_order(s->plan) + s->chunk->sequence0,
                      h, to);
    return to;
}

/* The record of the block whose first row is `first`. */
static NAME(norm_record) NAME(block_record)(const NAME(sweep) *s, int64_t first) {
    return NAME(record_at)(&s->record, s->cell.H, s->tape_gates != NULL ? first : 0);
}

static void NAME(sweep_forward)(const NAME(sweep) *s) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    const int64_t row0 = s->chunk->row0;
    const int64_t H = s->cell.H;
    const int64_t steps = s->chunk->steps;
    REAL *h = s->h, *h_next = s->h_next;
    int64_t t0, t1, t;
    NAME(load_state)(s);
    NAME(store_last_states)(s, steps > 0 ? start[1] : 0, s->chunk->n, h);
    for (t0 = 0; t0 < steps && !pygru_should_stop(s->run, s->slot); t0 = t1) {
        REAL *gates =
            s->tape_gates != NULL ? s->tape_gates + at_row(H, row0 + start[t0]) : s->gates;
        const NAME(norm_record) record = NAME(block_record)(s, row0 + start[t0]);
        t1 = NAME(block_end)(s, t0);
        NAME(project_input)(&s->cell, start[t1] - start[t0], NAME(block_inputs)(s, t0, t1),
                            gates, &record);
        for (t = t0; t < t1; t++) {
            const int64_t active = start[t + 1] - start[t];
            const int64_t staying = t + 1 < steps ? start[t + 2] - start[t + 1] : 0;
            const NAME(norm_record) of_step = NAME(record_at)(&record, H, start[t] - start[t0]);
            REAL *swap = h;
            if (s->h_prev != NULL) {
                memcpy(s->h_prev + (row0 + start[t]) * H, h,
                       (size_t)(active * H) * sizeof(REAL));
            }
            NAME(cell_forward)(&s->cell, active, gates + at_row(H, start[t] - start[t0]), h,
                               NAME(states_in_products)(s, active, h, s->h_in), h_next,
                               s->tape_gates != NULL, &of_step);
            if (NAME(zones_out)(&s->noise)) {
                NAME(zone_out)(&s->noise, (row0 + start[t]) * H, active * H, h, h_next);
            }
            if (s->y.data != NULL) {
                NAME(store_outputs)(s, t, active, h_next);
            }
            NAME(store_last_states)(s, staying, active, h_next);
            h = h_next;
            h_next = swap;
        }
    }
    if (s->y.data != NULL) {
        NAME(zero_padding)(s->plan, s->chunk, &s->y, s->direction * H, H);
    }
}

/* ---- backward ----------------------------------------------------------------------- */

/* The inputs in sweep order, and what stood for the states before them in the products, from
 * row `first` on. */
static const REAL *NAME(inputs_from)(const NAME(sweep) *s, int64_t first) {
    return (s->x_rows != NULL ? s->x_rows : s->tape_x) + first * s->cell.I;
}

static const REAL *NAME(states_from)(const NAME(sweep) *s, int64_t first) {
    return (s->h_in_rows != NULL ? s->h_in_rows : s->h_prev) + first * s->cell.H;
}

/* The gates of a block: kept by the tape, or computed again from the kept states; and with
 * layer normalisation the record. */
typedef struct NAME(block) {
    const REAL *gates;
    NAME(norm_record) record;
} NAME(block);

static NAME(block) NAME(block_of)(const NAME(sweep) *s, int64_t t0, int64_t t1) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    const int64_t first = s->chunk->row0 + start[t0];
    const int64_t rows = start[t1] - start[t0];
    const int64_t H = s->cell.H;
    NAME(block) block = {s->gates, NAME(block_record)(s, first)};
    if (s->tape_gates != NULL) {
        block.gates = s->tape_gates + at_row(H, first);
        return block;
    }
    NAME(project_input)(&s->cell, rows, NAME(inputs_from)(s, first), s->gates, &block.record);
    NAME(cell_forward)(&s->cell, rows, s->gates, s->h_prev + first * H,
                       NAME(states_from)(s, first), s->h_next, 1, &block.record);
    return block;
}

/* The gradients of what normalises are added up block by block, so that the error of a long
 * float32 sum grows with the number of blocks, not of rows. */
static void NAME(end_norm_block)(const NAME(sweep) *s) {
    int64_t j;
    for (j = 0; j < PYGRU_NORM * s->cell.H; j++) {
        s->d_norm[j] += s->d_norm_block[j];
        s->d_norm_block[j] = 0;
    }
}

/* The rows of h_in, which the recurrent weights' gradient needs too. */
static void NAME(gather_h_in)(const NAME(sweep) *s) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    int64_t t;
    for (t = 0; t < s->chunk->steps; t++) {
        const int64_t at = (s->chunk->row0 + start[t]) * s->cell.H;
        (void)NAME(states_in_products)(s, start[t + 1] - start[t], s->h_prev + at,
                                       s->h_in_rows + at);
    }
}

/* One step back: s->d_h from the gradient of the states after it to that before it. `row` is
 * the step's first row, and `at` where it stands in its block. */
static void NAME(step_backward)(const NAME(sweep) *s, int64_t row, int64_t at, int64_t active,
                                const NAME(block) *block) {
    const int64_t H = s->cell.H;
    const int64_t *order = pygru_plan_order(s->plan) + s->chunk->sequence0;
    const int drops = s->h_in_rows != NULL;
    const int zones_out = NAME(zones_out)(&s->noise);
    int64_t j;
    NAME(step_gradient)
    step = {.gates = block->gates + at_row(H, at),
            .h = s->h_prev + row * H,
            .h_in = NAME(states_from)(s, row),
            .d_h = s->d_h,
            .d_h_in = drops ? s->d_h_in : s->d_h,
            .d_gates = s->d_gates + at_row(H, row),
            .d_rh = s->d_rh};
    if (s->cell.norm != NULL) {
        step.norm.record = NAME(record_at)(&block->record, H, at);
        step.norm.d_products = s->d_products + at_row(H, row);
        step.norm.d_norm = s->d_norm_block;
    }
    if (zones_out) {
        NAME(zone_out_backward)(&s->noise, row * H, active * H, s->d_h, s->d_kept);
    }
    if (drops) {
        NAME(zero_row)(active * H, s->d_h_in);
    }
    NAME(cell_backward)(&s->cell, active, &step);
    if (drops) {
        NAME(drop_states_backward)(&s->noise, active, H, order, s->d_h_in, s->d_h);
    }
    for (j = 0; zones_out && j < active * H; j++) {
        s->d_h[j] += s->d_kept[j];
    }
}

/* d_h of sequence i when the sweep reaches its last step: the gradient of h_n. */
static void NAME(begin_gradient)(const NAME(sweep) *s, int64_t i) {
    const int64_t b = pygru_plan_order(s->plan)[s->chunk->sequence0 + i];
    const int64_t H = s->cell.H;
    if (s->d_h_n != NULL) {
        NAME(copy_row)(H, s->d_h_n + b * H, s->d_h + i * H);
    } else {
        NAME(zero_row)(H, s->d_h + i * H);
    }
}

static void NAME(add_output_gradient)(const NAME(sweep) *s, int64_t t, int64_t active) {
    const int64_t *lengths = pygru_plan_lengths(s->plan) + s->chunk->sequence0;
    const int64_t H = s->cell.H;
    int64_t i, j;
    for (i = 0; i < active; i++) {
        const int64_t time = NAME(time_of)(s->direction, lengths[i], t);
        const REAL *d_y = NAME(row_at)(s->plan, s->chunk, &s->d_y, time, i) + s->direction * H;
        REAL *d_h = s->d_h + i * H;
        for (j = 0; j < H; j++) {
            d_h[j] += d_y[j];
        }
    }
}

static void NAME(sweep_backward)(const NAME(sweep) *s) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    const int64_t *order = pygru_plan_order(s->plan) + s->chunk->sequence0;
    const int64_t row0 = s->chunk->row0;
    const int64_t H = s->cell.H;
    const int normalises = s->cell.norm != NULL;
    int64_t t0, t1, t, i, running = 0;
    if (normalises) {
        NAME(zero_row)(PYGRU_NORM * H, s->d_norm);
        NAME(zero_row)(PYGRU_NORM * H, s->d_norm_block);
    }
    if (s->x_rows != NULL) {
        NAME(gather_inputs)(s, 0, s->chunk->steps, s->x_rows + row0 * s->cell.I);
    }
    if (s->h_in_rows != NULL) {
        NAME(gather_h_in)(s);
    }
    for (t1 = s->chunk->steps; t1 > 0 && !pygru_should_stop(s->run, s->slot); t1 = t0) {
        NAME(block) block;
        t0 = NAME(block_begin)(s, t1);
        block = NAME(block_of)(s, t0, t1);
        for (t = t1 - 1; t >= t0; t--) {
            const int64_t active = start[t + 1] - start[t];
            for (; running < active; running++) {
                NAME(begin_gradient)(s, running);
            }
            if (s->d_y.data != NULL) {
                NAME(add_output_gradient)(s, t, active);
            }
            NAME(step_backward)(s, row0 + start[t], start[t] - start[t0], active, &block);
        }
        if (normalises) {
            NAME(end_norm_block)(s);
        }
    }
    for (; running < s->chunk->n; running++) {
        NAME(begin_gradient)(s, running);
    }
    for (i = 0; i < s->chunk->n; i++) {
        NAME(copy_row)(H, s->d_h + i * H, s->d_h0 + order[i] * H);
    }
}
