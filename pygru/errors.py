"""The exceptions that pygru adds to Python's own."""


class InternalError(RuntimeError):
    """A check inside pygru failed. This is a bug in pygru, not in the caller's code."""


class FormatError(ValueError):
    """A file is not a pygru model, or is damaged, or was written by a newer pygru."""


class DivergenceError(ArithmeticError):
    """Training produced a loss or a gradient that is not finite."""


class RankError(RuntimeError):
    """Training on several ranks has ended because another rank has failed.

    The message has the number of that rank and its error. That rank raises the error itself.
    """


class DataWarning(UserWarning):
    """Data was not as expected; the message says what pygru has done about it.

    Examples
    --------
    In a program that must not go on in such a case, it becomes an error:

    >>> import warnings
    >>> import pandas as pd
    >>> import pygru
    >>> newest_first = pd.DataFrame({"day": [2, 1, 0], "sales": [5.0, 4.0, 3.0]})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", pygru.DataWarning)
    ...     pygru.data.from_long(newest_first.assign(shop="a"), id="shop", time="day")
    Traceback (most recent call last):
    ...
    pygru.errors.DataWarning: table: the rows were newest first; they have been sorted by time
    """
