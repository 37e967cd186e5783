"""The environment variables of a build. One that is empty is not set; a wrong value ends the
build in one line that names the variable, what came and what was expected.
"""

import os
import shlex

# What setuptools reads by itself. It would take an empty text for a command.
OF_COMPILERS = (
    "AR",
    "ARFLAGS",
    "CC",
    "CFLAGS",
    "CPP",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "LDCXXSHARED",
    "LDFLAGS",
    "LDSHARED",
)


def setting(name, environment=os.environ):
    """Return the text of a variable without blanks around it, or None."""
    return environment.get(name, "").strip() or None


def choice(name, choices, environment=os.environ):
    """Return a setting that must be one of ``choices``, or None."""
    value = setting(name, environment)
    if value is not None and value not in choices:
        *first, last = choices
        raise SystemExit(f"pygru: {name} must be {', '.join(first)} or {last}, got {value!r}")
    return value


def given(names, environment=os.environ):
    """Return those variables that are set, as a shell shows them: CC='gcc', CFLAGS='-O2'."""
    found = {name: setting(name, environment) for name in names}
    return ", ".join(f"{name}={value!r}" for name, value in found.items() if value)


def prepare(environment=os.environ):
    """Remove the compiler's variables that are empty, and look at the quotes of the others."""
    for name in OF_COMPILERS:
        value = setting(name, environment)
        if value is None:
            environment.pop(name, None)
            continue
        try:
            if os.name == "posix":  # a path of Windows has backslashes
                shlex.split(value)
        except ValueError as error:
            raise SystemExit(f"pygru: {name}={value!r} cannot be read: {error}") from None
