"""Tables: good ones, and what chance, programs and people make of them."""

import random

from fuzz.mutations import mutant

CELLS = [
    "", " ", "0", "-1", "1e400", "1e-400", "nan", "NaN", "inf", "-inf", "NA", "None", "true",
    "1,5", "1.5", "1_000", "1 000", "0x10", "٣", "²", "12%", "$3", "=1+1", "-", "+", ".", "e",
    "2024-02-30", "0000-00-00", "2024-01-01T25:00", "2024-01-01T00:00:00Z", "2024-01-01 02:30",
    "2024-01-01T00:00:00+01:00", "9999-12-31", "1677-09-20", "31.12.2023", "12/31/2023",
    "2024-W01", "1704067200", "9" * 20, "1e308", "-0.0", "x" * 3000, "ä", "\ufeff",
    "\u2028", "\U0001f600", '"', '""', "'", '"a,b"', '"a\nb"', "\\", "#", "\t", ";", "|",
]  # fmt: skip


def tables():
    """Good tables by name: days, shops, European numbers, seconds, step numbers, one column."""
    days = [f"2024-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(40)]
    numbers = [str((7 * n) % 10 + 0.5) for n in range(40)]
    shops = "".join(
        f"{shop},{days[n]},{numbers[n]},{n % 3}\n" for shop in "ab" for n in range(40)
    )
    return {
        "days": "date,y\n" + "".join(f"{d},{y}\n" for d, y in zip(days, numbers, strict=True)),
        "shops": "shop,date,y,price\n" + shops,
        "european": "Datum;Umsatz\r\n"
        + "".join(
            f"{d[8:]}.{d[5:7]}.{d[:4]};{y.replace('.', ',')}\r\n"
            for d, y in zip(days, numbers, strict=True)
        ),
        "minutes": "time,y\n"
        + "".join(f"2024-01-01T{n // 4:02}:{15 * (n % 4):02}:00,{n % 5}\n" for n in range(40)),
        "steps": "step,y,z\n" + "".join(f"{n},{n % 4},{n % 3}\n" for n in range(40)),
        "column": "y\n" + "".join(f"{n % 4}\n" for n in range(40)),
    }


def damaged_table(text: str, rng: random.Random) -> bytes:
    """A damaged copy of a table, as bytes."""
    for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
        text = rng.choice(CHANGES)(text, rng)
    data = text.encode(rng.choice(["utf-8"] * 6 + ["utf-16", "cp1252"]), "replace")
    if rng.randrange(4) == 0 and data:
        data = mutant(data, rng)
    return data


def other_cell(text, rng):
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    separator = ";" if ";" in lines[at] else ","
    cells = lines[at].split(separator)
    cells[rng.randrange(len(cells))] = rng.choice(CELLS)
    lines[at] = separator.join(cells)
    return "\n".join(lines)


def other_column(text, rng):
    """The same cell in every row of a column, perhaps also in its header."""
    lines = text.split("\n")
    separator = ";" if ";" in lines[0] else ","
    place = rng.randrange(lines[0].count(separator) + 1)
    value, first = rng.choice(CELLS), rng.choice([0, 1])
    for at in range(first, len(lines)):
        cells = lines[at].split(separator)
        if len(cells) > place:
            cells[place] = value
        lines[at] = separator.join(cells)
    return "\n".join(lines)


def lines_moved(text, rng):
    lines = text.split("\n")
    kind = rng.randrange(6)
    a, b = sorted((rng.randrange(len(lines)), rng.randrange(len(lines))))
    if kind == 0:
        del lines[a:b]
    elif kind == 1:
        lines[a:a] = lines[a:b]
    elif kind == 2:
        lines[a:b] = reversed(lines[a:b])
    elif kind == 3:
        lines.insert(a, rng.choice(["", "#", " ", ",", ",,,,,,", "x"]))
    elif kind == 4:
        lines[1:] = lines[1:3]  # hardly a row
    else:
        rng.shuffle(lines)
    return "\n".join(lines)


def written_differently(text, rng):
    old, new = rng.choice(
        [(",", ";"), (",", "\t"), (".", ","), ("\n", "\r\n"), ("\n", "\r"), ("-", "/"),
         ("date", "y"), ("y", "1"), ("y\n", '"y"\n'), (",", ", "), ("2024", "24")]
    )  # fmt: skip
    return text.replace(old, new)


def around(text, rng):
    before = rng.choice(["\ufeff", "\n\n", "# a comment\n", "sep=;\n", "\0", ""])
    return before + text + rng.choice(["", "\n\n\n", "\0", ",", '"'])


CHANGES = [other_cell, other_cell, other_column, lines_moved, written_differently, around]
