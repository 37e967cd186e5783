"""What the processes of test_predict_workers.py do with a file. Not a test file.

Each function is sent to a process by its name, so it must be in a module that can be imported.
A file's name says nothing here; files beside it tell the functions what has happened.
"""

import os
import pathlib
import signal
import sys
import time

import pygru


def answer(path):
    """The name, the process and its threads."""
    print(f"note: {path}", file=sys.stderr)
    return path, os.getpid(), pygru.get_num_threads()


def last_is_done_first(path):
    """The first file waits until all others are done."""
    folder, name = os.path.split(path)
    if name == "0":
        while len(os.listdir(folder)) < 4:
            time.sleep(0.01)
    pathlib.Path(f"{path}.done").touch()
    return path


def refuse_odd(path):
    """An error for each odd number; the first of them comes after a later one."""
    number = int(os.path.basename(path))
    if number == 1:
        while not os.path.exists(f"{path[:-1]}3.done"):
            time.sleep(0.01)
    pathlib.Path(f"{path}.done").touch()
    if number % 2:
        raise ValueError(f"odd: {number}")
    return path


def die_once(path):
    """The process of file 1 is killed when it has the file for the first time."""
    if os.path.basename(path) == "1" and not os.path.exists(f"{path}.tried"):
        pathlib.Path(f"{path}.tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def die_always(path):
    """The process of file 1 is killed each time."""
    if os.path.basename(path) == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def leave(path):
    """The process ends itself."""
    os._exit(3)


def wait_for_ever(path):
    """Say that it has begun, and never end."""
    pathlib.Path(f"{path}.{os.getpid()}.begun").touch()
    while True:
        time.sleep(60)


def run_two_for_ever(folder):
    """Be a parent of two processes that never end."""
    from pygru.commands.predict_workers import outcomes

    list(outcomes(wait_for_ever, [os.path.join(folder, name) for name in "ab"], 2))


def first_alone_ends(path):
    """File 0 is done when the process of file 1 has begun, which never ends."""
    if os.path.basename(path) == "1":
        wait_for_ever(path)
    folder = pathlib.Path(path).parent
    while not list(folder.glob("1.*.begun")):
        time.sleep(0.01)
    return path
