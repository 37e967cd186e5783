"""What a forward call keeps for backward."""

import sys

from pygru.core.memory import POOL


class Tape:
    """What a forward call keeps for backward. Opaque; made by :meth:`GRU.forward`.

    It owns copies of all it needs: changing ``x`` or the output afterwards does no harm.
    """

    def __init__(self, gru, batch, plan, memory, mask, mask_scale, n_threads, fingerprint):
        self.gru = gru
        self.batch = batch
        self.plan = plan
        self.memory = memory
        self.mask = mask
        self.mask_scale = mask_scale
        self.n_threads = n_threads
        self.fingerprint = fingerprint

    def __del__(self):
        memory = self.__dict__.pop("memory", None)  # a tape that failed to be made has none
        if memory is None or POOL is None:  # None while the interpreter ends
            return
        if sys.getrefcount(memory) == 2:  # `memory` and the argument: nobody else holds it
            POOL.give(memory)

    @property
    def nbytes(self):
        """Bytes of memory that this tape holds."""
        return self.memory.nbytes + (0 if self.mask is None else self.mask.nbytes)
