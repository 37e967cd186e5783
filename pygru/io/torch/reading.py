"""What :mod:`pygru.io` asks of each format: the GRUs in a file of PyTorch, and all arrays."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from pygru.io.found import Contents
from pygru.io.torch.finding import Source, contents_of
from pygru.io.torch.opening import Checkpoint, opened
from pygru.io.torch.tensors import Unreadable
from pygru.typing import Path


def contents(source: Path | bytes) -> Contents:
    """Return the GRUs in a file of PyTorch or safetensors, by the prefix of their parameters.

    Parameters
    ----------
    source : path-like or bytes
        The file, or its contents.

    Raises
    ------
    FormatError
        If it is no such file, or is damaged.
    OSError
        If it cannot be read.
    """
    with opened(source) as checkpoints:
        return contents_of([source_of(checkpoint) for checkpoint in checkpoints])


def arrays(source: Path | bytes) -> dict[str, NDArray[Any]]:
    """Return all tensors of such a file as arrays by name, without those that are no arrays.

    The arrays cannot be written, and tensors that share their numbers in the file share them
    here. bfloat16 becomes float32, which holds it exactly.

    Raises
    ------
    FormatError, OSError
        As for :func:`contents`.
    """
    with opened(source) as checkpoints:
        return {
            _full(checkpoint, name): checkpoint.read(name)
            for checkpoint in checkpoints
            for name, leaf in checkpoint.named.tensors.items()
            if not isinstance(leaf, Unreadable)
        }


def source_of(checkpoint: Checkpoint) -> Source:
    """Return the tensors of a checkpoint, in the form in which GRUs are looked for."""
    named = checkpoint.named
    return Source(
        checkpoint.format,
        {_full(checkpoint, name): leaf for name, leaf in named.tensors.items()},
        lambda name: checkpoint.read(_own(checkpoint, name)),
        {_full(checkpoint, name): module for name, module in named.modules.items()},
        checkpoint.size,
    )


def _full(checkpoint: Checkpoint, name: str) -> str:
    """The name of a tensor, with that of its file if an archive has several."""
    return f"{checkpoint.member}:{name}" if checkpoint.member else name


def _own(checkpoint: Checkpoint, name: str) -> str:
    return name.removeprefix(f"{checkpoint.member}:") if checkpoint.member else name
