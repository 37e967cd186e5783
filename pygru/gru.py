"""The GRU layer: PyTorch's interface over NumPy arrays, in any of the variants.

The class is here with its configuration and its weights. How a call runs is in ``batch.py``
(arguments to arrays), ``passes.py`` (forward and backward) and ``checkpointing.py`` (the same
in windows, for long sequences).
"""

import copy
import threading
import warnings
from decimal import Decimal

import numpy as np

from pygru import checkpointing, concatenated, passes
from pygru.batch import Batch
from pygru.checkpointing import CheckpointTape, check_memory
from pygru.core import _core, validation
from pygru.core.kernels import KERNELS
from pygru.core.parameters import Parameters, load_into
from pygru.gates import gates_of
from pygru.nn.initializers import INITIALIZERS
from pygru.stream import Stream, one_step
from pygru.tape import Tape
from pygru.variant import Variant

# The C core indexes in 64 bits, eight bytes a parameter, and every layer has names of its own.
MOST_PARAMETERS = 2**60
MOST_LAYERS = 2**20
LEAST_EPS = 1e-30  # still a number in float32


class GRU(Parameters):
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
        Whether batched arrays are (B, T, features) rather than (T, B, features).
    dropout : float
        Probability with which an output element of each layer but the last is dropped
        (and the others scaled by 1 / (1 - dropout)) by :meth:`forward` when training.
    bidirectional : bool
        Whether a second cell reads each sequence from its last valid step to its first.
    variant : {"chung", "cho", "pytorch"} or Variant
        Which equations; see :class:`Variant`. Weights of one variant are meaningless in
        another.
    dtype : dtype
        float32 or float64, of parameters and results.
    seed : int, sequence of int, Generator or None
        Seed of the initial parameters and of dropout.
    init : {"torch", "keras"}
        Initial parameters: all uniform in +-1/sqrt(H), or glorot-uniform input weights,
        orthogonal recurrent weights and zero biases.
    recurrent_dropout : float
        Probability with which, in training, a unit of the old state is dropped wherever
        weights multiply it, by one mask per sequence that stays the same at every step [3]_;
        the blend with the candidate keeps the whole old state, as in Keras.
    zoneout : float
        Probability with which, in training, a unit keeps its old state at a step [4]_; in
        inference each unit keeps this share of it.
    learn_h0 : bool
        Whether the initial state is a parameter, ``h0`` (L*D, H), zeros at first: it is used
        wherever a call is given no ``h0``.
    layer_norm : bool
        Whether the sums ``W x`` and ``U h`` of every gate are normalised over the H units, at
        every step and for each sequence on its own [5]_: they are shifted and scaled to mean 0
        and variance 1, multiplied by gains, and the biases are added. It makes training less
        sensitive to the scale of weights and inputs; a training step takes 1.1 (H = 256) to 1.4
        times (H = 64) as long.
    layer_norm_eps : float
        What is added to the variance there, so that equal sums are not divided by zero.

    Attributes
    ----------
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
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        *,
        variant="chung",
        dtype=np.float32,
        seed=None,
        init="torch",
        recurrent_dropout=0.0,
        zoneout=0.0,
        learn_h0=False,
        layer_norm=False,
        layer_norm_eps=1e-5,
    ):
        self.input_size = validation.check_int("input_size", input_size, 1)
        self.hidden_size = validation.check_int("hidden_size", hidden_size, 1)
        self.num_layers = validation.check_int("num_layers", num_layers, 1)
        self.bias = validation.check_bool("bias", bias)
        self.batch_first = validation.check_bool("batch_first", batch_first)
        self.dropout = validation.check_fraction("dropout", dropout)
        self.bidirectional = validation.check_bool("bidirectional", bidirectional)
        self.num_directions = 2 if self.bidirectional else 1
        self.variant = Variant.named(variant)
        self.dtype = validation.check_dtype(dtype)
        self.init = validation.check_choice("init", init, tuple(INITIALIZERS))
        self.recurrent_dropout = validation.check_fraction(
            "recurrent_dropout", recurrent_dropout
        )
        self.zoneout = validation.check_fraction("zoneout", zoneout)
        self.learn_h0 = validation.check_bool("learn_h0", learn_h0)
        self.layer_norm = validation.check_bool("layer_norm", layer_norm)
        self.layer_norm_eps = validation.check_number("layer_norm_eps", layer_norm_eps)
        if not LEAST_EPS <= self.layer_norm_eps <= 1:
            raise ValueError(
                f"layer_norm_eps must be in [{LEAST_EPS}, 1], got {layer_norm_eps}"
            )
        self.generator = np.random.default_rng(seed)
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn("dropout has no effect with num_layers=1", UserWarning, stacklevel=2)
        self._refuse_huge()
        self._config = _core.Config(
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.num_directions,
            self.bias,
            self.variant.reset == "after",
            self.variant.update == "keep",
            self.recurrent_dropout > 0,
            self.layer_norm_eps if self.layer_norm else 0.0,
        )
        self._create_parameters(self.parameter_shapes(self.get_config()), self.dtype)
        self._plans = {}
        self._packed = _core.Packed(self._config, KERNELS, self._parameters_owner)
        INITIALIZERS[self.init](self)
        self._local = threading.local()  # one single-step workspace per Python thread

    def _refuse_huge(self):
        H, I, D = self.hidden_size, self.input_size, self.num_directions
        vectors = 2 * (self.bias + self.layer_norm)
        count = 3 * H * D * (I + H + vectors + (self.num_layers - 1) * (D * H + H + vectors))
        if count > MOST_PARAMETERS:
            raise ValueError(
                f"GRU with input_size={I}, hidden_size={H}, num_layers={self.num_layers} needs "
                f"{Decimal(count):.1e} parameters; the largest supported count is "
                f"{Decimal(MOST_PARAMETERS):.1e}"
            )
        if self.num_layers > MOST_LAYERS:
            raise ValueError(f"num_layers must be <= {MOST_LAYERS}, got {self.num_layers}")

    def get_config(self):
        """Return the constructor's arguments but the seed, ready for JSON."""
        name = self.variant.name
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "dropout": self.dropout,
            "bidirectional": self.bidirectional,
            "variant": name or [self.variant.reset, self.variant.update],
            "dtype": self.dtype.name,
            "init": self.init,
            "recurrent_dropout": self.recurrent_dropout,
            "zoneout": self.zoneout,
            "learn_h0": self.learn_h0,
            "layer_norm": self.layer_norm,
            "layer_norm_eps": self.layer_norm_eps,
        }

    @classmethod
    def from_config(cls, config):
        """Return a GRU with the arguments that :meth:`get_config` returned."""
        config = dict(config)
        if isinstance(config.get("variant"), (list, tuple)):
            config["variant"] = Variant(*config["variant"])
        return cls(**config)

    @staticmethod
    def parameter_shapes(config):
        """Return the shape of each parameter that ``config`` makes, in torch's order."""
        H = config["hidden_size"]
        suffixes = ("", "_reverse") if config["bidirectional"] else ("",)
        shapes = {}
        for layer in range(config["num_layers"]):
            width = config["input_size"] if layer == 0 else len(suffixes) * H
            for suffix in suffixes:
                shapes[f"weight_ih_l{layer}{suffix}"] = (3 * H, width)
                shapes[f"weight_hh_l{layer}{suffix}"] = (3 * H, H)
                if config["bias"]:
                    shapes[f"bias_ih_l{layer}{suffix}"] = (3 * H,)
                    shapes[f"bias_hh_l{layer}{suffix}"] = (3 * H,)
                if config.get("layer_norm"):  # absent in files of versions before it
                    shapes[f"gain_ih_l{layer}{suffix}"] = (3 * H,)
                    shapes[f"gain_hh_l{layer}{suffix}"] = (3 * H,)
        if config.get("learn_h0"):  # absent in files of versions before it
            shapes["h0"] = (config["num_layers"] * len(suffixes), H)
        return shapes

    def __repr__(self):
        shown = {
            name: value
            for name, value in self.get_config().items()
            if name in ("variant", "dtype")
            or (name == "num_layers" and value > 1)
            or (name in ("dropout", "recurrent_dropout", "zoneout") and value)
            or (name in ("batch_first", "bidirectional", "learn_h0", "layer_norm") and value)
            or (name == "layer_norm_eps" and self.layer_norm and value != 1e-5)
            or (name == "bias" and not value)
        }
        options = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"GRU({self.input_size}, {self.hidden_size}, {options})"

    # ---- copies and pickles: through the constructor, so that bad state is refused --------

    def __getstate__(self):
        return {
            "config": self.get_config(),
            "parameters": self.state_dict(),
            "grads": {name: view.copy() for name, view in self.grads.items()},
            "generator": copy.deepcopy(self.generator),  # copy.copy shares no state either
        }

    def __setstate__(self, state):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self.__dict__.update(GRU.from_config(state["config"]).__dict__)
        self.load_state_dict(state["parameters"])
        load_into(self.grads, state["grads"])
        if not isinstance(state["generator"], np.random.Generator):
            raise ValueError("the state's generator is not a numpy.random.Generator")
        self.generator = state["generator"]

    # ---- weights --------------------------------------------------------------------------

    def load_state_dict(self, mapping):
        """Copy parameters from a mapping of names to arrays, all or nothing.

        Parameters
        ----------
        mapping : mapping of str to array_like
            Every parameter of this GRU by name, in this GRU's own variant.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ValueError
            If a shape does not fit, or if the values are PyTorch tensors and this GRU's
            variant is not ``"pytorch"``: the names are the same, the equations are not.
        """
        validation.check_mapping("mapping", mapping)
        if self.variant.name != "pytorch" and any(
            validation.is_torch(value) for value in mapping.values()
        ):
            raise ValueError(
                "the values are PyTorch tensors, but this GRU computes variant "
                f"{self.variant.name or self.variant}, whose equations differ from those of "
                "torch.nn.GRU; make it with variant='pytorch'"
            )
        for name, value in mapping.items():
            rows = np.shape(value)[:1]
            if rows == (4 * self.hidden_size,) and name in self.parameters:
                raise ValueError(f"{name} has 4*H rows: this looks like an LSTM")
        super().load_state_dict(mapping)

    def concatenated_weights(self):
        """Return the weights as textbooks write them, one matrix per gate on ``[h, x]``.

        Returns
        -------
        list of ConcatenatedWeights
            One per layer and direction, copies.

        Examples
        --------
        >>> from pygru import GRU
        >>> cell = GRU(3, 2, seed=0).concatenated_weights()[0]
        >>> cell.W_r.shape, cell.b_r.shape
        ((2, 5), (2,))
        """
        return concatenated.weights_of(self)

    def load_concatenated_weights(self, cells):
        """Copy parameters from the form that :meth:`concatenated_weights` returns.

        The sum of two biases does not say how to split them: it goes to ``bias_ih``, and
        ``bias_hh`` becomes zero but for ``b_hn``.

        Parameters
        ----------
        cells : sequence of ConcatenatedWeights
            One per layer and direction.

        Raises
        ------
        ValueError
            If the number of cells or a shape does not fit, or if biases are given that are
            not zero and this GRU has none.
        """
        self.load_state_dict(concatenated.state_from(self, cells))

    # ---- whole sequences --------------------------------------------------------------------

    def __call__(self, x, h0=None, *, lengths=None, out=None, n_threads=None):
        """Run the GRU over whole sequences, for inference: nothing is kept, nothing dropped.

        Parameters
        ----------
        x : array_like or list of array_like
            (T, B, I), or (B, T, I) with ``batch_first``, or (T, I) for one sequence; or a
            list of (T_i, I) arrays. Any numeric dtype and memory layout.
        h0 : array_like, optional
            Initial states (L*D, B, H), or (L*D, H) for one sequence; zeros by default, or
            the parameter ``h0`` with ``learn_h0``.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence, in any order, 0 allowed. Steps beyond are
            not read, and the output there is 0.
        out : ndarray, optional
            Where to put the output: its shape and dtype, writable. On an exception its
            contents are undefined.
        n_threads : int, optional
            Threads for this call; see :func:`pygru.set_num_threads`. Never changes a result.

        Returns
        -------
        output : ndarray or list of ndarray
            States of the last layer at every step, shaped like x with D*H features: the
            forward direction's, then the reverse direction's. A list if x is one.
        h_n : ndarray
            Last state of each layer and direction, (L*D, B, H) or (L*D, H). The reverse
            direction's is the state after the sequence's first step.

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
        batch = Batch(self, x, h0, lengths)
        output, h_n, _ = passes.forward(self, batch, _core.KEEP_NOTHING, False, out, n_threads)
        return output, h_n

    def forward(
        self, x, h0=None, *, lengths=None, training=True, memory="gates", n_threads=None
    ):
        """Run the GRU over whole sequences and keep what :meth:`backward` needs.

        Parameters
        ----------
        x, h0, lengths, n_threads
            As for calling the GRU. The tape remembers ``n_threads``.
        training : bool
            Whether dropout, recurrent dropout and zoneout act at random; otherwise zoneout
            has its mean effect and the others none.
        memory : {"gates", "outputs", "sqrt"}, int or str
            What the tape keeps. ``"gates"``: states and gates (5 H per step and direction);
            ``"outputs"``: only the states (H), from which backward computes the gates again;
            ``"sqrt"``: the states at the ends of about sqrt(T) windows of as many steps, and
            backward runs each window again. A number of bytes, or a text such as
            ``"500 MB"``, is a budget for the tape and for what backward needs besides: the
            fastest of these that fits is taken, with windows as long as fit. The gradients
            are exact in each case. Windows need a GRU of one direction.

        Returns
        -------
        output, h_n : ndarray
            As for calling the GRU.
        tape : Tape
            To be given to :meth:`backward`.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; also if a budget is too small, with the least that
            would do, or if windows are asked for of a bidirectional GRU.
        MemoryError
            If the result, the tape or the workspace cannot be allocated.

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
        check_memory(memory)
        batch = Batch(self, x, h0, lengths)
        keep, window = checkpointing.choose(self, batch, memory, n_threads)
        if window is not None:
            return checkpointing.forward(self, batch, window, training, n_threads)
        return passes.forward(self, batch, keep, training, None, n_threads)

    def backward(self, tape, d_output=None, d_h_n=None):
        """Add the gradient of a loss to ``grads`` and return that of the inputs.

        Parameters
        ----------
        tape : Tape
            From :meth:`forward` of this GRU, with the weights unchanged since. May be used
            again, with the same result.
        d_output : array_like or list of array_like, optional
            Gradient of the loss with respect to the output, in the output's form; zeros by
            default. Steps past a sequence's end are not read.
        d_h_n : array_like, optional
            Gradient with respect to ``h_n``; zeros by default.

        Returns
        -------
        d_x : ndarray or list of ndarray
            Gradient with respect to x, in its form; 0 past a sequence's end.
        d_h0 : ndarray
            Gradient with respect to h0, (L*D, B, H) or (L*D, H).

        Raises
        ------
        RuntimeError
            If ``tape`` is not a tape, or the weights have changed since it was made.
        ValueError
            If the tape is another GRU's, or a shape does not fit.
        MemoryError
            If the result or the workspace cannot be allocated; ``grads`` are then unchanged.
        """
        if not isinstance(tape, Tape):
            raise RuntimeError(
                "backward() needs a tape: output, h_n, tape = gru.forward(x); "
                f"got {validation.type_name(tape)}"
            )
        if isinstance(tape, CheckpointTape):
            return checkpointing.backward(self, tape, d_output, d_h_n)
        return passes.backward(self, tape, d_output, d_h_n)

    def gates(self, x, h0=None, *, lengths=None):
        """Return what every gate did at every step: the inside of the GRU, made visible.

        Parameters
        ----------
        x, h0, lengths
            As for calling the GRU.

        Returns
        -------
        list of Gates
            One per layer and direction, in the order of ``h_n``; the reverse direction's
            arrays are aligned with the input's time axis. For a list of sequences each
            array of :class:`Gates` is padded.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> gates = GRU(2, 3, seed=0).gates(np.ones((4, 2)))
        >>> gates[0].z.shape
        (4, 3)
        """
        batch = Batch(self, x, h0, lengths)
        _, _, tape = passes.forward(self, batch, _core.KEEP_GATES, False, None, None)
        return gates_of(tape)

    # ---- single steps -----------------------------------------------------------------------

    def step(self, x_t, h, *, out=None):
        """Run one time step, for one direction: the state goes in, the next one comes out.

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

    def stream(self, batch=None):
        """Return a :class:`Stream`: single steps on buffers that are bound once.

        Parameters
        ----------
        batch : int, optional
            Number of independent streams B; None is a single one without a batch axis.

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
