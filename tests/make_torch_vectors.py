"""Write tests/data/torch_vectors.npz: what torch.nn.GRU computes, in float64.

    python tests/make_torch_vectors.py

Each configuration has an input, initial states, lengths if the sequences differ in length,
weights, and gradients of the output and of h_n. It also has torch's output, h_n and all
gradients. Weights and inputs are drawn by NumPy, so a run with the same versions writes the
same bytes.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import reference
import torch

FILE = Path(__file__).parent / "data" / "torch_vectors.npz"
T, B, I, H = 5, 3, 2, 3
LENGTHS = np.array([3, 5, 1])


def torch_gru(parameters, input_size, hidden_size, num_layers, bidirectional, bias):
    """A torch.nn.GRU in float64 with the given parameters."""
    gru = torch.nn.GRU(
        input_size,
        hidden_size,
        num_layers,
        bias=bias,
        bidirectional=bidirectional,
        dtype=torch.float64,
    )
    gru.load_state_dict({name: torch.from_numpy(a) for name, a in parameters.items()})
    return gru


def run(gru, x, h0, lengths, d_output, d_h_n):
    """Forward and backward in torch; a dict of NumPy arrays."""
    x = torch.from_numpy(x).requires_grad_()
    h0 = torch.from_numpy(h0).requires_grad_()
    if lengths is None:
        output, h_n = gru(x, h0)
    else:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.as_tensor(lengths), enforce_sorted=False
        )
        output, h_n = gru(packed, h0)
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=len(x))
    gru.zero_grad()
    torch.autograd.backward(
        [output, h_n], [torch.from_numpy(d_output), torch.from_numpy(d_h_n)]
    )
    results = {"output": output.detach(), "h_n": h_n.detach(), "d_x": x.grad, "d_h0": h0.grad}
    results |= {f"d_{name}": parameter.grad for name, parameter in gru.named_parameters()}
    return {name: tensor.numpy() for name, tensor in results.items()}


def configuration(rng, num_layers, bidirectional, bias, ragged):
    """One configuration's arrays by name."""
    D = 1 + bidirectional
    parameters = reference.random_parameters(rng, I, H, num_layers, bidirectional, bias)
    inputs = {
        "x": rng.standard_normal((T, B, I)),
        "h0": rng.uniform(-1, 1, (num_layers * D, B, H)),
        "d_output": rng.standard_normal((T, B, D * H)),
        "d_h_n": rng.standard_normal((num_layers * D, B, H)),
    }
    gru = torch_gru(parameters, I, H, num_layers, bidirectional, bias)
    results = run(gru, lengths=LENGTHS if ragged else None, **inputs)
    if ragged:
        inputs["lengths"] = LENGTHS
    return {**parameters, **inputs, **results}


def main():
    rng = np.random.default_rng(20)
    torch.set_num_threads(1)
    arrays = {"torch_version": torch.__version__, "numpy_version": np.__version__}
    for layers, directions, bias, ragged in itertools.product((1, 2), (1, 2), (0, 1), (0, 1)):
        name = f"layers={layers},directions={directions},bias={bias},ragged={ragged}"
        made = configuration(rng, layers, directions == 2, bool(bias), bool(ragged))
        arrays |= {f"{name}/{key}": array for key, array in made.items()}
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {len(arrays)} arrays, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # it takes none
    main()
