/* network.tpl.c - the public calls: all layers and directions of one batch.
 *
 * Forward runs one phase of tasks per layer. A task is one chunk in one direction.
 * Backward runs the phases of rounds.tpl.c: sweeps, then the tasks of gradients.tpl.c and
 * weight_sums.tpl.c, which need the gate gradients of the sweeps. */

static char *NAME(align)(void *memory) {
    return (char *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
}

/* ---- forward ------------------------------------------------------------------------ */

typedef struct NAME(forward_call) {
    const NAME(forward_args) *args;
    int64_t parts; /* of a split call; 0 for tasks of whole chunks */
    pygru_tape_layout tape;
    pygru_forward_layout layout;
    REAL *memory; /* the workspace, aligned */
    NAME(forward_shared) shared;
} NAME(forward_call);

/* Phase 0 prepares the weights if pygru_pack has not done it, and phase 1 + l runs layer l. A
 * split call has nothing to prepare. Its phases are those of split.tpl.c, layer by layer. */
static int64_t NAME(forward_count)(int32_t phase, void *context) {
    const NAME(forward_call) *call = context;
    const pygru_plan *plan = call->args->plan;
    const int64_t D = plan->config.num_directions;
    if (call->parts > 0) {
        return phase % NAME(phases_of_layer)(plan) == 0 ? 1 : call->parts;
    }
    if (phase == 0) {
        return plan->engine == PYGRU_ENGINE_BLAS ? plan->config.num_layers * D : 0;
    }
    return plan->n_chunks * D;
}

static REAL *NAME(transposed_weights)(const NAME(forward_call) *call, int64_t cell) {
    const int64_t H = call->args->plan->config.hidden_size;
    return call->shared.ut + cell * all_gates(H) * H;
}

/* The place where the states of a layer and direction are kept during this call: the tape, or,
 * in inference, a buffer that every second layer reuses. Those of the top layer are not read. */
static REAL *NAME(states_of)(const NAME(forward_call) *call, int64_t layer, int32_t d) {
    const pygru_plan *plan = call->args->plan;
    const pygru_config *c = &plan->config;
    if (plan->keep != PYGRU_KEEP_NOTHING) {
        pygru_tape_view view;
        pygru_tape_view_of(plan, layer, d, &view);
        return call->args->tape + view.h_prev;
    }
    if (layer == c->num_layers - 1) {
        return NULL;
    }
    return call->shared.states +
           ((layer & 1) * c->num_directions + d) * plan->rows * c->hidden_size;
}

static void NAME(forward_source)(const NAME(forward_call) *call, int64_t layer,
                                 NAME(source) *source) {
    const NAME(forward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t H = c->hidden_size;
    int32_t d;
    source->directions = c->num_directions;
    if (layer == 0) {
        source->x = NAME(caller_rows)((REAL *)args->x.data, args->x.step, args->x.sequence);
        return;
    }
    for (d = 0; d < c->num_directions; d++) {
        source->h_prev[d] = NAME(states_of)(call, layer - 1, d);
        source->h_last[d] = args->h_n + ((layer - 1) * c->num_directions + d) * plan->B * H;
    }
    NAME(set_mask)(source, plan, layer, args->noise.dropout, args->noise.dropout_scale);
}

/* The record of layer normalisation on the tape, after the gates. */
static NAME(norm_record)
    NAME(record_on_tape)(const pygru_plan *plan, const pygru_tape_view *view, REAL *tape) {
    NAME(norm_record) record = {0};
    if (view->norm >= 0) {
        const int64_t columns = plan->rows * all_gates(plan->config.hidden_size);
        record.x_hat = tape + view->norm;
        record.h_hat = record.x_hat + columns;
        record.scale = record.h_hat + columns;
        record.distance = plan->rows;
    }
    return record;
}

/* The two buffers of states: h and h_in are (2, chunk_rows, H). */
static void NAME(set_states)(NAME(forward_sweep) *s, REAL *h, REAL *h_in) {
    const int64_t size = s->walk.plan->chunk_rows * s->walk.cell.H;
    int i;
    for (i = 0; i < 2; i++) {
        s->states[i].h = h + i * size;
        s->states[i].h_in = s->walk.noise.recurrent != NULL ? h_in + i * size : h + i * size;
    }
}

/* The sweep of one chunk of a layer in one direction, on the scratch of a thread. */
static NAME(forward_sweep)
    NAME(make_forward_sweep)(const NAME(forward_call) *call, int64_t layer, int64_t chunk,
                             int32_t direction, int32_t slot, pygru_run *run) {
    const NAME(forward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t state_size = plan->B * c->hidden_size;
    const int64_t index = layer * c->num_directions + direction;
    NAME(forward_sweep) s;
    memset(&s, 0, sizeof s);
    s.own = NAME(forward_own_at)(&call->layout, call->memory, slot);
    s.walk.plan = plan;
    s.walk.chunk = chunk_of(plan, chunk);
    s.walk.direction = direction;
    s.walk.cell =
        NAME(cell_at)(c, args->kernels, args->blas, args->parameters, args->packed, layer,
                      direction, s.own.bias, s.own.sums, s.own.products, s.own.rounded);
    if (plan->engine == PYGRU_ENGINE_BLAS) {
        s.walk.cell.ut = NAME(transposed_weights)(call, index);
    }
    s.walk.noise = NAME(noise_of_cell)(&args->noise, plan, index);
    NAME(forward_source)(call, layer, &s.walk.source);
    s.walk.run = run;
    s.walk.slot = slot;
    s.h0 = args->h0 == NULL ? NULL : args->h0 + index * state_size;
    s.h_n = args->h_n + index * state_size;
    s.h_prev = NAME(states_of)(call, layer, direction);
    if (plan->keep != PYGRU_KEEP_NOTHING) {
        pygru_tape_view view;
        pygru_tape_view_of(plan, layer, direction, &view);
        s.tape_h_last = args->tape + view.h_last;
        s.tape_gates = view.gates < 0 ? NULL : args->tape + view.gates;
        s.tape_x = layer == 0 ? args->tape + call->tape.x : NULL;
        s.record = NAME(record_on_tape)(plan, &view, args->tape);
    }
    if (layer == c->num_layers - 1) {
        s.y = NAME(caller_rows)(args->y.data, args->y.step, args->y.sequence);
    }
    s.gates = s.own.gates;
    s.rh = s.own.rh;
    NAME(set_states)(&s, s.own.h, s.own.h_in);
    return s;
}

/* The same for a call whose units are split. */
static NAME(split) NAME(forward_split)(const NAME(forward_call) *call, int64_t layer,
                                       int32_t slot, pygru_run *run) {
    const pygru_plan *plan = call->args->plan;
    NAME(split)
    split = {.sweep = NAME(make_forward_sweep)(call, layer, 0, 0, slot, run),
             .parts = call->parts};
    split.sweep.gates = call->shared.split_gates;
    split.sweep.rh = call->shared.split_rh;
    NAME(set_states)(&split.sweep, call->shared.split_h, call->shared.split_h_in);
    /* A batch may have fewer rows than sequences, if some of them are empty. */
    split.block_steps = pygru_at_least(1, plan->block_rows / plan->chunk_rows);
    return split;
}

static void NAME(forward_task)(int32_t phase, int64_t task, int32_t slot, pygru_run *run,
                               void *context) {
    const NAME(forward_call) *call = context;
    const NAME(forward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t D = c->num_directions;
    if (call->parts > 0) {
        const int64_t phases = NAME(phases_of_layer)(plan);
        const NAME(split) split = NAME(forward_split)(call, phase / phases, slot, run);
        NAME(split_task)(&split, phase % phases, task);
    } else if (phase == 0) {
        pygru_cell at;
        (void)pygru_cell_of(c, task / D, (int32_t)(task % D), &at);
        NAME(transpose_recurrent)(c->hidden_size, args->parameters + at.weight_hh,
                                  NAME(transposed_weights)(call, task));
    } else {
        const NAME(forward_sweep) s =
            NAME(make_forward_sweep)(call, phase - 1, task / D, (int32_t)(task % D), slot, run);
        NAME(sweep_forward)(&s);
    }
}

static pygru_status NAME(forward)(const pygru_forward_args *given) {
    const pygru_plan *plan = given->plan;
    NAME(forward_args) args;
    NAME(forward_call) call;
    pygru_work work = {.n_phases = (int32_t)plan->config.num_layers + 1,
                       .count = NAME(forward_count),
                       .task = NAME(forward_task),
                       .context = &call,
                       .operations = pygru_operations(plan)};
    pygru_status status;
    call.layout = pygru_layout_forward(plan);
    status = NAME(read_forward)(given, &call.layout, &args);
    if (status != PYGRU_OK) {
        return status;
    }
    call.args = &args;
    call.tape = pygru_layout_tape(plan);
    call.memory = (REAL *)NAME(align)(args.workspace);
    call.shared = NAME(forward_shared_at)(&call.layout, call.memory);
    call.parts = NAME(parts_of)(plan, args.team, args.kernels);
    if (call.parts > 0) {
        work.n_phases = (int32_t)(plan->config.num_layers * NAME(phases_of_layer)(plan));
        work.meets_often = 1;
    }
    return pygru_parallel_run(args.team, &work);
}

/* ---- backward ----------------------------------------------------------------------- */

/* The tasks of a direction and a round that compute gradients of parameters. On the SIMD engine:
 * parts of the weights and of the biases, and at the end layer normalisation. With BLAS: tiles of
 * W, tiles of U, and everything else. */
static int64_t NAME(parameter_tasks)(const NAME(backward_call) *call,
                                     const NAME(round) *round) {
    const pygru_plan *plan = call->args->plan;
    const pygru_config *c = &plan->config;
    if (plan->engine == PYGRU_ENGINE_SIMD) {
        return NAME(weight_parts)(plan, call->args->team) +
               (round->is_last && pygru_normalises(c));
    }
    return 2 * pygru_tiles_of_matrix(c->hidden_size) + NAME(has_vectors)(c);
}

static void NAME(parameter_task)(const NAME(backward_call) *call, const NAME(round) *round,
                                 int32_t direction, int64_t task, int32_t slot,
                                 pygru_run *run) {
    const pygru_plan *plan = call->args->plan;
    const int simd = plan->engine == PYGRU_ENGINE_SIMD;
    const int64_t tiles = pygru_tiles_of_matrix(plan->config.hidden_size);
    const int64_t of_weights = simd ? NAME(weight_parts)(plan, call->args->team) : 2 * tiles;
    if (task < of_weights && simd) {
        NAME(weight_part_task)(call, round, direction, task, slot, run);
    } else if (task < of_weights) {
        NAME(weight_tile_task)
        (call, round->layer, direction, task >= tiles, task % tiles, slot, run);
    } else if (pygru_normalises(&plan->config)) {
        NAME(norm_task)(call, round->layer, direction, slot);
    } else {
        NAME(bias_task)(call, round->layer, direction, slot, run);
    }
}

static int64_t NAME(d_x_tasks)(const NAME(backward_call) *call, const NAME(round) *round) {
    return NAME(has_d_x_tasks)(call, round->layer) ? round->chunks : 0;
}

static int64_t NAME(backward_count)(int32_t phase, void *context) {
    const NAME(backward_call) *call = context;
    const pygru_plan *plan = call->args->plan;
    const pygru_config *c = &plan->config;
    NAME(round) round;
    if (phase == 0) {
        return plan->engine == PYGRU_ENGINE_SIMD ? c->num_layers * c->num_directions : 0;
    }
    round = NAME(round_of_phase)(call, phase);
    if (!round.sums) {
        return round.chunks * c->num_directions;
    }
    return NAME(d_x_tasks)(call, &round) +
           c->num_directions * NAME(parameter_tasks)(call, &round);
}

static void NAME(pack_task)(const NAME(backward_call) *call, int64_t task) {
    const NAME(backward_args) *args = call->args;
    const pygru_config *c = &args->plan->config;
    const int64_t D = c->num_directions;
    const NAME(pygru_table) *table = NAME(table_of_call)(args->plan, args->kernels);
    pygru_cell at;
    (void)pygru_cell_of(c, task / D, (int32_t)(task % D), &at);
    NAME(pack_back)(args->plan, table, c->hidden_size, args->parameters + at.weight_hh,
                    NAME(packed_ut)(call, task));
    if (NAME(wants_d_x)(call, task / D)) {
        NAME(pack_back)(args->plan, table, at.input_size, args->parameters + at.weight_ih,
                        NAME(packed_wt)(call, task));
    }
}

static void NAME(backward_sweep_task)(const NAME(backward_call) *call, int64_t layer,
                                      int64_t task, int32_t slot, pygru_run *run) {
    const NAME(backward_args) *args = call->args;
    const pygru_plan *plan = args->plan;
    const pygru_config *c = &plan->config;
    const int64_t D = c->num_directions;
    const int64_t state_size = plan->B * c->hidden_size;
    pygru_tape_view view;
    int64_t index;
    const int32_t direction = (int32_t)(task % D);
    NAME(backward_sweep) s;
    memset(&s, 0, sizeof s);
    s.walk.plan = plan;
    s.walk.chunk = chunk_of(plan, task / D);
    s.walk.direction = direction;
    index = layer * D + direction;
    s.walk.cell = NAME(backward_cell)(call, layer, direction, slot);
    s.walk.noise = NAME(noise_of_cell)(&args->noise, plan, index);
    NAME(backward_source)(call, layer, &s.walk.source);
    s.walk.run = run;
    s.walk.slot = slot;
    pygru_tape_view_of(plan, layer, direction, &view);
    s.h_prev = args->tape + view.h_prev;
    s.tape_gates = view.gates < 0 ? NULL : (REAL *)args->tape + view.gates;
    s.d_h_n = args->d_h_n == NULL ? NULL : args->d_h_n + index * state_size;
    s.d_h0 = args->d_h0 + index * state_size;
    s.d_y = NAME(output_gradient)(call, layer);
    s.d_gates = NAME(gate_gradients)(call, direction);
    s.d_products = NAME(product_gradients)(call, direction);
    s.d_norm = NAME(norm_gradients)(call, direction, task / D);
    s.gathers_x = NAME(gathered_inputs)(call, layer, direction);
    s.x_rows = s.gathers_x != NULL ? s.gathers_x : args->tape + call->tape.x;
    s.h_in_rows = NAME(dropped_states)(call, direction);
    if (NAME(wants_d_x)(call, layer) && !NAME(has_d_x_tasks)(call, layer)) {
        s.d_x = NAME(place_of_d_x)(call, layer);
        if (layer == 0) {
            NAME(zero_padding)(plan, &s.walk.chunk, &s.d_x, 0, c->input_size);
        }
    }
    s.own = NAME(own_buffers)(call, slot);
    s.record = NAME(record_on_tape)(plan, &view, (REAL *)args->tape);
    if (pygru_normalises(c) && s.tape_gates == NULL) {
        s.record.x_hat = s.own.x_hat;
        s.record.h_hat = s.own.h_hat;
        s.record.scale = s.own.scale;
        s.record.distance = plan->block_rows;
    }
    NAME(sweep_backward)(&s);
}

/* A task of a phase of sums: d_x of a chunk, or a part of the parameters of a direction. The
 * larger ones come first, so that all threads end at about the same time. */
static void NAME(sums_task)(const NAME(backward_call) *call, const NAME(round) *round,
                            int64_t task, int32_t slot, pygru_run *run) {
    const int64_t per_direction = NAME(parameter_tasks)(call, round);
    const int64_t of_parameters = per_direction * call->args->plan->config.num_directions;
    const int64_t of_inputs = NAME(d_x_tasks)(call, round);
    if (of_parameters > 2 * of_inputs) {
        task = (task + of_parameters) % (of_parameters + of_inputs);
    }
    if (task < of_parameters) {
        NAME(parameter_task)
        (call, round, (int32_t)(task / per_direction), task % per_direction, slot, run);
    } else {
        NAME(d_x_task)(call, round->layer, round->first_chunk + task - of_parameters, slot,
                       run);
    }
}

static void NAME(backward_task)(int32_t phase, int64_t task, int32_t slot, pygru_run *run,
                                void *context) {
    const NAME(backward_call) *call = context;
    const int64_t D = call->args->plan->config.num_directions;
    NAME(round) round;
    if (phase == 0) {
        NAME(pack_task)(call, task);
        return;
    }
    round = NAME(round_of_phase)(call, phase);
    if (round.sums) {
        NAME(sums_task)(call, &round, task, slot, run);
    } else {
        NAME(backward_sweep_task)(call, round.layer, round.first_chunk * D + task, slot, run);
    }
}

/* A call with so little work that nothing needs to stop it, on the SIMD engine. It has at most one
 * block of rows, so its gradients can be added to the caller's as they are computed. */
static int NAME(is_short)(const pygru_plan *plan, int64_t parameters) {
    enum { MOST_PRODUCTS = 1 << 24 };
    return plan->engine == PYGRU_ENGINE_SIMD && plan->rows <= PYGRU_SUM_ROWS &&
           (plan->rows == 0 || parameters <= MOST_PRODUCTS / plan->rows);
}

static pygru_status NAME(backward)(const pygru_backward_args *given) {
    const pygru_plan *plan = given->plan;
    NAME(backward_args) args;
    NAME(backward_call) call;
    pygru_work work = {.count = NAME(backward_count),
                       .task = NAME(backward_task),
                       .context = &call,
                       .operations = pygru_operations(plan)};
    pygru_team team;
    pygru_status status;
    pygru_cell last;
    uint64_t float_state;
    int64_t j;
    call.layout = pygru_layout_backward(plan);
    status = NAME(read_backward)(given, &call.layout, &args);
    if (status != PYGRU_OK) {
        return status;
    }
    (void)pygru_cell_of(&plan->config, plan->config.num_layers - 1,
                        plan->config.num_directions - 1, &last);
    call.args = &args;
    call.tape = pygru_layout_tape(plan);
    call.memory = (REAL *)NAME(align)(args.workspace);
    call.shared = NAME(backward_shared_at)(&call.layout, call.memory);
    call.adds = NAME(is_short)(plan, last.end);
    call.d_parameters = call.adds ? args.grads : call.shared.d_parameters;
    work.n_phases = NAME(backward_phases)(&call);
    team = *args.team;
    if (call.adds) {
        team.poll = NULL;
    }
    status = pygru_parallel_run(&team, &work);
    if (status != PYGRU_OK || call.adds) {
        return status;
    }
    /* The caller gets a complete gradient or none. */
    float_state = pygru_enter_float_state();
    INDEPENDENT
    for (j = 0; j < last.end; j++) {
        args.grads[j] += call.d_parameters[j];
    }
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}

/* ---- one step ----------------------------------------------------------------------- */

static pygru_status NAME(step)(const pygru_step_args *given) {
    NAME(step_args) args;
    pygru_step_layout layout;
    const pygru_status status = NAME(read_step)(given, &layout, &args);
    const pygru_config *c = given->config;
    NAME(step_own) own;
    int64_t states, layer;
    NAME(cell_noise) noise = {0};
    NAME(step_arrays) arrays = {0};
    uint64_t float_state;
    if (status != PYGRU_OK || args.B == 0) {
        return status;
    }
    states = args.B * c->hidden_size;
    own = NAME(step_own_at)(&layout, args.workspace);
    noise.zoneout_rate = args.zoneout_rate;
    arrays.rows = args.B;
    arrays.gates = own.gates;
    arrays.h = arrays.h_in = own.h;
    arrays.rh = own.rh;
    arrays.noise = &noise;
    float_state = pygru_enter_float_state();
    for (layer = 0; layer < c->num_layers; layer++) {
        const NAME(cell) cell =
            NAME(cell_at)(c, args.kernels, args.blas, args.parameters, args.packed, layer, 0,
                          own.bias, own.sums, own.products, own.rounded);
        const REAL *x = layer == 0 ? args.x : args.h_next + (layer - 1) * states;
        /* h_next may be h, and a step reads all of the old state until its end */
        memcpy(own.h, args.h + layer * states, (size_t)states * sizeof(REAL));
        NAME(project_input)(&cell, NAME(all_units)(&cell), args.B, x, own.gates,
                            &arrays.record);
        arrays.h_next = args.h_next + layer * states;
        NAME(whole_step)(&cell, &arrays);
    }
    pygru_leave_float_state(float_state);
    return PYGRU_OK;
}
