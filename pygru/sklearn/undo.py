"""A call that fails leaves the estimator as it was, with its trained model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

Estimator = TypeVar("Estimator")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def all_or_nothing(
    method: Callable[Concatenate[Estimator, Arguments], Result],
) -> Callable[Concatenate[Estimator, Arguments], Result]:
    """Make a method that restores all attributes of its object if it fails.

    Weights that were trained in place stay trained: those of ``partial_fit``, and of ``fit``
    with ``warm_start``. After Ctrl-C the attributes stay as training left them.
    """

    @functools.wraps(method)
    def restoring(
        self: Estimator, /, *arguments: Arguments.args, **options: Arguments.kwargs
    ) -> Result:
        before: dict[str, Any] = vars(self).copy()
        try:
            return method(self, *arguments, **options)
        except Exception:
            vars(self).clear()
            vars(self).update(before)
            raise

    return restoring
