"""A GRU without its calls: options, parameters, copies, and other forms of the weights.

Calls and single steps for inference are in ``gru_inference.py``, the calls of training in
``gru_sequences.py``, and the public class in ``gru.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from pygru import concatenated
from pygru.concatenated import ConcatenatedWeights
from pygru.core import validation
from pygru.core.parameters import NamedViews, Parameters, full_prefix, load_into
from pygru.core.pickled import added_to, check_keys, naming, restore_added
from pygru.gru_inference import GRUInference
from pygru.nn.initializers import INITIALIZERS
from pygru.nn.undo import reseeding_undone
from pygru.options import GRUOptions
from pygru.runner import Runner
from pygru.typing import Seed

# Options that change neither the equations nor the shapes of the weights, so that a GRU with
# another value of them can have the same weights.
REPLACEABLE = (
    "batch_first",
    "dropout",
    "dtype",
    "recurrent_dropout",
    "zoneout",
    "layer_norm_eps",
    "zero_output_for_mask",
    "merge",
)


class GRUBase(GRUInference, Parameters):
    """The options and weights of a GRU; see :class:`GRU`."""

    _made_again: ClassVar[frozenset[str]] = frozenset(
        {"_generator", "_parameters_owner", "_grads_owner"}
    )

    parameters: NamedViews

    def _set_up(
        self, options: GRUOptions, generator: np.random.Generator, shared: GRUBase | None = None
    ) -> None:
        """Make everything except the values of the weights: zeros, or those of ``shared``."""
        self._fix_options(options)
        self.generator = generator
        if shared is None:
            self._create_parameters(options.parameter_shapes(), self.dtype)
        else:
            self._share_parameters(shared)
        self._runner = Runner(options, self._parameters_owner, self._grads_owner)

    @classmethod
    def from_options(cls, options: GRUOptions, *, seed: Seed = None) -> Self:
        """Return a new GRU with these options.

        Parameters
        ----------
        options : GRUOptions
            All arguments of the constructor except the seed.
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

    def reseed(self, seed: Seed) -> None:
        """Draw the initial parameters again; dropout uses ``seed`` too.

        After an error or an interrupt either nothing or everything has changed.
        """
        with reseeding_undone([self]):
            self.generator = np.random.default_rng(seed)
            INITIALIZERS[self.init](self)

    # ---- options ----------------------------------------------------------------------------

    def _how_to_change(self, name: str, value: object) -> str:
        if name in REPLACEABLE:
            shown = repr(value) if isinstance(value, (bool, int, float, str)) else "..."
            return f"gru.replace({name}={shown}) returns such a GRU with the same weights"
        if name in self.options.get_config():
            return f"the weights depend on it, so make a new GRU with another {name}"
        return super()._how_to_change(name, value)

    def replace(self, *, share_weights: bool = False, **changes: Any) -> Self:
        """Return a GRU with some options changed and the same weights.

        Parameters
        ----------
        share_weights : bool
            Whether the two GRUs use the same arrays of parameters and gradients, so that
            training one trains the other. By default the new GRU has a copy of the parameters,
            and gradients of zero. Copies, pickles and model files do not share: there each of
            the two GRUs has weights of its own.
        **changes
            New values of ``batch_first``, ``dropout``, ``recurrent_dropout``, ``zoneout``,
            ``layer_norm_eps``, ``zero_output_for_mask``, ``merge`` or ``dtype``. With
            another ``dtype`` the weights are converted; float64 weights are rounded to float32.

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
        gru = type(self).__new__(type(self))
        gru._set_up(options, copy.deepcopy(self.generator), self if share_weights else None)
        gru.trainable = self.trainable
        if not share_weights:
            # As for every array that is converted.
            with np.errstate(over="ignore", invalid="ignore"):
                gru.flat_parameters[...] = self._parameters_owner.borrow()
        return gru

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments except the seed, ready for JSON."""
        return self.options.get_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return a new GRU with the arguments that :meth:`get_config` returned.

        ``config`` may also contain a ``seed``.
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
            "generator": copy.deepcopy(
                self.generator
            ),  # also for copy.copy, so that no state is shared
            "trainable": self.trainable,
            **added_to(self),
        }

    def __setstate__(self, state: Any) -> None:
        cls = type(self)
        check_keys(cls, state, "config", "parameters", "grads", "generator", "trainable")
        with naming(cls):
            self._set_up(GRUOptions.from_config(state["config"]), state["generator"])
            self.load_state_dict(state["parameters"])
            load_into(self.grads, state["grads"])
            self.trainable = state["trainable"]
        restore_added(self, state)

    # ---- weights --------------------------------------------------------------------------

    def load_state_dict(self, mapping: Mapping[str, Any], prefix: str = "") -> None:
        """Copy parameters from a mapping of names to arrays.

        After an error or an interrupt either nothing or everything has been copied.

        Parameters
        ----------
        mapping : mapping of str to array_like
            Every parameter of this GRU by name, in this GRU's own variant.
        prefix : str
            If it is given, only names that begin with it are taken, without the prefix. The
            dot after it may be left out: ``"rnn"`` takes ``rnn.weight_ih_l0`` and no name of
            ``rnn2``.

        Raises
        ------
        KeyError
            If a name is missing or unknown, or no name begins with the prefix.
        ValueError
            If a shape does not fit. Also if the values are PyTorch tensors and this GRU's
            variant is not ``"pytorch"``: the names are the same, but the equations are not.
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
        if prefix != "":
            prefix = full_prefix(mapping, prefix)
        for own_name in self.parameters:
            name = f"{prefix}{own_name}"
            is_weight = name in mapping and own_name.startswith("weight_")
            if is_weight and np.shape(mapping[name])[:1] == (4 * self.hidden_size,):
                raise ValueError(f"{name} has 4*H rows: this looks like an LSTM")
        super().load_state_dict(mapping, prefix)

    def concatenated_weights(self) -> list[ConcatenatedWeights]:
        """Return the weights as textbooks write them: one matrix per gate for ``[h, x]``.

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

    def load_concatenated_weights(self, cells: Sequence[ConcatenatedWeights]) -> None:
        """Copy parameters from the form that :meth:`concatenated_weights` returns.

        That form holds the sum of the two biases of a gate. The whole sum goes to ``bias_ih``,
        and ``bias_hh`` becomes zero, except for ``b_hn``.

        Parameters
        ----------
        cells : sequence of ConcatenatedWeights
            One per layer and direction.

        Raises
        ------
        TypeError
            If ``cells`` is not a list of such cells, or a piece is not an array of numbers.
        ValueError
            If the number of cells or the shape of a piece does not fit, or if this GRU has no
            biases and those of the cells are not zero.
        """
        self.load_state_dict(concatenated.separated_weights(self, cells))
