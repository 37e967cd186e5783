from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from pygru.core._core import Blas, Kernels
from pygru.core._plans import Config, Plan
from pygru.core._weights import Owner, Packed
from pygru.gru_inference import GRUInference
from pygru.inputs import Inputs
from pygru.noise import Noise
from pygru.options import GRUOptions
from pygru.tape import WholeTape
from pygru.typing import Floats, Integers

NO_OUTPUT: Any

@disjoint_base
class Batch:
    options: GRUOptions
    given: Any
    h0: Floats | None
    lengths: NDArray[np.int64] | None
    T: int
    B: int
    output_size: int
    batch_first: bool
    is_single: bool
    is_list: bool

@disjoint_base
class Record:
    gru: Any
    inputs: Any
    plan: Any
    memory: Any
    noise: Any
    n_threads: Any
    fingerprint: Any
    learned_h0: Any

@final
class Sequences:
    def __new__(
        cls,
        options: GRUOptions,
        config: Config,
        kernels: Kernels,
        blas: Blas,
        parameters: Owner,
        grads: Owner | None,
        packed: Packed | None,
        batch_class: type[Inputs],
        tape_class: type[WholeTape],
    ) -> Sequences: ...
    def accept(self, x: Any, h0: Any, lengths: Any) -> Inputs | None: ...
    def plan(self, T: int, B: int, lengths: Integers | None, keep: int) -> Plan: ...
    def forward(
        self,
        gru: GRUInference,
        batch: Inputs,
        keep: int,
        noise: Noise | None,
        out: Floats | None,
        n_threads: int | None,
    ) -> tuple[Floats, Floats, WholeTape | None] | None: ...
    def backward(
        self,
        tape: WholeTape,
        d_output: Any,
        d_h_n: Any,
        wants_d_x: bool,
        aside: Floats | None,
    ) -> tuple[Any, Floats] | None: ...
