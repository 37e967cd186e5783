"""Category columns as columns of 0 and 1, by the categories of the training data.

Categories are compared as text, so that a column that a file gives as 1, 2, 3 fits one that it
gives as "1", "2", "3". A value that is missing, or that training has not seen, is 0 everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pygru.data.messages import cut

# A column with more values than this holds names or free text; each value would be an input.
MOST_CATEGORIES = 1000


def text_of(value: Any) -> str:
    """A category as text; a whole number has no decimal point, whatever its type."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _numbered(column: Any) -> tuple[Any, list[str]]:
    """The number of each row's category, -1 where it is missing, and the categories."""
    try:
        codes, unique = pd.factorize(column)
    except TypeError:
        raise TypeError(
            f"column {cut(column.name)} holds values that are no categories"
        ) from None
    return codes, [text_of(value) for value in unique]


def find_categories(what: str, column: Any) -> tuple[str, ...]:
    """Return the categories that occur in a column, as text.

    Those of an ordered category column stay in its order; others are sorted.

    Raises
    ------
    ValueError
        If there are more than 1000.
    """
    _, texts = _numbered(column)
    if len(texts) > MOST_CATEGORIES:
        raise ValueError(
            f"{what} has {len(texts)} categories, and at most {MOST_CATEGORIES} are supported: "
            "each becomes an input of the model. Leave it out, or join the rare ones"
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        found = set(texts)
        ordered = [text_of(value) for value in column.cat.categories]
        return tuple(dict.fromkeys(text for text in ordered if text in found))
    return tuple(sorted(set(texts)))


def one_hot(column: Any, categories: tuple[str, ...]) -> NDArray[np.float64]:
    """Return a column as (N, len(categories)) of 0 and 1."""
    codes, texts = _numbered(column)
    places = {text: place for place, text in enumerate(categories)}
    known = np.array([places.get(text, -1) for text in texts] + [-1], np.int64)[codes]
    result = np.zeros((len(codes), len(categories)))
    rows = np.flatnonzero(known >= 0)
    result[rows, known[rows]] = 1
    return result
