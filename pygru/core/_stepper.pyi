from typing import Self, final

from pygru.core._core import Blas, Kernels
from pygru.core._plans import Config
from pygru.core._weights import Packed
from pygru.typing import Floats

@final
class Stepper:
    def __new__(
        cls,
        config: Config,
        blas: Blas,
        kernels: Kernels,
        batch: int | None,
        parameters: Floats | None,
        packed: Packed | None,
        x: Floats,
        h: Floats | None,
        h_next: Floats,
        zoneout_rate: float,
    ) -> Self: ...
    def advance(self, x_t: object) -> bool: ...
    def step(self, x_t: object, h: object, out: object) -> bool: ...
