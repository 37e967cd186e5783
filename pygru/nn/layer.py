"""The base classes of layers, pygru's own and those of users: ``Layer`` and ``RecurrentLayer``.

A subclass says what its arguments and parameters are, and how it runs forward and backward.
The base class allocates and names the parameters, and makes the layer fit into
:class:`Sequential`, :class:`Trainer`, model files and checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pygru.core.parameters import Parameters
from pygru.core.pickled import CheckedState, refuse
from pygru.core.validation import check_dtype, shown, type_name
from pygru.nn.model import Configured, Model
from pygru.nn.seeds import generator_for
from pygru.nn.undo import reseeding_undone
from pygru.typing import Floats, Seed


class Parametric(CheckedState, Parameters, Configured):
    """What has parameters whose shapes follow from its configuration, as every layer has."""

    _made_again: ClassVar[frozenset[str]] = frozenset({"_parameters_owner", "_grads_owner"})
    _filled_by = "create_parameters"

    def create_parameters(self, seed: Seed = None) -> None:
        """Allocate parameters and gradients, zeros at first, and call :meth:`initialize`.

        Their shapes are those that ``parameter_shapes`` makes of ``get_config``, and their
        dtype is the one that ``get_config`` names.

        Parameters
        ----------
        seed : int, sequence of int, SeedSequence, Generator or None
            What the generator that ``initialize`` is given is made from. An integer gives
            every class numbers of its own."""
        self._allocate_parameters()
        self.initialize(generator_for(seed, type(self).__name__))

    def _allocate_parameters(self) -> None:
        """Allocate parameters and gradients of zeros, and make what refers to them."""
        config = self.get_config()
        dtype = check_dtype(config.get("dtype", "float32"))
        self._create_parameters(self.parameter_shapes(config), dtype)
        self._use_parameters()

    def _use_parameters(self) -> None:
        """Make what refers to the memory of the parameters: here there is nothing."""

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        attributes = state[0] if isinstance(state, tuple) else state
        for name in ("parameters", "grads"):
            if name in attributes:
                attributes[name] = dict(attributes[name])
        return state

    def _restore(self) -> None:
        """Check the arrays of a state, and copy them into memory of this layer."""
        cls = type(self)
        given = {name: vars(self).pop(name, None) for name in ("parameters", "grads")}
        config = self.get_config()
        dtype = check_dtype(config.get("dtype", "float32"))
        shapes = self.parameter_shapes(config)
        for what, arrays in given.items():
            _check_arrays(cls, what, arrays, shapes, dtype)
        if "_trainable" in vars(self) and type(self._trainable) is not bool:
            refuse(cls, f"_trainable must be a bool, got {type_name(self._trainable)}")
        self._check_generators()
        self._allocate_parameters()
        for what, arrays in given.items():
            views = getattr(self, what)
            for name, array in (arrays or {}).items():
                views[name][...] = array

    def _check_generators(self) -> None:
        """Raise unless the generator, if there is one, can be drawn from."""
        generator = vars(self).get("generator")
        if generator is not None and not isinstance(generator, np.random.Generator):
            refuse(
                type(self),
                f"generator must be a numpy.random.Generator, got {type_name(generator)}",
            )

    def reseed(self, seed: Seed) -> None:
        """Draw the initial parameters anew; numbers drawn in training follow ``seed`` too.

        After an error or an interrupt either nothing or everything has changed.
        """
        with reseeding_undone([self]):
            self.initialize(generator_for(seed, type(self).__name__))

    def initialize(self, generator: np.random.Generator) -> None:
        """Give the parameters their initial values; here they remain zeros."""

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter that ``config`` makes: here there are none."""
        return {}


