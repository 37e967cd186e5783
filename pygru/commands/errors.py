"""How a subcommand fails: with one line, and with the exit code 1 or 2."""


class CommandError(Exception):
    """A run failed for a reason that one line explains."""


class UsageError(Exception):
    """The command line is wrong in a way that argparse cannot know."""
