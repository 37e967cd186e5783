/* reference.h - a GRU written from its equations: scalars, plain loops, libm, double.
 *
 *   r = sigma(W_r x + b_r + U_r h + c_r)      z = sigma(W_z x + b_z + U_z h + c_z)
 *   n = tanh(W_n x + b_n + c_n + U_n (r h))   reset before the product
 *   n = tanh(W_n x + b_n + r (U_n h + c_n))   reset after
 *   h' = (1-z) h + z n (replaces)  or  z h + (1-z) n (keeps)
 *
 * With layer normalisation every product v = W x or v = U h of a gate is replaced by
 *   g (v - mean) / sqrt(variance + eps)
 * where mean and variance are taken over the H units of that gate.
 *
 * Other activations take the places of tanh and sigma. With a clip, their arguments are limited to
 * [-clip, clip] first. With `reverse` every sequence is read from its last step to its first.
 *
 * It shares no code with the core, not even the order of the parameters in memory: per cell
 * weight_ih (3H, width), weight_hh (3H, H), bias_ih (3H), bias_hh (3H), gain_ih (3H),
 * gain_hh (3H), gates r, z, n. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "problem.h"

static double dot(int64_t n, const double *a, const double *b) {
    double sum = 0;
    int64_t i;
    for (i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static double sigma(double x) { return 1 / (1 + exp(-x)); }

static double limited(double x, double low, double high) { return fmin(fmax(x, low), high); }

/* The activation `f` of a sum, or `usual` if f is zeros. */
static double reference_activation(const pygru_config *c, const pygru_activation *f, int usual,
                                   double sum) {
    const double x = c->clip > 0 ? limited(sum, -c->clip, c->clip) : sum;
    switch (f->function == PYGRU_ACTIVATION_USUAL ? usual : f->function) {
    case PYGRU_ACTIVATION_tanh:
        return tanh(x);
    case PYGRU_ACTIVATION_sigmoid:
        return sigma(x);
    case PYGRU_ACTIVATION_relu:
        return fmax(x, 0);
    case PYGRU_ACTIVATION_linear:
        return x;
    case PYGRU_ACTIVATION_softsign:
        return x / (1 + fabs(x));
    case PYGRU_ACTIVATION_hard_sigmoid:
        return limited(f->alpha * x + f->beta, 0, 1);
    default:
        return NAN;
    }
}

static double gate_of(const pygru_config *c, double sum) {
    return reference_activation(c, &c->recurrent_activation, PYGRU_ACTIVATION_sigmoid, sum);
}

static double candidate_of(const pygru_config *c, double sum) {
    return reference_activation(c, &c->activation, PYGRU_ACTIVATION_tanh, sum);
}

/* out (H) = the rows of a matrix (H, n) times v, normalised if there is a gain (H). */
static void reference_sums(const pygru_config *c, int64_t n, const double *matrix,
                           const double *v, const double *gain, double *out) {
    const int64_t H = c->hidden_size;
    double mean = 0, variance = 0;
    int64_t j;
    for (j = 0; j < H; j++) {
        out[j] = dot(n, matrix + j * n, v);
        mean += out[j] / (double)H;
    }
    for (j = 0; j < H; j++) {
        variance += (out[j] - mean) * (out[j] - mean) / (double)H;
    }
    for (j = 0; c->norm_eps > 0 && j < H; j++) {
        out[j] = gain[j] * (out[j] - mean) / sqrt(variance + c->norm_eps);
    }
}

/* One step of one sequence: h (H) becomes h'. The products use h_in (H) in the place of h.
 * scratch (10H). */
static void reference_step(const pygru_config *c, int64_t width, const double *cell,
                           const double *x, const double *h_in, double *h, double *scratch) {
    const int64_t H = c->hidden_size;
    const double *w = cell, *u = w + 3 * H * width, *b_x = u + 3 * H * H, *b_h = b_x + 3 * H;
    const double *g_x = b_x + (c->has_bias ? 6 * H : 0), *g_h = g_x + 3 * H;
    double *r = scratch, *z = r + H, *n = z + H, *rh = n + H;
    double *from_x = rh + H, *from_h = from_x + 3 * H;
    int64_t j, gate;
    for (gate = 0; gate < 3; gate++) {
        reference_sums(c, width, w + gate * H * width, x, g_x + gate * H, from_x + gate * H);
        reference_sums(c, H, u + gate * H * H, h_in, g_h + gate * H, from_h + gate * H);
    }
    for (j = 0; j < H; j++) {
        double a_r = from_x[j] + from_h[j];
        double a_z = from_x[H + j] + from_h[H + j];
        if (c->has_bias) {
            a_r += b_x[j] + b_h[j];
            a_z += b_x[H + j] + b_h[H + j];
        }
        r[j] = gate_of(c, a_r);
        z[j] = gate_of(c, a_z);
        rh[j] = r[j] * h_in[j];
    }
    if (c->reset == PYGRU_RESET_BEFORE) {
        reference_sums(c, H, u + 2 * H * H, rh, g_h + 2 * H, from_h + 2 * H);
    }
    for (j = 0; j < H; j++) {
        const double bias_x = c->has_bias ? b_x[2 * H + j] : 0;
        const double bias_h = c->has_bias ? b_h[2 * H + j] : 0;
        const double a_x = from_x[2 * H + j] + bias_x, a_h = from_h[2 * H + j] + bias_h;
        n[j] = candidate_of(c, a_x + (c->reset == PYGRU_RESET_BEFORE ? a_h : r[j] * a_h));
    }
    for (j = 0; j < H; j++) {
        h[j] = c->update == PYGRU_UPDATE_REPLACES ? (1 - z[j]) * h[j] + z[j] * n[j]
                                                  : z[j] * h[j] + (1 - z[j]) * n[j];
    }
}

