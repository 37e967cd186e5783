# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The flat parameters of a layer: who can write them, whether they changed, packed for SIMD."""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from pygru.core._arrays cimport (
    array_at,
    axes_of,
    bytes_of,
    data_of,
    is_contiguous,
    number_of,
    size_of,
    take,
)
from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport LONG_READ, Core, Kernels, check, core
from pygru.core._plans cimport Config

from numpy import ndarray

from pygru.core.memory import allocate
from pygru.errors import InternalError

cdef const Core *CORE = core()

cdef int BYTES = number_of(b"B")


cdef extern from "atomics.h":
    int64_t LOAD64(const int64_t *number)
    int64_t ADD64(int64_t *number, int64_t added)  # returns what it was before


cdef extern from *:
    """
    /* Whether only the caller refers to an object. Without a GIL this is also 0 if another
     * thread has made the object: its references cannot be counted from here. */
    #if !defined(Py_GIL_DISABLED)
    #define PYGRU_IS_MINE(object) (Py_REFCNT(object) == 1)
    #elif PY_VERSION_HEX >= 0x030E0000
    #define PYGRU_IS_MINE(object) PyUnstable_Object_IsUniquelyReferenced(object)
    #else
    #define PYGRU_IS_MINE(object)                                               \
        (_Py_IsOwnedByCurrentThread(object) &&                                  \
         _Py_atomic_load_uint32_relaxed(&(object)->ob_ref_local) == 1 &&        \
         _Py_atomic_load_ssize_relaxed(&(object)->ob_ref_shared) == 0)
    #endif
    """
    bint PYGRU_IS_MINE(PyObject *)


@cython.final
@cython.no_gc  # an owner refers to nothing but a plain array
cdef class Owner:
    """A flat array that nobody else refers to; everybody gets other arrays over its memory.

    Each array that is given out for writing has a :class:`Loan`, which lives as long as
    anything uses the memory through that array. So there is always an exact answer to two
    questions: whether such an array exists now, and how many there have been. If there is none
    now, and none has been given out since the last check, nobody can have changed the memory.

    The array must be given away: the caller does not use it any more.
    """

    def __cinit__(self, array not None):
        if not (isinstance(array, ndarray) and axes_of(array) == 1 and is_contiguous(array)):
            raise InternalError("parameters must be a flat array")
        # An array that a pickle has brought may lie in memory of somebody else.
        self.array = array if array.flags.owndata else array.copy()
        self.number = number_of(memoryview(self.array).format.encode())
        self.loans = self.given_out = 0

    def __reduce__(self):
        from pygru.core.parameters import owner_from_pickle

        return owner_from_pickle, (self.view(),)

    @property
    def lent(self):
        """How many arrays exist through which somebody may write."""
        return LOAD64(&self.loans)

    def view(self):
        """An array for code that may write through it."""
        return self.array_over(Loan(self))

    def borrow(self):
        """An array for code that only reads, and does not pass it on."""
        return self.array_over(self)

    def clear(self):
        """Set all elements to zero."""
        cdef void *data = data_of(self.array)
        cdef int64_t size = bytes_of(self.array)
        ADD64(&self.loans, 1)  # as a loan does, until everything is written
        ADD64(&self.given_out, 1)
        if size > LONG_READ:
            with nogil:
                memset(data, 0, size)
        else:
            memset(data, 0, size)
        ADD64(&self.loans, -1)

    cdef object array_over(self, object base):
        return array_at(self.number, size_of(self.array, 0), data_of(self.array), base)

    cdef int64_t unshared(self) noexcept:
        """How many arrays have been given out for writing; -1 if one of them still exists.

        Both numbers are read in this order: if an array is given out in between, it raises the
        first one, so the next check finds another number than this one returned.
        """
        cdef int64_t given_out = LOAD64(&self.given_out)
        return -1 if LOAD64(&self.loans) else given_out

    cdef bint is_unshared_since(self, int64_t given_out) noexcept:
        """Whether nobody can have written since ``unshared`` returned this number.

        Adding nothing is a barrier: what the caller has read, it has read before.
        """
        return given_out >= 0 and ADD64(&self.given_out, 0) == given_out


