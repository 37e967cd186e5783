/* split.tpl.c - one chunk in one direction whose units, not its sequences, are split over the
 * threads: for few rows and weights that do not fit into one core's cache.
 *
 * Every step is a phase of its own (two with the reset before), and a task is the same panels
 * of units at every step: it projects the inputs of a time block to them, multiplies the states
 * of all units with their weights and leaves the new states of its own. States and gates are
 * shared, in two buffers of states that take turns. A unit's sums are those of sweep.tpl.c, and
 * so are the bits. Forward only. */

typedef struct NAME(split) {
    NAME(sweep) sweep; /* h and h_next are the two shared buffers */
    int64_t parts;
    int64_t block_steps; /* of a time block */
} NAME(split);

static int64_t NAME(phases_per_step)(const pygru_plan *plan) {
    return plan->config.reset == PYGRU_RESET_AFTER ? 1 : 2;
}

/* Phases of a layer: one that loads the states, then those of its steps. */
static int64_t NAME(phases_of_layer)(const pygru_plan *plan) {
    return 1 + pygru_plan_chunk(plan, 0)->steps * NAME(phases_per_step)(plan);
}

/* How many parts a call is split into; 0 for tasks of whole chunks. */
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

/* The panels of a part: as equal as whole panels can be. */
static NAME(panels) NAME(panels_of_part)(const NAME(split) *split, int64_t part) {
    const int64_t all = NAME(blocks_of)(&split->sweep.cell, split->sweep.cell.H);
    const int64_t first = all * part / split->parts;
    const NAME(panels) panels = {first, all * (part + 1) / split->parts - first};
    return panels;
}

/* The states before the first step. */
static void NAME(split_begin)(const NAME(split) *split) {
    const NAME(sweep) *s = &split->sweep;
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    NAME(load_state)(s);
    NAME(store_last_states)(s, s->chunk->steps > 0 ? start[1] : 0, s->chunk->n, s->h);
    if (s->y.data != NULL) {
        NAME(zero_padding)(s->plan, s->chunk, &s->y, 0, s->cell.H);
    }
}

/* What a part leaves of a step: the states before it and the new ones, where they belong. */
static void NAME(split_store)(const NAME(sweep) *s, int64_t t, int64_t first, int64_t n,
                              const REAL *h, REAL *h_next) {
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    const int64_t *order = pygru_plan_order(s->plan) + s->chunk->sequence0;
    const int64_t H = s->cell.H;
    const int64_t active = start[t + 1] - start[t];
    const int64_t staying = t + 1 < s->chunk->steps ? start[t + 2] - start[t + 1] : 0;
    int64_t i;
    for (i = 0; i < active; i++) {
        const int64_t row = (start[t] + i) * H + first; /* the only chunk has row0 = 0 */
        REAL *next = h_next + i * H + first;
        if (NAME(zones_out)(&s->noise)) {
            NAME(zone_out)(&s->noise, row, n, h + i * H + first, next);
        }
        if (s->h_prev != NULL) {
            NAME(copy_row)(n, h + i * H + first, s->h_prev + row);
        }
        if (s->y.data != NULL) {
            NAME(copy_row)(n, next, NAME(row_at)(s->plan, s->chunk, &s->y, t, i) + first);
        }
        if (i >= staying) {
            NAME(copy_row)(n, next, s->h_n + order[i] * H + first);
            if (s->tape_h_last != NULL) {
                NAME(copy_row)(n, next, s->tape_h_last + order[i] * H + first);
            }
        }
    }
}

/* The inputs of the time block that begins at t, to the part's own units. Every part gathers
 * the inputs for itself; the first one writes the tape's copy of x. */
static void NAME(split_project)(const NAME(split) *split, int64_t t, int64_t part,
                                REAL *gates) {
    NAME(sweep) s = split->sweep;
    const int64_t *start = pygru_plan_starts(s.plan, s.chunk);
    const int64_t left = s.chunk->steps - t;
    const int64_t end = t + (left < split->block_steps ? left : split->block_steps);
    if (part > 0) {
        s.tape_x = NULL;
    }
    NAME(simd_project_input)(&s.cell, NAME(panels_of_part)(split, part), start[end] - start[t],
                             NAME(block_inputs)(&s, t, end), gates);
}

/* One phase of one part: `phase` counts from the beginning of the layer. */
static void NAME(split_task)(const NAME(split) *split, int64_t phase, int64_t part) {
    const NAME(sweep) *s = &split->sweep;
    const int64_t per_step = NAME(phases_per_step)(s->plan);
    const int64_t *start = pygru_plan_starts(s->plan, s->chunk);
    const NAME(panels) panels = NAME(panels_of_part)(split, part);
    const int64_t H = s->cell.H, lanes = s->cell.kernels->lanes;
    const int64_t t = (phase - 1) / per_step;
    const int64_t begin = t - t % split->block_steps;
    NAME(slab) slab;
    REAL *h, *gates;
    if (phase == 0) {
        NAME(split_begin)(split);
        return;
    }
    h = t % 2 == 0 ? s->h : s->h_next;
    gates = s->tape_gates != NULL ? s->tape_gates + at_row(H, start[begin]) : s->gates;
    slab.rows = start[t + 1] - start[t];
    slab.gates = gates + at_row(H, start[t] - start[begin]);
    slab.h = h;
    slab.h_next = t % 2 == 0 ? s->h_next : s->h;
    slab.stores = s->tape_gates != NULL;
    if ((phase - 1) % per_step == 0) {
        if (t == begin) {
            NAME(split_project)(split, t, part, gates);
        }
        slab.h_in = NAME(states_in_products)(s, slab.rows, h, s->h_in);
        NAME(slab_first)(&s->cell, panels, &slab);
    } else {
        slab.h_in = h; /* not read: r*h is in the gates */
        NAME(slab_second)(&s->cell, panels, &slab);
    }
    if ((phase - 1) % per_step == per_step - 1) {
        const int64_t first = panels.first * lanes;
        const int64_t n = H - first < panels.count * lanes ? H - first : panels.count * lanes;
        NAME(split_store)(s, t, first, n, h, slab.h_next);
    }
}
