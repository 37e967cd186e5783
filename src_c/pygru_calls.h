/* pygru_calls.h - the calls of the core, for one precision. Included by pygru.h, twice. */
#ifndef PYGRU_REAL_BITS
#error "include pygru.h, not this file"
#endif

#if PYGRU_REAL_BITS == 32
#define PYGRU_REAL float
#define PYGRU_NAME(x) x##_f32
#else
#define PYGRU_REAL double
#define PYGRU_NAME(x) x##_f64
#endif

/* A (T, B, features) array of the caller: step t of sequence b starts at
 * data + t*step + b*sequence. Strides count elements and may be negative or 0 (inputs);
 * the features of one step are contiguous. */
typedef struct PYGRU_NAME(pygru_input) {
    const PYGRU_REAL *data; /* may be NULL where the call says so */
    ptrdiff_t step;
    ptrdiff_t sequence;
} PYGRU_NAME(pygru_input);

typedef struct PYGRU_NAME(pygru_output) {
    PYGRU_REAL *data;
    ptrdiff_t step;
    ptrdiff_t sequence;
} PYGRU_NAME(pygru_output);

/* Lays the parameters out for the SIMD engine of these kernels (NULL: the best that this CPU
 * has): pygru_packed_size elements, 64-byte aligned. Whoever keeps the result packs again when
 * a parameter has changed. Errors: BAD_CONFIG, SIZE_OVERFLOW. */
PYGRU_API pygru_status PYGRU_NAME(pygru_pack)(const pygru_config *config,
                                              const pygru_kernels *kernels,
                                              const PYGRU_REAL *parameters, PYGRU_REAL *packed);

/* What regularises a call: random masks of one byte per element, NULL where there is none. Rows
 * are those of pygru_plan_rows, in the order in which a direction visits them. */
typedef struct PYGRU_NAME(pygru_noise) {
    const uint8_t *dropout;   /* (L-1, R, D*H) between the layers: 1 keeps, 0 drops */
    PYGRU_REAL dropout_scale; /* what a kept element is multiplied by, 1/(1-p) */
    const uint8_t *recurrent; /* (L*D, B, H) of the old state where weights multiply it, the
                                 same at every step: 1 keeps, 0 drops. Needs drops_states */
    PYGRU_REAL recurrent_scale;
    const uint8_t *zoneout;  /* (L*D, R, H) 1: the unit keeps its old state at this step */
    PYGRU_REAL zoneout_rate; /* without such a mask: the share of its old state that every
                                unit keeps at every step; 0 for none */
} PYGRU_NAME(pygru_noise);

typedef struct PYGRU_NAME(pygru_forward_args) {
    const pygru_plan *plan;
    const PYGRU_REAL *parameters; /* flat, see pygru_cell_of; not modified */
    const PYGRU_REAL *packed;     /* the same by pygru_pack; only the SIMD engine reads it */
    PYGRU_NAME(pygru_input) x;    /* (T, B, I); only valid steps are read */
    const PYGRU_REAL *h0;         /* (L*D, B, H); NULL is zeros */
    PYGRU_NAME(pygru_output) y;   /* out (T, B, D*H); 0 past a sequence's end */
    PYGRU_REAL *h_n;              /* out (L*D, B, H); may be h0 itself */
    PYGRU_REAL *tape;             /* out, pygru_sizes.tape elements; NULL if 0 */
    PYGRU_NAME(pygru_noise) noise;
    void *workspace;              /* forward_workspace bytes, any alignment */
    const pygru_blas *blas;       /* may be NULL on the SIMD engine */
    const pygru_kernels *kernels; /* NULL: the best that this CPU has */
    const pygru_team *team;
} PYGRU_NAME(pygru_forward_args);

/* Runs all layers, directions and steps. What is written must overlap nothing else but h_n with
 * h0, and the strides of y must give every row a place of its own. Errors: BAD_ARGUMENT (a
 * pointer is NULL that may not be, also where T or B is 0, or the plan is for the other
 * precision, or its configuration has no room for noise.recurrent), BLAS_LIMIT, CANCELLED (then
 * y, h_n and tape are undefined). */
PYGRU_API pygru_status PYGRU_NAME(pygru_forward)(const PYGRU_NAME(pygru_forward_args) *args);

typedef struct PYGRU_NAME(pygru_backward_args) {
    const pygru_plan *plan;        /* the plan of the forward call */
    const PYGRU_REAL *parameters;  /* as in the forward call */
    const PYGRU_REAL *packed;      /* as in the forward call */
    const PYGRU_REAL *tape;        /* of the forward call; not modified */
    PYGRU_NAME(pygru_noise) noise; /* as in the forward call */
    PYGRU_NAME(pygru_input) d_y;   /* (T, B, D*H), data may be NULL (zeros); only valid
                                      steps are read */
    const PYGRU_REAL *d_h_n;       /* (L*D, B, H); NULL is zeros */
    PYGRU_NAME(pygru_output) d_x;  /* out (T, B, I), data may be NULL; 0 past the end */
    PYGRU_REAL *d_h0;              /* out (L*D, B, H); not NULL */
    PYGRU_REAL *grads;             /* flat like parameters; the gradient is ADDED, and
                                      only when the call succeeds */
    void *workspace;               /* backward_workspace bytes, any alignment */
    const pygru_blas *blas;        /* may be NULL on the SIMD engine */
    const pygru_kernels *kernels;  /* NULL: the best that this CPU has */
    const pygru_team *team;
} PYGRU_NAME(pygru_backward_args);

