# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Functions for pygru's own tests, which no public function calls alone."""

from pygru.core._arrays cimport make_with
from pygru.core._core cimport check
from pygru.core._sequences cimport watch_with


def raise_status(int status):
    """Raise the exception of ``status``; for the test that goes through the table."""
    check(status)


def make_arrays_with(function):
    """Let ``function(shape, dtype)`` make the arrays of compiled code, or refuse to.

    None restores the usual way.
    """
    make_with(function)


def watch_calls_with(function):
    """Call ``function(n_threads)`` right before each call of the core for whole sequences.

    What it raises ends the call. None ends the watching.
    """
    watch_with(function)
