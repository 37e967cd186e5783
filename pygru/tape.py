"""What a forward call keeps for backward."""

from pygru.core.memory import POOL


class Tape:
    """What a forward call keeps for backward. Opaque; made by :meth:`GRU.forward`.

    It owns copies of all it needs: changing ``x`` or the output afterwards does no harm.
    """

    def __init__(self, gru, batch, plan, memory, noise, n_threads, fingerprint, learned_h0):
        self.gru = gru
        self.batch = batch
        self.plan = plan
        self._memory = memory
        self.noise = noise
        self.n_threads = n_threads
        self.fingerprint = fingerprint
        self.learned_h0 = learned_h0

    def __del__(self):
        memory = self.__dict__.pop("_memory", None)  # a tape that failed to be made has none
        if memory is not None and POOL is not None:  # None while the interpreter ends
            POOL.give(memory)

    @property
    def memory(self):
        """A view of the memory: whoever has one keeps it from being used again."""
        return self._memory[:]

    @property
    def nbytes(self):
        """Bytes of memory that this tape holds."""
        return self._memory.nbytes + (0 if self.noise is None else self.noise.nbytes)
