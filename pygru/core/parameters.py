"""Named parameters as views into one flat array: how every trainable layer stores its weights.

One flat array for the values and one for the gradients make an optimiser step one pass, and
saving, clipping and counting trivial. Names and shapes are views; writing through a view or
assigning to a name changes the flat array in place.
"""

from collections.abc import Mapping

import numpy as np

from pygru.core._core import Owner
from pygru.core.fixed import FixedAttributes
from pygru.core.memory import allocate
from pygru.core.validation import (
    as_real,
    check_mapping,
    check_shape,
    is_torch,
    unexpected_key,
)


class NamedViews(Mapping):
    """An ordered mapping from names to views into one flat array.

    ``views[name]`` is the view; ``views[name] = array`` copies into it after checking the
    shape. Names can neither be added nor removed.
    """

    def __init__(self, owner, shapes):
        self._owner = owner
        self._places = {}
        begin = 0
        for name, shape in shapes.items():
            end = begin + int(np.prod(shape))
            self._places[name] = (slice(begin, end), shape)
            begin = end

    def __getitem__(self, name):
        if name not in self._places:
            raise KeyError(unexpected_key(name, self._places))
        place, shape = self._places[name]
        return self._owner.view()[place].reshape(shape)

    def __setitem__(self, name, value):
        view = self[name]
        view[...] = self.check(name, value)

    def weight_slices(self):
        """Where in the flat array there are weights: the slices of all but biases.

        A parameter of fewer than two axes is a bias (or a gain), and so is a learned initial
        state; neighbours are one slice.
        """
        merged = []
        for name, (place, shape) in self._places.items():
            if len(shape) < 2 or name == "h0":
                continue
            if merged and merged[-1].stop == place.start:
                place = slice(merged.pop().start, place.stop)
            merged.append(place)
        return merged

    def check(self, name, value):
        """Return ``value`` as an array that fits the view ``name``, or raise."""
        view = self[name]
        array = as_real(name, value, view.dtype)
        if array.shape != view.shape:
            raise ValueError(f"{name} must have shape {view.shape}, got {array.shape}")
        return array

    def __iter__(self):
        return iter(self._places)

    def __len__(self):
        return len(self._places)

    def __repr__(self):
        shapes = ", ".join(f"{name}: {shape}" for name, (_, shape) in self._places.items())
        return f"{type(self).__name__}({shapes})"


class Parameters(FixedAttributes):
    """Mixin: ``parameters``, ``grads`` and what follows from them.

    A class calls ``_create_parameters(shapes, dtype)`` once; ``shapes`` is an ordered dict.
    """

    def _create_parameters(self, shapes, dtype):
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

    def _share_parameters(self, other):
        """Have the same parameters and gradients as ``other``, in the same memory."""
        self._parameters_owner = other._parameters_owner
        self._grads_owner = other._grads_owner
        self._fix(parameters=other.parameters, grads=other.grads)

    def _how_to_change(self, name, value):
        if name in ("parameters", "grads"):
            return f"assign to its arrays, as in layer.{name}[name] = array"
        return super()._how_to_change(name, value)

    # Views, streams and optimisers hold on to these two arrays: assigning copies into them.

    @property
    def flat_parameters(self):
        """All parameters as one array, a view; assigning copies into it."""
        return self._parameters_owner.view()

    @flat_parameters.setter
    def flat_parameters(self, values):
        flat = self._parameters_owner.view()
        flat[...] = _like("flat_parameters", values, flat)

    @property
    def flat_grads(self):
        """The gradients of all parameters as one array, a view; assigning copies into it."""
        return self._grads_owner.view()

    @flat_grads.setter
    def flat_grads(self, values):
        flat = self._grads_owner.view()
        flat[...] = _like("flat_grads", values, flat)

    @property
    def flat_pairs(self):
        """List of (values, gradients): the flat arrays that an optimiser updates."""
        return [(self.flat_parameters, self.flat_grads)]

    @property
    def weight_slices(self):
        """For each of ``flat_pairs`` the slices that weight decay acts on: all but biases."""
        return [self.parameters.weight_slices() for _ in self.flat_pairs]

    @property
    def generators(self):
        """List of the random generators that training moves."""
        return [self.generator] if hasattr(self, "generator") else []

    def zero_grad(self):
        """Set every gradient to zero."""
        self.flat_grads.fill(0)

    def state_dict(self):
        """Return a dict from parameter names to copies of the parameters."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping):
        """Copy parameters from a mapping of names to arrays.

        All names must be there and no others, every shape must fit; if anything is wrong,
        nothing is changed.

        Parameters
        ----------
        mapping : mapping of str to array_like
            As :meth:`state_dict` returns it.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ValueError
            If a shape does not fit.
        """
        load_into(self.parameters, mapping)


def _like(name, values, target):
    array = as_real(name, values, target.dtype)
    check_shape(name, array, target.shape, str(target.shape))
    return array


def load_into(parameters, mapping):
    """Copy ``mapping`` into named views, all or nothing."""
    check_mapping("mapping", mapping)
    for name in mapping:
        if name not in parameters:
            raise KeyError(unexpected_key(name, parameters))
    missing = [name for name in parameters if name not in mapping]
    if missing:
        raise KeyError(f"missing parameters: {', '.join(missing)}")
    checked = {
        name: parameters.check(name, value.detach() if is_torch(value) else value)
        for name, value in mapping.items()
    }
    for name, array in checked.items():
        parameters[name] = array
