"""The parser of pygru's programs: argparse without what it gets wrong."""

import argparse
import sys
from itertools import takewhile
from typing import Any


class ArgumentParser(argparse.ArgumentParser):
    """argparse that refuses ``--name=--``, of which Python 3.11 makes an empty list."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and look at the values of options afterwards."""
        given = sys.argv[1:] if args is None else list(args)
        # The parser of a command is called within this, and reports first.
        found = super().parse_known_args(given, namespace)
        for argument in takewhile("--".__ne__, given):
            name, _, value = argument.partition("=")
            is_option = name.startswith("--") and " " not in name and argument not in found[1]
            if is_option and value == "--":
                self.error(f"argument {name}: expected one argument, got '--'")
        return found
