"""The BLAS that pygru finds at run time: signatures, 64-bit integers, small integer limits.

If a signature is read wrongly, pygru passes 32-bit integers where BLAS reads 64 bits. Here this
shows as an exception for a good signature, no exception for a bad one, or wrong results with
the small BLAS that the tests compile. What happens beyond the limit of BLAS's integers cannot
be tested with a real BLAS and arrays of a reasonable size, so the tests use a table with a
limit of 40.
"""

import ctypes
import re
import shutil
import subprocess
import types

import numpy as np
import pytest
from encodings_of_names import skip_unless_readable
from engines import HAS_SIMD, use, use_blas_for, use_engine
from patience import PATIENCE
from scipy.linalg import cython_blas

from pygru import GRU
from pygru.core import _core, backend, blas

NAMES = ("sgemm", "dgemm", "sgemv", "dgemv")
REAL = "__pyx_t_5scipy_6linalg_11cython_blas_"


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    """Use the engine that calls BLAS, also if it is not the default."""
    use_engine(monkeypatch, "blas")


# ---- signatures ------------------------------------------------------------------------

# As recorded from SciPy 1.17.1, LP64.
RECORDED = {
    f"{letter}{function}": "void ("
    + ", ".join({"r": f"{REAL}{letter} *", "i": "int *", "c": "char *"}[kind] for kind in kinds)
    + ")"
    for letter in "sd"
    for function, kinds in blas.PATTERNS.items()
}
SGEMV = (
    "void (char *, int *, int *, __pyx_t_5scipy_6linalg_11cython_blas_s *, "
    "__pyx_t_5scipy_6linalg_11cython_blas_s *, int *, "
    "__pyx_t_5scipy_6linalg_11cython_blas_s *, int *, "
    "__pyx_t_5scipy_6linalg_11cython_blas_s *, "
    "__pyx_t_5scipy_6linalg_11cython_blas_s *, int *)"
)


def with_const(signature):
    return re.sub(r"([(,] ?)(?=\w)", r"\1const ", signature)


def test_recorded_signature_is_that_of_scipy_1_17():
    assert RECORDED["sgemv"] == SGEMV


@pytest.mark.parametrize("name", NAMES)
def test_signature_of_the_installed_scipy_is_known(name):
    capsule = cython_blas.__pyx_capi__[name]
    width = getattr(cython_blas, "_blas_int_size", lambda: 4)()
    assert blas.int_bytes_of(name, _core.capsule_name(capsule), width) in (4, 8)


