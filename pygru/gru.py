"""The GRU layer: PyTorch's interface over NumPy arrays, in any of the variants.

The class here has the public constructor and the calls; ``gru_base.py`` has its options and
weights. How a call runs is in ``inputs.py`` (arguments to arrays), ``passes.py`` (forward and
backward), ``segments.py`` (the same in segments, for long sequences), ``stream.py`` (single
steps) and ``runner.py`` (calls of the core).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pygru import budget, passes, segments
from pygru.core import _core, validation
from pygru.gates import Gates, gates_of
from pygru.gru_base import GRUBase
from pygru.inputs import Inputs
from pygru.nn.initializers import INITIALIZERS
from pygru.options import GRUOptions
from pygru.segments import SegmentTape
from pygru.stream import Stream, StreamPart, one_step
from pygru.tape import Tape, WholeTape
from pygru.typing import Floats, Seed
from pygru.variant import Variant


class GRU(GRUBase):
    """A gated recurrent unit of one or more layers, in one or two directions.

    For every step ``t`` of a sequence, layer and direction, with ``x`` the input and ``h``
    the previous state::

        r = sigmoid(W_r x + U_r h + b_r)                   reset gate
        z = sigmoid(W_z x + U_z h + b_z)                   update gate
        n = tanh(W_n x + U_n (r * h) + b_n)                candidate   (variants chung, cho)
        n = tanh(W_n x + b_in + r * (U_n h + b_hn))        candidate   (variant pytorch)
        h = (1 - z) * h + z * n                            new state   (variant chung)
        h = z * h + (1 - z) * n                            new state   (variants cho, pytorch)

    Parameters
    ----------
    input_size : int
        Features of x at each step, I.
    hidden_size : int
        Features of the state, H.
    num_layers : int
        Layers stacked on one another; each takes the output of the one below.
    bias : bool
        Whether the cells have biases (two of 3H, as in PyTorch).
    batch_first : bool
        Whether batched arrays are (B, T, features) instead of (T, B, features).
    dropout : float
        Probability with which :meth:`forward`, in training, sets an output element of a layer
        to zero. The others are multiplied by 1 / (1 - dropout). The last layer has no dropout.
    bidirectional : bool
        Whether a second cell reads each sequence from its last valid step to its first.
    variant : {"chung", "cho", "pytorch"} or Variant
        The equations; see :class:`Variant`. A GRU of another variant computes something else
        with the same weights.
    dtype : dtype
        float32 or float64, of parameters and results.
    seed : int, sequence of int, Generator or None
        Seed of the initial parameters and of dropout.
    init : {"torch", "keras"}
        Initial parameters. ``"torch"``: all are uniform in +-1/sqrt(H). ``"keras"``: the input
        weights are Glorot-uniform, the recurrent ones orthogonal, the biases zero.
    recurrent_dropout : float
        Probability with which, in training, a unit of the old state is set to zero wherever
        weights multiply it. Each sequence has one mask, which is the same at every step [3]_.
        The new state is computed from the whole old state and the candidate, as in Keras.
    zoneout : float
        Probability with which, in training, a unit keeps its old state at a step [4]_. In
        inference each unit keeps this share of its old state.
    learn_h0 : bool
        Whether the initial state is a parameter, ``h0`` (L*D, H), which is zero at first. It is
        used by every call that is given no ``h0``.
    layer_norm : bool
        Whether the sums ``W x`` and ``U h`` of every gate are normalised over the H units, at
        every step and for each sequence on its own [5]_. They are shifted and scaled to mean 0
        and variance 1 and multiplied by gains; then the biases are added. Training becomes less
        sensitive to the scale of weights and inputs. A training step takes 1.1 (H = 256) to 1.4
        times (H = 64) as long.
    layer_norm_eps : float
        The number that is added to the variance there, so that the scale is finite where all
        sums are equal.

    Attributes
    ----------
    options : GRUOptions
        All arguments but the seed. Each is an attribute of its own too. None can be assigned:
        :meth:`replace` returns a GRU with other options.
    parameters, grads : mapping of str to ndarray
        Views into ``flat_parameters`` and ``flat_grads`` by PyTorch's names:
        ``weight_ih_l0`` (3H, I), ``weight_hh_l0`` (3H, H), ``bias_ih_l0`` (3H,),
        ``bias_hh_l0`` (3H,), with ``layer_norm`` also ``gain_ih_l0`` and ``gain_hh_l0``
        (3H,), then ``_l0_reverse``, ``_l1`` and so on; rows in gate order r, z, n.
    flat_parameters, flat_grads : ndarray
        All parameters, and their gradients, as one array each.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range.
    MemoryError
        If the parameters cannot be allocated.

    References
    ----------
    .. [1] J. Chung, C. Gulcehre, K. Cho, Y. Bengio, "Empirical Evaluation of Gated Recurrent
       Neural Networks on Sequence Modeling", 2014, arXiv:1412.3555.
    .. [2] K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
       Statistical Machine Translation", 2014, arXiv:1406.1078.
    .. [3] Y. Gal, Z. Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent
       Neural Networks", 2016, arXiv:1512.05287.
    .. [4] D. Krueger et al., "Zoneout: Regularizing RNNs by Randomly Preserving Hidden
       Activations", 2017, arXiv:1606.01305.
    .. [5] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU
    >>> gru = GRU(input_size=4, hidden_size=8, batch_first=True, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((2, 5, 4))
    >>> output, h_n = gru(x)
    >>> output.shape, h_n.shape
    ((2, 5, 8), (1, 2, 8))
    >>> bool(np.array_equal(output[:, -1], h_n[0]))
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        variant: str | Variant = "chung",
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
        init: str = "torch",
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        learn_h0: bool = False,
        layer_norm: bool = False,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        options = GRUOptions(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            variant=variant,
            dtype=dtype,
            init=init,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            learn_h0=learn_h0,
            layer_norm=layer_norm,
            layer_norm_eps=layer_norm_eps,
        )
        if options.dropout > 0 and options.num_layers == 1:
            warnings.warn("dropout has no effect with num_layers=1", UserWarning, stacklevel=2)
        self._set_up(options, np.random.default_rng(seed))
        INITIALIZERS[options.init](self)

    # ---- whole sequences --------------------------------------------------------------------

    @overload
    def __call__(
        self,
        x: NDArray[Any],
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        out: Floats | None = ...,
        n_threads: int | None = ...,
    ) -> tuple[Floats, Floats]: ...

    @overload
    def __call__(
        self,
        x: Sequence[NDArray[Any]],
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        out: Floats | None = ...,
        n_threads: int | None = ...,
    ) -> tuple[list[Floats], Floats]: ...

    @overload
    def __call__(
        self,
        x: ArrayLike,
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        out: Floats | None = ...,
        n_threads: int | None = ...,
    ) -> tuple[Floats | list[Floats], Floats]: ...

    def __call__(
        self,
        x: ArrayLike | Sequence[NDArray[Any]],
        h0: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        out: Floats | None = None,
        n_threads: int | None = None,
    ) -> tuple[Floats | list[Floats], Floats]:
        """Run the GRU over whole sequences for inference, without a tape and without noise.

        Parameters
        ----------
        x : array_like or list of array_like
            (T, B, I), or (B, T, I) with ``batch_first``, or (T, I) for one sequence; or a
            list of (T_i, I) arrays. Any numeric dtype and memory layout.
        h0 : array_like, optional
            Initial states (L*D, B, H), or (L*D, H) for one sequence; zeros by default, or
            the parameter ``h0`` with ``learn_h0``.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence, from 0 to T and in any order. Later steps are
            not read, and their output is 0. The lengths are copied first.
        out : ndarray, optional
            Where to put the output: an array of its shape and dtype. After an exception its
            contents are undefined.
        n_threads : int, optional
            Threads for this call; see :func:`pygru.set_num_threads`. The number of threads
            never changes a result.

        Returns
        -------
        output : ndarray or list of ndarray
            States of the last layer at every step, shaped like x but with D*H features: those
            of the forward direction come first. A list if x is one.
        h_n : ndarray
            Last state of each layer and direction, (L*D, B, H) or (L*D, H). The reverse
            direction ends at the first step of a sequence.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the message says what was expected.
        MemoryError
            If the result or the workspace cannot be allocated.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> gru = GRU(2, 3, seed=0)
        >>> outputs, h_n = gru([np.ones((4, 2)), np.ones((2, 2))])
        >>> [output.shape for output in outputs]
        [(4, 3), (2, 3)]
        """
        if h0 is None and lengths is None and out is None and n_threads is None:
            result = passes.run_short(self, x)
            if result is not None:
                return result
        inputs = Inputs(self, x, h0, lengths)
        output, h_n, _ = passes.forward(self, inputs, _core.KEEP_NOTHING, False, out, n_threads)
        return output, h_n

    @overload
    def forward(
        self,
        x: NDArray[Any],
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        training: bool = ...,
        memory: int | str = ...,
        n_threads: int | None = ...,
    ) -> tuple[Floats, Floats, Tape]: ...

    @overload
    def forward(
        self,
        x: Sequence[NDArray[Any]],
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        training: bool = ...,
        memory: int | str = ...,
        n_threads: int | None = ...,
    ) -> tuple[list[Floats], Floats, Tape]: ...

    @overload
    def forward(
        self,
        x: ArrayLike,
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        training: bool = ...,
        memory: int | str = ...,
        n_threads: int | None = ...,
    ) -> tuple[Floats | list[Floats], Floats, Tape]: ...

    def forward(
        self,
        x: ArrayLike | Sequence[NDArray[Any]],
        h0: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        training: bool = True,
        memory: int | str = "gates",
        n_threads: int | None = None,
    ) -> tuple[Floats | list[Floats], Floats, Tape]:
        """Run the GRU over whole sequences and keep what :meth:`backward` needs.

        Parameters
        ----------
        x, h0, lengths, n_threads
            As for calling the GRU. :meth:`backward` uses the same ``n_threads``.
        training : bool
            Whether dropout, recurrent dropout and zoneout act at random. Otherwise zoneout has
            its mean effect, and the others have none.
        memory : {"gates", "outputs", "sqrt"}, int or str
            What the tape keeps, which is a choice between memory and time. The gradients are
            the same with each value, because the same random masks are drawn.

            * ``"gates"``: the states and gates of every step, 5 H per layer and direction.
            * ``"outputs"``: the states only, H; backward computes the gates again.
            * ``"sqrt"``: the state at every sqrt(T)-th step; backward runs the steps between
              two of them again. It needs a GRU of one direction.
            * A number of bytes, or a text such as ``"500 MB"``: a budget for the tape and for
              the memory of backward. The fastest of the other choices that fits is taken, with
              as many steps between the kept states as fit.

        Returns
        -------
        output, h_n : ndarray
            As for calling the GRU.
        tape : Tape
            To be given to :meth:`backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, if a bidirectional GRU would have to keep fewer states,
            or if a budget is too small; the message says which one would do.
        MemoryError
            If the result, the tape or the workspace cannot be allocated. No random number has
            then been drawn.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> gru = GRU(2, 3, seed=0)
        >>> output, h_n, tape = gru.forward(np.ones((4, 1, 2)))
        >>> d_x, d_h0 = gru.backward(tape, d_output=np.ones((4, 1, 3)))
        >>> d_x.shape, d_h0.shape, bool(gru.grads["weight_ih_l0"].any())
        ((4, 1, 2), (1, 1, 3), True)
        """
        training = validation.check_bool("training", training)
        budget.check_memory(memory)
        inputs = Inputs(self, x, h0, lengths)
        keep, segment = budget.choose(self, inputs, memory, training, n_threads)
        if segment is not None:
            return segments.forward(self, inputs, segment, training, n_threads)
        output, h_n, tape = passes.forward(self, inputs, keep, training, None, n_threads)
        assert tape is not None
        return output, h_n, tape

    def backward(
        self,
        tape: Tape,
        d_output: ArrayLike | Sequence[NDArray[Any]] | None = None,
        d_h_n: ArrayLike | None = None,
    ) -> tuple[Floats | list[Floats], Floats]:
        """Add the gradient of a loss to ``grads`` and return that of the inputs.

        After an error or an interrupt either nothing or everything has been added.

        Parameters
        ----------
        tape : Tape
            From :meth:`forward` of this GRU, whose weights have not changed since. It may be
            used again, with the same result.
        d_output : array_like or list of array_like, optional
            Gradient of the loss with respect to the output, in the output's form; zeros by
            default. Steps after the end of a sequence are not read.
        d_h_n : array_like, optional
            Gradient with respect to ``h_n``; zeros by default.

        Returns
        -------
        d_x : ndarray or list of ndarray
            Gradient with respect to x, in its form; 0 after the end of a sequence.
        d_h0 : ndarray
            Gradient with respect to h0, (L*D, B, H) or (L*D, H).

        Raises
        ------
        RuntimeError
            If ``tape`` is not a tape, or the weights have changed since it was made.
        ValueError
            If the tape belongs to another GRU, or a shape does not fit.
        MemoryError
            If the result or the workspace cannot be allocated.
        """
        if not isinstance(tape, (WholeTape, SegmentTape)):
            raise RuntimeError(
                "backward() needs a tape: output, h_n, tape = gru.forward(x); "
                f"got {validation.type_name(tape)}"
            )
        if isinstance(tape, SegmentTape):
            return segments.backward(self, tape, d_output, d_h_n)
        return passes.backward(self, tape, d_output, d_h_n)

    def gates(
        self,
        x: ArrayLike | Sequence[NDArray[Any]],
        h0: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> list[Gates]:
        """Return the values of all gates and states at every step.

        Parameters
        ----------
        x, h0, lengths
            As for calling the GRU.

        Returns
        -------
        list of Gates
            One per layer and direction, in the order of ``h_n``. Step t of each array belongs
            to step t of x, also in the reverse direction. For a list of sequences the arrays
            are padded.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> gates = GRU(2, 3, seed=0).gates(np.ones((4, 2)))
        >>> gates[0].z.shape
        (4, 3)
        """
        inputs = Inputs(self, x, h0, lengths)
        _, _, tape = passes.forward(self, inputs, _core.KEEP_GATES, False, None, None)
        assert tape is not None
        return gates_of(tape)

    # ---- as a layer of a model ---------------------------------------------------------------

    is_recurrent = True

    def check_memory(self, memory: object) -> None:
        """Raise unless a tape can keep ``memory``."""
        budget.check_memory(memory)

    def infer(self, x: Any, *, lengths: Any = None) -> Any:
        """Return the output for inference, in the form for Sequential and Trainer."""
        return self(x, lengths=lengths)[0]

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
    ) -> tuple[Any, Any, Any]:
        """Do what :meth:`forward` does, in the form for Sequential and Trainer."""
        return self.forward(x, state, lengths=lengths, training=training, memory=memory)

    def begin_stream(self, batch: int | None) -> StreamPart:
        """Return the single steps of this GRU, for the stream of a whole model."""
        if self.bidirectional:
            raise ValueError("its reverse direction begins at the end of a sequence")
        return StreamPart(self.stream(batch))

    def run_backward(self, tape: Any, d_y: Any) -> Any:
        """Return the gradient of x, in the form for Sequential and Trainer."""
        return self.backward(tape, d_y)[0]

    # ---- single steps -----------------------------------------------------------------------

    def step(self, x_t: ArrayLike, h: ArrayLike, *, out: Floats | None = None) -> Floats:
        """Return the state that follows from a state and the input of one time step.

        Parameters
        ----------
        x_t : array_like
            (B, I) or (I,) the input of this step.
        h : array_like
            (L, B, H) or (L, H) the state of every layer.
        out : ndarray, optional
            Where to put the new state; may be ``h`` itself.

        Returns
        -------
        h : ndarray
            The new state of every layer; ``h[-1]`` is the output.

        Raises
        ------
        TypeError
            If an argument is not an array of numbers.
        ValueError
            If the GRU is bidirectional, or a shape does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> gru = GRU(2, 3, seed=0)
        >>> h = np.zeros((1, 3))
        >>> for x_t in np.ones((5, 2)):
        ...     h = gru.step(x_t, h)
        >>> bool(np.allclose(h, gru(np.ones((5, 2)))[1]))
        True
        """
        return one_step(self, x_t, h, out)

    def stream(self, batch: int | None = None) -> Stream:
        """Return a :class:`Stream`, which runs single steps and keeps the state and its
        buffers.

        Parameters
        ----------
        batch : int, optional
            Number of independent streams, B. None means a single one without a batch axis.

        Raises
        ------
        ValueError
            If the GRU is bidirectional: its reverse direction needs the future.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> stream = GRU(2, 3, seed=0).stream()
        >>> for x_t in np.ones((5, 2)):
        ...     y_t = stream(x_t)
        >>> y_t.shape
        (3,)
        """
        return Stream(self, batch)
