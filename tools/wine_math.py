"""Give NumPy under Wine the functions of complex numbers that Wine's C library lacks.

    python tools/wine_math.py .../numpy/core/_multiarray_umath.cp311-win_amd64.pyd

Wine ends a process that calls cexp() or one of its relatives. A library is built that has them
from MinGW-w64 and leads to Wine for all other functions. NumPy's module is changed in its place
and takes them from there. The nightly job "windows" needs this; Windows itself does not.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

OF_WINE = "api-ms-win-crt-math-l1-1-0.dll"
OURS = "complex-math.dll"  # not longer, because it stands in the place of the name above
COMPLEX = re.compile(r"(c(?:arg|abs|pow|exp|log|sqrt|a?(?:sin|cos|tan)h?))(f|l)?")
HEAD = """
#include <complex.h>
typedef struct { double re, im; } pair;  /* a long double is a double in Microsoft's library */
typedef struct { float re, im; } pairf;
#define Z(a) __builtin_complex((a).re, (a).im)
"""


def imported(module):
    """Return the functions that a module takes from the library of Wine."""
    text = subprocess.run(
        ["x86_64-w64-mingw32-objdump", "-p", module], capture_output=True, text=True, check=True
    ).stdout
    block = re.search(rf"DLL Name: {re.escape(OF_WINE)}\n(.*?)\n\n", text, re.S)
    names = re.findall(r"^\s+[0-9a-f]+\s+\d+\s+(\w+)$", block[1], re.M) if block else []
    if not names:
        raise SystemExit(f"{module}: objdump shows nothing that it takes from {OF_WINE}")
    return names


def definition(name):
    """C for a function of complex numbers, with structs as Microsoft's library takes them."""
    function, letter = COMPLEX.fullmatch(name).groups()
    real, called = ("float", function + "f") if letter == "f" else ("double", function)
    pair = "pairf" if letter == "f" else "pair"
    second, argument = (f", {pair} b", ", Z(b)") if function == "cpow" else ("", "")
    if function in ("cabs", "carg"):
        return f"{real} our_{name}({pair} a) {{ return {called}(Z(a)); }}\n"
    return (
        f"{pair} our_{name}({pair} a{second})\n"
        f"{{ {real} complex c = {called}(Z(a){argument});\n"
        f"  return ({pair}){{__real__ c, __imag__ c}}; }}\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", type=Path)
    module = parser.parse_args().module
    names = imported(module)
    ours = [name for name in names if COMPLEX.fullmatch(name)]
    exports = [f"{name} = {'our_' if name in ours else 'ucrtbase.'}{name}" for name in names]
    with tempfile.TemporaryDirectory() as folder:
        source, exported = Path(folder, "complex.c"), Path(folder, "complex.def")
        source.write_text(HEAD + "".join(map(definition, ours)), encoding="ascii")
        exported.write_text("\n".join(["EXPORTS", *exports]) + "\n", encoding="ascii")
        compiler = ["x86_64-w64-mingw32-gcc", "-std=gnu11", "-O2", "-s"]
        files = [source, exported, "-o", module.with_name(OURS)]
        subprocess.run([*compiler, "-shared", "-static-libgcc", *files], check=True)
    data = module.read_bytes()
    name = OURS.encode().ljust(len(OF_WINE), b"\0")
    if data.count(OF_WINE.encode() + b"\0") != 1:
        raise SystemExit(f"{module} does not name {OF_WINE} once")
    module.write_bytes(data.replace(OF_WINE.encode(), name))


if __name__ == "__main__":
    main()
