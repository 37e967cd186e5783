"""pygru.predict needs no more memory for more data: the peak of a process is compared.

Nothing depends on time, and the bounds are far from what is measured.
"""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from patience import PATIENCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

#: Megabytes of the sources that are compared, and what the peaks may differ by.
SMALL, LARGE, ALLOWED = 20, 100, 30

CODE = """
    import numpy as np
    import pygru
    from pygru import GRU, Last, Linear, Sequential

    model = Sequential(GRU(16, 4, batch_first=True), Last(), Linear(4, 2), seed=0)
    steps = Sequential(GRU(16, 4, batch_first=True), seed=0)
    path, rows = "x.npy", {rows}
    options = dict(chunk_size="4 MB", progress=False)

    def ignore(first, predictions):
        pass

    def sequences():
        for _ in range(rows):
            yield np.zeros((100, 16), np.float32)

    def writable():
        return np.lib.format.open_memmap("out.npy", "w+", np.float32, (rows, 100, 4))

    {call}
    # Not getrusage, whose peak includes that of the process that began this one.
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    print(int(peak) * 1024 / 1e6)
"""

CALLS = {
    "npy": "pygru.predict(steps, path, out='out.npy', **options)",
    "npz": "pygru.predict(model, 'x.npz', out='out.npy', **options)",
    "memmap": "pygru.predict(steps, np.load(path, mmap_mode='r'), out=writable(), **options)",
    "iterator": "pygru.predict(steps, sequences(), out=ignore, **options)",
    "zarr": "pygru.predict(steps, sequences(), out='out.zarr', **options)",
    "parquet": "pygru.predict(steps, path, out='out.parquet', **options)",
    "table": "pygru.predict(model, 'x.parquet', id='who', out='out.npy', **options)",
}
NEEDS = {"zarr": ["zarr"], "parquet": ["pyarrow", "pandas"], "table": ["pyarrow", "pandas"]}


def peak(call, megabytes, folder):
    """Megabytes that a process needs to predict for a source of ``megabytes``."""
    rows = megabytes * 10**6 // (100 * 16 * 4)
    # Zeros, which take no room on most disks.
    np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, 100, 16)).flush()
    if "npz" in call:
        np.savez_compressed(folder / "x.npz", X=np.load(folder / "x.npy", mmap_mode="r"))
    if "x.parquet" in call:
        write_table(folder / "x.parquet", rows)
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(CODE.format(rows=rows, call=call))],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def write_table(path, sequences):
    """Write a long table of random numbers, with row groups of 100 sequences."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = ["who", *(f"x{i}" for i in range(16))]
    schema = pa.schema(
        [(name, pa.int64() if name == "who" else pa.float32()) for name in names]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, sequences, 100):
            end = min(first + 100, sequences)
            columns = [np.repeat(np.arange(first, end), 100)]
            columns += list(rng.standard_normal((16, (end - first) * 100), np.float32))
            writer.write_table(pa.table(dict(zip(names, columns, strict=True)), schema))


@pytest.mark.parametrize("kind", CALLS)
def test_memory_does_not_grow_with_the_source(kind, tmp_path):
    for package in NEEDS.get(kind, []):
        pytest.importorskip(package)
    small, large = (peak(CALLS[kind], size, tmp_path) for size in (SMALL, LARGE))
    assert large - small < ALLOWED


def test_the_measurement_sees_what_is_in_memory(tmp_path):
    call = "pygru.predict(model, np.load(path) + 1, out=ignore, **options)"
    small, large = (peak(call, size, tmp_path) for size in (SMALL, LARGE))
    assert large - small > 2 * ALLOWED
