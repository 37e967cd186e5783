from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from pygru.core._core import Kernels
from pygru.core._plans import Config
from pygru.typing import Floats

@final
class Owner:
    def __init__(self, array: Floats) -> None: ...
    def view(self) -> Floats: ...
    def borrow(self) -> Floats: ...

@final
class Room:
    def __new__(cls, size: int) -> Self: ...

@disjoint_base
class Packing: ...

@final
class CellsPacking(Packing):
    def __new__(cls, config: Config, kernels: Kernels) -> Self: ...

@final
class Packed:
    def __new__(cls, packing: Packing, owner: Owner) -> Self: ...
    def current(self) -> tuple[NDArray[np.uint8], int]: ...

def fingerprint(array: NDArray[Any]) -> int: ...
