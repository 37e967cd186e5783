"""Reads tensors and modules of PyTorch that the caller has in memory, without importing it.

Whoever passes a module has imported PyTorch. So a class is recognised by its name and by the
module that defines it, and only methods of the object itself are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.io.torch.finding import Source
from pygru.io.torch.tensors import META, Unreadable
from pygru.io.torch.walk import Module

OF_TORCH = "torch.nn.modules."
#: The base of what torch.jit.script, torch.jit.trace and torch.jit.load return.
SCRIPT = "torch.jit._script.ScriptModule"
#: Constants of a class, which TorchScript keeps apart from the attributes of the object.
CONSTANTS = ("batch_first", "dropout", "eps", "padding_idx", "max_norm")


def is_module(value: object) -> bool:
    """Whether a value is a ``torch.nn.Module``."""
    return any(_full_name(base) == "torch.nn.modules.module.Module" for base in _bases(value))


def source_of_module(module: Any) -> Source:
    """Return the parameters of a module and of all modules in it by name."""
    named = dict(module.named_modules())
    modules = {name: Module(_kind(each), _attributes(each)) for name, each in named.items()}
    format = "TorchScript" if _is_script(module) else "PyTorch module"
    return source_of_mapping(module.state_dict(), format, modules)


def source_of_mapping(
    mapping: Mapping[str, Any], format: str, modules: Mapping[str, Module] | None = None
) -> Source:
    """Return the arrays and tensors of a state dict by name; what is no array is left out.

    A nested mapping has its name as a prefix, as in a checkpoint.
    """
    tensors: dict[str, Any] = {}
    _add(tensors, "", mapping, [])
    size = sum(int(np.prod(each.shape)) * 8 for each in tensors.values() if _is_array(each))
    return Source(
        format, tensors, lambda name: as_array(name, tensors[name]), modules or {}, size
    )


def _add(tensors: dict[str, Any], prefix: str, mapping: Any, above: list[int]) -> None:
    """Add what a mapping holds, and not the mappings that it is in itself."""
    for key, value in mapping.items():
        if not isinstance(key, str):
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if id(value) not in above and len(above) < 10:
                _add(tensors, f"{name}.", value, [*above, id(mapping)])
        elif getattr(value, "is_quantized", False) or type(value).__name__ == "ScriptObject":
            tensors[name] = Unreadable("it is quantised")
        elif getattr(value, "is_meta", False):
            tensors[name] = Unreadable(META)
        elif _is_array(value):
            tensors[name] = value
        elif isinstance(value, (list, tuple)) and value:
            # A list of numbers is an array; other lists are something else.
            numbers = _as_numbers(value)
            if numbers is not None:
                tensors[name] = numbers


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _as_numbers(value: Any) -> NDArray[Any] | None:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # lists of objects, or of several lengths
        return None
    return array if array.dtype.kind in "biuf" else None


def as_array(name: str, value: Any) -> NDArray[Any]:
    """Return a tensor of PyTorch, or any array, as an array of NumPy.

    Raises
    ------
    TypeError
        If it is on a GPU, sparse, or of numbers that NumPy does not have.
    """
    if validation.is_torch(value):
        value = value.detach()
        if "bfloat16" in str(value.dtype):
            value = value.float()
        validation.refuse_foreign(name, value)
        try:
            value = value.numpy()
        except (TypeError, RuntimeError) as error:  # a sparse tensor, or numbers of 8 bits
            raise TypeError(f"{name!r} cannot be an array of NumPy: {error}") from None
    return validation.as_numeric(name, value)


def _bases(value: object) -> tuple[type, ...]:
    return type(value).__mro__


def _full_name(base: type) -> str:
    return f"{base.__module__}.{base.__qualname__}"


def _kind(module: object) -> str:
    """Return the class of PyTorch whose equations a module has, or else its own class.

    A subclass has those of its base unless it has a ``forward`` of its own, and so has an
    object.
    """
    if _is_script(module):
        return _script_class(module)
    if "forward" in vars(module):
        return f"{_full_name(type(module))} whose forward was replaced"
    for base in _bases(module):
        if base.__module__.startswith(OF_TORCH):
            return _full_name(base)
        if "forward" in vars(base):
            break
    return _full_name(type(module))


def _is_script(module: object) -> bool:
    return any(_full_name(base) == SCRIPT for base in _bases(module))


def _script_class(module: Any) -> str:
    """Return the class that a module of TorchScript was made of, as a file of it says."""
    try:
        return str(module._c._type().qualified_name())
    except AttributeError:  # a version of PyTorch that keeps it elsewhere
        return _full_name(type(module))


def _attributes(module: Any) -> dict[str, Any]:
    named = dict(vars(module))
    if _is_script(module):
        named |= {name: getattr(module, name, None) for name in CONSTANTS}
    return {
        name: value
        for name, value in named.items()
        if isinstance(value, (bool, int, float, str))
    }
