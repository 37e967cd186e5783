from typing import Self, final

from pygru.core._core import Kernels
from pygru.core._plans import Config
from pygru.core._weights import Packing

@final
class IntegersPacking(Packing):
    def __new__(cls, config: Config, kernels: Kernels) -> Self: ...
