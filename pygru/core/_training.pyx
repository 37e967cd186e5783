# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Kernels on flat arrays: activations, optimisers, cross-entropy, the norm of gradients."""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.string cimport strcmp

from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport Core, Kernels, check, core, precision_of, traits_of
from pygru.core.cpygru cimport (
    PYGRU_MOST_STATES,
    pygru_cross_entropy_args,
    pygru_optimizer,
    pygru_update_args,
)

from pygru.errors import InternalError

cdef const Core *CORE = core()


cdef enum:
    MOST_SETTINGS = 16


def place_of(array):
    """Where the memory of an array begins: it tells arrays that share all of it."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    place = <uintptr_t>view.buf
    PyBuffer_Release(&view)
    return place


def fit_together(tuple arrays):
    """Whether the core can walk these flat arrays side by side, as they are.

    They must be dense and aligned, and all of one size and one precision. Arrays that are not
    aligned have another format.
    """
    cdef Py_buffer view
    cdef Py_ssize_t size = -1
    cdef const char *format = NULL
    cdef bint fits = True
    for array in arrays:
        try:
            PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        except (BufferError, ValueError):
            return False
        if format == NULL:
            size = view.len
            format = b"f" if strcmp(view.format, b"f") == 0 else b"d"
        fits = view.ndim == 1 and view.len == size and strcmp(view.format, format) == 0
        PyBuffer_Release(&view)
        if not fits:
            return False
    return True


def activate(str name, Kernels kernels not None, values, out):
    """Fill ``out`` with the "sigmoid" or the "tanh" of each element of ``values``."""
    cdef Borrowed borrowed = Borrowed()
    cdef int32_t precision = precision_of(values)
    cdef const char *format = traits_of(precision).format
    cdef bint is_sigmoid = name == "sigmoid"
    cdef int64_t n = len(values)
    cdef const void *source = borrowed.dense(values, n, format, False)
    cdef void *target = borrowed.dense(out, n, format, True)
    cdef int status
    with nogil:
        if is_sigmoid:
            status = CORE.sigmoid(precision, kernels.kernels, n, source, target)
        else:
            status = CORE.tanh(precision, kernels.kernels, n, source, target)
    check(status)


def optimizers():
    """Name -> (least and most arrays of state, names of the settings), in the order of C."""
    found = {}
    cdef const pygru_optimizer *row = CORE.optimizer_of(0)
    while row != NULL:
        settings = tuple(row.settings.decode().replace(",", " ").split())
        found[row.name.decode()] = (row.least_states, row.most_states, settings)
        row = CORE.optimizer_of(len(found))
    return found


cdef dict OPTIMIZERS = optimizers()


@cython.final
cdef class Part:
    """Flat arrays of one size, borrowed: values, gradients, states; and their weight decay."""

    cdef Borrowed memory
    cdef pygru_update_args args

    def __cinit__(self, tuple arrays, double decay):
        cdef int32_t precision = precision_of(arrays[0])
        cdef const char *format = traits_of(precision).format
        cdef int64_t n = len(arrays[0])
        if len(arrays) - 2 > PYGRU_MOST_STATES or type(None) in map(type, arrays):
            raise InternalError(f"no optimiser has such arrays: {arrays}")
        self.memory = Borrowed()
        self.args.precision = precision
        self.args.n = n
        self.args.decay = decay
        self.args.parameters = self.memory.dense(arrays[0], n, format, True)
        self.args.gradients = self.memory.dense(arrays[1], n, format, False)
        for i, array in enumerate(arrays[2:]):
            self.args.states[i] = self.memory.dense(array, n, format, True)


def update(str optimizer, Kernels kernels not None, parts, steps, dict settings):
    """One step of an optimiser over all its parts, and the count of its steps.

    ``parts`` is a list of ((values, gradients, states...), decay). ``steps`` is an int64 array
    with one element, the count. Nothing is changed before all arrays are borrowed and checked,
    and no Python code runs between the first change and the count. So if Ctrl-C comes during a
    step, the step has been made completely or not at all, and the count says which.
    """
    cdef double values[MOST_SETTINGS]
    cdef Borrowed memory = Borrowed()
    cdef int64_t *count = <int64_t *>memory.dense(steps, 1, b"l", True)
    cdef int status = 0
    cdef Part part
    least, most, names = OPTIMIZERS[optimizer]
    if tuple(settings) != names or len(names) > MOST_SETTINGS:
        raise InternalError(f"{optimizer} has the settings {names}, got {tuple(settings)}")
    for i, name in enumerate(names):
        values[i] = settings[name]
    borrowed = []
    for arrays, decay in parts:
        if not least <= len(arrays) - 2 <= most:
            raise InternalError(f"{optimizer} has {least} to {most} states, got {arrays}")
        part = Part(arrays, decay)
        part.args.optimizer = list(OPTIMIZERS).index(optimizer)
        part.args.kernels = kernels.kernels
        part.args.settings = values
        part.args.step = count[0] + 1
        borrowed.append(part)
    for part in borrowed:
        with nogil:
            status = CORE.update(&part.args) or status
    count[0] += 1
    check(status)


def cross_entropy(Kernels kernels not None, logits, target, share, weights, double smoothing,
                  gradient, int64_t classes):
    """Fill ``gradient`` and return the loss; see pygru_cross_entropy_args in pygru.h.

    All arrays are flat; ``target`` is int64, and ``weights`` may be None.
    """
    cdef Borrowed borrowed = Borrowed()
    cdef int64_t rows = len(share)
    cdef int32_t precision = precision_of(logits)
    cdef const char *format = traits_of(precision).format
    cdef pygru_cross_entropy_args args
    cdef double loss = 0
    cdef int status
    args.precision = precision
    args.kernels = kernels.kernels
    args.rows, args.classes, args.smoothing = rows, classes, smoothing
    args.logits = borrowed.dense(logits, rows * classes, format, False)
    args.target = <const int64_t *>borrowed.dense(target, rows, b"l", False)
    args.share = borrowed.dense(share, rows, format, False)
    args.weights = borrowed.dense(weights, classes, format, False)
    args.gradient = borrowed.dense(gradient, rows * classes, format, True)
    args.loss = &loss
    with nogil:
        status = CORE.cross_entropy(&args)
    check(status)
    return loss


def sum_of_squares(Kernels kernels not None, list arrays not None):
    """The sum of the squares of all elements of flat arrays, in float64."""
    cdef Borrowed borrowed
    cdef int64_t n
    cdef int32_t precision
    cdef const void *x
    cdef double total = 0
    cdef double sum_of_one
    cdef int status
    for values in arrays:
        borrowed = Borrowed()
        n = len(values)
        precision = precision_of(values)
        x = borrowed.dense(values, n, traits_of(precision).format, False)
        with nogil:
            status = CORE.sum_of_squares(precision, kernels.kernels, n, x, &sum_of_one)
        check(status)
        total += sum_of_one
    return total
