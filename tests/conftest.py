"""What all tests need before pygru is imported.

Threads of OpenMP that wait for work spin by default. On a machine that does other work at the
same time, that costs several times the CPU time of the tests. No result depends on it.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
