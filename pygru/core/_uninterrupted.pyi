from collections.abc import Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Any

def apply(actions: tuple[tuple[Any, ...], ...]) -> None: ...

class Setting:
    def __init__(self, variable: ContextVar[Any], value: object) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

class BlasLimit:
    def __init__(self, functions: Iterable[tuple[int, int]]) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def forget(self) -> None: ...
