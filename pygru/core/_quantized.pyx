# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""8-bit weights: how the integers of a GRU are packed for the kernels.

A configuration of the precision "int8" has float32 values and 8-bit weights. Its plans keep
nothing, and its calls need no parameters beside the packed ones.
"""

cimport cython
from libc.stdint cimport int8_t, int64_t

from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport Core, Kernels, core
from pygru.core._plans cimport Config
from pygru.core._weights cimport Packing

cdef const Core *CORE = core()


@cython.final
cdef class IntegersPacking(Packing):
    """How 8-bit weights are packed; the parameters of this packing are the other vectors.

    ``integers`` (int8) has weight_ih (3H, inputs) and weight_hh (3H, H) of each cell, and
    ``scales`` (float32) a number for each of their rows. Both are borrowed, and must not
    change. The ``Owner`` of a ``Packed`` has bias_ih, bias_hh, gain_ih and gain_hh (3H each) of
    each cell, as far as there are any.
    """

    cdef Config config
    cdef Kernels kernels
    cdef Borrowed borrowed
    cdef const int8_t *integers
    cdef const float *scales

    def __cinit__(self, Config config not None, Kernels kernels not None, integers, scales):
        cdef int64_t H = config.config.hidden_size
        cdef int64_t cells = config.config.num_layers * config.config.num_directions
        last = config.cell(config.config.num_layers - 1, config.config.num_directions - 1)
        vectors = last["end"] - last["weight_hh"] - 3 * H * H
        self.config = config
        self.kernels = kernels
        self.borrowed = Borrowed()
        self.integers = <const int8_t *>self.borrowed.dense(
            integers, last["end"] - cells * vectors, b"b", False)
        self.scales = <const float *>self.borrowed.dense(scales, 6 * H * cells, b"f", False)

    cdef const char *format(self) noexcept:
        return b"f"

    cdef int64_t size(self) except -1:
        return self.config.packed_size()

    cdef int pack(self, const void *parameters, void *packed) noexcept nogil:
        return CORE.pack_integers(&self.config.config, self.kernels.kernels, self.integers,
                                  self.scales, <const float *>parameters, packed)
