"""What a GRU does in inference: calls over whole sequences, single steps, streams.

A GRU with float weights and one with weights of 8 bits have this in common; their base class is
here. It reads the options and calls the core through the runner, and knows neither gradients
nor how the weights are stored. ``gru_sequences.py`` has the calls of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru import masking, passes
from pygru.core import _core
from pygru.core.fixed import FixedAttributes
from pygru.inputs import Inputs
from pygru.nn.model import Model
from pygru.options import GRUOptions
from pygru.runner import Runner
from pygru.stream import Stream, StreamPart, one_step
from pygru.tape import Tape
from pygru.typing import CellActivation, Floats, StepFlags
from pygru.variant import Variant


class GRUInference(FixedAttributes, Model):
    """The options of a GRU, and what needs no more than them and a runner.

    A class calls ``_fix_options`` and sets ``_runner``.
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
    zero_output_for_mask: bool
    merge: str
    activation: CellActivation
    recurrent_activation: CellActivation
    clip: float | None
    reverse: bool
    num_directions: int
    output_size: int

    # No part of a pickle, beside the attributes that users have added.
    _made_again: ClassVar[frozenset[str]] = frozenset(
        {"options", "num_directions", "output_size", "parameters", "grads", "_runner"}
    ).union(field.name for field in fields(GRUOptions))

    parameters: Any  # a mapping of str to arrays, with "h0" if it is learned
    _runner: Runner

    def _fix_options(self, options: GRUOptions) -> None:
        """Make each option an attribute that cannot be assigned."""
        self._fix(
            options=options,
            num_directions=options.num_directions,
            output_size=options.output_size,
            **vars(options),
        )

    # ---- whole sequences --------------------------------------------------------------------

    @overload
    def __call__(
        self,
        x: NDArray[Any],
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        mask: StepFlags = ...,
        reset: StepFlags = ...,
        reset_to: str = ...,
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
        mask: StepFlags = ...,
        reset: StepFlags = ...,
        reset_to: str = ...,
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
        mask: StepFlags = ...,
        reset: StepFlags = ...,
        reset_to: str = ...,
        out: Floats | None = ...,
        n_threads: int | None = ...,
    ) -> tuple[Floats | list[Floats], Floats]: ...

    def __call__(
        self,
        x: ArrayLike | Sequence[NDArray[Any]],
        h0: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        mask: StepFlags = None,
        reset: StepFlags = None,
        reset_to: str = "initial",
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
        mask : array_like of bool or list of array_like, optional
            Which steps count, in the shape of x without its features; a list of (T_i,) if x is
            a list. A step that does not count is not read, leaves every state as it is and
            takes no time. The output there is that of the step which is read before it, or
            the last layer's h0 at the beginning; with ``zero_output_for_mask`` it is 0.
        reset : array_like of bool or list of array_like, optional
            Before which steps a new episode begins, in the shape of ``mask``. Nothing is
            carried from an episode into another one, in either direction. A reset at a step
            that does not count acts too.
        reset_to : {"initial", "h0"}
            What the states are at the beginning of an episode: zeros, or the parameter ``h0``
            with ``learn_h0``; or the given ``h0`` again.
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
            direction ends at the first step of a sequence. With ``reset`` the forward
            direction ends in the last episode of a sequence and the reverse direction in the
            first one; h0 enters where each direction begins to read.

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
        inputs = self._runner.sequences.accept(x, h0, lengths) or Inputs(self, x, h0, lengths)
        request = None
        if mask is not None or reset is not None or reset_to != "initial":
            request = masking.request_of(self, inputs, mask, reset, reset_to)
        if request is not None or self.merge != "concat":

            def run(part: Inputs) -> tuple[Any, Floats, Tape | None]:
                return passes.forward(self, part, _core.KEEP_NOTHING, False, None, n_threads)

            output, h_n, _ = masking.forward(self, inputs, request, run, out)
            return output, h_n
        return passes.forward(self, inputs, _core.KEEP_NOTHING, False, out, n_threads)[:2]

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
            If the GRU is bidirectional or reads in reverse, or a shape does not fit.

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
            If the GRU is bidirectional or reads in reverse, which needs the future.

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

    def begin_stream(self, batch: int | None) -> StreamPart:
        """Return the single steps of this GRU, for the stream of a whole model."""
        if self.needs_whole_sequences:
            raise ValueError("its reverse direction begins at the end of a sequence")
        return StreamPart(self.stream(batch))

    # ---- as a layer of a model ---------------------------------------------------------------

    is_recurrent = True
    takes_mask = True
    takes_reset = True

    @property
    def has_reverse_half(self) -> bool:
        """Whether the second half of the output's features is that of the reverse direction."""
        return self.bidirectional and self.merge == "concat"

    @property
    def needs_whole_sequences(self) -> bool:
        """Whether it reads a sequence from its end, so that it cannot run piece by piece."""
        return any(self.options.reads_backwards)

    def infer(self, x: Any, *, lengths: Any = None, mask: Any = None, reset: Any = None) -> Any:
        """Return the output for inference, in the form for Sequential and Trainer."""
        return self(x, lengths=lengths, mask=mask, reset=reset)[0]
