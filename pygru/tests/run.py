"""Runs the tests of this package without pytest, which a machine in use rarely has."""

import time
import traceback
import unittest


def test() -> bool:
    """Test this installation, and print what was tested.

    The tests compare outputs and gradients with stored results of an independent
    implementation, on every instruction set and engine that this machine can use. They also
    compare the bits of different numbers of threads, of a stream and a whole sequence, of a
    forked process, of a saved model, and of a training that is repeated.

    ``python -m pygru.tests`` does the same and has an exit status. With pytest,
    ``pytest --pyargs pygru`` runs the same tests.

    Returns
    -------
    bool
        Whether every test has passed. One that this system does not allow is skipped.

    Examples
    --------
    >>> import pygru
    >>> pygru.test()  # doctest: +SKIP
    passed   test_results_are_those_of_the_stored_cases (1.4 s)
    ...
    True
    """
    import pygru
    from pygru.tests import test_installed

    print(f"pygru {pygru.__version__} in {pygru.__path__[0]}")
    functions = [
        (name, function)
        for name, function in vars(test_installed).items()
        if name.startswith("test_")
    ]
    failed = 0
    for name, function in functions:
        begin = time.perf_counter()
        result, reason = "passed", ""
        try:
            function()
        except unittest.SkipTest as skipped:
            result, reason = "skipped", f": {skipped}"
        except Exception:
            traceback.print_exc()
            result = "FAILED"
            failed += 1
        print(f"{result:8} {name} ({time.perf_counter() - begin:.1f} s){reason}", flush=True)
    print(f"{failed} of {len(functions)} tests {'has' if failed == 1 else 'have'} failed")
    return failed == 0


# Its name looks like a test to pytest, in a file that has imported it.
test.__test__ = False  # type: ignore[attr-defined]
