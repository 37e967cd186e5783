/* sweep.tpl.c - one layer in one direction over one chunk of sequences.
 *
 * Forward: one product per time block for the inputs, and then the recurrence step by step. The
 * work before and after a step is in begin_state() and end_state(), which take a range of
 * units, so that calls whose units are divided among threads (split.tpl.c) can use them too.
 * Backward: the same steps from the last to the first. It leaves the gate gradients of all
 * rows, from which gradients.tpl.c computes the gradients of weights. */

/* ---- forward ------------------------------------------------------------------------ */

/* The states (chunk_rows, H) before a step. */
typedef struct NAME(state) {
    REAL *h;
    REAL *h_in; /* the states in the products: h itself, except with recurrent dropout */
} NAME(state);

typedef struct NAME(forward_sweep) {
    NAME(walk) walk;
    const REAL *h0;           /* (B, H) or NULL */
    REAL *h_n;                /* (B, H) */
    REAL *tape_h_last;        /* (B, H) a copy of h_n that the tape owns, or NULL */
    REAL *tape_x;             /* (R, I) the tape's copy of x, packed: filled by direction 0 */
    REAL *h_prev;             /* (R, H) or NULL if nobody reads the states afterwards */
    REAL *tape_gates;         /* (R, 4H) or NULL: then `gates` holds one block */
    NAME(norm_record) record; /* of layer normalisation, as long as the gates, or all NULL */
    NAME(rows) y;             /* data NULL below the top layer */

    NAME(forward_own) own;
    REAL *gates;           /* of this thread, or shared by the threads of a split call; */
    NAME(state) states[2]; /* so are these: step t reads states[t % 2], writes the other; */
    REAL *rh;              /* and this, see step_arrays */
} NAME(forward_sweep);

/* Called when some units of the states before step t are complete: keeps them if necessary, and
 * computes the states in the products. */
static void NAME(begin_state)(const NAME(forward_sweep) *s, unit_range range, int64_t t) {
    const NAME(walk) *w = &s->walk;
    const NAME(state) *state = &s->states[t % 2];
    const int64_t rows = rows_of_step(&w->chunk, t);
    const int64_t H = w->cell.H;
    if (rows == 0) {
        return;
    }
    if (s->h_prev != NULL) {
        NAME(copy_units)(rows, H, range, state->h,
                         s->h_prev + (w->chunk.row0 + w->chunk.start[t]) * H);
    }
    if (w->noise.recurrent != NULL) {
        NAME(drop_states)(&w->noise, rows, H, range, w->chunk.order, state->h, state->h_in);
    }
}

/* The last state of sequences [first, end) of the chunk; h0 for a sequence of length 0. */
static void NAME(store_last_states)(const NAME(forward_sweep) *s, unit_range range,
                                    int64_t first, int64_t end, const REAL *h) {
    const int64_t H = s->walk.cell.H;
    int64_t i;
    for (i = first; i < end; i++) {
        const int64_t to = s->walk.chunk.order[i] * H + range.first;
        NAME(copy_row)(range.n, h + i * H + range.first, s->h_n + to);
        if (s->tape_h_last != NULL) {
            NAME(copy_row)(range.n, h + i * H + range.first, s->tape_h_last + to);
        }
    }
}

/* Called when some units of the states after step t are complete: copies them to the outputs,
 * and makes them the states before the next step. */
static void NAME(end_state)(const NAME(forward_sweep) *s, unit_range range, int64_t t) {
    const NAME(walk) *w = &s->walk;
    const REAL *h = s->states[(t + 1) % 2].h;
    const int64_t rows = rows_of_step(&w->chunk, t), H = w->cell.H;
    const int64_t first = w->direction * H + range.first;
    int64_t i;
    for (i = 0; s->y.data != NULL && i < rows; i++) {
        REAL *y = NAME(row_at)(&w->chunk, &s->y, NAME(time_at)(w, t, i), i);
        NAME(copy_row)(range.n, h + i * H + range.first, y + first);
    }
    NAME(store_last_states)(s, range, rows_of_step(&w->chunk, t + 1), rows, h);
    NAME(begin_state)(s, range, t + 1);
}

/* The work before the first step, for all units: the initial states, and everything that
 * belongs to no step. */
static void NAME(begin_sweep)(const NAME(forward_sweep) *s) {
    const NAME(walk) *w = &s->walk;
    const unit_range all = NAME(all_units)(&w->cell);
    const int64_t H = w->cell.H;
    REAL *h = s->states[0].h;
    int64_t i;
    for (i = 0; i < w->chunk.n; i++) {
        if (s->h0 != NULL) {
            NAME(copy_row)(H, s->h0 + w->chunk.order[i] * H, h + i * H);
        } else {
            NAME(zero_row)(H, h + i * H);
        }
    }
    NAME(store_last_states)(s, all, rows_of_step(&w->chunk, 0), w->chunk.n, h);
    if (s->y.data != NULL) {
        NAME(zero_padding)(w->plan, &w->chunk, &s->y, w->direction * H, H);
    }
    NAME(begin_state)(s, all, 0);
}

