/* rounds.tpl.c - the order of the phases of backward.
 *
 * Phase 0 packs the weights for the SIMD engine. Then every layer, beginning with the top one,
 * goes through its chunks in rounds of two phases: the sweeps of some chunks, then the sums over
 * their rows. So the gradients of the gates are still in a cache when the sums read them. The sums
 * take whole blocks of PYGRU_SUM_ROWS rows in their order, whatever a round contains, so the bits
 * do not depend on the rounds. With BLAS there is one round. */

typedef struct NAME(round) {
    int64_t layer;
    int sums; /* the second phase */
    int64_t first_chunk;
    int64_t chunks;
    int64_t first_row; /* of the sums */
    int64_t end_row;
    int is_last;
} NAME(round);

/* A round has enough rows for a block, and enough tasks for every thread. */
static int64_t NAME(chunks_of_round)(const NAME(backward_call) *call) {
    enum { TASKS_PER_THREAD = 2 };
    const pygru_plan *plan = call->args->plan;
    const int64_t all = pygru_at_least(1, plan->n_chunks);
    const int64_t n_threads = call->args->team->n_threads;
    const int64_t rows = pygru_at_least(1, plan->rows / all); /* of a chunk */
    const int64_t chunks = pygru_at_least((PYGRU_SUM_ROWS - 1) / rows + 1,
                                          n_threads == 1 ? 1 : TASKS_PER_THREAD * n_threads);
    const int64_t most_rounds = PYGRU_MOST_PHASES / 4 / plan->config.num_layers;
    return plan->engine == PYGRU_ENGINE_BLAS || all / chunks >= most_rounds
               ? all
               : pygru_at_most(chunks, all);
}

static int64_t NAME(rounds_of_layer)(const NAME(backward_call) *call) {
    const int64_t chunks = NAME(chunks_of_round)(call);
    return (pygru_at_least(1, call->args->plan->n_chunks) - 1) / chunks + 1;
}

static int32_t NAME(backward_phases)(const NAME(backward_call) *call) {
    return 1 + (int32_t)(call->args->plan->config.num_layers * 2 * NAME(rounds_of_layer)(call));
}

/* The rows of the first chunks, in whole blocks; of all chunks, all rows. */
static int64_t NAME(summed_rows)(const pygru_plan *plan, int64_t chunks) {
    int64_t rows;
    if (chunks >= plan->n_chunks) {
        return plan->rows;
    }
    rows = chunk_of(plan, chunks).row0;
    return rows - rows % PYGRU_SUM_ROWS;
}

/* The round of a phase from 1 on. */
static NAME(round) NAME(round_of_phase)(const NAME(backward_call) *call, int32_t phase) {
    const pygru_plan *plan = call->args->plan;
    const int64_t chunks = NAME(chunks_of_round)(call), rounds = NAME(rounds_of_layer)(call);
    const int64_t index = (phase - 1) / 2, number = index % rounds;
    NAME(round) round;
    round.layer = plan->config.num_layers - 1 - index / rounds;
    round.sums = phase % 2 == 0;
    round.first_chunk = number * chunks;
    round.chunks = pygru_at_most(chunks, plan->n_chunks - round.first_chunk);
    round.first_row = NAME(summed_rows)(plan, round.first_chunk);
    round.end_row = NAME(summed_rows)(plan, round.first_chunk + chunks);
    round.is_last = number == rounds - 1;
    return round;
}
