"""Parameters of tests, of which most are tried only with ``-m "slow or not slow"``."""

import pytest


def quick_and_slow(quick, slow):
    """Return the values for ``parametrize``, those of ``slow`` with the marker."""
    return [*quick, *(pytest.param(value, marks=pytest.mark.slow) for value in slow)]
