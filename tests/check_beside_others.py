"""Runs pygru beside PyTorch and scikit-learn in one process, in all orders of import; forks.

Each of them has its own threads, and may bring its own copy of an OpenMP library. pygru must
compute the same bits whoever was imported first, also in a child that was forked after all of
them had used their threads. Run it in an environment that has the three:

    python -P tests/check_beside_others.py

Prints how many orders passed, and exits with 1 if one fails.
"""

import itertools
import subprocess
import sys

PACKAGES = ("pygru", "sklearn.cluster", "torch")
PROGRAM = '''
import importlib, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
import hashlib
import numpy as np, pygru, sklearn.cluster, torch

rng = np.random.default_rng(0)
x = rng.standard_normal((30, 64, 8)).astype(np.float32)
gru = pygru.GRU(8, 64, 2, seed=0)

def digest():
    """Outputs and gradients on several threads."""
    output, h, tape = gru.forward(x, n_threads=4)
    d_x, _ = gru.backward(tape, np.ones_like(output))
    return hashlib.sha256(output.tobytes() + d_x.tobytes()).hexdigest()

def others():
    """The threads of the other two packages."""
    torch.set_num_threads(4)
    (torch.ones(600, 600) @ torch.ones(600, 600)).relu().sum()
    sklearn.cluster.KMeans(3, n_init=1, random_state=0).fit(x.reshape(-1, 8)[:1000])

before = digest()
others()
after = digest()
assert before == after, "another result after the other packages had run"
child = os.fork()
if child == 0:
    status = 1
    try:
        status = 0 if digest() == before else 2
    finally:
        os._exit(status)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert status == 0, f"the forked child ended with {status} (2: another result)"
assert digest() == before, "another result after the fork"
print(before)
'''


def main():
    """Run the program once for each order; all must print the same."""
    results = {}
    for order in itertools.permutations(PACKAGES):
        process = subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM, *order],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if process.returncode:
            print(f"{' '.join(order)}: exit status {process.returncode}\n{process.stderr}")
        results[order] = (process.returncode, process.stdout)
    failed = sum(status != 0 for status, _ in results.values())
    if len(set(results.values())) > 1:
        failed = failed or len(results)
        print("the results depend on the order")
    print(f"beside others: {len(results) - failed} orders passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
