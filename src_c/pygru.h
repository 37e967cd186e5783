/* pygru.h - the contract of the C core: gated recurrent units, forward and backward.
 *
 * What it does: describes a GRU (pygru_config), cuts one batch into work (pygru_plan),
 * then runs it (pygru_forward, pygru_backward, pygru_step; _f32 and _f64).
 * What it refuses to do: allocate, print, exit, start Python, keep state between calls.
 * The caller owns every buffer: ask for the size, provide the memory, compute.
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

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define PYGRU_API
#else
#define PYGRU_API __attribute__((visibility("default")))
#endif

#define PYGRU_ABI_VERSION 4

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

/* ---- the model ------------------------------------------------------------------- */

/* n = tanh(.. + U_n (r*h)) or n = tanh(.. + r * (U_n h)) */
enum { PYGRU_RESET_BEFORE = 0, PYGRU_RESET_AFTER = 1 };

/* h' = (1-z) h + z n or h' = z h + (1-z) n */
enum { PYGRU_UPDATE_REPLACES = 0, PYGRU_UPDATE_KEEPS = 1 };

typedef struct pygru_config {
    int64_t input_size;     /* I >= 1 */
    int64_t hidden_size;    /* H >= 1 */
    int64_t num_layers;     /* L >= 1; a plan takes less than 2^30 */
    int32_t num_directions; /* D, 1 or 2 */
    int32_t has_bias;       /* 0 or 1: two bias vectors of 3H per layer and direction */
    int32_t reset;          /* PYGRU_RESET_BEFORE or PYGRU_RESET_AFTER */
    int32_t update;         /* PYGRU_UPDATE_REPLACES or PYGRU_UPDATE_KEEPS */
    int32_t drops_states;   /* 0 or 1: calls may have noise.recurrent; reserves room for it */
    double norm_eps;        /* > 0: layer normalisation of every gate's sums, with this added to
                               their variance; 0: none */
} pygru_config;

/* Where the parameters of one layer and direction stand in the flat parameter array, as
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
 * Errors: BAD_CONFIG, SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_cell_of(const pygru_config *config, int64_t layer,
                                     int32_t direction, pygru_cell *cell);

/* ---- the plan of one batch ------------------------------------------------------- */

/* What a forward call keeps for backward. */
enum {
    PYGRU_KEEP_NOTHING = 0, /* inference */
    PYGRU_KEEP_OUTPUTS = 1, /* states only; backward recomputes the gates */
    PYGRU_KEEP_GATES = 2    /* states and gates */
};

/* Who multiplies. On the SIMD engine all products of the forward pass and the recurrent one of
 * the backward pass are the core's own, with packed weights: every row has the same bits
 * whatever batch it is in. BLAS keeps the gradients of weights and inputs, and the whole of its
 * engine. */
enum { PYGRU_ENGINE_BLAS = 0, PYGRU_ENGINE_SIMD = 1 };

/* Opaque: rows sorted by length and cut into chunks by shape alone, so that results never
 * depend on the number of threads. It lives in the caller's memory, holds no pointer to
 * anything else, and may be read by many threads at once. */
typedef struct pygru_plan pygru_plan;

/* Bytes of memory for a plan. lengths (B), may be NULL (every sequence has T steps).
 * Errors: BAD_CONFIG (also for another engine), BAD_BATCH, SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_plan_size(const pygru_config *config, int32_t engine, int64_t T,
                                       int64_t B, const int64_t *lengths, int64_t *bytes);

/* Builds the plan in `memory` (8-byte aligned, of pygru_plan_size bytes). element_size is 4 for
 * the _f32 calls and 8 for the _f64 ones; keep is one of PYGRU_KEEP_*. The arrays are copied:
 * nothing is referenced. Errors: as pygru_plan_size; BAD_CONFIG for another element_size or
 * keep. */
PYGRU_API pygru_status pygru_plan_init(const pygru_config *config, int32_t engine, int64_t T,
                                       int64_t B, const int64_t *lengths, int32_t element_size,
                                       int32_t keep, void *memory);

/* Sizes that follow from a plan. */
typedef struct pygru_sizes {
    int64_t rows;              /* R */
    int64_t parameters;        /* elements of the flat parameter array */
    int64_t tape;              /* elements of the tape; 0 with KEEP_NOTHING */
    int64_t dropout;           /* elements of the masks of pygru_noise: (L-1, R, D*H), */
    int64_t recurrent;         /* (L*D, B, H), */
    int64_t zoneout;           /* (L*D, R, H) */
    int64_t forward_workspace; /* bytes for n_threads threads */
    int64_t backward_workspace;
    int64_t largest_product; /* m*n*k of the largest product of the call */
    int64_t operations;      /* multiply-adds of the forward pass; INT64_MAX if more */
    int64_t max_threads;     /* more threads than this find no work */
} pygru_sizes;

/* Errors: SIZE_OVERFLOW. n_threads >= 1. */
PYGRU_API pygru_status pygru_plan_sizes(const pygru_plan *plan, int32_t n_threads,
                                        pygru_sizes *sizes);

/* Where each row of the packed order belongs: step (R) is the position inside its own
 * sequence, sequence (R) its index in the batch. Out arrays, caller's memory. */
