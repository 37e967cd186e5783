"""Time pygru beside torch.nn.GRU: same shapes, same weights, one process, interleaved.

Run it from the checkout:  python benchmarks/against_torch.py [--threads N] [--repeats N]

Prints the median time of one call in microseconds and the ratio torch / pygru; above 1 pygru
is faster. Pin it to one core for one thread (taskset -c 0), and leave OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE unset: they change which kernels SciPy's BLAS uses.
"""

import argparse
import statistics
import time

import numpy as np
import torch

import pygru

CELLS = [  # batch, steps, input and hidden size
    (1, 100, 64),
    (1, 100, 128),
    (8, 100, 128),
    (32, 100, 64),
    (32, 100, 128),
    (64, 100, 256),
    (128, 50, 512),
    (256, 50, 128),
]


def medians(functions, repeats):
    """Median time of each function in microseconds; the functions take turns."""
    times = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(repeats):
        for function, collected in zip(functions, times, strict=True):
            begin = time.perf_counter()
            function()
            collected.append(time.perf_counter() - begin)
    return [1e6 * statistics.median(collected) for collected in times]


def calls(batch, steps, size):
    """Inference and training of one shape: torch, pygru, torch, pygru."""
    rng = np.random.default_rng(0)
    rival = torch.nn.GRU(size, size)
    gru = pygru.GRU(size, size, variant="pytorch")
    gru.load_state_dict(rival.state_dict())
    x = rng.standard_normal((steps, batch, size)).astype(np.float32)
    d_output = rng.standard_normal((steps, batch, size)).astype(np.float32)
    tensor, d_tensor = torch.tensor(x), torch.tensor(d_output)
    tracked = torch.tensor(x, requires_grad=True)

    def torch_inference():
        with torch.inference_mode():
            rival(tensor)

    def torch_training():
        rival(tracked)[0].backward(d_tensor)

    def pygru_training():
        _, _, tape = gru.forward(x)
        gru.backward(tape, d_output)

    return [torch_inference, lambda: gru(x), torch_training, pygru_training]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pygru.set_num_threads(options.threads)
    pygru.show_config()
    print(f"torch     {torch.__version__}\n")
    print("                     inference (us)                training step (us)")
    print("   B    T  I=H     torch    pygru  ratio         torch    pygru  ratio")
    for batch, steps, size in CELLS:
        inference, ours, training, our_training = medians(
            calls(batch, steps, size), options.repeats
        )
        print(
            f"{batch:4} {steps:4} {size:4} {inference:9.0f} {ours:8.0f} {inference / ours:6.2f}"
            f" {training:13.0f} {our_training:8.0f} {training / our_training:6.2f}"
        )


if __name__ == "__main__":
    main()
