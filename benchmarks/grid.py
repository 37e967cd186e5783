"""The cells that are measured: batch, steps, and input size = hidden size."""

INFERENCE = [
    (1, 1, 64),
    (1, 1, 128),
    (1, 1, 256),
    (1, 1, 512),
    (1, 100, 64),
    (1, 100, 128),
    (1, 100, 256),
    (8, 100, 128),
    (32, 100, 64),
    (32, 100, 128),
    (64, 100, 256),
    (128, 50, 512),
    (256, 50, 128),
]
TRAINING = [INFERENCE[1], *INFERENCE[4:]]
STEP = [(1, 1, 64), (1, 1, 128), (1, 1, 256), (1, 1, 512)]
CELLS = {"inference": INFERENCE, "training": TRAINING, "step": STEP}
