"""The GRU layer: PyTorch's interface over NumPy arrays, in any of the variants.

The class is here with its weights and its public methods. ``options.py`` holds and checks its
options. How a call runs is in ``inputs.py`` (arguments to arrays), ``passes.py`` (forward and
backward), ``windows.py`` (the same in windows, for long sequences), ``stream.py`` (single
steps) and ``runner.py`` (calls of the core).
"""

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from pygru import budget, concatenated, passes, windows
from pygru.core import _core, validation
from pygru.core.parameters import Parameters, load_into
from pygru.gates import gates_of
from pygru.inputs import Inputs
from pygru.nn.initializers import INITIALIZERS
from pygru.nn.model import Model
from pygru.options import GRUOptions
from pygru.runner import Runner
from pygru.stream import Stream, one_step
from pygru.tape import Tape
from pygru.typing import Seed
from pygru.variant import Variant
from pygru.windows import WindowTape

# Options that change neither the equations nor the shapes of the weights, so that a GRU with
# another value of them can have the same weights.
REPLACEABLE = (
    "batch_first",
    "dropout",
    "dtype",
    "recurrent_dropout",
    "zoneout",
    "layer_norm_eps",
)


class GRU(Parameters, Model):
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

    # The options, as :class:`GRUOptions` has checked them; none can be assigned.
    options: GRUOptions
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    variant: Variant
    dtype: np.dtype[Any]
    init: str
    recurrent_dropout: float
    zoneout: float
    learn_h0: bool
    layer_norm: bool
    layer_norm_eps: float
    num_directions: int

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

    def _set_up(
        self, options: GRUOptions, generator: np.random.Generator, shared: "GRU | None" = None
    ) -> None:
        """Make everything but the values of weights: zeros, or those of ``shared``."""
        self._fix(options=options, num_directions=options.num_directions, **vars(options))
        self.generator = generator
        if shared is None:
            self._create_parameters(options.parameter_shapes(), self.dtype)
        else:
            self._share_parameters(shared)
        self._runner = Runner(options, self._parameters_owner)

    @classmethod
    def from_options(cls, options: GRUOptions, *, seed: Seed = None) -> Self:
        """Return a new GRU with these options.

        Parameters
        ----------
        options : GRUOptions
            All arguments of the constructor but the seed.
        seed : int, sequence of int, Generator or None
            Seed of the initial parameters and of dropout, as for the constructor.

        Raises
        ------
        TypeError
            If ``options`` is not a :class:`GRUOptions`.
        MemoryError
            If the parameters cannot be allocated.

        Examples
        --------
        >>> from pygru import GRU, GRUOptions
        >>> GRU.from_options(GRUOptions(3, 4, variant="cho"), seed=0)
        GRU(3, 4, variant='cho', dtype='float32')
        """
        if not isinstance(options, GRUOptions):
            raise TypeError(
                f"options must be a GRUOptions, got {validation.type_name(options)}"
            )
        gru = cls.__new__(cls)
        gru._set_up(options, np.random.default_rng(seed))
        INITIALIZERS[options.init](gru)
        return gru

    @property
    def generator(self) -> np.random.Generator:
        """The source of this GRU's random numbers; another Generator may be assigned."""
        return self._generator

    @generator.setter
    def generator(self, value: np.random.Generator) -> None:
        if not isinstance(value, np.random.Generator):
            raise TypeError(
                f"generator must be a numpy.random.Generator, got {validation.type_name(value)}"
            )
        self._generator = value

    # ---- options ----------------------------------------------------------------------------

    def _how_to_change(self, name: str, value: object) -> str:
        if name in REPLACEABLE:
            shown = repr(value) if isinstance(value, (bool, int, float, str)) else "..."
            return f"gru.replace({name}={shown}) returns such a GRU with the same weights"
        if name in self.options.get_config():
            return f"the weights depend on it, so make a new GRU with another {name}"
        return super()._how_to_change(name, value)

    def replace(self, *, share_weights: bool = False, **changes: Any) -> "GRU":
        """Return a GRU with some options changed and the same weights.

        Parameters
        ----------
        share_weights : bool
            Whether the two GRUs have one array of parameters and one of gradients, so that
            training one trains the other. By default the new GRU has a copy of the parameters,
            and gradients of zero.
        **changes
            New values of ``batch_first``, ``dropout``, ``recurrent_dropout``, ``zoneout``,
            ``layer_norm_eps`` or ``dtype``. With another ``dtype`` the weights are converted;
            float64 weights are rounded to float32.

        Returns
        -------
        GRU
            It has a copy of this GRU's random generator, so both draw the same numbers next.
            Tapes, streams and the state of an optimiser stay with the GRU that they were made
            for.

        Raises
        ------
        TypeError
            If there is no such option, or a value is of the wrong kind.
        ValueError
            If a value is out of range, or if the weights would have another shape or another
            meaning with it. ``GRU.from_options(gru.options.replace(...))`` makes such a GRU
            with new weights.

        Examples
        --------
        >>> from pygru import GRU
        >>> gru = GRU(3, 4, seed=0)
        >>> noisy = gru.replace(zoneout=0.1)
        >>> noisy.zoneout, bool((noisy.flat_parameters == gru.flat_parameters).all())
        (0.1, True)
        """
        share_weights = validation.check_bool("share_weights", share_weights)
        options = self.options.replace(**changes)
        for name in changes:
            if name not in REPLACEABLE and getattr(options, name) != getattr(self, name):
                raise ValueError(
                    f"{name}={changes[name]!r} does not fit these weights, whose shapes or "
                    f"meaning depend on it; GRU.from_options(gru.options.replace({name}=...)) "
                    "makes such a GRU with new weights"
                )
        if share_weights and options.dtype != self.dtype:
            raise ValueError(
                f"weights of {self.dtype} cannot be shared with a GRU of {options.dtype}"
            )
        gru = GRU.__new__(GRU)
        gru._set_up(options, copy.deepcopy(self.generator), self if share_weights else None)
        if not share_weights:
            gru.flat_parameters[...] = self._parameters_owner.borrow()
        return gru

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments but the seed, ready for JSON."""
        return self.options.get_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return a new GRU with the arguments that :meth:`get_config` returned.

        ``config`` may hold a ``seed`` besides.
        """
        seed = None
        if isinstance(config, Mapping) and "seed" in config:
            config = dict(config)
            seed = config.pop("seed")
        return cls.from_options(GRUOptions.from_config(config), seed=seed)

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes, in PyTorch's order."""
        return GRUOptions.from_config(config).parameter_shapes()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.options.arguments_text()})"

    # ---- copies and pickles: through the constructor, so that bad state is refused --------

    def __getstate__(self) -> dict[str, Any]:
        return {
            "config": self.get_config(),
            "parameters": self.state_dict(),
            "grads": {name: view.copy() for name, view in self.grads.items()},
            "generator": copy.deepcopy(self.generator),  # copy.copy shares no state either
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_up(GRUOptions.from_config(state["config"]), state["generator"])
        self.load_state_dict(state["parameters"])
        load_into(self.grads, state["grads"])

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
            is_weight = name in self.parameters and name.startswith("weight_")
            if is_weight and np.shape(value)[:1] == (4 * self.hidden_size,):
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
        return concatenated.joined_weights(self)

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
        self.load_state_dict(concatenated.separated_weights(self, cells))

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
        inputs = Inputs(self, x, h0, lengths)
        output, h_n, _ = passes.forward(self, inputs, _core.KEEP_NOTHING, False, out, n_threads)
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
        budget.check_memory(memory)
        inputs = Inputs(self, x, h0, lengths)
        keep, window = budget.choose(self, inputs, memory, training, n_threads)
        if window is not None:
            return windows.forward(self, inputs, window, training, n_threads)
        return passes.forward(self, inputs, keep, training, None, n_threads)

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
        if isinstance(tape, WindowTape):
            return windows.backward(self, tape, d_output, d_h_n)
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
        inputs = Inputs(self, x, h0, lengths)
        _, _, tape = passes.forward(self, inputs, _core.KEEP_GATES, False, None, None)
        return gates_of(tape)

    # ---- as a layer of a model ---------------------------------------------------------------

    is_recurrent = True

    def output_features(self, features: int | None) -> int | None:
        """Return D*H, the features of the output."""
        return self.options.output_size

    def check_memory(self, memory):
        """Raise unless a tape can keep ``memory``."""
        budget.check_memory(memory)

    def reseed(self, seed):
        """Draw the initial parameters anew; dropout follows ``seed`` too."""
        self.generator = np.random.default_rng(seed)
        INITIALIZERS[self.init](self)

    def infer(self, x, *, lengths=None):
        """Return the output for inference, as Sequential and Trainer ask for it."""
        return self(x, lengths=lengths)[0]

    def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
        """Do what :meth:`forward` does, as Sequential and Trainer ask for it."""
        return self.forward(x, state, lengths=lengths, training=training, memory=memory)

    def run_backward(self, tape, d_y):
        """Return the gradient of x, as Sequential and Trainer ask for it."""
        return self.backward(tape, d_y)[0]

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
