"""Named parameters as views of one flat array; every trainable layer stores its weights so.

Because all values are in one flat array and all gradients in another, a step of an optimiser
is one pass over two arrays. Each named parameter is a view. Writing to a view or assigning to
a name changes the flat array in place.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pygru.core._weights import Owner
from pygru.core.atomic import Action, assignment, commit
from pygru.core.fixed import FixedAttributes
from pygru.core.hints import nearest
from pygru.core.memory import allocate
from pygru.core.validation import (
    as_real,
    check_bool,
    check_mapping,
    check_shape,
    is_native,
    is_torch,
    shown,
    type_name,
    unexpected_key,
)
from pygru.typing import Floats


class Views(Protocol):
    """Base class of the parameters of one layer, and of those of a model of several layers."""

    def place_of(self, name: str) -> tuple[Any, str]:
        """Return the mapping of the layer that has a parameter, and its name there."""

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object, /) -> bool: ...


class NamedViews(Mapping[str, Floats]):
    """An ordered mapping from names to views into one flat array.

    ``views[name]`` is the view; ``views[name] = array`` copies into it after checking the
    shape. Names can neither be added nor removed.
    """

    def __init__(self, owner: Owner, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._owner = owner
        self._places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        begin = 0
        for name, shape in shapes.items():
            end = begin + int(np.prod(shape))
            self._places[name] = (slice(begin, end), shape)
            begin = end

    def __getitem__(self, name: str) -> Floats:
        return self._in(self._owner.view(), name)

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        view = self[name]
        view[...] = self.check(name, value)

    def _in(self, flat: Floats, name: str) -> Floats:
        """The view ``name`` of a flat array with the same layout as the owner's."""
        if name not in self._places:
            raise KeyError(unexpected_key(name, self._places))
        place, shape = self._places[name]
        return flat[place].reshape(shape)

    def place_of(self, name: str) -> tuple[Self, str]:
        """Return these views and the name; see :class:`Views`."""
        return self, name

    def actions_to_load(self, arrays: Mapping[str, Floats]) -> list[Action]:
        """Return the actions that copy ``arrays``, which have been checked, into the views.

        The values are copied first, because they may be views of these parameters themselves,
        in another order.
        """
        flat = self._owner.view()
        prepared = allocate(flat.shape, flat.dtype, "a copy of the parameters")
        prepared[...] = flat
        for name, array in arrays.items():
            self._in(prepared, name)[...] = array
        return [assignment(flat, prepared)]

    def begin(self, name: str) -> int:
        """Return the index of the first element of a view in the flat array."""
        return int(self._places[name][0].start)

    def weight_slices(self) -> list[slice]:
        """Return the slices of the flat array that are weights: everything except biases.

        Parameters with fewer than two axes count as biases (they may be gains), and so does a
        learned initial state. Neighbouring weights are one slice.
        """
        merged: list[slice] = []
        for name, (place, shape) in self._places.items():
            if len(shape) < 2 or name == "h0":
                continue
            if merged and merged[-1].stop == place.start:
                place = slice(merged.pop().start, place.stop)
            merged.append(place)
        return merged

    def check(self, name: str, value: ArrayLike, shown: str | None = None) -> Floats:
        """Return ``value`` as an array that fits the view ``name``, or raise.

        Error messages use the name ``shown``, by default ``name``.
        """
        view = self[name]
        array = as_real(shown or name, value, view.dtype)
        check_shape(shown or name, array, view.shape, str(view.shape))
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {shape}" for name, (_, shape) in self._places.items())
        return f"{type(self).__name__}({shapes})"


def owner_from_pickle(array: Any) -> Owner:
    """Return the owner of a flat array that stood in a pickle.

    The owner copies what lies in memory of others, as where ``pickle.loads`` was given buffers.

    Raises
    ------
    ValueError
        If it is not such an array.
    """
    is_flat = isinstance(array, np.ndarray) and array.ndim == 1
    if not is_flat or array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError("the state holds parameters that are no flat array of floats")
    dtype = np.dtype(array.dtype.name)
    if type(array) is not np.ndarray or not (array.flags.carray and is_native(array, dtype)):
        array = np.array(array, dtype, subok=False)
    return Owner(array)


