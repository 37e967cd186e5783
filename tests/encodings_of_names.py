"""Names that not every system can express: with the locale "C" those of files are ASCII."""

import os
import sys

import pytest


def skip_unless_encodable(text):
    """Skip a test that needs ``text`` in the name of a file, an argument or a variable."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        pytest.skip(f"file names are {sys.getfilesystemencoding()} here")


def skip_unless_readable(path):
    """Skip a test in which another package must understand the path of a file."""
    if any("\udc80" <= character <= "\udcff" for character in str(path)):
        pytest.skip(f"file names are {sys.getfilesystemencoding()} here")
