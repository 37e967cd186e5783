"""Compares counts of instructions with stored ones: for instruction_counts and call_counts."""

import argparse
import json
import os
import shlex
import subprocess
import sys

TOLERANCE = 1.03


def compiler():
    """The C compiler as it names itself."""
    command = [*shlex.split(os.environ.get("CC") or "cc"), "--version"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return found.stdout.splitlines()[0]


def compare(path, made_with, counts):
    """Print the counts beside the stored ones; return the names of those that are worse.

    They are compared only if everything that decides about them, ``made_with``, is the same.
    """
    stored = json.loads(path.read_text())
    same = stored["made_with"] == made_with
    worse = []
    for name, count in counts.items():
        before = stored["counts"].get(name)
        ratio = "not stored" if before is None else f"{count / before:.3f} of the stored count"
        print(f"{name:<32} {count:>10} instructions, {ratio}")
        if same and before is not None and count > TOLERANCE * before:
            worse.append(name)
    if not same:
        print(f"not compared: stored for {stored['made_with']}, this is {made_with}")
    if worse:
        print(f"more instructions than stored: {', '.join(worse)}")
    return worse


def main(description, path, count):
    """Run one of the two programs.

    ``count()`` returns what decides about the counts, and the counts. Instead it may return the
    reason why nothing can be counted here.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the counts of today")
    options = parser.parse_args()
    found = count()
    if isinstance(found, str):
        print(f"instruction counts: {found}, skipped")
        sys.exit(0)
    made_with, counts = found
    if options.write:
        stored = {"made_with": made_with, "counts": counts}
        path.write_text(json.dumps(stored, indent=1) + "\n")
    sys.exit(len(compare(path, made_with, counts)) > 0)
