"""What a model consists of: its layers, the shapes of their outputs, and how much they store.

Nothing is computed, so a summary costs no time and needs no input.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from pygru.core.pickled import check_added, check_keys, refuse
from pygru.core.validation import shown
from pygru.nn.shapes import sized
from pygru.shown import LEFT, RIGHT, html_table, text_table

if TYPE_CHECKING:
    from pygru.nn.model import Model

HEADER = ("", "layer", "output", "parameters", "trainable")
ALIGN = (LEFT, LEFT, LEFT, RIGHT, LEFT)


class Part(NamedTuple):
    """One layer of a model, as a summary shows it."""

    name: str
    """Its index or name in the model; empty for a model that is one layer."""
    layer: str
    """Its class and sizes."""
    output: str
    """The shape of its output; "?" where it depends on the input."""
    parameter_count: int
    """Without parameters that an earlier part has too."""
    nbytes: int
    trainable: bool
    is_shared: bool
    """Whether an earlier part has the same parameters."""


class Summary:
    """The layers of a model, the shapes of their outputs, and how much they store.

    :meth:`Sequential.summary` and the method of the same name of every other model return it.
    Its text is a table: ``print(model.summary())`` shows it, and so does ``model.summary()`` at
    a prompt. A notebook shows it as HTML.

    In the shapes, B is the number of sequences and T the number of steps. A model that
    translates reads S steps and predicts T.

    Parameters
    ----------
    model : Model
        The model as it is now. Later changes of it do not change the summary.

    Attributes
    ----------
    name : str
        The class of the model.
    parts : tuple of Part
        Its layers, in order. Each has ``name``, ``layer``, ``output``, ``parameter_count``,
        ``nbytes``, ``trainable`` and ``is_shared``. Parameters that several layers share count
        for the first of them.
    parameter_count, trainable_count : int
        The number of parameters, and of those that training changes.
    nbytes : int
        The bytes that the parameters take. In training, the gradients take as many, and Adam
        keeps twice as many again.

    Examples
    --------
    >>> from pygru import GRU, Last, Linear, Sequential
    >>> model = Sequential(GRU(3, 8, batch_first=True), Last(), Linear(8, 2), seed=0)
    >>> print(model.summary())
    Sequential: 330 parameters, 1.3 kB
    <BLANKLINE>
       layer                                  output     parameters  trainable
    0  GRU(input_size=3, hidden_size=8)       (B, T, 8)         312  yes
    1  Last()                                 (B, 8)              0
    2  Linear(in_features=8, out_features=2)  (B, 2)             18  yes
    >>> model.summary().parameter_count
    330
    """

    def __init__(self, model: Model) -> None:
        self.name = type(model).__name__
        seen: set[tuple[int, int]] = set()
        self.parts = tuple(
            _part(name, part, output, seen) for name, part, output in model.named_parts()
        )
        self.parameter_count = sum(part.parameter_count for part in self.parts)
        self.trainable_count = sum(part.parameter_count * part.trainable for part in self.parts)
        self.nbytes = sum(part.nbytes for part in self.parts)

    def __setstate__(self, state: Any) -> None:
        """Take the attributes of a pickle, whose model is not in it."""
        counts = ("parameter_count", "trainable_count", "nbytes")
        kinds: dict[str, type] = {"name": str, "parts": tuple, **dict.fromkeys(counts, int)}
        check_keys(type(self), state, *kinds)
        for name, kind in kinds.items():
            if type(state[name]) is not kind:
                refuse(type(self), f"{name} must be {kind.__name__}, got {shown(state[name])}")
        kinds_of_part = (str, str, str, int, int, bool, bool)
        for part in state["parts"]:
            if not isinstance(part, Part) or tuple(map(type, part)) != kinds_of_part:
                refuse(type(self), f"parts must be a tuple of Parts, got {shown(part)}")
        check_added(type(self), state.keys() - kinds.keys())
        vars(self).update(state)

    def __str__(self) -> str:
        return f"{self._title()}\n\n{text_table(*self._table())}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<div><p>{escape(self._title())}</p>{html_table(*self._table())}</div>"

    def _title(self) -> str:
        frozen = self.parameter_count - self.trainable_count
        not_trained = f", {frozen:,} of them frozen" if frozen else ""
        return (
            f"{self.name}: {self.parameter_count:,} parameters{not_trained}, "
            f"{bytes_text(self.nbytes)}"
        )

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
        """Header, rows and alignment; a model that is one layer has no column of names."""
        begin = 0 if any(part.name for part in self.parts) else 1
        rows = [_row(part)[begin:] for part in self.parts]
        return HEADER[begin:], rows, ALIGN[begin:]


def _part(name: str, layer: Any, output: str, seen: set[tuple[int, int]]) -> Part:
    """Describe a layer; its parameters count unless they are ``seen``, which they are then."""
    arrays = [values for values in layer._stored() if values.size]
    places = [(values.__array_interface__["data"][0], values.size) for values in arrays]
    new = [values for values, place in zip(arrays, places, strict=True) if place not in seen]
    seen.update(places)
    return Part(
        name,
        sized(layer),
        output,
        sum(values.size for values in new),
        sum(values.nbytes for values in new),
        layer.trainable,
        len(new) < len(arrays),
    )


def _row(part: Part) -> tuple[str, ...]:
    trainable = "yes" if part.trainable else "no"
    if part.is_shared:
        trainable = "shared"
    elif not part.parameter_count:
        trainable = ""
    return part.name, part.layer, part.output, f"{part.parameter_count:,}", trainable


def bytes_text(number: int) -> str:
    """Return a number of bytes with two digits or more, in units of 1000.

    Examples
    --------
    >>> from pygru.nn.summary import bytes_text
    >>> [bytes_text(number) for number in (0, 999, 1234, 20_688, 4_194_304, 10**15)]
    ['0 bytes', '999 bytes', '1.2 kB', '21 kB', '4.2 MB', '1000000 GB']
    """
    size, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "bytes" and size < 10 else f"{size:.0f} {unit}"
