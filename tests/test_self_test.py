"""``pygru.test()`` and ``pytest --pyargs pygru``: what they run, say and return."""

import ast
import subprocess
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

import pytest
from engines import use_engine
from patience import PATIENCE

import pygru
import pygru.tests
from pygru.tests import test_installed
from pygru.tests.__main__ import main


def installed(*arguments, cwd):
    """Run Python with these arguments in an empty folder."""
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_what_is_printed_and_returned(monkeypatch, capsys):
    """Each test has its line, in the order of the file; one failure makes the answer False."""

    def fails():
        raise AssertionError("the reason")

    def skips():
        raise unittest.SkipTest("not on this system")

    good = SimpleNamespace(test_b=lambda: None, test_a=skips, other=fails)
    monkeypatch.setattr(pygru.tests, "test_installed", good)
    assert pygru.test() is True
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"pygru {pygru.__version__} in ")
    assert lines[1].startswith("passed   test_b (")
    assert lines[2].startswith("skipped  test_a (")
    assert lines[2].endswith(": not on this system")
    assert lines[3:] == ["0 of 2 tests have failed"]
    good.test_c = fails
    assert pygru.test() is False
    out, err = capsys.readouterr()
    assert "FAILED   test_c" in out
    assert out.endswith("1 of 3 tests has failed\n")
    assert "AssertionError: the reason" in err


def test_the_command_takes_no_arguments(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr("pygru.tests.__main__.test", lambda: ran.append(1) or len(ran) == 1)
    assert main([]) == 0
    assert main([]) == 1
    for arguments, code in ((["--help"], 0), (["-v"], 2), (["test_threads"], 2)):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        out, err = capsys.readouterr()
        assert "usage: python -m pygru.tests [-h]" in out + err
        assert code == 0 or f"unrecognized arguments: {arguments[0]}" in err
    assert len(ran) == 2

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("pygru.tests.__main__.test", interrupted)
    assert main([]) == 130


def test_wrong_kernels_and_wrong_bits_are_found(monkeypatch):
    """The tests have an independent truth, and are not only compared with themselves."""
    right = test_installed._in_another_process()
    assert right["cases"] == 76
    assert right["wrong"] == []
    found = dict(right, wrong=["a case differs"])
    monkeypatch.setattr(test_installed, "_in_another_process", lambda **_: found)
    with pytest.raises(AssertionError, match="a case differs"):
        test_installed.test_results_are_those_of_the_stored_cases()
    bits = iter("abcdefgh")
    monkeypatch.setattr(test_installed, "_bits", lambda n_threads: next(bits))
    with pytest.raises(AssertionError):
        test_installed.test_threads_change_no_bit()
    with pytest.raises(AssertionError):
        test_installed.test_a_forked_process_computes_the_same()


@pytest.mark.slow
def test_all_of_it_passes_in_any_folder(tmp_path):
    done = installed("-m", "pygru.tests", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [name for name in vars(test_installed) if name.startswith("test_")]
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:-1]] == [
        ["passed", name] for name in names
    ]
    done = installed("-m", "pytest", "-q", "--pyargs", "pygru", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(names)} passed" in done.stdout


def test_nothing_is_checked_by_assert():
    """Python leaves assertions out with -O, and would call a wrong installation right."""
    tree = ast.parse(Path(test_installed.__file__).read_text())
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_the_bits_of_any_batch_are_asked_only_of_our_own_products(monkeypatch):
    use_engine(monkeypatch, "blas")
    with pytest.raises(unittest.SkipTest):
        test_installed.test_a_sequence_alone_has_the_bits_of_the_batch()
