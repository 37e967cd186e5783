"""The GRU layer: PyTorch's interface over NumPy arrays, in any of the variants.

The class here has the public constructor. Its options and weights are in ``gru_base.py``, its
calls and single steps for inference in ``gru_inference.py``, and its calls for training in
``gru_sequences.py``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.gru_sequences import GRUSequences
from pygru.nn.initializers import INITIALIZERS
from pygru.options import GRUOptions
from pygru.typing import CellActivation, Seed
from pygru.variant import Variant

if TYPE_CHECKING:
    from pygru.quantized.gru import QuantizedGRU


class GRU(GRUSequences):
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
    zero_output_for_mask : bool
        What the output is at a step that a mask leaves out: 0 if true; by default the state
        there, which is that of the step before.
    merge : {"concat", "sum", "mul", "ave"}
        What the output of a bidirectional GRU is: the two directions one after the other
        (D*H features), or their sum, product or mean (H features, for one layer only).
    activation : str or (str, float, float)
        The function of the candidate n in the place of tanh: ``"tanh"``, ``"sigmoid"``,
        ``"relu"`` = max(x, 0), ``"linear"`` = x, ``"softsign"`` = x / (1 + abs(x)) or
        ``"hard_sigmoid"`` = min(max(0.2 x + 0.5, 0), 1). ``("hard_sigmoid", alpha, beta)`` has
        other numbers than 0.2 and 0.5; Keras 3 has 1/6 and 0.5.
    recurrent_activation : str or (str, float, float)
        The function of the gates r and z in the place of the sigmoid: one of the same.
    clip : float, optional
        If it is given, the sums before the activations are limited to [-clip, clip], as by the
        attribute of this name in ONNX. Where a sum was limited, its gradient is 0.
    reverse : bool
        Whether all layers read each sequence from its last valid step to its first, as in ONNX
        with ``direction="reverse"``. The output stands at the step that was read, and ``h_n``
        is the state after the first step. Such a GRU has one direction and no single steps.

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
        zero_output_for_mask: bool = False,
        merge: str = "concat",
        activation: CellActivation = "tanh",
        recurrent_activation: CellActivation = "sigmoid",
        clip: float | None = None,
        reverse: bool = False,
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
            zero_output_for_mask=zero_output_for_mask,
            merge=merge,
            activation=activation,
            recurrent_activation=recurrent_activation,
            clip=clip,
            reverse=reverse,
        )
        if options.dropout > 0 and options.num_layers == 1:
            warnings.warn("dropout has no effect with num_layers=1", UserWarning, stacklevel=2)
        self._set_up(options, np.random.default_rng(seed))
        INITIALIZERS[options.init](self)

    # ---- for inference with less memory -----------------------------------------------------

    def quantized(
        self, bits: int = 8, data: Any = None, *, lengths: ArrayLike | None = None
    ) -> QuantizedGRU:
        """Return a GRU with weights of 8 bits, for inference.

        Its weights take a quarter of the memory, and a large GRU is faster with them. They are
        a copy: later changes of this GRU do not reach it.

        Parameters
        ----------
        bits : int
            The bits of a weight; only 8 are possible.
        data : array_like or list of array_like, optional
            Inputs in the form of a call, such as some of the validation data. If they are
            given, the states of both GRUs are compared: the attribute ``report`` of the result
            holds the largest and the root mean squared difference of each layer, and ``print``
            shows it. Without data nothing is compared, and ``report`` is None.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence of ``data``.

        Returns
        -------
        QuantizedGRU
            It is called like this GRU, and can be saved, copied and put into a Sequential.

        Raises
        ------
        TypeError
            If ``bits`` is not an integer, or the class of this GRU overrides how it is run.
        ValueError
            If ``bits`` is not 8, this GRU is not float32, a parameter is not finite, or the
            data do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> gru = GRU(8, 128, seed=0)
        >>> x = np.random.default_rng(0).standard_normal((30, 2, 8))
        >>> quantized = gru.quantized(data=x)
        >>> quantized.report.cells[0].rms < 0.02
        True
        >>> round(gru.nbytes / quantized.nbytes, 1)
        3.6
        """
        from pygru.quantized.gru import QuantizedGRU  # which needs this class

        return QuantizedGRU(self, bits, data, lengths)
