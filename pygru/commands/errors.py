"""How a subcommand fails: with one line, and with the exit code 1, 2 or 130."""


class CommandError(Exception):
    """A run failed for a reason that one line explains."""


class UsageError(Exception):
    """The command line is wrong in a way that argparse cannot know."""


class InterruptedRun(Exception):
    """Ctrl-C has ended a run that has written what it had."""


class FailedElsewhere(Exception):
    """A run has ended because another process of it has failed.

    That process says why. This one exits with code 0, so that of all is the code of that one.
    """


LONGEST = 1000  # characters of an error; a table may have a million names


def one_line(error: BaseException) -> str:
    """Return an error as a line of bounded length."""
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    return bounded(text)


def described(error: BaseException) -> str:
    """Return an error as a line; one that is a mistake in pygru with its class."""
    known = isinstance(error, (CommandError, UsageError, OSError, ValueError, ArithmeticError))
    known = known or isinstance(error, (MemoryError, ImportError))
    # That is no reason to show a traceback, but one to say which error it is, and how to see
    # where.
    kind = "" if known else f"{type(error).__name__} (pygru --debug shows where): "
    return kind + one_line(error)


def bounded(text: str) -> str:
    """Return a text as one line; a very long one is cut."""
    text = " ".join(text[: 2 * LONGEST].split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
