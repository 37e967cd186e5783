# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The sizes and switches of a GRU, and the plan of one batch, with all sizes that follow."""

cimport cython
from libc.stdint cimport int64_t

from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport (
    Core,
    check,
    core,
    precision_named,
    set_activation,
    traits_of,
)
from pygru.core.cpygru cimport (
    pygru_cell,
    pygru_plan,
    pygru_sizes,
    pygru_tape_view,
)

from pygru.core import threads
from pygru.core.memory import allocate

cdef const Core *CORE = core()

cdef enum:
    # A step of a chunk takes about as long as so many multiply-adds, however small it is.
    COST_OF_A_STEP = 4_000
    COST_OF_A_ROW = 100


@cython.final
cdef class Config:
    """A ``pygru_config``: the sizes and switches of one GRU."""

    def __cinit__(self, int64_t input_size, int64_t hidden_size, int64_t num_layers,
                  int num_directions, bint bias, bint reset_after, bint update_keeps,
                  bint drops_states=False, double norm_eps=0, str precision="float32", *,
                  double clip=0, activation="tanh", recurrent_activation="sigmoid",
                  bint reverse=False):
        self.config.input_size = input_size
        self.config.hidden_size = hidden_size
        self.config.num_layers = num_layers
        self.config.num_directions = num_directions
        self.config.has_bias = bias
        self.config.reset = reset_after
        self.config.update = update_keeps
        self.config.drops_states = drops_states
        self.config.norm_eps = norm_eps
        self.config.precision = precision_named(precision)
        self.config.clip = clip
        set_activation(&self.config.activation, activation)
        set_activation(&self.config.recurrent_activation, recurrent_activation)
        self.config.reverse = reverse

    def cell(self, int64_t layer, int direction):
        """Offsets of one cell's parameters; see ``pygru_cell`` in pygru.h."""
        cdef pygru_cell cell
        check(CORE.cell_of(&self.config, layer, direction, &cell))
        return cell

    def step_workspace(self, int64_t batch):
        """Bytes of workspace that one step of ``batch`` rows needs."""
        cdef int64_t size
        check(CORE.step_workspace(&self.config, batch, &size))
        return size

    def packed_size(self):
        """Bytes of packed parameters."""
        cdef int64_t size
        check(CORE.packed_size(&self.config, &size))
        return size

    cdef const char *format(self) noexcept:
        """The buffer format of its values."""
        return traits_of(self.config.precision).format


@cython.final
cdef class Plan:
    """A ``pygru_plan``: how the work of one batch is divided. Immutable."""

    def __cinit__(self, Config config not None, int engine, int64_t T, int64_t B, lengths,
                  int keep):
        cdef Borrowed borrowed = Borrowed()
        cdef int64_t size
        cdef int64_t *c_lengths
        if lengths is not None:
            # The core checks the lengths and later reads them again as indices. Nobody may
            # change them in between.
            lengths = lengths.copy()
        c_lengths = <int64_t *>borrowed.dense(lengths, B, b"l", False)
        check(CORE.plan_size(&config.config, engine, T, B, c_lengths, &size))
        memory = allocate(size, "uint8", f"the plan of {T} steps of {B} sequences")
        self.memory = Borrowed()
        self.plan = <pygru_plan *>self.memory.dense(memory, size, b"B", True)
        check(CORE.plan_init(&config.config, engine, T, B, c_lengths, keep, self.plan, size))
        self.T, self.B, self.keep = T, B, keep
        self.config = config.config
        self.format = config.format()

    cdef int measure(self) except -1:
        """Find what a call needs to know of the plan each time."""
        check(CORE.plan_sizes(self.plan, 1, &self.serial))
        self.sizes_of_one = self.serial
        self.is_serial = threads.is_serial(self.sizes_of_one)
        self.cost = <double>self.serial.operations + <double>self.config.num_layers * (
            <double>COST_OF_A_STEP * self.T
            + <double>COST_OF_A_ROW * max(self.serial.rows, self.B))
        return 0

    def sizes(self, int n_threads):
        """The sizes that follow; see ``pygru_sizes`` in pygru.h."""
        cdef pygru_sizes sizes
        check(CORE.plan_sizes(self.plan, n_threads, &sizes))
        return sizes

    def rows(self, step, sequence):
        """Fill two int64 arrays of R: step inside its sequence, index of the sequence."""
        cdef Borrowed borrowed = Borrowed()
        cdef int64_t n = self.sizes(1)["rows"]
        cdef int64_t *c_step = <int64_t *>borrowed.dense(step, n, b"l", True)
        cdef int64_t *c_sequence = <int64_t *>borrowed.dense(sequence, n, b"l", True)
        check(CORE.plan_rows(self.plan, c_step, c_sequence))

    def tape_view(self, int64_t layer, int direction):
        """Offsets into the tape; see ``pygru_tape_view`` in pygru.h."""
        cdef pygru_tape_view view
        check(CORE.tape_view_of(self.plan, layer, direction, &view))
        return view

    cdef int64_t states(self):
        return self.config.num_layers * self.config.num_directions * self.B * \
            self.config.hidden_size
