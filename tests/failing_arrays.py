"""Makes the k-th memory that NumPy asks for unavailable, in whatever function it asks.

NumPy takes the memory of arrays from a handler that can be exchanged (NEP 49). The one here
counts, and refuses once. Python's own objects get their memory as ever.
"""

import contextlib
import ctypes

try:
    from numpy._core._multiarray_umath import _ARRAY_API
except ImportError:  # NumPy 1
    from numpy.core._multiarray_umath import _ARRAY_API

SET_HANDLER, GET_HANDLER = 304, 305  # places in NumPy's table of C functions
MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
CALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
NAME = b"mem_handler"


class Handler(ctypes.Structure):
    """``PyDataMem_Handler`` of NumPy."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", MALLOC),
        ("calloc", CALLOC),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


def _python(name, result, *arguments):
    function = ctypes.PYFUNCTYPE(result, *arguments)
    return function((name, ctypes.pythonapi))


_pointer = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_capsule = _python(
    "PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)
_table = ctypes.cast(_pointer(_ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
_set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(_table[SET_HANDLER])
_usual_capsule = ctypes.PYFUNCTYPE(ctypes.py_object)(_table[GET_HANDLER])()
_usual = Handler.from_address(_pointer(_usual_capsule, NAME))

countdown = 0  # 0: no memory is refused
asked = 0


def _is_refused():
    global countdown, asked
    asked += 1
    countdown -= 1
    return countdown == 0


@MALLOC
def _malloc(context, size):
    return None if _is_refused() else _usual.malloc(context, size)


@CALLOC
def _calloc(context, count, size):
    return None if _is_refused() else _usual.calloc(context, count, size)


# The arrays that are made with it refer to it, so it stays until the process ends.
_failing = Handler(b"pygru_tests", 1, None, _malloc, _calloc, _usual.realloc, _usual.free)
_failing_capsule = _capsule(ctypes.addressof(_failing), NAME, None)


@contextlib.contextmanager
def _handled(k):
    global countdown, asked
    countdown, asked = k, 0
    _set_handler(_failing_capsule)
    try:
        yield
    finally:
        _set_handler(_usual_capsule)


def allocations_of(call):
    """How often NumPy asks for memory during ``call()``."""
    with _handled(0):
        call()
    return asked


def fail_each(call, state, most=150):
    """Refuse each of the arrays that ``call`` makes, or ``most`` of them, once.

    Each time ``call`` must raise MemoryError, and ``state()`` must be as it was before. Return
    how many arrays there are.
    """
    n = allocations_of(call)
    for k in sorted({round(1 + i * (n - 1) / most) for i in range(most + 1)} - {0}):
        before = state()
        error = None
        with _handled(k):
            try:
                call()
            except MemoryError as raised:
                error = raised.with_traceback(None)  # which would keep arrays alive
        if asked < k:  # it keeps some arrays from one call to the next
            assert error is None
            continue
        assert error is not None, f"no error, although array {k} of {n} was refused"
        assert state() == before, f"array {k} of {n}"
    return n
