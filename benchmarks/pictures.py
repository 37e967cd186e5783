"""Draws the two pictures of docs/speed.md from measured rows."""

from benchmarks.words import LIBRARIES, NAMES, cell_text

OURS, OTHERS = "#d1495b", "#9db4c0"

# What a newcomer wants to do, the row that shows it, and how many such calls it takes. These
# were not chosen by their results.
TASKS = {
    "1000 live steps,\none after the other": ("step", (1, 1, 128, 128), 1000),
    "a sentence\nof 100 words": ("inference", (1, 100, 256, 256), 1),
    "32 sentences\nat once": ("inference", (32, 100, 128, 128), 1),
    "a training step\non 32 sentences": ("training", (32, 100, 128, 128), 1),
}


def tasks(measured):
    """Return the milliseconds of each task in each library that can do it."""
    found = {}
    for task, (kind, cell, times) in TASKS.items():
        row = next(row for row in measured.of(kind) if tuple(row["cell"]) == cell)
        seconds = row["seconds"]
        found[task] = {n: seconds[n] * times * 1e3 for n in LIBRARIES if n in seconds}
    return found


def _pyplot():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


def draw_tasks(measured, path):
    """Draw one panel for each task, with a bar for each library."""
    found = tasks(measured)
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(found), figsize=(9.6, 2.6), layout="constrained")
    places = range(len(LIBRARIES))
    for ax, (task, each) in zip(axes, found.items(), strict=True):
        values = [each.get(name, 0) for name in LIBRARIES]
        colours = [OURS if name == "pygru" else OTHERS for name in LIBRARIES]
        ax.barh(places, values, color=colours, height=0.7)
        for place, name in enumerate(LIBRARIES):
            value = each.get(name)
            text = "does not train" if value is None else f"{value:.3g} ms"
            ax.annotate(
                text,
                (value or 0, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color="black" if value else "gray",
                weight="bold" if name == "pygru" else "normal",
            )
        ax.set_title(task, fontsize=10, loc="left")
        ax.set_xlim(0, 1.45 * max(values))
        ax.set_yticks(places, [NAMES[n] for n in LIBRARIES] if ax is axes[0] else [""] * 5)
        ax.invert_yaxis()
        ax.set_xticks([])
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=130, facecolor="white")
    plt.close(figure)


def draw_ratios(measured, path):
    """Draw a bar of fastest rival / pygru for each cell."""
    plt = _pyplot()
    rows = measured.of("step", "inference", "training")
    labels = [f"{row['kind']} {cell_text(row['cell'])}" for row in rows]
    ratios = [row["ratio"] for row in rows]
    figure, ax = plt.subplots(figsize=(7, 0.27 * len(rows) + 0.8), layout="constrained")
    bars = ax.barh(labels, ratios, color=[OURS if r >= 1 else OTHERS for r in ratios])
    ax.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios], padding=3, fontsize=9)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xlim(0, 1.1 * max(ratios))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("time of the fastest rival / time of pygru")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=130, facecolor="white")
    plt.close(figure)
