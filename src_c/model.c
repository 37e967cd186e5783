/* model.c - computes from a configuration the layout of its parameters, flat and packed.
 *
 * This is arithmetic on integers only; no array is read. Every size is computed in 64 bits, and
 * an overflow is an error of the call. */
#include "model.h"

#include "checked.h"

/* The limits of numbers in the equations: float32 can hold them. */
#define LEAST_FACTOR 1e-30
#define MOST_FACTOR 1e30

/* ---- flat parameters ---------------------------------------------------------------- */

/* The parameters of other activations than hard_sigmoid are not read. */
static int is_valid_activation(const pygru_activation *f) {
    return f->function >= 0 && f->function < PYGRU_ACTIVATIONS_END_ &&
           (f->function != PYGRU_ACTIVATION_hard_sigmoid ||
            (f->alpha >= LEAST_FACTOR && f->alpha <= MOST_FACTOR && f->beta >= -MOST_FACTOR &&
             f->beta <= MOST_FACTOR));
}

/* The most terms of a product of any layer. */
static int64_t pygru_widest_row(const pygru_config *c) {
    const int64_t widest = pygru_widest_input(c);
    return widest < 0 ? INT64_MAX : pygru_at_least(widest, c->hidden_size);
}

int pygru_config_is_valid(const pygru_config *c) {
    return c->precision >= 0 && c->precision < PYGRU_PRECISIONS_END_ && c->input_size >= 1 &&
           c->hidden_size >= 1 && c->num_layers >= 1 &&
           (c->num_directions == 1 || c->num_directions == 2) && (c->has_bias >> 1) == 0 &&
           (c->reset >> 1) == 0 && (c->update >> 1) == 0 && (c->drops_states >> 1) == 0 &&
           c->norm_eps >= 0 && c->norm_eps <= 1 &&
           (c->clip == 0 || (c->clip >= LEAST_FACTOR && c->clip <= MOST_FACTOR)) &&
           is_valid_activation(&c->activation) &&
           is_valid_activation(&c->recurrent_activation) && (c->reverse >> 1) == 0 &&
           (c->reverse == 0 || c->num_directions == 1) &&
           (!pygru_is_quantized(c) || pygru_widest_row(c) <= PYGRU_MOST_TERMS);
}

static int64_t cell_size(const pygru_config *c, int64_t input_size) {
    const int64_t vectors = (c->has_bias ? 2 : 0) + (pygru_normalises(c) ? 2 : 0);
    return pygru_times(pygru_times(GATES, c->hidden_size),
                       pygru_plus(pygru_plus(input_size, c->hidden_size), vectors));
}

pygru_status pygru_cell_of(const pygru_config *config, int64_t layer, int32_t direction,
                           pygru_cell *cell) {
    int64_t H, D, first, upper, above, bias, gain;
    if (!pygru_points(config) || !pygru_points(cell)) {
        return PYGRU_BAD_ARGUMENT;
    }
    H = config->hidden_size;
    D = config->num_directions;
    if (!pygru_config_is_valid(config) || layer < 0 || layer >= config->num_layers ||
        direction < 0 || direction >= config->num_directions) {
        return PYGRU_BAD_CONFIG;
    }
    cell->input_size = pygru_inputs_of_layer(config, layer);
    first = cell_size(config, config->input_size);
    upper = cell_size(config, pygru_times(D, H));
    above =
        layer == 0
            ? pygru_times(direction, first)
            : pygru_plus(pygru_times(D, first),
                         pygru_times(pygru_plus(pygru_times(layer - 1, D), direction), upper));
    cell->weight_ih = above;
    cell->weight_hh = pygru_plus(above, pygru_times(pygru_times(GATES, H), cell->input_size));
    bias = pygru_plus(cell->weight_hh, pygru_times(pygru_times(GATES, H), H));
    cell->bias_ih = config->has_bias ? bias : -1;
    cell->bias_hh = config->has_bias ? pygru_plus(bias, pygru_times(GATES, H)) : -1;
    gain = config->has_bias ? pygru_plus(bias, pygru_times(2 * GATES, H)) : bias;
    cell->gain_ih = pygru_normalises(config) ? gain : -1;
    cell->gain_hh = pygru_normalises(config) ? pygru_plus(gain, pygru_times(GATES, H)) : -1;
    cell->end = pygru_plus(above, layer == 0 ? first : upper);
    return pygru_times(cell->end, 8) < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}

