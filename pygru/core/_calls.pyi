from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from pygru.core._core import Blas, Kernels
from pygru.core._plans import Plan
from pygru.noise import Noise, PackedNoise
from pygru.typing import Floats

@final
class Interrupt:
    def __new__(cls, n_threads: int, on_main_thread: bool) -> Self: ...

def forward(
    plan: Plan,
    blas: Blas,
    kernels: Kernels,
    n_threads: int,
    on_main_thread: bool,
    *,
    parameters: Floats,
    packed: NDArray[np.uint8] | None,
    x: Floats,
    h0: Floats | None,
    y: Floats,
    h_n: Floats,
    tape: Floats | None,
    noise: Noise | PackedNoise | None,
    workspace: NDArray[np.uint8],
) -> None: ...
def backward(
    plan: Plan,
    blas: Blas,
    kernels: Kernels,
    n_threads: int,
    on_main_thread: bool,
    *,
    parameters: Floats,
    packed: NDArray[np.uint8] | None,
    tape: Floats,
    noise: Noise | PackedNoise | None,
    d_y: Floats | None,
    d_h_n: Floats | None,
    d_x: Floats | None,
    d_h0: Floats,
    grads: Floats,
    workspace: NDArray[np.uint8],
) -> None: ...
