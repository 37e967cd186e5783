"""The GRU layer: PyTorch's interface over NumPy arrays, in any of the variants.

Flow of one call: the arguments become arrays the core can walk (``Batch``), a plan cuts the
batch into work, all memory is allocated, then the core runs without the GIL.
"""

import contextlib
import copy
import math
import sys
import threading
import warnings
from decimal import Decimal

import numpy as np

from pygru import concatenated
from pygru.batch import Batch
from pygru.core import _core, threads, validation
from pygru.core.blas import BLAS
from pygru.core.kernels import KERNELS
from pygru.core.memory import POOL, allocate
from pygru.core.parameters import Parameters, load_into
from pygru.data.padding import pad_sequences
from pygru.gates import gates_of
from pygru.nn.initializers import INITIALIZERS
from pygru.stream import Stream, one_step
from pygru.tape import Tape
from pygru.variant import Variant

KEEP = {"gates": _core.KEEP_GATES, "outputs": _core.KEEP_OUTPUTS}

# The C core indexes in 64 bits, eight bytes a parameter, and every layer has names of its own.
MOST_PARAMETERS = 2**60
MOST_LAYERS = 2**20

# Shapes of batches whose plans a GRU remembers.
MOST_PLANS = 16
NO_PLAN = None, None

# Multiply-adds of a call that ends within about a millisecond.
SHORT = 20_000_000


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

    Attributes
    ----------
    parameters, grads : mapping of str to ndarray
        Views into ``flat_parameters`` and ``flat_grads`` by PyTorch's names:
        ``weight_ih_l0`` (3H, I), ``weight_hh_l0`` (3H, H), ``bias_ih_l0`` (3H,),
        ``bias_hh_l0`` (3H,), then ``_l0_reverse``, ``_l1`` and so on; rows in gate order
        r, z, n.
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
        )
        self._create_parameters(self.parameter_shapes(self.get_config()), self.dtype)
        self._plans = {}
        self._packed = _core.Packed(self._config, KERNELS, self._parameters_owner)
        INITIALIZERS[self.init](self)
        self._local = threading.local()  # one single-step workspace per Python thread

    def _refuse_huge(self):
        H, I, D = self.hidden_size, self.input_size, self.num_directions
        biases = 2 if self.bias else 0
        count = 3 * H * D * (I + H + biases + (self.num_layers - 1) * (D * H + H + biases))
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
        return shapes

    def __repr__(self):
        shown = {
            name: value
            for name, value in self.get_config().items()
            if name in ("variant", "dtype")
            or (name in ("num_layers", "dropout") and value not in (0.0, 1))
            or (name in ("batch_first", "bidirectional") and value)
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
            Initial states (L*D, B, H), or (L*D, H) for one sequence; zeros by default.
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
            result = self._run_short(x)
            if result is not None:
                return result
        batch = Batch(self, x, h0, lengths)
        output, h_n, _ = self._run(batch, _core.KEEP_NOTHING, None, out, n_threads)
        return output, h_n

    def _run_short(self, x):
        """What :meth:`_run` does, for a short call like one before it; else None.

        An array that the core can take as it stands, and work for one thread that ends within
        a millisecond: there, looking at every argument would be seen in the time.
        """
        if type(x) is not np.ndarray or x.ndim != 3:
            return None
        if not (x.flags.c_contiguous and x.flags.aligned):
            return None
        if self.batch_first:
            x = x.swapaxes(0, 1)
        T, B, I = x.shape
        plan, sizes = self._plans.get((T, B, _core.KEEP_NOTHING), NO_PLAN)
        if plan is None or self.input_size != I or x.dtype != self.dtype:
            return None
        alone = sizes["max_threads"] == 1 or sizes["operations"] < threads.SERIAL_OPERATIONS
        if not alone or sizes["operations"] > SHORT or KERNELS.engine != _core.ENGINE_SIMD:
            return None
        count, H = self.num_layers * self.num_directions, self.hidden_size
        width = self.num_directions * H
        shape = (B, T, width) if self.batch_first else (T, B, width)
        output = allocate(shape, self.dtype, "the output")
        h_n = allocate((count, B, H), self.dtype, "h_n")
        workspace = allocate(sizes["forward_workspace"], np.uint8, "the workspace of forward")
        packed, _ = self._packed.current()
        arrays = {
            "parameters": self._parameters_owner.borrow(),
            "packed": packed,
            "x": x,
            "h0": None,
            "y": output.swapaxes(0, 1) if self.batch_first else output,
            "h_n": h_n.reshape(-1),
            "tape": None,
            "mask": None,
            "mask_scale": 1.0,
            "workspace": workspace,
        }
        _core.forward(plan, arrays, BLAS, KERNELS, 1, threads.on_main_thread())
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
            Whether dropout acts.
        memory : {"gates", "outputs"}
            What the tape keeps: states and gates (5 H per step and direction), or only the
            states (H), from which backward computes the gates again.

        Returns
        -------
        output, h_n : ndarray
            As for calling the GRU.
        tape : Tape
            To be given to :meth:`backward`.

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
        keep = KEEP[validation.check_choice("memory", memory, tuple(KEEP))]
        batch = Batch(self, x, h0, lengths)
        dropout = self.dropout if training and self.num_layers > 1 else None
        return self._run(batch, keep, dropout, None, n_threads)

    def _run(self, batch, keep, dropout, out, n_threads):
        threads.resolve(n_threads)  # refuse a bad argument before anything is allocated
        width = self.num_directions * self.hidden_size
        if batch.T * batch.B * width * self.dtype.itemsize > sys.maxsize:
            raise ValueError(f"output of shape {batch.shape_of(width)} is too big")
        plan, sizes = self._plan(batch, keep)
        team = threads.threads_for(n_threads, sizes)
        if team > 1:
            sizes = plan.sizes(team)
        output = self._output(batch, out, width)
        target = output if out is None else self._writable(out, batch)
        h_n = allocate(math.prod(batch.state_shape()), self.dtype, "h_n")
        tape = POOL.take(sizes["tape"], self.dtype, f"the tape of {batch.T} steps")
        workspace = POOL.take(sizes["forward_workspace"], np.uint8, "the workspace of forward")
        packed, fingerprint = self._weights(keep != _core.KEEP_NOTHING)
        before = self.generator.bit_generator.state if dropout else None
        mask, scale = self._draw_mask(dropout, sizes["mask"])
        arrays = {
            "parameters": self._parameters_owner.borrow(),
            "packed": packed,
            "x": batch.x,
            "h0": batch.h0,
            "y": batch.time_major(target),
            "h_n": h_n,
            "tape": tape,
            "mask": mask,
            "mask_scale": scale,
            "workspace": workspace,
        }
        try:
            with self._blas_limit(sizes):
                _core.forward(plan, arrays, BLAS, KERNELS, team, threads.on_main_thread())
        except BaseException:
            if dropout:  # a call that failed has drawn nothing
                self.generator.bit_generator.state = before
            raise
        POOL.give(workspace)
        if target is not output:
            output[...] = target
        kept = None
        if keep != _core.KEEP_NOTHING:
            kept = Tape(self, batch, plan, tape, mask, scale, n_threads, fingerprint)
            batch.x = batch.h0 = None  # the tape has its own copies
        return batch.sequences(output), h_n.reshape(batch.state_shape()), kept

    def _plan(self, batch, keep):
        """The plan of a batch, and its sizes for one thread; batches of one shape share it."""
        key = (batch.T, batch.B, keep)
        made = self._plans.get(key) if batch.lengths is None else None
        if made is not None:
            return made
        kind = self.dtype.char.encode()
        plan = _core.Plan(
            self._config, KERNELS.engine, batch.T, batch.B, batch.lengths, kind, keep
        )
        made = plan, plan.sizes(1)
        if batch.lengths is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[key] = made
        return made

    @staticmethod
    def _blas_limit(sizes):
        """A context for forward: only the BLAS engine calls BLAS there."""
        if KERNELS.engine == _core.ENGINE_SIMD:
            return contextlib.nullcontext()
        return threads.single_threaded_blas(sizes["largest_product"])

    def _weights(self, want_fingerprint=True):
        """The packed weights (None on the BLAS engine), and the fingerprint of the weights."""
        if KERNELS.engine == _core.ENGINE_SIMD:
            return self._packed.current()
        if want_fingerprint:
            return None, _core.fingerprint(self._parameters_owner.borrow())
        return None, None

    def _output(self, batch, out, width):
        if out is None:
            return allocate(batch.shape_of(width), self.dtype, "the output")
        if batch.is_list:
            raise ValueError("out must be None when x is a list of sequences")
        validation.check_out("out", out, self.dtype, batch.shape_of(width))
        return out

    def _writable(self, out, batch):
        """``out`` itself if the core can write it while it reads x and h0, or a stand-in."""
        inputs = [array for array in (batch.x, batch.h0) if array is not None]
        inputs.append(self._parameters_owner.borrow())
        if (
            validation.dense_last_axis(out) is not out
            or not out.flags.aligned
            or any(np.may_share_memory(out, array) for array in inputs)
        ):
            return allocate(out.shape, self.dtype, "the output")
        return out

    def _draw_mask(self, dropout, size):
        """The dropout mask of all layers but the last, and what kept elements are scaled by."""
        if not dropout:
            return None, 1.0
        # Allocated first, so that the generator moves only if the call goes on.
        numbers = allocate(size, np.float32, "the dropout mask")
        mask = allocate(size, np.uint8, "the dropout mask")
        self.generator.random(size, np.float32, out=numbers)
        np.greater_equal(numbers, dropout, out=mask.view(np.bool_))
        return mask, 1 / (1 - dropout) if dropout < 1 else 0.0

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
        if tape.gru is not self:
            raise ValueError("tape belongs to another GRU")
        packed, fingerprint = self._weights()
        if tape.fingerprint != fingerprint:
            raise RuntimeError("weights changed since forward: the tape no longer fits them")
        batch, plan = tape.batch, tape.plan
        width = self.num_directions * self.hidden_size
        d_y = self._output_gradient(batch, d_output, width)
        d_h_n = batch.state("d_h_n", d_h_n)
        team = threads.threads_for(tape.n_threads, plan.sizes(1))
        sizes = plan.sizes(team)
        d_x = allocate(batch.shape_of(self.input_size), self.dtype, "d_x")
        d_h0 = allocate(math.prod(batch.state_shape()), self.dtype, "d_h0")
        workspace = POOL.take(
            sizes["backward_workspace"], np.uint8, "the workspace of backward"
        )
        arrays = {
            "parameters": self._parameters_owner.borrow(),
            "packed": packed,
            "tape": tape.memory,
            "mask": tape.mask,
            "mask_scale": tape.mask_scale,
            "d_y": d_y,
            "d_h_n": d_h_n,
            "d_x": batch.time_major(d_x),
            "d_h0": d_h0,
            "grads": self._grads_owner.borrow(),
            "workspace": workspace,
        }
        with threads.single_threaded_blas(sizes["largest_product"]):
            _core.backward(plan, arrays, BLAS, KERNELS, team, threads.on_main_thread())
        POOL.give(workspace)
        return batch.sequences(d_x), d_h0.reshape(batch.state_shape())

    def _output_gradient(self, batch, d_output, width):
        """``d_output`` as a (T, B, D*H) array the core can walk, or None."""
        if d_output is None:
            return None
        if batch.is_list and isinstance(d_output, (list, tuple)):
            d_output, lengths = pad_sequences(
                d_output, dtype=self.dtype, batch_first=self.batch_first
            )
            if not np.array_equal(lengths, batch.lengths):
                raise ValueError(
                    f"d_output must be a list of arrays of lengths {batch.lengths.tolist()}, "
                    f"got {lengths.tolist()}"
                )
        array = validation.as_real("d_output", d_output, self.dtype)
        shape = batch.shape_of(width)
        axes = "(time, D*H)" if batch.is_single else "(time, batch, D*H)"
        if self.batch_first and not batch.is_single:
            axes = "(batch, time, D*H)"
        validation.check_shape("d_output", array, shape, f"{axes} = {shape}")
        return validation.dense_last_axis(batch.time_major(array))

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
        _, _, tape = self._run(batch, _core.KEEP_GATES, None, None, None)
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
