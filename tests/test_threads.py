"""Threads: how many a call uses, that BLAS stays at one, and that no result depends on them.

These tests fail if the settings are looked up in a wrong order, if a limit of BLAS remains
after a call, if Python threads share a buffer, or if the order of a sum depends on the number
of threads.
"""

import ast
import contextlib
import ctypes
import gc
import hashlib
import inspect
import os
import platform
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import threadpoolctl
from encodings_of_names import skip_unless_encodable
from engines import ENGINES, HAS_SIMD, use_engine
from patience import PATIENCE
from programs import run_program
from quick import quick_and_slow

import pygru
from pygru import GRU
from pygru.core import _core, _testing
from pygru.core.threadpool import PoolController

CAP = 64


@pytest.fixture(autouse=True)
def no_process_wide_setting():
    pygru.set_num_threads(None)
    yield
    pygru.set_num_threads(None)


@contextlib.contextmanager
def switching_often():
    """Make Python switch between threads as often as possible."""
    kept = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(kept)


def run_in_threads(count, function):
    """Call ``function(index)`` in ``count`` threads at once; return results, raise errors."""
    barrier = threading.Barrier(count)
    results, errors = [None] * count, []

    def body(index):
        try:
            barrier.wait()
            results[index] = function(index)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
    if errors:
        raise errors[0]
    return results


def digest(*arrays):
    result = hashlib.sha256()
    for array in arrays:
        result.update(array.tobytes())
    return result.hexdigest()


# ---- which count -----------------------------------------------------------------------


SETTINGS = ("PYGRU_NUM_THREADS", "OMP_NUM_THREADS", "OMP_THREAD_LIMIT")


def fresh_python(tmp_path, code, **variables):
    """Run ``code`` in a new process without the thread settings of this one."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


SHOW = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import pygru
ours = [(w.category.__name__, str(w.message)) for w in caught if "PYGRU" in str(w.message)]
print(pygru.get_num_threads(), len(ours))
for category, message in ours:
    print(category, message)
"""


@pytest.fixture(scope="module")
def default_count(tmp_path_factory):
    """The number of threads in a process without any setting."""
    shown, _ = fresh_python(tmp_path_factory.mktemp("default"), SHOW)
    count, warned = shown.split()
    assert warned == "0"
    return int(count)


def test_default_is_at_most_the_affinity(default_count):
    assert 1 <= default_count <= CAP
    if hasattr(os, "sched_getaffinity"):
        assert default_count <= len(os.sched_getaffinity(0))


def shown_with(text):
    """What ``SHOW`` prints where PYGRU_NUM_THREADS is ``text``."""
    done = run_program(SHOW, without=SETTINGS, PYGRU_NUM_THREADS=text)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_variable_sets_the_count():
    assert shown_with("3") == "3 0"


def test_variable_is_capped():
    assert shown_with("1000000000") == f"{CAP} 0"


def test_variable_of_all_threads(default_count):
    assert shown_with("-1") == f"{default_count} 0"


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_variable_is_none(default_count, text):
    assert shown_with(text) == f"{default_count} 0"


@pytest.mark.parametrize(
    "text",
    quick_and_slow(["abc", "²", "-3"], ["0", "-0", "1.5", "٣", "1_0", "--1", "2,1", "1 2"]),
)
def test_bad_variable_warns_once_and_is_ignored(default_count, text):
    """Row B-72, and decision 52."""
    skip_unless_encodable(text)
    first, *messages = shown_with(text).splitlines()
    assert first == f"{default_count} 1"
    assert messages == [
        f"RuntimeWarning PYGRU_NUM_THREADS={text!r} is not a positive integer, nor -1 for all "
        "threads; ignored"
    ]


def test_variable_with_thousands_of_digits_does_not_break_the_import():
    assert 1 <= int(shown_with("9" * 5000).split()[0]) <= CAP


def test_openmp_variable_limits_the_count(tmp_path):
    assert fresh_python(tmp_path, SHOW, OMP_NUM_THREADS="1")[0] == "1 0"


def test_own_variable_beats_that_of_openmp(tmp_path):
    variables = {"PYGRU_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"}
    assert fresh_python(tmp_path, SHOW, **variables)[0] == "2 0"


