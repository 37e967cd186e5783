"""What regularises a training call of a GRU: dropout, recurrent dropout and zoneout.

Only drawing is here; the equations are in ``src_c/noise.tpl.c`` and ``src_c/sweep.tpl.c``.
"""

from typing import NamedTuple

import numpy as np

from pygru.core.memory import allocate

# Random numbers made at a time: they stay in the cache until they are compared.
BLOCK = 1 << 14


class Noise(NamedTuple):
    """The masks of one call, as ``pygru_noise`` in pygru_calls.h describes them."""

    dropout: np.ndarray | None = None
    dropout_scale: float = 1.0
    recurrent: np.ndarray | None = None
    recurrent_scale: float = 1.0
    zoneout: np.ndarray | None = None
    zoneout_rate: float = 0.0

    @property
    def nbytes(self):
        """Bytes of all masks."""
        masks = (self.dropout, self.recurrent, self.zoneout)
        return sum(mask.nbytes for mask in masks if mask is not None)


def allocate_noise(gru, sizes):
    """Room for the masks of a training call, or None if nothing is dropped."""

    def room(rate, name, purpose):
        if rate == 0 or sizes[name] == 0:
            return None
        return allocate(sizes[name], np.uint8, purpose)

    noise = Noise(
        room(gru.dropout, "dropout", "the dropout mask"),
        _scale(gru.dropout),
        room(gru.recurrent_dropout, "recurrent", "the recurrent dropout mask"),
        _scale(gru.recurrent_dropout),
        room(gru.zoneout, "zoneout", "the zoneout mask"),
    )
    return noise if noise.nbytes else None


def draw(gru, noise, generator):
    """Fill the masks of ``noise`` (None has none) with random bits."""
    if noise is not None:
        draw_sequences(gru, noise, generator)
        draw_steps(gru, noise, generator)


def draw_sequences(gru, noise, generator):
    """Fill the mask that is the same at every step of a sequence."""
    if noise.recurrent is not None:
        _fill(noise.recurrent, np.greater_equal, gru.recurrent_dropout, generator)


def draw_steps(gru, noise, generator):
    """Fill the masks that differ from step to step."""
    if noise.dropout is not None:
        _fill(noise.dropout, np.greater_equal, gru.dropout, generator)
    if noise.zoneout is not None:
        _fill(noise.zoneout, np.less, gru.zoneout, generator)


def expected(gru):
    """What stands for the noise in inference: zoneout's mean."""
    return Noise(zoneout_rate=gru.zoneout) if gru.zoneout else None


def _scale(rate):
    return 1 / (1 - rate) if rate < 1 else 0.0


def _fill(mask, compare, rate, generator):
    numbers = np.empty(BLOCK, np.float32)
    bits = mask.view(np.bool_)
    for first in range(0, len(bits), BLOCK):
        part = bits[first : first + BLOCK]
        compare(generator.random(out=numbers[: len(part)], dtype=np.float32), rate, out=part)
