"""Waits for the end of processes that may be children of others. Not a test file."""

import os
import time

from patience import PATIENCE


def _has_ended(ask):
    """Ask until nobody answers; False if that never happens."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            ask()
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def process_has_ended(pid):
    """Wait until a process is gone."""
    return _has_ended(lambda: os.kill(pid, 0))


def group_has_ended(group):
    """Wait until no process of a group is left."""
    return _has_ended(lambda: os.killpg(group, 0))
