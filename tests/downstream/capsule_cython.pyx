# cython: language_level=3
"""An extension module that calls an installed pygru from Cython without linking anything."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_Import
from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memset

from pygru.core.cpygru cimport (
    PYGRU_API_CAPSULE,
    pygru_api,
    pygru_api_fits,
    pygru_config,
    pygru_status,
    pygru_step_args,
)

cdef const pygru_api *api = <const pygru_api *>PyCapsule_Import(PYGRU_API_CAPSULE, 0)
if not pygru_api_fits(api):
    raise ImportError("compiled for another version of pygru")


cdef int check(pygru_status status) except -1:
    if status:
        raise ValueError(api.status_text(status).decode())
    return 0


cdef char *aligned(bytearray memory):
    """The first address in ``memory`` that is a multiple of 64; it has 63 bytes to spare."""
    cdef char *start = memory
    return start + (-<uintptr_t>start & 63)


def one_step(const float[::1] parameters, const float[::1] x, int64_t hidden_size,
             int reset, int update):
    """Return the state after one step from zeros, as bytes of float32."""
    cdef pygru_config config
    cdef pygru_step_args step
    cdef pygru_status status
    cdef int64_t size
    memset(&config, 0, sizeof(config))
    memset(&step, 0, sizeof(step))
    config.input_size, config.hidden_size, config.num_layers = x.shape[0], hidden_size, 1
    config.num_directions = config.has_bias = 1
    config.reset, config.update = reset, update
    step.config, step.B, step.x = &config, 1, &x[0]

    check(api.packed_size(&config, &size))
    packed = bytearray(size + 63)
    step.packed = aligned(packed)
    check(api.pack(&config, NULL, &parameters[0], aligned(packed)))

    check(api.step_workspace(&config, 1, &step.workspace_bytes))
    workspace = bytearray(step.workspace_bytes + 63)
    step.workspace = aligned(workspace)

    state = bytearray(hidden_size * sizeof(float) + 63)
    step.h = step.h_next = aligned(state)
    with nogil:
        status = api.step(&step)
    check(status)
    return PyBytes_FromStringAndSize(<char *>step.h_next, hidden_size * sizeof(float))


def versions():
    """Return the version of the pygru that runs, and that of its ABI."""
    return api.version().decode(), api.abi_version
