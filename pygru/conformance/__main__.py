"""``python -m pygru.conformance --target NAME``: is this GRU right?

Exit codes: 0 if the target computes a known GRU rightly, 1 if it does not, 2 if the command
line is wrong or the target cannot be found, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from pygru.commands.parser import ArgumentParser
from pygru.conformance.checking import check
from pygru.conformance.named import BUILT_IN, TargetError, missing_packages
from pygru.conformance.vectors import cases

EPILOG = """\
A function takes a case and returns a dict with the arrays 'output' (T, B, D*H) and 'h_n'
(L*D, B, H) and, if it has them, the gradients 'd_x', 'd_h0', 'd_weight_ih_l0' and so on.
It raises NotImplementedError for a case that it does not support. docs/conformance.md has
an example, and describes the file of vectors, which any language can read.

exit code: 0 the target is right; 1 it is wrong; 2 the command line is wrong
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = ArgumentParser(
        prog="python -m pygru.conformance",
        description="Says which GRU a library computes, and explains what is wrong with it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--target",
        metavar="NAME",
        help=f"{', '.join(BUILT_IN)}, or module:function for a function of your own",
    )
    what.add_argument("--list", action="store_true", help="list the built-in targets")
    what.add_argument("--cases", action="store_true", help="list the cases")
    made.add_argument("--case", metavar="NAME", default="*", help="try these cases, as 'mask*'")
    made.add_argument(
        "--variant",
        metavar="NAME",
        default="*",
        help="the variant that the target must compute, such as after-keep",
    )
    made.add_argument(
        "--tolerance",
        metavar="NUMBER",
        type=float,
        help="the largest difference that counts as rounding (default: by the dtype)",
    )
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    made = parser()
    options = made.parse_args(arguments)
    try:
        if options.list:
            print(_list())
        elif options.cases:
            print(_cases(options.case, options.variant))
        else:
            return _check(options)
    except (TargetError, ValueError) as error:
        made.error(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _check(options: argparse.Namespace) -> int:
    report = check(
        options.target,
        name=options.case,
        variant=options.variant,
        tolerance=options.tolerance,
    )
    print(json.dumps(report.as_dict(), indent=1, allow_nan=False) if options.json else report)
    return 0 if report.ok else 1


def _list() -> str:
    lines = []
    for name, (about, _) in BUILT_IN.items():
        missing = missing_packages(name)
        state = f"needs {' and '.join(missing)}, not installed" if missing else "can run here"
        lines.append(f"{name:12} {about} ({state})")
    lines.append("module:function  a function of your own")
    return "\n".join(lines)


def _cases(name: str, variant: str) -> str:
    lines = []
    for case in cases(name, variant=variant):
        T, B, I = case.x.shape
        said = [f"T={T} B={B} I={I} H={case.hidden_size}"]
        said += [f"{case.num_layers} layers"] if case.num_layers > 1 else []
        said += [f"direction {case.direction}"] if case.direction != "forward" else []
        said += [f"bias {case.bias}"] if case.bias != "two" else []
        said += ["no h0"] if case.h0 is None else []
        said += ["lengths"] if case.lengths is not None else []
        said += [f"mask (output: {case.masked_output})"] if case.mask is not None else []
        said += [f"activation {case.activation}"] if case.activation != "tanh" else []
        if case.recurrent_activation != "sigmoid":
            said.append(f"recurrent_activation {case.recurrent_activation}")
        said += [f"clip {case.clip}"] if case.clip is not None else []
        lines.append(f"{case.name:34} {', '.join(said)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
