from libc.stdint cimport int64_t

cdef enum:
    BORROWED_AT_MOST = 12

cdef class Borrowed:
    cdef Py_buffer views[BORROWED_AT_MOST]
    cdef int count

    cdef Py_buffer *add(self, object array, int ndim, const char *kind,
                        bint writable) except NULL
    cdef void *dense(self, object array, int64_t size, const char *kind,
                     bint writable) except? NULL
    cdef void *matrix(self, object array, int64_t rows, int64_t columns, const char *kind,
                      bint writable) except? NULL
    cdef void *vectors(self, object array, int64_t size, bint writable) except? NULL
