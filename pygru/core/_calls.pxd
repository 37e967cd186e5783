from pygru.core.cpygru cimport pygru_team


cdef class Interrupt:
    cdef object error
    cdef pygru_team team

    cdef int finish(self, int status) except -1