@pytest.mark.parametrize("text", ["abc", ""])
def test_bad_openmp_variable_is_ignored(tmp_path, default_count, text):
    """Row B-72. A message on stderr, if there is one, comes from libgomp."""
    assert fresh_python(tmp_path, SHOW, OMP_NUM_THREADS=text)[0] == f"{default_count} 0"


# A machine with fewer processors allows fewer. Without the variable OpenMP asks the system.
ON_FOUR = SHOW.replace(
    "    import pygru\n",
    """\
    import os, pygru
    os.sched_getaffinity = lambda process: range(4)
    core = pygru.core.threads._core
    if is_bad or not core.openmp_version():
        core.available_threads = lambda: 4
""",
)
COUNTS = {  # row B-72: what the two variables give where four processors are allowed
    (None, None): 4,
    (None, "1"): 1,
    (None, "4"): 4,
    (None, "0"): 4,
    (None, "abc"): 4,
    (None, "2,1"): 2,
    ("1", None): 1,
    ("4", "1"): 4,
    ("-1", None): 4,
    ("-1", "2,1"): 2,
    ("", "2,1"): 2,
}


@pytest.mark.slow
@pytest.mark.parametrize(("own", "openmps"), COUNTS)
def test_the_two_variables(tmp_path, own, openmps):
    """OpenMP reads its variable itself, so each case needs a new Python."""
    given = {"PYGRU_NUM_THREADS": own, "OMP_NUM_THREADS": openmps}
    variables = {name: text for name, text in given.items() if text is not None}
    code = f"is_bad = {openmps in (None, '0', 'abc')}\n{ON_FOUR}"
    assert fresh_python(tmp_path, code, **variables)[0] == f"{COUNTS[own, openmps]} 0"


def test_process_wide_setting_and_back():
    default = pygru.get_num_threads()
    pygru.set_num_threads(5)
    assert pygru.get_num_threads() == 5
    pygru.set_num_threads(None)
    assert pygru.get_num_threads() == default


def test_block_beats_the_process_and_nests():
    pygru.set_num_threads(5)
    with pygru.num_threads(3):
        assert pygru.get_num_threads() == 3
        with pygru.num_threads(2):
            assert pygru.get_num_threads() == 2
            pygru.set_num_threads(7)
            assert pygru.get_num_threads() == 2
        assert pygru.get_num_threads() == 3
    assert pygru.get_num_threads() == 7


def test_block_ends_with_an_exception():
    default = pygru.get_num_threads()
    with pytest.raises(KeyError), pygru.num_threads(3), pygru.num_threads(2):
        raise KeyError("out")
    assert pygru.get_num_threads() == default


def test_one_object_for_blocks_inside_one_another():
    default = pygru.get_num_threads()
    three = pygru.num_threads(3)
    with three:
        with pygru.num_threads(2), three:
            assert pygru.get_num_threads() == 3
        assert pygru.get_num_threads() == 3
    assert pygru.get_num_threads() == default
    with pytest.raises(KeyError), three:
        raise KeyError("out")
    assert pygru.get_num_threads() == default


def test_one_object_for_blocks_of_several_threads():
    """Both are in their blocks at once, and the first to enter is the first to leave."""
    three = pygru.num_threads(3)
    entered, both_entered, left = (threading.Event() for _ in range(3))

    def body(index):
        try:
            with pygru.num_threads(5 + index):
                if index == 1:
                    assert entered.wait(PATIENCE)
                with three:
                    inside = pygru.get_num_threads()
                    (both_entered if index else entered).set()
                    assert (left if index else both_entered).wait(PATIENCE)
                return inside, pygru.get_num_threads()
        finally:  # also after an error, so that the other one does not wait
            for event in (entered, both_entered, left) if index else (entered, left):
                event.set()

    assert run_in_threads(2, body) == [(3, 5), (3, 6)]


def test_blocks_that_end_in_another_order():
    """A generator leaves its block when it ends, which may be after the block around it."""

    def steps():
        with pygru.num_threads(2):
            yield

    default = pygru.get_num_threads()
    generator = steps()
    with pygru.num_threads(3):
        next(generator)
        assert pygru.get_num_threads() == 2
    generator.close()
    assert pygru.get_num_threads() == default