class Parameters(FixedAttributes):
    """Mixin with ``parameters``, ``grads``, and the methods that need only these.

    A class calls ``_create_parameters(shapes, dtype)`` once; ``shapes`` is an ordered dict.
    """

    parameters: NamedViews
    grads: NamedViews
    _trainable: bool = True
    _later: ClassVar[frozenset[str]] = frozenset({"_trainable"})  # see pygru.core.pickled
    _parameters_owner: Owner
    _grads_owner: Owner

    def _create_parameters(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: DTypeLike
    ) -> None:
        count = sum(int(np.prod(shape, dtype=object)) for shape in shapes.values())
        purpose = f"{type(self).__name__} weights"
        flat_parameters = allocate(count, dtype, purpose)
        flat_grads = allocate(count, dtype, f"{type(self).__name__} gradients")
        flat_parameters.fill(0)
        flat_grads.fill(0)
        self._parameters_owner = Owner(flat_parameters)
        self._grads_owner = Owner(flat_grads)
        self._fix(
            parameters=NamedViews(self._parameters_owner, shapes),
            grads=NamedViews(self._grads_owner, shapes),
        )

    def _share_parameters(self, other: "Parameters") -> None:
        """Use the parameters and gradients of ``other``, in the same memory."""
        self._parameters_owner = other._parameters_owner
        self._grads_owner = other._grads_owner
        self._fix(parameters=other.parameters, grads=other.grads)

    def _how_to_change(self, name: str, value: Any) -> str:
        if name in ("parameters", "grads"):
            return f"assign to its arrays, as in layer.{name}[name] = array"
        return super()._how_to_change(name, value)

    # Views, streams and optimisers keep these two arrays, so an assignment copies into them.

    @property
    def flat_parameters(self) -> Floats:
        """All parameters as one array, a view. An assignment copies into it."""
        return self._parameters_owner.view()

    @flat_parameters.setter
    def flat_parameters(self, values: ArrayLike) -> None:
        flat = self._parameters_owner.view()
        flat[...] = _like("flat_parameters", values, flat)

    @property
    def flat_grads(self) -> Floats:
        """All gradients as one array, a view. An assignment copies into it."""
        return self._grads_owner.view()

    @flat_grads.setter
    def flat_grads(self, values: ArrayLike) -> None:
        flat = self._grads_owner.view()
        flat[...] = _like("flat_grads", values, flat)

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters; with False the layer is frozen.

        Optimisers, weight decay and clipping then leave it out, and its gradients need not be
        computed. Dropout and other noise still act in training. It may be changed between two
        trainings.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_bool("trainable", value)

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Names of the parts that are not trained; that of a layer itself is the empty text."""
        return () if self._trainable else ("",)

    def freeze_only(self, parts: tuple[str, ...]) -> None:
        """Freeze the parts of these names, as ``frozen_parts`` returns them, and no others."""
        if parts not in ((), ("",)):
            raise ValueError(f"parts must be () or ('',) for a single layer, got {parts!r}")
        self.trainable = not parts

    @property
    def flat_pairs(self) -> list[tuple[Floats, Floats]]:
        """List of (values, gradients) that an optimiser updates: none of a frozen layer."""
        if not self._trainable:
            return []
        return [(self._parameters_owner.view(), self._grads_owner.view())]

    def _stored(self) -> list[Floats]:
        """The arrays that hold the parameters, of which there is one."""
        return [self._parameters_owner.borrow()]

    @property
    def weight_slices(self) -> list[list[slice]]:
        """For each of ``flat_pairs`` the slices with weight decay: all except biases."""
        return [self.parameters.weight_slices() for _ in self.flat_pairs]

    @property
    def generators(self) -> list[np.random.Generator]:
        """List of the random generators that training uses."""
        generator = getattr(self, "generator", None)
        return [] if generator is None else [generator]

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        self._grads_owner.clear()

    def state_dict(self) -> dict[str, Floats]:
        """Return a dict from parameter names to copies of the parameters."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping: Mapping[str, Any], prefix: str = "") -> None:
        """Copy parameters from a mapping of names to arrays.

        The mapping must have exactly the names of the parameters, and every shape must fit.
        After an error or an interrupt, either nothing or everything has been copied.

        Parameters
        ----------
        mapping : mapping of str to array_like
            As :meth:`state_dict` returns it.
        prefix : str
            If it is given, only names that begin with it are taken, without the prefix. The
            dot after it may be left out: ``"head"`` takes ``head.weight`` and no name of
            ``head2``.

        Raises
        ------
        KeyError
            If a name is missing or unknown, or no name begins with the prefix.
        ValueError
            If a shape does not fit.
        MemoryError
            If there is no room for a copy of the parameters.
        """
        load_into(self.parameters, mapping, prefix)


