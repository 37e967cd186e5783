/* affine.c - the scratch memory of an affine map: arithmetic on integers only. */
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
                                           int32_t n_threads, int is_backward) {
    const pygru_traits *traits = pygru_traits_of(precision);
    const int64_t values = traits->value_bytes;
    const int64_t columns = is_backward ? inputs : outputs, K = is_backward ? outputs : inputs;
    const int64_t padded = pygru_plus(columns, PYGRU_MOST_LANES);
    pygru_affine_layout a = {0};
    int64_t thread = 0;
    a.packed = reserve(&a.total, pygru_times(padded, K), traits->weight_bytes);
    a.from = reserve(&a.total, padded, values);
    a.d_weight = reserve(&a.total, is_backward ? pygru_times(outputs, inputs) : 0, values);
    a.d_bias = reserve(&a.total, is_backward ? outputs : 0, values);
    a.threads = a.total;
    (void)reserve(&thread, PYGRU_AFFINE_ROWS * PYGRU_MOST_LANES, values);
    (void)reserve(&thread, is_backward ? PYGRU_SUM_SCRATCH : 0, values);
    a.per_thread = thread;
    a.total = pygru_plus(a.total, pygru_times(n_threads, thread));
    return a;
}

pygru_status pygru_affine_workspace(int32_t precision, int64_t inputs, int64_t outputs,
                                    int32_t n_threads, int64_t *forward, int64_t *backward) {
    if (pygru_traits_of(precision) == NULL || inputs < 1 || outputs < 1 || n_threads < 1 ||
        !pygru_points(forward) || !pygru_points(backward)) {
        return PYGRU_BAD_ARGUMENT;
    }
    *forward =
        pygru_plus(PYGRU_ALIGNMENT,
                   pygru_affine_layout_of(precision, inputs, outputs, n_threads, 0).total);
    *backward =
        pygru_plus(PYGRU_ALIGNMENT,
                   pygru_affine_layout_of(precision, inputs, outputs, n_threads, 1).total);
    return *forward < 0 || *backward < 0 ? PYGRU_SIZE_OVERFLOW : PYGRU_OK;
}
