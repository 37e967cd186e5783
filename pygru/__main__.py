"""``python -m pygru`` is the command ``pygru``."""

import sys

from pygru.cli import main

sys.exit(main())
