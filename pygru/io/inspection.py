"""What is in a file of weights, whichever library has written it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

import pygru
from pygru.errors import FormatError
from pygru.io.files import named_in_errors, open_regular_file
from pygru.io.found import Contents, FoundGRU, choose
from pygru.io.kinds import NPZ, OWN, Kind, kind_of
from pygru.typing import Path


class Inspection(list[FoundGRU]):
    """The GRUs in a file, a list, and beside them what cannot become a GRU.

    Attributes
    ----------
    kind : str
        What the file is, such as ``"an ONNX file"``.
    call : str
        The call that makes a GRU of it.
    refused : dict of str to str
        By name of the other recurrent layers, why they are none for pygru.
    """

    def __init__(self, contents: Contents, kind: Kind) -> None:
        super().__init__(contents.grus)
        self.refused = contents.refused
        self.kind = kind.title
        self.call = kind.call or ""


def inspect(path: Path) -> Inspection:
    """Return the GRUs in a file, with what the file says about each and what it leaves open.

    No code of the file is run, and no other framework is imported.

    Parameters
    ----------
    path : path-like
        A file of PyTorch (``.pt``, ``.pth``, ``.bin``, ``.safetensors``), Keras (``.keras``,
        ``.h5``), ONNX, NumPy (``.npz``) or pygru. Its kind is found by its contents, not by its
        name.

    Returns
    -------
    list of FoundGRU
        Empty if no GRU is in the file. The list has an attribute ``refused``: a dict with the
        reason for each layer that is recurrent and no GRU for pygru, such as an LSTM.

    Raises
    ------
    FormatError
        If the file is damaged, or of no kind that pygru reads.
    ImportError
        If a package that reads such a file is not installed.
    OSError
        If the file cannot be read.

    See Also
    --------
    pygru.from_torch, pygru.from_keras, pygru.from_onnx, pygru.from_arrays

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import pygru
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> np.savez(path, enc_w_ih=np.ones((9, 2)), enc_w_hh=np.ones((9, 3)))
    >>> (found,) = pygru.io.inspect(path)
    >>> found.name, found.hidden_size, found.unknown
    ('enc', 3, ('variant', 'gate_order', 'activation', 'recurrent_activation'))
    """
    kind = file_kind(path)
    with named_in_errors(path):
        return Inspection(kind.contents(path), kind)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return every array in a file by the name that it has there.

    This is for the weights of the layers around a GRU, and for files whose layers pygru does
    not recognise. No code of the file is run.

    Parameters
    ----------
    path : path-like
        As for :func:`pygru.io.inspect`.

    Returns
    -------
    dict of str to ndarray
        With the dtypes of the file, except that bfloat16, which NumPy does not have, becomes
        float32 without loss.

    Raises
    ------
    FormatError
        If the file is damaged, or of no kind that pygru reads.
    ImportError
        If a package that reads such a file is not installed.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> import pygru
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> pygru.save(pygru.Linear(3, 1, seed=0), path)
    >>> {name: array.shape for name, array in pygru.io.read_arrays(path).items()}
    {'weight': (1, 3), 'bias': (1,)}
    """
    kind = file_kind(path)
    with named_in_errors(path):
        arrays: dict[str, NDArray[Any]] = kind.arrays(path)
        return arrays


def model_of(path: Path, name: str | None = None, **options: Any) -> Any:
    """Return the model in a file of any kind: what the call for its kind returns.

    Parameters
    ----------
    path : path-like
    name : str, optional
        Which GRU, by its name in :func:`inspect`.
    **options
        What the file leaves open, as for the call for its kind; for a NumPy archive also
        ``gate_order``.
    """
    kind = file_kind(path)
    if kind is OWN and name is None and not options:
        return pygru.load(path)
    if kind in (OWN, NPZ):
        with named_in_errors(path):
            found = choose(kind.contents(path), name, "name", str(path))
        return found.build(**options)
    if kind.function is None:
        raise FormatError(f"{path}: {kind.title} holds no weights that pygru can read")
    return getattr(pygru, kind.function)(path, **{kind.argument: name}, **options)


def file_kind(path: Path) -> Kind:
    """Return the kind of a file.

    Raises
    ------
    FormatError
        If it is not a regular file.
    OSError
        If it cannot be read.
    """
    with named_in_errors(path), open_regular_file(path) as (file, size):
        return kind_of(file, size)
