# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
# cython: auto_pickle=False
"""Whole sequences: the shortest way from NumPy arrays through the core and back.

``Sequences`` accepts arguments that already fit, in every combination, plans the call,
allocates its memory and calls the core. It converts nothing and explains nothing: for an
argument that does not fit it returns None, and ``pygru.inputs`` and ``pygru.passes`` convert
the argument and call it again, or raise. Everything is allocated before the core runs.
"""

cimport cython
from cpython.long cimport (
    PyLong_AsLongAndOverflow,
    PyLong_AsLongLongAndOverflow,
    PyLong_CheckExact,
)
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from pygru.core._arrays cimport (
    axes_of,
    bytes_of,
    data_of,
    has_rows,
    is_dense,
    is_readable,
    is_writeable,
    new_array,
    new_copy,
    number_of,
    overlap,
    size_of,
    stride_of,
    take,
)
from pygru.core._buffers cimport Borrowed
from pygru.core._calls cimport Interrupt, set_noise
from pygru.core._core cimport LONG_STEP, Blas, Core, Kernels, check, core, traits_of
from pygru.core._plans cimport Config, Plan
from pygru.core._weights cimport Owner, Packed, Room, fingerprint_of
from pygru.core.cpygru cimport (
    PYGRU_KEEP_NOTHING,
    pygru_backward_args,
    pygru_config,
    pygru_forward_args,
    pygru_input,
    pygru_output,
    pygru_sizes,
    pygru_team,
)

import contextlib
import sys

from pygru.core import threads
from pygru.errors import InternalError

cdef const Core *CORE = core()

cdef int INT64 = number_of(b"l")
cdef int BYTES = number_of(b"B")

cdef double MOST_BYTES = sys.maxsize

cdef enum:
    MOST_PLANS = 16  # the number of shapes of batches whose plans are kept
    LONG_CALL = LONG_STEP  # multiply-adds; a longer call releases the GIL
    BACKWARD = 3  # going back takes about so many times as long as forward

NO_LIMIT = contextlib.nullcontext()
NO_OUTPUT = object()  # in the place of the array for the output

# Tests put a function here that sees the number of threads of each call; see _testing.
cdef object watcher = None


cdef int watch_with(object function) except -1:
    global watcher
    watcher = function
    return 0


cdef int tell_the_tests(int n_threads) except -1:
    """Called right before the core, and like it inside the limit of BLAS."""
    if watcher is not None:
        watcher(n_threads)
    return 0


cdef class Batch:
    """The input of one call in a form that the core can read; see :class:`pygru.inputs.Inputs`.

    ``given`` is x, in the layout of the caller.
    """


cdef class Record:
    """What a forward call keeps for backward; see :class:`pygru.tape.WholeTape`."""


cdef bint is_count(object n_threads) noexcept:
    """Whether an argument is certainly a number of threads."""
    cdef int overflow
    cdef long count
    if not PyLong_CheckExact(n_threads):
        return False
    count = PyLong_AsLongAndOverflow(n_threads, &overflow)
    return count != 0 and overflow == 0


cdef object copied_ints(tuple numbers):
    """An array of int64 of some ints; None if there is anything else in it."""
    cdef int64_t count = len(numbers)
    cdef int overflow
    cdef int64_t i
    cdef int64_t *values
    array = new_array(INT64, 1, &count, "lengths")
    values = <int64_t *>data_of(array)
    for i in range(count):
        number = numbers[i]
        if not PyLong_CheckExact(number):
            return None
        values[i] = PyLong_AsLongLongAndOverflow(number, &overflow)
        if overflow:
            return None
    return array


cdef void set_input(pygru_input *rows, Batch batch, object array) noexcept:
    """Make ``rows`` point to an array in the caller's layout."""
    cdef int steps = 1 if batch.batch_first and not batch.is_single else 0
    rows.data = data_of(array)
    rows.step = stride_of(array, steps)
    rows.sequence = 0 if batch.is_single else stride_of(array, 1 - steps)


