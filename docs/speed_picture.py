"""Draws docs/speed_three.png: the time of three calls, pygru beside the other libraries.

Run it after new figures have been put into docs/speed.md:  python docs/speed_picture.py

The times are read from the first table of that page, printed by ``python -m benchmarks``.
Nothing is measured here. The three cells have the same size, 128 units, and were not chosen by
their results: one step, inference and training.
"""

import re
from pathlib import Path

import matplotlib

HERE = Path(__file__).parent
CELLS = {
    ("step", "1, 1, 128"): "one step\nof one sequence",
    ("inference", "32, 100, 128"): "inference\n32 sequences of 100 steps",
    ("training", "32, 100, 128"): "training\n32 sequences of 100 steps",
}
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def times(page):
    """Return the milliseconds of each library in the cells above, from the first table."""
    table = page[page.index("| kind |") :].split("\n\n", 1)[0]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()
    ]
    libraries = head[2 : head.index("fastest rival / pygru")]
    found = {}
    for kind, shape, *cells in rows:
        if (kind, shape) in CELLS:
            numbers = zip(libraries, cells, strict=False)
            found[kind, shape] = {name: read(cell) for name, cell in numbers if cell != "-"}
    return {cell: found[cell] for cell in CELLS}  # KeyError: a cell is not in the table


def read(text):
    """Return a text such as ``4.3 us`` in milliseconds."""
    number, unit = re.fullmatch(r"([\d.]+) (us|ms|s)", text).groups()
    return float(number) * MILLISECONDS[unit]


def draw(path):
    """Draw the picture."""
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    found = times((HERE / "speed.md").read_text(encoding="utf-8"))
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.5), layout="constrained")
    for ax, (cell, each) in zip(axes, found.items(), strict=True):
        names, values = list(each), list(each.values())
        places = [-number for number in range(len(names))]  # from the top, in each panel alike
        colours = ["#d1495b" if name == "pygru" else "#9db4c0" for name in names]
        bars = ax.barh(places, values, color=colours, height=0.7)
        ax.set_yticks(places, names)
        ax.set_ylim(-4.5, 0.5)
        ax.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize=9)
        ax.set_title(CELLS[cell], fontsize=10, loc="left")
        ax.set(xlabel="milliseconds", xlim=(0, 1.2 * max(values)))
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=4)
    figure.savefig(path, dpi=130, facecolor="white")


if __name__ == "__main__":
    draw(HERE / "speed_three.png")