/* The inputs of a block: the tape's packed copy of x is in the order of direction 0. */
static const REAL *NAME(block_inputs)(const NAME(forward_sweep) *s, int64_t t0, int64_t t1) {
    const NAME(walk) *w = &s->walk;
    REAL *to = s->tape_x != NULL && w->direction == 0
                   ? s->tape_x + (w->chunk.row0 + w->chunk.start[t0]) * w->cell.I
                   : s->own.x;
    NAME(gather_inputs)(w, t0, t1, to);
    return to;
}

/* A time block: the gates of its rows, and the record of layer normalisation. */
typedef struct NAME(block) {
    int64_t t0;
    REAL *gates;
    NAME(norm_record) record;
} NAME(block);

static NAME(block) NAME(block_at)(const NAME(forward_sweep) *s, int64_t t0) {
    const chunk_view *chunk = &s->walk.chunk;
    const int64_t H = s->walk.cell.H, first = chunk->row0 + chunk->start[t0];
    NAME(block) block = {t0, s->gates, s->record};
    if (s->tape_gates != NULL) {
        block.gates = s->tape_gates + at_row(H, first);
        block.record = NAME(record_at)(&s->record, H, first);
    }
    return block;
}

/* Whether a vector that begins within the gates of step t can end within those of another
 * chunk: on the tape they follow the last rows of this one, and are near if H is small. */
static int NAME(ends_near_others)(const NAME(forward_sweep) *s, int64_t t) {
    const chunk_view *chunk = &s->walk.chunk;
    const int64_t H = s->walk.cell.H;
    const int64_t rows_after = chunk->start[chunk->steps] - chunk->start[t + 1];
    return s->tape_gates != NULL &&
           at_column(H, COLUMN_Z) + pygru_padded(H) > at_row(H, 1 + rows_after);
}

/* Step t of a time block. */
static NAME(step_arrays)
    NAME(step_of)(const NAME(forward_sweep) *s, const NAME(block) *block, int64_t t) {
    const NAME(walk) *w = &s->walk;
    const chunk_view *chunk = &w->chunk;
    const int64_t H = w->cell.H, at = chunk->start[t] - chunk->start[block->t0];
    const NAME(state) *before = &s->states[t % 2], *after = &s->states[(t + 1) % 2];
    const NAME(step_arrays) step = {.rows = rows_of_step(chunk, t),
                                    .gates = block->gates + at_row(H, at),
                                    .h = before->h,
                                    .h_in = before->h_in,
                                    .h_next = after->h,
                                    .rh = s->rh,
                                    .stores = s->tape_gates != NULL,
                                    .guarded = NAME(ends_near_others)(s, t),
                                    .record = NAME(record_at)(&block->record, H, at),
                                    .noise = &w->noise,
                                    .row = chunk->row0 + chunk->start[t]};
    return step;
}

static void NAME(sweep_forward)(const NAME(forward_sweep) *s) {
    const NAME(walk) *w = &s->walk;
    const unit_range all = NAME(all_units)(&w->cell);
    const int64_t *start = w->chunk.start;
    int64_t t0, t1, t;
    NAME(begin_sweep)(s);
    for (t0 = 0; t0 < w->chunk.steps && !pygru_should_stop(w->run, w->slot); t0 = t1) {
        const NAME(block) block = NAME(block_at)(s, t0);
        t1 = block_end(w->plan, &w->chunk, t0);
        NAME(project_input)(&w->cell, all, start[t1] - start[t0], NAME(block_inputs)(s, t0, t1),
                            block.gates, &block.record);
        /* The product of a block takes as long as its steps. */
        for (t = t0; t < t1 && !(t == t0 && pygru_should_stop(w->run, w->slot)); t++) {
            const NAME(step_arrays) step = NAME(step_of)(s, &block, t);
            NAME(whole_step)(&w->cell, &step);
            NAME(end_state)(s, all, t);
        }
    }
}

/* ---- backward ----------------------------------------------------------------------- */

