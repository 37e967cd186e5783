"""``pygru.from_torch``: a GRU, or a whole model, with the weights of PyTorch."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, overload

from pygru.core import validation
from pygru.errors import DataWarning, FormatError
from pygru.gru import GRU
from pygru.io.files import named_in_errors
from pygru.io.found import Contents, FoundGRU, choose
from pygru.io.inspection import file_kind
from pygru.io.kinds import kind_of
from pygru.io.torch.finding import contents_of, without_copies
from pygru.io.torch.modules import is_module, source_of_mapping, source_of_module
from pygru.io.torch.opening import opened
from pygru.io.torch.parts import Part, full_name, sequential_of
from pygru.io.torch.reading import source_of
from pygru.nn.sequential import Sequential
from pygru.typing import Path


@overload
def from_torch(
    source: Any, prefix: str | None = ..., *, layers: None = ..., **options: Any
) -> GRU: ...


@overload
def from_torch(
    source: Any, prefix: str | None = ..., *, layers: Sequence[Part], **options: Any
) -> Sequential: ...


def from_torch(
    source: Any,
    prefix: str | None = None,
    *,
    layers: Sequence[Part] | None = None,
    **options: Any,
) -> GRU | Sequential:
    """Return a GRU with the weights of one of PyTorch, or a whole model of several layers.

    PyTorch is not imported, and no code of a file is run.

    Parameters
    ----------
    source : path-like, bytes, file object, torch.nn.Module or mapping of str to array_like
        One of these:

        * a file that ``torch.save`` has written, of any version from 0.4 on: a state dict, a
          checkpoint that contains one, or a whole module; also a TorchScript archive, a
          ``.safetensors`` file, and a ``.zip``, ``.tar`` or ``.tar.gz`` with one of these. It
          is given by its path, as its contents in bytes, or as a file that is open in binary
          mode, which is read from where it stands;
        * a ``torch.nn.GRU``, a ``torch.nn.GRUCell``, or a module that contains one;
        * a state dict, with tensors or arrays.
    prefix : str, optional
        What the names of the GRU's parameters begin with, such as ``"encoder.rnn"``. The dot
        after it may be left out, and so may its own beginning, as in ``"rnn"``, if that is
        clear. It is needed if there are several GRUs.
    layers : list, optional
        The layers of a whole model, in order, for a :class:`Sequential`. Each one is

        * the prefix of a layer's parameters, such as ``"fc"``. A GRU, and a linear layer with
          a bias, are recognised by their parameters;
        * a pair of a prefix and a class, such as ``("embedding", pygru.Embedding)``. It is
          needed for an :class:`Embedding`, a :class:`LayerNorm`, and a :class:`Linear` without
          a bias, because their parameters have the same names and numbers of axes as those of
          other layers;
        * a pair of a prefix and a layer of pygru that you have made, such as
          ``("norm", pygru.LayerNorm(8, eps=1e-6))``; a copy of it gets the parameters;
        * a layer of pygru, such as ``pygru.Last()`` or ``pygru.Activation("relu")``.
    **options
        Arguments of :class:`GRU`, such as ``dtype``, ``batch_first`` and ``seed``. A module,
        and a file with a whole module, say what ``batch_first`` and ``dropout`` are. A state
        dict does not, nor does TorchScript of ``torch.jit.trace``; then they are False and 0 by
        default, which changes no result of the same sequences. ``dtype`` is float64 if the
        parameters are, and float32 otherwise. ``variant`` may be another one with the same
        ``reset``. With ``layers``, every GRU is batch first, and ``dtype`` is that of all
        layers.

    Returns
    -------
    GRU or Sequential
        A GRU of ``variant="pytorch"``, unless another one was asked for.

    Raises
    ------
    TypeError
        If ``source`` is of another kind, or an option does not exist.
    ValueError
        If there are several GRUs and no prefix, or none with this prefix; if what has the
        prefix is an LSTM or another layer; or if an option contradicts the weights. For a file
        it may be a :class:`FormatError`, which is one.
    FormatError
        If a file is damaged, is no file of PyTorch, or has no GRU.
    OSError
        If a file cannot be read.

    Warns
    -----
    DataWarning
        If TorchScript does not say what ``batch_first`` is, and it is not given.

    See Also
    --------
    to_torch : The other way.
    io.inspect : What is in a file.
    io.read_arrays : All tensors of a file as arrays.

    Notes
    -----
    float16 and bfloat16 become float32, which holds them exactly. Weight normalisation and
    pruning are computed; of ``torch.nn.utils.parametrizations.weight_norm`` only in a module,
    because a state dict does not name the formula. Other parametrisations, quantised layers, an
    LSTM and a plain RNN are refused, with the name of the tensor that shows what they are.

    Examples
    --------
    >>> import numpy as np
    >>> import pygru
    >>> state = {  # as module.state_dict() returns it, with tensors
    ...     "rnn.weight_ih_l0": np.ones((12, 3)),
    ...     "rnn.weight_hh_l0": np.ones((12, 4)),
    ...     "fc.weight": np.ones((2, 4)),
    ...     "fc.bias": np.ones(2),
    ... }
    >>> pygru.from_torch(state, dtype="float32")
    GRU(3, 4, bias=False, variant='pytorch', dtype='float32')
    >>> model = pygru.from_torch(state, layers=["rnn", pygru.Last(), "fc"])
    >>> model(np.ones((5, 7, 3))).shape
    (5, 2)
    """
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str or None, got {validation.type_name(prefix)}")
    if prefix is not None and layers is not None:
        raise TypeError("prefix and layers cannot both be given: each layer has a prefix")
    if is_module(source):
        what, sources = "the module", [source_of_module(source)]
    elif isinstance(source, Mapping):
        what, sources = "the mapping", [source_of_mapping(source, "PyTorch state dict")]
    elif isinstance(source, (str, bytes, bytearray)) or hasattr(source, "__fspath__"):
        source = bytes(source) if isinstance(source, bytearray) else source
        return _of_file(source, prefix, layers, options)
    elif hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise TypeError("source is open in text mode; open the file with mode='rb'")
        return _of_file(data, prefix, layers, options)
    else:
        raise TypeError(
            "source must be a path, a torch.nn.Module or a mapping of names to tensors, got "
            f"{validation.type_name(source)}"
        )
    if layers is not None:
        return sequential_of(sources, layers, options)
    gru = _built(_chosen(what, contents_of(sources), prefix), options)
    if is_module(source) and not any(each.requires_grad for each in source.parameters()):
        gru.trainable = False
    return gru


def _of_file(
    source: Path | bytes,
    prefix: str | None,
    layers: Sequence[Part] | None,
    options: dict[str, Any],
) -> GRU | Sequential:
    is_bytes = isinstance(source, bytes)
    what = "the bytes" if isinstance(source, bytes) else os.fsdecode(source)
    with contextlib.nullcontext() if is_bytes else named_in_errors(source):
        if isinstance(source, bytes):
            kind = kind_of(io.BytesIO(source), len(source))
        else:
            kind = file_kind(source)
        if kind.call is not None and "from_torch" not in kind.call:
            raise FormatError(f"this is {kind.title}, and no file of PyTorch; use {kind.call}")
        with opened(source) as checkpoints:
            sources = [source_of(checkpoint) for checkpoint in checkpoints]
            if layers is not None:
                return sequential_of(sources, layers, options)
            contents = contents_of(sources)
    return _built(_chosen(what, contents, prefix), options, 1)


def _built(found: FoundGRU, options: dict[str, Any], depth: int = 0) -> GRU:
    """Return a GRU; ``depth`` counts the functions between this one and from_torch."""
    gru = found.build(**options)
    is_open = "batch_first" not in options and "batch_first" not in found.evidence
    if found.format == "TorchScript" and is_open:
        warnings.warn(
            f"{found.name or 'the GRU'}: TorchScript does not say here whether the module was "
            "batch first; pass batch_first=True or batch_first=False, which is what it is now",
            DataWarning,
            stacklevel=3 + depth,
        )
    return gru


def _chosen(what: str, contents: Contents, prefix: str | None) -> FoundGRU:
    """Return the GRU with a prefix, whose last dot and whose beginning may be left out."""
    if prefix is not None:
        names = [gru.name for gru in contents.grus] + list(contents.refused)
        prefix = full_name(prefix, names)
    if all(gru.name != prefix for gru in contents.grus):
        contents = contents._replace(grus=without_copies(contents.grus))
    return choose(contents, prefix, "prefix", what)
