from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

cdef enum:
    MOST_AXES = 64  # of an array, in any version of NumPy

cdef int number_of(const char *format) except -1
cdef bint is_readable(object array, int number)
cdef bint is_dense(object array, int number, int ndim, const int64_t *shape)
cdef bint has_rows(object array, int ndim, const int64_t *shape)
cdef bint overlap(object one, object other)
cdef void *data_of(object array) noexcept
cdef int axes_of(object array) noexcept
cdef int64_t size_of(object array, int axis) noexcept
cdef int64_t bytes_of(object array) noexcept
cdef ptrdiff_t stride_of(object array, int axis) noexcept
cdef bint is_contiguous(object array) noexcept
cdef bint is_writeable(object array) noexcept
cdef object new_array(int number, int ndim, const int64_t *shape, str purpose)
cdef object array_at(int number, int64_t count, void *data, object base)
cdef object take(int number, int64_t item, int64_t count, str purpose)
cdef object new_copy(object array)

cdef int make_with(object function) except -1
