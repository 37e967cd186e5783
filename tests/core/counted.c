/* counted.c - calls a Python object under callgrind, and counts only these calls.
 *
 * tests/call_counts.py compiles it to a library and loads it with ctypes.PyDLL. The few functions
 * of Python's C API are declared here, so that Python's headers need not be installed. */
#include <stddef.h>

#include <valgrind/callgrind.h>

typedef struct object PyObject;
extern PyObject *PyObject_CallNoArgs(PyObject *callable);
extern void Py_DecRef(PyObject *object);

/* Call a function n times; write the instructions to a file of callgrind's. An error ends it, and
 * ctypes raises the error. */
void counted(PyObject *callable, int n, const char *name);

void counted(PyObject *callable, int n, const char *name) {
    int i;
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    for (i = 0; i < n; i++) {
        PyObject *result = PyObject_CallNoArgs(callable);
        if (result == NULL) {
            break;
        }
        Py_DecRef(result);
    }
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
}
