"""The files that ``pygru predict`` is given: names, folders and patterns, in a fixed order."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence

from pygru.commands.errors import CommandError, UsageError

STDIN = "-"

#: The endings of tables, by which they are found in a folder.
TABLES = (
    *(f"{text}{packed}" for text in (".csv", ".tsv") for packed in ("", ".gz", ".bz2", ".xz")),
    ".parquet",
    ".pq",
)


def expand(
    data: Sequence[str],
    suffixes: Sequence[str],
    is_data: Callable[[str], bool] = os.path.isfile,
) -> tuple[list[str], bool]:
    """Return the files that the arguments stand for, and whether there may be several.

    A folder stands for the files in it, not for those in its own folders; hidden files and
    files of other kinds are left out. An argument with ``*``, ``?`` or ``[`` that is no file is
    a pattern, in which ``**`` stands for any folders. Files of a folder or a pattern come in
    the order of their names.

    Parameters
    ----------
    data : sequence of str
        What the command line says.
    suffixes : sequence of str
        Which files of a folder count, such as ``(".csv", ".parquet")``.
    is_data : callable
        Whether a path is a file of data; some kinds of files are folders.

    Returns
    -------
    files : list of str
    is_many : bool
        True for a folder or a pattern also where it stands for one file, so that what is
        written has the same columns whatever the folder has.

    Raises
    ------
    CommandError
        If a folder has no such file, or no file matches a pattern.
    UsageError
        If a file comes twice, or standard input is not the only one.
    """
    files: list[str] = []
    is_many = len(data) > 1
    for argument in data:
        found = _files_of(argument, suffixes, is_data)
        is_many = is_many or found != [argument]
        files += found
    if is_many and STDIN in files:
        raise UsageError("standard input (-) cannot be one of several files")
    seen: dict[str, str] = {}
    for file in files:
        same = os.path.normcase(os.path.normpath(file))
        if same in seen:
            raise UsageError(f"the file {file} is given twice")
        seen[same] = file
    return files, is_many


def _files_of(
    argument: str, suffixes: Sequence[str], is_data: Callable[[str], bool]
) -> list[str]:
    if argument == STDIN or is_data(argument):
        return [argument]
    if os.path.isdir(argument):
        found = sorted(
            os.path.join(argument, name)
            for name in os.listdir(argument)
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes))
        )
        files = [path for path in found if is_data(path)]
        if not files:
            raise CommandError(f"{argument}: the folder has no file {_listed(suffixes)}")
        return files
    if os.path.exists(argument) or not glob.has_magic(argument):
        return [argument]  # who reads it says if it is missing
    files = [path for path in sorted(glob.iglob(argument, recursive=True)) if is_data(path)]
    if not files:
        raise CommandError(f"{argument}: no file matches this pattern")
    return files


def _listed(suffixes: Sequence[str]) -> str:
    return f"that ends in {', '.join(suffixes[:-1])} or {suffixes[-1]}"
