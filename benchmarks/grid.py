"""The cells that are measured: batch, steps, input size and hidden size."""

SINGLE = [(1, 1, 64, 64), (1, 1, 128, 128), (1, 1, 256, 256), (1, 1, 512, 512)]
SEQUENCES = [
    (1, 100, 64, 64),
    (1, 100, 128, 128),
    (1, 100, 256, 256),
    (8, 100, 128, 128),
    (32, 100, 64, 64),
    (32, 100, 128, 128),
    (64, 100, 256, 256),
    (128, 50, 512, 512),
    (256, 50, 128, 128),
]
TRAINER = [(32, 50, 16, 64), (32, 200, 1, 32), (64, 100, 32, 128)]
QUANTIZED = [
    (1, 1, 512, 512),
    (1, 100, 512, 512),
    (1, 100, 128, 128),
    (8, 100, 128, 128),
    (32, 100, 128, 128),
    (64, 100, 256, 256),
    (128, 50, 512, 512),
    (256, 50, 128, 128),
]
CELLS = {
    "step": SINGLE,
    "calls": SINGLE,
    "inference": [*SINGLE, *SEQUENCES],
    "training": [SINGLE[1], *SEQUENCES],
    "trainer": TRAINER,
    "quantized": QUANTIZED,
    "torch": [*SINGLE, *SEQUENCES],
}
