"""The tests that come with an installed pygru: does it work on this machine?

They need nothing but pygru's own dependencies, take some seconds, and run in any folder:
``pygru.test()``, ``python -m pygru.tests``, or ``pytest --pyargs pygru``. The tests of a
developer are in the source distribution.
"""
