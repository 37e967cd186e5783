"""What a forward call keeps for backward."""

from pygru.core import _core


class Tape:
    """What a forward call keeps for backward. Opaque; made by :meth:`GRU.forward`.

    It owns copies of all it needs: changing ``x`` or the output afterwards does no harm.
    """

    def __init__(self, gru, batch, plan, memory, mask, mask_scale, n_threads):
        self.gru = gru
        self.batch = batch
        self.plan = plan
        self.memory = memory
        self.mask = mask
        self.mask_scale = mask_scale
        self.n_threads = n_threads
        self.fingerprint = _core.fingerprint(gru.flat_parameters)

    @property
    def nbytes(self):
        """Bytes of memory that this tape holds."""
        return self.memory.nbytes + (0 if self.mask is None else self.mask.nbytes)