PYGRU_API void pygru_plan_rows(const pygru_plan *plan, int64_t *step, int64_t *sequence);

/* Element offsets into the tape of one layer and direction; packed rows in the order in
 * which that direction visits them. -1 where the tape does not hold it. */
typedef struct pygru_tape_view {
    int64_t h_prev; /* (R, H) state before the step */
    int64_t gates;  /* (R, 4H) columns n | r | z | hn (reset after) or r*h (before) */
    int64_t h_last; /* (B, H) state after the last valid step, batch order */
    int64_t norm;   /* with layer normalisation, beside the gates: the standardised sums of the
                       inputs r | z | n (R, 3H) and of the states r | z | n (R, 3H), and what
                       they were multiplied by (6, R) */
} pygru_tape_view;

PYGRU_API void pygru_tape_view_of(const pygru_plan *plan, int64_t layer, int32_t direction,
                                  pygru_tape_view *view);

/* Elements of workspace for pygru_step. Errors: BAD_CONFIG, SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_step_workspace(const pygru_config *config, int64_t B,
                                            int64_t *elements);

/* Elements of packed parameters, see pygru_pack. Errors: BAD_CONFIG, SIZE_OVERFLOW. */
PYGRU_API pygru_status pygru_packed_size(const pygru_config *config, int64_t *elements);

/* ---- what the core is given ------------------------------------------------------ */

/* The BLAS, as Fortran entry points taken from scipy.linalg.cython_blas. Read only. */
typedef struct pygru_blas {
    void (*sgemm)(void); /* cast to the real type by gemm.tpl.c */
    void (*dgemm)(void);
    void (*sgemv)(void);
    void (*dgemv)(void);
    int32_t int_bytes; /* 4 or 8: the width of its integers */
    int64_t max_int;   /* no dimension above this is passed: products are tiled by rows, and
                          4H or an input wider than this is BLAS_LIMIT */
} pygru_blas;

/* What an optimiser is told for one step; decay is the weight decay d.
 * g' = g + d p;  v = momentum v + g';  p -= rate v, or rate (g' + momentum v) with nesterov */
typedef struct pygru_sgd_settings {
    double rate;
    double momentum;
    double decay;
    int nesterov;
} pygru_sgd_settings;

/* g' = g + d p;  m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g'^2;
 * p = kept p - rate m / (root sqrt(v) + eps) */
typedef struct pygru_adam_settings {
    double beta1;
    double beta2;
    double rate; /* with the bias correction of m */
    double root; /* the bias correction of v */
    double eps;
    double decay;
    double kept; /* 1, or 1 - learning rate * decoupled decay */
} pygru_adam_settings;

/* g' = g + d p;  s = alpha s + (1-alpha) g'^2;  a = alpha a + (1-alpha) g', 0 if not centred;
 * v = momentum v + g' / (sqrt(s - a^2) + eps);  p -= rate v */
typedef struct pygru_rmsprop_settings {
    double rate;
    double alpha;
    double eps;
    double momentum;
    double decay;
} pygru_rmsprop_settings;

/* The kernels for one instruction set; static tables of the core. Those with a fused
 * multiply-add (all but "baseline") give the same bits. */
typedef struct pygru_kernels pygru_kernels;

/* How many sets of kernels this build has; index 0 runs everywhere, and each one is preferred
 * to those before it. */
PYGRU_API int32_t pygru_kernels_count(void);

/* The name of a set: "baseline" ("neon" on 64-bit ARM), "avx2", "avx512". */
PYGRU_API const char *pygru_kernels_name(int32_t index);

/* The set, or NULL if this CPU or its operating system cannot run it. */
PYGRU_API const pygru_kernels *pygru_kernels_at(int32_t index);

/* Whether this build has the SIMD engine; it needs the vector types of gcc or clang. */
PYGRU_API int32_t pygru_has_simd_engine(void);

/* Who works, and who may stop it. */
typedef struct pygru_team {
    int32_t n_threads; /* >= 1, and at most what the workspace was sized for */
    /* Called on the calling thread at most every 50 ms; non-zero stops the call, which
     * then returns CANCELLED. May be NULL. */
    int (*poll)(void *context);
    void *poll_context;
} pygru_team;

/* ---- the calls, once per precision ----------------------------------------------- */

#define PYGRU_REAL_BITS 32
#include "pygru_calls.h"
#undef PYGRU_REAL_BITS
#define PYGRU_REAL_BITS 64
#include "pygru_calls.h"
#undef PYGRU_REAL_BITS

/* A 64-bit fingerprint of `bytes` bytes: equal contents give equal fingerprints, one changed
 * weight always another one, several by all but contrivance. Guards tapes and packed weights
 * against weights that moved; not cryptographic. */
PYGRU_API uint64_t pygru_fingerprint(const void *data, int64_t bytes);

/* Name and version of the compiler that built the core; static memory. */
PYGRU_API const char *pygru_compiler(void);

/* The OpenMP standard date the core was built with (201511 is 4.5), 0 without OpenMP. */
PYGRU_API int32_t pygru_openmp_version(void);

/* How many threads OpenMP would use now; 1 without OpenMP, in a forked child, and inside
 * somebody else's parallel region. */
PYGRU_API int32_t pygru_available_threads(void);

#ifdef __cplusplus
}
#endif
#endif
