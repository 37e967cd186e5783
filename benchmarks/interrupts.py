"""How long Ctrl-C takes to end a call: docs/threading.md names the worst figure.

    python -m benchmarks.interrupts                        all kinds and sizes: half an hour
    python -m benchmarks.interrupts step adam --trials 9
    PYGRU_ENGINE=blas python -m benchmarks.interrupts forward --sizes 4096,2048

A call is made again and again until a signal comes at a random moment. The figure is the time
from the signal to the exception, the longest of some trials. Moments and figures are counted in
CPU time of all threads, so other work on the machine changes little; with two threads the
figure is up to twice as long as somebody waits.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np

import pygru

SIZES = [
    (1, 64),
    (1, 2048),
    (64, 64),
    (64, 512),
    (64, 2048),
    (4096, 64),
    (4096, 512),
    (4096, 2048),
]
PARAMETERS = 10**7  # of the layer that is updated
MOST_PRODUCTS = 3 * 10**10  # of a call, about a second's work,
MOST_VALUES = 1 << 25  # and of its inputs, so that it fits into memory


def inputs(B, H, dtype):
    steps = min(MOST_PRODUCTS // (6 * B * H * H), MOST_VALUES // (B * H), 20000)
    return np.full((max(1, steps), B, H), 0.1, dtype)


def inference(B, H, dtype):
    gru, x = pygru.GRU(H, H, seed=0, dtype=dtype), inputs(B, H, dtype)
    return lambda: gru(x)


def forward(B, H, dtype):
    gru, x = pygru.GRU(H, H, seed=0, dtype=dtype), inputs(B, H, dtype)
    return lambda: gru.forward(x)


def backward(B, H, dtype):
    gru = pygru.GRU(H, H, seed=0, dtype=dtype)
    output, _, tape = gru.forward(inputs(B, H, dtype))
    return lambda: gru.backward(tape, output)


def quantized(B, H, dtype):
    gru, x = pygru.GRU(H, H, seed=0, dtype=dtype).quantized(), inputs(B, H, dtype)
    return lambda: gru(x)


def step(B, H, dtype):
    gru, x = pygru.GRU(H, H, seed=0, dtype=dtype), inputs(B, H, dtype)[0]
    h = np.zeros((1, B, H), dtype)
    return lambda: gru.step(x, h)


def stream(B, H, dtype):
    stream, x = pygru.GRU(H, H, seed=0, dtype=dtype).stream(B), inputs(B, H, dtype)[0]
    return lambda: stream(x)


def packing(B, H, dtype):
    """A step of one sequence, with weights that have changed since the last one."""
    gru, x = pygru.GRU(H, H, seed=0, dtype=dtype), inputs(1, H, dtype)[0]
    h, weights = np.zeros((1, 1, H), dtype), gru.flat_parameters

    def call():
        weights[0] += 1
        gru.step(x, h)

    return call


def linear(B, H, dtype):
    layer, x = pygru.Linear(H, H, seed=0, dtype=dtype), inputs(B, H, dtype)
    return lambda: layer(x)


def linear_backward(B, H, dtype):
    layer = pygru.Linear(H, H, seed=0, dtype=dtype)
    output, tape = layer.forward(inputs(B, H, dtype))
    return lambda: layer.backward(tape, output)


def updated(dtype):
    side = round(PARAMETERS**0.5)
    layer = pygru.Linear(side, side, seed=0, dtype=dtype)
    layer.flat_grads[...] = 0.1
    return layer


def adam(B, H, dtype):
    layer, optimizer = updated(dtype), pygru.Adam()
    return lambda: optimizer.step(layer)


def sgd(B, H, dtype):
    layer, optimizer = updated(dtype), pygru.SGD(momentum=0.9)
    return lambda: optimizer.step(layer)


def clipping(B, H, dtype):
    layer = updated(dtype)
    return lambda: pygru.clip_grad_norm(layer, 1.0)


OF_SIZES = [
    inference,
    forward,
    backward,
    quantized,
    step,
    stream,
    packing,
    linear,
    linear_backward,
]
OF_UPDATES = [adam, sgd, clipping]
KINDS = {function.__name__: function for function in OF_SIZES + OF_UPDATES}


class Signaller:
    """A process that sends SIGINT to this one, when this one has used enough CPU time.

    A thread could not do it while a call holds the GIL, and the timers of the system are not
    exact.
    """

    CODE = """
import os, signal, sys, time
parent = os.getppid()
clock = ~parent << 3 | 2  # Linux: the CPU time of that process
for line in sys.stdin:
    moment = float(line)
    while time.clock_gettime(clock) < moment:
        time.sleep(0.001)
    print(time.clock_gettime(clock), flush=True)
    os.kill(parent, signal.SIGINT)
"""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def latency(self, call, delay):
        """Seconds from a signal, after ``delay`` seconds of calls, to the exception."""
        print(time.process_time() + delay, file=self.process.stdin, flush=True)
        try:
            while True:
                call()
        except KeyboardInterrupt:
            return time.process_time() - float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(call, signaller, trials):
    """Seconds of a call, and the latencies."""
    call()  # the first one starts threads
    begin = time.process_time()
    call()
    seconds = time.process_time() - begin
    draw = random.Random(0)
    delays = [0.02 + (0.3 + seconds) * draw.random() for _ in range(trials)]
    return seconds, [signaller.latency(call, delay) for delay in delays]


def size(text):
    B, H = map(int, text.split(","))
    return B, H


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interrupts", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--sizes", nargs="+", type=size, default=SIZES, metavar="B,H")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--trials", type=int, default=5)
    options = parser.parse_args(arguments)
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        parser.error(f"kinds are {', '.join(KINDS)}, got {', '.join(unknown)}")
    return options


def main(arguments=None):
    options = parse(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signaller = Signaller()
    engine, worst = os.environ.get("PYGRU_ENGINE", "simd"), 0
    for name in options.kinds or KINDS:
        sizes = options.sizes if KINDS[name] in OF_SIZES else [(0, 0)]
        dtypes = ["float32"] if name == "quantized" else options.dtypes
        for (B, H), dtype, threads in itertools.product(sizes, dtypes, options.threads):
            with pygru.num_threads(threads):
                seconds, found = measure(KINDS[name](B, H, dtype), signaller, options.trials)
            worst = max(worst, *found)
            print(
                f"{name} {engine} B {B} H {H} {dtype} threads {threads}: "
                f"call {seconds:.3f} s, longest {1000 * max(found):.0f} ms",
                flush=True,
            )
    signaller.close()
    print(f"the longest of all: {1000 * worst:.0f} ms")


if __name__ == "__main__":
    main()
