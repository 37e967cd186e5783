"""pygru.torch.GRU beside torch.nn.GRU, both called from PyTorch on tensors.

Both modules have the same weights and the same tensors. Training is forward, backward and a
step of an optimiser, so every call has new weights. The third time is that of pygru.GRU on
arrays, without an optimiser.
"""

from benchmarks import grid
from benchmarks.agreement import TOLERANCE, dropped
from benchmarks.problem import Problem
from benchmarks.results import Row
from benchmarks.timing import take

MODULE = "pygru.torch"


def modules(p, torch):
    """The two modules of a problem, by name."""
    from pygru.torch import GRU

    found = {"torch": torch.nn.GRU(p.I, p.H), MODULE: GRU(p.I, p.H)}
    for module in found.values():
        module.load_state_dict({n: torch.from_numpy(w) for n, w in p.weights.items()})
    return found


def inference(module, p, torch):
    """A function that runs a module over the sequences of a problem."""
    x = torch.from_numpy(p.x)

    def run():
        with torch.inference_mode():
            return module(x)[0].numpy()

    return run


def training(module, p, torch):
    """A function that runs a module forward and backward, and an optimiser of its weights."""
    x, d_y = torch.from_numpy(p.x), torch.from_numpy(p.d_y)
    optimizer = torch.optim.SGD(module.parameters(), 1e-9)

    def run():
        optimizer.zero_grad()
        output = module(x)[0]
        output.backward(d_y)
        optimizer.step()
        return output.detach().numpy()

    return run


CALLS = {"inference": inference, "training": training}


def rows(cell, options, runners):
    """Measure a cell, and yield a row for inference and one for training.

    A cell that the grid has for inference only is not trained.
    """
    torch = next((r.torch for r in runners if r.name == "torch"), None)
    if torch is None:
        return
    p = Problem(*cell)
    for call, make in CALLS.items():
        if cell in grid.CELLS["inference"] and cell not in grid.CELLS[call]:
            continue
        functions = {"pygru": getattr(runners[0], call)(p)}
        expected = functions["pygru"]()
        of_modules = {
            name: make(module, p, torch) for name, module in modules(p, torch).items()
        }
        failed = dropped(of_modules, expected, TOLERANCE["float32"])
        functions |= of_modules
        seconds, spread = take(functions, options.repeats, options.threads)
        yield Row(
            "torch", cell, "float32", options.threads, seconds, spread, call=call, failed=failed
        )
