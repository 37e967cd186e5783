/* pygru.h - the public interface of the C core: gated recurrent units, forward and backward.
 *
 * What it does: describes a GRU (pygru_config), divides the work of one batch (pygru_plan),
 * and runs it (pygru_forward, pygru_backward, pygru_step).
 * What it refuses to do: allocate, print, exit, start Python, keep state between calls.
 * The caller owns every buffer: it asks for the size, provides the memory, and calls.
 *
 * Every call serves every precision. An array of values is a `void *`. The type of its values
 * follows from the precision, which is an argument of the call or part of its configuration or
 * plan. Scalars are doubles.
 *
 * Every call checks every argument before it uses it, as far as C allows. It finds NULL where
 * that is not allowed, sizes that are negative or overflow, unknown codes, misaligned memory,
 * and memory that is too small if the call is given its size. Then it returns BAD_ARGUMENT,
 * unless another error is named at the call, and has written nothing. The caller must make sure
 * that arrays are as long as the call says.
 *
 * Dimension letters, used in every file:
 *   T  time steps of the longest sequence        I  input size of the first layer
 *   B  sequences in the batch                    H  hidden size
 *   L  layers                                    D  directions (1 or 2)
 *   R  rows: the valid time steps of all sequences together, R = sum of lengths
 *
 * Tensors are row-major, the last axis contiguous. Gates are stored in the order r, z, n.
 * The mathematics is in docs/math.md, the data flow in docs/architecture.md.
 */
#ifndef PYGRU_H
#define PYGRU_H

#include <stddef.h>
#include <stdint.h>

#define PYGRU_VERSION "0.1.0"

/* Another number if a type or a call here has changed in a way that would mislead a program that
 * was compiled before. */
#define PYGRU_ABI_VERSION 8

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define PYGRU_API
#else
#define PYGRU_API __attribute__((visibility("default")))
#endif

/* ---- status ---------------------------------------------------------------------- */

typedef enum pygru_status {
#define PYGRU_STATUS(code, name, exception, text) PYGRU_##name = code,
#include "status.def"
#undef PYGRU_STATUS
    PYGRU_STATUS_END_ /* one past the last: for loops over all codes */
} pygru_status;

/* The text of a status code; never NULL, static memory. Unknown codes have a text too. */
PYGRU_API const char *pygru_status_text(int status);

/* The name of the Python exception for a status code, as status.def gives it. */
PYGRU_API const char *pygru_status_exception(int status);

/* ---- precision ------------------------------------------------------------------- */

/* With INT8 the weights are 8-bit integers, and all else is float32. It is for inference on the
 * SIMD engine: a plan of another engine, or one that keeps anything, is BAD_CONFIG. Every input
 * and state is rounded to an integer in [-127, 127] times a scale of its row. Products have at
 * most 2^17 terms: I and D*H (H with one layer) must not be larger, else BAD_CONFIG. Affine maps
 * have no such weights: BAD_ARGUMENT. */
typedef enum pygru_precision {
#define PYGRU_PRECISION(code, name, ...) PYGRU_##name = code,
#include "precisions.def"
#undef PYGRU_PRECISION
    PYGRU_PRECISIONS_END_ /* one past the last */
} pygru_precision;

/* The memory layout of a precision; static memory of the core. */
typedef struct pygru_traits {
    const char *name;     /* "float32" */
    const char *format;   /* of a value in Python's buffer protocol: "f" */
    int32_t value_bytes;  /* of a value: inputs, states, biases, gradients, .. */
    int32_t weight_bytes; /* of a packed weight, see pygru_pack */
} pygru_traits;

/* NULL for an unknown precision. */
PYGRU_API const pygru_traits *pygru_traits_of(int32_t precision);

/* ---- the model ------------------------------------------------------------------- */

/* n = tanh(.. + U_n (r*h)) or n = tanh(.. + r * (U_n h)) */
enum { PYGRU_RESET_BEFORE = 0, PYGRU_RESET_AFTER = 1 };

/* h' = (1-z) h + z n or h' = z h + (1-z) n */
enum { PYGRU_UPDATE_REPLACES = 0, PYGRU_UPDATE_KEEPS = 1 };

