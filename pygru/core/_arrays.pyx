# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""NumPy's C interface: what an array is like, and new arrays, in nanoseconds.

The buffer protocol of ``_buffers`` does the same for every object that has a buffer, and a
description of each buffer is made and dropped. Calls of a few microseconds read an ndarray
through this module, which is the only one that needs NumPy's headers. The functions take an
object that ``is_readable`` has accepted, unless they say otherwise.
"""

cimport numpy as np
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uintptr_t

from pygru.core.memory import POOL, no_memory

np.import_array()

cdef int64_t POOLED = POOL.SMALL  # bytes

# Tests put a function here that refuses some arrays; see _testing.
cdef object empty_of_tests = None


cdef int number_of(const char *format) except -1:
    """NumPy's number of the dtype that a buffer format names; "l" is int64 everywhere."""
    if format[0] == c"l":
        return np.NPY_INT64
    return np.PyArray_DescrFromType(format[0]).type_num


cdef bint is_readable(object array, int number):
    """Whether an object is an ndarray of a dtype, aligned and in the native byte order.

    A subclass is not: a masked array would lose its mask.
    """
    return (
        np.PyArray_CheckExact(array)
        and np.PyArray_TYPE(<np.ndarray>array) == number
        and np.PyArray_ISBEHAVED_RO(<np.ndarray>array)
    )


cdef bint same_shape(np.ndarray array, int ndim, const int64_t *shape) noexcept:
    cdef int axis
    if np.PyArray_NDIM(array) != ndim:
        return False
    for axis in range(ndim):
        if np.PyArray_DIM(array, axis) != shape[axis]:
            return False
    return True


cdef bint is_dense(object array, int number, int ndim, const int64_t *shape):
    """Whether an object is a readable, contiguous ndarray of a shape."""
    return (
        is_readable(array, number)
        and np.PyArray_IS_C_CONTIGUOUS(<np.ndarray>array)
        and same_shape(<np.ndarray>array, ndim, shape)
    )


cdef bint has_rows(object array, int ndim, const int64_t *shape):
    """Whether an array has a shape, and the core can walk it: its last axis is dense."""
    cdef np.ndarray a = array
    cdef ptrdiff_t item = np.PyArray_ITEMSIZE(a)
    cdef int axis
    if not same_shape(a, ndim, shape):
        return False
    if np.PyArray_SIZE(a) == 0:
        return True  # it may have any strides
    if shape[ndim - 1] > 1 and np.PyArray_STRIDE(a, ndim - 1) != item:
        return False
    for axis in range(ndim):
        if np.PyArray_STRIDE(a, axis) % item:
            return False
    return True


cdef void extent(np.ndarray array, uintptr_t *first, uintptr_t *end) noexcept:
    """The addresses between which all elements of an array are."""
    cdef ptrdiff_t step
    cdef int axis
    first[0] = end[0] = <uintptr_t>np.PyArray_DATA(array)
    for axis in range(np.PyArray_NDIM(array)):
        if np.PyArray_DIM(array, axis) == 0:
            end[0] = first[0]
            return
        step = np.PyArray_STRIDE(array, axis) * (np.PyArray_DIM(array, axis) - 1)
        if step < 0:
            first[0] += <uintptr_t>step
        else:
            end[0] += <uintptr_t>step
    end[0] += np.PyArray_ITEMSIZE(array)


cdef bint overlap(object one, object other):
    """Whether two arrays may have memory in common; either may be None."""
    cdef uintptr_t first, end, other_first, other_end
    if one is None or other is None:
        return False
    extent(<np.ndarray>one, &first, &end)
    extent(<np.ndarray>other, &other_first, &other_end)
    return first < other_end and other_first < end


cdef void *data_of(object array) noexcept:
    return np.PyArray_DATA(<np.ndarray>array)


cdef int axes_of(object array) noexcept:
    return np.PyArray_NDIM(<np.ndarray>array)


cdef int64_t size_of(object array, int axis) noexcept:
    return np.PyArray_DIM(<np.ndarray>array, axis)


cdef ptrdiff_t stride_of(object array, int axis) noexcept:
    """The distance between neighbours along an axis, in elements."""
    return np.PyArray_STRIDE(<np.ndarray>array, axis) // np.PyArray_ITEMSIZE(<np.ndarray>array)


cdef bint is_contiguous(object array) noexcept:
    return np.PyArray_IS_C_CONTIGUOUS(<np.ndarray>array)


cdef int64_t bytes_of(object array) noexcept:
    return np.PyArray_NBYTES(<np.ndarray>array)


cdef bint is_writeable(object array) noexcept:
    return np.PyArray_ISWRITEABLE(<np.ndarray>array)


cdef object new_array(int number, int ndim, const int64_t *shape, str purpose):
    """An uninitialised array, as ``memory.allocate`` returns it, with the same error."""
    cdef np.npy_intp sizes[MOST_AXES]
    cdef int axis
    for axis in range(ndim):
        sizes[axis] = shape[axis]
    try:
        if empty_of_tests is not None:
            return empty_of_tests(
                tuple([sizes[axis] for axis in range(ndim)]), np.PyArray_DescrFromType(number)
            )
        return np.PyArray_EMPTY(ndim, sizes, number, 0)
    except MemoryError:
        size = np.PyArray_DescrFromType(number).itemsize
        for axis in range(ndim):
            size *= shape[axis]
        raise no_memory(size, purpose) from None


cdef object array_at(int number, int64_t count, void *data, object base):
    """An array of one axis over memory that exists as long as ``base`` does.

    The array, every view of it and whatever else uses its memory keep ``base`` alive: NumPy
    replaces a base by the base of that only if both are arrays.
    """
    cdef np.npy_intp size = count
    array = np.PyArray_SimpleNewFromData(1, &size, number, data)
    np.set_array_base(array, base)
    return array


cdef object take(int number, int64_t item, int64_t count, str purpose):
    """An uninitialised array of elements of ``item`` bytes; a large one comes from the pool."""
    if count < POOLED // item:
        return new_array(number, 1, &count, purpose)
    return POOL.take(count, np.PyArray_DescrFromType(number), purpose)


cdef object new_copy(object array):
    """A contiguous copy of an array."""
    return np.PyArray_NewCopy(<np.ndarray>array, np.NPY_CORDER)


cdef int make_with(object function) except -1:
    """Make new arrays with ``function(shape, dtype)``; None restores the usual way."""
    global empty_of_tests
    empty_of_tests = function
    return 0
