"""For all tests: --of-each, one thread for BLAS, Ctrl-C, and less garbage to collect.

    pytest --of-each 5

runs every fifth case of each test function, beginning with the first. This is for a second run
with other versions of the dependencies: it calls all that the full run calls, with fewer
shapes. A number that shares no factor with the lengths of the lists of parameters, most of them
2, 3 or 4, takes each of their values in turn. Tests marked "every_case" are run in full: each
of their cases is a subject of its own, such as an example of the documentation.
"""

import gc
import os
import signal
import sys
from collections import Counter

import pytest

# OpenBLAS, the library of NumPy's and SciPy's products, reads this when it is loaded. Products
# in tests are small, and its threads would compete for the processors, most of all where
# several processes run tests. A test that needs its threads sets their number.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell ignores SIGINT for jobs in the background, and so would every process of a test. With
# a handler here, the processes that tests start do what SIGINT does to a program of a user.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption(
        "--of-each", type=int, default=1, metavar="N", help="run every Nth case of each test"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "every_case: --of-each leaves none of its cases out")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Keep the tests themselves away from the garbage collector: they live until the end.

    There are 400,000 objects of them and of the packages that they import. To look at these
    takes 0.2 s, which each test that calls gc.collect() would spend.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        if "hypothesis" in sys.modules:
            make_the_generator_of_hypothesis()
        gc.collect()
        gc.freeze()
        gc.enable()


def make_the_generator_of_hypothesis():
    """Run one example, so that Hypothesis makes its generator of random numbers now.

    When it makes it, it warns unless the garbage collector finds an object that refers to it.
    The collector does not find frozen ones.
    """
    from hypothesis import given, settings, strategies

    @settings(max_examples=1, database=None)
    @given(strategies.none())
    def nothing(_):
        pass

    nothing()


@pytest.hookimpl(trylast=True)  # after those that -m and -k leave out
def pytest_collection_modifyitems(config, items):
    number = config.getoption("--of-each")
    if number < 1:
        raise pytest.UsageError(f"--of-each: must be at least 1, got {number}")
    cases, kept, left = Counter(), [], []
    for item in items:
        function = item.nodeid.partition("[")[0]
        every = item.get_closest_marker("every_case") or cases[function] % number == 0
        (kept if every else left).append(item)
        cases[function] += 1
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept
