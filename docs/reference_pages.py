"""Makes the pages of the reference: finds all public names and assigns them to pages.

Each group below lists modules. A name belongs to the group that lists the module in which it is
defined, so a new layer or callback gets its page automatically. A name that belongs to no group
is an error, here and in the tests.
"""

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from typing import NamedTuple

import pygru


class Group(NamedTuple):
    """One page of the reference. ``modules`` are prefixes, and the longest one decides."""

    title: str
    about: str
    modules: tuple


GROUPS = {
    "layers": Group(
        "Layers",
        "The GRU, the objects that its methods return, and the other layers. `pygru.torch` has "
        "a module for PyTorch.",
        (
            "pygru.gru",
            "pygru.options",
            "pygru.gru_sequences",
            "pygru.gru_base",
            "pygru.variant",
            "pygru.gates",
            "pygru.stream",
            "pygru.tape",
            "pygru.concatenated",
            "pygru.quantized",
            "pygru.nn",
            "pygru.torch",
        ),
    ),
    "training": Group(
        "Training",
        "The trainer, its callbacks, the optimisers and the learning rates.",
        ("pygru.train",),
    ),
    "prediction": Group(
        "Prediction",
        "Predictions for data larger than memory, from files and to files. "
        "[Data larger than memory](../howto/larger_than_memory.md) shows how to use it.",
        ("pygru.prediction",),
    ),
    "sklearn": Group(
        "scikit-learn estimators",
        "Estimators that work with the tools of scikit-learn, version 1.6 or later. They also "
        "have the methods of all its estimators, such as `get_params`. `pygru.sktime` and "
        "`pygru.aeon` have adapters for these libraries.",
        ("pygru.sklearn", "pygru.sktime", "pygru.aeon"),
    ),
    "losses": Group(
        "Losses",
        "Each loss returns its value and its gradient.",
        ("pygru.nn.losses",),
    ),
    "data": Group(
        "Data",
        "Functions that make arrays from sequences and files, predictions for Dask arrays, and "
        "the forecaster.",
        ("pygru.data", "pygru.dask", "pygru.forecasting"),
    ),
    "io": Group(
        "Model files",
        "Functions that write and read model files. No code in a file is ever run.",
        ("pygru.io",),
    ),
    "conformance": Group(
        "Conformance",
        "Cases with exact results for any GRU, and a check that explains what is wrong. "
        "[Is this GRU right?](../conformance.md) shows how to use it.",
        ("pygru.conformance",),
    ),
    "configuration": Group(
        "Threads and configuration",
        "The number of threads, this installation and its test, and the files of the C core.",
        ("pygru.core", "pygru.tests"),
    ),
    "plots": Group(
        "Plots",
        "Functions that draw with matplotlib, on given axes or on new ones.",
        ("pygru.plot",),
    ),
    "errors": Group(
        "Errors",
        "The exceptions that pygru adds to those of Python.",
        ("pygru.errors",),
    ),
}

# Submodules that users import by name, beside those that `pygru.__all__` lists and those
# that say what is public in an `__all__` of their own.
PUBLIC_MODULES = ("pygru.plot",)


def public_modules():
    """Return the names of all public submodules."""
    found = set(PUBLIC_MODULES)
    for module in pkgutil.walk_packages(pygru.__path__, "pygru."):
        if module.name != "pygru.__main__" and not module.name.startswith("pygru.core._"):
            found |= {module.name} if _has_all(module.name) else set()
    return sorted(found)


def _has_all(name):
    try:
        return hasattr(importlib.import_module(name), "__all__")
    except ImportError:  # it needs an optional package that is not installed
        return False


def _names_of(module, prefix):
    """Yield (full name, object) of what a module defines and does not hide."""
    listed = getattr(module, "__all__", None)
    for name in listed or vars(module):
        value = getattr(module, name)
        is_own = getattr(value, "__module__", None) == module.__name__
        if listed or (is_own and not name.startswith("_")):
            yield f"{prefix}.{name}", value


def public_names():
    """Return every public name with its object; a module is replaced by what it defines."""
    names = {}
    for name in pygru.__all__:
        value = getattr(pygru, name)
        if inspect.ismodule(value):
            names |= dict(_names_of(value, f"pygru.{name}"))
        else:
            names[f"pygru.{name}"] = value
    shown = {id(value) for value in names.values()}
    for name in public_modules():
        for full_name, value in _names_of(importlib.import_module(name), name):
            if id(value) not in shown:
                names[full_name] = value
    return names


def group_of(name, value):
    """Return the key of a name's group, and the place of its module there."""
    home = value.__module__
    fitting = [
        (len(prefix), key, place)
        for key, group in GROUPS.items()
        for place, prefix in enumerate(group.modules)
        if home == prefix or home.startswith(f"{prefix}.")
    ]
    if not fitting:
        raise LookupError(f"{name}, of {home}, is in no group of docs/reference_pages.py")
    return max(fitting)[1:]


def grouped():
    """Return the full names of each group, by the order of its modules, then the alphabet."""
    result = {key: [] for key in GROUPS}
    for name, value in public_names().items():
        key, place = group_of(name, value)
        result[key].append((place, name.lower(), name))
    return {key: [entry[-1] for entry in sorted(names)] for key, names in result.items()}


# ---- the pages -----------------------------------------------------------------------------


def write(folder, changelog):
    """Write all pages into ``folder``: groups, their overview, the command line, changes."""
    folder.mkdir(exist_ok=True)
    groups = grouped()
    names = {name for group in groups.values() for name in group}
    for page in (folder / "generated").glob("*.rst"):  # of an earlier build
        if page.stem not in names:
            page.unlink()
    _write_if_new(folder / "overview.txt", _overview(groups))
    _write_if_new(folder / "changelog.md", changelog.read_text(encoding="utf-8").splitlines())
    for key, names in groups.items():
        group = GROUPS[key]
        lines = [f"# {group.title}", "", group.about, ""]
        lines += ["```{eval-rst}", ".. autosummary::", "   :toctree: generated", ""]
        _write_if_new(folder / f"{key}.md", [*lines, *(f"   {name}" for name in names), "```"])
    _write_if_new(folder / "command.md", _command_line())


def _overview(groups):
    """Return the lines of a table per group: each name, and the first line of its docstring."""
    lines = []
    for key, names in groups.items():
        lines += [f"## [{GROUPS[key].title}](reference/{key}.md)", "", "```{eval-rst}"]
        lines += [".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {name}" for name in names] + ["```", ""]
    return lines


def _write_if_new(path, lines):
    """Leave a page alone that says this already: Sphinx then need not read it again."""
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _command_line():
    overview = _help()
    lines = ["# Command line", "", "`pygru`, or `python -m pygru`.", ""]
    lines += ["```text", overview, "```", ""]
    for command in re.findall(r"^    (\w+)", overview, re.M):
        lines += [f"## pygru {command}", "", "```text", _help(command), "```", ""]
    return lines


def _help(*command):
    run = [sys.executable, "-P", "-m", "pygru", *command, "--help"]
    environment = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1"}
    result = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    return result.stdout.rstrip()
