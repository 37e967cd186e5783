"""GRUs and whole models of Keras, from files or from memory."""

from __future__ import annotations

import os
import warnings
from typing import Any

from numpy.typing import NDArray

from pygru.core import validation
from pygru.errors import FormatError
from pygru.gru import GRU
from pygru.io.files import named_in_errors
from pygru.io.found import Contents, FoundGRU, choose
from pygru.io.hdf5.file import Group
from pygru.io.keras.chain import INPUT, chain_of
from pygru.io.keras.functions import Unsupported
from pygru.io.keras.grus import (
    found_gru,
    is_recurrent,
    only_looks_recurrent,
    recurrent_in_wrapper,
)
from pygru.io.keras.layers import KNOWN, Conversion
from pygru.io.keras.live import LiveWeights, keras_package, live_tree, live_version
from pygru.io.keras.nodes import WRAPPER, Node
from pygru.io.keras.scan import scan_named, scan_numbered
from pygru.io.keras.stored import Stored, open_stored
from pygru.io.keras.weights import NamedWeights, NumberedWeights, Weights
from pygru.nn.sequential import Sequential
from pygru.typing import Path

SHOWN = 8  # layers in a message


def contents(source: Path | bytes) -> Contents:
    """Return the GRUs in a file of Keras, and why its other recurrent layers are none.

    Parameters
    ----------
    source : path-like or bytes
        The path of the file, or what is in it.

    Raises
    ------
    FormatError
        If it is no file of Keras, or damaged.
    OSError
        If it cannot be read.
    """
    return KerasModel.stored(open_stored(source)).contents


def arrays(source: Path | bytes) -> dict[str, NDArray[Any]]:
    """Return all numbers in a file of Keras by the paths that they have there.

    Raises
    ------
    FormatError
        If it is no file of Keras, or damaged.
    OSError
        If it cannot be read.
    """
    root = open_stored(source).root
    return {path: each.read() for path, each in root.datasets() if each.is_numeric}


def from_keras(source: Any, name: str | None = None, **options: Any) -> GRU | Sequential:
    """Return a GRU, or a whole model, of Keras.

    Keras is not needed for it, and no code of a file is run. A model that consists of layers
    that pygru has, one after the other, is returned whole; see Notes.

    Parameters
    ----------
    source : path-like, or a layer or model of Keras
        A ``.keras`` file, an HDF5 file (``.h5``, ``.hdf5``) with a whole model or with weights
        alone, of any version of Keras, or a zip archive with one of them inside. Or a
        ``GRU``, ``GRUCell``, ``RNN`` of such cells or ``Bidirectional`` in memory, or a model.
    name : str, optional
        The name of a recurrent layer. It is needed if there are several, and the model cannot
        be returned whole.
    **options
        Arguments of :class:`GRU`, for all GRUs: ``dtype``, ``seed``, ``variant``, and what the
        file does not say. ``batch_first`` is True by default.

    Returns
    -------
    GRU or Sequential
        The GRU of this name. Without a name a :class:`Sequential` of the whole model, or its
        GRU if it has no other layers.

    Raises
    ------
    TypeError
        If ``source`` is of another type, or an option does not exist.
    FormatError
        If the file is damaged, no file of Keras, or has no GRU.
    ValueError
        If there are several GRUs and no name; or if the file does not say what the GRU
        computes, and no option does.
    OSError
        If the file cannot be read.

    Warns
    -----
    UserWarning
        If only the GRU of a model is returned because pygru does not have the other layers,
        which are named. Also if layers are left out that act in training only.

    See Also
    --------
    to_keras : Weights for a layer of Keras.
    io.inspect : The GRUs in a file, and what it says about them.

    Notes
    -----
    Whole models may have the layers ``Embedding``, ``Masking``, ``GRU``, ``CuDNNGRU``, ``RNN``
    of ``GRUCell``, ``Bidirectional``, ``Dense``, ``TimeDistributed(Dense)``, ``Activation``,
    ``ReLU``, ``Softmax``, ``Dropout``, ``LayerNormalization``, ``BatchNormalization`` (as a
    :class:`FeatureScale` with the statistics of training), ``GlobalAveragePooling1D`` and
    ``GlobalMaxPooling1D``. A GRU without ``return_sequences`` is followed by a :class:`Last`.

    The variant follows from the biases, or from ``reset_after``: ``"pytorch"`` if it is True,
    and ``"cho"`` otherwise. ``hard_sigmoid`` means ``clip(0.2 x + 0.5, 0, 1)`` in Keras 1 and
    2, and ``clip(x / 6 + 0.5, 0, 1)`` in Keras 3. The option ``recurrent_activation=
    "hard_sigmoid"`` means that of the version which has written the file; if the file does not
    say its version, an error asks for one of ``("hard_sigmoid", 0.2, 0.5)`` and
    ``("hard_sigmoid", 1 / 6, 0.5)``.

    Examples
    --------
    >>> import pygru
    >>> pygru.from_keras("model.txt")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: 'model.txt'
    """
    package = keras_package(source)
    if package is not None:
        model = KerasModel(live_tree(source), LiveWeights(source), live_version(package))
        return model.build(f"the Keras {type(source).__name__}", name, options)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "source must be a path, or a layer or a model of Keras, got "
            f"{validation.type_name(source)}"
        )
    with named_in_errors(source):
        model = KerasModel.stored(open_stored(source))
    return model.build(os.fsdecode(source), name, options)