/* The activations, rows of activations.def: PYGRU_ACTIVATION_tanh and so on. */
enum {
    PYGRU_ACTIVATION_USUAL = 0, /* tanh for the candidate, sigmoid for the gates r and z */
#define PYGRU_ACTIVATION(name) PYGRU_ACTIVATION_##name,
#include "activations.def"
#undef PYGRU_ACTIVATION
    PYGRU_ACTIVATIONS_END_ /* one past the last */
};

/* The name of an activation, "tanh" for example; NULL for an unknown code and for USUAL. */
PYGRU_API const char *pygru_activation_name(int32_t function);

/* f(x) = tanh(x), 1 / (1 + e^-x), max(x, 0), x, x / (1 + |x|), and for hard_sigmoid
 * min(max(alpha x + beta, 0), 1). */
typedef struct pygru_activation {
    int32_t function; /* PYGRU_ACTIVATION_*; a zeroed struct is the usual one */
    double alpha;     /* of hard_sigmoid, in [1e-30, 1e30]; others do not read it */
    double beta;      /* the same, in [-1e30, 1e30] */
} pygru_activation;

typedef struct pygru_config {
    int64_t input_size;     /* I >= 1 */
    int64_t hidden_size;    /* H >= 1 */
    int64_t num_layers;     /* L >= 1; a plan takes less than 2^30 */
    int32_t num_directions; /* D, 1 or 2 */
    int32_t has_bias;       /* 0 or 1: two bias vectors of 3H per layer and direction */
    int32_t reset;          /* PYGRU_RESET_BEFORE or PYGRU_RESET_AFTER */
    int32_t update;         /* PYGRU_UPDATE_REPLACES or PYGRU_UPDATE_KEEPS */
    int32_t drops_states;   /* 0 or 1: calls may have noise.recurrent; reserves room for it */
    int32_t precision;      /* a pygru_precision; 0 is float32 */
    double norm_eps;        /* > 0: layer normalisation of every gate's sums, with this added to
                               their variance; 0: none */
    double clip;            /* in [1e-30, 1e30]: the sums before the activations are limited to
                               [-clip, clip]; 0: they are not */
    pygru_activation activation;           /* of the candidate n */
    pygru_activation recurrent_activation; /* of the gates r and z */
    int32_t reverse; /* 0 or 1: all layers read each sequence from its last step to its first.
                        Their output stands at the step that was read, and h_n is the state after
                        the first step. D must be 1 then, and there are no single steps */
} pygru_config;

/* The places of the parameters of one layer and direction in the flat parameter array, as
 * element offsets. Shapes: weight_ih (3H, input_size), weight_hh (3H, H), bias_* (3H),
 * gain_* (3H). */
typedef struct pygru_cell {
    int64_t input_size; /* I for layer 0, D*H above */
    int64_t weight_ih;
    int64_t weight_hh;
    int64_t bias_ih; /* -1 without bias */
    int64_t bias_hh; /* -1 without bias */
    int64_t gain_ih; /* -1 without layer normalisation */
    int64_t gain_hh; /* -1 without layer normalisation */
    int64_t end;     /* one past the last parameter of this cell */
} pygru_cell;

/* Fills *cell for 0 <= layer < L, 0 <= direction < D. The cells follow one another, layer
 * by layer, direction by direction; the last cell's `end` is the parameter count.
 * Errors: BAD_CONFIG (also for another layer or direction), SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_cell_of(const pygru_config *config, int64_t layer,
                                     int32_t direction, pygru_cell *cell);

/* ---- the plan of one batch ------------------------------------------------------- */

/* What a forward call keeps for backward. */
enum {
    PYGRU_KEEP_NOTHING = 0, /* inference */
    PYGRU_KEEP_OUTPUTS = 1, /* states only; backward recomputes the gates */
    PYGRU_KEEP_GATES = 2    /* states and gates */
};

/* How products are computed. The SIMD engine computes all of them itself, with packed weights,
 * and every row has the same bits in every batch. The BLAS engine calls BLAS for them. */
enum { PYGRU_ENGINE_BLAS = 0, PYGRU_ENGINE_SIMD = 1 };