@cython.final
@cython.no_gc
cdef class Loan:
    """Exists as long as anything uses one array that an owner has given out.

    It is the base of that array, and NumPy keeps it alive for every view, memoryview, DLPack
    capsule and so on. No other object is asked how many references it has, so this is right in
    all threads, and without a GIL too.
    """

    def __cinit__(self, Owner owner not None):
        self.owner = owner
        ADD64(&owner.loans, 1)  # first, see Owner.unshared
        ADD64(&owner.given_out, 1)

    def __dealloc__(self):
        if self.owner is not None:
            ADD64(&self.owner.loans, -1)

    def __getbuffer__(self, Py_buffer *view, int flags):
        # NumPy asks whether the memory can be written, if somebody sets flags.writeable.
        array = self.owner.array
        PyBuffer_FillInfo(view, self, data_of(array), bytes_of(array), False, flags)


@cython.final
@cython.no_gc
cdef class Room:
    """Memory for packed parameters. A user of it keeps a reference to this, or to an array."""

    def __cinit__(self, int64_t size):
        cdef char *first
        self.raw = allocate(size + 64, "uint8", "the packed weights")
        first = <char *>data_of(self.raw)
        self.data = first + (-<size_t>first) % 64
        self.size = size

    cdef object array(self):
        return array_at(BYTES, self.size, self.data, self)


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
        with cython.critical_section(self):
            return self.present()

    cdef Room fingerprinted(self, uint64_t *fingerprint):
        """The same, and the fingerprint of the parameters that it was packed from."""
        cdef Room room
        with cython.critical_section(self):
            room = self.present()
            fingerprint[0] = self.fingerprint
        return room

    cdef Room present(self):
        if not self.is_packed or self.given_out != self.owner.unshared():
            self.look()
        return self.room

    cdef int look(self) except -1:
        """Pack the parameters if their fingerprint is not that of the packed ones."""
        cdef Borrowed borrowed = Borrowed()
        # What is given out while the GIL is released counts as given out after this check.
        cdef int64_t given_out = self.owner.unshared()
        cdef int64_t count = size_of(self.owner.array, 0)
        cdef const void *source = borrowed.dense(
            self.owner.array, count, self.packing.format(), False)
        cdef int64_t size = borrowed.views[0].len
        cdef uint64_t fingerprint = fingerprint_of(source, size)
        cdef Room room
        if not self.is_packed or fingerprint != self.fingerprint:
            room = self.take_room()
            if given_out >= 0:
                pack(self.packing, source, size, room)
            if not self.owner.is_unshared_since(given_out):
                # Somebody may write between the two times that the parameters are read. So a
                # copy is made, and it has the fingerprint and is packed.
                given_out = self.owner.unshared()
                copy = take(BYTES, 1, size, "a copy of the parameters")
                read(data_of(copy), source, size)
                fingerprint = fingerprint_of(data_of(copy), size)
                pack(self.packing, data_of(copy), size, room)
            self.room = room
            self.fingerprint = fingerprint
            self.is_packed = True
        self.given_out = given_out if given_out >= 0 else NEVER
        return 0

    cdef Room take_room(self):
        """Take out the memory, or make new memory if a call still uses it."""
        cdef Room room = self.room
        self.room = None
        self.is_packed = False
        if room is None or not PYGRU_IS_MINE(<PyObject *>room):
            room = Room(self.packing.size())
        return room

    def current(self):
        """The packed parameters as an array, and the fingerprint of the parameters."""
        cdef uint64_t fingerprint
        cdef Room room = self.fingerprinted(&fingerprint)
        return room.array(), fingerprint


cdef int read(void *to, const void *source, int64_t size) except -1:
    """Copy parameters."""
    if size > LONG_READ:
        with nogil:
            memcpy(to, source, size)
    else:
        memcpy(to, source, size)
    return 0


cdef int pack(Packing packing, const void *source, int64_t size, Room room) except -1:
    """Pack ``size`` bytes of parameters."""
    cdef int status
    if size > LONG_READ:
        with nogil:
            status = packing.pack(source, room.data)
    else:
        status = packing.pack(source, room.data)
    check(status)
    return 0


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
    cdef Room room = Room(packing.size())
    pack(packing, source, borrowed.views[0].len, room)
    return room.array()
