"""Models that consist of layers, with all their parameters in one mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from pygru.core import validation
from pygru.core._training import place_of
from pygru.core.fixed import FixedAttributes
from pygru.core.parameters import load_into
from pygru.nn.model import Model
from pygru.typing import Floats

Entry = TypeVar("Entry")


class PrefixedViews(Mapping[str, Floats]):
    """Parameters of all parts under ``"<part>.<name>"``; assigning copies into the view.

    A view is made at each access. If one were kept here, a GRU would have to assume that
    somebody may change its weights at any time. This object keeps the layers instead of their
    mappings, so that a copy of a model refers to the copies of its layers.
    """

    def __init__(self, parts: Mapping[str, Any], attribute: str) -> None:
        self._attribute = attribute
        self._places = {
            f"{part}.{name}": (layer, name)
            for part, layer in parts.items()
            for name in getattr(layer, attribute)
        }

    def place_of(self, key: str) -> tuple[Any, str]:
        """Return the mapping of the layer that has a parameter, and its name there."""
        if key not in self._places:
            raise KeyError(validation.unexpected_key(key, self._places))
        layer, name = self._places[key]
        return getattr(layer, self._attribute), name

    def __getitem__(self, key: str) -> Floats:
        views, name = self.place_of(key)
        view: Floats = views[name]
        return view

    def __setitem__(self, key: str, value: Any) -> None:
        views, name = self.place_of(key)
        views[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{key!r}: {view.shape}' for key, view in self.items())}}}"

    def check(self, key: str, value: Any) -> Floats:
        """Return ``value`` as an array that fits, or raise."""
        views, name = self.place_of(key)
        array: Floats = views.check(name, value, key)
        return array


def _each_once(
    entries: Iterable[tuple[tuple[Floats, Floats], Entry]],
) -> list[Entry]:
    """Return what belongs to each pair (values, gradients), without pairs that come again."""
    found: dict[tuple[int, int], Entry] = {}
    for (values, _), entry in entries:
        # Arrays without elements share nothing, whatever their addresses are.
        size = values.size
        key = (place_of(values) if size else -len(found) - 1, size)
        if key not in found:
            found[key] = entry
    return list(found.values())


def _can_train(part: Any) -> bool:
    """Whether a part may be trained; weights of 8 bits have no gradients."""
    return bool(part.grads) or not part.parameters


class Composite(FixedAttributes, Model):
    """A model of named parts: parameters, gradients, and what follows from them.

    A class calls ``_create_parts(parts)`` once; ``parts`` is an ordered dict of layers. The
    parts cannot be replaced afterwards, because what is trained was read from them.
    """

    _unique: tuple[Any, ...]
    _named: dict[str, Any]
    parameters: PrefixedViews
    grads: PrefixedViews

    def _create_parts(self, parts: Mapping[str, Any]) -> None:
        # A layer that is used in two places counts once.
        self._fix(
            _unique=tuple({id(part): part for part in parts.values()}.values()),
            _named=dict(parts),
            parameters=PrefixedViews(parts, "parameters"),
            grads=PrefixedViews(parts, "grads"),
        )

    @property
    def trainable(self) -> bool:
        """Whether training changes any part.

        An assignment reaches all parts, but what can never be trained stays frozen.
        """
        return not self._unique or any(part.trainable for part in self._unique)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = validation.check_bool("trainable", value)
        can_train = [part for part in self._unique if _can_train(part)]
        # If nothing can be trained, the first part says why.
        for part in (value and can_train) or self._unique:
            part.trainable = value

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """Names of the parts that are not trained."""
        return tuple(name for name, part in self._named.items() if not part.trainable)

    def freeze_only(self, parts: tuple[str, ...]) -> None:
        """Freeze the parts of these names, as ``frozen_parts`` returns them, and no others."""
        unknown = sorted(set(parts) - self._named.keys())
        if unknown:
            raise ValueError(
                f"parts must be among {', '.join(self._named)}, got {validation.shown(unknown)}"
            )
        for name, part in self._named.items():
            if not _can_train(part) and name not in parts:
                part.trainable = True  # raises, before anything has changed
        for name, part in self._named.items():
            part.trainable = name not in parts

    @property
    def flat_pairs(self) -> list[tuple[Floats, Floats]]:
        """List of (values, gradients): the flat arrays that an optimiser updates.

        Those of frozen layers are left out. Arrays that several parts share, as after
        ``gru.replace(share_weights=True)``, occur once. Otherwise an optimiser would apply the
        same gradients several times.
        """
        return _each_once([(pair, pair) for part in self._unique for pair in part.flat_pairs])

    def _stored(self) -> list[Floats]:
        """The arrays that hold the parameters, each one once."""
        return _each_once(
            ((values, values), values) for part in self._unique for values in part._stored()
        )

    @property
    def weight_slices(self) -> list[list[slice]]:
        """For each of ``flat_pairs`` the slices with weight decay: all except biases."""
        return _each_once(
            (pair, slices)
            for part in self._unique
            for pair, slices in zip(part.flat_pairs, part.weight_slices, strict=True)
        )

    @property
    def generators(self) -> list[np.random.Generator]:
        """List of the random generators that training uses."""
        return [each for part in self._unique for each in part.generators]

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        for part in self._unique:
            part.zero_grad()

    def state_dict(self) -> dict[str, Floats]:
        """Return a dict from parameter names to copies of the parameters."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping: Mapping[str, Any], prefix: str = "") -> None:
        """Copy parameters from a mapping of names to arrays: all of them, or none on an error.

        Parameters
        ----------
        mapping : mapping of str to array_like
            As :meth:`state_dict` returns it.
        prefix : str
            If it is given, only names that begin with it are taken, without the prefix. The
            dot after it may be left out.

        Raises
        ------
        KeyError, ValueError
            If a name is missing or unknown, no name begins with the prefix, or a shape does
            not fit.
        """
        load_into(self.parameters, mapping, prefix)
