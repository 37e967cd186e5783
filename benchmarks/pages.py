"""Put measured figures into the pages of the documentation, and draw the pictures.

    python -m benchmarks all --json benchmarks/results/float32.json
    python -m benchmarks inference training --dtype float64 --only torch \\
        --json benchmarks/results/float64.json
    python -m benchmarks inference training --threads 2 --only \\
        --json benchmarks/results/two_threads.json
    python -m benchmarks.pages

The last command reads every file in benchmarks/results and measures nothing. It rewrites what
stands in the pages between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``, where
NAME is one of the blocks of ``tables.py``. A block whose figures are in no file is named and
stays as it is.
"""

import argparse
import re
import sys
from pathlib import Path

from benchmarks import pictures, tables
from benchmarks.measured import Measured, NotMeasured

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", ROOT / "docs" / "speed.md"]
BLOCK = re.compile(r"(<!-- figures: (.+?) -->\n).*?(\n<!-- end of figures -->)", re.S)


def rewritten(text, measured):
    """Return the text of a page with new figures, and the names of the blocks without."""
    missing = []

    def block(match):
        begin, name, end = match.groups()
        try:
            return f"{begin}\n{tables.BLOCKS[name](measured)}\n{end}"
        except NotMeasured:
            missing.append(name)
            return match.group()

    return BLOCK.sub(block, text), missing


def main():
    measured = Measured(sorted(RESULTS.glob("*.json")))
    for page in PAGES:
        text, missing = rewritten(page.read_text(encoding="utf-8"), measured)
        page.write_text(text, encoding="utf-8")
        for name in missing:
            print(f"{page.name}: not measured: {name}")
    pictures.draw_tasks(measured, ROOT / "docs" / "speed_tasks.png")
    pictures.draw_ratios(measured, ROOT / "docs" / "speed.png")
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # it takes none
    sys.exit(main())
