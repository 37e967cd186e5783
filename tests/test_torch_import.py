"""pygru does without PyTorch, and pygru.torch says what it needs; needs no PyTorch itself."""

from programs import run_program


def test_pygru_does_not_import_torch(tmp_path):
    result = run_program("import sys, pygru; sys.exit('torch' in sys.modules)", tmp_path)
    assert result.returncode == 0, result.stderr


def test_without_torch(tmp_path):
    program = "import sys; sys.modules['torch'] = None; import pygru.torch"
    result = run_program(program, tmp_path)
    last = result.stderr.strip().splitlines()[-1]
    assert last == (
        'ImportError: pygru.torch needs PyTorch; install it with  pip install "pygru[torch]"'
    )