def test_block_is_of_its_own_thread():
    default = pygru.get_num_threads()
    # Free-threaded Python starts a thread in a copy of the context of the one that starts it.
    inherits = getattr(sys.flags, "thread_inherit_context", 0)
    with pygru.num_threads(default + 1):
        seen = run_in_threads(1, lambda index: pygru.get_num_threads())
    assert seen == [default + 1 if inherits else default]


def test_process_wide_setting_is_of_all_threads():
    pygru.set_num_threads(5)
    assert run_in_threads(2, lambda index: pygru.get_num_threads()) == [5, 5]


def test_negative_counts_from_all(default_count):
    everything = pygru.get_num_threads()
    for count, expected in [(-1, everything), (-2, max(1, everything - 1)), (-(10**9), 1)]:
        with pygru.num_threads(count):
            assert pygru.get_num_threads() == expected


@pytest.mark.parametrize("count", [65, 10**9, 2**70])
def test_large_counts_are_capped(count):
    with pygru.num_threads(count):
        assert pygru.get_num_threads() == CAP


def test_numpy_integer_is_a_count():
    with pygru.num_threads(np.int32(3)):
        assert pygru.get_num_threads() == 3


@pytest.mark.parametrize("bad", [True, 1.5, 2.0, "2", None, [2]])
def test_block_refuses_what_is_no_count(bad):
    match = f"n_threads must be an int, got {type(bad).__name__}$"
    with pytest.raises(TypeError, match=match), pygru.num_threads(bad):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("bad", [True, 1.5, "2", [2]])
def test_process_wide_setting_refuses_what_is_no_count(bad):
    with pytest.raises(TypeError, match="n_threads must be an int or None"):
        pygru.set_num_threads(bad)


def test_zero_is_refused_everywhere():
    match = "n_threads = 0 is invalid"
    with pytest.raises(ValueError, match=match):
        pygru.set_num_threads(0)
    with pytest.raises(ValueError, match=match), pygru.num_threads(0):
        pytest.fail("the block was entered")
    with pytest.raises(ValueError, match=match):
        GRU(2, 3, seed=0)(np.ones((4, 2)), n_threads=0)


def test_threadpool_limits_are_respected():
    before = pygru.get_num_threads()
    with threadpoolctl.threadpool_limits(1):
        assert pygru.get_num_threads() == 1
    assert pygru.get_num_threads() == before


def pool_info():
    (found,) = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "pygru"]
    return found


def test_threadpoolctl_shows_the_pool():
    """Row R-03. Also in builds without OpenMP, whose threads threadpoolctl does not know."""
    pygru.set_num_threads(3)
    info = pool_info()
    assert info["num_threads"] == 3
    assert info["version"] == pygru.__version__
    assert os.path.samefile(info["filepath"], _core.__file__)


def test_threadpoolctl_limits_the_pool_alone():
    pygru.set_num_threads(5)
    with threadpoolctl.threadpool_limits({"pygru": 2}):
        assert (pygru.get_num_threads(), pool_info()["num_threads"]) == (2, 2)
        assert pygru.show_config("dicts")["threads_from"] == "threadpoolctl"
        assert run_in_threads(1, lambda index: pygru.get_num_threads()) == [2]
        with threadpoolctl.threadpool_limits({"pygru": 1}):
            assert pygru.get_num_threads() == 1
        assert pygru.get_num_threads() == 2
        with pygru.num_threads(4):  # who asks for a number gets it
            assert pygru.get_num_threads() == 4
        assert pygru.core.threads.resolve(3) == 3
    assert pygru.get_num_threads() == 5


@pytest.mark.parametrize(
    ("limits", "inside"), [({"pygru": 2}, 2), ({"pygru": 6}, 6), ({"pygru": 4}, 8), ({}, 8)]
)
def test_a_limit_ends_with_its_block_whatever_was_set_inside(limits, inside):
    """A block that limits other libraries, or limits nothing at first, sets no limit at all."""
    pygru.set_num_threads(4)
    with threadpoolctl.threadpool_limits(limits):
        pygru.set_num_threads(8)
        assert pygru.get_num_threads() == inside
        with threadpoolctl.threadpool_limits({"pygru": 1}):
            pygru.set_num_threads(3)
            assert pygru.get_num_threads() == 1
        pygru.set_num_threads(8)
        assert pygru.get_num_threads() == inside
    assert pygru.get_num_threads() == 8
    assert pygru.show_config("dicts")["threads_from"] == "pygru.set_num_threads"


