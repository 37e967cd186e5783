/* table.tpl.h - the arguments of the kernels of one precision, and the table of kernels that
 * each instruction set fills. Included by kernels.h, once per precision. */

/* The beginning of up to three column blocks of a product, and the distance of their rows. */
typedef struct NAME(pygru_place) {
    REAL *at[3];
    ptrdiff_t row[3];
} NAME(pygru_place);

/* out (m, panels*NV*lanes) = from + A (m, K) W with packed W. With 8-bit weights A has the rows
 * that `round_rows` has made. */
typedef struct NAME(pygru_product) {
    int64_t m;
    int64_t panels;
    int NV; /* column blocks of a panel: 1, 2 or 3 */
    int64_t K;
    const REAL *a;
    ptrdiff_t lda;
    const void *w;    /* the first panel, of packed weights */
    ptrdiff_t panel;  /* from one panel to the next, in packed weights, */
    ptrdiff_t w_step; /* from one k to the next; a matrix with these two need not be packed */
    NAME(pygru_place) from;
    NAME(pygru_place) out; /* whole vectors are written */
} NAME(pygru_product);

/* The packed rows of B (rows, n), and where A^T B (m, n) goes. */
typedef struct NAME(pygru_right_side) {
    const REAL *packed;
    int64_t n;
    REAL *out;
    int64_t ld_out;
} NAME(pygru_right_side);

/* out = A^T B, or with `adds` out += A^T B, for a block of at most PYGRU_SUM_ROWS rows of A
 * (rows, m), and one or two right sides. Also the sums of the columns of A, if column_sums is
 * not NULL. */
typedef struct NAME(pygru_row_sums) {
    int64_t rows;
    int64_t m;
    const REAL *a;
    int64_t lda;
    NAME(pygru_right_side) right[2];
    int n_right;
    int adds;
    REAL *column_sums; /* (m) */
    int adds_columns;
    REAL *scratch; /* PYGRU_SUM_TILES, aligned */
} NAME(pygru_row_sums);

/* One of activations.def, never the usual one. alpha and beta are those of hard_sigmoid. If clip
 * is above 0, the sums are limited to [-clip, clip] first, and the activations are then between
 * `least` and `most`. */
typedef struct NAME(pygru_activation) {
    int32_t function;
    REAL alpha;
    REAL beta;
    REAL clip;
    REAL least;
    REAL most;
} NAME(pygru_activation);

/* Which equations a cell computes. */
typedef struct NAME(pygru_equations) {
    int keeps;                                   /* z multiplies the old state */
    NAME(pygru_activation) activation;           /* of n; only the other gates read these two */
    NAME(pygru_activation) recurrent_activation; /* of r and z */
} NAME(pygru_equations);

/* Units [0, units) of `rows` rows after a product. sums: r | z | hn (reset after), r | z
 * (before), or n (before, second half), `gate` apart. gates: the n column; the others are
 * H apart and rows 4H. */
typedef struct NAME(pygru_units) {
    int64_t rows;
    int64_t units;
    int64_t H;
    REAL *sums;
    ptrdiff_t sums_row;
    int64_t sums_units;
    ptrdiff_t gate;
    REAL *gates;
    const REAL *h; /* rows of H */
    REAL *out;     /* rows of H: the new state, or r*h (before, first half); may be h */
    const NAME(pygru_equations) *equations;
    int stores; /* whether the gates are kept; the first half (before) always leaves z */
} NAME(pygru_units);

/* The sums of one gate in `rows` rows, to be normalised: out = gain * standardised + add, where
 * add_row is 0 for a vector that all rows share. out may be sums or add. The standardised sums
 * and their scale, 1 / sqrt(variance + eps), (rows), may be NULL. */
typedef struct NAME(pygru_normalisation) {
    int64_t rows;
    int64_t H;
    REAL eps;
    const REAL *sums;
    ptrdiff_t sums_row;
    const REAL *gain;
    const REAL *add;
    ptrdiff_t add_row;
    REAL *out;
    ptrdiff_t out_row;
    REAL *standardised;
    ptrdiff_t standardised_row;
    REAL *scale;
} NAME(pygru_normalisation);

/* d is the gradient of out. d_sums may be d. The gradient of the gain is added to d_gain. */
typedef struct NAME(pygru_normalisation_gradient) {
    int64_t rows;
    int64_t H;
    const REAL *gain;
    const REAL *standardised;
    ptrdiff_t standardised_row;
    const REAL *scale;
    const REAL *d;
    REAL *d_sums;
    ptrdiff_t d_row; /* of both */
    REAL *d_gain;
} NAME(pygru_normalisation_gradient);

