# cython: language_level=3, boundscheck=False, wraparound=False
"""A signal through a GRU, sample by sample: no GIL and no allocation inside the loop."""

from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from pygru.core.cpygru cimport (
    PYGRU_ACTIVATION_USUAL,
    PYGRU_ACTIVATIONS_END_,
    PYGRU_FLOAT32,
    pygru_activation,
    pygru_activation_name,
    pygru_config,
    pygru_pack,
    pygru_packed_size,
    pygru_step,
    pygru_step_args,
    pygru_step_workspace,
)


cdef void *bytes_of(int64_t size) except NULL:
    cdef void *memory = malloc(<size_t>size)
    if memory == NULL:
        raise MemoryError()
    return memory


cdef void *aligned(void *block):
    """The first address that is a multiple of 64; the block has 63 bytes to spare."""
    return <char *>block + (-<uintptr_t>block & 63)


cdef int set_activation(pygru_activation *to, given) except -1:
    """Fill ``to`` from a name, or from a name with alpha and beta."""
    cdef int code
    name, to.alpha, to.beta = (given, 0, 0) if isinstance(given, str) else given
    for code in range(PYGRU_ACTIVATION_USUAL + 1, PYGRU_ACTIVATIONS_END_):
        if pygru_activation_name(code) == name.encode():
            to.function = code
            return 0
    raise ValueError(f"the core has no activation {name!r}")


cdef class Filter:
    """The weights of a float32 GRU of one layer, and a state."""

    cdef pygru_config config
    cdef pygru_step_args args
    cdef void *packed  # the block; the weights begin at its first aligned address
    cdef float *x
    cdef float *h
    cdef void *workspace

    def __cinit__(self, gru):
        cdef const float[::1] parameters = gru.flat_parameters
        cdef int64_t size, workspace
        self.config.input_size = gru.input_size
        self.config.hidden_size = gru.hidden_size
        self.config.num_layers = 1
        self.config.num_directions = 1
        self.config.precision = PYGRU_FLOAT32
        self.config.has_bias = gru.bias
        self.config.reset = gru.variant.reset == "after"
        self.config.update = gru.variant.update == "keep"
        self.config.norm_eps = gru.layer_norm_eps if gru.layer_norm else 0
        self.config.clip = gru.clip or 0
        self.config.reverse = gru.reverse
        set_activation(&self.config.activation, gru.activation)
        set_activation(&self.config.recurrent_activation, gru.recurrent_activation)
        if pygru_packed_size(&self.config, &size) or \
                pygru_step_workspace(&self.config, 1, &workspace):
            raise ValueError("this GRU reads in reverse, or is too large")
        self.packed = bytes_of(size + 63)
        self.x = <float *>bytes_of(gru.input_size * sizeof(float))
        self.h = <float *>bytes_of(gru.hidden_size * sizeof(float))
        self.workspace = bytes_of(workspace)
        if pygru_pack(&self.config, NULL, &parameters[0], aligned(self.packed)):
            raise ValueError("these parameters cannot be packed")
        memset(self.h, 0, gru.hidden_size * sizeof(float))
        self.args.config = &self.config
        self.args.packed = aligned(self.packed)
        self.args.B = 1
        self.args.x = self.x
        self.args.h = self.h
        self.args.h_next = self.h
        self.args.workspace = self.workspace
        self.args.workspace_bytes = workspace

    def __dealloc__(self):
        free(self.packed)
        free(self.x)
        free(self.h)
        free(self.workspace)

    def run(self, const float[:, ::1] samples, float[:, ::1] outputs):
        """Feed the rows of ``samples`` (T, I); row t of ``outputs`` (T, H) is the state."""
        cdef Py_ssize_t t
        cdef int status = 0
        cdef size_t in_bytes = self.config.input_size * sizeof(float)
        cdef size_t out_bytes = self.config.hidden_size * sizeof(float)
        if samples.shape[1] != self.config.input_size or samples.shape[0] != outputs.shape[0] \
                or outputs.shape[1] != self.config.hidden_size:
            raise ValueError("samples must be (T, I) and outputs (T, H)")
        with nogil:
            for t in range(samples.shape[0]):
                memcpy(self.x, &samples[t, 0], in_bytes)
                status = pygru_step(&self.args) or status
                memcpy(&outputs[t, 0], self.h, out_bytes)
        if status != 0:
            raise RuntimeError(f"a step failed with status {status}")
