"""pygru compared with other libraries and with the limits of the machine."""

import sys
from pathlib import Path

# In the checkout Python would import the source folder pygru/, which has no compiled module,
# instead of the installed package.
_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _root]
