"""Reads the constants that TorchScript writes into the code of a class, without running it.

An archive of ``torch.jit.script`` holds a text for each class. Before its functions it lists
the attributes of the class. Those that cannot change stand there with their values, and nowhere
else, such as ``batch_first : Final[bool] = True``. Only lines of exactly this form are read.
``torch.jit.trace`` writes none.
"""

from __future__ import annotations

import re
import zipfile

from pygru.io.archives import read_member
from pygru.io.torch.walk import Module

Constant = bool | int | float

CONSTANT = re.compile(
    r"  (?P<name>[A-Za-z_]\w{0,99}) : Final\[(?P<type>bool|int|float)\] = (?P<value>\S{1,40})"
)
MOST_CODE = 2**22  # bytes of one text


def with_constants(
    modules: dict[str, Module], archive: zipfile.ZipFile, root: str
) -> dict[str, Module]:
    """Return the modules of an archive by name, with the constants of their classes.

    Raises
    ------
    FormatError
        If a text is damaged.
    """
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    read: dict[str, dict[str, dict[str, Constant]]] = {}
    result = {}
    for name, module in modules.items():
        package, _, own = module.kind.rpartition(".")
        path = f"{root}code/{package.replace('.', '/')}.py"
        if path not in read:
            is_text = 0 < sizes.get(path, 0) <= MOST_CODE
            read[path] = constants(read_member(archive, path)) if is_text else {}
        result[name] = Module(module.kind, {**read[path].get(own, {}), **module.attributes})
    return result


def constants(code: bytes) -> dict[str, dict[str, Constant]]:
    """Return the constants of each class in a text, by name.

    Examples
    --------
    >>> from pygru.io.torch.script_code import constants
    >>> constants(b"class GRU(Module):\\n  batch_first : Final[bool] = True\\n")
    {'GRU': {'batch_first': True}}
    """
    result: dict[str, dict[str, Constant]] = {}
    current: dict[str, Constant] | None = None
    for line in code.decode("utf-8", "replace").split("\n"):
        if line.startswith("class "):
            current = result.setdefault(line[len("class ") :].partition("(")[0], {})
        elif line.startswith("  def "):
            current = None
        match = None if current is None else CONSTANT.fullmatch(line)
        if match and current is not None:
            value = _value(match["type"], match["value"])
            if value is not None:
                current[match["name"]] = value
    return result


def _value(kind: str, text: str) -> Constant | None:
    """Return the value that a text of Python writes, or None if it is none of this kind."""
    if kind == "bool":
        return {"True": True, "False": False}.get(text)
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        return None
