"""The types that the package's annotations share; for annotations of your own layers too.

Nothing here acts at run time. An argument is annotated with what is accepted, mostly
``numpy.typing.ArrayLike``; a result is annotated with what is returned.
"""

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: An array of float32 or float64, as pygru returns it.
Floats: TypeAlias = NDArray[np.floating[Any]]

#: An array of integers: tokens, classes or lengths.
Integers: TypeAlias = NDArray[np.integer[Any]]

#: A mask.
Booleans: TypeAlias = NDArray[np.bool_]

#: One bool per step: an array like x without its features, or a list of arrays; or None.
StepFlags: TypeAlias = NDArray[np.bool_] | Sequence[Any] | None

#: What a random generator is made from; None takes fresh entropy from the system.
Seed: TypeAlias = (
    int
    | Sequence[int]
    | np.random.SeedSequence
    | np.random.BitGenerator
    | np.random.Generator
    | None
)

#: An activation of a cell: its name, or a name with alpha and beta.
CellActivation: TypeAlias = str | tuple[str, float, float]

#: The name of a file.
Path: TypeAlias = str | os.PathLike[str]
