"""Runs the own checks of sktime or aeon on pygru's adapters, in an environment that has one.

Their requirements exclude each other's, and some of the newest NumPy, pandas and scikit-learn.
Therefore each runs in an environment of its own:

    pip install "pygru[sktime]" pytest && python -P tests/check_sktime_and_aeon.py sktime
    pip install "pygru[aeon]" pytest && python -P tests/check_sktime_and_aeon.py aeon

Prints how many checks have passed, and exits with 1 if one fails.
"""

import importlib
import importlib.metadata
import sys
import warnings


def check(library):
    """Return the result of each check by name: "PASSED", or the error."""
    adapters = importlib.import_module(f"pygru.{library}")
    results = {}
    for name in adapters.__all__:
        estimator = getattr(adapters, name)
        if library == "sktime":
            from sktime.utils.estimator_checks import check_estimator
        else:
            from aeon.testing.estimator_checking import check_estimator
        found = check_estimator(estimator, raise_exceptions=False, verbose=False)
        results |= {f"{name}: {key}": value for key, value in found.items()}
    return results


def main():
    """Run the checks of the library that the command line names."""
    (library,) = sys.argv[1:]
    warnings.simplefilter("ignore")
    results = check(library)
    passed = {name for name, value in results.items() if value == "PASSED"}
    skipped = {name for name, value in results.items() if str(value).startswith("Skip")}
    failed = results.keys() - passed - skipped
    for name in sorted(failed):
        print(f"{name}\n    {results[name]!r}")
    version = importlib.metadata.version(library)
    counts = f"{len(passed)} checks passed, {len(failed)} failed, {len(skipped)} skipped"
    print(f"{library} {version}: {counts}")
    sys.exit(1 if failed or not passed else 0)


main()
