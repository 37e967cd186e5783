/* calls.c - the public calls: they look up the precision in one table and call its function.
 *
 * Here only those arguments are checked from which the precision follows. The functions of a
 * precision check the others, in arguments.tpl.c and training.tpl.c. */
#include "calls.h"

#include "plan.h"

#include <stddef.h>

/* ---- the table ------------------------------------------------------------------------- */

extern const pygru_functions pygru_functions_f32;
extern const pygru_functions pygru_functions_f64;

static const pygru_calls CALLS[] = {
#define PYGRU_PRECISION(code, name, text, format, value, weight, core, kernels)                \
    [code] = {{text, format, sizeof(value), sizeof(weight)}, &pygru_functions_##core},
#include "precisions.def"
#undef PYGRU_PRECISION
};

const pygru_calls *pygru_calls_of(int32_t precision) {
    return precision >= 0 && precision < PYGRU_PRECISIONS_END_ ? &CALLS[precision] : NULL;
}

const pygru_traits *pygru_traits_of(int32_t precision) {
    const pygru_calls *calls = pygru_calls_of(precision);
    return calls == NULL ? NULL : &calls->traits;
}

static const char *const ACTIVATIONS[] = {
#define PYGRU_ACTIVATION(name) [PYGRU_ACTIVATION_##name] = #name,
#include "activations.def"
#undef PYGRU_ACTIVATION
};

const char *pygru_activation_name(int32_t function) {
    return function >= 0 && function < PYGRU_ACTIVATIONS_END_ ? ACTIVATIONS[function] : NULL;
}

#define PYGRU_OPTIMIZER(name, least, most, ...)                                                \
    _Static_assert((least) <= (most) && (most) <= PYGRU_MOST_STATES, #name);
#include "optimizers.def"
#undef PYGRU_OPTIMIZER

static const pygru_optimizer OPTIMIZERS[] = {
#define PYGRU_OPTIMIZER(name, least, most, ...)                                                \
    {#name, least, most, sizeof(pygru_##name##_settings) / sizeof(double), #__VA_ARGS__},
#include "optimizers.def"
#undef PYGRU_OPTIMIZER
};

const pygru_optimizer *pygru_optimizer_of(int32_t optimizer) {
    return optimizer >= 0 && optimizer < PYGRU_OPTIMIZERS_END_ ? &OPTIMIZERS[optimizer] : NULL;
}

/* ---- the calls ------------------------------------------------------------------------- */

/* The functions of a precision, or NULL. */
static const pygru_functions *functions_of(int32_t precision) {
    const pygru_calls *calls = pygru_calls_of(precision);
    return calls == NULL ? NULL : calls->functions;
}

pygru_status pygru_pack(const pygru_config *config, const pygru_kernels *kernels,
                        const void *parameters, void *packed) {
    int64_t bytes;
    const pygru_status status = pygru_packed_size(config, &bytes);
    if (status != PYGRU_OK) {
        return status;
    }
    return functions_of(config->precision)->pack(config, kernels, parameters, packed);
}

pygru_status pygru_pack_integers(const pygru_config *config, const pygru_kernels *kernels,
                                 const int8_t *integers, const float *scales,
                                 const float *vectors, void *packed) {
    int64_t bytes;
    const pygru_status status = pygru_packed_size(config, &bytes);
    if (status != PYGRU_OK) {
        return status;
    }
    return pygru_is_quantized(config)
               ? functions_of(config->precision)
                     ->pack_integers(config, kernels, integers, scales, vectors, packed)
               : PYGRU_BAD_CONFIG;
}

pygru_status pygru_forward(const pygru_forward_args *args) {
    if (!pygru_points(args) || !pygru_is_plan(args->plan)) {
        return PYGRU_BAD_ARGUMENT;
    }
    return functions_of(args->plan->config.precision)->forward(args);
}

pygru_status pygru_backward(const pygru_backward_args *args) {
    if (!pygru_points(args) || !pygru_is_plan(args->plan)) {
        return PYGRU_BAD_ARGUMENT;
    }
    return functions_of(args->plan->config.precision)->backward(args);
}

pygru_status pygru_step(const pygru_step_args *args) {
    const pygru_functions *functions;
    if (!pygru_points(args) || !pygru_points(args->config)) {
        return PYGRU_BAD_ARGUMENT;
    }
    functions = functions_of(args->config->precision);
    return functions == NULL ? PYGRU_BAD_CONFIG : functions->step(args);
}

pygru_status pygru_sigmoid(int32_t precision, const pygru_kernels *kernels, int64_t n,
                           const void *in, void *out) {
    const pygru_functions *functions = functions_of(precision);
    return functions == NULL ? PYGRU_BAD_ARGUMENT
                             : functions->sigmoid(precision, kernels, n, in, out);
}

pygru_status pygru_tanh(int32_t precision, const pygru_kernels *kernels, int64_t n,
                        const void *in, void *out) {
    const pygru_functions *functions = functions_of(precision);
    return functions == NULL ? PYGRU_BAD_ARGUMENT
                             : functions->tanh(precision, kernels, n, in, out);
}

pygru_status pygru_update(const pygru_update_args *args) {
    const pygru_functions *functions =
        pygru_points(args) ? functions_of(args->precision) : NULL;
    return functions == NULL ? PYGRU_BAD_ARGUMENT : functions->update(args);
}

pygru_status pygru_cross_entropy(const pygru_cross_entropy_args *args) {
    const pygru_functions *functions =
        pygru_points(args) ? functions_of(args->precision) : NULL;
    return functions == NULL ? PYGRU_BAD_ARGUMENT : functions->cross_entropy(args);
}

pygru_status pygru_sum_of_squares(int32_t precision, const pygru_kernels *kernels, int64_t n,
                                  const void *x, double *sum) {
    const pygru_functions *functions = functions_of(precision);
    return functions == NULL ? PYGRU_BAD_ARGUMENT
                             : functions->sum_of_squares(precision, kernels, n, x, sum);
}

/* The functions of a precision that affine maps have, or NULL. */
static const pygru_functions *affine_functions_of(int32_t precision) {
    return precision == PYGRU_INT8 ? NULL : functions_of(precision);
}

pygru_status pygru_affine_pack(int32_t precision, const pygru_kernels *kernels, int64_t inputs,
                               int64_t outputs, const void *weight, const void *bias,
                               void *packed) {
    pygru_affine_sizes sizes;
    const pygru_status status = pygru_affine_sizes_of(precision, inputs, outputs, 1, &sizes);
    if (status != PYGRU_OK) {
        return status;
    }
    return functions_of(precision)->affine_pack(precision, kernels, inputs, outputs, weight,
                                                bias, packed);
}

pygru_status pygru_affine(const pygru_affine_args *args) {
    const pygru_functions *functions =
        pygru_points(args) ? affine_functions_of(args->precision) : NULL;
    return functions == NULL ? PYGRU_BAD_ARGUMENT : functions->affine(args);
}

pygru_status pygru_affine_backward(const pygru_affine_args *args) {
    const pygru_functions *functions =
        pygru_points(args) ? affine_functions_of(args->precision) : NULL;
    return functions == NULL ? PYGRU_BAD_ARGUMENT : functions->affine_backward(args);
}
