"""The command line of the fuzzers; ``tests/fuzz/__init__.py`` says how it is used."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

# Before anything is imported from here: the parent folder holds this package and the helpers of
# the tests, and the folder itself, which Python puts first, holds names of other packages.
sys.path[0] = str(Path(__file__).resolve().parent.parent)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fuzz.campaign import Campaign  # noqa: E402
from fuzz.fuzzer import outcome_of  # noqa: E402
from fuzz.fuzzers import FUZZERS, make  # noqa: E402


def at_least(least):
    """Return a converter of arguments to integers that are not below ``least``."""

    def integer(text):
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, got {number}")
        return number

    return integer


def replayed(fuzzer, path, data):
    """Return what the case in a file does; end with a line where it cannot be a case."""
    if fuzzer.suffix == ".json":
        try:
            json.loads(data)
        except ValueError as error:
            refuse(path, f"expected JSON: {error}")
    return outcome_of(fuzzer, data, traced=True)


def refuse(path, what):
    print(f"python tests/fuzz: error: --replay {path}: {what}", file=sys.stderr)
    sys.exit(2)


def main():
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FUZZERS)}")
    parser.add_argument("--cases", type=at_least(1), help="how many of each fuzzer")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument(
        "--first", type=at_least(0), default=0, help="the number of the first case"
    )
    failures = Path("fuzz-failures")
    parser.add_argument("--failures", type=Path, default=failures, metavar="FOLDER")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this case only")
    parser.add_argument("--list", action="store_true", help="show the fuzzers")
    options = parser.parse_args()
    unknown = set(options.names) - set(FUZZERS)
    if unknown:
        parser.error(f"no fuzzer {', '.join(sorted(unknown))}; there are {', '.join(FUZZERS)}")
    if options.replay is not None and len(options.names) != 1:
        parser.error("--replay needs the name of one fuzzer")
    if options.replay is not None:  # before a fuzzer changes the folder
        try:
            case = options.replay.read_bytes()
        except OSError as error:
            refuse(options.replay, error.strerror)
    sys.stdout.reconfigure(errors="backslashreplace")  # a message may hold half a character
    failed = False
    for name in options.names or FUZZERS:
        fuzzer = make(name)
        try:
            if options.list:
                print(f"{name:12} {fuzzer.cases:6} cases: {fuzzer.__doc__.splitlines()[0]}")
            elif options.replay is not None:
                print(replayed(fuzzer, options.replay, case))
            else:
                failed |= tried(fuzzer, options)
        finally:
            fuzzer.close()
    sys.exit(failed)


def tried(fuzzer, options):
    """Run a campaign and say what came of it; return whether a case failed."""
    began = time.monotonic()
    count = fuzzer.cases if options.cases is None else options.cases
    campaign = Campaign(fuzzer, options.seed, options.first, count, options.failures)
    campaign.run()
    outcomes = ", ".join(f"{number} {word}" for word, number in campaign.outcomes.most_common())
    failures = sum(map(len, campaign.failures.values()))
    seconds = time.monotonic() - began
    print(
        f"{fuzzer.name}: {outcomes}; {failures} failed in {len(campaign.failures)} ways; "
        f"digest {campaign.digest}; {seconds:.0f} s",
        flush=True,
    )
    return bool(failures)


if __name__ == "__main__":
    main()
