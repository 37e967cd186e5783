"""The exceptions that pygru adds to Python's own."""


class InternalError(RuntimeError):
    """A check inside pygru failed. This is a bug in pygru, not in the caller's code."""


class FormatError(ValueError):
    """A file is not a pygru model, or is damaged, or was written by a newer pygru."""


class DivergenceError(ArithmeticError):
    """Training produced a loss or a gradient that is not finite."""


class DataWarning(UserWarning):
    """Data was not as expected; the message says what pygru has done about it."""
