/* capsule.c - an extension module that calls an installed pygru without linking anything. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "api.h"

#include <stdlib.h>
#include <string.h>

/* Zeroed memory; calloc alone aligns to 16 bytes. NULL if there is none. */
typedef struct Buffer {
    void *block;
    void *aligned; /* the first byte of the block whose address is a multiple of 64 */
} Buffer;

static Buffer new_buffer(int64_t bytes) {
    Buffer buffer = {.block = calloc(1, (size_t)bytes + 63)};
    if (buffer.block != NULL) {
        buffer.aligned = (char *)buffer.block + (-(uintptr_t)buffer.block & 63);
    }
    return buffer;
}

/* one_step(parameters, x, hidden_size, reset, update): the state after one step from zeros. The
 * arrays are bytes of float32. */
static PyObject *one_step(PyObject *module, PyObject *args) {
    const pygru_api *api = PyCapsule_Import(PYGRU_API_CAPSULE, 0);
    pygru_config config = {.num_layers = 1, .num_directions = 1, .has_bias = 1};
    pygru_step_args step = {.config = &config, .B = 1};
    const char *parameters, *x;
    Py_ssize_t n_parameters, n_x;
    long long hidden_size;
    int64_t n_packed;
    Buffer packed = {0}, workspace = {0};
    PyObject *h = NULL;
    pygru_status status;
    (void)module;
    if (!pygru_api_fits(api)) {
        return PyErr_Occurred()
                   ? NULL
                   : PyErr_Format(PyExc_ImportError, "compiled for another version of pygru");
    }
    if (!PyArg_ParseTuple(args, "y#y#Lii", &parameters, &n_parameters, &x, &n_x, &hidden_size,
                          &config.reset, &config.update)) {
        return NULL;
    }
    config.input_size = n_x / (Py_ssize_t)sizeof(float);
    config.hidden_size = hidden_size;
    status = api->packed_size(&config, &n_packed);
    if (status == PYGRU_OK) {
        status = api->step_workspace(&config, 1, &step.workspace_bytes);
    }
    if (status == PYGRU_OK) {
        packed = new_buffer(n_packed);
        workspace = new_buffer(step.workspace_bytes);
        h = PyBytes_FromStringAndSize(NULL, hidden_size * (Py_ssize_t)sizeof(float));
        if (packed.block == NULL || workspace.block == NULL || h == NULL) {
            Py_CLEAR(h);
            PyErr_NoMemory();
        } else {
            memset(PyBytes_AS_STRING(h), 0, (size_t)PyBytes_GET_SIZE(h));
            status = api->pack(&config, NULL, parameters, packed.aligned);
            step.packed = packed.aligned;
            step.workspace = workspace.aligned;
            step.x = x;
            step.h = step.h_next = PyBytes_AS_STRING(h);
            if (status == PYGRU_OK) {
                status = api->step(&step);
            }
        }
    }
    free(packed.block);
    free(workspace.block);
    if (status != PYGRU_OK) {
        Py_CLEAR(h);
        PyErr_SetString(PyExc_ValueError, api->status_text(status));
    }
    return h;
}

static PyMethodDef METHODS[] = {{"one_step", one_step, METH_VARARGS, NULL}, {0}};
static PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, .m_name = "capsule", .m_methods = METHODS};

PyMODINIT_FUNC PyInit_capsule(void) { return PyModule_Create(&MODULE); }
