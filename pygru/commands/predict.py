"""``pygru predict``: what a forecaster, or any other model of a file, says about data in files.

This file finds out which of both a model is. :mod:`.predict_forecasts` has the first, and
:mod:`.predict_model` the second.
"""

from __future__ import annotations

import argparse
from typing import Any

from pygru.commands.errors import UsageError
from pygru.core.threads import resolve

# What only one of both takes; the other refuses it rather than to ignore it.
OF_FORECASTERS = ("target", "future", "time_zone", "file_column")
OF_OTHERS = ("values", "array", "chunk_size", "resume")


def run(options: argparse.Namespace) -> None:
    """Run ``pygru predict``."""
    resolve(options.threads)  # raises if there is no such number
    if _is_forecaster(options.model):
        import pygru.forecasting  # noqa: F401 (first, since it says how to install pandas)
        from pygru.commands import predict_forecasts

        _refuse(options, OF_OTHERS, "is for models that are no forecasters")
        predict_forecasts.run(options)
        return
    from pygru.commands import predict_model

    _refuse(options, OF_FORECASTERS, "is for forecasters, which pygru train writes")
    predict_model.run(options)


def _is_forecaster(path: str) -> bool:
    """Whether a file holds a forecaster; raise if it is missing, or no model file."""
    from pygru.io.native import read_metadata

    return "forecaster" in read_metadata(path)


def _refuse(options: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    parser: Any = options.parser
    for name in names:
        if getattr(options, name) != parser.get_default(name):
            raise UsageError(f"--{name.replace('_', '-')} {why}")
