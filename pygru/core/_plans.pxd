from libc.stdint cimport int64_t

from pygru.core._buffers cimport Borrowed
from pygru.core.cpygru cimport pygru_config, pygru_plan


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

    cdef int64_t states(self)
