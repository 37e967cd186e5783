"""Runs the core for one GRU: it owns the packed weights, and the compiled calls.

``passes.py`` runs whole sequences with its ``sequences``, which keep the plans.
``segments.py``, ``masking.py`` and ``stream.py`` convert arrays to the form of the core and
call the functions here. No argument of a user is checked here.
"""

import contextlib
import threading
from typing import NamedTuple

import numpy as np

from pygru import noise as noises
from pygru.core import _calls, _core, _plans, _sequences, _stepper, _weights, backend, threads
from pygru.core.memory import POOL
from pygru.inputs import Inputs
from pygru.noise import Bytes, Noise
from pygru.options import GRUOptions
from pygru.tape import WholeTape
from pygru.typing import Floats, Integers

NO_LIMIT = contextlib.nullcontext()


class Planned(NamedTuple):
    """A plan of the core, and its sizes for a call with one thread."""

    plan: _plans.Plan
    sizes: dict[str, int]


class Runner:
    """Calls the core for one GRU, with the kernels that were current when it was made.

    Parameters
    ----------
    options : GRUOptions
        The options of the GRU.
    parameters : Owner
        Its flat parameters. They may change at any time; every call uses the present ones.
    grads : Owner, optional
        Its flat gradients, to which :meth:`Sequences.backward` adds.

    Attributes
    ----------
    sequences : Sequences
        The compiled calls over whole sequences.
    is_noisy : bool
        Whether a call for training draws random masks.
    expected_noise : Noise or None
        The noise of inference.
    """

    def __init__(
        self,
        options: GRUOptions,
        parameters: _weights.Owner,
        grads: _weights.Owner | None = None,
    ) -> None:
        self.backend = self.new_backend()
        self.is_simd = self.backend.is_simd
        self.config = _plans.Config(
            options.input_size,
            options.hidden_size,
            options.num_layers,
            options.num_directions,
            options.bias,
            options.variant.reset == "after",
            options.variant.update == "keep",
            options.recurrent_dropout > 0,
            options.layer_norm_eps if options.layer_norm else 0.0,
            self.precision(options),
            clip=options.clip or 0.0,
            activation=options.activation,
            recurrent_activation=options.recurrent_activation,
            reverse=options.reverse,
        )
        self._parameters = parameters
        self._packed = _weights.Packed(self.new_packing(), parameters)
        self._zoneout = options.zoneout
        rates = (options.dropout, options.recurrent_dropout, options.zoneout)
        self.is_noisy = any(rate > 0 for rate in rates)
        self.expected_noise = noises.expected(options)
        self._options, self._grads = options, grads
        self.sequences = self.new_sequences()
        self.of_thread = threading.local()  # the memory for steps of each Python thread

    # ---- what depends on how the weights are stored -----------------------------------------

    def new_backend(self) -> backend.Backend:
        """Return the kernels and the BLAS functions to compute with."""
        return backend.current()

    def precision(self, options: GRUOptions) -> str:
        """Return the name of the precision of the core."""
        return options.dtype.name

    def new_packing(self) -> _weights.Packing:
        """Return how the parameters are packed."""
        return _weights.CellsPacking(self.config, self.backend.kernels)

    # ---- plans and weights ------------------------------------------------------------------

    def new_sequences(self) -> _sequences.Sequences:
        """Return the compiled calls for this runner's backend."""
        return _sequences.Sequences(
            self._options,
            self.config,
            self.backend.kernels,
            self.backend.blas,
            self._parameters,
            self._grads,
            self._packed if self.is_simd else None,
            Inputs,
            WholeTape,
        )

    def plan(self, T: int, B: int, lengths: Integers | None, keep: int) -> Planned:
        """Return the plan of a batch; batches of one shape and without lengths share it."""
        plan = self.sequences.plan(T, B, lengths, keep)
        return Planned(plan, plan.sizes_of_one)

    def chunk_rows(self, B: int) -> int:
        """Return how many of ``B`` sequences are a chunk.

        The core orders the rows of its arrays by chunks first, and then by steps. So in a batch
        of two steps, the first rows of the first step are those of the first chunk.
        """
        if B == 0:
            return 1
        plan = self.sequences.plan(2, B, None, _core.KEEP_NOTHING)
        step, sequence = np.empty(2 * B, np.int64), np.empty(2 * B, np.int64)
        plan.rows(step, sequence)
        return int(np.argmax(step))

    def packed_weights(self) -> Bytes | None:
        """Return the present parameters, packed for the SIMD engine; None on BLAS."""
        return self._packed.current()[0] if self.is_simd else None

    def packed_weights_and_fingerprint(self) -> tuple[Bytes | None, int]:
        """Return the same, and the fingerprint of the parameters."""
        if self.is_simd:
            return self._packed.current()
        return None, _weights.fingerprint(self._parameters.borrow())

    # ---- whole sequences --------------------------------------------------------------------

    def forward(
        self,
        plan: _plans.Plan,
        sizes: dict[str, int],
        n_threads: int,
        *,
        x: Floats,
        h0: Floats | None,
        y: Floats,
        h_n: Floats,
        tape: Floats | None,
        noise: Noise | None,
        packed: Bytes | None,
        workspace: Bytes | None = None,
        parameters: Floats | None = None,
    ) -> None:
        """Run a planned batch; ``sizes`` are those of the plan for ``n_threads``.

        The arrays are the members of ``pygru_forward_args`` in the C headers. A workspace that
        is not given is taken from the pool, and the parameters are by default this runner's.
        """
        if workspace is None:
            size = sizes["forward_workspace"]
            workspace = POOL.take(size, np.uint8, "the workspace of forward")
        with self._limit_of_blas(sizes):
            _calls.forward(
                plan,
                self.backend.blas,
                self.backend.kernels,
                n_threads,
                threads.on_main_thread(),
                parameters=self._parameters.borrow() if parameters is None else parameters,
                packed=packed,
                x=x,
                h0=h0,
                y=y,
                h_n=h_n,
                tape=tape,
                noise=noise,
                workspace=workspace,
            )

    def backward(
        self,
        plan: _plans.Plan,
        n_threads: int,
        *,
        packed: Bytes | None,
        tape: Floats,
        noise: Noise | None,
        d_y: Floats | None,
        d_h_n: Floats | None,
        d_x: Floats | None,
        d_h0: Floats,
        grads: Floats,
        workspace: Bytes | None = None,
        parameters: Floats | None = None,
        sizes: dict[str, int] | None = None,
    ) -> None:
        """Go back through a planned batch and add to ``grads``.

        The arrays are the members of ``pygru_backward_args`` in the C headers. A workspace that
        is not given is taken from the pool, and the parameters are by default this runner's.
        """
        if sizes is None:
            sizes = plan.sizes(n_threads)
        if workspace is None:
            size = sizes["backward_workspace"]
            workspace = POOL.take(size, np.uint8, "the workspace of backward")
        with self._limit_of_blas(sizes):
            _calls.backward(
                plan,
                self.backend.blas,
                self.backend.kernels,
                n_threads,
                threads.on_main_thread(),
                parameters=self._parameters.borrow() if parameters is None else parameters,
                packed=packed,
                tape=tape,
                noise=noise,
                d_y=d_y,
                d_h_n=d_h_n,
                d_x=d_x,
                d_h0=d_h0,
                grads=grads,
                workspace=workspace,
            )

    def _limit_of_blas(self, sizes: dict[str, int]) -> contextlib.AbstractContextManager[None]:
        """Return the limit on BLAS's threads; the SIMD engine does not call BLAS."""
        if self.is_simd:
            return NO_LIMIT
        return threads.single_threaded_blas(sizes["largest_product"])

    # ---- single steps -----------------------------------------------------------------------

    def stepper(
        self, batch: int | None, *, x: Floats, h: Floats | None, h_next: Floats
    ) -> _stepper.Stepper:
        """Return an object that runs single steps from ``x`` and ``h`` to ``h_next``, all flat.

        ``batch`` is the number of sequences, or None without a batch axis. If ``h`` is None, a
        step starts from ``h_next`` itself. No step allocates memory, not even the first one,
        except for those of large batches, which last long.
        """
        if self.is_simd:
            self._packed.current()  # this allocates the packed weights
        return _stepper.Stepper(
            self.config,
            self.backend.blas,
            self.backend.kernels,
            batch,
            None if self.is_simd else self._parameters.borrow(),
            self._packed if self.is_simd else None,
            x,
            h,
            h_next,
            self._zoneout,
        )
