"""``pygru convert``: which GRUs a file of weights holds, and one of them in another format."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygru.commands.errors import CommandError, UsageError

if TYPE_CHECKING:
    from pygru.io.found import FoundGRU
    from pygru.io.inspection import Inspection

ENDINGS = (".safetensors", ".onnx", ".npz")
OPEN_OPTIONS = ("variant", "activation", "recurrent_activation", "gate_order", "dtype")
HEADINGS = (
    "name", "input", "hidden", "layers", "directions", "bias", "variant", "gates", "candidate",
    "dtype",
)  # fmt: skip
UNKNOWN = "?"


def run(options: argparse.Namespace) -> None:
    """Run ``pygru convert``."""
    from pygru.io.inspection import inspect, model_of

    target = None if options.to is None else Path(options.to)
    if target is not None:
        if target.suffix not in ENDINGS:
            raise UsageError(f"--to must end with {', '.join(ENDINGS)}, got {options.to!r}")
        if target.exists() and not options.force:
            raise CommandError(f"{target} exists; use --force to replace it")
    found = inspect(options.file)
    _say(options.file, found)
    given = {name: getattr(options, name) for name in OPEN_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        agrees = not options.check or _check(options.file, found, options.name, given)
        model = None if target is None else model_of(options.file, options.name, **given)
    except ValueError as error:
        raise CommandError(_in_words_of_the_command(str(error))) from error
    if target is not None:
        print(f"\n{model!r}")
        _write(model, target)
        print(f"wrote {target}")
    if not agrees:
        raise CommandError("pygru and the library that wrote the file do not agree")


def _check(path: str, found: Inspection, name: str | None, given: dict[str, Any]) -> bool:
    """Compare the GRUs with their originals, print a line for each, and say if all agree."""
    from pygru.io.checking import Unchecked, check
    from pygru.io.found import Contents, choose

    grus = list(found)
    if name is not None:
        grus = [choose(Contents(grus, found.refused), name, "name", path)]
    print()
    agrees = True
    for gru in grus:
        built = gru.build(**given)
        try:
            result = check(path, gru, built)
        except Unchecked as error:
            print(f"{gru.name}: not checked: {error}")
            continue
        agrees = agrees and result.agrees
        print(f"{gru.name}: {result.library} differs by at most {result.difference:.1e}")
    return agrees


def _say(path: str, found: Inspection) -> None:
    """Print the table, the evidence, and what is no GRU for pygru."""
    count = f"{len(found)} GRU{'' if len(found) == 1 else 's'}"
    print(f"{path}: {found.kind}, {count}")
    if found:
        rows = [HEADINGS, *(_row(gru) for gru in found)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
        print()
        for row in rows:
            cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
            print("  ".join(cells).rstrip())
    for gru in found:
        lines = [f"  {', '.join(names)}: {text}" for text, names in _by_evidence(gru).items()]
        lines += [f"  {name}: the file does not say" for name in gru.unknown]
        if lines:
            print("", gru.name, *lines, sep="\n")
    if found.refused:
        print("\nno GRU for pygru:")
        for name, why in found.refused.items():
            print(f"  {name}: {why}")


def _by_evidence(gru: FoundGRU) -> dict[str, list[str]]:
    """The options that each piece of evidence is for."""
    options: dict[str, list[str]] = {}
    for name, text in gru.evidence.items():
        options.setdefault(text, []).append(name)
    return options


def _row(gru: FoundGRU) -> tuple[str, ...]:
    from pygru.variant import Variant

    variant = gru.variant
    name = UNKNOWN
    if isinstance(variant, Variant):
        name = variant.name or f"{variant.reset}/{variant.update}"
    return (
        gru.name,
        str(gru.input_size),
        str(gru.hidden_size),
        str(gru.num_layers),
        _directions(gru),
        "yes" if gru.bias else "no",
        name,
        _shown(gru.recurrent_activation),
        _shown(gru.activation),
        gru.dtype,
    )


def _directions(gru: FoundGRU) -> str:
    """How many directions, how two are merged, or that the only one is the reverse."""
    if gru.options.get("reverse", False):
        return "reverse"
    merge = gru.options.get("merge", "concat")
    return f"{gru.num_directions}" + (f", {merge}" if merge != "concat" else "")


def _shown(activation: Any) -> str:
    """An activation in one cell of the table; a tuple has its numbers after its name."""
    if activation is None:
        return UNKNOWN
    if isinstance(activation, str):
        return activation
    name, *numbers = activation
    return f"{name}({', '.join(f'{number:.3g}' for number in numbers)})"


def _in_words_of_the_command(message: str) -> str:
    """Return a message in which the arguments of Python are the options of the command."""
    for name in (*OPEN_OPTIONS, "prefix", "node", "name"):
        option = "--name" if name in ("prefix", "node", "name") else f"--{name}"
        option = option.replace("_", "-")
        message = message.replace(f" {name}='", f" {option} '")
        message = message.replace(f"pass {name}= one of", f"pass {option} with one of")
        message = re.sub(rf"(^|; |: ){name} must", rf"\g<1>{option} must", message)
    return message


def _write(model: Any, target: Path) -> None:
    """Write a model in the format that the ending names."""
    import pygru

    if target.suffix == ".safetensors":
        pygru.save(model, target)
    elif target.suffix == ".onnx":
        pygru.to_onnx(model, target)
    else:
        from pygru.io import npz

        npz.save(model, target)