/* Stores (direction 0) or adds (direction 1) the gradient of inputs, rows in sweep order. */
static void NAME(scatter_d_x)(const NAME(walk) *w, int64_t t0, int64_t t1, const REAL *from,
                              const NAME(rows) *to) {
    const int64_t width = w->cell.I;
    int64_t t, i, j;
    for (t = t0; t < t1; t++) {
        for (i = 0; i < rows_of_step(&w->chunk, t); i++, from += width) {
            const int64_t time = NAME(time_at)(w, t, i);
            REAL *row = NAME(row_at)(&w->chunk, to, time, i);
            if (w->direction == 0) {
                NAME(copy_row)(width, from, row);
            } else {
                for (j = 0; j < width; j++) {
                    row[j] += from[j];
                }
            }
            /* The direction that comes last applies the dropout of the forward pass. */
            if (w->direction == w->source.directions - 1) {
                NAME(drop_row)(&w->source, &w->chunk, width, time, i, row);
            }
        }
    }
}

/* d_X (rows, I) = da_rz W_rz + da_n W_n for steps t0 <= t < t1, from the gradients of the gates
 * of all rows. scratch: (block_rows, I) in whole vectors. */
static void NAME(block_input_gradient)(const NAME(walk) *w, int64_t t0, int64_t t1,
                                       const REAL *d_gates, REAL *scratch,
                                       const NAME(rows) *to) {
    const int64_t *start = w->chunk.start;
    NAME(input_gradient)(&w->cell, start[t1] - start[t0],
                         d_gates + at_row(w->cell.H, w->chunk.row0 + start[t0]), scratch);
    NAME(scatter_d_x)(w, t0, t1, scratch, to);
}

typedef struct NAME(backward_sweep) {
    NAME(walk) walk;
    const REAL *x_rows; /* (R, I) the inputs in sweep order */
    const REAL *h_prev; /* (R, H) the states before every step */
    REAL *tape_gates;   /* (R, 4H), not modified, or NULL: then own.gates holds one block */
    NAME(norm_record) record; /* of layer normalisation, as long as the gates, or all NULL */
    const REAL *d_h_n;        /* (B, H) or NULL */
    REAL *d_h0;               /* (B, H) */
    NAME(rows) d_y;           /* gradient of this layer's output; data may be NULL */
    REAL *d_gates;            /* (R, 4H) */
    REAL *d_products;         /* (R, 4H) before layer normalisation; d_gates without it */
    REAL *d_norm;             /* (PYGRU_NORM, H) of this chunk */
    REAL *gathers_x;          /* (R, I) x_rows, to be gathered, or NULL */
    REAL *h_in_rows;          /* (R, H) the states in the products, or NULL */
    NAME(rows) d_x; /* gradient of this layer's input; data NULL if it is not computed here */

    NAME(backward_own) own;
} NAME(backward_sweep);

/* The states in the products, from row `first` on. */
static const REAL *NAME(states_from)(const NAME(backward_sweep) *s, int64_t first) {
    return (s->h_in_rows != NULL ? s->h_in_rows : s->h_prev) + first * s->walk.cell.H;
}

/* A time block whose gates are kept by the tape, or computed again from the kept states. */
static NAME(block) NAME(block_of)(const NAME(backward_sweep) *s, int64_t t0, int64_t t1) {
    const NAME(walk) *w = &s->walk;
    const int64_t first = w->chunk.row0 + w->chunk.start[t0];
    const int64_t H = w->cell.H;
    NAME(block) block = {t0, s->own.gates, s->record};
    if (s->tape_gates != NULL) {
        block.gates = s->tape_gates + at_row(H, first);
        block.record = NAME(record_at)(&s->record, H, first);
    } else {
        const NAME(step_arrays) step = {.rows = w->chunk.start[t1] - w->chunk.start[t0],
                                        .gates = s->own.gates,
                                        .h = s->h_prev + first * H,
                                        .h_in = NAME(states_from)(s, first),
                                        .h_next = s->own.h_next,
                                        .rh = s->own.rh,
                                        .stores = 1,
                                        .record = s->record};
        NAME(project_input)(&w->cell, NAME(all_units)(&w->cell), step.rows,
                            s->x_rows + first * w->cell.I, s->own.gates, &s->record);
        NAME(whole_step)(&w->cell, &step);
    }
    return block;
}

/* The gradients of gains and biases are added up block by block, so that the error of a long
 * float32 sum grows with the number of blocks, not of rows. */
static void NAME(end_norm_block)(const NAME(backward_sweep) *s) {
    int64_t j;
    for (j = 0; j < PYGRU_NORM * s->walk.cell.H; j++) {
        s->d_norm[j] += s->own.d_norm_block[j];
        s->own.d_norm_block[j] = 0;
    }
}

/* The rows that the tape does not contain: the inputs in the order of this sweep, and the
 * states after recurrent dropout, which the gradient of the recurrent weights needs too. */