def _check_arrays(
    cls: type,
    what: str,
    arrays: Any,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: np.dtype[Any],
) -> None:
    """Raise unless ``arrays`` has exactly these names, shapes and this dtype."""
    if not isinstance(arrays, Mapping):
        refuse(cls, f"{what} must be a mapping of arrays, got {type_name(arrays)}")
    if arrays.keys() != shapes.keys():
        refuse(cls, f"{what} must be {', '.join(shapes)}, got {shown(list(arrays))}")
    for name, shape in shapes.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray):
            refuse(cls, f"{what}[{name!r}] must be an array, got {type_name(array)}")
        if array.shape != tuple(shape) or array.dtype.newbyteorder("=") != dtype:
            refuse(
                cls,
                f"{what}[{name!r}] must have shape {tuple(shape)} and dtype {dtype}, got "
                f"{array.shape} and {array.dtype}",
            )


class Layer(Parametric, Model):
    """Base class of a layer of your own: one input, one output, parameters or none.

    A subclass defines

    * ``__init__``, which keeps its arguments and then calls :meth:`create_parameters`;
    * ``get_config()``: the constructor's arguments except the seed, ready for JSON. An argument
      ``dtype`` is the dtype of the parameters; without it they are float32;
    * ``parameter_shapes(config)``, a static method: the shape of each parameter by name;
    * ``initialize(generator)``: the initial values, if they are not zeros;
    * ``forward(x, *, lengths=None, training=True)``, which returns the output and a tape;
    * ``backward(tape, d_y)``, which adds to ``self.grads`` and returns the gradient of x.

    A layer that draws numbers in training keeps the generator of ``initialize`` as
    ``self.generator``; checkpoints then hold its state. Class attributes say what is special:
    ``reads = "tokens"`` if a step of x is an integer, ``predicts_steps = False`` if the output
    has one entry per sequence. A layer that carries a state from step to step derives from
    :class:`RecurrentLayer`. A layer that looks at several steps, such as one that pools them,
    should say ``takes_mask = True``; its ``forward`` then has an argument ``mask=None``.

    In ``backward``, add to the gradients only after everything that can fail, so that an error
    leaves them as they were.

    Attributes
    ----------
    parameters, grads : mapping of str to ndarray
        Views into ``flat_parameters`` and ``flat_grads``.

    Examples
    --------
    >>> import numpy as np
    >>> import pygru
    >>> class Scale(pygru.Layer):
    ...     def __init__(self, features):
    ...         self.features = features
    ...         self.create_parameters()
    ...
    ...     def get_config(self):
    ...         return {"features": self.features}
    ...
    ...     @staticmethod
    ...     def parameter_shapes(config):
    ...         return {"scale": (config["features"],)}
    ...
    ...     def initialize(self, generator):
    ...         self.parameters["scale"] = np.ones(self.features)
    ...
    ...     def forward(self, x, *, lengths=None, training=True):
    ...         return x * self.parameters["scale"], x
    ...
    ...     def backward(self, tape, d_y):
    ...         self.grads["scale"][...] += (d_y * tape).reshape(-1, self.features).sum(axis=0)
    ...         return d_y * self.parameters["scale"]
    >>> model = pygru.Sequential(Scale(3), pygru.GRU(3, 4, batch_first=True, seed=0))
    >>> model(np.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    def __call__(self, x: Any, *, lengths: Any = None, mask: Any = None) -> Floats:
        """Return the output for inference: no tape, no dropout.

        ``mask`` is for layers that look at several steps, as their ``takes_mask`` says.
        """
        if mask is None:
            return self.infer(x, lengths=lengths)
        if not self.takes_mask:
            raise TypeError(f"mask must be None for a {type(self).__name__}")
        return self.infer(x, lengths=lengths, mask=mask)

    def forward(
        self, x: Any, *, lengths: Any = None, training: bool = True
    ) -> tuple[Floats, Any]:
        """Return the output, and the tape that :meth:`backward` needs.

        Parameters
        ----------
        x : array_like
            (B, T, ...) the input of this layer.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence. Later steps of x may contain anything, and
            those of the output are not read.
        training : bool
            Whether the layer acts as in training.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def backward(self, tape: Any, d_y: Any) -> Floats | None:
        """Add the gradients of the parameters to ``grads``; return that of x."""
        raise NotImplementedError(f"{type(self).__name__} must define backward()")

    def infer(self, x: Any, *, lengths: Any = None, mask: Any = None) -> Floats:
        """Return the output for inference, in the form for Sequential and Trainer."""
        told = {} if mask is None else {"mask": mask}
        return self.run(x, lengths=lengths, training=False, **told)[0]

    def run(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
        mask: Any = None,
    ) -> tuple[Floats, Any, Any]:
        """Return the output, no state and the tape, in the form for Sequential and Trainer."""
        told = {} if mask is None else {"mask": mask}
        result = self.forward(x, lengths=lengths, training=training, **told)
        # An array of two sequences could be unpacked too, so the type is checked.
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{type(self).__name__}.forward() must return a tuple (output, tape), "
                f"got {type_name(result)}"
            )
        y, tape = result
        return y, None, tape

    def run_backward(self, tape: Any, d_y: Any) -> Floats | None:
        """Do what :meth:`backward` does."""
        return self.backward(tape, d_y)


