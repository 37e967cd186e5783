/* split.tpl.c - one chunk in one direction, whose units instead of its sequences are divided
 * among the threads. It is for few rows and weights that do not fit into one core's cache.
 *
 * Every step is a phase of its own, or two phases with the reset before the product. A task is
 * a range of units, the same at every step. It computes the input products of a time block for
 * these units, multiplies the states of all units by their weights, and writes their new
 * states. States and gates are shared. The two buffers of states take turns, so that no task
 * writes what another one still reads. The functions are those of sweep.tpl.c, so the bits are
 * the same. There is no backward pass here. */

typedef struct NAME(split) {
    NAME(forward_sweep) sweep; /* gates and states are the shared buffers */
    int64_t parts;
    int64_t block_steps; /* of a time block */
} NAME(split);

static int64_t NAME(phases_per_step)(const pygru_plan *plan) {
    return plan->config.reset == PYGRU_RESET_AFTER ? 1 : 2;
}

/* The number of phases of a layer: one that loads the states, then those of its steps. */
static int64_t NAME(phases_of_layer)(const pygru_plan *plan) {
    return 1 + chunk_of(plan, 0).steps * NAME(phases_per_step)(plan);
}

/* The number of parts of a call; 0 if its tasks are whole chunks. */
static int64_t NAME(parts_of)(const pygru_plan *plan, const pygru_team *team,
                              const pygru_kernels *kernels) {
    const int64_t lanes = NAME(table_of_call)(plan, kernels)->lanes;
    if (team->n_threads < 2 || !pygru_plan_splits(plan) ||
        NAME(phases_of_layer)(plan) > PYGRU_MOST_PHASES / plan->config.num_layers) {
        return 0;
    }
    return team->n_threads < pygru_most_parts(plan, lanes) ? team->n_threads
                                                           : pygru_most_parts(plan, lanes);
}

/* The units of a part. All parts have nearly equally many panels. */
static unit_range NAME(units_of_part)(const NAME(split) *split, int64_t part) {
    const NAME(cell) *cell = &split->sweep.walk.cell;
    const int64_t panels = NAME(panels_of)(cell, cell->H), lanes = cell->kernels->lanes;
    const int64_t first = panels * part / split->parts * lanes;
    const int64_t end = panels * (part + 1) / split->parts * lanes;
    const unit_range range = {first, (end < cell->H ? end : cell->H) - first};
    return range;
}

/* The input products of a time block for the units of a part. Every part gathers the inputs for
 * itself. The first part writes the tape's copy of x. */
static void NAME(split_project)(const NAME(split) *split, const NAME(block) *block,
                                int64_t part) {
    NAME(forward_sweep) s = split->sweep;
    const chunk_view *chunk = &s.walk.chunk;
    const int64_t t0 = block->t0, left = chunk->steps - t0;
    const int64_t t1 = t0 + (left < split->block_steps ? left : split->block_steps);
    if (part > 0) {
        s.tape_x = NULL;
    }
    NAME(project_input)(&s.walk.cell, NAME(units_of_part)(split, part),
                        chunk->start[t1] - chunk->start[t0], NAME(block_inputs)(&s, t0, t1),
                        block->gates, &block->record);
}

/* One phase of one part: `phase` counts from the beginning of the layer. */
static void NAME(split_task)(const NAME(split) *split, int64_t phase, int64_t part) {
    const NAME(forward_sweep) *s = &split->sweep;
    const NAME(cell) *cell = &s->walk.cell;
    const int64_t per_step = NAME(phases_per_step)(s->walk.plan);
    const unit_range range = NAME(units_of_part)(split, part);
    const int64_t t = (phase - 1) / per_step;
    NAME(block) block;
    NAME(step_arrays) step;
    if (phase == 0) {
        NAME(begin_sweep)(s);
        return;
    }
    block = NAME(block_at)(s, t - t % split->block_steps);
    step = NAME(step_of)(s, &block, t);
    step.guarded = 1; /* the other parts write the other units of these rows */
    if ((phase - 1) % per_step == 0) {
        if (t == block.t0) {
            NAME(split_project)(split, &block, part);
        }
        NAME(step_begin)(cell, range, &step);
    }
    if ((phase - 1) % per_step == per_step - 1) {
        NAME(step_end)(cell, range, &step);
        NAME(end_state)(s, range, t);
    }
}
