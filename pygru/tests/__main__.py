"""python -m pygru.tests: the exit status is 0 if every test has passed."""

import sys

from pygru.tests.run import test

if __name__ == "__main__":
    sys.exit(0 if test() else 1)