cdef void set_output(pygru_output *rows, Batch batch, object array) noexcept:
    """The same for an array that the core writes."""
    cdef int steps = 1 if batch.batch_first and not batch.is_single else 0
    rows.data = data_of(array)
    rows.step = stride_of(array, steps)
    rows.sequence = 0 if batch.is_single else stride_of(array, 1 - steps)


cdef void set_alone(pygru_team *team, Kernels kernels) noexcept:
    """The team of a call that keeps the GIL: the calling thread, which nothing interrupts."""
    team.n_threads, team.poll, team.poll_context = 1, NULL, NULL
    team.threading, team.adaptive = kernels.threading, 0


@cython.final
cdef class Sequences:
    """The calls of one GRU over whole sequences.

    Parameters
    ----------
    options : GRUOptions
        Of the GRU.
    config, kernels, blas
        What the core is told.
    parameters, grads : Owner
        Of the GRU.
    packed : Packed or None
        The packed weights; None on the BLAS engine.
    batch_class, tape_class : type
        Subclasses of :class:`Batch` and :class:`Record`, of which instances are made.
    """

    cdef object options
    cdef Config config
    cdef Kernels kernels
    cdef Blas blas
    cdef Owner parameters
    cdef Owner grads
    cdef Packed packed
    cdef object batch_class
    cdef object tape_class
    cdef dict plans
    cdef int number          # NumPy's number of the dtype
    cdef int64_t item        # bytes of a value
    cdef int64_t states_of_row
    cdef int64_t output_size
    cdef bint batch_first
    cdef bint learns_h0

    def __cinit__(self, options, Config config not None, Kernels kernels not None,
                  Blas blas not None, Owner parameters not None, Owner grads,
                  Packed packed, batch_class, tape_class):
        cdef pygru_config *c = &config.config
        self.options = options
        self.config = config
        self.kernels, self.blas = kernels, blas
        self.parameters, self.grads = parameters, grads
        self.packed = packed
        self.batch_class, self.tape_class = batch_class, tape_class
        self.plans = {}
        self.number = number_of(config.format())
        self.item = traits_of(c.precision).value_bytes
        self.states_of_row = c.num_layers * c.num_directions * c.hidden_size
        self.output_size = options.output_size
        self.batch_first = options.batch_first
        self.learns_h0 = options.learn_h0

    # ---- arguments -------------------------------------------------------------------------

    def accept(self, x, h0, lengths):
        """Return the input of a call, or None if an argument would need a conversion."""
        cdef Batch batch
        if type(x) is list:
            if lengths is not None:
                return None
            batch = self.padded(tuple(x))
        else:
            batch = self.given(x)
        if batch is None:
            return None
        if h0 is not None:
            if not self.is_state(batch, h0):
                return None
            batch.h0 = h0
        if lengths is not None and not self.take_lengths(batch, lengths):
            return None
        return batch

    cdef Batch new_batch(self, int64_t T, int64_t B):
        cdef Batch batch = Batch.__new__(self.batch_class)
        batch.options = self.options
        batch.batch_first = self.batch_first
        batch.output_size = self.output_size
        batch.T, batch.B = T, B
        return batch

    cdef Batch given(self, object x):
        """The input of one array; None if that does not fit."""
        cdef pygru_config *c = &self.config.config
        cdef Batch batch
        cdef int64_t shape[3]
        cdef int axes, axis
        if not is_readable(x, self.number):
            return None
        axes = axes_of(x)
        if axes != 2 and axes != 3:
            return None
        for axis in range(axes):
            shape[axis] = size_of(x, axis)
        if shape[axes - 1] != c.input_size or not has_rows(x, axes, shape):
            return None
        if axes == 2:
            batch = self.new_batch(shape[0], 1)
            batch.is_single = True
        elif self.batch_first:
            batch = self.new_batch(shape[1], shape[0])
        else:
            batch = self.new_batch(shape[0], shape[1])
        batch.given = x
        return batch

    cdef Batch padded(self, tuple sequences):
        """The input of several arrays (T_i, I), copied into one; None if one does not fit."""
        cdef int64_t features = self.config.config.input_size
        cdef int64_t B = len(sequences), T = 0, b
        cdef int64_t shape[3]
        cdef int64_t *values
        cdef Batch batch
        if B == 0:
            return None
        lengths = new_array(INT64, 1, &B, "lengths")
        values = <int64_t *>data_of(lengths)
        for b in range(B):
            each = sequences[b]
            if not is_readable(each, self.number) or axes_of(each) != 2:
                return None
            shape[0], shape[1] = size_of(each, 0), features
            if not has_rows(each, 2, shape):
                return None
            values[b] = shape[0]
            T = max(T, shape[0])
        batch = self.new_batch(T, B)
        batch.is_list = True
        batch.lengths = lengths
        batch.given = self.new_rows(batch, features, "the sequences of a list")
        for b in range(B):
            self.copy_sequence(batch, sequences[b], b, values[b])
        return batch

    cdef void copy_sequence(self, Batch batch, object sequence, int64_t b,
                            int64_t steps) noexcept:
        """Copy a sequence into its place in ``given``; nobody reads what is after its end."""
        cdef size_t size = self.config.config.input_size * self.item
        cdef int64_t between = 1 if batch.batch_first else batch.B
        cdef char *to = <char *>data_of(batch.given)
        cdef const char *source = <const char *>data_of(sequence)
        cdef int64_t step = stride_of(sequence, 0) * self.item
        cdef int64_t _t
        to += b * (batch.T if batch.batch_first else 1) * <int64_t>size
        for _t in range(steps):
            memcpy(to, source, size)
            source += step
            to += between * <int64_t>size

    cdef int state_shape(self, Batch batch, int64_t *shape) noexcept:
        """Fill the caller's shape of a state; return the number of axes."""
        cdef pygru_config *c = &self.config.config
        cdef int axes = 2 if batch.is_single else 3
        shape[0] = c.num_layers * c.num_directions
        shape[1] = batch.B
        shape[axes - 1] = c.hidden_size
        return axes

    cdef int rows_shape(self, Batch batch, int64_t width, int64_t *shape) noexcept:
        """Fill the caller's shape of an array with ``width`` features per step."""
        cdef int axes = 2 if batch.is_single else 3
        shape[0], shape[1] = batch.T, batch.B
        if batch.batch_first and not batch.is_single:
            shape[0], shape[1] = batch.B, batch.T
        shape[axes - 1] = width
        return axes

    cdef bint is_state(self, Batch batch, object state):
        cdef int64_t shape[3]
        cdef int axes = self.state_shape(batch, shape)
        return is_dense(state, self.number, axes, shape)

    cdef bint take_lengths(self, Batch batch, object lengths) except -1:
        """Keep a copy of lengths that fit, and return whether they do.

        The copy is what is checked: the core uses lengths as indices.
        """
        cdef const int64_t *values
        cdef int64_t i
        if type(lengths) is int and batch.is_single:
            copy = copied_ints((lengths,))
        elif type(lengths) is list or type(lengths) is tuple:
            copy = copied_ints(tuple(lengths))
        elif is_dense(lengths, INT64, 1, &batch.B):
            copy = new_copy(lengths)
        else:
            return False
        if copy is None or size_of(copy, 0) != batch.B:
            return False
        values = <const int64_t *>data_of(copy)
        for i in range(batch.B):
            if not 0 <= values[i] <= batch.T:
                return False
        batch.lengths = copy
        return True

    cdef bint can_write(self, Batch batch, object out, int64_t width):
        """Whether the core can write the output to ``out`` while it reads its input."""
        cdef int64_t shape[3]
        cdef int axes = self.rows_shape(batch, width, shape)
        cdef int axis
        if not (not batch.is_list and is_readable(out, self.number) and is_writeable(out)
                and has_rows(out, axes, shape)):
            return False
        for axis in range(axes):
            if shape[axis] > 1 and stride_of(out, axis) == 0:
                return False
        return not (overlap(out, batch.given) or overlap(out, batch.h0)
                    or overlap(out, self.parameters.array))

    # ---- plans and threads ------------------------------------------------------------------

    def plan(self, int64_t T, int64_t B, lengths, int keep):
        """Return the plan of a batch; batches of one shape and without lengths share it."""
        cdef tuple key = None
        cdef Plan plan
        if lengths is None:
            key = (T, B, keep)
            made = self.plans.get(key)
            if made is not None:
                return made
        plan = Plan(self.config, self.kernels.engine, T, B, lengths, keep)
        plan.measure()
        if lengths is None:
            if len(self.plans) >= MOST_PLANS:
                self.plans.clear()
            self.plans[key] = plan
        return plan

    cdef Plan plan_of(self, Batch batch, int keep):
        """The plan of a batch. Lengths that leave nothing out are as good as none."""
        cdef const int64_t *values
        cdef int64_t i
        lengths = batch.lengths
        if lengths is not None:
            values = <const int64_t *>data_of(lengths)
            for i in range(batch.B):
                if values[i] != batch.T:
                    break
            else:
                lengths = None
        return self.plan(batch.T, batch.B, lengths, keep)

    cdef int threads_of(self, Plan plan, object n_threads) except -1:
        """The number of threads of a planned call."""
        if plan.is_serial:
            return 1
        return threads.threads_for(n_threads, plan.sizes_of_one)

    # ---- memory -----------------------------------------------------------------------------

    cdef object new_rows(self, Batch batch, int64_t width, str purpose):
        cdef int64_t shape[3]
        cdef int axes = self.rows_shape(batch, width, shape)
        return new_array(self.number, axes, shape, purpose)

    cdef object new_states(self, Batch batch, str purpose):
        cdef int64_t shape[3]
        cdef int axes = self.state_shape(batch, shape)
        return new_array(self.number, axes, shape, purpose)

    cdef uint64_t fingerprint(self) except? 0:
        array = self.parameters.array
        return fingerprint_of(data_of(array), bytes_of(array))

    cdef object initial_states(self, Batch batch):
        """The states before the first step: a copy of the parameter h0 for each sequence."""
        cdef pygru_config *c = &self.config.config
        cdef int64_t bytes_of_state = c.hidden_size * self.item
        cdef const char *source = <const char *>data_of(self.parameters.array)
        cdef char *to
        cdef int64_t _cell, _row
        h0 = self.new_states(batch, "h0")
        to = <char *>data_of(h0)
        # It is the last parameter, (L*D, H). The array may be one of bytes.
        source += bytes_of(self.parameters.array) - self.states_of_row * self.item
        for _cell in range(c.num_layers * c.num_directions):
            for _row in range(batch.B):
                memcpy(to, source, bytes_of_state)
                to += bytes_of_state
            source += bytes_of_state
        return h0

    # ---- forward ----------------------------------------------------------------------------

    def forward(self, gru, Batch batch not None, int keep, noise, out, n_threads):
        """Run a batch.

        Parameters
        ----------
        gru : GRU
            Whose tape it will be.
        batch : Batch
            The input, which is dropped.
        keep : int
            One of the core's ``KEEP_*``.
        noise : Noise or None
            The masks, or the mean effect of zoneout.
        out : ndarray or None
            Where to put the output; ``NO_OUTPUT`` if it is not wanted.
        n_threads : int or None
            The argument of the call.

        Returns
        -------
        (output, h_n, tape) or None
            The output is None if it is not wanted, the tape if nothing is kept. None for all if
            the core cannot write to ``out``.
        """
        cdef pygru_config *c = &self.config.config
        cdef int64_t width = c.num_directions * c.hidden_size
        cdef pygru_forward_args args
        cdef pygru_sizes sizes
        cdef Borrowed masks
        cdef Record tape = None
        cdef Room room = None
        cdef uint64_t fingerprint = 0
        cdef Plan plan
        cdef int n_used
        if n_threads is not None and not is_count(n_threads):
            threads.resolve(n_threads)  # it raises if this is no number of threads
        if <double>batch.T * batch.B * batch.output_size * self.item > MOST_BYTES:
            (<object>batch).refuse_huge()
        plan = self.plan_of(batch, keep)
        n_used = self.threads_of(plan, n_threads)
        sizes = plan.serial
        if n_used > 1:
            check(CORE.plan_sizes(plan.plan, n_used, &sizes))
        if out is NO_OUTPUT:
            out = None
        elif out is None:
            out = self.new_rows(batch, width, "the output")
        elif not self.can_write(batch, out, width):
            return None
        h_n = self.new_states(batch, "h_n")
        h0 = batch.h0
        if h0 is None and self.learns_h0:
            h0 = self.initial_states(batch)
        memset(&args, 0, cython.sizeof(args))
        if keep != PYGRU_KEEP_NOTHING:
            memory = take(self.number, self.item, sizes.tape, f"the tape of {batch.T} steps")
            args.tape = data_of(memory)
        workspace = take(BYTES, 1, sizes.forward_workspace, "the workspace of forward")
        if self.packed is not None:
            room = self.packed.fingerprinted(&fingerprint)
            args.packed = room.data
        elif keep != PYGRU_KEEP_NOTHING:
            fingerprint = self.fingerprint()
        if keep != PYGRU_KEEP_NOTHING:
            tape = Record.__new__(self.tape_class)
            tape.gru, tape.inputs, tape.plan, tape.memory = gru, batch, plan, memory
            tape.noise, tape.n_threads, tape.fingerprint = noise, n_threads, fingerprint
            tape.learned_h0 = batch.h0 is None and self.learns_h0
        if noise is not None:
            masks = Borrowed()
            set_noise(&args.noise, masks, &sizes, noise)
        args.plan = plan.plan
        args.parameters = data_of(self.parameters.array)
        set_input(&args.x, batch, batch.given)
        if h0 is not None:
            args.h0 = data_of(h0)
        if out is not None:
            set_output(&args.y, batch, out)
        args.h_n = data_of(h_n)
        args.workspace = data_of(workspace)
        args.workspace_bytes = sizes.forward_workspace
        args.blas = &self.blas.table
        args.kernels = self.kernels.kernels
        self.run_forward(&args, &sizes, n_used, self.is_short(plan.cost))
        batch.given = batch.h0 = None  # the tape has its own copies
        return out, h_n, tape

    cdef int run_forward(self, pygru_forward_args *args, pygru_sizes *sizes, int n_threads,
                         bint is_short) except -1:
        cdef pygru_team team
        cdef Interrupt interrupt
        cdef int status
        if is_short:
            tell_the_tests(1)
            set_alone(&team, self.kernels)
            args.team = &team
            return check(CORE.forward(args))
        interrupt = Interrupt(self.kernels, n_threads, threads.on_main_thread())
        args.team = &interrupt.team
        with self.limit_of_blas(sizes):
            tell_the_tests(n_threads)
            with nogil:
                status = CORE.forward(args)
        return interrupt.finish(status)

    # ---- backward ---------------------------------------------------------------------------

    def backward(self, Record tape not None, d_output, d_h_n, bint wants_d_x, aside):
        """Go back through a tape.

        Parameters
        ----------
        tape : Record
            Made by :meth:`forward`.
        d_output, d_h_n : ndarray or None
            The gradients of the results, in their shapes.
        wants_d_x : bool
            Whether to compute the gradient of x.
        aside : ndarray or None
            Flat gradients to add to; by default those of the GRU.

        Returns
        -------
        (d_x, d_h0) or None
            None if an argument would need a conversion, or the weights have changed since the
            tape was made. Then nothing has been computed.
        """
        cdef pygru_config *c = &self.config.config
        cdef pygru_backward_args args
        cdef pygru_sizes sizes
        cdef Batch batch = tape.inputs
        cdef Plan plan = tape.plan
        cdef Borrowed masks
        cdef Room room = None
        cdef uint64_t fingerprint
        cdef int64_t shape[3]
        cdef int axes, n_used
        if batch.T != plan.T or batch.B != plan.B or (batch.is_single and batch.B != 1):
            raise InternalError("the inputs of a tape are not those of its plan")
        axes = self.rows_shape(batch, c.num_directions * c.hidden_size, shape)
        if d_output is not None and not (
            is_readable(d_output, self.number) and has_rows(d_output, axes, shape)
        ):
            return None
        if d_h_n is not None and not self.is_state(batch, d_h_n):
            return None
        # The core adds the gradients of one layer before it reads those of the next one.
        if overlap(d_output, self.grads.array):
            d_output = d_output.copy()
        if overlap(d_h_n, self.grads.array):
            d_h_n = d_h_n.copy()
        n_used = self.threads_of(plan, tape.n_threads)
        sizes = plan.serial
        if n_used > 1:
            check(CORE.plan_sizes(plan.plan, n_used, &sizes))
        memset(&args, 0, cython.sizeof(args))
        if self.packed is not None:
            room = self.packed.fingerprinted(&fingerprint)
            args.packed = room.data
        else:
            fingerprint = self.fingerprint()
        if fingerprint != tape.fingerprint:
            return None
        d_x = None
        if wants_d_x:
            d_x = self.new_rows(batch, c.input_size, "d_x")
            set_output(&args.d_x, batch, d_x)
        d_h0 = self.new_states(batch, "d_h0")
        workspace = take(BYTES, 1, sizes.backward_workspace, "the workspace of backward")
        if tape.noise is not None:
            masks = Borrowed()
            set_noise(&args.noise, masks, &sizes, tape.noise)
        args.plan = plan.plan
        args.parameters = data_of(self.parameters.array)
        args.tape = data_of(tape.memory)
        if d_output is not None:
            set_input(&args.d_y, batch, d_output)
        if d_h_n is not None:
            args.d_h_n = data_of(d_h_n)
        args.d_h0 = data_of(d_h0)
        args.grads = data_of(self.grads.array if aside is None else aside)
        args.workspace = data_of(workspace)
        args.workspace_bytes = sizes.backward_workspace
        args.blas = &self.blas.table
        args.kernels = self.kernels.kernels
        self.run_backward(&args, &sizes, n_used, self.is_short(BACKWARD * plan.cost))
        return d_x, d_h0

    cdef int run_backward(self, pygru_backward_args *args, pygru_sizes *sizes, int n_threads,
                          bint is_short) except -1:
        cdef pygru_team team
        cdef Interrupt interrupt
        cdef int status
        if is_short:
            tell_the_tests(1)
            set_alone(&team, self.kernels)
            args.team = &team
            return check(CORE.backward(args))
        interrupt = Interrupt(self.kernels, n_threads, threads.on_main_thread())
        args.team = &interrupt.team
        with self.limit_of_blas(sizes):
            tell_the_tests(n_threads)
            with nogil:
                status = CORE.backward(args)
        return interrupt.finish(status)

    cdef bint is_short(self, double cost) noexcept:
        """Whether a call keeps the GIL, so that no signal ends it and nothing waits."""
        return cost <= LONG_CALL and self.packed is not None  # BLAS may need its limit

    cdef object limit_of_blas(self, pygru_sizes *sizes):
        """A context in which BLAS multiplies in one thread; the SIMD engine calls no BLAS."""
        if self.packed is not None:
            return NO_LIMIT
        return threads.single_threaded_blas(sizes.largest_product)