/* Opaque. A plan sorts the sequences by length and cuts them into chunks. This depends on
 * shapes only, so results never depend on the number of threads. A plan is in the caller's
 * memory, contains no pointer to anything else, and may be read by many threads at once. */
typedef struct pygru_plan pygru_plan;

/* Bytes of memory for a plan. lengths (B), may be NULL (every sequence has T steps).
 * Errors: BAD_CONFIG (also for another engine), BAD_BATCH, SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_plan_size(const pygru_config *config, int32_t engine, int64_t T,
                                       int64_t B, const int64_t *lengths, int64_t *bytes);

/* Builds the plan in `memory` (8-byte aligned), which has `bytes` bytes, at least as many as
 * pygru_plan_size says. keep is one of PYGRU_KEEP_*. The plan contains copies of the arrays.
 * Errors: as pygru_plan_size; BAD_CONFIG for another keep. */
PYGRU_API pygru_status pygru_plan_init(const pygru_config *config, int32_t engine, int64_t T,
                                       int64_t B, const int64_t *lengths, int32_t keep,
                                       void *memory, int64_t bytes);

/* Sizes that follow from a plan. */
typedef struct pygru_sizes {
    int64_t rows;              /* R */
    int64_t parameters;        /* values of the flat parameter array */
    int64_t tape;              /* values of the tape; 0 with KEEP_NOTHING */
    int64_t dropout;           /* elements of the masks of pygru_noise: (L-1, R, D*H), */
    int64_t recurrent;         /* (L*D, B, H), */
    int64_t zoneout;           /* (L*D, R, H) */
    int64_t forward_workspace; /* bytes for n_threads threads */
    int64_t backward_workspace;
    int64_t largest_product; /* m*n*k of the largest product of the call */
    int64_t operations;      /* multiply-adds of the forward pass; INT64_MAX if more */
    int64_t max_threads;     /* the most threads that have work */
} pygru_sizes;

/* Errors: SIZE_OVERFLOW. n_threads >= 1. */
PYGRU_API pygru_status pygru_plan_sizes(const pygru_plan *plan, int32_t n_threads,
                                        pygru_sizes *sizes);

/* The step and the sequence of each row in the packed order: step (R) is the position inside
 * the sequence, and sequence (R) its index in the batch. Out arrays, memory of the caller. */
PYGRU_API pygru_status pygru_plan_rows(const pygru_plan *plan, int64_t *step,
                                       int64_t *sequence);

/* The places of the arrays of one layer and direction on the tape, as offsets in values. Their
 * rows are packed, in the order in which that direction visits them. -1 for an array that the
 * tape does not contain. */
typedef struct pygru_tape_view {
    int64_t h_prev; /* (R, H) state before the step */
    int64_t gates;  /* (R, 4H) columns n | r | z | hn (reset after) or r*h (before) */
    int64_t h_last; /* (B, H) state after the last valid step, batch order */
    int64_t norm;   /* with layer normalisation, beside the gates: the standardised sums of the
                       inputs r | z | n (R, 3H) and of the states r | z | n (R, 3H), and what
                       they were multiplied by (6, R) */
} pygru_tape_view;

/* 0 <= layer < L, 0 <= direction < D. */
PYGRU_API pygru_status pygru_tape_view_of(const pygru_plan *plan, int64_t layer,
                                          int32_t direction, pygru_tape_view *view);

/* Bytes of workspace for pygru_step. Errors: BAD_CONFIG (also for two directions, reverse or B < 0),
 * SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_step_workspace(const pygru_config *config, int64_t B,
                                            int64_t *bytes);

/* Bytes of packed parameters, see pygru_pack. Errors: BAD_CONFIG, SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_packed_size(const pygru_config *config, int64_t *bytes);

/* ---- what the core is given ------------------------------------------------------ */

/* The BLAS, as Fortran entry points taken from scipy.linalg.cython_blas. Read only. */
typedef struct pygru_blas {
    void (*sgemm)(void); /* cast to the real type by gemm.tpl.c */
    void (*dgemm)(void);
    void (*sgemv)(void);
    void (*dgemv)(void);
    int32_t int_bytes; /* 4 or 8: the width of its integers */
    int64_t max_int;   /* no dimension above this is passed to BLAS: products are cut by
                          rows, and 4H or an input wider than this is BLAS_LIMIT */
} pygru_blas;

