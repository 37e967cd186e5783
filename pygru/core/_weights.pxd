from libc.stdint cimport int64_t, uint64_t

from pygru.core._core cimport Kernels
from pygru.core._plans cimport Config


cdef enum:
    NEVER = -2  # no number of arrays that an owner has given out


cdef class Owner:
    cdef object __weakref__
    cdef object array
    cdef int number         # NumPy's number of its dtype
    cdef int64_t loans      # atomic
    cdef int64_t given_out  # atomic

    cdef object array_over(self, object base)
    cdef int64_t unshared(self) noexcept
    cdef bint is_unshared_since(self, int64_t given_out) noexcept


cdef class Loan:
    cdef Owner owner


cdef class Room:
    cdef object raw
    cdef void *data
    cdef int64_t size

    cdef object array(self)


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
    cdef int64_t given_out  # by the owner at the last check, or NEVER
    cdef bint is_packed

    cdef Room now(self)
    cdef Room fingerprinted(self, uint64_t *fingerprint)
    cdef Room present(self)
    cdef int look(self) except -1
    cdef Room take_room(self)


cdef uint64_t fingerprint_of(const void *data, int64_t size) except? 0
