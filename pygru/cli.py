"""The command ``pygru``: train a forecaster, use it, and describe this installation.

Exit codes: 0 if all is done, 1 if the run failed, 2 if the command line was wrong, 130 after
Ctrl-C. An error is one line on standard error, of bounded length. ``--debug`` shows the
traceback too.

This file turns errors into lines; :mod:`pygru.commands.options` says which options there are,
and :mod:`pygru.commands` what a subcommand does.
"""

import sys
from collections.abc import Sequence

from pygru.commands import about
from pygru.commands.errors import (
    FailedElsewhere,
    InterruptedRun,
    UsageError,
    described,
    one_line,
)
from pygru.commands.options import parser_of_all
from pygru.commands.output import give_up_output
from pygru.commands.world import quiet_unless_first, refuse_many


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    parser = parser_of_all()
    with quiet_unless_first():
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.version:
        options.run = about.version
    elif options.command is None:
        parser.print_usage(sys.stderr)
        return 2
    try:
        if options.command in ("bench", "convert", "predict"):
            refuse_many(options.command)
        options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has ended, which is not an error
        give_up_output()
    except UsageError as error:
        options.parser.error(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except FailedElsewhere:
        return 0
    except InterruptedRun as error:
        return _fail(one_line(error), 130)
    except Exception as error:
        if options.debug:
            raise
        return _fail(described(error), 1)
    return 0


def _fail(line: str, code: int) -> int:
    print(f"pygru: {line}", file=sys.stderr)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        give_up_output()
    return code


if __name__ == "__main__":
    sys.exit(main())
