"""Swaps the GRUs of a model of PyTorch for those of pygru, in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pygru.core import validation
from pygru.core.pickled import CheckedState
from pygru.torch.module import GRU
from pygru.torch.weights import NUMPY_TYPES, WeightCache


@dataclass(frozen=True, repr=False)
class Replaced(CheckedState):
    """What :func:`pygru.torch.replace` has done.

    Attributes
    ----------
    module : torch.nn.Module
        The model, the same object that was given.
    swapped : tuple of str
        The names in the model of the modules that compute with pygru now. The name of the model
        itself is "".
    kept : dict of str to str
        The names of similar modules that are as they were, with the reason.
    """

    module: nn.Module
    swapped: tuple[str, ...]
    kept: dict[str, str]

    def __repr__(self) -> str:
        lines = [f"{len(self.swapped)} torch.nn.GRU swapped for pygru.torch.GRU"]
        lines += [f"  {_shown(name)}" for name in self.swapped]
        if self.kept:
            lines.append(f"{len(self.kept)} kept")
            lines += [f"  {_shown(name)}: {reason}" for name, reason in self.kept.items()]
        return "\n".join(lines)


def _shown(name: str) -> str:
    return name or "the module itself"


def replace(module: nn.Module) -> Replaced:
    """Make every ``torch.nn.GRU`` inside a model compute with pygru.

    The model is changed in place. Its modules remain the same objects, with the same
    parameters, hooks, mode and names; only their class becomes :class:`pygru.torch.GRU`. So an
    optimiser that was made before goes on as before, a module that is used in several places is
    swapped in all of them, and state dicts do not change.

    Parameters
    ----------
    module : torch.nn.Module
        A model, or a ``torch.nn.GRU`` itself.

    Returns
    -------
    Replaced
        The model, what was swapped, and what was not, with the reason. It prints as a list.

    Raises
    ------
    TypeError
        If ``module`` is no module.

    Examples
    --------
    >>> from torch import nn
    >>> import pygru.torch
    >>> class Tagger(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.embed = nn.Embedding(100, 8)
    ...         self.gru = nn.GRU(8, 16, bidirectional=True)
    ...         self.cell = nn.GRUCell(8, 16)
    >>> print(pygru.torch.replace(Tagger()))
    1 torch.nn.GRU swapped for pygru.torch.GRU
      gru
    1 kept
      cell: it is a torch.nn.GRUCell, for which pygru has no module
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {validation.type_name(module)}")
    swapped, kept = [], {}
    for name, each in module.named_modules():
        reason = _reason_to_keep(each)
        if reason is None:
            each._cache = WeightCache()
            each.__class__ = GRU
            swapped.append(name)
        elif reason:
            kept[name] = reason
    return Replaced(module, tuple(swapped), kept)


def _reason_to_keep(module: nn.Module) -> str | None:
    """Return why a module is not swapped: None if it can be, "" if it is no GRU of PyTorch."""
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule):
        is_gru = getattr(module, "original_name", "") == "GRU"
        return "it is compiled by TorchScript" if is_gru else ""
    if isinstance(module, nn.GRUCell):
        return "it is a torch.nn.GRUCell, for which pygru has no module"
    if not isinstance(module, nn.GRU):
        is_quantized = kind.__name__ == "GRU" and "quantized" in kind.__module__
        return "it is quantised" if is_quantized else ""
    if nn.utils.parametrize.is_parametrized(module):
        return "it has parametrised weights (torch.nn.utils.parametrize)"
    if kind is not nn.GRU:
        return f"its class is {kind.__module__}.{kind.__qualname__}, a subclass of torch.nn.GRU"
    if module.proj_size:
        return "it has a projection (proj_size)"
    for name in module._flat_weights_names:
        weight = getattr(module, name)
        if weight.device.type != "cpu":
            return f"{name} is on the device {weight.device}; pygru computes on the CPU"
        if weight.dtype not in NUMPY_TYPES:
            return f"{name} is {weight.dtype}; pygru computes in float32 or float64"
    return None
