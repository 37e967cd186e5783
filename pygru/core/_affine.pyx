# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Affine maps: single calls, and maps that keep the packed weights of a layer.

A long call releases the GIL, and a Python signal handler can end it.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from pygru.core._arrays cimport (
    MOST_AXES,
    axes_of,
    data_of,
    is_contiguous,
    is_readable,
    new_array,
    number_of,
    size_of,
    take,
)
from pygru.core._buffers cimport Borrowed
from pygru.core._calls cimport Interrupt
from pygru.core._core cimport (
    LONG_STEP,
    Core,
    Kernels,
    check,
    core,
    precision_named,
    precision_of,
    traits_of,
)
from pygru.core._weights cimport Owner, Packed, Packing, Room
from pygru.core.cpygru cimport pygru_affine_args, pygru_affine_sizes, pygru_team

from pygru.core._core import has_simd_engine
from pygru.errors import InternalError

cdef const Core *CORE = core()

cdef int BYTES = number_of(b"B")


# ---- single calls ----------------------------------------------------------------------

def affine_sizes(str precision, int64_t inputs, int64_t outputs, int n_threads):
    """A dict of the sizes of an affine map; see ``pygru_affine_sizes`` in pygru.h."""
    cdef pygru_affine_sizes sizes
    check(CORE.affine_sizes_of(precision_named(precision), inputs, outputs, n_threads, &sizes))
    return sizes


@cython.final
cdef class AffineCall:
    """The arguments of both directions of an affine map, borrowed and checked."""

    cdef Borrowed borrowed
    cdef Interrupt interrupt
    cdef pygru_affine_args args
    cdef const char *format

    def __cinit__(self, Kernels kernels not None, int n_threads, bint on_main_thread, x, weight,
                  workspace):
        cdef Py_buffer *view
        self.borrowed = Borrowed()
        self.interrupt = Interrupt(kernels, n_threads, on_main_thread)
        self.args.precision = precision_of(weight)
        self.format = traits_of(self.args.precision).format
        self.args.kernels = kernels.kernels
        self.args.rows, self.args.inputs = x.shape
        self.args.outputs = weight.shape[0]
        self.args.x = self.matrix(x, self.args.rows, self.args.inputs, False)
        self.args.weight = self.matrix(weight, self.args.outputs, self.args.inputs, False)
        view = self.borrowed.add(workspace, 1, b"B", True)
        self.args.workspace = view.buf
        self.args.workspace_bytes = view.len
        self.args.team = &self.interrupt.team

    cdef void *matrix(self, array, int64_t rows, int64_t columns, bint writable) except? NULL:
        return self.borrowed.matrix(array, rows, columns, self.format, writable)

    cdef void *outputs(self, array, bint writable) except? NULL:
        return self.borrowed.dense(array, self.args.outputs, self.format, writable)


def affine(Kernels kernels not None, int n_threads, bint on_main_thread, *, x, weight, bias, y,
           workspace):
    """Fill y (rows, outputs) with x W^T + b; see pygru_affine_args in pygru.h."""
    cdef AffineCall call = AffineCall(kernels, n_threads, on_main_thread, x, weight, workspace)
    cdef int status
    call.args.bias = call.outputs(bias, False)
    call.args.y = call.matrix(y, call.args.rows, call.args.outputs, True)
    with nogil:
        status = CORE.affine(&call.args)
    call.interrupt.finish(status)


def affine_backward(Kernels kernels not None, int n_threads, bint on_main_thread, *, x, weight,
                    d_y, d_x, d_weight, d_bias, workspace):
    """Fill d_x and add to d_weight and d_bias; all three may be None."""
    cdef AffineCall call = AffineCall(kernels, n_threads, on_main_thread, x, weight, workspace)
    cdef int status
    call.args.d_y = call.matrix(d_y, call.args.rows, call.args.outputs, False)
    call.args.d_x = call.matrix(d_x, call.args.rows, call.args.inputs, True)
    call.args.d_weight = call.matrix(d_weight, call.args.outputs, call.args.inputs, True)
    call.args.d_bias = call.outputs(d_bias, True)
    with nogil:
        status = CORE.affine_backward(&call.args)
    call.interrupt.finish(status)


# ---- maps that keep packed weights -----------------------------------------------------

