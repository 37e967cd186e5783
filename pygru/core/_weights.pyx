# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The flat parameters of a layer: who can write them, whether they changed, packed for SIMD."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memset

from pygru.core._arrays cimport bytes_of, data_of
from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport LONG_READ, Core, Kernels, check, core
from pygru.core._plans cimport Config

from pygru.core.memory import allocate

cdef const Core *CORE = core()


cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define PYGRU_HOLDERS(object) PY_SSIZE_T_MAX /* the count of references is not one number */
    #else
    #define PYGRU_HOLDERS(object) Py_REFCNT(object)
    #endif
    """
    Py_ssize_t PYGRU_HOLDERS(PyObject *)


@cython.final
cdef class Owner:
    """The only reference to a flat array; everybody else gets views, which NumPy counts.

    Nobody can write the array without a view of it. So if no view exists now, and none has been
    given out since the last check, the array has not changed.
    """

    def __init__(self, array):
        self.array = array
        self.given_out = 0

    def __reduce__(self):
        from pygru.core.parameters import owner_from_pickle

        return owner_from_pickle, (self.array,)

    def view(self):
        """A view for code that may write through it."""
        self.given_out += 1
        return self.array[:]

    def borrow(self):
        """A view for code that only reads, and soon drops the view."""
        return self.array[:]

    def clear(self):
        """Set all elements to zero."""
        cdef void *data = data_of(self.array)
        cdef int64_t size = bytes_of(self.array)
        self.given_out += 1  # as if somebody had got a view and written
        if size > LONG_READ:
            with nogil:
                memset(data, 0, size)
        else:
            memset(data, 0, size)

    cdef bint unshared(self):
        return PYGRU_HOLDERS(<PyObject *>self.array) == 1


@cython.final
cdef class Room:
    """Memory for packed parameters. A user of it keeps a reference to this or to its array."""

    def __cinit__(self, int64_t size):
        raw = allocate(size + 64, "uint8", "the packed weights")
        first = -raw.ctypes.data % 64
        self.array = raw[first:first + size]
        self.memory = Borrowed()
        self.data = self.memory.vectors(self.array, size, True)


cdef bint is_mine(Room room) noexcept:
    """Whether only one variable refers to a room, and only the room to its array."""
    return (
        PYGRU_HOLDERS(<PyObject *>room) == 1
        and PYGRU_HOLDERS(<PyObject *>room.array) == 2  # those of the room and its buffer
    )


cdef class Packing:
    """How the parameters of one layer are packed; the subclasses say it."""

    cdef const char *format(self) noexcept:
        """The buffer format of the parameters."""
        return NULL

    cdef int64_t size(self) except -1:
        """Bytes of packed parameters."""
        raise NotImplementedError

    cdef int pack(self, const void *parameters, void *packed) noexcept nogil:
        """Pack all parameters; return a status of the core."""
        return -1


@cython.final
cdef class CellsPacking(Packing):
    """How the parameters of a GRU are packed."""

    def __cinit__(self, Config config not None, Kernels kernels not None):
        self.config = config
        self.kernels = kernels

    cdef const char *format(self) noexcept:
        return self.config.format()

    cdef int64_t size(self) except -1:
        return self.config.packed_size()

    cdef int pack(self, const void *parameters, void *packed) noexcept nogil:
        return CORE.pack(&self.config.config, self.kernels.kernels, parameters, packed)


@cython.final
cdef class Packed:
    """The packed parameters of a layer for the SIMD engine, which are always up to date.

    The GIL is released while many parameters are read or packed, so several threads may be here
    at once. Therefore a thread that packs takes the memory out of the object, and puts it back
    when it is done. A thread that finds no memory, or memory that a call still computes with,
    allocates new memory.
    """

    def __cinit__(self, Packing packing not None, Owner owner not None):
        self.packing = packing
        self.owner = owner
        self.room = None

    cdef Room now(self):
        """The memory, packed again if a parameter has changed since the last time.

        The caller keeps this reference as long as it uses the memory.
        """
        if self.is_packed and self.given_out == self.owner.given_out and self.owner.unshared():
            return self.room
        with cython.critical_section(self):
            self.look()
            return self.room

    cdef Room fingerprinted(self, uint64_t *fingerprint):
        """The same, and the fingerprint of the parameters that it was packed from."""
        cdef Room room
        with cython.critical_section(self):
            room = self.now()
            fingerprint[0] = self.fingerprint
        return room

    cdef int look(self) except -1:
        cdef Borrowed borrowed = Borrowed()
        # Views given out while the GIL is released count as given out after this check.
        cdef int64_t given_out = self.owner.given_out if self.owner.unshared() else -1
        cdef int64_t count = len(self.owner.array)
        cdef const void *source = borrowed.dense(
            self.owner.array, count, self.packing.format(), False)
        cdef int64_t size = borrowed.views[0].len
        cdef uint64_t fingerprint = fingerprint_of(source, size)
        if not self.is_packed or fingerprint != self.fingerprint or self.room is None:
            self.pack(source, size)
        self.fingerprint = fingerprint
        self.given_out = given_out
        return 0

    cdef int pack(self, const void *source, int64_t size) except -1:
        cdef Room room = self.room
        cdef Packing packing = self.packing
        cdef int status
        self.room = None
        if room is None or not is_mine(room):
            room = Room(packing.size())
        if size > LONG_READ:
            with nogil:
                status = packing.pack(source, room.data)
        else:
            status = packing.pack(source, room.data)
        check(status)
        self.room = room
        self.is_packed = True
        return 0

    def current(self):
        """The packed parameters as an array, and the fingerprint of the parameters."""
        with cython.critical_section(self):
            return self.now().array, self.fingerprint


cdef uint64_t fingerprint_of(const void *data, int64_t size) except? 0:
    cdef uint64_t fingerprint = 0
    cdef int status
    if size > LONG_READ:
        with nogil:
            status = CORE.fingerprint(data, size, &fingerprint)
    else:
        status = CORE.fingerprint(data, size, &fingerprint)
    check(status)
    return fingerprint


def fingerprint(array):
    """A 64-bit fingerprint of the contents of a flat float array."""
    cdef Borrowed borrowed = Borrowed()
    cdef bytes format = memoryview(array).format.encode()
    cdef Py_buffer *view = borrowed.add(array, 1, format, False)
    return fingerprint_of(view.buf, view.len)


def fingerprints_at(tuple places not None):
    """The fingerprints of memory in several places, each given as (address, bytes).

    The caller keeps the memory alive during the call.
    """
    cdef list found = []
    cdef uintptr_t address
    cdef int64_t size
    for address, size in places:
        found.append(fingerprint_of(<const void *>address, size))
    return tuple(found)


def packed_once(Packing packing not None, parameters):
    """The flat parameters, packed into new memory: for parameters that never change."""
    cdef Borrowed borrowed = Borrowed()
    cdef const void *source = borrowed.dense(
        parameters, len(parameters), packing.format(), False)
    cdef int64_t size = borrowed.views[0].len
    cdef Room room = Room(packing.size())
    cdef int status
    if size > LONG_READ:
        with nogil:
            status = packing.pack(source, room.data)
    else:
        status = packing.pack(source, room.data)
    check(status)
    return room.array
