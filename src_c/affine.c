/* affine.c - the memory of an affine map: arithmetic on integers only. */
#include "affine.h"

#include "calls.h"
#include "checked.h"
#include "kernels/kernels.h"
#include "vectors.h"

/* Reserves n elements, and one vector after them that may be read. */
static int64_t reserve(int64_t *total, int64_t n, int64_t bytes) {
    const int64_t begin = *total;
    const int64_t end = pygru_plus(begin, pygru_times(pygru_plus(n, PYGRU_MOST_LANES), bytes));
    *total = pygru_plus(end, PYGRU_ALIGNMENT - 1);
    *total = *total < 0 ? -1 : *total / PYGRU_ALIGNMENT * PYGRU_ALIGNMENT;
    return begin;
}

pygru_affine_layout pygru_affine_layout_of(int32_t precision, int64_t inputs, int64_t outputs,
                                           int32_t n_threads, pygru_affine_use use) {
    const int is_backward = use == PYGRU_AFFINE_BACKWARD;
    const pygru_traits *traits = pygru_traits_of(precision);
    const int64_t values = traits->value_bytes;
    const int64_t columns = is_backward ? inputs : outputs, K = is_backward ? outputs : inputs;
    const int64_t padded = pygru_plus(columns, PYGRU_MOST_LANES);
    pygru_affine_layout a = {0};
    int64_t thread = 0;
    (void)reserve(&a.packed, pygru_times(padded, K), traits->weight_bytes);
    a.from = reserve(&a.packed, padded, values);
    a.total = use == PYGRU_AFFINE_KEPT ? 0 : a.packed;
    a.d_weight = reserve(&a.total, is_backward ? pygru_times(outputs, inputs) : 0, values);
    a.d_bias = reserve(&a.total, is_backward ? outputs : 0, values);
    a.threads = a.total;
    (void)reserve(&thread, PYGRU_AFFINE_ROWS * PYGRU_MOST_LANES, values);
    (void)reserve(&thread, is_backward ? PYGRU_SUM_SCRATCH : 0, values);
    a.per_thread = thread;
    a.total = pygru_plus(a.total, pygru_times(n_threads, thread));
    return a;
}

/* Bytes of workspace, with room to align it. */
static int64_t workspace_for(int32_t precision, int64_t inputs, int64_t outputs,
                             int32_t n_threads, pygru_affine_use use) {
    return pygru_plus(PYGRU_ALIGNMENT,
                      pygru_affine_layout_of(precision, inputs, outputs, n_threads, use).total);
}

pygru_status pygru_affine_sizes_of(int32_t precision, int64_t inputs, int64_t outputs,
                                   int32_t n_threads, pygru_affine_sizes *sizes) {
    if (pygru_traits_of(precision) == NULL || precision == PYGRU_INT8 || inputs < 1 ||
        outputs < 1 || n_threads < 1 || !pygru_points(sizes)) {
        return PYGRU_BAD_ARGUMENT;
    }
    sizes->packed =
        pygru_affine_layout_of(precision, inputs, outputs, n_threads, PYGRU_AFFINE_KEPT).packed;
    sizes->forward_workspace =
        workspace_for(precision, inputs, outputs, n_threads, PYGRU_AFFINE_FORWARD);
    sizes->packed_workspace =
        workspace_for(precision, inputs, outputs, n_threads, PYGRU_AFFINE_KEPT);
    sizes->backward_workspace =
        workspace_for(precision, inputs, outputs, n_threads, PYGRU_AFFINE_BACKWARD);
    return sizes->packed < 0 || sizes->forward_workspace < 0 || sizes->packed_workspace < 0 ||
                   sizes->backward_workspace < 0
               ? PYGRU_SIZE_OVERFLOW
               : PYGRU_OK;
}
