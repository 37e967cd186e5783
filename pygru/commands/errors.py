"""How a subcommand fails: with one line, and with the exit code 1, 2 or 130."""

import re


class CommandError(Exception):
    """A run failed for a reason that one line explains."""


class UsageError(Exception):
    """The command line is wrong in a way that argparse cannot know."""


class InterruptedRun(Exception):
    """Ctrl-C has ended a run that has written what it had."""


LONGEST = 1000  # characters of an error; a table may have a million names

# What the messages of pygru.forecasting call by the names of Python arguments.
OPTIONS = {
    **{name: f"--{name}" for name in ("freq", "time", "id", "target", "future", "static")},
    "past": "--features",
}


def one_line(error: BaseException) -> str:
    """Return an error as a line of bounded length."""
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    return bounded(text)


def bounded(text: str) -> str:
    """Return a text as one line; a very long one is cut."""
    text = " ".join(text[: 2 * LONGEST].split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def about_file(error: ValueError | TypeError, name: str) -> CommandError:
    """Return an error of pygru.forecasting in the words of the command line.

    Its messages call the table ``y`` and the options by their Python names.
    """
    text = naming_the_file(bounded(str(error)), name)
    for argument, option in OPTIONS.items():
        text = re.sub(rf"\b{argument}=(?=\W|$)", f"{option} ", text)
        text = re.sub(rf"^{argument}(?= must\b)", option, text)
    return CommandError(text)


def naming_the_file(message: str, name: str) -> str:
    """Return a message of pygru.forecasting with the file's name for ``y``."""
    return re.sub(r"^y(?=:? )", lambda _: name, message)
