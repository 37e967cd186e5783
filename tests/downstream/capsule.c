/* capsule.c - an extension module that calls an installed pygru without linking anything. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "api.h"

#include <stdlib.h>
#include <string.h>

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
    void *packed = NULL;
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
        packed = calloc(1, (size_t)n_packed);
        step.workspace = calloc(1, (size_t)step.workspace_bytes);
        h = PyBytes_FromStringAndSize(NULL, hidden_size * (Py_ssize_t)sizeof(float));
        if (packed != NULL && step.workspace != NULL && h != NULL) {
            memset(PyBytes_AS_STRING(h), 0, (size_t)PyBytes_GET_SIZE(h));
            status = api->pack(&config, NULL, parameters, packed);
            step.packed = packed;
            step.x = x;
            step.h = step.h_next = PyBytes_AS_STRING(h);
            if (status == PYGRU_OK) {
                status = api->step(&step);
            }
        }
    }
    free(packed);
    free(step.workspace);
    if (status != PYGRU_OK) {
        Py_CLEAR(h);
        PyErr_SetString(PyExc_ValueError, api->status_text(status));
    }
    return h;
}

static PyMethodDef METHODS[] = {{"one_step", one_step, METH_VARARGS, NULL}, {0}};
static PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, .m_name = "capsule", .m_methods = METHODS};

PyMODINIT_FUNC PyInit_capsule(void) { return PyModule_Create(&MODULE); }
