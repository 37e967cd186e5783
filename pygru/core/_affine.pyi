from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from pygru.core._core import Kernels
from pygru.core._weights import Owner, Packing
from pygru.typing import Floats

def affine_sizes(
    precision: str, inputs: int, outputs: int, n_threads: int
) -> dict[str, int]: ...

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

@final
class AffinePacking(Packing):
    def __new__(
        cls,
        kernels: Kernels,
        precision: str,
        inputs: int,
        outputs: int,
        weight: int,
        bias: int,
        count: int,
    ) -> Self: ...

@final
class AffineMap:
    def __new__(
        cls,
        kernels: Kernels,
        owner: Owner,
        *,
        inputs: int,
        outputs: int,
        weight: int,
        bias: int,
    ) -> Self: ...
    @property
    def dtype(self) -> np.dtype[np.floating]: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    def current(self) -> NDArray[np.uint8] | None: ...
    def workspace(self, n_threads: int) -> int: ...
    def run(
        self,
        n_threads: int,
        on_main_thread: bool,
        *,
        x: Floats,
        y: Floats,
        workspace: NDArray[np.uint8],
    ) -> None: ...
    def backward_workspace(self, n_threads: int) -> int: ...
    def backward(
        self,
        n_threads: int,
        on_main_thread: bool,
        *,
        x: Floats,
        d_y: Floats,
        d_x: Floats | None,
        grads: Floats,
        workspace: NDArray[np.uint8],
    ) -> None: ...
    def at_once(self, x: object) -> Floats | None: ...
