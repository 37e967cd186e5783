"""python -m pygru.tests: the exit status is 0 if every test has passed."""

import argparse
import sys
from collections.abc import Sequence

from pygru.tests.run import test


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    argparse.ArgumentParser(
        prog="python -m pygru.tests",
        description="Tests this installation of pygru on this machine, in some seconds: "
        "results, threads, files, training. It takes no arguments.",
        epilog="exit code: 0 every test has passed; 1 a test has failed; 2 the command line, "
        "or an environment variable of pygru, is wrong; 130 after Ctrl-C",
    ).parse_args(arguments)
    try:
        return 0 if test() else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
