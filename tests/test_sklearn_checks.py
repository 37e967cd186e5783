"""scikit-learn's common checks, all of them, for each estimator; none may fail."""

import os
import subprocess
import sys
import warnings

import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from pygru.sklearn import GRUClassifier, GRURegressor, GRUTransformer

pytestmark = pytest.mark.every_case

# Few epochs, and steps that are large enough for them.
QUICK = {"max_iter": 30, "learning_rate_init": 0.02, "n_threads": 1}
CLASSIFIER = GRUClassifier(16, **QUICK)
OTHERS = [
    GRURegressor(16, **QUICK | {"max_iter": 80, "learning_rate_init": 0.01}),
    GRUTransformer(4, **QUICK),
]


@parametrize_with_checks([CLASSIFIER])
def test_common_checks(estimator, check):
    passes(estimator, check)


@pytest.mark.slow
@parametrize_with_checks(OTHERS)
def test_common_checks_of_the_others(estimator, check):
    passes(estimator, check)


def passes(estimator, check):
    if os.environ.get("SCIPY_ARRAY_API") is None and "array_api" in str(check):
        pytest.skip("run by test_checks_of_the_array_api, in a process of its own")
    with warnings.catch_warnings():
        # The checks themselves warn, and few epochs do not converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)
        check(estimator)


@pytest.mark.slow
@pytest.mark.skipif("SCIPY_ARRAY_API" in os.environ, reason="this is the process of its own")
def test_checks_of_the_array_api():
    """These need a variable that SciPy reads when it is imported."""
    selected = ["-m", "slow or not slow", "-k", "array_api"]
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-rs", __file__, *selected]
    result = subprocess.run(
        command, env=os.environ | {"SCIPY_ARRAY_API": "1"}, capture_output=True, text=True
    )
    output = result.stdout + result.stderr
    # Older versions have no such check: then nothing was selected but this test.
    assert result.returncode == 0 and "failed" not in output, output