/* The kernels for one instruction set; static tables of the core. Those with a fused
 * multiply-add (all but "baseline") give the same bits. */
typedef struct pygru_kernels pygru_kernels;

/* How many sets of kernels this build has. Set 0 runs on every CPU, and each set is better than
 * those before it. */
PYGRU_API int32_t pygru_kernels_count(void);

/* The name of a set: "baseline" ("neon" on 64-bit ARM), "avx2", "avx512". */
PYGRU_API const char *pygru_kernels_name(int32_t index);

/* Why a set cannot run here, as a text for people: this CPU lacks something, the operating system
 * does not save its registers, or this build does not have it; NULL if it can. Static memory. */
PYGRU_API const char *pygru_kernels_obstacle(int32_t index);

/* The set, or NULL if it cannot run here. */
PYGRU_API const pygru_kernels *pygru_kernels_at(int32_t index);

/* Whether this build has the SIMD engine; it needs the vector types of gcc or clang. */
PYGRU_API int32_t pygru_has_simd_engine(void);

/* Whose threads work for a call. A build without the ones that are asked for uses the others. */
enum {
    PYGRU_POOL = 0,  /* pygru's own, which sleep while there is no work */
    PYGRU_OPENMP = 1 /* those of the OpenMP library, which may spin while they wait */
};

/* The threads of a call, and a function that may stop it. */
typedef struct pygru_team {
    int32_t n_threads; /* >= 1, and at most what the workspace was sized for */
    /* Called on the calling thread at most every 50 ms. If it returns non-zero, the call stops
     * and returns CANCELLED. May be NULL. */
    int (*poll)(void *context);
    void *poll_context;
    int32_t threading; /* PYGRU_POOL or PYGRU_OPENMP */
    int32_t adaptive;  /* 1: a kind of call that was slower on several threads lately, on a busy
                          machine for example, runs on the calling thread for a while; 0: every
                          call uses the threads */
} pygru_team;

/* A (T, B, features) array of the caller: step t of sequence b starts t*step + b*sequence
 * values after `data`. Strides may be negative or, for inputs, 0; the features of one step are
 * contiguous. */
typedef struct pygru_input {
    const void *data; /* may be NULL where the call says so */
    ptrdiff_t step;
    ptrdiff_t sequence;
} pygru_input;

typedef struct pygru_output {
    void *data;
    ptrdiff_t step;
    ptrdiff_t sequence;
} pygru_output;

/* ---- packed parameters ----------------------------------------------------------- */

/* Packs the parameters for the SIMD engine with these kernels (NULL: the best for this CPU):
 * pygru_packed_size bytes, 64-byte aligned. The caller must pack again when a parameter has
 * changed. With INT8 each row of the weights is rounded to integers in [-127, 127]:
 * w = scale * rint(w / scale) with scale = max |w| / 127. Errors: BAD_CONFIG (also for kernels
 * without that engine), SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_pack(const pygru_config *config, const pygru_kernels *kernels,
                                  const void *parameters, void *packed);

/* Packs weights that are integers already, of a configuration whose precision is INT8; else as
 * pygru_pack. The cells follow one another in the order of pygru_cell_of. Of each cell,
 * integers has weight_ih (3H, input_size) and weight_hh (3H, H), in [-127, 127]; scales (6H) has
 * what the rows of the one and of the other are multiplied by; and vectors has bias_ih, bias_hh,
 * gain_ih and gain_hh (3H each), as far as the configuration has them. vectors may be NULL if it
 * has none. Errors: BAD_CONFIG (also for another precision), SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_pack_integers(const pygru_config *config,
                                           const pygru_kernels *kernels, const int8_t *integers,
                                           const float *scales, const float *vectors,
                                           void *packed);

/* ---- forward, backward and single steps ------------------------------------------ */

/* The noise of a call: random masks of one byte per element, or NULL for no mask. Their rows
 * are those of pygru_plan_rows, in the order in which a direction visits them. */
