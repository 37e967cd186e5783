/* cell.tpl.c - the structs of a cell, that is, of one layer in one direction, and of its steps.
 *
 * It contains only structs and offsets. The products are in products.tpl.c, layer normalisation
 * in layer_norm.tpl.c, recurrent dropout and zoneout in noise.tpl.c, and the step that uses
 * them in step.tpl.c. */

/* A weight matrix (3H, columns) in panels of one vector of columns: packed, or in place. */
typedef struct NAME(back_weights) {
    const REAL *data;
    ptrdiff_t panel; /* from one panel to the next */
    ptrdiff_t step;  /* from one row to the next */
} NAME(back_weights);

typedef struct NAME(cell) {
    int64_t I;
    int64_t H;
    int after; /* reset after the product */
    NAME(pygru_equations) equations;
    const NAME(pygru_gates) *gates; /* of these equations */
    const REAL
        *bias; /* (4H) in the order of the columns, the two biases of r, z (and n) already
                         added; zeros with layer normalisation */
    const REAL *norm; /* (PYGRU_NORM, H) or NULL, see plan.h */
    REAL norm_eps;
    REAL *products; /* (rows, 3H) scratch of a step with layer normalisation */
    const NAME(pygru_table) *kernels;
    const pygru_blas *blas;

    /* BLAS engine */
    const REAL *w;  /* (3H, I) rows r, z, n */
    const REAL *u;  /* (3H, H) rows r, z, n */
    const REAL *ut; /* (H, 3H) its transpose, for few rows and many steps; may be NULL */

    /* SIMD engine; NULL on the BLAS engine, and if a call does not need them */
    const void *packed_w;      /* (I, 3H) panels of r, z, n */
    const void *packed_u;      /* (H, 3H) panels of r, z, n, or of r, z and then of n */
    NAME(back_weights) back_u; /* (3H, H) for backward */
    NAME(back_weights) back_w; /* (3H, I) */
    int64_t depth_w;           /* of a column of packed_w, see pygru_packed_depth */
    int64_t depth_u;           /* the same of packed_u */
    REAL *sums;                /* PYGRU_SUMS, scratch */
    REAL *rounded;             /* with 8-bit weights: scratch for the rows of a product */
} NAME(cell);

static unit_range NAME(all_units)(const NAME(cell) *cell) {
    const unit_range all = {0, cell->H};
    return all;
}

/* ---- what layer normalisation leaves for backward ------------------------------------- */

/* The standardised sums of every gate, and their scales. All pointers are NULL if nobody needs
 * them. */
typedef struct NAME(norm_record) {
    REAL *x_hat;      /* (rows, 3H) of the inputs, r | z | n */
    REAL *h_hat;      /* (rows, 3H) of the states, r | z | n */
    REAL *scale;      /* (6, distance) of the inputs' gates, then of the states' */
    int64_t distance; /* rows of everything that is recorded */
} NAME(norm_record);

/* The same record, `row` rows further. */
static NAME(norm_record)
    NAME(record_at)(const NAME(norm_record) *record, int64_t H, int64_t row) {
    NAME(norm_record) at = *record;
    if (at.x_hat != NULL) {
        at.x_hat += row * all_gates(H);
        at.h_hat += row * all_gates(H);
        at.scale += row;
    }
    return at;
}

/* ---- one step ----------------------------------------------------------------------- */

/* The arrays of one step of `rows` independent rows. */
typedef struct NAME(step_arrays) {
    int64_t rows;
    REAL *gates;      /* (rows, 4H) in: what the inputs contribute, see project_input; out: the
                         columns of gate_order.h if `stores`, otherwise undefined */
    const REAL *h;    /* (rows, H) the state before the step */
    const REAL *h_in; /* (rows, H) the state in the products and in r*h: h itself, except with
                         recurrent dropout */
    REAL *h_next;     /* (rows, H) out: the state after the step; not h or h_in */
    REAL *rh;         /* (rows, H) scratch with the reset before: r*h_in */
    int stores;
    int guarded; /* other threads write right after these gates, so whole vectors that reach
                    beyond the last unit must not be read there */
    NAME(norm_record) record;
    const NAME(cell_noise) *noise; /* of zoneout; may be NULL */
    int64_t row;                   /* of its mask, for the first row */
} NAME(step_arrays);

/* The arrays of the backward pass of a step, (rows, H) each except for the gates. */
typedef struct NAME(step_gradient) {
    int64_t rows;
    const REAL *gates; /* (rows, 4H) as forward left them */
    const REAL *h;     /* the state before the step */
    const REAL *h_in;  /* and the state in the products */
    REAL *d_h;         /* in: gradient of the state after the step; out: of h */
    REAL *d_gates;     /* out (rows, 4H): da_n | da_r | da_z | da_hn (after) or r*h_in (before)
                            of the sums to which the inputs contribute */
    REAL *d_products;  /* out (rows, 4H): the same of the products of the states; d_gates itself
                            without layer normalisation */
    REAL *d_norm;      /* (PYGRU_NORM, H): the gradients are added */
    REAL *d_h_in;      /* scratch with recurrent dropout */
    REAL *d_kept;      /* scratch with zoneout */
    REAL *d_rh;        /* scratch with the reset before */
    NAME(norm_record) record;
    const NAME(cell_noise) *noise;
    int64_t row;          /* of zoneout's mask, for the first row */
    const int64_t *order; /* batch index of every row, for the mask of recurrent dropout */
} NAME(step_gradient);
