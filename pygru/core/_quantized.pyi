from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from pygru.core._core import Kernels
from pygru.core._plans import Config
from pygru.core._weights import Packing

@final
class IntegersPacking(Packing):
    def __new__(
        cls,
        config: Config,
        kernels: Kernels,
        integers: NDArray[np.int8],
        scales: NDArray[np.float32],
    ) -> Self: ...