/* What is written must overlap nothing else. Errors: BAD_ARGUMENT (as above, or a plan that
 * keeps nothing), BLAS_LIMIT, CANCELLED (then d_x and d_h0 are undefined). */
PYGRU_API pygru_status PYGRU_NAME(pygru_backward)(const PYGRU_NAME(pygru_backward_args) *args);

typedef struct PYGRU_NAME(pygru_step_args) {
    const pygru_config *config;   /* num_directions must be 1 */
    const PYGRU_REAL *parameters; /* flat; not modified */
    const PYGRU_REAL *packed;     /* by pygru_pack: SIMD engine; NULL: BLAS engine */
    int64_t B;
    const PYGRU_REAL *x;          /* (B, I) */
    const PYGRU_REAL *h;          /* (L, B, H) */
    PYGRU_REAL *h_next;           /* out (L, B, H); may be h itself */
    PYGRU_REAL *workspace;        /* pygru_step_workspace elements */
    PYGRU_REAL zoneout_rate;      /* as in pygru_noise */
    const pygru_blas *blas;       /* may be NULL if packed is not */
    const pygru_kernels *kernels; /* NULL: the best that this CPU has */
} PYGRU_NAME(pygru_step_args);

/* One time step of all layers on the calling thread; the output is h_next of the top layer. x
 * must not overlap h_next; no pointer is checked. Errors: BAD_CONFIG (also for B < 0),
 * SIZE_OVERFLOW, BLAS_LIMIT. */
PYGRU_API pygru_status PYGRU_NAME(pygru_step)(const PYGRU_NAME(pygru_step_args) *args);

/* The two activations, element by element: out[i] = f(in[i]); in and out may be the same.
 * kernels may be NULL. */
PYGRU_API void PYGRU_NAME(pygru_sigmoid)(const pygru_kernels *kernels, int64_t n,
                                         const PYGRU_REAL *in, PYGRU_REAL *out);
PYGRU_API void PYGRU_NAME(pygru_tanh)(const pygru_kernels *kernels, int64_t n,
                                      const PYGRU_REAL *in, PYGRU_REAL *out);

/* Optimisers, one pass over n parameters p with gradients g; the other arrays are the state,
 * zeros before the first step. They must not overlap; kernels may be NULL. */
PYGRU_API void PYGRU_NAME(pygru_sgd)(const pygru_kernels *kernels, int64_t n, PYGRU_REAL *p,
                                     const PYGRU_REAL *g, PYGRU_REAL *v,
                                     const pygru_sgd_settings *settings);
PYGRU_API void PYGRU_NAME(pygru_adam)(const pygru_kernels *kernels, int64_t n, PYGRU_REAL *p,
                                      const PYGRU_REAL *g, PYGRU_REAL *m, PYGRU_REAL *v,
                                      const pygru_adam_settings *settings);
PYGRU_API void PYGRU_NAME(pygru_rmsprop)(const pygru_kernels *kernels, int64_t n, PYGRU_REAL *p,
                                         const PYGRU_REAL *g, PYGRU_REAL *s, PYGRU_REAL *v,
                                         PYGRU_REAL *a, /* NULL: not centred */
                                         const pygru_rmsprop_settings *settings);

typedef struct PYGRU_NAME(pygru_cross_entropy_args) {
    int64_t rows;
    int64_t classes;           /* > 0 */
    const PYGRU_REAL *logits;  /* (rows, classes) */
    const int64_t *target;     /* (rows), each in [0, classes) */
    const PYGRU_REAL *share;   /* (rows), what each counts; 0: the row is not read */
    const PYGRU_REAL *weights; /* (classes), what each counts; NULL: 1 */
    double smoothing;          /* of the target, in [0, 1] */
    PYGRU_REAL *gradient;      /* out (rows, classes) */
} PYGRU_NAME(pygru_cross_entropy_args);

/* Softmax and cross-entropy with their gradient. The loss is the sum over rows of
 *   share * sum over j of q_j * -log(softmax_j)
 *   with q_j = weights_j * ((1 - smoothing) * [j is the target] + smoothing / classes)
 * What is written must overlap nothing else; kernels may be NULL. */
PYGRU_API double PYGRU_NAME(pygru_cross_entropy)(
    const pygru_kernels *kernels, const PYGRU_NAME(pygru_cross_entropy_args) *args);

/* The sum of x[i]^2, in float64. */
PYGRU_API double PYGRU_NAME(pygru_sum_of_squares)(const pygru_kernels *kernels, int64_t n,
                                                  const PYGRU_REAL *x);

#undef PYGRU_REAL
#undef PYGRU_NAME