/* One step of an optimiser, see pygru_update_args. */
typedef struct NAME(pygru_update) {
    int64_t n;
    REAL *parameters;
    const REAL *gradients;
    REAL *states[PYGRU_MOST_STATES];
    const void *settings; /* the optimiser's own struct of settings */
    double decay;
    int64_t step;
} NAME(pygru_update);

/* See pygru_cross_entropy_args. */
typedef struct NAME(pygru_cross_entropy) {
    int64_t rows;
    int64_t classes;
    const REAL *logits;
    const int64_t *target;
    const REAL *share;
    const REAL *weights;
    double smoothing;
    REAL *gradient;
    double *loss;
} NAME(pygru_cross_entropy);

/* The elementwise part of a step and of its derivative. */
typedef struct NAME(pygru_gates) {
    void (*after_forward)(const NAME(pygru_units) *);
    void (*before_reset)(const NAME(pygru_units) *);
    void (*before_candidate)(const NAME(pygru_units) *);
    void (*after_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h, REAL *d_h,
                           REAL *d_gates, const NAME(pygru_equations) *);
    void (*before_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                            REAL *d_h, REAL *d_gates, const NAME(pygru_equations) *);
    void (*reset_backward)(int64_t rows, int64_t H, const REAL *gates, const REAL *h,
                           const REAL *d_rh, REAL *d_h, REAL *d_gates,
                           const NAME(pygru_equations) *);
} NAME(pygru_gates);

typedef struct NAME(pygru_table) {
    NAME(pygru_gates) usual_gates; /* tanh, sigmoid, and no limit for the sums */
    NAME(pygru_gates) other_gates; /* any equations */
    /* Replaces n sums by their activations. */
    void (*activate)(const NAME(pygru_activation) *, int64_t n, REAL *sums);
    void (*normalise)(const NAME(pygru_normalisation) *);
    void (*normalise_backward)(const NAME(pygru_normalisation_gradient) *);
    void (*sigmoid)(int64_t n, const REAL *in, REAL *out);
    void (*tanh)(int64_t n, const REAL *in, REAL *out);
    void (*updates[PYGRU_OPTIMIZERS_END_])(const NAME(pygru_update) *);
    int (*cross_entropy)(const NAME(pygru_cross_entropy) *); /* 0: a target is out of range */
    double (*sum_of_squares)(int64_t n, const REAL *x);
    int lanes;        /* of a vector; 0 without packed products */
    int weight_bytes; /* of a packed weight */
    void (*product)(const NAME(pygru_product) *);
    /* Makes integers of rows of K values, in rows of pygru_rounded_row(K) values, for kernels of
     * 8-bit weights; NULL for others. */
    void (*round_rows)(int64_t rows, int64_t K, const REAL *a, ptrdiff_t lda, REAL *rounded);
    /* Packs columns [0, H) of NV matrices of integers, element k of unit j of matrix v is
     * w[v][j*K + k], and their scales (H) each; NULL for other weights. */
    void (*pack_integers)(int NV, int64_t H, int64_t K, const int8_t *const *w,
                          const REAL *const *scales, void *packed);
    /* Packs columns [0, H) of NV matrices: element k of unit j of matrix v is
     * w[v][j*unit + k*step]. */
    void (*pack)(int NV, int64_t H, int64_t K, const REAL *const *w, ptrdiff_t unit,
                 ptrdiff_t step, void *packed);
    /* Packs at most PYGRU_SUM_ROWS rows of the right side of a sum over rows (rows, n);
     * packed: as many rows of n, rounded up to whole vectors, aligned. */
    void (*pack_rows)(int64_t rows, int64_t n, const REAL *b, int64_t ldb, REAL *packed);
    void (*sum_rows)(const NAME(pygru_row_sums) *);
} NAME(pygru_table);

/* The kernels of a set for a precision with these values. */
static inline const NAME(pygru_table) *NAME(pygru_table_of)(const pygru_kernels *kernels,
                                                            int32_t precision) {
    return pygru_chosen_kernels(kernels)->tables[precision];
}

/* Where packed weights begin that are `count` after others. */
static inline const void *NAME(pygru_weights_at)(const NAME(pygru_table) *table,
                                                 const void *weights, int64_t count) {
    return (const char *)weights + count * table->weight_bytes;
}