typedef struct pygru_noise {
    const uint8_t *dropout;   /* (L-1, R, D*H) between the layers: 1 keeps, 0 drops */
    double dropout_scale;     /* the factor of a kept element, 1/(1-p) */
    const uint8_t *recurrent; /* (L*D, B, H) for the old state where weights multiply it, the
                                 same at every step: 1 keeps, 0 drops. Needs drops_states */
    double recurrent_scale;
    const uint8_t *zoneout; /* (L*D, R, H) 1: the unit keeps its old state at this step */
    double zoneout_rate;    /* in [0, 1], used without zoneout mask: the share of its old state
                               that every unit keeps at every step; 0 for none */
} pygru_noise;

typedef struct pygru_forward_args {
    const pygru_plan *plan;
    const void *parameters; /* flat, see pygru_cell_of; not modified; with INT8 also NULL */
    const void *packed;     /* made by pygru_pack; only the SIMD engine reads it */
    pygru_input x;          /* (T, B, I); only valid steps are read */
    const void *h0;         /* (L*D, B, H); NULL is zeros */
    pygru_output y;         /* out (T, B, D*H); 0 after the end of a sequence; data may be NULL
                               (not wanted) */
    void *h_n;              /* out (L*D, B, H); may be h0 itself */
    void *tape;             /* out, pygru_sizes.tape values; NULL if 0 */
    pygru_noise noise;
    void *workspace;              /* any alignment */
    int64_t workspace_bytes;      /* at least pygru_sizes.forward_workspace of this team */
    const pygru_blas *blas;       /* may be NULL on the SIMD engine */
    const pygru_kernels *kernels; /* NULL: the best for this CPU */
    const pygru_team *team;
} pygru_forward_args;

/* Runs all layers, directions and steps. Arrays that are written must overlap no other array,
 * except that h_n may be h0, and the strides of y must give every row its own place. Errors:
 * BAD_ARGUMENT (a pointer is NULL that may not be NULL, also if T or B is 0, or the
 * configuration of the plan has no room for noise.recurrent), BLAS_LIMIT, CANCELLED (then y,
 * h_n and tape are undefined). */
PYGRU_API pygru_status pygru_forward(const pygru_forward_args *args);

typedef struct pygru_backward_args {
    const pygru_plan *plan;  /* the plan of the forward call */
    const void *parameters;  /* as in the forward call */
    const void *packed;      /* as in the forward call */
    const void *tape;        /* of the forward call; not modified */
    pygru_noise noise;       /* as in the forward call */
    pygru_input d_y;         /* (T, B, D*H), data may be NULL (zeros); only valid steps are
                               read */
    const void *d_h_n;       /* (L*D, B, H); NULL is zeros */
    pygru_output d_x;        /* out (T, B, I), data may be NULL; 0 after the end */
    void *d_h0;              /* out (L*D, B, H); not NULL */
    void *grads;             /* flat like parameters; the gradient is ADDED, and only when the
                               call succeeds */
    void *workspace;         /* any alignment */
    int64_t workspace_bytes; /* at least pygru_sizes.backward_workspace of this team */
    const pygru_blas *blas;  /* may be NULL on the SIMD engine */
    const pygru_kernels *kernels; /* NULL: the best for this CPU */
    const pygru_team *team;
} pygru_backward_args;

/* Arrays that are written must overlap no other array. Errors: BAD_ARGUMENT (as above, or a
 * plan that keeps nothing), BLAS_LIMIT, CANCELLED (then d_x and d_h0 are undefined). */
PYGRU_API pygru_status pygru_backward(const pygru_backward_args *args);

typedef struct pygru_step_args {
    const pygru_config *config; /* num_directions must be 1, reverse 0 */
    const void *parameters;     /* flat; not modified. NULL if packed is not */
    const void *packed;         /* by pygru_pack: SIMD engine; NULL: BLAS engine */
    int64_t B;
    const void *x;                /* (B, I) */
    const void *h;                /* (L, B, H) */
    void *h_next;                 /* out (L, B, H); may be h itself */
    void *workspace;              /* aligned like its values */
    int64_t workspace_bytes;      /* at least what pygru_step_workspace says */
    double zoneout_rate;          /* as in pygru_noise */
    const pygru_blas *blas;       /* may be NULL if packed is not */
    const pygru_kernels *kernels; /* NULL: the best for this CPU */
} pygru_step_args;

