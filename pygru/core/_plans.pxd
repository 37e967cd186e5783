from libc.stdint cimport int64_t

from pygru.core._buffers cimport Borrowed
from pygru.core.cpygru cimport pygru_config, pygru_plan, pygru_sizes


cdef class Config:
    cdef pygru_config config

    cdef const char *format(self) noexcept


cdef class Plan:
    cdef Borrowed memory
    cdef pygru_plan *plan
    cdef readonly int64_t T
    cdef readonly int64_t B
    cdef readonly int keep
    cdef pygru_config config
    cdef const char *format
    # Known after ``measure``:
    cdef pygru_sizes serial       # the sizes of a call with one thread
    cdef readonly object sizes_of_one
    cdef readonly bint is_serial  # whether a call has one thread, however many are allowed
    cdef double cost              # of forward, in multiply-adds

    cdef int measure(self) except -1
    cdef int64_t states(self)
