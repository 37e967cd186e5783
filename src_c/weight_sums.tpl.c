/* weight_sums.tpl.c - the gradients of a cell's weights and biases on the SIMD engine.
 *
 * dW = dG^T X, dU = dG^T h and the biases' gradients are sums over all rows of the batch. A task
 * computes them for some units, and goes through the rows once, block by block. So the columns
 * of dG that W and U share are read and packed once for both, and the rows of X and h once for
 * all three gates. Into how many tasks the units are divided changes no bit. */

/* A part has at least so many units, so that their tiles are worth the rows that it packs. */
enum { NAME(LEAST_PART) = 16, NAME(PARTS_PER_THREAD) = 2 };

/* The number of parts of a cell. Every part packs the rows of X and h for itself, so a call on
 * one thread has one part. */
static int64_t NAME(weight_parts)(const pygru_plan *plan, const pygru_team *team) {
    const int64_t most = (plan->config.hidden_size + NAME(LEAST_PART) - 1) / NAME(LEAST_PART);
    const int64_t wanted = team->n_threads == 1 ? 1 : NAME(PARTS_PER_THREAD) *team->n_threads;
    return wanted < most ? wanted : most;
}

/* All parts have nearly equally many groups of LEAST_PART units. */
static unit_range NAME(units_of_weight_part)(int64_t H, int64_t parts, int64_t part) {
    const int64_t groups = (H + NAME(LEAST_PART) - 1) / NAME(LEAST_PART);
    const int64_t first = groups * part / parts * NAME(LEAST_PART);
    const int64_t end = groups * (part + 1) / parts * NAME(LEAST_PART);
    const unit_range range = {first, (end < H ? end : H) - first};
    return range;
}

/* What a task reads, and where its gradients go. The right sides are X and h. */
typedef struct NAME(weight_sums) {
    const NAME(backward_call) *call;
    const NAME(pygru_table) *table;
    const REAL *of_inputs;   /* (R, 4H) the gradients of the sums of the inputs' products, */
    const REAL *of_products; /* and of the states' */
    NAME(matrix) sides[2];
    int64_t weights[2]; /* the first gradient of dW and of dU */
    unit_range range;
    REAL *column_sums; /* (4H) or NULL */
    REAL *scratch;
} NAME(weight_sums);

/* Packs the columns [j, j + PYGRU_SUM_COLUMNS) of a right side, if there are any. */
static void NAME(pack_side)(const NAME(weight_sums) *s, int side, NAME(matrix) m,
                            int64_t columns, int64_t row, int64_t j,
                            NAME(pygru_row_sums) *sums) {
    REAL *packed = s->scratch + PYGRU_SUM_TILES + side * PYGRU_SUM_PACKED;
    const int64_t left = columns - j;
    NAME(pygru_right_side) *right = &sums->right[side];
    right->n = left < PYGRU_SUM_COLUMNS ? left : PYGRU_SUM_COLUMNS;
    if (left <= 0) {
        return;
    }
    right->packed = packed;
    right->ld_out = columns;
    s->table->pack_rows(sums->rows, right->n, m.data + row * m.ld + j, m.ld, packed);
}

/* The sums of a column of dG with the right sides from `first_side` to `last_side`. */
static void NAME(sum_column)(const NAME(weight_sums) *s, const NAME(pygru_row_sums) *block,
                             const REAL *d_gates, int64_t row, enum column column,
                             enum gate gate, int64_t j, int first_side, int last_side) {
    const int64_t H = s->call->args->plan->config.hidden_size;
    const int64_t at = at_column(H, column) + s->range.first;
    NAME(pygru_row_sums) sums = *block;
    int side;
    sums.a = d_gates + at_row(H, row) + at;
    sums.n_right = 0;
    if (s->column_sums != NULL && j == 0) {
        sums.column_sums = s->column_sums + at;
    }
    for (side = first_side; side <= last_side; side++) {
        NAME(pygru_right_side) right = block->right[side];
        right.out = s->call->d_parameters + s->weights[side] +
                    (at_gate(H, gate) + s->range.first) * right.ld_out + j;
        if (right.n > 0) {
            sums.right[sums.n_right++] = right;
        }
    }
    s->table->sum_rows(&sums);
}