@pytest.mark.parametrize("bad", [1.5, "2", [1]])
def test_a_limit_is_an_int(bad):
    before, set_before = pygru.get_num_threads(), list(pygru.core.threads._limits)
    message = f"the limit of 'pygru' must be an int, got {type(bad).__name__}"
    with (
        pytest.raises(TypeError, match=message),
        threadpoolctl.threadpool_limits({"pygru": bad}),
    ):
        pytest.fail("the block was entered")
    assert pygru.core.threads._limits == set_before
    with threadpoolctl.threadpool_limits({"pygru": np.int32(1)}):
        assert type(pygru.get_num_threads()) is int
    assert pygru.get_num_threads() == before


def test_limits_may_end_in_any_order():
    """Blocks of two Python threads overlap."""
    pygru.set_num_threads(5)
    first = threadpoolctl.threadpool_limits({"pygru": 3})
    second = threadpoolctl.threadpool_limits({"pygru": 2})
    first.restore_original_limits()
    assert pygru.get_num_threads() == 2
    second.restore_original_limits()
    assert pygru.get_num_threads() == 5


def test_limits_that_nobody_ends_are_not_remembered_for_ever():
    before = len(pygru.core.threads._limits)
    pygru.set_num_threads(5)
    limits = [threadpoolctl.threadpool_limits({"pygru": 2 + i % 2}) for i in range(6)]
    assert len(pygru.core.threads._limits) == before + 6
    del limits
    gc.collect()
    with threadpoolctl.threadpool_limits({"pygru": 1}):
        assert len(pygru.core.threads._limits) <= before + 2
    assert pygru.get_num_threads() == 3
    pygru.core.threads._limits.clear()


def test_the_module_of_another_package_with_this_name_is_not_the_pool(tmp_path):
    copied = shutil.copy(_core.__file__, tmp_path)
    ctypes.CDLL(copied)
    arguments = {"filepath": copied, "prefix": os.path.basename(copied), "parent": None}
    taken = inspect.signature(PoolController).parameters  # "parent" is newer than the others
    controller = PoolController(**{name: arguments[name] for name in taken})
    assert not any(hasattr(controller.dynlib, name) for name in controller.check_symbols)


@pytest.fixture
def team_sizes():
    """The numbers of threads that the core was called with."""
    seen = []
    _testing.watch_calls_with(seen.append)
    yield seen
    _testing.watch_calls_with(None)


def large_model(**options):
    return GRU(16, 64, seed=0, **options), np.ones((20, 64, 16), np.float32)


def test_argument_beats_every_other_setting(team_sizes):
    gru, x = large_model()
    pygru.set_num_threads(1)
    with pygru.num_threads(2):
        gru(x, n_threads=3)
        gru(x)
    gru(x)
    assert team_sizes == [3, 2, 1]


def test_tape_remembers_the_argument(team_sizes):
    gru, x = large_model()
    tape = gru.forward(x, n_threads=2)[2]
    with pygru.num_threads(1):
        gru.backward(tape)
    assert team_sizes == [2, 2]


def test_small_call_gets_one_thread(team_sizes):
    GRU(2, 3, seed=0)(np.ones((4, 2)), n_threads=4)
    assert team_sizes == [1]


def test_call_gets_no_more_threads_than_it_has_work(team_sizes):
    gru, x = large_model()
    gru(x[:, :1].repeat(2, axis=1).repeat(20, axis=0), n_threads=8)  # two sequences: one chunk
    assert team_sizes == [1]


# ---- the threads that there are --------------------------------------------------------

# Prints the threads of the process before and after each call, and whether the bits are right.
# A thread gets as much address space for its stack as the process allows for one. So where
# address space is limited the system can start few threads, or none.
THREADS_OF_A_PROCESS = """
import os, resource, sys
import numpy as np, pygru

def threads():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))

gru = pygru.GRU(16, 64, seed=0)
x = np.ones((20, 64, 16), np.float32)
expected, before, room = gru(x, n_threads=1)[0], threads(), int(sys.argv[1])
if room:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
found = []
for count in (4, 2, 4):
    same = np.array_equal(gru(x, n_threads=count)[0], expected)
    found.append((threads() - before, same))
print(found)
"""
GIGABYTE = 1 << 30


