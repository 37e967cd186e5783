from pygru.core._buffers cimport Borrowed
from pygru.core.cpygru cimport pygru_noise, pygru_sizes, pygru_team


cdef class Interrupt:
    cdef object error
    cdef pygru_team team

    cdef int finish(self, int status) except -1


cdef int set_noise(pygru_noise *to, Borrowed borrowed, pygru_sizes *sizes,
                   object given) except -1