/* y (T, B, D*H), zeros after the end of a sequence; h_n (L*D, B, H). */
static void reference_forward(const problem *p, double *y, double *h_n) {
    const pygru_config *c = &p->config;
    const int64_t H = c->hidden_size, D = c->num_directions, width_above = D * H;
    const double *cell = p->parameters;
    double *in = doubles(p->n_x), *out = NULL, *scratch = doubles(12 * H);
    double *h_in = scratch + 10 * H, *old = h_in + H;
    int64_t layer, d, b, s, j, width = c->input_size;
    memcpy(in, p->x, (size_t)p->n_x * sizeof *in);
    for (layer = 0; layer < c->num_layers; layer++) {
        out = doubles(p->n_y);
        for (d = 0; d < D; d++) {
            for (b = 0; b < p->B; b++) {
                const int64_t length = length_of(p, b);
                double *h = h_n + ((layer * D + d) * p->B + b) * H;
                memcpy(h, p->h0 + (h - h_n), (size_t)H * sizeof *h);
                for (s = 0; s < length; s++) {
                    const int64_t row = time_of_visit(p, d, b, s) * p->B + b;
                    const int64_t state = ((layer * D + d) * p->B + b) * H;
                    const int64_t visit = (((layer * D + d) * p->T + s) * p->B + b) * H;
                    for (j = 0; j < H; j++) {
                        old[j] = h[j];
                        h_in[j] = p->recurrent == NULL
                                      ? h[j]
                                      : h[j] * p->recurrent[state + j] * p->recurrent_scale;
                    }
                    reference_step(c, width, cell, in + row * width, h_in, h, scratch);
                    for (j = 0; p->zoneout != NULL && j < H; j++) {
                        h[j] = p->zoneout[visit + j] ? old[j] : h[j];
                    }
                    memcpy(out + row * width_above + d * H, h, (size_t)H * sizeof *h);
                }
            }
            cell += parameters_of_cell(c, layer);
        }
        for (j = 0; p->dropout != NULL && layer + 1 < c->num_layers && j < p->n_y; j++) {
            out[j] *= p->dropout[layer * p->n_y + j] * p->dropout_scale;
        }
        free(in);
        in = out;
        width = width_above;
    }
    memcpy(y, out, (size_t)p->n_y * sizeof *y);
    free(out);
    free(scratch);
}

/* The number whose gradient backward computes: d_y . y + d_h_n . h_n */
static double reference_loss(const problem *p) {
    double *y = doubles(p->n_y), *h_n = doubles(p->n_states);
    double loss;
    reference_forward(p, y, h_n);
    loss = dot(p->n_y, p->d_y, y) + dot(p->n_states, p->d_h_n, h_n);
    free(y);
    free(h_n);
    return loss;
}

/* The slope of the loss when `values` (n), a part of the problem, change along `direction`. It
 * is computed by central differences over two distances, with an error of the fourth order. The
 * distances are smaller if the loss may have kinks, so that hardly any is between the points. */
static double reference_slope(const problem *p, int64_t n, double *values,
                              const double *direction) {
    static const double weight[4] = {8.0 / 12, -8.0 / 12, -1.0 / 12, 1.0 / 12};
    static const double distance[4] = {1, -1, 2, -2};
    const double unit = has_kinks(&p->config) ? 1e-5 : 1e-3;
    double *saved = doubles(n);
    double slope = 0;
    int64_t i;
    int k;
    memcpy(saved, values, (size_t)n * sizeof *saved);
    for (k = 0; k < 4; k++) {
        for (i = 0; i < n; i++) {
            values[i] = saved[i] + unit * distance[k] * direction[i];
        }
        slope += weight[k] * reference_loss(p) / unit;
    }
    memcpy(values, saved, (size_t)n * sizeof *saved);
    free(saved);
    return slope;
}

#endif