def _like(name: str, values: ArrayLike, target: Floats) -> Floats:
    array = as_real(name, values, target.dtype)
    check_shape(name, array, target.shape, str(target.shape))
    return array


def full_prefix(names: Iterable[Any], prefix: str) -> str:
    """Return a prefix of names with the dot after it, if names begin so.

    Raises
    ------
    TypeError
        If ``prefix`` is not a str.
    KeyError
        If no name begins with it.

    Examples
    --------
    >>> from pygru.core.parameters import full_prefix
    >>> full_prefix(["head.weight", "head2.weight"], "head")
    'head.'
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, got {type_name(prefix)}")
    texts = [name for name in names if isinstance(name, str)]
    for candidate in (prefix, f"{prefix}.") if prefix.endswith(".") else (f"{prefix}.", prefix):
        if any(name.startswith(candidate) for name in texts):
            return candidate
    beginnings = dict.fromkeys(name.rpartition(".")[0] for name in texts)
    near = nearest(prefix.removesuffix("."), beginnings)
    raise KeyError(
        f"no name begins with prefix={shown(prefix)}"
        + (f"; did you mean {near!r}?" if near else "")
    )


def actions_to_load(
    parameters: Views, mapping: Mapping[str, Any], prefix: str = ""
) -> list[Action]:
    """Return the actions, for one commit, that copy ``mapping`` into named views.

    If there is a ``prefix``, names without it are left out; see :func:`full_prefix`.

    Raises
    ------
    TypeError, KeyError, ValueError
        If ``mapping`` is not a mapping with all names and no others, or an array does not fit.
    MemoryError
        If there is no room for a copy of the parameters.
    """
    check_mapping("mapping", mapping)
    if prefix != "":
        prefix = full_prefix(mapping, prefix)
        mapping = {
            name: value
            for name, value in mapping.items()
            if isinstance(name, str) and name.startswith(prefix)
        }
    known = {f"{prefix}{name}": name for name in parameters}
    _check_same_bits(known, mapping)
    for name in mapping:
        if name not in known:
            raise KeyError(unexpected_key(name, known))
    missing = [name for name in known if name not in mapping]
    if missing:
        raise KeyError(f"missing parameters: {', '.join(missing)}")
    layers: dict[int, tuple[NamedViews, dict[str, Floats]]] = {}
    for name, value in mapping.items():
        views, own_name = parameters.place_of(known[name])
        array = views.check(own_name, value.detach() if is_torch(value) else value, name)
        layers.setdefault(id(views), (views, {}))[1][own_name] = array
    return [
        action for views, arrays in layers.values() for action in views.actions_to_load(arrays)
    ]


def _check_same_bits(known: Iterable[str], mapping: Mapping[str, Any]) -> None:
    """Raise if only one of two sets of names has the scales that weights of 8 bits have."""
    wanted, given = (any(_is_scale(name) for name in names) for names in (known, mapping))
    if given and not wanted:
        raise KeyError(
            "mapping holds weights of 8 bits with scales, and these parameters are floats; "
            "load it into a model that quantized() has made"
        )
    if wanted and mapping and not given:
        raise KeyError(
            "mapping holds no scales, and these parameters are weights of 8 bits; load it into "
            "the model with float weights, and call quantized() on that"
        )


def _is_scale(name: object) -> bool:
    begins = ("scale_ih_l", "scale_hh_l")
    return isinstance(name, str) and name.rpartition(".")[2].startswith(begins)


def load_into(parameters: Views, mapping: Mapping[str, Any], prefix: str = "") -> None:
    """Copy ``mapping`` into named views; an error or an interrupt leaves no part of it."""
    commit(actions_to_load(parameters, mapping, prefix))
