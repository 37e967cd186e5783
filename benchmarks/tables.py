"""Writes the tables and sentences of the documentation from measured rows.

Each function makes one block of Markdown from :class:`~benchmarks.measured.Measured`, or raises
``NotMeasured`` if its rows are missing. ``pages.py`` puts the blocks into the pages.
"""

from benchmarks.measured import NotMeasured
from benchmarks.results import geometric_mean
from benchmarks.words import (
    KERNELS,
    LIBRARIES,
    NAMES,
    between,
    cell_text,
    date_text,
    listed,
    paragraph,
    share_text,
    table,
    time_text,
)

LAYERS = ("step", "inference", "training")


def mean_of(rows):
    """The geometric mean of the ratios to the fastest rival."""
    return geometric_mean(row["ratio"] for row in rows if row["ratio"] is not None)


# ---- the page of figures -----------------------------------------------------------------


def machine(measured):
    """The machine and the versions."""
    found = measured.machine("inference")
    versions = found["versions"]
    others = [name for name in NAMES if name in versions and name != "pygru"]
    rivals = [f"{NAMES[name]} {versions[name]}" for name in others]
    peak = found["limits"]["peak_gflops"]["float32"]
    parts = [found["cpu"], KERNELS[found["kernels"]], f"{peak:.0f} GFLOP/s a core"]
    return paragraph(f"{', '.join(parts)}, {date_text(found)}; {', '.join(rivals)}:")


def layers(measured):
    """All rows of steps, inference and training."""
    head = ["kind", "B, T, I = H", *(NAMES[name] for name in LIBRARIES)]
    head += ["fastest rival / pygru", "of the limit", "of sgemm"]
    rows = []
    for row in measured.of(*LAYERS):
        seconds = row["seconds"]
        times = [time_text(seconds[n]) if n in seconds else "-" for n in LIBRARIES]
        shares = [share_text(row["of_limit"]), share_text(row["of_sgemm"])]
        ratio = f"**{row['ratio']:.2f}**"
        rows.append([row["kind"], cell_text(row["cell"]), *times, ratio, *shares])
    return table(head, rows)


def means(measured):
    """The geometric means of each kind."""
    rows = [[kind, f"{mean_of(measured.of(kind)):.2f}"] for kind in LAYERS]
    return table(["", *(kind for kind, _ in rows)], [["geometric mean", *(m for _, m in rows)]])


def slower(measured):
    """The cells in which another library is faster."""
    return paragraph(_slower(measured))


def _slower(measured):
    rows = measured.of(*LAYERS)
    found = [row for row in rows if row["ratio"] < 0.995]
    if not found:
        return f"No other library is faster in any of the {len(rows)} cases."
    each = listed(
        [
            f"{NAMES[row['fastest']]} in {row['kind']} {cell_text(row['cell'])} "
            f"({row['ratio']:.2f})"
            for row in found
        ]
    )
    return f"Another library is faster in {len(found)} of the {len(rows)} cases: {each}."


def variants(measured):
    """What the other variants take, in times of the one that the rivals compute."""
    rows = []
    for kind in LAYERS:
        of_kind = measured.of(kind)
        if not all(row["of_variants"] for row in of_kind):
            raise NotMeasured("variants")
        texts = []
        for variant in ("chung", "cho"):
            ratios = [row["of_variants"][variant] for row in of_kind]
            texts.append(f"{geometric_mean(ratios):.2f} ({between(ratios)})")
        rows.append([kind, *texts])
    return table(["mean (least to largest)", "`chung` / `pytorch`", "`cho` / `pytorch`"], rows)


def calls(measured):
    """The ways to call a layer for one step, and what the rivals take for it."""
    rows = measured.of("calls")
    cells = list(dict.fromkeys(tuple(row["cell"]) for row in rows))
    found = {(row["call"], tuple(row["cell"])): row for row in rows}
    names = list(dict.fromkeys(row["call"] for row in rows))
    lines = []
    for call in names:
        texts = []
        for cell in cells:
            row = found[call, cell]
            text = time_text(row["seconds"]["pygru"])
            texts.append(text if call == "stream" else f"{text} ({row['stream_steps']:.1f})")
        lines.append([f"`{call}`", *texts])
    rivals = {
        "onnxruntime": "ONNX Runtime, `run`",
        "onnxruntime bound": "ONNX Runtime, bound memory",
        "openvino": "OpenVINO",
        "torch": "PyTorch",
        "jax": "JAX, compiled",
    }
    for call, what in {
        "g(x)": "",
        "g(x, h0)": ", from `h0`",
        "forward + backward": ", training",
    }.items():
        for rival, name in rivals.items():
            of_rival = [found[call, cell]["seconds"].get(rival) for cell in cells]
            if None not in of_rival:
                lines.append([name + what, *map(time_text, of_rival)])
    return table(["", *(f"H = {cell[3]}" for cell in cells)], lines)


def trainer(measured):
    """Whole training steps."""
    rows = []
    for row in measured.of("trainer"):
        seconds = row["seconds"]
        times = [time_text(seconds["pygru"]), time_text(seconds["torch"])]
        rate = f"{row['operations_per_second'] / 1e9:.0f}"
        shape = ", ".join(map(str, row["cell"]))
        rows.append([shape, *times, f"**{row['ratio']:.2f}**", rate])
    return table(["B, T, I, H", "pygru", "PyTorch", "PyTorch / pygru", "GFLOP/s"], rows)


