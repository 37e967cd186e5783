"""Which planted bugs pass other test suites, and which pass the conformance vectors.

    python tests/mutation_score.py

Every bug of gru_mutants.py is tried on four suites: the node tests of the operator GRU, as the
package onnx makes them (1.23 or later); cases with one step and h0 = 0; cases whose weights are
constant; and the vectors. The middle two are the cases of the vectors with this one change, so
they show what the change alone hides. A bug survives a suite if the outputs of all its cases
are right to 1e-4, or to 1e-9 for the gradients. docs/conformance.md has the result.
"""

import argparse
import itertools
import random
import warnings
from dataclasses import replace

import numpy as np
from gru_mutants import FORWARD, GRADIENTS
from plain_gru import gru, mutant

from pygru.conformance import Case, cases, check
from pygru.conformance.layouts import from_order

TOLERANCE = 1e-4
CONSTANTS = {"weight_ih": 0.1, "weight_hh": 0.2, "bias_ih": 0.3, "bias_hh": 0.3}


def supported(found):
    """The cases that plain_gru.py can compute."""
    for case in found:
        try:
            gru(case)
        except NotImplementedError:
            continue
        yield case


def with_constant_weights():
    """The cases, where all numbers of a matrix or of a bias are equal."""
    for case in supported(cases()):
        constant = {
            name: np.full_like(array, CONSTANTS[name[: name.index("_l")]])
            for name, array in case.parameters.items()
        }
        changed = replace(case, parameters=constant)
        yield replace(changed, expected=gru(changed))


def with_one_step():
    """The cases without lengths and masks, with one step and without h0."""
    for case in supported(cases()):
        if case.lengths is None and case.mask is None:
            changed = replace(case, x=case.x[:1], h0=None, d_output=case.d_output[:1])
            yield replace(changed, expected=gru(replace(changed, expected=case.expected)))


def of_onnx():
    """The node tests of the package onnx as cases, with outputs alone."""
    from onnx import helper
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tests of other operators, which are made too
        tests = collect_testcases("GRU")
    for test in tests:
        (node,) = test.model.graph.node
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs, outputs = test.data_sets[0]
        yield _case_of_onnx(
            test.name,
            attributes,
            _by_place(node.input, inputs),
            _by_place(node.output, outputs),
        )


def _by_place(names, values):
    """Arrays by their place in a list of names, where an empty name stands for none."""
    places = [place for place, name in enumerate(names) if name]
    return dict(zip(places, values, strict=True))


def _case_of_onnx(name, attributes, arrays, results):
    """A case from the inputs X, W, R and B and the outputs Y and Y_h of a node."""
    batch_first = attributes.get("layout", 0) == 1
    direction = attributes.get("direction", b"forward").decode()
    direction = {"bidirectional": "both"}.get(direction, direction)
    x, W, R = (arrays[i].astype(float) for i in range(3))
    x = x.swapaxes(0, 1) if batch_first else x
    parameters = {}
    for d, suffix in enumerate(("", "_reverse")[: len(W)]):
        parameters[f"weight_ih_l0{suffix}"] = from_order(W[d], "zrn")
        parameters[f"weight_hh_l0{suffix}"] = from_order(R[d], "zrn")
        if 3 in arrays:
            b, c = np.split(arrays[3][d].astype(float), 2)
            parameters[f"bias_ih_l0{suffix}"] = from_order(b, "zrn")
            parameters[f"bias_hh_l0{suffix}"] = from_order(c, "zrn")
    expected = {}
    if 0 in results:  # (T, D, B, H), or (B, T, D, H)
        y = (
            results[0].transpose(1, 0, 2, 3)
            if batch_first
            else results[0].transpose(0, 2, 1, 3)
        )
        expected["output"] = y.reshape(*y.shape[:2], -1)
    if 1 in results:
        expected["h_n"] = results[1].swapaxes(0, 1) if batch_first else results[1]
    (T, B, _), H = x.shape, R.shape[2]
    return Case(
        name=name,
        reset="after" if attributes.get("linear_before_reset", 0) else "before",
        update="keep",
        num_layers=1,
        direction=direction,
        bias="two" if 3 in arrays else "none",
        activation="tanh",
        recurrent_activation="sigmoid",
        clip=None,
        x=x,
        h0=None,
        lengths=None,
        mask=None,
        masked_output=None,
        parameters=parameters,
        d_output=np.zeros((T, B, len(W) * H)),
        d_h_n=np.zeros((len(W), B, H)),
        expected=expected,
    )


def survives(target, suite, gradients=False):
    """Whether a target gives the right results in every case of a suite."""
    for case in suite:
        found = target(case)
        for name, right in case.expected.items():
            if name.startswith("d_") != gradients:
                continue
            tolerance = (1e-9 if gradients else TOLERANCE) * max(1, abs(right).max())
            if abs(found[name] - right).max() > tolerance:
                return False
    return True


def name_pairs(count=80, seed=1):
    """Plant random pairs of bugs, and print those that do not get both names."""
    pairs = list(itertools.combinations(FORWARD, 2))
    random.Random(seed).shuffle(pairs)
    tried, named = 0, 0
    for pair in pairs[:count]:
        try:
            target = mutant(*(part for name in pair for part in FORWARD[name]))
        except AssertionError:  # both change the same line
            continue
        findings = check(target, variant="after-keep").findings
        keys = {key for finding in findings for key in finding.keys}
        complete = keys == set(pair) and all(finding.keys for finding in findings)
        tried, named = tried + 1, named + complete
        if not complete:
            print(pair, "got", [(finding.keys, len(finding.cases)) for finding in findings])
    print(f"{named} of {tried} random pairs have both names")


def main():
    suites = {
        "onnx": list(of_onnx()),
        "one step": list(with_one_step()),
        "constant": list(with_constant_weights()),
        "vectors": list(supported(cases())),
    }
    print({name: len(suite) for name, suite in suites.items()})
    for name, suite in suites.items():
        assert survives(gru, suite), f"the right GRU fails {name}"
    for kind, bugs in (("outputs", FORWARD), ("gradients", GRADIENTS)):
        print(f"\n{kind}: {len(bugs)} bugs; those that survive")
        for name, suite in suites.items():
            if kind == "gradients" and name == "onnx":
                continue
            alive = [
                key
                for key, change in bugs.items()
                if survives(mutant(*change), suite, kind == "gradients")
            ]
            print(f"{name}: {len(alive)}: {', '.join(alive)}")
    print()
    name_pairs()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # it takes none
    main()
