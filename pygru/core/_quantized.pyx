# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""8-bit weights: how the integers of a GRU are packed for the kernels.

A configuration of the precision "int8" has float32 values and 8-bit weights. Its plans keep
nothing, and its calls need no parameters beside the packed ones.
"""

cimport cython
from libc.stdint cimport int8_t, int64_t

from pygru.core._core cimport Core, Kernels, core, traits_of
from pygru.core._plans cimport Config
from pygru.core._weights cimport Packing
from pygru.core.cpygru cimport pygru_config

cdef const Core *CORE = core()


@cython.final
cdef class IntegersPacking(Packing):
    """How 8-bit weights are packed.

    The parameters are bytes, without gaps. First come the scales: for each cell a float32 for
    each row of weight_ih and of weight_hh, 6H. Then the vectors: for each cell bias_ih,
    bias_hh, gain_ih and gain_hh (3H float32 each), as far as there are any. Then the integers:
    for each cell weight_ih (3H, inputs) and weight_hh (3H, H), int8. What follows is not read.
    """

    cdef Config config
    cdef Kernels kernels
    cdef int64_t vectors   # where they begin, in bytes
    cdef int64_t integers

    def __cinit__(self, Config config not None, Kernels kernels not None):
        cdef pygru_config *c = &config.config
        cdef int64_t H = c.hidden_size, cells = c.num_layers * c.num_directions
        cdef int64_t value = traits_of(c.precision).value_bytes
        last = config.cell(c.num_layers - 1, c.num_directions - 1)
        self.config = config
        self.kernels = kernels
        self.vectors = cells * 6 * H * value
        self.integers = self.vectors + cells * (
            last["end"] - last["weight_hh"] - 3 * H * H) * value

    cdef const char *format(self) noexcept:
        return b"B"

    cdef int64_t size(self) except -1:
        return self.config.packed_size()

    cdef int pack(self, const void *parameters, void *packed) noexcept nogil:
        cdef const char *base = <const char *>parameters
        return CORE.pack_integers(
            &self.config.config, self.kernels.kernels,
            <const int8_t *>(base + self.integers), <const float *>base,
            <const float *>(base + self.vectors), packed)
