"""What 8-bit weights cost: how far the states are from those of the float GRU, on given data.

Both GRUs run over the same data, layer by layer, each on its own states. So the differences of
a later layer include what the layers below have made of theirs, as in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.core.pickled import CheckedState
from pygru.core.validation import type_name
from pygru.nn.ragged import counted_of
from pygru.nn.summary import bytes_text
from pygru.options import GRUOptions
from pygru.shown import LEFT, RIGHT, html_table, text_table
from pygru.typing import Booleans, Floats

if TYPE_CHECKING:
    from pygru.gru import GRU
    from pygru.quantized.gru import QuantizedGRU

HEADER = ("", "largest difference", "RMS difference", "RMS value")
ALIGN = (LEFT, RIGHT, RIGHT, RIGHT)


class Cost(NamedTuple):
    """How far some numbers are from those that float weights give."""

    name: str
    """Layer and direction, such as ``l0`` or ``l0_reverse``; in a Sequential ``0.l0``."""
    largest: float
    """The largest absolute difference."""
    rms: float
    """The root of the mean squared difference."""
    rms_value: float
    """The root of the mean square of the numbers themselves, with float weights."""


class QuantizationReport(CheckedState):
    """What a conversion to 8 bits costs on given data; made by :meth:`GRU.quantized`.

    Its text is a table: ``print(quantized.report)`` shows it. A notebook shows it as HTML.

    Attributes
    ----------
    cells : tuple of Cost
        For each layer and direction the difference of its states: ``name``, ``largest``,
        ``rms`` and, to compare with, ``rms_value``.
    output : Cost or None
        The same of the output of a :class:`Sequential`.
    sequences, steps : int
        The sequences that were compared, and all steps of theirs that count.
    nbytes_before, nbytes : int
        The bytes of the parameters of the model with float weights, and with 8 bits.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU
    >>> x = np.random.default_rng(0).standard_normal((50, 3, 4))
    >>> report = GRU(4, 32, num_layers=2, seed=0).quantized(data=x).report
    >>> [cell.name for cell in report.cells], report.steps
    (['l0', 'l1'], 150)
    >>> report.cells[0].rms < 0.02 * report.cells[0].rms_value
    True
    """

    def __init__(
        self,
        cells: Sequence[Cost],
        output: Cost | None,
        sequences: int,
        steps: int,
        nbytes_before: int,
        nbytes: int,
    ) -> None:
        self.cells = tuple(cells)
        self.output = output
        self.sequences = sequences
        self.steps = steps
        self.nbytes_before = nbytes_before
        self.nbytes = nbytes

    def __str__(self) -> str:
        return f"{self._title()}\n\n{text_table(HEADER, self._rows(), ALIGN)}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = html_table(HEADER, self._rows(), ALIGN)
        return f"<div><p>{escape(self._title())}</p>{table}</div>"

    def _title(self) -> str:
        return (
            f"8-bit weights: {bytes_text(self.nbytes)} in place of "
            f"{bytes_text(self.nbytes_before)}; states of {self.sequences:,} sequences, "
            f"{self.steps:,} steps"
        )

    def _rows(self) -> list[tuple[str, ...]]:
        costs = [*self.cells, *([] if self.output is None else [self.output])]
        return [
            (name, *(f"{number:.2g}" for number in (largest, rms, value)))
            for name, largest, rms, value in costs
        ]


def check_report(report: Any) -> QuantizationReport | None:
    """Return the report of a pickled model, if it is one or None."""
    if report is not None and not isinstance(report, QuantizationReport):
        raise TypeError(f"report must be a QuantizationReport, got {type_name(report)}")
    return report


def compare(
    gru: GRU, quantized: QuantizedGRU, data: Any, lengths: ArrayLike | None
) -> QuantizationReport:
    """Return what ``quantized`` costs on ``data``, which is in the form of the GRU's calls.

    Raises
    ------
    TypeError, ValueError
        If the data or the lengths do not fit.
    """
    x, lengths = _batch_first(gru, data, lengths)
    counted = counted_of(lengths, None, *x.shape[:2])
    cells = list(costs_of_cells(gru, quantized, x, x, counted, {"lengths": lengths}))
    before, after = gru.nbytes, quantized.nbytes
    return QuantizationReport(cells, None, len(x), int(counted.sum()), before, after)


def _batch_first(
    gru: GRU, data: Any, lengths: ArrayLike | None
) -> tuple[Floats, ArrayLike | None]:
    """Return data (B, T, I) and its lengths, after the checks of a call."""
    from pygru.inputs import Inputs

    inputs = Inputs(gru, data, None, lengths)
    return inputs.x.swapaxes(0, 1), inputs.lengths


def costs_of_cells(
    gru: GRU,
    quantized: QuantizedGRU,
    x: Any,
    x_quantized: Any,
    counted: Booleans,
    told: dict[str, Any],
    prefix: str = "",
) -> Iterator[Cost]:
    """Yield the costs of each layer and direction, of two GRUs that may read other numbers.

    ``counted`` (B, T) says which steps count, and ``told`` are more arguments of the calls.
    """
    names = iter(gru.options.cell_names())
    H = gru.hidden_size
    for layer in range(gru.num_layers):
        x = single_layer(gru, layer)(x, **told)[0]
        x_quantized = single_layer(quantized, layer)(x_quantized, **told)[0]
        for direction in range(gru.num_directions):
            columns = slice(direction * H, (direction + 1) * H)
            states, others = x[..., columns][counted], x_quantized[..., columns][counted]
            yield cost(prefix + next(names), states, others)


def cost(name: str, values: NDArray[Any], others: NDArray[Any]) -> Cost:
    """Return how far ``others`` are from ``values``."""
    difference = np.subtract(others, values, dtype=np.float64)
    return Cost(
        name,
        float(np.abs(difference).max(initial=0)),
        _rms(difference),
        _rms(values.astype(np.float64)),
    )


def _rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0


def single_layer(gru: Any, layer: int) -> Any:
    """Return one layer of a GRU or a QuantizedGRU as one of its own, batch first.

    Its output is the states of its cells; those of two directions are not merged.
    """
    options: GRUOptions = gru.options
    width = options.input_size if layer == 0 else options.states_size
    made = type(gru).from_config(
        {
            **gru.get_config(),
            "input_size": width,
            "num_layers": 1,
            "batch_first": True,
            "dropout": 0.0,
            "merge": "concat",
            "init": "torch",  # its initial weights are replaced, and these are drawn quickly
        }
    )
    for name in made.parameters:
        if name == "h0":
            cells = slice(layer * options.num_directions, (layer + 1) * options.num_directions)
            made.parameters[name] = gru.parameters[name][cells]
        else:
            made.parameters[name] = gru.parameters[name.replace("_l0", f"_l{layer}")]
    return made
