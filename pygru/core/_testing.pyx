# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Functions for pygru's own tests, which no public function calls alone."""

from libc.stdint cimport int32_t, int64_t

from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport Core, Kernels, check, core, precision_of, traits_of

cdef const Core *CORE = core()


def raise_status(int status):
    """Raise the exception of ``status``; for the test that goes through the table."""
    check(status)


def activate(str name, values, out, Kernels kernels not None):
    """Apply "sigmoid" or "tanh" to a flat float array; for the tests of their accuracy."""
    cdef Borrowed borrowed = Borrowed()
    cdef int32_t precision = precision_of(values)
    cdef const char *format = traits_of(precision).format
    cdef int64_t n = len(values)
    cdef const void *source = borrowed.dense(values, n, format, False)
    cdef void *target = borrowed.dense(out, n, format, True)
    if name == "sigmoid":
        check(CORE.sigmoid(precision, kernels.kernels, n, source, target))
    else:
        check(CORE.tanh(precision, kernels.kernels, n, source, target))