static void NAME(gather_rows)(const NAME(backward_sweep) *s) {
    const NAME(walk) *w = &s->walk;
    const chunk_view *chunk = &w->chunk;
    const int64_t H = w->cell.H;
    int64_t t;
    if (s->gathers_x != NULL) {
        NAME(gather_inputs)(w, 0, chunk->steps, s->gathers_x + chunk->row0 * w->cell.I);
    }
    for (t = 0; s->h_in_rows != NULL && t < chunk->steps; t++) {
        const int64_t at = (chunk->row0 + chunk->start[t]) * H;
        NAME(drop_states)(&w->noise, rows_of_step(chunk, t), H, NAME(all_units)(&w->cell),
                          chunk->order, s->h_prev + at, s->h_in_rows + at);
    }
}

/* d_h of sequence i when the sweep reaches its last step: the gradient of h_n. */
static void NAME(begin_gradient)(const NAME(backward_sweep) *s, int64_t i) {
    const int64_t H = s->walk.cell.H;
    if (s->d_h_n != NULL) {
        NAME(copy_row)(H, s->d_h_n + s->walk.chunk.order[i] * H, s->own.d_h + i * H);
    } else {
        NAME(zero_row)(H, s->own.d_h + i * H);
    }
}

static void NAME(add_output_gradient)(const NAME(backward_sweep) *s, int64_t t) {
    const NAME(walk) *w = &s->walk;
    const int64_t H = w->cell.H;
    int64_t i, j;
    for (i = 0; i < rows_of_step(&w->chunk, t); i++) {
        const int64_t time = NAME(time_at)(w, t, i);
        const REAL *d_y = NAME(row_at)(&w->chunk, &s->d_y, time, i) + w->direction * H;
        REAL *d_h = s->own.d_h + i * H;
        for (j = 0; j < H; j++) {
            d_h[j] += d_y[j];
        }
    }
}

/* The backward pass of step t of a time block. */
static NAME(step_gradient)
    NAME(step_back_of)(const NAME(backward_sweep) *s, const NAME(block) *block, int64_t t) {
    const NAME(walk) *w = &s->walk;
    const chunk_view *chunk = &w->chunk;
    const int64_t H = w->cell.H, row = chunk->row0 + chunk->start[t];
    const int64_t at = chunk->start[t] - chunk->start[block->t0];
    const NAME(step_gradient) step = {.rows = rows_of_step(chunk, t),
                                      .gates = block->gates + at_row(H, at),
                                      .h = s->h_prev + row * H,
                                      .h_in = NAME(states_from)(s, row),
                                      .d_h = s->own.d_h,
                                      .d_gates = s->d_gates + at_row(H, row),
                                      .d_products = s->d_products + at_row(H, row),
                                      .d_norm = s->own.d_norm_block,
                                      .d_h_in = s->own.d_h_in,
                                      .d_kept = s->own.d_kept,
                                      .d_rh = s->own.d_rh,
                                      .record = NAME(record_at)(&block->record, H, at),
                                      .noise = &w->noise,
                                      .row = row,
                                      .order = chunk->order};
    return step;
}

static void NAME(sweep_backward)(const NAME(backward_sweep) *s) {
    const NAME(walk) *w = &s->walk;
    const chunk_view *chunk = &w->chunk;
    const int64_t H = w->cell.H;
    const int normalises = w->cell.norm != NULL;
    int64_t t0, t1, t, i, running = 0;
    if (normalises) {
        NAME(zero_row)(PYGRU_NORM * H, s->d_norm);
        NAME(zero_row)(PYGRU_NORM * H, s->own.d_norm_block);
    }
    NAME(gather_rows)(s);
    for (t1 = chunk->steps; t1 > 0 && !pygru_should_stop(w->run, w->slot); t1 = t0) {
        NAME(block) block;
        t0 = block_begin(w->plan, chunk, t1);
        block = NAME(block_of)(s, t0, t1);
        for (t = t1 - 1; t >= t0; t--) {
            const NAME(step_gradient) step = NAME(step_back_of)(s, &block, t);
            for (; running < step.rows; running++) {
                NAME(begin_gradient)(s, running);
            }
            if (s->d_y.data != NULL) {
                NAME(add_output_gradient)(s, t);
            }
            NAME(step_backward)(&w->cell, &step);
        }
        if (s->d_x.data != NULL) {
            NAME(block_input_gradient)(w, t0, t1, s->d_gates, s->own.d_x, &s->d_x);
        }
        if (normalises) {
            NAME(end_norm_block)(s);
        }
    }
    for (; running < chunk->n; running++) {
        NAME(begin_gradient)(s, running);
    }
    for (i = 0; i < chunk->n; i++) {
        NAME(copy_row)(H, s->own.d_h + i * H, s->d_h0 + chunk->order[i] * H);
    }
}