class RecurrentLayer(Layer):
    """Base class of a layer of your own that carries a state from step to step.

    A subclass defines what one of :class:`Layer` does, but ``run`` in place of ``forward``::

        def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
            ...
            return y, state, tape

    ``state`` is the state that the call for the piece before has returned, and None at the
    beginning of the sequences. It is an array (B, ...), or a list of such arrays. A sequence of
    length 0 keeps its state. ``memory`` may be ignored. ``backward(tape, d_y)`` treats the
    state at the beginning of a piece as a constant. Such a layer also works in training with
    ``bptt_steps``. With ``takes_mask = True`` or ``takes_reset = True``, ``run`` has an
    argument ``mask=None`` or ``reset=None`` too.

    Examples
    --------
    A sum over the steps so far, with nothing to learn:

    >>> import numpy as np
    >>> import pygru
    >>> class RunningSum(pygru.RecurrentLayer):
    ...     def __init__(self):
    ...         self.create_parameters()
    ...
    ...     def get_config(self):
    ...         return {}
    ...
    ...     def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
    ...         y = x.cumsum(axis=1) + (0 if state is None else state[:, np.newaxis])
    ...         return y, y[:, -1], None
    ...
    ...     def backward(self, tape, d_y):
    ...         return d_y[:, ::-1].cumsum(axis=1)[:, ::-1]
    >>> model = pygru.Sequential(RunningSum())
    >>> x = np.ones((1, 6, 1))
    >>> first, states, tape = model.forward_from(None, x[:, :4])
    >>> second, states, tape = model.forward_from(states, x[:, 4:])
    >>> second.tolist()
    [[[5.0], [6.0]]]
    """

    is_recurrent = True
    _runs_with = ("run",)

    def forward(
        self, x: Any, *, lengths: Any = None, training: bool = True
    ) -> tuple[Floats, Any]:
        """Return the output and the tape of whole sequences; see :meth:`run`."""
        y, _, tape = self.run(x, lengths=lengths, training=training)
        return y, tape

    def run(  # type: ignore[override]  # those that take a mask say so
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        training: bool = True,
        memory: Any = "gates",
    ) -> tuple[Floats, Any, Any]:
        """Return the output, the state that follows and the tape, for one piece of sequences.

        Parameters
        ----------
        x : array_like
            (B, T, ...) the input of this layer.
        state : optional
            The state that the call for the piece before has returned; None at the beginning.
        lengths : array_like of int, optional
            (B,) the valid steps of each sequence; one of length 0 keeps its state.
        training : bool
            Whether the layer acts as in training.
        memory
            What the tape keeps; a layer without a choice ignores it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define run()")
