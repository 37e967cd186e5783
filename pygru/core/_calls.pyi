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
def affine_workspace(
    precision: str, inputs: int, outputs: int, n_threads: int
) -> tuple[int, int]: ...

@final
class AffineCall:
    def __new__(
        cls,
        kernels: Kernels,
        n_threads: int,
        on_main_thread: bool,
        x: Floats,
        weight: Floats,
        workspace: NDArray[np.uint8],
    ) -> Self: ...

def affine(
    kernels: Kernels,
    n_threads: int,
    on_main_thread: bool,
    *,
    x: Floats,
    weight: Floats,
    bias: Floats | None,
    y: Floats,
    workspace: NDArray[np.uint8],
) -> None: ...
def affine_backward(
    kernels: Kernels,
    n_threads: int,
    on_main_thread: bool,
    *,
    x: Floats,
    weight: Floats,
    d_y: Floats,
    d_x: Floats | None,
    d_weight: Floats,
    d_bias: Floats | None,
    workspace: NDArray[np.uint8],
) -> None: ...