def threads_of_a_process(room):
    import resource

    def allow_large_stacks():  # 1 GB of address space for the stack of each thread
        resource.setrlimit(resource.RLIMIT_STACK, (GIGABYTE, resource.RLIM_INFINITY))

    done = subprocess.run(
        [sys.executable, "-P", "-c", THREADS_OF_A_PROCESS, str(room)],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYGRU_THREADING": "pool"},
        preexec_fn=allow_large_stacks,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


# glibc takes the size of a thread's stack from this limit.
on_glibc = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc",
    reason="needs Linux and glibc",
)


@on_glibc
def test_a_process_has_as_many_threads_as_a_call_asks_for():
    """Row R-02: and not one more in later calls."""
    assert threads_of_a_process(room=0) == [(3, True)] * 3


@on_glibc
@pytest.mark.parametrize(
    ("started", "room"), [(0, GIGABYTE // 2), (1, GIGABYTE + GIGABYTE // 2)]
)
def test_a_system_without_threads_computes_on_fewer(started, room):
    """Row B-74: the same bits, and the process goes on."""
    assert threads_of_a_process(room) == [(started, True)] * 3


# ---- the limit of BLAS -----------------------------------------------------------------


@pytest.fixture
def blas_library():
    """The controller of SciPy's BLAS, set to two threads."""
    found = [
        library
        for library in threadpoolctl.ThreadpoolController().lib_controllers
        if library.user_api == "blas" and "scipy.libs" in library.filepath
    ]
    if not found:
        pytest.skip("SciPy's BLAS cannot be told from others here")
    library = found[0]
    kept = library.get_num_threads()
    library.set_num_threads(2)
    if library.get_num_threads() != 2:
        pytest.skip("SciPy's BLAS has one thread only")
    yield library
    library.set_num_threads(kept)


@pytest.fixture
def limit_seen(monkeypatch, blas_library):
    """The limits of BLAS while the core ran; set ``limit_seen.error`` to make it raise.

    Uses the engine that calls BLAS, also if it is not the default.
    """
    use_engine(monkeypatch, "blas")

    class Seen(list):
        error = None

    seen = Seen()

    def look(n_threads):
        seen.append(blas_library.get_num_threads())
        if seen.error is not None:
            raise seen.error

    _testing.watch_calls_with(look)
    yield seen
    _testing.watch_calls_with(None)


def test_blas_has_one_thread_during_a_call(blas_library, limit_seen):
    gru, x = large_model()
    gru(x)
    assert blas_library.get_num_threads() == 2
    output, _, tape = gru.forward(x)
    gru.backward(tape, output)
    assert blas_library.get_num_threads() == 2
    assert limit_seen == [1] * 3


def test_blas_limit_is_restored_after_an_error(blas_library, limit_seen):
    gru, x = large_model()
    limit_seen.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        gru(x)
    assert limit_seen == [1]
    assert blas_library.get_num_threads() == 2


def test_blas_limit_is_restored_after_many_calls_at_once(blas_library, limit_seen):
    gru, x = large_model()
    with switching_often():
        run_in_threads(8, lambda index: [gru(x, n_threads=1) for _ in range(5)])
    assert set(limit_seen) == {1}
    assert blas_library.get_num_threads() == 2


def test_blas_has_one_thread_whichever_python_thread_calls(blas_library, limit_seen):
    """threadpoolctl 3.8 obeys only the first Python thread that sets a limit."""
    gru, x = large_model()
    gru(x)  # the main thread is the first
    run_in_threads(1, lambda index: gru(x))
    assert limit_seen == [1] * 2
    assert blas_library.get_num_threads() == 2


def test_blas_limit_is_restored_by_whoever_leaves_last(blas_library):
    entered, leave = threading.Event(), threading.Event()

    def stay(index):
        with pygru.core.threads.single_threaded_blas(10**9):
            entered.set()
            leave.wait(PATIENCE)

    with pygru.core.threads.single_threaded_blas(10**9):
        worker = threading.Thread(target=stay, args=(0,))
        worker.start()
        assert entered.wait(PATIENCE)
    assert blas_library.get_num_threads() == 1
    leave.set()
    worker.join(PATIENCE)
    assert blas_library.get_num_threads() == 2


@pytest.mark.skipif(not HAS_SIMD, reason="needs the SIMD engine")
def test_simd_engine_needs_no_limit_for_inference(blas_library, limit_seen, monkeypatch):
    """The limit is a setting of the whole process, so other code would lose its threads."""
    use_engine(monkeypatch, "simd")
    gru, x = large_model()
    gru(x)
    assert limit_seen == [2]


@pytest.mark.parametrize("engine", ENGINES)
def test_large_step_limits_blas_and_restores(blas_library, engine, monkeypatch):
    use_engine(monkeypatch, engine)
    gru = GRU(64, 128, seed=0)
    stream = gru.stream(batch=32)
    stream(np.ones((32, 64)))
    gru.step(np.ones((32, 64)), np.ones((1, 32, 128)))
    assert blas_library.get_num_threads() == 2


# ---- results ---------------------------------------------------------------------------


def test_one_model_in_many_threads_gives_the_same_bits():
    gru = GRU(3, 8, 2, bidirectional=True, seed=0)
    x = np.random.default_rng(1).standard_normal((10, 4, 3)).astype(np.float32)
    expected = digest(*gru(x))
    with switching_often():
        results = run_in_threads(8, lambda i: {digest(*gru(x)) for _ in range(100)})
    assert results == [{expected}] * 8


def test_teams_of_many_threads_at_once_give_the_same_bits():
    gru, x = large_model()
    expected = digest(*gru(x, n_threads=1))
    with switching_often():
        results = run_in_threads(8, lambda i: {digest(*gru(x, n_threads=2)) for _ in range(5)})
    assert results == [{expected}] * 8


@pytest.mark.parametrize("variant", ["chung", "pytorch"])
@pytest.mark.parametrize(
    ("B", "lengths"),
    [(1, None), (3, [9, 0, 4]), (7, [5, 0, 0, 0, 0, 0, 0])],  # and fewer steps than sequences
)
def test_threads_that_share_every_step_give_the_same_bits(variant, B, lengths):
    """One or a few sequences, and weights that do not fit into the cache of one core."""
    gru = GRU(5, 301, 2, variant=variant, zoneout=0.3, recurrent_dropout=0.2, seed=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, B, 5)).astype(np.float32)
    h0 = rng.uniform(-1, 1, (2, B, 301)).astype(np.float32)
    results = []
    for n_threads in (1, 2, 3, 7):
        gru.generator = np.random.default_rng(1)
        gru.zero_grad()
        inference = gru(x, h0, lengths=lengths, n_threads=n_threads)
        output, h_n, tape = gru.forward(x, h0, lengths=lengths, n_threads=n_threads)
        d_x, d_h0 = gru.backward(tape, output, h_n)
        results.append((*inference, output, h_n, d_x, d_h0, gru.flat_grads.copy()))
    for other in results[1:]:
        for found, right in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, right)


