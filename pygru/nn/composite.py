"""Models that consist of layers, with all their parameters in one mapping."""

from collections.abc import Mapping

from pygru.core import validation
from pygru.core.parameters import load_into
from pygru.nn.model import Model


class PrefixedViews(Mapping):
    """Parameters of all parts under ``"<part>.<name>"``; assigning copies into the view.

    A view is made at each access. If one were kept here, a GRU would have to assume that
    somebody may change its weights at any time. This object keeps the layers instead of their
    mappings, so that a copy of a model refers to the copies of its layers.
    """

    def __init__(self, parts, attribute):
        self._attribute = attribute
        self._places = {
            f"{part}.{name}": (layer, name)
            for part, layer in parts.items()
            for name in getattr(layer, attribute)
        }

    def place_of(self, key):
        """Return the mapping of the layer that has a parameter, and its name there."""
        if key not in self._places:
            raise KeyError(validation.unexpected_key(key, self._places))
        layer, name = self._places[key]
        return getattr(layer, self._attribute), name

    def __getitem__(self, key):
        views, name = self.place_of(key)
        return views[name]

    def __setitem__(self, key, value):
        views, name = self.place_of(key)
        views[name] = value

    def __iter__(self):
        return iter(self._places)

    def __len__(self):
        return len(self._places)

    def __repr__(self):
        return f"{{{', '.join(f'{key!r}: {view.shape}' for key, view in self.items())}}}"

    def check(self, key, value):
        """Return ``value`` as an array that fits, or raise."""
        views, name = self.place_of(key)
        return views.check(name, value, key)


class Composite(Model):
    """A model of named parts: parameters, gradients, and what follows from them.

    A class calls ``_create_parts(parts)`` once; ``parts`` is an ordered dict of layers.
    """

    def _create_parts(self, parts):
        # A layer that is used in two places counts once.
        self._unique = tuple({id(part): part for part in parts.values()}.values())
        self.parameters = PrefixedViews(parts, "parameters")
        self.grads = PrefixedViews(parts, "grads")

    @property
    def flat_pairs(self):
        """List of (values, gradients): the flat arrays that an optimiser updates."""
        return [pair for part in self._unique for pair in part.flat_pairs]

    @property
    def weight_slices(self):
        """For each of ``flat_pairs`` the slices with weight decay: all except biases."""
        return [slices for part in self._unique for slices in part.weight_slices]

    @property
    def generators(self):
        """List of the random generators that training uses."""
        return [each for part in self._unique for each in part.generators]

    def zero_grad(self):
        """Set every gradient to zero."""
        for part in self._unique:
            part.zero_grad()

    def state_dict(self):
        """Return a dict from parameter names to copies of the parameters."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping):
        """Copy parameters from a mapping of names to arrays: all of them, or none on an error.

        Raises
        ------
        KeyError, ValueError
            If a name is missing or unknown, or a shape does not fit.
        """
        load_into(self.parameters, mapping)
