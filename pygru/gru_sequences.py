"""The calls of a GRU over whole sequences for training, and its gates.

``inputs.py`` makes arrays of the arguments, ``passes.py`` runs forward and backward,
``segments.py`` does the same in segments, for long sequences, and ``runner.py`` calls the core.
The calls for inference are in ``gru_inference.py``, and the public class in ``gru.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, overload

from numpy.typing import ArrayLike, NDArray

from pygru import budget, masking, passes, segments
from pygru.core import _core, validation
from pygru.gates import Gates, gates_of
from pygru.gru_base import GRUBase
from pygru.inputs import Inputs
from pygru.masking import PartsTape
from pygru.nn.model import Model
from pygru.nn.shortcuts import BACKWARD, CALLS, FORWARD, Shortcut, no_steps, overridden
from pygru.segments import SegmentTape
from pygru.tape import Tape, WholeTape
from pygru.typing import Floats, StepFlags


def _call_forward(
    self: GRUSequences, x: Any, h0: Any = None, *, out: None = None, **told: Any
) -> tuple[Any, Floats]:
    """Return what ``forward`` of a subclass returns in inference, without the tape."""
    if out is not None:
        name = type(self).__name__
        raise TypeError(f"out must be None for a {name}, which has a forward() of its own")
    return self.forward(x, h0, training=False, **told)[:2]


def _infer_with_run(
    self: GRUSequences, x: Any, *, lengths: Any = None, mask: Any = None, reset: Any = None
) -> Any:
    """Return the output of ``run`` of a subclass in inference."""
    flags = {"mask": mask, "reset": reset}
    told = {name: value for name, value in flags.items() if value is not None}
    return self.run(x, lengths=lengths, training=False, memory="outputs", **told)[0]


class GRUSequences(GRUBase):
    """The calls of a GRU over whole sequences; see :class:`GRU`."""

    _shortcuts: ClassVar[dict[str, Shortcut]] = {
        "__call__": Shortcut(("forward",), _call_forward),
        "infer": Shortcut(("__call__", *FORWARD), _infer_with_run),
        "stream": Shortcut(FORWARD, no_steps),
        "begin_stream": Shortcut(FORWARD, no_steps),
        "accumulate": Shortcut(BACKWARD, Model.accumulate),
    }

    @overload
    def forward(
        self,
        x: NDArray[Any],
        h0: ArrayLike | None = ...,
        *,
        lengths: ArrayLike | None = ...,
        mask: StepFlags = ...,
        reset: StepFlags = ...,
        reset_to: str = ...,
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
        mask: StepFlags = ...,
        reset: StepFlags = ...,
        reset_to: str = ...,
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
        mask: StepFlags = ...,
        reset: StepFlags = ...,
        reset_to: str = ...,
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
        mask: StepFlags = None,
        reset: StepFlags = None,
        reset_to: str = "initial",
        training: bool = True,
        memory: int | str = "gates",
        n_threads: int | None = None,
    ) -> tuple[Floats | list[Floats], Floats, Tape]:
        """Run the GRU over whole sequences and keep what :meth:`backward` needs.

        Parameters
        ----------
        x, h0, lengths, mask, reset, reset_to, n_threads
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
              the memory of backward. The fastest of the other choices that fits on one thread
              is taken, with as many steps between the kept states as fit. The call and its
              backward then use at most as many threads as fit into the rest of the budget, so
              the gradients do not depend on the number of threads.

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
        keep = budget.whole(memory)
        inputs = self._runner.sequences.accept(x, h0, lengths) or Inputs(self, x, h0, lengths)
        request = None
        if mask is not None or reset is not None or reset_to != "initial":
            request = masking.request_of(self, inputs, mask, reset, reset_to)
        if keep is not None and request is None and self.merge == "concat":
            result = passes.forward(self, inputs, keep, training, None, n_threads)
            assert result[2] is not None
            return result[0], result[1], result[2]

        def run(part: Inputs, memory: Any = memory) -> tuple[Any, Floats, Tape | None]:
            keep, segment, allowed = budget.choose(self, part, memory, training, n_threads)
            if segment is not None:
                return segments.forward(self, part, segment, training, allowed)
            return passes.forward(self, part, keep, training, None, allowed)

        def run_part(part: Inputs) -> tuple[Any, Floats, Tape | None]:
            steps = part.T * part.B if request is None else len(request.pieces.time)
            return run(part, budget.share(memory, int(part.full_lengths().sum()), steps))

        if request is None and self.merge == "concat":
            output, h_n, tape = run(inputs)
        else:
            with passes.drawing(self, training):
                output, h_n, tape = masking.forward(self, inputs, request, run_part)
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
            Gradient with respect to h0, (L*D, B, H) or (L*D, H). With ``reset`` it is that of
            the state with which each sequence begins, and with ``reset_to="h0"`` of every
            episode.

        Raises
        ------
        RuntimeError
            If ``tape`` is not a tape, or the weights have changed since it was made.
        ValueError
            If the tape belongs to another GRU, or a shape does not fit.
        MemoryError
            If the result or the workspace cannot be allocated.
        """
        if not isinstance(tape, (WholeTape, SegmentTape, PartsTape)):
            raise RuntimeError(
                "backward() needs a tape: output, h_n, tape = gru.forward(x); "
                f"got {validation.type_name(tape)}"
            )
        if isinstance(tape, PartsTape):
            return masking.backward(self, tape, d_output, d_h_n)
        if isinstance(tape, SegmentTape):
            return segments.backward(self, tape, d_output, d_h_n)
        return passes.backward(self, tape, d_output, d_h_n)

    def gates(
        self,
        x: ArrayLike | Sequence[NDArray[Any]],
        h0: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        mask: StepFlags = None,
        reset: StepFlags = None,
        reset_to: str = "initial",
    ) -> list[Gates]:
        """Return the values of all gates and states at every step.

        Parameters
        ----------
        x, h0, lengths, mask, reset, reset_to
            As for calling the GRU.

        Returns
        -------
        list of Gates
            One per layer and direction, in the order of ``h_n``. Step t of each array belongs
            to step t of x, also in the reverse direction. For a list of sequences the arrays
            are padded. At a step that ``mask`` leaves out, the gates are 0 and ``h`` is the
            state that stays.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU
        >>> gates = GRU(2, 3, seed=0).gates(np.ones((4, 2)))
        >>> gates[0].z.shape
        (4, 3)
        """
        inputs = Inputs(self, x, h0, lengths)
        request = masking.request_of(self, inputs, mask, reset, reset_to)
        if request is not None:
            return masking.gates(self, inputs, request)
        inputs.output_size = self.options.states_size
        _, _, tape = passes.forward(self, inputs, _core.KEEP_GATES, False, None, None)
        assert tape is not None
        return gates_of(tape)

    # ---- as a layer of a model ---------------------------------------------------------------

    def check_memory(self, memory: object) -> None:
        """Raise unless a tape can keep ``memory``."""
        budget.check_memory(memory)

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
    ) -> tuple[Any, Any, Any]:
        """Do what :meth:`forward` does, in the form for Sequential and Trainer."""
        return self.forward(
            x,
            state,
            lengths=lengths,
            mask=mask,
            reset=reset,
            training=training,
            memory=memory,
        )

    def run_backward(self, tape: Any, d_y: Any) -> Any:
        """Return the gradient of x, in the form for Sequential and Trainer."""
        return self.backward(tape, d_y)[0]

    def accumulate(self, tape: Any, d_y: Any) -> None:
        """Add to the gradients, in the form for the trainer: nobody wants that of x."""
        if isinstance(tape, WholeTape):
            passes.accumulate(self, tape, d_y)
        else:
            self.backward(tape, d_y)

    # ---- as a layer whose output is read at the end of the sequences only --------------------

    @property
    def runs_to_end(self) -> bool:  # type: ignore[override]
        """Whether the last output is the last state of the last layer, D*H features of it."""
        calls = (*CALLS, *BACKWARD, "accumulate")  # those of a subclass may differ
        return self.merge == "concat" and not overridden(type(self), GRUSequences, calls)

    def infer_to_end(self, x: Any, *, lengths: Any = None) -> Floats:
        """Return h_n for inference; the output itself is not written."""
        inputs = self._runner.sequences.accept(x, None, lengths) or Inputs(
            self, x, None, lengths
        )
        return passes.forward_to_end(self, inputs, _core.KEEP_NOTHING, False, None)[0]

    def run_to_end(
        self, x: Any, state: Any, *, lengths: Any, training: bool, memory: str
    ) -> tuple[Floats, Tape]:
        """Return h_n and the tape; ``memory`` is one that says it without the sizes."""
        keep = budget.whole(memory)
        assert keep is not None
        inputs = self._runner.sequences.accept(x, state, lengths) or Inputs(
            self, x, state, lengths
        )
        h_n, tape = passes.forward_to_end(self, inputs, keep, training, None)
        assert tape is not None
        return h_n, tape

    def run_backward_from_end(self, tape: Any, d_h_n: Floats) -> Any:
        """Return the gradient of x, where only ``h_n`` has one."""
        return passes.backward(self, tape, None, d_h_n)[0]

    def accumulate_from_end(self, tape: Any, d_h_n: Floats) -> None:
        """Add to the gradients, where only ``h_n`` has one and nobody wants that of x."""
        passes.accumulate(self, tape, None, d_h_n)
