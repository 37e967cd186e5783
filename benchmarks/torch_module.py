"""Measure pygru.torch.GRU beside torch.nn.GRU, both called from PyTorch, and print a table.

    python -m benchmarks.torch_module
    python -m benchmarks.torch_module --threads 2
    python -m benchmarks.torch_module --cpu-time     on a machine that has other work, too

Both modules have the same weights, the same tensors and the same number of threads, and they
take turns. Training is forward, backward and a step of an optimiser, so every call has new
weights. The last column but one has the time of pygru.GRU on arrays, without an optimiser.
"""

import argparse
import math
import time

from benchmarks import grid as cells_of
from benchmarks.__main__ import prepare

KINDS = ("inference", "training")


def modules(p):
    """The two modules of a problem, by name."""
    import torch

    from pygru.torch import GRU

    found = {"torch": torch.nn.GRU(p.I, p.H), "pygru.torch": GRU(p.I, p.H)}
    for module in found.values():
        module.load_state_dict({n: torch.from_numpy(w) for n, w in p.weights.items()})
    return found


def inference(module, p):
    """A function that runs a module over the sequences of a problem."""
    import torch

    x = torch.from_numpy(p.x)

    def run():
        with torch.inference_mode():
            return module(x)[0].numpy()

    return run


def training(module, p):
    """A function that runs a module forward and backward, and an optimiser of its weights."""
    import torch

    x, d_y = torch.from_numpy(p.x), torch.from_numpy(p.d_y)
    optimizer = torch.optim.SGD(module.parameters(), 1e-9)

    def run():
        optimizer.zero_grad()
        output = module(x)[0]
        output.backward(d_y)
        optimizer.step()
        return output.detach().numpy()

    return run


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_module")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--cpu-time", action="store_true", help="with one thread only")
    options = parser.parse_args(arguments)
    if options.cpu_time and options.threads != 1:
        parser.error("--cpu-time needs --threads 1")
    clock = time.thread_time if options.cpu_time else time.perf_counter
    prepare(options.threads)

    import torch

    from benchmarks import measure, report, rivals
    from pygru.bench import medians

    torch.set_num_threads(options.threads)
    for key, value in report.machine(options.threads).items():
        print(f"{key:<12} {value}")
    of_arrays = rivals.Pygru(options.threads)
    for kind in KINDS:
        print(f"\n{kind}, float32, {options.threads} thread(s); microseconds per call")
        print("B,T,H            torch  pygru.torch        pygru  torch/pygru.torch")
        ratios = []
        for cell in cells_of.CELLS[kind]:
            p = rivals.Problem(*cell)
            functions = {name: globals()[kind](m, p) for name, m in modules(p).items()}
            functions["pygru"] = getattr(of_arrays, kind)(p)
            measure.check(functions, measure.AGREEMENT["float32"])
            seconds = medians(functions, options.repeats, clock)
            ratios.append(seconds["torch"] / seconds["pygru.torch"])
            times = "".join(f"{seconds[name] * 1e6:13.1f}" for name in functions)
            print(f"{','.join(map(str, cell)):<10}{times}{ratios[-1]:19.2f}", flush=True)
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"geometric mean {mean:.2f}")


if __name__ == "__main__":
    main()
