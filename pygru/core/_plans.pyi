from typing import Self, final

from pygru.typing import CellActivation, Integers

@final
class Config:
    def __new__(
        cls,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        num_directions: int,
        bias: bool,
        reset_after: bool,
        update_keeps: bool,
        drops_states: bool = False,
        norm_eps: float = 0,
        precision: str = "float32",
        *,
        clip: float = 0,
        activation: CellActivation = "tanh",
        recurrent_activation: CellActivation = "sigmoid",
        reverse: bool = False,
    ) -> Self: ...
    def cell(self, layer: int, direction: int) -> dict[str, int]: ...
    def step_workspace(self, batch: int) -> int: ...
    def packed_size(self) -> int: ...

@final
class Plan:
    T: int
    B: int
    keep: int
    def __new__(
        cls,
        config: Config,
        engine: int,
        T: int,
        B: int,
        lengths: Integers | None,
        keep: int,
    ) -> Self: ...
    sizes_of_one: dict[str, int]
    is_serial: bool
    def sizes(self, n_threads: int) -> dict[str, int]: ...
    def rows(self, step: Integers, sequence: Integers) -> None: ...
    def tape_view(self, layer: int, direction: int) -> dict[str, int]: ...
