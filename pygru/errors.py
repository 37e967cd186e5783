"""The exceptions that pygru adds to Python's own."""


class InternalError(RuntimeError):
    """A check inside pygru failed: a bug in pygru, not in the caller's code."""


class FormatError(ValueError):
    """A file is not what it claims to be: not a pygru model, damaged, or too new."""


class DivergenceError(ArithmeticError):
    """Training produced a loss or a gradient that is not finite."""
