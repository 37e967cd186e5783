# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Functions for pygru's own tests, which no public function calls alone."""

from pygru.core._core cimport check


def raise_status(int status):
    """Raise the exception of ``status``; for the test that goes through the table."""
    check(status)
