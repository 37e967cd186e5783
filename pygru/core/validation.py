"""What users pass in, checked once: every message names the argument, what was expected and
what came. Nothing here changes its input.

An array whose values become indices or lengths is copied first, and the copy is checked and
used: another thread or process may write the original at any time.
"""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pygru.core.hints import nearest
from pygru.typing import Floats

# float64 holds every integer up to here; a larger one would silently become another number.
EXACT_INTEGERS = 2**53

# Python refuses to write out integers of thousands of digits. Messages describe long ones, and
# an argument that is longer than any that code behind this may want to show is refused here.
SHOWN_BITS = 256
MOST_BITS = 4096

ChoiceT = TypeVar("ChoiceT")


def type_name(value: object) -> str:
    """The name of a value's type, as messages show it."""
    return type(value).__name__


def shown_number(value: Any) -> str:
    """A number as messages show it; a very long integer is described."""
    if isinstance(value, int) and value.bit_length() > SHOWN_BITS:
        return f"an integer of {value.bit_length()} bits"
    return str(value)


def check_int(name: str, value: object, minimum: int) -> int:
    """Return ``value`` as an int that is at least ``minimum``."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an int, got bool")
    try:
        result = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an int, got {type_name(value)}") from None
    if result < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {shown_number(result)}")
    if result.bit_length() > MOST_BITS:
        raise ValueError(f"{name} is too large: {shown_number(result)}")
    return result


def check_count(name: str, value: object, minimum: int) -> int:
    """Return a number of steps or epochs as an int; float64 must hold it exactly."""
    result = check_int(name, value, minimum)
    if result > EXACT_INTEGERS:
        raise ValueError(f"{name} must be at most 2**53, got {shown_number(result)}")
    return result


def check_bool(name: str, value: object) -> bool:
    """Return ``value`` as a bool; numbers and strings are refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, got {type_name(value)}")
    return bool(value)


def check_number(name: str, value: object) -> float:
    """Return ``value`` as a float, maybe NaN or infinite; a huge int is infinite."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} must be a float, got {type_name(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_stored_number(name: str, value: object) -> None:
    """Raise unless ``value``, which is kept as it is, is a number that a float can hold.

    Computing with a larger int would raise OverflowError later.
    """
    number = check_number(name, value)
    if not isinstance(value, (float, np.floating)) and not math.isfinite(number):
        raise ValueError(
            f"{name} must be a number that a float can hold, got {shown_number(value)}"
        )


def check_positive(name: str, value: object) -> float:
    """Return ``value`` as a finite float above 0."""
    number = check_number(name, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {shown_number(value)}")
    return number


def check_not_negative(name: str, value: object) -> float:
    """Return ``value`` as a finite float of at least 0."""
    number = check_number(name, value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a finite number >= 0, got {shown_number(value)}")
    return number


def check_fraction(name: str, value: object) -> float:
    """Return ``value`` as a float in [0, 1]."""
    number = check_number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be a number in [0, 1], got {shown_number(value)}")
    return number


def check_choice(name: str, value: object, choices: Sequence[ChoiceT]) -> ChoiceT:
    """Return the one of ``choices`` that ``value`` is."""
    for choice in choices:
        # An array, for which == has no single answer, is none of them.
        if isinstance(value, type(choice)) and value == choice:
            return choice
    listed = ", ".join(repr(choice) for choice in choices)
    raise ValueError(f"{name} must be one of {listed}, got {shown(value)}")


def shown(value: object) -> str:
    """A value as messages show it, cut after 200 characters."""
    text = shown_number(value) if isinstance(value, int) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def check_mapping(name: str, value: object, of: str = "arrays") -> None:
    """Raise unless ``value`` is a mapping; ``of`` says what its values should be."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of names to {of}, got {type_name(value)}")


def check_dtype(dtype: DTypeLike | None) -> np.dtype[np.floating[Any]]:
    """Return float32 or float64 as a native NumPy dtype."""
    # np.dtype(None) would be float64, which is not this library's default.
    result: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    if result is None or result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {result}")
    return result


def unexpected_key(key: object, known: Iterable[str]) -> str:
    """The text for a name that does not exist, with the nearest one that does."""
    near = nearest(str(key), known)
    return f"unexpected key {shown(key)}" + (f"; did you mean {near!r}?" if near else "")


# ---- arrays ------------------------------------------------------------------------------


