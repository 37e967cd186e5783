"""What is said if pygru cannot be imported, and how its commands end then.

Nothing here needs a compiled module.
"""

import sys

from pygru.commands.errors import one_line
from pygru.commands.world import quiet_unless_first
from pygru.core.settings import SettingError


def explained(error: ImportError) -> str | None:
    """Return a text that explains the error without a traceback, or None if there is none."""
    if isinstance(error, SettingError):
        return str(error)
    # Any other ImportError of this module is one of a file that exists and cannot be loaded.
    if isinstance(error, ModuleNotFoundError) and error.name == "pygru.core._core":
        return (
            "pygru has been imported from its source folder, which holds no compiled module. "
            "Run Python from another folder or with the option -P, or use the commands `pygru` "
            "and `pytest`: they find the installed package."
        )
    return None


def end_command(error: ImportError) -> None:
    """End this process with one line, if it is a command of pygru.

    The exit code is 2 after a wrong environment variable, which is as wrong as a wrong command
    line, and otherwise 1. What nothing here explains has its traceback with ``--debug``.
    """
    text = explained(error)
    if not is_command() or (text is None and "--debug" in sys.argv):
        return
    with quiet_unless_first():
        print(f"pygru: {text or one_line(error)}", file=sys.stderr)
    sys.exit(2 if isinstance(error, SettingError) else 1)


def is_command() -> bool:
    """Whether this process is ``pygru``, ``python -m pygru`` or ``python -m pygru.tests``."""
    first = sys.argv[0] if getattr(sys, "argv", None) else ""
    if first == "-m":  # Python has not found the module yet, and imports its package for that
        module = sys.orig_argv[-len(sys.argv)].removeprefix("-m")
        return module.partition(".")[0] == "pygru"
    name = first.replace("\\", "/").rpartition("/")[2]
    return name.removesuffix(".exe") in ("pygru", "pygru-script.py")
