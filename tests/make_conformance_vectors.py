"""Write pygru/conformance/vectors.safetensors: what a right GRU computes, in float64.

    python tests/make_conformance_vectors.py

The numbers come from conformance_reference.py alone, the gradients from complex steps. A
problem has inputs and weights; a case is a problem in one of the variants. docs/conformance.md
describes the file. The random numbers have a fixed seed, so a second run gives the same file up
to the rounding of exp and tanh.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import safetensors.numpy
from conformance_reference import forward, gradients

FILE = Path(__file__).parent.parent / "pygru" / "conformance" / "vectors.safetensors"
SEED = 12
ALL = [("before", "replace"), ("before", "keep"), ("after", "keep"), ("after", "replace")]
TWO = [("before", "keep"), ("after", "keep")]

PLAIN = {
    "num_layers": 1,
    "direction": "forward",
    "bias": "two",
    "h0": True,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "clip": None,
    "lengths": None,
    "mask": None,
    "masked_output": None,
    "variants": ALL,
}


def mask_of(*rows):
    """A mask (T, B) from a text per sequence, with a 1 for each step that counts."""
    return np.array([[letter == "1" for letter in row] for row in rows]).T


def problem(name, sizes, **changes):
    """A problem; ``sizes`` are those of time, batch, input and state."""
    assert len(set(sizes)) == 4, "equal sizes hide exchanged axes"
    return {"name": name, "sizes": sizes, **PLAIN, **changes}


PROBLEMS = [
    problem("plain", (5, 2, 4, 3)),
    problem("no_h0", (5, 2, 3, 4), h0=False),
    problem("no_bias", (6, 2, 4, 3), bias="none"),
    problem("one_bias", (5, 3, 4, 2), bias="one"),
    problem("layers", (5, 2, 4, 3), num_layers=2),
    problem("reverse", (5, 2, 4, 3), direction="reverse"),
    problem("both", (5, 3, 4, 2), direction="both"),
    problem("layers_both", (5, 3, 4, 2), num_layers=2, direction="both"),
    problem("lengths", (6, 3, 4, 2), lengths=(4, 6, 1)),
    problem("lengths_reverse", (6, 3, 4, 2), direction="reverse", lengths=(4, 6, 1)),
    problem("lengths_both", (6, 3, 4, 2), direction="both", lengths=(2, 5, 3)),
    problem("empty", (5, 4, 2, 3), lengths=(3, 0, 5, 1)),
    problem(
        "empty_layers_both",
        (5, 4, 3, 2),
        num_layers=2,
        direction="both",
        lengths=(3, 0, 5, 1),
    ),
    problem("mask", (7, 2, 4, 3), mask=mask_of("1101001", "0111010"), masked_output="zero"),
    problem(
        "mask_both",
        (6, 3, 4, 2),
        direction="both",
        mask=mask_of("110101", "011101", "101110"),
        masked_output="zero",
    ),
    # The first step counts in every sequence, because libraries differ in the output before it.
    problem(
        "mask_state",
        (7, 2, 4, 3),
        mask=mask_of("1100101", "1011010"),
        masked_output="state",
        variants=TWO,
    ),
    *(
        problem(name, (5, 3, 4, 2), variants=TWO, **changes)
        for name, changes in {
            "relu": {"activation": "relu"},
            "softsign": {"activation": "softsign"},
            "linear": {"activation": "linear"},
            "hard_sigmoid": {"recurrent_activation": ("hard_sigmoid", 0.2, 0.5)},
            "hard_sigmoid_sixth": {"recurrent_activation": ("hard_sigmoid", 1 / 6, 0.5)},
            "exchanged": {"activation": "sigmoid", "recurrent_activation": "tanh"},
            "clip": {"clip": 0.75},
        }.items()
    ),
]

#: What is stored about a problem, beside its name and its arrays.
OPTIONS = (
    "num_layers",
    "direction",
    "bias",
    "activation",
    "recurrent_activation",
    "clip",
    "masked_output",
)


def rounded(values):
    """The nearest odd multiples of 1/1024.

    They are the same in float32, where a check is then one of the computation alone, and take
    a third of the space in a compressed file. None of them is 0.
    """
    return (2 * np.floor(values * 512) + 1) / 1024


def inputs_of(task, rng):
    """The arrays of a problem: x, h0 and weights, and the gradients of the loss."""
    T, B, I, H = task["sizes"]
    suffixes = ["", "_reverse"] if task["direction"] == "both" else [""]
    D, L = len(suffixes), task["num_layers"]
    wide = task["recurrent_activation"] not in ("sigmoid", "tanh") or task["clip"]
    scale = 4 if wide else 2  # so that both sides of each kink are reached
    arrays = {"x": rounded(rng.standard_normal((T, B, I)))}
    if task["h0"]:
        arrays["h0"] = rounded(rng.uniform(-1, 1, (L * D, B, H)))
    names = {"none": (), "one": ("bias_ih",), "two": ("bias_ih", "bias_hh")}[task["bias"]]
    for layer in range(L):
        for suffix in suffixes:
            shapes = {"weight_ih": (3 * H, D * H if layer else I), "weight_hh": (3 * H, H)}
            shapes |= dict.fromkeys(names, (3 * H,))
            for name, shape in shapes.items():
                values = rng.uniform(-1, 1, shape) * scale / np.sqrt(shape[-1])
                arrays[f"{name}_l{layer}{suffix}"] = rounded(values)
    counted = np.ones((T, B), bool) if task["mask"] is None else task["mask"]
    if task["lengths"] is not None:
        counted = counted & (np.arange(T)[:, None] < np.array(task["lengths"]))
    arrays["x"][~counted] *= 9  # what is not read is larger than what is
    loss = {
        "d_output": rounded(rng.standard_normal((T, B, D * H))),
        "d_h_n": rounded(rng.standard_normal((L * D, B, H))),
    }
    return arrays, loss


def kinks(task):
    """The arguments at which the functions of a problem have a kink."""
    points = {"relu": [0], "softsign": []}.get(task["activation"], [])
    name = task["recurrent_activation"]
    if not isinstance(name, str):
        points = [*points, -name[2] / name[1], (1 - name[2]) / name[1]]
    return points if task["clip"] is None else [*points, -task["clip"], task["clip"]]


def solve(task, arrays, loss):
    """The results of a problem in each of its variants, by the name of the variant."""
    results = {}
    for reset, update in task["variants"]:
        case = {**task, "reset": reset, "update": update}
        arguments = []
        output, h_n = forward(case, arrays, arguments)
        arguments = np.concatenate([np.ravel(a) for a in arguments])
        for kink in kinks(task):
            assert abs(arguments - kink).min() > 1e-4, "too near to a kink"
            assert (arguments > kink).any() and (arguments < kink).any(), "only one side"
        results[f"{reset}-{update}"] = {
            "output": output,
            "h_n": h_n,
            **gradients(case, arrays, **loss),
        }
    return results


def make():
    """Return all tensors by name, and the descriptions of the cases."""
    rng = np.random.default_rng(SEED)
    tensors, cases = {}, []
    for task in PROBLEMS:
        name = task["name"]
        arrays, loss = inputs_of(task, rng)
        stored = {**arrays, **loss}
        if task["lengths"] is not None:
            stored["lengths"] = np.array(task["lengths"], np.int64)
        if task["mask"] is not None:
            stored["mask"] = task["mask"]
        tensors |= {f"{name}/{key}": array for key, array in stored.items()}
        for variant, results in solve(task, arrays, loss).items():
            tensors |= {f"{name}/{variant}/{key}": array for key, array in results.items()}
            reset, update = variant.split("-")
            case = {"name": f"{name}/{variant}", "problem": name}
            case |= {"reset": reset, "update": update}
            cases.append({**case, **{option: task[option] for option in OPTIONS}})
    return tensors, cases


def main():
    tensors, cases = make()
    notes = {"format": "pygru conformance vectors", "version": "1", "cases": json.dumps(cases)}
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    safetensors.numpy.save_file(tensors, FILE, notes)
    print(f"{len(cases)} cases, {len(tensors)} tensors, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # it takes none
    main()
