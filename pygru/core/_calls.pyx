# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The calls that take long: forward and backward. They release the GIL.

A Python signal handler can end them: the core asks from time to time whether one has raised
an exception.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from pygru.core._buffers cimport Borrowed
from pygru.core._core cimport Blas, Core, Kernels, check, core
from pygru.core._plans cimport Plan
from pygru.core.cpygru cimport (
    pygru_backward_args,
    pygru_config,
    pygru_forward_args,
    pygru_input,
    pygru_noise,
    pygru_output,
    pygru_sizes,
)

from pygru.errors import InternalError

cdef const Core *CORE = core()

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1


# ---- interrupts ------------------------------------------------------------------------

@cython.final
cdef class Interrupt:
    """Asks Python, during a long call, whether a signal handler has raised an exception."""

    def __cinit__(self, Kernels kernels not None, int n_threads, bint on_main_thread):
        self.error = None
        self.team.n_threads = n_threads
        self.team.threading = kernels.threading
        self.team.adaptive = 1
        self.team.poll = NULL
        if on_main_thread:  # signals are handled on the main thread only
            self.team.poll = poll
        self.team.poll_context = <void *>self

    cdef int finish(self, int status) except -1:
        """Raise the exception of the handler, or that of ``status``."""
        if self.error is not None:
            raise self.error
        return check(status)


cdef int poll(void *context) noexcept with gil:
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<Interrupt>context).error = error
        return 1
    return 0


# ---- the calls -------------------------------------------------------------------------

cdef int set_input(pygru_input *rows, Borrowed borrowed, Plan plan, object array,
                   int64_t width) except -1:
    """Make ``rows`` point to a (T, B, width) array; None is a NULL pointer."""
    cdef Py_buffer *view
    if array is None:
        rows.data = NULL
        return 0
    view = borrowed.add(array, 3, plan.format, False)
    check_shape(view, plan, width)
    rows.data = view.buf
    rows.step = view.strides[0] // view.itemsize
    rows.sequence = view.strides[1] // view.itemsize
    return 0


cdef int set_output(pygru_output *rows, Borrowed borrowed, Plan plan, object array,
                    int64_t width) except -1:
    cdef Py_buffer *view
    if array is None:
        rows.data = NULL
        return 0
    view = borrowed.add(array, 3, plan.format, True)
    check_shape(view, plan, width)
    rows.data = view.buf
    rows.step = view.strides[0] // view.itemsize
    rows.sequence = view.strides[1] // view.itemsize
    return 0


cdef int check_shape(Py_buffer *view, Plan plan, int64_t width) except -1:
    if view.shape[0] != plan.T or view.shape[1] != plan.B or view.shape[2] != width:
        raise InternalError(
            f"expected shape {(plan.T, plan.B, width)}, "
            f"got {(view.shape[0], view.shape[1], view.shape[2])}"
        )
    if view.strides[0] % view.itemsize or view.strides[1] % view.itemsize:
        raise InternalError("a stride is not a multiple of the element size")
    return 0


cdef const void *packed_in(Borrowed borrowed, Plan plan, object array) except? NULL:
    cdef int64_t size
    check(CORE.packed_size(&plan.config, &size))
    return borrowed.vectors(array, size, False)


cdef const uint8_t *mask_in(Borrowed borrowed, object mask, int64_t size) except? NULL:
    return <const uint8_t *>borrowed.dense(mask, size, b"B", False)


cdef int set_noise(pygru_noise *to, Borrowed borrowed, pygru_sizes *sizes,
                   object given) except -1:
    """Fill ``to`` from an object with attributes of the same names; None means no noise."""
    if given is None:
        return 0
    to.dropout = mask_in(borrowed, given.dropout, sizes.dropout)
    to.dropout_scale = given.dropout_scale
    to.recurrent = mask_in(borrowed, given.recurrent, sizes.recurrent)
    to.recurrent_scale = given.recurrent_scale
    to.zoneout = mask_in(borrowed, given.zoneout, sizes.zoneout)
    to.zoneout_rate = given.zoneout_rate
    return 0


