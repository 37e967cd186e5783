"""pygru beside its rivals and beside the machine's limits: ``python -m benchmarks --help``."""

import sys
from pathlib import Path

# Run from the checkout, Python would find the source folder pygru/, which holds no compiled
# module, before the installed package.
_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _root]
