# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Borrows the memory of arrays through the buffer protocol, after checks that keep it safe.

The arguments of users have been checked by ``validation.py``. So if a check fails here, this
raises InternalError.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport int64_t
from libc.string cimport strcmp

import sys

from pygru.errors import InternalError

cdef char NATIVE_ORDER = b"<" if sys.byteorder == "little" else b">"


cdef bint same_format(const Py_buffer *view, const char *kind) noexcept:
    """Whether a buffer's format is ``kind``; some dtypes spell out the byte order.

    "l" stands for int64. On Windows a buffer's "l" has 32 bits, and its "q" has 64, so an "l"
    must also have elements of 8 bytes.
    """
    cdef const char *format = view.format
    if format[0] == NATIVE_ORDER:
        format += 1
    if strcmp(kind, b"l") == 0 and strcmp(format, b"q") == 0:
        return True
    return strcmp(format, kind) == 0 and (kind[0] != c"l" or view.itemsize == 8)


@cython.final
cdef class Borrowed:
    """The buffers that a call borrows from arrays; they are released with this object."""

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            PyBuffer_Release(&self.views[i])

    cdef Py_buffer *add(self, object array, int ndim, const char *kind,
                        bint writable) except NULL:
        """Borrow an array of ``ndim`` axes and element format ``kind``, last axis dense."""
        cdef Py_buffer *view = &self.views[self.count]
        cdef int flags = PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
        cdef int last = ndim - 1
        if self.count == BORROWED_AT_MOST:
            raise InternalError("too many arrays in one call")
        PyObject_GetBuffer(array, view, flags)
        self.count += 1
        if view.ndim != ndim or not same_format(view, kind):
            raise InternalError(
                f"expected {ndim} axes of format {kind}, got {view.ndim} of {view.format}"
            )
        if view.shape[last] > 1 and view.strides[last] != view.itemsize:
            raise InternalError("the last axis is not contiguous")
        return view

    cdef void *dense(self, object array, int64_t size, const char *kind,
                     bint writable) except? NULL:
        """Borrow a one-dimensional contiguous array of at least ``size`` elements."""
        cdef Py_buffer *view
        if array is None:
            return NULL
        view = self.add(array, 1, kind, writable)
        if view.shape[0] < size:
            raise InternalError(f"expected {size} elements, got {view.shape[0]}")
        return view.buf

    cdef void *matrix(self, object array, int64_t rows, int64_t columns, const char *kind,
                      bint writable) except? NULL:
        """Borrow a dense array of exactly (rows, columns)."""
        cdef Py_buffer *view
        if array is None:
            return NULL
        view = self.add(array, 2, kind, writable)
        if view.shape[0] != rows or view.shape[1] != columns:
            raise InternalError(
                f"expected shape {(rows, columns)}, got {(view.shape[0], view.shape[1])}"
            )
        if rows > 1 and view.strides[0] != columns * view.itemsize:
            raise InternalError("an array is not contiguous")
        return view.buf

    cdef void *vectors(self, object array, int64_t size, bint writable) except? NULL:
        """The same for an array of bytes whose address is a multiple of 64."""
        cdef void *data = self.dense(array, size, b"B", writable)
        if <size_t>data % 64:
            raise InternalError("an array of vectors is not aligned")
        return data