def test_steps_of_many_threads_on_one_model():
    gru = GRU(3, 6, 2, variant="pytorch", seed=0)
    xs = np.random.default_rng(2).standard_normal((4, 100, 3)).astype(np.float32)

    def alone(x):
        h = np.zeros((2, 6), np.float32)
        return np.array([h := gru.step(x_t, h) for x_t in x])

    def batched(x):
        h = np.zeros((2, 1, 6), np.float32)
        return np.array([h := gru.step(x_t[None], h) for x_t in x])[:, :, 0]

    expected = [alone(x) for x in xs]
    with switching_often():
        results = run_in_threads(4, lambda i: (alone if i % 2 else batched)(xs[i]))
    for result, right in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, right)


def test_steps_of_different_batch_sizes_in_many_threads():
    gru = GRU(3, 6, seed=0)
    x = np.random.default_rng(3).standard_normal((30, 4, 3)).astype(np.float32)

    def last_state(index):
        h = np.zeros((1, index + 1, 6), np.float32)
        for x_t in x:
            h = gru.step(x_t[: index + 1], h, out=h)
        return h

    with switching_often():
        results = run_in_threads(4, last_state)
    for index, h in enumerate(results):
        np.testing.assert_array_equal(h, last_state(index))
        np.testing.assert_allclose(h, gru(x[:, : index + 1])[1], rtol=1e-5, atol=1e-6)


