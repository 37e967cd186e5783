from libc.stdint cimport int64_t, uint64_t

from pygru.core._plans cimport Plan


cdef class Batch:
    cdef public object options
    cdef public object given
    cdef public object h0
    cdef public object lengths
    cdef public int64_t T
    cdef public int64_t B
    cdef public int64_t output_size
    cdef public bint batch_first
    cdef public bint is_single
    cdef public bint is_list


cdef class Record:
    cdef readonly object gru
    cdef readonly Batch inputs
    cdef readonly Plan plan
    cdef readonly object memory
    cdef readonly object noise
    cdef readonly object n_threads
    cdef readonly uint64_t fingerprint
    cdef readonly bint learned_h0


cdef int watch_with(object function) except -1
