"""Sequential: layers one after the other, trained as one model."""

import numpy as np

from pygru.core import validation
from pygru.data.padding import pad_sequences, unpad_sequences
from pygru.gru import GRU
from pygru.nn.composite import Composite
from pygru.nn.embedding import Embedding
from pygru.nn.layers import Last, Layer


class Sequential(Composite):
    """Layers one after the other; the output of each is the input of the next.

    A GRU passes on its output at every step; put a :class:`Last` behind it to go on with the
    last one only. All arrays are batch first, so every GRU must be made with
    ``batch_first=True``.

    Parameters
    ----------
    *layers : GRU, Embedding, Linear, Dropout, Last
        In order.

    Attributes
    ----------
    layers : tuple
        The layers, as given.
    parameters, grads : mapping of str to ndarray
        Views of all layers' parameters and gradients, named ``"<index>.<name>"``.

    Raises
    ------
    TypeError
        If something is not a layer.
    ValueError
        If a GRU is not batch first, or a :class:`Last` does not fit the GRU before it.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU, Last, Linear, Sequential
    >>> model = Sequential(GRU(3, 8, batch_first=True, seed=0), Last(), Linear(8, 2, seed=1))
    >>> model(np.ones((5, 7, 3))).shape
    (5, 2)
    """

    def __init__(self, *layers):
        gru = None
        for index, layer in enumerate(layers):
            if not isinstance(layer, (GRU, Layer)):
                raise TypeError(
                    f"layers[{index}] must be a GRU or a layer of pygru, "
                    f"got {validation.type_name(layer)}"
                )
            if isinstance(layer, GRU):
                gru = layer
                if not layer.batch_first:
                    raise ValueError(f"layers[{index}] must be a GRU with batch_first=True")
            if isinstance(layer, Last) and gru and layer.bidirectional != gru.bidirectional:
                raise ValueError(
                    f"layers[{index}] must be Last(bidirectional={gru.bidirectional}), "
                    f"like the GRU before it, got {layer}"
                )
        self.layers = layers
        self._create_parts(dict(enumerate(layers)))

    def __repr__(self):
        return f"Sequential({', '.join(repr(layer) for layer in self.layers)})"

    def __call__(self, x, *, lengths=None):
        """Return the output for inference: nothing is kept, nothing dropped.

        Parameters
        ----------
        x : array_like or list of array_like
            What the first layer takes, batch first; or a list of sequences.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence.

        Returns
        -------
        ndarray or list of ndarray
            For a list of sequences a list, if there is an output for every step.
        """
        given = lengths
        x, lengths = self._padded(x, lengths)
        was_list = given is None and lengths is not None
        for layer in self.layers:
            y = layer(x, lengths=lengths)
            x = y[0] if isinstance(layer, GRU) else y
        if was_list and not any(isinstance(layer, Last) for layer in self.layers):
            return unpad_sequences(x, lengths)
        return x

    def _padded(self, x, lengths):
        """A list of sequences as one array and its lengths; anything else unchanged."""
        if lengths is None and isinstance(x, (list, tuple)) and len(x):
            reads_tokens = bool(self.layers) and isinstance(self.layers[0], Embedding)
            # A list of vectors is no list of sequences, but one of tokens is.
            if np.ndim(x[0]) > (0 if reads_tokens else 1):
                sizes = {len(sequence) for sequence in x}
                if len(sizes) > 1 or isinstance(x[0], np.ndarray):
                    return pad_sequences(x)
        return x, lengths

    def forward(self, x, *, lengths=None, training=True, memory="gates"):
        """Return the output and the tape that :meth:`backward` needs.

        Parameters
        ----------
        x, lengths
            As for calling the model.
        training : bool
            Whether dropout acts.
        memory
            What the tape of every GRU keeps, as for :meth:`GRU.forward`.
        """
        y, _, tape = self._run(x, None, lengths, training, memory)
        return y, tape

    def forward_from(self, states, x, *, lengths=None, training=True, memory="gates"):
        """Return the output, the states that follow and the tape, for one piece of sequences.

        A long sequence can be run piece by piece: the states that one piece ends with are
        those that the next begins with. A sequence whose length in a piece is 0 keeps its own.

        Parameters
        ----------
        states : sequence of ndarray or None
            One (num_layers, B, hidden_size) per GRU, in order; None is zeros for all, or
            their learned ``h0``.
        x, lengths, training, memory
            As for :meth:`forward`.

        Returns
        -------
        output : ndarray
        states : list of ndarray
        tape : list
            For :meth:`backward`, where gradients end at the states of the beginning.

        Raises
        ------
        ValueError
            If a GRU is bidirectional: its reverse direction begins at the end of sequences.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU, Linear, Sequential
        >>> model = Sequential(GRU(1, 4, batch_first=True, seed=0), Linear(4, 1, seed=0))
        >>> x = np.ones((2, 6, 1))
        >>> first, states, tape = model.forward_from(None, x[:, :4])
        >>> second, states, tape = model.forward_from(states, x[:, 4:])
        >>> np.allclose(np.hstack([first, second]), model(x), atol=1e-6)
        True
        """
        recurrent = [layer for layer in self.layers if isinstance(layer, GRU)]
        if any(layer.bidirectional for layer in recurrent):
            raise ValueError("a bidirectional GRU cannot run over pieces of a sequence")
        if states is not None and len(states) != len(recurrent):
            raise ValueError(
                f"states must hold one array per GRU, {len(recurrent)}, got {len(states)}"
            )
        return self._run(x, states, lengths, training, memory)

    def _run(self, x, states, lengths, training, memory):
        x, lengths = self._padded(x, lengths)
        following, tapes = [], []
        for layer in self.layers:
            if isinstance(layer, GRU):
                h0 = None if states is None else states[len(following)]
                x, h_n, tape = layer.forward(
                    x, h0, lengths=lengths, training=training, memory=memory
                )
                following.append(h_n)
            else:
                x, tape = layer.forward(x, lengths=lengths, training=training)
            tapes.append(tape)
        return x, following, tapes

    def backward(self, tape, d_y):
        """Add to the gradients of all layers; return that of x, None for integer input."""
        for layer, kept in zip(reversed(self.layers), reversed(tape), strict=True):
            d_y = layer.backward(kept, d_y)
            if isinstance(layer, GRU):
                d_y = d_y[0]
        return d_y