def quantized(measured):
    """Weights of 8 bits beside those of PyTorch, and beside float32."""
    head = ["B, T, I = H", "pygru 8 bits", "pygru", "PyTorch int8", "fastest float32 rival"]
    head += ["float32 / 8 bits", "fastest rival / 8 bits", "largest difference"]
    head += ["RMS difference", "RMS difference of PyTorch int8"]
    rows = []
    for row in measured.of("quantized"):
        seconds = row["seconds"]
        if "pygru 8 bits" not in seconds:
            raise NotMeasured("weights of 8 bits")
        rival = min((n for n in LIBRARIES[1:] if n in seconds), key=seconds.get)
        difference = row["differences"]["pygru 8 bits"]
        times = [time_text(seconds[n]) for n in ("pygru 8 bits", "pygru", "torch int8")]
        rows.append(
            [
                cell_text(row["cell"]),
                *times,
                f"{time_text(seconds[rival])} ({NAMES[rival]})",
                f"**{seconds['pygru'] / seconds['pygru 8 bits']:.2f}**",
                f"**{row['ratio']:.2f}**",
                f"{difference['largest']:.4f}",
                f"{difference['rms']:.4f}",
                f"{row['differences']['torch int8']['rms']:.4f}",
            ]
        )
    return table(head, rows)


def torch(measured):
    """The module of PyTorch, and the means."""
    rows = measured.of("torch")
    head = ["kind", "B, T, I = H", "`torch.nn.GRU`", "`pygru.torch.GRU`", "pygru"]
    lines, groups = [], {}
    for call in ("inference", "training"):
        groups[call] = [row for row in rows if row["call"] == call]
        for row in groups[call]:
            times = [time_text(row["seconds"][n]) for n in ("torch", "pygru.torch", "pygru")]
            shape = cell_text(row["cell"])
            lines.append([call, shape, *times, f"**{row['ratio']:.2f}**"])
    ratios = [f"{mean_of(group):.1f} in {call}" for call, group in groups.items()]
    said = f"The geometric mean of the last column is {' and '.join(ratios)}."
    return f"{table([*head, 'PyTorch / pygru.torch'], lines)}\n\n{said}"


def float64(measured):
    """What was measured in float64."""
    texts = []
    for kind in ("inference", "training"):
        rows = measured.of(kind, dtype="float64")
        ratios = [row["ratio"] for row in rows]
        many = [row for row in rows if row["cell"][0] >= 8]
        shares = [round(row["of_limit"] * 100) for row in many]
        texts.append(
            f"In {kind} pygru is {between(ratios)} times as fast as the fastest of them "
            f"(geometric mean {mean_of(rows):.2f}), and the cases with at least 8 sequences "
            f"reach {between(shares, 0)} % of the limit."
        )
    return paragraph(" ".join(texts))


def threads(measured):
    """How many times faster several threads are than one."""
    rows = measured.of("inference", "training", several=True)
    found = {(row["kind"], tuple(row["cell"])): row for row in rows}
    cells = list(dict.fromkeys(cell for _, cell in found))
    lines = []
    for cell in cells:
        each = [found.get((kind, cell)) for kind in ("inference", "training")]
        texts = ["-" if row is None else f"{row['speed_up']:.2f}" for row in each]
        lines.append([cell_text(cell), *texts])
    return table(["B, T, I = H", "inference", "training"], lines)


# ---- other pages -------------------------------------------------------------------------


def summary(measured):
    """The paragraph of the README."""
    parts = [
        f"{mean_of(measured.of(kind)):.2f} for {kind}" for kind in ("inference", "training")
    ]
    step = f"{mean_of(measured.of('step')):.1f} for a single step"
    found = measured.machine("inference")
    where = f"a virtual machine with an {found['cpu']} ({KERNELS[found['kernels']]})"
    return paragraph(
        "The geometric mean of the time of the fastest other library divided by that of pygru "
        f"is {listed([step, *parts])}. {_slower(measured)} The figures were measured by "
        f"`python -m benchmarks` on {date_text(found)}, on {where}. They differ by about a "
        "tenth from run to run."
    )


def trainer_sentence(measured):
    """The README's sentence on a whole training step."""
    row = measured.of("trainer")[0]
    B, T, I, H = row["cell"]
    ours, theirs = (time_text(row["seconds"][name]) for name in ("pygru", "torch"))
    return paragraph(
        f"A whole training step of `Trainer` (B = {B}, T = {T}, I = {I}, H = {H}, `Linear` "
        f"head, Adam, clipping) takes {ours}. The same step takes {theirs} in PyTorch, "
        f"{row['ratio']:.1f} times as long."
    )


BLOCKS = {
    "machine": machine,
    "layers": layers,
    "means": means,
    "slower": slower,
    "variants": variants,
    "calls": calls,
    "trainer": trainer,
    "quantized": quantized,
    "torch": torch,
    "float64": float64,
    "threads": threads,
    "summary": summary,
    "trainer sentence": trainer_sentence,
}
