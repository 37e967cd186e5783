/* gate_order.h - the order of the three gates in memory, and their widths.
 *
 * What it does: names gates and columns, and gives their offsets. No other file of the core
 * computes such an offset. What it refuses to do: access an array; it only counts elements.
 *
 * There are two orders. Almost everything is in the order of the gates, r | z | n: the rows of
 * the weights, biases and gains, packed panels, the products of the states, and what layer
 * normalisation keeps. A row of gates, and the biases that are added to it, are in the order of
 * the columns, n | r | z | hn. In this order both the columns to which the
 * inputs contribute, n | r | z, and those to which the states contribute, r | z | hn, are
 * contiguous. */
#ifndef PYGRU_GATE_ORDER_H
#define PYGRU_GATE_ORDER_H

#include <stdint.h>

/* r is the reset gate, z the update gate, n the candidate; GATES is their number. */
enum gate { GATE_R, GATE_Z, GATE_N, GATES };

/* After a step, COLUMN_HN contains U_n h + b_hn (reset after) or r*h (reset before). */
enum column { COLUMN_N, COLUMN_R, COLUMN_Z, COLUMN_HN, COLUMNS };

/* The column of a gate, to whose sums the inputs contribute. */
static inline enum column column_of(enum gate gate) {
    return gate == GATE_R ? COLUMN_R : gate == GATE_Z ? COLUMN_Z : COLUMN_N;
}

/* The column to whose sums the states contribute: hn for n, with the reset after. */
static inline enum column state_column_of(enum gate gate, int after) {
    return after && gate == GATE_N ? COLUMN_HN : column_of(gate);
}

/* Elements before a gate, where each has H: rows of a weight matrix, or units. */
static inline int64_t at_gate(int64_t H, enum gate gate) { return (int64_t)gate * H; }

/* Elements of all gates. */
static inline int64_t all_gates(int64_t H) { return (int64_t)GATES * H; }

/* Elements before a column in a row of gates. */
static inline int64_t at_column(int64_t H, enum column column) { return (int64_t)column * H; }

/* Elements of a row of gates, and elements before a row. */
static inline int64_t all_columns(int64_t H) { return (int64_t)COLUMNS * H; }

static inline int64_t at_row(int64_t H, int64_t row) { return row * all_columns(H); }

/* Some consecutive gates. */
typedef struct gate_run {
    enum gate first;
    int count;
} gate_run;

static const gate_run R_Z_N = {GATE_R, 3};
static const gate_run R_Z = {GATE_R, 2};
static const gate_run ONLY_N = {GATE_N, 1};

static inline enum gate gate_in(gate_run run, int i) { return (enum gate)((int)run.first + i); }

/* Where the sums of a run stand in a row of gates while it is computed. With the reset after,
 * the states' part of n is hn, so that r, z and hn are contiguous as their gates are. */
static inline int64_t at_run(int64_t H, gate_run run) {
    return at_column(H, column_of(run.first));
}

#endif
