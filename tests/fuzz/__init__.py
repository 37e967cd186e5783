"""Fuzzers: many random cases, each of which pygru must answer or refuse as documented.

    python tests/fuzz                        every fuzzer, with as many cases as .ci/run tries
    python tests/fuzz models torch           only these
    python tests/fuzz --cases 100000         more of each
    python tests/fuzz --seed 7 --first 500   other cases
    python tests/fuzz --replay FILE models   one case again, with its traceback
    python tests/fuzz --list                 what there is

A case is some bytes that follow from the fuzzer, the seed and the number of the case, so every
machine tries the same ones. For readers of files a case is a file; for the others it is JSON
that says what is called. A case that fails is written to a file, which can be replayed and
edited. Cases run in a child process, so one that ends the process or never ends is found too.

``fuzzer.py`` says what a fuzzer is and what a case may do, ``campaign.py`` runs many,
``fuzzers.py`` lists them, and ``mutations.py`` damages bytes. ``tests/test_fuzz.py`` tries a
few cases of each with the other tests. What a fuzzer finds becomes a test of its own there,
beside the tests of the same code.
"""