VARIANTS = {
    "LP64": (lambda s: s, 4),
    "float": (lambda s: s.replace(f"{REAL}s", "float").replace(f"{REAL}d", "double"), 4),
    "const": (with_const, 4),
    "int32_t": (lambda s: s.replace("int *", "int32_t *"), 4),
    "int64_t": (lambda s: s.replace("int *", "int64_t *"), 8),
    "npy_int64": (lambda s: s.replace("int *", "npy_int64 *"), 8),
    "const-int64_t": (lambda s: with_const(s.replace("int *", "int64_t *")), 8),
    "blas_int": (lambda s: s.replace("int *", "blas_int *"), 8),
    "mangled-blas_int": (lambda s: s.replace("int *", f"{REAL}blas_int *"), 8),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_known_signatures_give_the_width(name, variant):
    change, width = VARIANTS[variant]
    assert blas.int_bytes_of(name, change(RECORDED[name]), blas_int_bytes=8) == width


def test_typedef_has_the_width_that_scipy_says():
    signature = RECORDED["sgemm"].replace("int *", "blas_int *")
    assert blas.int_bytes_of("sgemm", signature, 4) == 4
    assert blas.int_bytes_of("sgemm", signature, 8) == 8
    assert blas.int_bytes_of("sgemm", signature) == 4


BAD = {
    "empty": lambda s: "",
    "garbage": lambda s: "hello",
    "no-arguments": lambda s: "void ()",
    "returns-int": lambda s: s.replace("void", "int", 1),
    "swapped-reals": lambda s: s.replace(f"{REAL}s", f"{REAL}d"),
    "double": lambda s: s.replace(f"{REAL}s", "double"),
    "one-wrong-real": lambda s: s.replace(f"{REAL}s", f"{REAL}d", 1),
    "complex": lambda s: s.replace(f"{REAL}s", f"{REAL}c"),
    "mixed-integers": lambda s: s.replace("int *", "int64_t *", 1),
    "short": lambda s: s.replace("int *", "short *"),
    "unsigned": lambda s: s.replace("int *", "unsigned int *"),
    "long": lambda s: s.replace("int *", "long *"),
    "by-value": lambda s: s.replace("int *", "int"),
    "double-pointer": lambda s: s.replace("int *", "int **"),
    "one-too-few": lambda s: s.rpartition(", ")[0] + ")",
    "one-too-many": lambda s: s[:-1] + ", int *)",
    "character-length": lambda s: s[:-1] + ", size_t)",
    "int-for-char": lambda s: s.replace("char *", "int *"),
    "trailing": lambda s: s + ";",
    "nogil": lambda s: s + " nogil",
}


@pytest.mark.parametrize("function", ["sgemm", "sgemv"])
@pytest.mark.parametrize("change", BAD)
def test_other_signatures_are_refused(change, function):
    signature = BAD[change](RECORDED[function])
    assert signature != RECORDED[function]
    with pytest.raises(ImportError) as raised:
        blas.int_bytes_of(function, signature)
    assert f"pygru cannot use scipy.linalg.cython_blas.{function} from SciPy" in str(
        raised.value
    )
    assert f"unexpected signature {signature!r}" in str(raised.value)


# ---- modules ---------------------------------------------------------------------------

PyCapsule_New = ctypes.pythonapi.PyCapsule_New
PyCapsule_New.restype = ctypes.py_object
PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_names = []  # a capsule only borrows its name


def capsule(address, signature):
    _names.append(signature.encode())
    return PyCapsule_New(address, _names[-1], None)


def module_with(signatures):
    """A module like cython_blas with functions of these signatures; they are never called."""
    exports = {name: capsule(1, signature) for name, signature in signatures.items()}
    return types.SimpleNamespace(__pyx_capi__=exports)


def test_table_of_a_module_with_known_signatures():
    assert blas.blas_table(module_with(RECORDED)).int_bytes == 4


def test_table_with_64_bit_integers():
    wide = {name: s.replace("int *", "int64_t *") for name, s in RECORDED.items()}
    assert blas.blas_table(module_with(wide)).int_bytes == 8


def test_table_asks_the_module_for_the_width_of_its_typedef():
    typedef = {name: s.replace("int *", "blas_int *") for name, s in RECORDED.items()}
    module = module_with(typedef)
    module._blas_int_size = lambda: 8
    assert blas.blas_table(module).int_bytes == 8


@pytest.mark.parametrize("name", NAMES)
def test_missing_function_is_refused(name):
    rest = {other: signature for other, signature in RECORDED.items() if other != name}
    with pytest.raises(ImportError, match=f"from SciPy .*: it has no {name}"):
        blas.blas_table(module_with(rest))


@pytest.mark.parametrize("name", NAMES)
def test_one_unknown_signature_is_refused(name):
    with pytest.raises(ImportError, match=f"cython_blas.{name} from SciPy .*'void '"):
        blas.blas_table(module_with({**RECORDED, name: "void "}))


def test_functions_of_different_widths_are_refused():
    mixed = {**RECORDED, "dgemv": RECORDED["dgemv"].replace("int *", "int64_t *")}
    with pytest.raises(ImportError, match="differ in integer width"):
        blas.blas_table(module_with(mixed))


# ---- a BLAS with 64-bit integers -------------------------------------------------------

SOURCE = r"""
#include <stdint.h>

int64_t calls = 0;
int64_t bad = 0;
int64_t largest = 0;

static void look(int64_t value) { largest = value > largest ? value : largest; }

#define AT(data, ld, row, column) (data)[(row) + (column) * (ld)]

#define DEFINE(REAL, GEMM, GEMV)                                                              \
    void GEMM(char *ta, char *tb, int64_t *m, int64_t *n, int64_t *k, REAL *alpha, REAL *a,   \
              int64_t *lda, REAL *b, int64_t *ldb, REAL *beta, REAL *c, int64_t *ldc) {       \
        const int64_t a_rows = *ta == 'N' ? *m : *k, b_rows = *tb == 'N' ? *k : *n;           \
        int64_t i, j, l;                                                                      \
        calls++, look(*m), look(*n), look(*k), look(*lda), look(*ldb), look(*ldc);            \
        bad += *lda < (a_rows > 1 ? a_rows : 1) || *ldb < (b_rows > 1 ? b_rows : 1) ||        \
               *ldc < (*m > 1 ? *m : 1) || *m < 0 || *n < 0 || *k < 0;                        \
        for (j = 0; j < *n; j++) {                                                            \
            for (i = 0; i < *m; i++) {                                                        \
                double sum = 0;                                                               \
                REAL *to = &AT(c, *ldc, i, j);                                                \
                for (l = 0; l < *k; l++) {                                                    \
                    sum += (double)(*ta == 'N' ? AT(a, *lda, i, l) : AT(a, *lda, l, i)) *     \
                           (*tb == 'N' ? AT(b, *ldb, l, j) : AT(b, *ldb, j, l));              \
                }                                                                             \
                *to = (REAL)(*alpha * sum + (*beta == 0 ? 0 : *beta * *to));                  \
            }                                                                                 \
        }                                                                                     \
    }                                                                                         \
    void GEMV(char *ta, int64_t *m, int64_t *n, REAL *alpha, REAL *a, int64_t *lda, REAL *x,  \
              int64_t *incx, REAL *beta, REAL *y, int64_t *incy) {                            \
        const int64_t rows = *ta == 'N' ? *m : *n, inner = *ta == 'N' ? *n : *m;              \
        int64_t i, l;                                                                         \
        calls++, look(*m), look(*n), look(*lda);                                              \
        bad += *lda < (*m > 1 ? *m : 1) || *incx == 0 || *incy == 0;                          \
        for (i = 0; i < rows; i++) {                                                          \
            double sum = 0;                                                                   \
            for (l = 0; l < inner; l++) {                                                     \
                sum += (double)(*ta == 'N' ? AT(a, *lda, i, l) : AT(a, *lda, l, i)) *         \
                       x[l * *incx];                                                          \
            }                                                                                 \
            y[i * *incy] = (REAL)(*alpha * sum + (*beta == 0 ? 0 : *beta * y[i * *incy]));    \
        }                                                                                     \
    }

DEFINE(float, my_sgemm, my_sgemv)
DEFINE(double, my_dgemm, my_dgemv)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A BLAS in plain C whose integers have 64 bits, and which counts its calls."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("blas")
    skip_unless_readable(folder)  # threadpoolctl looks at every library that is loaded
    source, target = folder / "blas64.c", folder / "blas64.so"
    source.write_text(SOURCE)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", target, source]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    return ctypes.CDLL(str(target))


def wide_capsules(library):
    return {
        name: capsule(
            ctypes.cast(getattr(library, f"my_{name}"), ctypes.c_void_p).value,
            RECORDED[name].replace("int *", "int64_t *"),
        )
        for name in NAMES
    }


@pytest.fixture
def wide_blas(library, monkeypatch):
    """Make pygru use the compiled BLAS; check that it did, with sane arguments."""
    calls, bad = (ctypes.c_int64.in_dll(library, name) for name in ("calls", "bad"))
    calls.value = bad.value = 0
    use(monkeypatch, blas=_core.Blas(wide_capsules(library), 8, 2**63 - 1))
    yield
    assert calls.value > 0
    assert bad.value == 0


def results(dtype, rows, batch, **options):
    """Everything that a GRU computes, as a dict of arrays."""
    rng = np.random.default_rng(3)
    gru = GRU(6, 10, 2, dtype=dtype, seed=0, **options)
    x = rng.standard_normal((rows, batch, 6)).astype(dtype)
    lengths = rng.integers(0, rows + 1, batch)
    found = dict(zip(("inference", "h_n"), gru(x, lengths=lengths), strict=True))
    for memory in ("gates", "outputs"):
        output, h_n, tape = gru.forward(x, lengths=lengths, memory=memory)
        d_x, d_h0 = gru.backward(tape, np.cos(output), np.sin(h_n))
        found |= {f"{memory} {i}": a for i, a in enumerate((output, h_n, d_x, d_h0))}
    found["grads"] = gru.flat_grads
    if not gru.bidirectional:
        h = np.zeros((2, batch, 10), dtype)
        stream = gru.stream(batch)
        for x_t in x[:3]:
            h = gru.step(x_t, h)
            found["stream"] = stream(x_t).copy()
        found["step"] = h
    return found


def assert_close(found, expected, dtype):
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(
            found[name], array, rtol=tolerance, atol=10 * tolerance, err_msg=name
        )


OPTIONS = [
    {"variant": "chung"},
    {"variant": "pytorch", "bidirectional": True},
    {"variant": "cho", "bias": False},
]


CASES = [
    {"dtype": dtype, "rows": rows, "batch": batch, **options}
    for dtype in ("float32", "float64")
    for options in OPTIONS
    for rows, batch in ((9, 1), (30, 7), (5, 70))
]


def title(arguments):
    return "-".join(str(value) for value in arguments.values())


@pytest.mark.parametrize("arguments", CASES, ids=title)
def test_blas_with_64_bit_integers_gives_the_same_results(arguments, request):
    expected = results(**arguments)
    request.getfixturevalue("wide_blas")
    assert_close(results(**arguments), expected, arguments["dtype"])


@pytest.mark.skipif(not HAS_SIMD, reason="needs the SIMD engine")
@pytest.mark.parametrize("arguments", CASES, ids=title)
def test_simd_engine_calls_no_blas(arguments, library, monkeypatch):
    """The result has the same bits in any batch, which a product of BLAS would not have."""
    use_engine(monkeypatch, "simd")
    use(monkeypatch, blas=_core.Blas(wide_capsules(library), 8, 2**63 - 1))
    calls = ctypes.c_int64.in_dll(library, "calls")
    calls.value = 0
    results(**arguments)
    assert calls.value == 0


# ---- small limits ----------------------------------------------------------------------


def limited(max_int):
    """SciPy's own BLAS, which is said to accept no integer above ``max_int``."""
    table = backend.current().blas
    return _core.Blas(dict(cython_blas.__pyx_capi__), table.int_bytes, max_int)


@pytest.mark.parametrize("arguments", CASES, ids=title)
def test_products_longer_than_the_limit_are_cut(arguments, monkeypatch):
    """4H = 40 is the longest row. All cases except the first have more than 40 rows."""
    expected = results(**arguments)
    use(monkeypatch, blas=limited(40))
    assert_close(results(**arguments), expected, arguments["dtype"])


def test_no_argument_exceeds_the_limit(library, monkeypatch):
    expected = results("float64", 30, 7)
    use(monkeypatch, blas=_core.Blas(wide_capsules(library), 8, 40))
    largest = ctypes.c_int64.in_dll(library, "largest")
    largest.value = 0
    assert_close(results("float64", 30, 7), expected, "float64")
    assert largest.value == 40


TOO_SHORT = [
    pytest.param({"input_size": 6}, 39, id="4H"),
    pytest.param({"input_size": 50}, 49, id="I"),
    pytest.param({"input_size": 6, "num_layers": 2, "bidirectional": True}, 39, id="stacked"),
]
MATCH = "longer than the integer type of this BLAS"


@pytest.mark.parametrize(("options", "limit"), TOO_SHORT)
def test_row_longer_than_the_limit_is_refused(options, limit, monkeypatch):
    gru = GRU(hidden_size=10, seed=0, **options)
    x = np.ones((4, 3, gru.input_size), np.float32)
    output, _, tape = gru.forward(x)
    use_blas_for(monkeypatch, gru, limited(limit))
    weights = gru.flat_parameters.copy()
    for call in (lambda: gru(x), lambda: gru.forward(x), lambda: gru.backward(tape, output)):
        with pytest.raises(ValueError, match=MATCH):
            call()
    assert not gru.flat_grads.any()
    np.testing.assert_array_equal(gru.flat_parameters, weights)
    use_blas_for(monkeypatch, gru, limited(limit + 1))
    np.testing.assert_allclose(gru(x)[0], output, rtol=1e-5, atol=1e-6)
    gru.backward(tape, output)


@pytest.mark.parametrize("batch", [None, 3])
def test_step_with_rows_longer_than_the_limit_is_refused(batch, monkeypatch):
    use(monkeypatch, blas=limited(39))
    gru = GRU(6, 10, seed=0)
    shape = () if batch is None else (batch,)
    with pytest.raises(ValueError, match=MATCH):
        gru.step(np.ones((*shape, 6)), np.zeros((1, *shape, 10)))
    with pytest.raises(ValueError, match=MATCH):
        gru.stream(batch)(np.ones((*shape, 6)))


def test_refused_row_leaves_the_generator_of_dropout(monkeypatch):
    """Also after forward has raised, the next dropout mask is the one expected."""
    use(monkeypatch, blas=limited(39))
    gru = GRU(6, 10, 2, dropout=0.5, seed=0)
    before = repr(gru.generator.bit_generator.state)
    with pytest.raises(ValueError, match=MATCH):
        gru.forward(np.ones((4, 3, 6)))
    assert repr(gru.generator.bit_generator.state) == before