@cython.final
cdef class AffinePacking(Packing):
    """How a weight and a bias among the flat parameters of a layer are packed.

    ``weight`` and ``bias`` are the indices of their first elements; a negative ``bias`` means
    that there is none.
    """

    cdef Kernels kernels
    cdef int32_t precision
    cdef int64_t inputs
    cdef int64_t outputs
    cdef int64_t weight
    cdef int64_t bias
    cdef pygru_affine_sizes sizes  # of one thread
    cdef int number                # NumPy's number of the dtype

    def __cinit__(self, Kernels kernels not None, str precision, int64_t inputs,
                  int64_t outputs, int64_t weight, int64_t bias, int64_t count):
        self.kernels = kernels
        self.precision = precision_named(precision)
        self.number = number_of(traits_of(self.precision).format)
        self.inputs, self.outputs = inputs, outputs
        self.weight, self.bias = weight, bias
        check(CORE.affine_sizes_of(self.precision, inputs, outputs, 1, &self.sizes))
        if weight < 0 or weight > count - outputs * inputs or bias > count - outputs:
            raise InternalError("the weight or the bias is not inside the parameters")

    cdef const char *format(self) noexcept:
        return traits_of(self.precision).format

    cdef int64_t size(self) except -1:
        return self.sizes.packed

    cdef const void *bias_in(self, const void *parameters) noexcept nogil:
        return self.at(parameters, self.bias) if self.bias >= 0 else NULL

    cdef const void *at(self, const void *parameters, int64_t index) noexcept nogil:
        return <const char *>parameters + index * traits_of(self.precision).value_bytes

    cdef int pack(self, const void *parameters, void *packed) noexcept nogil:
        return CORE.affine_pack(self.precision, self.kernels.kernels, self.inputs, self.outputs,
                                self.at(parameters, self.weight), self.bias_in(parameters),
                                packed)


