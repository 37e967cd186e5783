"""Sequential: layers one after the other, trained as one model.

It uses its layers only through the protocol of :class:`pygru.nn.model.Model`, whatever their
classes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from pygru.budget import check_memory
from pygru.core import validation
from pygru.core.pickled import CheckedState
from pygru.data.padding import pad_sequences, padded_flags, unpad_sequences
from pygru.nn.composite import Composite
from pygru.nn.model import Model
from pygru.nn.seeds import spawn
from pygru.nn.sequential_stream import SequentialStream
from pygru.nn.shapes import Shape, name_in, shapes_of
from pygru.nn.shortcuts import BACKWARD, Shortcut, no_steps, refuse_unused
from pygru.nn.step_flags import NO_FLAGS, StepFlags, checked, without_left_out
from pygru.nn.to_end import stages_of
from pygru.nn.undo import draws_undone, gradients_undone, reseeding_undone
from pygru.typing import Booleans, Floats, Seed

if TYPE_CHECKING:
    from pygru.quantized.report import QuantizationReport


class SequentialTape(list[Any]):
    """The tapes of all layers, and which steps of input and output count."""

    def __init__(self, mask: Booleans | None) -> None:
        super().__init__()
        self.mask = mask
        self.output_mask: Booleans | None = None


def _infer_with_run(
    self: Sequential, x: Any, lengths: Any, mask: Any, reset: Any
) -> tuple[Floats, Any, StepFlags]:
    """Do what ``Sequential._infer`` does with ``run`` of a subclass."""
    x, lengths, flags = self._prepared(x, lengths, mask, reset)
    flagged = {"mask": flags.mask, "reset": flags.reset}
    told = {name: value for name, value in flagged.items() if value is not None}
    y, _, tape = self.run(x, lengths=lengths, training=False, **told)
    return y, lengths, StepFlags(self.output_mask(x, flags.mask, tape), None)


class Sequential(CheckedState, Composite):
    """Layers one after the other; the output of each is the input of the next.

    A recurrent layer such as a :class:`GRU` passes on its output at every step. Put a
    :class:`Last` after it to pass on only the output of the last step. All arrays are batch
    first, so every GRU must be made with ``batch_first=True``.

    Parameters
    ----------
    *layers : GRU, another layer of pygru, or a Layer of your own
        The layers, in order. GRUs of different sizes can follow one another: a layer must read
        as many features as the one before it returns.
    seed : int, sequence of int, SeedSequence, Generator or None
        If it is given, the initial parameters of all layers are drawn again, and every layer
        gets its own generator, which is spawned from this seed. Then equal layers have
        different weights. If an :class:`Embedding` was given a table, it keeps this table.

    Attributes
    ----------
    layers : tuple
        The layers, as given.
    layer_shapes : tuple of Shape
        For each layer the shape of its output: ``has_steps``, whether there is a time axis, and
        ``features``, or None if the layer does not say how many there are.
    parameters, grads : mapping of str to ndarray
        Views of all layers' parameters and gradients, named ``"<index>.<name>"``.
    report : QuantizationReport or None
        What weights of 8 bits cost, if :meth:`quantized` has made the model and was given data.

    Raises
    ------
    TypeError
        If something is not a layer, or its class overrides only what a model does not call.
    ValueError
        If a GRU is not batch first, or a layer cannot read the output of the one before: it
        reads another number of features, or sequences where there is one vector per sequence.
        What a layer of your own returns is checked in the first call, unless the layer says it.

    Notes
    -----
    A sequence has the same output, bit for bit, in any batch and with any number of threads.
    This holds for all layers of pygru; for a layer of your own it is up to you.

    Layers that look at several steps are told which steps count: by ``mask=``, by a
    :class:`Masking`, or by ``Embedding(mask_zero=True)``. A GRU leaves the others out, and so
    do :class:`Last`, :class:`MeanOverTime`, :class:`MaxOverTime` and
    :class:`AttentionOverTime`. Layers that compute every step on its own compute these too,
    from zeros if they are the first ones, and from what the layer before returns there.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU, Last, Linear, Sequential
    >>> model = Sequential(GRU(3, 8, batch_first=True), Last(), Linear(8, 2), seed=0)
    >>> model(np.ones((5, 7, 3))).shape
    (5, 2)
    """

    takes_mask = True
    takes_reset = True
    _made_again = frozenset(
        {"parameters", "grads", "layer_shapes", "_unique", "_named", "_stages"}
    )
    _later = frozenset({"report"})
    _runs_with = ("run",)
    _shortcuts: ClassVar[dict[str, Shortcut]] = {
        "_infer": Shortcut(("run",), _infer_with_run),
        "stream": Shortcut(("run",), no_steps),
        "accumulate": Shortcut(BACKWARD, Model.accumulate),
    }
    report: QuantizationReport | None = None

    layers: tuple[Model, ...]
    layer_shapes: tuple[Shape, ...]
    _stages: tuple[tuple[int, Any], ...]

    def __init__(self, *layers: Model, seed: Seed = None) -> None:
        recurrent = None
        for index, layer in enumerate(layers):
            name = f"layers[{index}]"
            is_layer = isinstance(layer, Model) and layer.layers is None
            if not is_layer or layer.reads == "pairs":
                listed = isinstance(layer, (list, tuple))
                raise TypeError(
                    f"{name} must be a GRU or another pygru.Layer, "
                    f"got {validation.type_name(layer)}"
                    + ("; pass the layers one by one, as in Sequential(*layers)" * listed)
                )
            refuse_unused(name, layer)
            if not layer.batch_first:
                raise ValueError(
                    f"{name} must be a {type(layer).__name__} with batch_first=True"
                )
            if recurrent is not None:
                try:
                    layer.check_follows(recurrent)
                except ValueError as error:
                    raise ValueError(f"{name} {error}") from None
            if layer.is_recurrent:
                recurrent = layer
        self._fix(
            layers=layers, layer_shapes=tuple(shapes_of(layers)), _stages=stages_of(layers)
        )
        self._create_parts({str(index): layer for index, layer in enumerate(layers)})
        if seed is not None:
            self.reseed(seed)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(repr(layer) for layer in self.layers)})"

    def _restore(self) -> None:
        from pygru.quantized.report import check_report

        check_report(vars(self).get("report"))

    def reseed(self, seed: Seed) -> None:
        """Draw the initial parameters of all layers anew, each from a generator of its own.

        After an error or an interrupt either nothing or everything has changed.
        """
        generators = spawn(seed, len(self._unique))
        with reseeding_undone(self._unique):
            for layer, generator in zip(self._unique, generators, strict=True):
                try:
                    layer.reseed(generator)
                except Exception as error:
                    name_in(error, self.layers.index(layer), layer)
                    raise

    # ---- what it is, as the sum of its layers ----------------------------------------------

    @property
    def input_size(self) -> int | None:  # type: ignore[override]
        """The features of a step of the input, if the first layer says it."""
        return self.layers[0].input_size if self.layers else None

    @property
    def output_size(self) -> int | None:  # type: ignore[override]
        """The features of the output, as far as the layers say it."""
        return self.layer_shapes[-1].features if self.layers else None

    @property
    def keeps_features(self) -> bool:  # type: ignore[override]
        """Whether the output has as many features as the input, whatever their number."""
        return all(layer.keeps_features for layer in self.layers)

    @property
    def reads(self) -> Literal["features", "tokens", "pairs"]:  # type: ignore[override]
        """The kind of input, which is that of the first layer."""
        return self.layers[0].reads if self.layers else "features"

    @property
    def predicts_steps(self) -> bool:  # type: ignore[override]
        """Whether the output has one entry per step: no layer returns one per sequence."""
        return all(layer.predicts_steps for layer in self.layers)

    @property
    def is_recurrent(self) -> bool:  # type: ignore[override]
        """Whether any layer carries a state from step to step."""
        return any(layer.is_recurrent for layer in self.layers)

    @property
    def needs_whole_sequences(self) -> bool:
        """Whether any layer is bidirectional."""
        return any(layer.needs_whole_sequences for layer in self.layers)

    @property
    def _recurrent(self) -> list[Model]:
        return [layer for layer in self.layers if layer.is_recurrent]

    def named_parts(self) -> list[tuple[str, Any, str]]:
        """Return index, layer and shape of the output of each layer."""
        shapes = zip(self.layers, self.layer_shapes, strict=True)
        return [(str(index), layer, str(shape)) for index, (layer, shape) in enumerate(shapes)]

    def check_memory(self, memory: object) -> None:
        """Raise unless the tape of every recurrent layer can keep ``memory``."""
        check_memory(memory)
        for layer in self._recurrent:
            layer.check_memory(memory)

    def quantized(
        self,
        bits: int = 8,
        data: Any = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        reset: Any = None,
    ) -> Sequential:
        """Return a copy of this model whose GRUs have weights of 8 bits, for inference.

        Every :class:`GRU` becomes a :class:`QuantizedGRU`, and all other layers are copied. So
        later changes of this model do not reach the copy.

        Parameters
        ----------
        bits : int
            The bits of a weight; only 8 are possible.
        data : array_like or list of array_like, optional
            Inputs in the form of a call. If they are given, both models run over them: the
            attribute ``report`` of the result says how far the states of each GRU and the
            output are from those of this model. Without data it is None.
        lengths, mask, reset
            Of the sequences of ``data``, as for calling the model.

        Raises
        ------
        TypeError
            If the class of this model, or of a GRU in it, overrides how it is run.
        ValueError
            If ``bits`` is not 8, there is no GRU, a GRU is not float32 or has a parameter that
            is not finite, or the data do not fit; the text names the layer.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU, Last, Linear, Sequential
        >>> model = Sequential(GRU(3, 32, batch_first=True), Last(), Linear(32, 2), seed=0)
        >>> x = np.random.default_rng(0).standard_normal((10, 20, 3))
        >>> quantized = model.quantized(data=x)
        >>> quantized.layers[0]
        QuantizedGRU(3, 32, batch_first=True, variant='chung', dtype='float32', bits=8)
        >>> quantized.report.output.largest < 0.02
        True
        """
        from pygru.quantized.sequential import quantized_model  # which needs this class

        return quantized_model(self, bits, data, lengths, mask, reset)

    # ---- forward and backward --------------------------------------------------------------

    def __call__(
        self, x: Any, *, lengths: Any = None, mask: Any = None, reset: Any = None
    ) -> Floats | list[Floats]:
        """Return the output for inference, without a tape and without dropout.

        Parameters
        ----------
        x : array_like or list of array_like
            The input of the first layer, batch first, or a list of sequences.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence. With them, or with ``mask`` or ``reset``, x
            must have a batch axis: one sequence is ``x[np.newaxis]``.
        mask : array_like of bool or list of array_like, optional
            (B, T) which steps count; a list of (T_i,) if x is a list. What x holds at the
            others is not read.
        reset : array_like of bool or list of array_like, optional
            (B, T) before which steps the states of all GRUs begin anew, as for a GRU.

        Returns
        -------
        ndarray or list of ndarray
            A list if x is a list of sequences and there is an output for every step.
        """
        has_lengths = lengths is not None
        y, lengths, _ = self._infer(x, lengths, mask, reset)
        if has_lengths or lengths is None or not self.predicts_steps:
            return y
        return unpad_sequences(y, lengths)  # x was a list

    def infer(self, x: Any, *, lengths: Any = None, mask: Any = None, reset: Any = None) -> Any:
        """Return the output for inference, in the form for the trainer."""
        return self(x, lengths=lengths, mask=mask, reset=reset)

    def infer_and_mask(self, x: Any, **told: Any) -> tuple[Any, Any]:
        """Return the output for inference, and which of its steps count."""
        y, _, flags = self._infer(x, told.get("lengths"), told.get("mask"), told.get("reset"))
        return y, flags.mask

    def _infer(
        self, x: Any, lengths: Any, mask: Any, reset: Any
    ) -> tuple[Floats, Any, StepFlags]:
        """Return the padded output, its lengths, and its flags."""
        x, lengths, flags = self._prepared(x, lengths, mask, reset)
        for index, layer in self._stages:
            try:
                y = layer.infer(x, lengths=lengths, **flags.told(layer))
                flags = flags.after(layer, x)
                x = y
            except Exception as error:
                name_in(error, index, self.layers[index])
                raise
        return x, lengths, flags

    def _prepared(
        self, x: Any, lengths: Any, mask: Any, reset: Any
    ) -> tuple[Any, Any, StepFlags]:
        """Return x, its lengths and flags as arrays, after checking them.

        A list of sequences is padded; any other x without a mask stays as it is.
        """
        if lengths is not None or mask is not None or reset is not None:
            self.check_batch("x", x)
        if lengths is not None:
            validation.refuse_foreign("lengths", lengths)
            lengths = np.array(lengths)  # a copy, so that all layers read the same numbers
        elif self._is_list(x):
            x, lengths = pad_sequences(x)
            if mask is not None:
                mask = padded_flags("mask", mask, lengths.tolist())
            if reset is not None:
                reset = padded_flags("reset", reset, lengths.tolist())
        if mask is None and reset is None:
            return x, lengths, NO_FLAGS
        shape = np.shape(x)
        flags = StepFlags(checked("mask", mask, shape), checked("reset", reset, shape))
        if flags.mask is not None and self.layers and not self.layers[0].takes_mask:
            x = without_left_out(x, flags.mask)
        return x, lengths, flags

    def check_batch(self, name: str, x: Any) -> None:
        """Raise for one sequence without a batch axis.

        A call without lengths and flags takes one, if all layers do. With them its steps would
        be taken for sequences. A layer that says nothing of its input may read any array.
        """
        first = self.layers[0] if self.layers else None
        if first is None:
            return
        if first.reads == "tokens":
            axes, single = "(batch, time)", 1
        elif first.input_size is not None or first.keeps_features:
            axes, single = "(batch, time, features)", 2
        else:
            return
        if _dimensions(x) == single:
            raise ValueError(
                f"{name} must have {single + 1} dimensions {axes}, got {single}; one sequence "
                f"is {name}[np.newaxis]"
            )

    def _is_list(self, x: Any) -> bool:
        """Whether x is a list of sequences, and not an array or nested numbers."""
        if not isinstance(x, (list, tuple)):
            return False
        if not x:
            raise ValueError("x must hold at least one sequence, got an empty list")
        # A list of vectors is not a list of sequences, but a list of token sequences is.
        if np.ndim(x[0]) <= (0 if self.reads == "tokens" else 1):
            return False
        try:
            sizes = {len(sequence) for sequence in x}
        except TypeError:
            i = next((i for i, each in enumerate(x) if not np.ndim(each)), 0)
            raise TypeError(
                f"x[{i}] must be a sequence like x[0], got {validation.type_name(x[i])}"
            ) from None
        return len(sizes) > 1 or isinstance(x[0], np.ndarray)

    def forward(
        self,
        x: Any,
        *,
        lengths: Any = None,
        mask: Any = None,
        reset: Any = None,
        training: bool = True,
        memory: Any = "gates",
    ) -> tuple[Floats, list[Any]]:
        """Return the output and the tape that :meth:`backward` needs.

        Parameters
        ----------
        x, lengths, mask, reset
            As for calling the model.
        training : bool
            Whether dropout acts.
        memory
            What the tape of every GRU keeps, as for :meth:`GRU.forward`.
        """
        y, _, tape = self.run(
            x, lengths=lengths, mask=mask, reset=reset, training=training, memory=memory
        )
        return y, tape

    def forward_from(
        self,
        states: Sequence[Any] | None,
        x: Any,
        *,
        lengths: Any = None,
        mask: Any = None,
        reset: Any = None,
        training: bool = True,
        memory: Any = "gates",
    ) -> tuple[Floats, list[Any], list[Any]]:
        """Return the output, the states that follow and the tape, for one piece of sequences.

        A long sequence can be run piece by piece: the states at the end of one piece are the
        initial states of the next one. A sequence whose length in a piece is 0 keeps its state.

        Parameters
        ----------
        states : sequence of ndarray or None
            One state per recurrent layer, in order; for a GRU it is (num_layers, B,
            hidden_size). None means that all begin with zeros, or with their learned ``h0``.
        x, lengths, mask, reset, training, memory
            As for :meth:`forward`.

        Returns
        -------
        output : ndarray
        states : list of ndarray
        tape : list
            For :meth:`backward`, which does not pass gradients back to ``states``.

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
        recurrent = self._recurrent
        for layer in recurrent:
            if layer.needs_whole_sequences:
                kind = "reversed" if layer.reverse else "bidirectional"
                raise ValueError(
                    f"a {kind} {type(layer).__name__} cannot run over pieces of a sequence"
                )
        if states is not None and len(states) != len(recurrent):
            raise ValueError(
                f"states must hold one state per recurrent layer, {len(recurrent)}, "
                f"got {len(states)}"
            )
        return self.run(
            x,
            states,
            lengths=lengths,
            mask=mask,
            reset=reset,
            training=training,
            memory=memory,
        )

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
        mask: Any = None,
        reset: Any = None,
    ) -> tuple[Floats, list[Any], list[Any]]:
        """Do what :meth:`forward_from` does, without its checks of ``state``."""
        x, lengths, flags = self._prepared(x, lengths, mask, reset)
        following: list[Any] = []
        tapes = SequentialTape(flags.mask)
        with draws_undone(self.generators if training else ()):
            for index, layer in self._stages:
                before = None
                if layer.is_recurrent and state is not None:
                    before = state[len(following)]
                try:
                    y, after, tape = layer.run(
                        x,
                        before,
                        lengths=lengths,
                        training=training,
                        memory=memory,
                        **flags.told(layer),
                    )
                    flags = flags.after(layer, x)
                    x = y
                except Exception as error:
                    name_in(error, index, self.layers[index])
                    raise
                if layer.is_recurrent:
                    following.append(after)
                tapes.append(tape)
        tapes.output_mask = flags.mask
        return x, following, tapes

    def output_mask(self, x: Any, mask: Any, tape: Any) -> Any:
        """Return which steps of the output of :meth:`run` count; None for all."""
        return tape.output_mask

    def stream(self, batch: int | None = None) -> SequentialStream:
        """Return a :class:`SequentialStream`, which runs the model step by step.

        The output of each step has the same bits as in a call on the whole sequence, unless
        the engine is ``blas``. A :class:`Last`, :class:`MeanOverTime` or :class:`MaxOverTime`
        gives its value for the steps so far. Dropout does not act.

        Parameters
        ----------
        batch : int, optional
            Number of independent streams, B. None means a single one without a batch axis.

        Raises
        ------
        ValueError
            If a layer needs whole sequences, as a bidirectional GRU and an
            :class:`AttentionOverTime` do; the text names the layer.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU, Linear, Sequential
        >>> model = Sequential(GRU(2, 3, batch_first=True), Linear(3, 1), seed=0)
        >>> x = np.ones((1, 5, 2), np.float32)
        >>> stream = model.stream()
        >>> outputs = [stream(x_t) for x_t in x[0]]
        >>> np.array_equal(outputs, model(x)[0])
        True
        """
        return SequentialStream(self, batch)

    def backward(self, tape: list[Any], d_y: Any) -> Floats | None:
        """Add to the gradients of all layers; return that of x, None for integer input.

        The gradients of frozen layers may or may not be computed; do not use them.

        Raises
        ------
        TypeError
            If a layer that does not read tokens returns no gradient for the layer before it.
        RuntimeError
            If ``tape`` is no tape of this model.
        """
        return self._backward(tape, d_y)

    def run_backward(self, tape: Any, d_y: Any) -> Floats | None:
        """Do what :meth:`backward` does."""
        return self.backward(tape, d_y)

    def accumulate(self, tape: Any, d_y: Any) -> None:
        """Add to the gradients of all layers that are trained.

        Frozen layers at the beginning are left out, and no gradient of x is computed. A trainer
        has set all gradients to 0 before, so nothing is put back after an error.
        """
        trained = (
            number
            for number, (_, layer) in enumerate(self._stages)
            if layer.trainable and len(layer.parameters)
        )
        first = next(trained, None)
        if first is None:
            return
        for number in range(len(tape) - 1, first, -1):
            d_y = self._through(number, tape[number], d_y)
        index, layer = self._stages[first]
        try:
            layer.accumulate(tape[first], d_y)
        except Exception as error:
            name_in(error, index, self.layers[index])
            raise

    def _backward(self, tape: list[Any], d_y: Any) -> Floats | None:
        """Go back from the last layer to the first one, and return the gradient of x."""
        if not isinstance(tape, list) or len(tape) != len(self._stages):
            raise RuntimeError(
                "backward() needs a tape of this model: output, tape = model.forward(x); got "
                f"{_described(tape)}"
            )
        with gradients_undone() as about_to_change:
            pairs = list(zip(self._stages, tape, strict=True))
            for number, ((_, layer), kept) in reversed(list(enumerate(pairs))):
                about_to_change(layer, kept)
                d_y = self._through(number, kept, d_y)
        d_x: Floats | None = d_y
        mask = getattr(tape, "mask", None)
        if d_x is not None and mask is not None:
            d_x = without_left_out(d_x, mask)
        return d_x

    def _through(self, number: int, kept: Any, d_y: Any) -> Any:
        """Go back through one stage with its tape, and return the gradient of its input."""
        index, layer = self._stages[number]
        try:
            d_x = layer.run_backward(kept, d_y)
        except Exception as error:
            name_in(error, index, self.layers[index])
            raise
        # A GRU would take None for a gradient of zero, and would not be trained.
        if d_x is None and index and layer.reads != "tokens":
            raise TypeError(
                f"layers[{index}], a {type(layer).__name__}, must return the gradient of its "
                "input from backward(), got None"
            )
        return d_x


def _dimensions(x: Any) -> int:
    """The axes of an array or of nested lists, whose first items tell."""
    if isinstance(x, (list, tuple)):
        return 1 + _dimensions(x[0]) if len(x) else 1
    return int(getattr(x, "ndim", 0))


def _described(tape: object) -> str:
    """What somebody has passed for a tape."""
    name = validation.type_name(tape)
    return f"{name} of length {len(tape)}" if isinstance(tape, (list, tuple)) else name