int64_t pygru_widest_input(const pygru_config *config) {
    if (config->num_layers == 1) {
        return config->input_size;
    }
    return pygru_at_least(config->input_size,
                          pygru_times(config->num_directions, config->hidden_size));
}

int64_t pygru_vectors_of_cell(const pygru_config *c) {
    return pygru_times(pygru_normalises(c) ? COLUMNS + PYGRU_NORM : COLUMNS, c->hidden_size);
}

/* ---- packed parameters ------------------------------------------------------------------ */

/* n elements in bytes, rounded up so that the next part is aligned. */
static int64_t aligned_bytes(int64_t n, int64_t bytes) {
    const int64_t rounded = pygru_plus(pygru_times(n, bytes), PYGRU_ALIGNMENT - 1);
    return rounded < 0 ? -1 : rounded / PYGRU_ALIGNMENT * PYGRU_ALIGNMENT;
}

/* The parts of a cell that begins at `begin`. */
static pygru_packed_cell packed_cell_from(const pygru_config *c, int64_t inputs,
                                          int64_t begin) {
    const int64_t H = c->hidden_size;
    const int64_t values = pygru_value_bytes(c), weights = pygru_weight_bytes(c);
    const int64_t columns = pygru_times(GATES, pygru_padded(H));
    pygru_packed_cell a;
    a.bias = begin;
    a.norm = pygru_plus(
        a.bias, aligned_bytes(pygru_plus(pygru_times(COLUMNS, H), PYGRU_SLACK), values));
    a.w = pygru_plus(
        a.norm, aligned_bytes(pygru_normalises(c) ? pygru_times(PYGRU_NORM, H) : 0, values));
    a.u = pygru_plus(
        a.w, aligned_bytes(pygru_times(columns, pygru_packed_depth(c, inputs)), weights));
    a.end =
        pygru_plus(a.u, aligned_bytes(pygru_times(columns, pygru_packed_depth(c, H)), weights));
    return a;
}

pygru_packed_cell pygru_packed_cell_of(const pygru_config *c, int64_t layer,
                                       int32_t direction) {
    const int64_t D = c->num_directions;
    const int64_t outputs = pygru_times(D, c->hidden_size);
    int64_t first, upper;
    if (layer == 0 && direction == 0) {
        return packed_cell_from(c, c->input_size, 0);
    }
    first = packed_cell_from(c, c->input_size, 0).end;
    if (layer == 0) {
        return packed_cell_from(c, c->input_size, pygru_times(direction, first));
    }
    upper = packed_cell_from(c, outputs, 0).end;
    return packed_cell_from(
        c, outputs,
        pygru_plus(pygru_times(D, first),
                   pygru_times(pygru_times(layer - 1, D) + direction, upper)));
}

pygru_status pygru_packed_size(const pygru_config *config, int64_t *bytes) {
    pygru_cell last;
    pygru_status status;
    if (!pygru_points(config) || !pygru_points(bytes)) {
        return PYGRU_BAD_ARGUMENT;
    }
    if (!pygru_config_is_valid(config)) {
        return PYGRU_BAD_CONFIG;
    }
    status = pygru_cell_of(config, config->num_layers - 1, config->num_directions - 1, &last);
    if (status != PYGRU_OK) {
        return status;
    }
    *bytes =
        pygru_packed_cell_of(config, config->num_layers - 1, config->num_directions - 1).end;
    return *bytes < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}