/* One time step of all layers on the calling thread; the output is h_next of the top layer. x
 * must not overlap h_next. Errors: BAD_CONFIG (also for B < 0, and for INT8 without packed
 * parameters), SIZE_OVERFLOW, BLAS_LIMIT. */
PYGRU_API pygru_status pygru_step(const pygru_step_args *args);

/* ---- activations, optimisers and losses ------------------------------------------ */

/* In these calls kernels may be NULL, which means the best for this CPU. */

/* The two activations, element by element: out[i] = f(in[i]); in and out may be the same. */
PYGRU_API pygru_status pygru_sigmoid(int32_t precision, const pygru_kernels *kernels, int64_t n,
                                     const void *in, void *out);
PYGRU_API pygru_status pygru_tanh(int32_t precision, const pygru_kernels *kernels, int64_t n,
                                  const void *in, void *out);

/* The optimisers, rows of optimizers.def: PYGRU_OPTIMIZER_sgd and so on, and the settings of
 * each, doubles in the order of its row. kernels/optimizers.tpl.c has the formulas. */
enum {
#define PYGRU_OPTIMIZER(name, ...) PYGRU_OPTIMIZER_##name,
#include "optimizers.def"
#undef PYGRU_OPTIMIZER
    PYGRU_OPTIMIZERS_END_ /* one past the last */
};

#define PYGRU_OPTIMIZER(name, least, most, ...)                                                \
    typedef struct pygru_##name##_settings {                                                   \
        double __VA_ARGS__;                                                                    \
    } pygru_##name##_settings;
#include "optimizers.def"
#undef PYGRU_OPTIMIZER

enum { PYGRU_MOST_STATES = 3 }; /* of any optimiser */

/* The state and the settings of an optimiser; static memory of the core. */
typedef struct pygru_optimizer {
    const char *name;
    int32_t least_states; /* arrays of state; those beyond this many may be NULL */
    int32_t most_states;
    int32_t n_settings;
    const char *settings; /* their names, separated by commas and blanks */
} pygru_optimizer;

/* NULL for an unknown optimiser. */
PYGRU_API const pygru_optimizer *pygru_optimizer_of(int32_t optimizer);

typedef struct pygru_update_args {
    int32_t optimizer; /* PYGRU_OPTIMIZER_* */
    int32_t precision;
    const pygru_kernels *kernels;
    int64_t n;
    void *parameters;                /* (n), changed in place */
    const void *gradients;           /* (n) */
    void *states[PYGRU_MOST_STATES]; /* (n) each, zeros before the first step */
    const double *settings;          /* the optimiser's own struct of settings */
    double decay;                    /* weight decay of these parameters */
    int64_t step;                    /* 1 for the first step, 2 for the next, .. */
} pygru_update_args;

/* One step of an optimiser over n parameters. Arrays must not overlap. */
PYGRU_API pygru_status pygru_update(const pygru_update_args *args);

typedef struct pygru_cross_entropy_args {
    int32_t precision;
    const pygru_kernels *kernels;
    int64_t rows;
    int64_t classes;       /* > 0 */
    const void *logits;    /* (rows, classes) */
    const int64_t *target; /* (rows), each in [0, classes) */
    const void *share;     /* (rows), the weight of each; 0: the row is not read */
    const void *weights;   /* (classes), the weight of each; NULL: 1 */
    double smoothing;      /* of the target, in [0, 1] */
    void *gradient;        /* out (rows, classes) */
    double *loss;          /* out, one number */
} pygru_cross_entropy_args;

/* Softmax and cross-entropy with their gradient. The loss is the sum over rows of
 *   share * sum over j of q_j * -log(softmax_j)
 *   with q_j = weights_j * ((1 - smoothing) * [j is the target] + smoothing / classes)
 * Arrays that are written must overlap no other array. Errors: SIZE_OVERFLOW, BAD_ARGUMENT
 * (also for a target out of range; then the gradient is undefined). */
PYGRU_API pygru_status pygru_cross_entropy(const pygru_cross_entropy_args *args);

