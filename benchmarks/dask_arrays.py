"""What Dask costs and gains: one model over an array, serially and on one and two workers.

    python benchmarks/dask_arrays.py
    python benchmarks/dask_arrays.py --hidden 512     a model whose transfer takes longer

All ways take turns, so that other work on the machine disturbs them equally. The table has the
seconds of the clock, and the CPU time of all processes together, which other work hardly
changes. In the last run a worker is killed when it meets the middle of the array. Every result
is compared with the serial one, bit by bit.
"""

import argparse
import contextlib
import os
import pickle
import signal
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from pygru import GRU, Last, Linear, Sequential, Trainer, num_threads

MARK = 1e3


class DiesOnce:
    """A model whose first process that meets a mark in the data is killed."""

    def __init__(self, model, note):
        self.trainer, self.note = Trainer(model), Path(note)

    def predict(self, x):
        if (x == MARK).any() and not self.note.exists():
            self.note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.trainer.predict(x)


def ways(model, values, chunk, clusters):
    """The ways by name: a function that returns the result, and the client it uses."""
    import dask
    import dask.array

    from pygru.dask import predict

    x = dask.array.from_array(values, chunks=(chunk, *values.shape[1:]))

    def serial():
        with num_threads(1):
            return Trainer(model).predict(values)

    def by(scheduler, **options):
        with dask.config.set(scheduler=scheduler, **options):
            return predict(model, x).compute()

    def on(client, array, function):
        with client.as_current():
            return function(array).compute()

    def map_blocks(array):
        function = Trainer(model).predict
        chunks = (array.chunks[0], 1)
        return array.map_blocks(function, dtype=values.dtype, drop_axis=2, chunks=chunks)

    found = {
        "without Dask": (serial, None),
        "predict, in this thread": (lambda: by("synchronous"), None),
        "predict, two threads": (lambda: by("threads", num_workers=2), None),
    }
    for workers, client in clusters.items():
        with client.as_current():
            here = client.persist(x)
        for name, function in (
            ("predict", lambda array: predict(model, array)),
            ("map_blocks", map_blocks),
        ):
            found[f"{name}, {workers} worker{'s' * (workers > 1)}"] = (
                lambda client=client, here=here, function=function: on(client, here, function),
                client,
            )
    note = os.path.join(tempfile.mkdtemp(), "note")
    client = clusters[2]

    def killed():
        Path(note).unlink(missing_ok=True)
        result = on(client, x, lambda array: predict(DiesOnce(model, note), array))
        assert Path(note).exists()
        client.wait_for_workers(2)
        return result

    found["predict, 2 workers, one is killed"] = killed, None
    return found


def cpu_seconds(client):
    """The CPU time so far of this process and of the workers."""
    workers = [] if client is None else client.run(time.process_time).values()
    return time.process_time() + sum(workers)


def main(arguments=None):
    parser = argparse.ArgumentParser()
    for name, default in (("sequences", 2048), ("chunk", 64), ("hidden", 64), ("repeats", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args(arguments)
    from dask.distributed import Client, LocalCluster

    warnings.simplefilter("ignore")
    H = options.hidden
    model = Sequential(GRU(8, H, batch_first=True), Last(), Linear(H, 1), seed=0)
    shape = options.sequences, 100, 8
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    values[len(values) // 2, 0, 0] = MARK
    expected = Trainer(model).predict(values)
    print(f"{shape[0]} sequences of 100 steps, in blocks of {options.chunk}")
    print(f"{len(pickle.dumps(model)) / 1e6:.2f} MB, the pickled model\n")
    with contextlib.ExitStack() as stack:
        clusters = {}
        for workers in (1, 2):
            cluster = LocalCluster(workers, threads_per_worker=1, dashboard_address=":0")
            client = Client(stack.enter_context(cluster), set_as_default=False)
            clusters[workers] = stack.enter_context(client)
        clock, cpu = {}, {}
        for _ in range(options.repeats):
            for name, (function, client) in ways(
                model, values, options.chunk, clusters
            ).items():
                begin = time.perf_counter(), cpu_seconds(client)
                result = function()
                clock.setdefault(name, []).append(time.perf_counter() - begin[0])
                cpu.setdefault(name, []).append(cpu_seconds(client) - begin[1])
                assert np.array_equal(result, expected), name
        print(f"{'median seconds of':36} the clock    the CPU")
        for name in clock:
            processor = "" if "killed" in name else f"{statistics.median(cpu[name]):10.2f}"
            print(f"{name:36} {statistics.median(clock[name]):9.2f} {processor}")


if __name__ == "__main__":
    main()