def test_the_first_calls_of_a_model_in_many_threads():
    x = np.random.default_rng(5).standard_normal((4, 2, 3)).astype(np.float32)
    h = np.zeros((1, 2, 6), np.float32)
    with switching_often():
        for seed in range(300):
            gru = GRU(3, 6, seed=seed)

            def first_call(index, gru=gru):
                return gru.step(x[0], h)[0] if index % 2 else gru(x)[0][0]

            for result in run_in_threads(4, first_call):
                np.testing.assert_allclose(result, first_call(0), rtol=1e-5, atol=1e-6)


def test_backward_of_different_models_at_once_equals_one_after_another():
    x = np.random.default_rng(4).standard_normal((10, 20, 8)).astype(np.float32)

    def gradients(index):
        gru = GRU(8, 24, seed=index)
        output, h_n, tape = gru.forward(x, n_threads=2)
        d_x, d_h0 = gru.backward(tape, output, h_n)
        return digest(d_x, d_h0, gru.flat_grads)

    expected = [gradients(index) for index in range(4)]
    with switching_often():
        assert run_in_threads(4, gradients) == expected


def run_everything(gru, x, lengths, memory, n_threads):
    gru.zero_grad()
    inference = gru(x, lengths=lengths, n_threads=n_threads)
    output, h_n, tape = gru.forward(x, lengths=lengths, memory=memory, n_threads=n_threads)
    gradients = gru.backward(tape, np.cos(output), np.sin(h_n))
    return digest(*inference, output, h_n, *gradients, gru.flat_grads)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("memory", ["gates", "outputs"])
@pytest.mark.parametrize("variant", ["chung", "pytorch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads_gives_the_same_bits(
    dtype, variant, memory, ragged, engine, monkeypatch
):
    use_engine(monkeypatch, engine)
    rng = np.random.default_rng(5)
    gru = GRU(7, 48, 2, bidirectional=True, variant=variant, dtype=dtype, seed=0)
    x = rng.standard_normal((15, 40, 7)).astype(dtype)
    lengths = rng.integers(0, 16, 40) if ragged else None
    with threadpoolctl.threadpool_limits(2, user_api="blas"):  # which pygru must lower
        digests = {
            run_everything(gru, x, lengths, memory, n_threads) for n_threads in (1, 2, 3, 4, 2)
        }
    assert len(digests) == 1


@pytest.mark.slow
def test_dynamic_teams_give_the_same_bits(tmp_path):
    """OMP_DYNAMIC may give a call fewer threads than it asks for."""
    code = """
import hashlib, numpy as np, pygru
gru = pygru.GRU(16, 64, seed=0)
x = np.random.default_rng(0).standard_normal((20, 64, 16)).astype(np.float32)
output, h_n, tape = gru.forward(x, n_threads=4)
d_x, d_h0 = gru.backward(tape, output)
parts = (output, h_n, d_x, d_h0, gru.flat_grads)
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""
    digests = {
        fresh_python(tmp_path, code, **variables)[0]
        for variables in (
            {},
            {"OMP_DYNAMIC": "true"},
            {"OMP_NUM_THREADS": "1"},
            {"OMP_THREAD_LIMIT": "2"},
        )
    }
    assert len(digests) == 1


@pytest.mark.parametrize("use", ["forward", "step"])
def test_threads_that_find_changed_weights_compute_with_whole_ones(use):
    """The GIL is released while so many weights are packed, so all threads do it at once."""
    gru, states = GRU(64, 96, seed=0), [GRU(64, 96, seed=n).state_dict() for n in range(6)]
    x = np.random.default_rng(0).standard_normal((3, 2, 64)).astype(np.float32)
    h = np.zeros((1, 2, 96), np.float32)

    def call(model):
        return model(x)[0] if use == "forward" else model.step(x[0], h)

    with switching_often():
        for state in states:
            expected = GRU(64, 96, seed=0)
            expected.load_state_dict(state)
            gru.load_state_dict(state)
            for found in run_in_threads(4, lambda _: call(gru)):
                assert found.tobytes() == call(expected).tobytes()
