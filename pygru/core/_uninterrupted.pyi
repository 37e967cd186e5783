from contextvars import ContextVar
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

def apply(actions: tuple[tuple[Any, ...], ...]) -> None: ...
def meet(
    comm: Any,
    report: NDArray[np.float64],
    table: NDArray[np.float64],
    message: bytes,
    arrays: tuple[Any, ...] | None,
) -> list[bytes] | None: ...

@disjoint_base
class Undone:
    def __init__(self, actions: list[tuple[Any, ...]], entered: object = ...) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class Afterwards(Undone): ...

@disjoint_base
class Setting:
    @property
    def value(self) -> Any: ...
    def __init__(self, variable: ContextVar[Any], value: object) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

@disjoint_base
class Together:
    def __init__(self, team: Any) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

@disjoint_base
class BlasLimit:
    def __init__(self, functions: list[tuple[int, int]]) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def forget(self) -> None: ...
