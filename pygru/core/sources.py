"""The places of the C core's files, for programs that are compiled with it."""

from pathlib import Path

# In an installed package; in a checkout the sources are beside the package.
_FOLDERS = [Path(__file__).parent.parent / "src_c", Path(__file__).parents[2] / "src_c"]


def get_include() -> str:
    """Return the folder of ``pygru.h``, to be given to a C compiler with ``-I``.

    Cython programs find the same declarations in ``pygru.core.cpygru``.

    Examples
    --------
    >>> import os, pygru
    >>> os.path.exists(os.path.join(pygru.get_include(), "pygru.h"))
    True
    """
    for folder in _FOLDERS:
        if (folder / "pygru.h").exists():
            return str(folder)
    raise FileNotFoundError("this installation of pygru has no C sources")


def get_sources() -> list[str]:
    """Return the C files of the core, to be compiled into a program that uses it.

    They need neither Python nor BLAS, because the SIMD engine has its own products.

    Examples
    --------
    >>> import pygru
    >>> any(name.endswith("core_f32.c") for name in pygru.get_sources())
    True
    """
    folder = Path(get_include())
    names = [*folder.glob("*.c"), *(folder / "kernels").glob("*.c")]
    return sorted(str(name) for name in names if not name.name.endswith(".tpl.c"))
