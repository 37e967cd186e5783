"""Checks that JSON can represent values, before they are written."""

from typing import Any

from pygru.core.validation import MOST_BITS, shown, type_name

MOST_LEVELS = 100  # of nested lists and dicts; readers fail at some larger number


def check_json_object(name: str, value: object) -> None:
    """Raise unless ``value`` is a dict that JSON can represent; tuples become lists.

    Raises
    ------
    TypeError
        If it is not a dict, or contains a value of a type that JSON does not have. The message
        says where.
    ValueError
        If it is nested more than a hundred levels deep, or contains too long an integer.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict, got {type_name(value)}")
    _check(name, value, 0)


def _check(name: str, value: Any, level: int) -> None:
    if level > MOST_LEVELS:
        raise ValueError(f"{name[:80]} is nested more than {MOST_LEVELS} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"{name} has the key {shown(key)}; JSON has keys of type str only"
                )
            _check(f"{name}[{shown(key)}]", item, level + 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check(f"{name}[{index}]", item, level + 1)
    elif isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError(f"{name} is too large: {shown(value)}")
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(
            f"{name} is of type {type_name(value)}, which JSON does not have; it has None, "
            "bool, int, float, str, list and dict"
        )