def is_torch(value: object) -> bool:
    """Whether a value is a PyTorch tensor; PyTorch is not imported for the question."""
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def refuse_foreign(name: str, value: Any) -> None:
    """Raise for containers that NumPy would convert wrongly or with an obscure message."""
    if type(value) is np.ndarray:
        return
    if value is None:
        raise TypeError(f"{name} must be array-like of numbers, got NoneType")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(
            f"{name} is a masked array with masked values; masked arrays are not "
            "supported: fill it, or use lengths="
        )
    if hasattr(value, "tocsr"):
        raise TypeError(
            f"Sparse data was passed for {name}, but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    if is_torch(value):
        if value.device.type != "cpu":
            raise TypeError(
                f"{name} is on device {value.device}; pygru works on CPU arrays. "
                f"Use {name}.cpu()"
            )
        if value.requires_grad:
            raise TypeError(f"{name} requires grad; pass {name}.detach()")


def as_numeric(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return ``value`` as an ndarray of real numbers, of whatever dtype it has."""
    refuse_foreign(name, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            f"{name}: {error} For sequences of different lengths pass a list of 2-D arrays, "
            "or use pygru.pad_sequences."
        ) from None
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {array.dtype}")
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must be numeric, got dtype {array.dtype}{_of_sequences(name, value)}"
        )
    return array


def _of_sequences(name: str, value: object) -> str:
    """A hint if ``value`` is an array of arrays, which many tools make of a list of them."""
    is_array = isinstance(value, np.ndarray) and value.dtype == object and value.size
    if is_array and np.ndim(value.flat[0]):  # type: ignore[attr-defined]
        return f", an array of sequences; pass a list, as in list({name})"
    return ""


def as_real(name: str, value: ArrayLike, dtype: DTypeLike) -> Floats:
    """Return ``value`` as an aligned native array of ``dtype``, no copy where none is needed.

    Integers, booleans and other float types are converted; float64 beyond the range of
    float32 becomes infinite. Integers that float64 cannot hold are refused.
    """
    wanted = np.dtype(dtype)
    if type(value) is np.ndarray and is_native(value, wanted) and value.flags.aligned:
        return value
    array = as_numeric(name, value)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
        largest = max(int(array.max()), -int(array.min()))
        if largest > EXACT_INTEGERS:
            raise ValueError(
                f"{name} holds the integer {largest}, which a float cannot represent exactly; "
                f"the limit is 2**53"
            )
    if not is_native(array, wanted):
        with np.errstate(over="ignore", invalid="ignore"):
            array = array.astype(wanted)
    return array if array.flags.aligned else array.copy()


def is_native(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether an array has a dtype for compiled code, which reads its number.

    Where a long double has 64 bits, as on Windows, its dtype is equal to that of a double.
    """
    return array.dtype.num == dtype.num and array.dtype.isnative


def dense_last_axis(array: Floats) -> Floats:
    """Return an array that the core can walk: last axis contiguous, strides whole elements."""
    item = array.itemsize
    if array.shape[-1] > 1 and array.strides[-1] != item:
        return np.ascontiguousarray(array)
    if any(stride % item for stride in array.strides):
        return np.ascontiguousarray(array)
    return array


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...], meaning: str) -> None:
    """Raise unless ``array`` has ``shape``; ``meaning`` names the axes, '{}' for the sizes."""
    if array.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {meaning}, got {array.shape}")


def as_state(
    name: str, value: ArrayLike | None, dtype: DTypeLike, shape: tuple[int, ...], meaning: str
) -> Floats | None:
    """Return ``value`` as a contiguous array of exactly ``shape``; None stays None."""
    if value is None:
        return None
    array = as_real(name, value, dtype)
    if array.ndim != len(shape):
        if len(shape) == 2:
            raise ValueError(f"for unbatched 2-D x, {name} must be 2-D, got {array.ndim}-D")
        raise ValueError(
            f"{name} must have {len(shape)} dimensions {meaning}, got {array.ndim}"
        )
    check_shape(name, array, shape, meaning)
    return np.ascontiguousarray(array)


def as_lengths(
    lengths: ArrayLike, batch: int, steps: int, name: str = "lengths"
) -> NDArray[np.int64]:
    """Return a copy of the lengths: contiguous int64 of (batch,), each in [0, steps]."""
    refuse_foreign(name, lengths)
    array = np.array(lengths)  # a copy: what is checked here is what will be used
    if array.size == 0 and array.dtype.kind == "f":  # np.array([]) is float64
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    if array.shape != (batch,):
        raise ValueError(f"{name} must have shape (batch={batch},), got {array.shape}")
    # Compared as Python integers: a uint64 beyond int64 must not wrap around.
    for index in np.flatnonzero((array < 0) | (array > steps)):
        value = int(array[index])
        if value < 0:
            raise ValueError(f"{name}[{index}] = {value} must be >= 0")
        raise ValueError(f"{name}[{index}] = {value} exceeds the number of time steps {steps}")
    return np.require(array, np.int64, ["C", "A"])


def as_flags(name: str, value: object) -> NDArray[np.bool_]:
    """Return a copy of an array of bool; numbers are refused, because 2 or NaN mean nothing."""
    refuse_foreign(name, value)
    try:
        array = np.array(value)  # a copy: what is checked here is what will be used
    except ValueError:
        raise ValueError(
            f"{name} must be an array of bool, got rows of unequal length"
        ) from None
    if array.size == 0 and array.dtype.kind == "f":  # np.array([]) is float64
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        hint = f"; np.asarray({name}, bool) is one" if array.dtype.kind in "iuf" else ""
        raise TypeError(f"{name} must be an array of bool, got dtype {array.dtype}{hint}")
    return array


def check_out(name: str, out: object, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Raise unless ``out`` can receive a result of ``shape`` and ``dtype``."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray, got {type_name(out)}")
    if out.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must have dtype {dtype}, got {out.dtype}")
    if not out.dtype.isnative:
        raise TypeError(f"{name} must have native byte order")
    if out.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: output array is read-only")
    if not out.flags.c_contiguous and _may_overlap_itself(out):
        raise ValueError(
            f"{name} writes several elements to one place "
            f"(strides {out.strides} for shape {out.shape})"
        )


def _may_overlap_itself(array: NDArray[Any]) -> bool:
    """Whether two elements of an array may share bytes.

    They share none if each stride is longer than all that the shorter strides reach, which is
    so for every view that slices, transposes or reverses an array.
    """
    reach = array.itemsize
    axes = [(abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1]
    for stride, size in sorted(axes):
        if stride < reach:
            return array.size > 0
        reach += (size - 1) * stride
    return False
