from collections.abc import Sequence
from typing import Self, final

from pygru.core._core import Kernels
from pygru.typing import Floats, Integers

def place_of(array: Floats) -> int: ...
def fit_together(arrays: tuple[Floats, ...]) -> bool: ...
def activate(name: str, kernels: Kernels, values: Floats, out: Floats) -> None: ...
def optimizers() -> dict[str, tuple[int, int, tuple[str, ...]]]: ...

@final
class Part:
    def __new__(cls, arrays: tuple[Floats, ...], decay: float) -> Self: ...

def update(
    optimizer: str,
    kernels: Kernels,
    parts: Sequence[tuple[tuple[Floats, ...], float]],
    steps: Integers,
    settings: dict[str, float],
) -> None: ...
def cross_entropy(
    kernels: Kernels,
    logits: Floats,
    target: Integers,
    share: Floats,
    weights: Floats | None,
    smoothing: float,
    gradient: Floats,
    classes: int,
) -> float: ...
def sum_of_squares(kernels: Kernels, arrays: list[Floats]) -> float: ...
