from libc.stdint cimport int64_t, uint64_t

from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport Kernels
from pygru.core._plans cimport Config


cdef class Owner:
    cdef object array
    cdef int64_t given_out

    cdef bint unshared(self)


cdef class Room:
    cdef object array  # uint8
    cdef Borrowed memory
    cdef void *data


cdef class Packing:
    cdef const char *format(self) noexcept
    cdef int64_t size(self) except -1
    cdef int pack(self, const void *parameters, void *packed) noexcept nogil


cdef class CellsPacking(Packing):
    cdef Config config
    cdef Kernels kernels


cdef class Packed:
    cdef Packing packing
    cdef Owner owner
    cdef Room room          # None while a thread packs into it
    cdef uint64_t fingerprint
    cdef int64_t given_out  # by the owner at the last check; -1 if somebody could write since
    cdef bint is_packed

    cdef Room now(self)
    cdef Room fingerprinted(self, uint64_t *fingerprint)
    cdef int look(self) except -1
    cdef int pack(self, const void *source, int64_t size) except -1


cdef uint64_t fingerprint_of(const void *data, int64_t size) except? 0