cdef int fill_forward(pygru_forward_args *args, Borrowed borrowed, Plan plan, Blas blas,
                      Kernels kernels, Interrupt interrupt, int n_threads,
                      object parameters, object packed, object x, object h0, object y,
                      object h_n, object tape, object noise, object workspace) except -1:
    cdef pygru_config *config = &plan.config
    cdef pygru_sizes sizes
    check(CORE.plan_sizes(plan.plan, n_threads, &sizes))
    memset(args, 0, cython.sizeof(args[0]))
    args.plan = plan.plan
    args.parameters = borrowed.dense(parameters, sizes.parameters, plan.format, False)
    args.packed = packed_in(borrowed, plan, packed)
    set_input(&args.x, borrowed, plan, x, config.input_size)
    args.h0 = borrowed.dense(h0, plan.states(), plan.format, False)
    set_output(&args.y, borrowed, plan, y,
               config.num_directions * config.hidden_size)
    args.h_n = borrowed.dense(h_n, plan.states(), plan.format, True)
    args.tape = borrowed.dense(tape, sizes.tape, plan.format, True)
    set_noise(&args.noise, borrowed, &sizes, noise)
    args.workspace = borrowed.dense(workspace, sizes.forward_workspace, b"B", True)
    args.workspace_bytes = sizes.forward_workspace
    args.blas = &blas.table
    args.kernels = kernels.kernels
    args.team = &interrupt.team
    return 0


def forward(Plan plan not None, Blas blas not None, Kernels kernels not None, int n_threads,
            bint on_main_thread, *,
            parameters, packed, x, h0, y, h_n, tape, noise, workspace):
    """Run ``pygru_forward``; the keywords are the members of its arguments."""
    cdef Borrowed borrowed = Borrowed()
    cdef Interrupt interrupt = Interrupt(kernels, n_threads, on_main_thread)
    cdef pygru_forward_args args
    cdef int status
    fill_forward(&args, borrowed, plan, blas, kernels, interrupt, n_threads,
                 parameters, packed, x, h0, y, h_n, tape, noise, workspace)
    with nogil:
        status = CORE.forward(&args)
    interrupt.finish(status)


cdef int fill_backward(pygru_backward_args *args, Borrowed borrowed, Plan plan, Blas blas,
                       Kernels kernels, Interrupt interrupt, int n_threads,
                       object parameters, object packed, object tape, object noise,
                       object d_y, object d_h_n, object d_x, object d_h0, object grads,
                       object workspace) except -1:
    cdef pygru_config *config = &plan.config
    cdef int64_t width = config.num_directions * config.hidden_size
    cdef pygru_sizes sizes
    check(CORE.plan_sizes(plan.plan, n_threads, &sizes))
    memset(args, 0, cython.sizeof(args[0]))
    args.plan = plan.plan
    args.parameters = borrowed.dense(parameters, sizes.parameters, plan.format, False)
    args.packed = packed_in(borrowed, plan, packed)
    args.tape = borrowed.dense(tape, sizes.tape, plan.format, False)
    set_noise(&args.noise, borrowed, &sizes, noise)
    set_input(&args.d_y, borrowed, plan, d_y, width)
    args.d_h_n = borrowed.dense(d_h_n, plan.states(), plan.format, False)
    set_output(&args.d_x, borrowed, plan, d_x, config.input_size)
    args.d_h0 = borrowed.dense(d_h0, plan.states(), plan.format, True)
    args.grads = borrowed.dense(grads, sizes.parameters, plan.format, True)
    args.workspace = borrowed.dense(workspace, sizes.backward_workspace, b"B", True)
    args.workspace_bytes = sizes.backward_workspace
    args.blas = &blas.table
    args.kernels = kernels.kernels
    args.team = &interrupt.team
    return 0


def backward(Plan plan not None, Blas blas not None, Kernels kernels not None, int n_threads,
             bint on_main_thread, *,
             parameters, packed, tape, noise, d_y, d_h_n, d_x, d_h0, grads, workspace):
    """Run ``pygru_backward``; the keywords are the members of its arguments."""
    cdef Borrowed borrowed = Borrowed()
    cdef Interrupt interrupt = Interrupt(kernels, n_threads, on_main_thread)
    cdef pygru_backward_args args
    cdef int status
    fill_backward(&args, borrowed, plan, blas, kernels, interrupt, n_threads,
                  parameters, packed, tape, noise, d_y, d_h_n, d_x, d_h0, grads, workspace)
    with nogil:
        status = CORE.backward(&args)
    interrupt.finish(status)
