"""Runs many cases of a fuzzer in child processes, and writes those that fail to files.

A child says on a pipe which case it begins and what came of it. So if a case ends the process,
or does not end, it is known which one that was; another child goes on with the next.
"""

import hashlib
import json
import os
import re
import select
import signal
import traceback
from collections import Counter
from pathlib import Path

from fuzz.fuzzer import MOST_GROWTH, Failure, Fuzzer, numbered, outcome_of, peak_memory

# Seconds without a word from a child, after which it counts as one that never ends.
LONGEST_SILENCE = 300.0

# After so many kinds of failures a campaign stops: one kind is seldom alone.
MOST_KINDS = 20


def traced(fuzzer, number):
    """Whether the memory of this case is looked at."""
    return number % fuzzer.traced == 0


class Campaign:
    """The cases of one fuzzer from ``first`` on, ``count`` of them.

    Attributes
    ----------
    outcomes : Counter
        How often each thing happened.
    failures : dict of str to list of int
        The numbers of the cases that failed, by what they did.
    """

    def __init__(self, fuzzer: Fuzzer, seed: int, first: int, count: int, folder: Path):
        self.fuzzer, self.seed = fuzzer, seed
        self.next, self.end = first, first + count
        self.folder = folder
        self.outcomes: Counter[str] = Counter()
        self.failures: dict[str, list[int]] = {}
        self._digest = hashlib.sha256()

    @property
    def digest(self):
        """A checksum of all that was computed, where the fuzzer computes something."""
        return self._digest.hexdigest()[:16]

    def run(self):
        """Try all cases."""
        while self.next < self.end and len(self.failures) < MOST_KINDS:
            self._run_in_child()

    def _run_in_child(self):
        """Try cases until the end, or until one ends the process."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                _try_cases(self.fuzzer, self.seed, range(self.next, self.end), writer)
            finally:
                os._exit(0)
        os.close(writer)
        ended = f"it said nothing for {LONGEST_SILENCE:.0f} s"
        with open(reader, "rb", buffering=0) as pipe:
            rest = b""
            while select.select([pipe], [], [], LONGEST_SILENCE)[0]:
                data = pipe.read(2**16)
                if not data:
                    ended = None
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._note(*json.loads(line))
        if ended is not None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if self.next < self.end and len(self.failures) < MOST_KINDS:
            code = os.waitstatus_to_exitcode(status)
            self._note(self.next, "failed", ended or f"it ended the process with {code}", "")

    def _note(self, number, outcome, kind="", details=""):
        self.next = number + 1
        if outcome != "failed":
            word, _, bits = outcome.partition("#")
            self.outcomes[word] += 1
            self._digest.update(bits.encode())
            return
        self.failures.setdefault(kind, []).append(number)
        if len(self.failures[kind]) == 1:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{self.fuzzer.name}-{self.seed}-{number}{self.fuzzer.suffix}"
            (self.folder / name).write_bytes(numbered(self.fuzzer, self.seed, number))
            print(f"{self.folder / name}: {kind}\n{details}", flush=True)


def _try_cases(fuzzer, seed, numbers, pipe):
    """Try cases, and say after each what it did; the work of a child."""
    base = peak_memory()
    kinds = set()
    for number in numbers:
        try:
            case = numbered(fuzzer, seed, number)
            outcome = [outcome_of(fuzzer, case, traced(fuzzer, number))]
            growth = peak_memory() - base
            if growth > MOST_GROWTH:
                base += growth
                raise Failure(f"the process has grown by {growth} bytes")
        except BaseException as error:
            kind = kind_of(error)
            outcome = ["failed", kind, "".join(traceback.format_exception(error))[-3000:]]
            kinds.add(kind)
        os.write(pipe, json.dumps([number, *outcome]).encode() + b"\n")
        if len(kinds) >= MOST_KINDS:
            return


def kind_of(error):
    """What several failures of one fault have in common: the exception, and where it arose."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "pygru" in f.filename]
    place = (
        f"{'/'.join(Path(frames[-1].filename).parts[-3:])}:{frames[-1].lineno} "
        if frames
        else ""
    )
    text = re.sub("[0-9]{4,}", "...", str(error)[:100])  # one fault has many numbers of bytes
    return f"{type(error).__name__} {place}{text!r}"