/* *sum = the sum of x[i]^2, in float64. */
PYGRU_API pygru_status pygru_sum_of_squares(int32_t precision, const pygru_kernels *kernels,
                                            int64_t n, const void *x, double *sum);

/* ---- affine maps ----------------------------------------------------------------- */

/* y = x W^T + b. Each row of y, and of the gradient of x, has the same bits for any other rows
 * and for any number of threads. All arrays are dense. */
typedef struct pygru_affine_args {
    int32_t precision;
    const pygru_kernels *kernels; /* NULL: the best for this CPU */
    int64_t rows;
    int64_t inputs;     /* > 0 */
    int64_t outputs;    /* > 0 */
    const void *x;      /* (rows, inputs) */
    const void *weight; /* (outputs, inputs); forward: NULL if packed is not */
    const void *bias;   /* forward: (outputs); NULL: none. Not read if packed is not NULL */
    const void *packed; /* forward: made by pygru_affine_pack; NULL: this call packs */
    void *y;            /* forward: out (rows, outputs) */
    const void *d_y;    /* backward: (rows, outputs) */
    void *d_x;          /* backward: out (rows, inputs); NULL: not wanted */
    void *d_weight;     /* backward: (outputs, inputs), the gradient is ADDED, and only when the
                           call succeeds */
    void *d_bias;       /* backward: (outputs), the same; NULL: none */
    void *workspace;    /* any alignment */
    int64_t workspace_bytes; /* at least what pygru_affine_sizes_of says */
    const pygru_team *team;
} pygru_affine_args;

/* Sizes in bytes. */
typedef struct pygru_affine_sizes {
    int64_t packed;             /* of packed weights, see pygru_affine_pack */
    int64_t forward_workspace;  /* of a forward call that packs the weights itself */
    int64_t packed_workspace;   /* of a forward call that is given packed weights */
    int64_t backward_workspace; /* of a backward call */
} pygru_affine_sizes;

/* The sizes of an affine map for a team of n_threads. Errors: SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_affine_sizes_of(int32_t precision, int64_t inputs, int64_t outputs,
                                             int32_t n_threads, pygru_affine_sizes *sizes);

/* Packs weight (outputs, inputs) and bias (outputs), which may be NULL, for forward calls with
 * these kernels (NULL: the best for this CPU): pygru_affine_sizes.packed bytes, 64-byte aligned.
 * The caller must pack again when one of the two has changed. Errors: BAD_CONFIG (kernels
 * without the SIMD engine), SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_affine_pack(int32_t precision, const pygru_kernels *kernels,
                                         int64_t inputs, int64_t outputs, const void *weight,
                                         const void *bias, void *packed);

/* Arrays that are written must overlap no other array. Errors: SIZE_OVERFLOW, CANCELLED (then
 * d_weight and d_bias are unchanged, and the other arrays that are written are undefined). */
PYGRU_API pygru_status pygru_affine(const pygru_affine_args *args);
PYGRU_API pygru_status pygru_affine_backward(const pygru_affine_args *args);

/* ---- about memory and this build -------------------------------------------------- */

/* A 64-bit fingerprint of `bytes` bytes, which guards tapes and packed weights against weights
 * that were changed. Equal contents have equal fingerprints. Contents that differ in one weight
 * always have different ones. Contents that differ in several weights have different ones too,
 * unless somebody constructed them to be equal. It is not cryptographic. */
PYGRU_API pygru_status pygru_fingerprint(const void *data, int64_t bytes,
                                         uint64_t *fingerprint);

/* PYGRU_VERSION of the core that runs; static memory. */
PYGRU_API const char *pygru_version(void);

/* Name and version of the compiler that built the core; static memory. */
PYGRU_API const char *pygru_compiler(void);

/* The OpenMP standard date the core was built with (201511 is 4.5), 0 without OpenMP. */
PYGRU_API int32_t pygru_openmp_version(void);

/* Whether this build has the pool of threads. */
PYGRU_API int32_t pygru_has_pool(void);

/* How many threads OpenMP would use now, or without OpenMP the number of processors; 1 in a
 * forked child, inside somebody else's parallel region, and in a build without threads. */
PYGRU_API int32_t pygru_available_threads(void);

#ifdef __cplusplus
}
#endif
#endif
