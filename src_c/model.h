/* model.h - everything that follows from a configuration alone: the sizes of values and
 * vectors, and the layout of the packed parameters of a cell. */
#ifndef PYGRU_MODEL_H
#define PYGRU_MODEL_H

#include "calls.h"
#include "checked.h"
#include "gate_order.h"
#include "quantized.h"
#include "vectors.h"

/* Whether every member is in its range. */
int pygru_config_is_valid(const pygru_config *config);

/* Input size of a layer. */
static inline int64_t pygru_inputs_of_layer(const pygru_config *config, int64_t layer) {
    return layer == 0 ? config->input_size
                      : pygru_times(config->num_directions, config->hidden_size);
}

/* Input size of the widest layer. */
int64_t pygru_widest_input(const pygru_config *config);

/* Bytes of a value and of a packed weight of a valid configuration. */
static inline int64_t pygru_value_bytes(const pygru_config *config) {
    return pygru_calls_of(config->precision)->traits.value_bytes;
}

static inline int64_t pygru_weight_bytes(const pygru_config *config) {
    return pygru_calls_of(config->precision)->traits.weight_bytes;
}

/* Whether its weights are 8-bit integers. */
static inline int pygru_is_quantized(const pygru_config *config) {
    return config->precision == PYGRU_INT8;
}

/* The packed weights of a column whose product has K terms. */
static inline int64_t pygru_packed_depth(const pygru_config *config, int64_t K) {
    return pygru_is_quantized(config) ? pygru_quantized_depth(K) : K;
}

/* The elements after the end of an array that is read in whole vectors. */
enum { PYGRU_SLACK = PYGRU_MOST_LANES };

/* Elements, or columns of a packed matrix, rounded up to whole vectors of any instruction set.
 * Negative, for an overflow, if that is too many. */
static inline int64_t pygru_padded(int64_t n) {
    return n > INT64_MAX - PYGRU_SLACK ? -1 : (n + PYGRU_SLACK - 1) / PYGRU_SLACK * PYGRU_SLACK;
}

static inline int pygru_normalises(const pygru_config *config) { return config->norm_eps > 0; }

/* Whether the activations are tanh and sigmoid, of sums without a limit. */
static inline int pygru_is_usual(const pygru_config *c) {
    const int32_t of_n = c->activation.function, of_gates = c->recurrent_activation.function;
    return c->clip == 0 && (of_n == PYGRU_ACTIVATION_USUAL || of_n == PYGRU_ACTIVATION_tanh) &&
           (of_gates == PYGRU_ACTIVATION_USUAL || of_gates == PYGRU_ACTIVATION_sigmoid);
}

/* The parameters of layer normalisation of a cell, in vectors of H: the gains of the inputs r |
 * z | n, those of the states r | z | n, and the biases n | r | z | hn. Their gradients have the
 * same layout. */
enum {
    PYGRU_X_GAINS = 0,
    PYGRU_H_GAINS = PYGRU_X_GAINS + GATES,
    PYGRU_NORM_BIAS = PYGRU_H_GAINS + GATES,
    PYGRU_NORM = PYGRU_NORM_BIAS + COLUMNS
};

/* The number of the other parameters of a cell besides its weights: the bias, and those of
 * layer normalisation; negative if that is too many. */
int64_t pygru_vectors_of_cell(const pygru_config *config);

/* The offsets of the parts of one packed cell, in bytes; every part begins on PYGRU_ALIGNMENT.
 * Biases and gains are values, and the panels are packed weights. */
typedef struct pygru_packed_cell {
    int64_t bias; /* (4H) n | r | z | hn, see cell.tpl.c, and PYGRU_SLACK */
    int64_t norm; /* (PYGRU_NORM, H) with layer normalisation; the biases are here then */
    int64_t w;    /* panels r, z, n of the input weights, K = the layer's input size */
    int64_t u;    /* panels r, z, n (reset after), or r, z and then n (before), K = H */
    int64_t end;
} pygru_packed_cell;

/* For a valid config and cell; all -1 or less if the total overflows. */
pygru_packed_cell pygru_packed_cell_of(const pygru_config *config, int64_t layer,
                                       int32_t direction);

#endif