/* One block of rows, and at most PYGRU_SUM_COLUMNS columns of each right side. */
static void NAME(sum_block)(const NAME(weight_sums) *s, int64_t row, int64_t rows, int64_t j) {
    const pygru_config *c = &s->call->args->plan->config;
    const int64_t H = c->hidden_size;
    const int after = c->reset == PYGRU_RESET_AFTER;
    NAME(pygru_row_sums)
    block = {.rows = rows,
             .m = s->range.n,
             .lda = all_columns(H),
             .adds = s->call->adds || row > 0,
             .adds_columns = row > 0,
             .scratch = s->scratch};
    enum gate gate;
    NAME(pack_side)(s, 0, s->sides[0], s->sides[0].ld, row, j, &block);
    NAME(pack_side)(s, 1, s->sides[1], H, row, j, &block);
    for (gate = GATE_R; gate < GATES; gate++) {
        const enum column column = column_of(gate), of_state = state_column_of(gate, after);
        if (gate == GATE_N && !after) { /* the right side of dU_n is r*h */
            const NAME(matrix) rh = {s->of_products + at_column(H, COLUMN_HN), all_columns(H)};
            NAME(pack_side)(s, 1, rh, H, row, j, &block);
        }
        if (s->of_inputs == s->of_products && column == of_state) {
            NAME(sum_column)(s, &block, s->of_inputs, row, column, gate, j, 0, 1);
        } else {
            NAME(sum_column)(s, &block, s->of_inputs, row, column, gate, j, 0, 0);
            NAME(sum_column)(s, &block, s->of_products, row, of_state, gate, j, 1, 1);
        }
    }
}

/* The rows of one round. */
static void NAME(weight_part_task)(const NAME(backward_call) *call, const NAME(round) *round,
                                   int32_t direction, int64_t part, int32_t slot,
                                   pygru_run *run) {
    const NAME(backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const NAME(backward_own) own = NAME(own_buffers)(call, slot);
    const int64_t H = c->hidden_size, layer = round->layer;
    const int64_t widest = pygru_at_least(H, pygru_inputs_of_layer(c, layer));
    NAME(weight_sums) s = {0};
    pygru_cell at;
    int64_t row, j;
    (void)pygru_cell_of(c, layer, direction, &at);
    s.call = call;
    s.table = NAME(table_of_call)(plan, args->kernels);
    s.of_inputs = NAME(gate_gradients)(call, direction);
    s.of_products = NAME(product_gradients)(call, direction);
    s.sides[0] = NAME(inputs_of)(call, layer, direction);
    s.sides[1] = NAME(states_in_products)(call, layer, direction);
    s.weights[0] = at.weight_ih;
    s.weights[1] = at.weight_hh;
    s.range = NAME(units_of_weight_part)(H, NAME(weight_parts)(plan, args->team), part);
    if (c->has_bias && !pygru_normalises(c)) {
        s.column_sums = call->shared.column_sums + direction * all_columns(H);
    }
    s.scratch = own.sum;
    for (row = round->first_row; row < round->end_row; row += PYGRU_SUM_ROWS) {
        for (j = 0; j < widest && !pygru_should_stop(run, slot); j += PYGRU_SUM_COLUMNS) {
            NAME(sum_block)(&s, row, pygru_at_most(PYGRU_SUM_ROWS, plan->rows - row), j);
        }
    }
    if (s.column_sums != NULL && round->is_last && plan->rows > 0) {
        NAME(give_bias_gradients)(call, &at, s.range, s.column_sums);
    }
}