@cython.final
cdef class AffineMap:
    """The affine map of a layer, which keeps the packed weights while they do not change.

    Like a GRU it calls the kernels that were given when it was made. The core without the SIMD
    engine reads the parameters as they are.
    """

    cdef AffinePacking packing
    cdef Packed packed  # None without the SIMD engine
    cdef Owner owner
    cdef readonly object dtype

    def __cinit__(self, Kernels kernels not None, Owner owner not None, *, inputs, outputs,
                  weight, bias):
        self.owner = owner
        self.dtype = owner.array.dtype
        self.packing = AffinePacking(kernels, self.dtype.name, inputs, outputs, weight, bias,
                                     len(owner.array))
        self.packed = Packed(self.packing, owner) if has_simd_engine() else None

    def __reduce__(self):
        # The process that reads a pickle may have another CPU, so it chooses its own kernels.
        from pygru.core.affine import affine_map

        cdef AffinePacking p = self.packing
        return affine_map, (self.owner, p.inputs, p.outputs, p.weight, p.bias)

    @property
    def inputs(self):
        return self.packing.inputs

    @property
    def outputs(self):
        return self.packing.outputs

    def current(self):
        """The packed weights as an array; None without the SIMD engine."""
        return None if self.packed is None else self.packed.current()[0]

    def workspace(self, int n_threads):
        """Bytes of workspace of ``run``."""
        cdef pygru_affine_sizes sizes
        check(CORE.affine_sizes_of(self.packing.precision, self.packing.inputs,
                                   self.packing.outputs, n_threads, &sizes))
        return sizes.forward_workspace if self.packed is None else sizes.packed_workspace

    cdef Room fill(self, pygru_affine_args *args, Borrowed borrowed):
        """Fill everything but the rows, the workspace and the team.

        The caller keeps the result until the end of the call, so that nobody packs into it.
        """
        cdef AffinePacking p = self.packing
        cdef Room room = None
        cdef const void *parameters
        memset(args, 0, cython.sizeof(args[0]))
        args.precision = p.precision
        args.kernels = p.kernels.kernels
        args.inputs, args.outputs = p.inputs, p.outputs
        if self.packed is not None:
            room = self.packed.now()
            args.packed = room.data
        else:
            parameters = borrowed.dense(self.owner.array, len(self.owner.array), p.format(),
                                        False)
            args.weight = p.at(parameters, p.weight)
            args.bias = p.bias_in(parameters)
        return room

    def run(self, int n_threads, bint on_main_thread, *, x, y, workspace):
        """Fill y (rows, outputs) from x (rows, inputs); both are dense."""
        cdef Borrowed borrowed = Borrowed()
        cdef Interrupt interrupt = Interrupt(self.packing.kernels, n_threads, on_main_thread)
        cdef AffinePacking p = self.packing
        cdef pygru_affine_args args
        cdef Py_buffer *view
        cdef int status
        cdef Room _room = self.fill(&args, borrowed)
        args.rows = len(x)
        args.x = borrowed.matrix(x, args.rows, p.inputs, p.format(), False)
        args.y = borrowed.matrix(y, args.rows, p.outputs, p.format(), True)
        view = borrowed.add(workspace, 1, b"B", True)
        args.workspace, args.workspace_bytes = view.buf, view.len
        args.team = &interrupt.team
        with nogil:
            status = CORE.affine(&args)
        interrupt.finish(status)

    def backward_workspace(self, int n_threads):
        """Bytes of workspace of ``backward``."""
        cdef pygru_affine_sizes sizes
        check(CORE.affine_sizes_of(self.packing.precision, self.packing.inputs,
                                   self.packing.outputs, n_threads, &sizes))
        return sizes.backward_workspace

    def backward(self, int n_threads, bint on_main_thread, *, x, d_y, d_x, grads, workspace):
        """Fill d_x (rows, inputs), which may be None, and add to the flat ``grads``.

        Both x and d_y (rows, outputs) are dense. ``grads`` are like the parameters of the
        layer; they do not change if the call fails.
        """
        cdef Borrowed borrowed = Borrowed()
        cdef Interrupt interrupt = Interrupt(self.packing.kernels, n_threads, on_main_thread)
        cdef AffinePacking p = self.packing
        cdef const char *format = p.format()
        cdef int64_t count = len(self.owner.array)
        cdef pygru_affine_args args
        cdef const void *parameters = borrowed.dense(self.owner.array, count, format, False)
        cdef void *gradients = borrowed.dense(grads, count, format, True)
        cdef Py_buffer *view = borrowed.add(workspace, 1, b"B", True)
        cdef int status
        memset(&args, 0, cython.sizeof(args))
        args.precision = p.precision
        args.kernels = p.kernels.kernels
        args.rows, args.inputs, args.outputs = len(x), p.inputs, p.outputs
        args.weight = p.at(parameters, p.weight)
        args.x = borrowed.matrix(x, args.rows, p.inputs, format, False)
        args.d_y = borrowed.matrix(d_y, args.rows, p.outputs, format, False)
        args.d_x = borrowed.matrix(d_x, args.rows, p.inputs, format, True)
        args.d_weight = <void *>p.at(gradients, p.weight)
        args.d_bias = <void *>p.bias_in(gradients)
        args.workspace, args.workspace_bytes = view.buf, view.len
        args.team = &interrupt.team
        with nogil:
            status = CORE.affine_backward(&args)
        interrupt.finish(status)

    def at_once(self, x):
        """Return the map of x (..., inputs) if that takes few microseconds, otherwise None.

        It keeps the GIL and needs no thread. x must be a dense NumPy array of the right dtype;
        for anything else this returns None too, and the caller converts it.
        """
        cdef AffinePacking p = self.packing
        cdef int64_t shape[MOST_AXES]
        cdef int64_t rows = 1
        cdef int axis, last
        if not is_readable(x, p.number) or not is_contiguous(x):
            return None
        last = axes_of(x) - 1
        if last < 0 or size_of(x, last) != p.inputs:
            return None
        for axis in range(last):
            shape[axis] = size_of(x, axis)
            rows *= shape[axis]
        if rows * p.inputs > LONG_STEP // p.outputs:
            return None
        shape[last] = p.outputs
        return self.short_run(x, rows, last + 1, shape)

    cdef short_run(self, object x, int64_t rows, int ndim, const int64_t *shape):
        cdef AffinePacking p = self.packing
        cdef Borrowed borrowed = Borrowed()
        cdef pygru_affine_args args
        cdef pygru_team team
        cdef int64_t size = p.sizes.packed_workspace
        if self.packed is None:
            size = p.sizes.forward_workspace
        cdef Room _room = self.fill(&args, borrowed)
        workspace = take(BYTES, 1, size, "the workspace of an affine map")
        y = new_array(p.number, ndim, shape, "the output of an affine map")
        args.rows = rows
        args.x = data_of(x)
        args.y = data_of(y)
        args.workspace = data_of(workspace)
        args.workspace_bytes = size
        team.n_threads, team.poll, team.poll_context = 1, NULL, NULL
        team.threading, team.adaptive = p.kernels.threading, 0
        args.team = &team
        check(CORE.affine(&args))
        return y