class KerasModel:
    """A model of Keras, in a file or in memory: its layers and its GRUs."""

    def __init__(
        self, tree: Node | None, weights: Weights, version: Any, source: str = "Keras"
    ) -> None:
        self.tree = tree
        self.weights = weights
        self.by_trail: dict[tuple[str, ...], FoundGRU] = {}
        self.contents = Contents([], {})
        places: dict[str, Group] = {}
        for node in tree.leaves() if tree is not None else ():
            if is_recurrent(node):
                self._add(node, version, source)
            elif only_looks_recurrent(node):
                name = "/".join(node.trail) or node.name
                self.contents.refused[name] = f"class {node.kind}, whose code is unknown"
            elif (inner := recurrent_in_wrapper(node)) is not None:
                name = "/".join(node.trail) or node.name
                self.contents.refused[name] = (
                    f"a {WRAPPER} of a {inner}, which runs anew for each step of another axis"
                )
            elif isinstance(weights, NumberedWeights) and self._is_opaque(node):
                group: Any = weights.root.get(node.path) if node.path else weights.root
                if isinstance(group, Group):
                    places[node.path] = group
        if tree is None and isinstance(weights, NumberedWeights):
            places[""] = weights.root
        if places:
            taken = [*(gru.name for gru in self.contents.grus), *self.contents.refused]
            self._extend(scan_numbered(places, source, version, taken))
        if tree is None and isinstance(weights, NamedWeights):
            self._extend(scan_named(weights, source, version))

    @classmethod
    def stored(cls, stored: Stored) -> KerasModel:
        """Return the model in a file."""
        return cls(stored.tree, stored.weights, stored.version, stored.format)

    def _add(self, node: Node, version: Any, source: str) -> None:
        name = "/".join(node.trail) or node.name
        try:
            found = found_gru(node, self.weights, version, source)
        except Unsupported as error:
            self.contents.refused[name] = str(error)
            return
        if node.trail in self.by_trail:
            raise FormatError(f"damaged Keras file: it has two layers named {name[:80]!r}")
        self.by_trail[node.trail] = found
        self.contents.grus.append(found)

    @staticmethod
    def _is_opaque(node: Node) -> bool:
        """Whether a layer may have layers in it that its configuration does not list."""
        return node.kind not in KNOWN

    def _extend(self, more: Contents) -> None:
        self.contents.grus.extend(more.grus)
        self.contents.refused.update(more.refused)

    def build(self, what: str, name: str | None, options: dict[str, Any]) -> GRU | Sequential:
        """Return the GRU of a name, the whole model, or its only GRU, in this order."""
        if name is not None:
            return choose(self.contents, self._full(name), "name", what).build(**options)
        with named_in_errors(what):
            missing, layers, left_out = self._converted(options)
        if layers is not None:
            if left_out:
                warnings.warn(
                    f"{what}: {_listed(left_out)} act in training only, and are left out",
                    UserWarning,
                    stacklevel=3,
                )
            return layers
        if len(self.contents.grus) > 1:
            try:
                choose(self.contents, None, "name", what)
            except FormatError:
                raise
            except ValueError as error:
                raise ValueError(
                    f"{error}; the whole model is not taken, because {missing}"
                ) from None
        gru = choose(self.contents, None, "name", what).build(**options)
        others = self._others()
        if others is not None:
            without = f", without {_listed(others)}," if others else ""
            warnings.warn(
                f"{what}: only the GRU {self.contents.grus[0].name!r} is taken{without} "
                f"because {missing}",
                UserWarning,
                stacklevel=3,
            )
        return gru

    def _full(self, name: str) -> str:
        """The name of a GRU with those of the models around it, if only its own was given."""
        inner = [gru.name for gru in self.contents.grus if gru.name.endswith(f"/{name}")]
        is_known = any(gru.name == name for gru in self.contents.grus)
        return inner[0] if len(inner) == 1 and not is_known else name

    def _others(self) -> list[str] | None:
        """The layers beside the only GRU; none if they are not listed, None without a model."""
        if self.tree is None:
            return None
        taken = self.contents.grus[0].name
        names = ["/".join(node.trail) for node in self.tree.leaves() if node.kind != INPUT]
        return [name for name in names if name and name != taken]

    def _converted(
        self, options: dict[str, Any]
    ) -> tuple[str, GRU | Sequential | None, list[str]]:
        """The whole model if there is one; else why not. And layers that were left out."""
        if self.tree is None:
            return "a file of weights alone does not say how the layers are connected", None, []
        try:
            nodes = chain_of(self.tree)
        except Unsupported as error:
            return str(error), None, []
        if not self.contents.grus:
            return "it has no GRU", None, []
        if len(nodes) == 1 and nodes[0].trail in self.by_trail:
            found = self.by_trail[nodes[0].trail]
            return "", found.build(**options), []
        if options.get("batch_first", True) is not True:
            raise ValueError("batch_first must be True for a whole model; pass name= for a GRU")
        to = Conversion(self.weights, self.by_trail, options)
        missing = []
        for node in nodes:
            try:
                to.add(node)
            except Unsupported as error:
                missing.append(f"{'/'.join(node.trail)!r} ({error})")
        if missing:
            return f"pygru has no equal of {', '.join(missing[:SHOWN])}", None, []
        try:
            model = Sequential(*to.layers)
        except ValueError as error:
            raise FormatError(f"the layers of the model do not fit: {error}") from None
        return "", model, to.left_out


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name[:80]) for name in names[:SHOWN]) + more
