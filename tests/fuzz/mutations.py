"""Random changes of good files and values, such as chance and attackers make."""

import json

# Numbers that are often limits, in the widths in which files store them.
LIMITS = [0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1,
          2**63, 2**64 - 1]  # fmt: skip


def flip_bits(data, rng):
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def set_bytes(data, rng):
    for _ in range(rng.choice([1, 1, 4])):
        data[rng.randrange(len(data))] = rng.choice(
            [0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)]
        )


def set_number(data, rng):
    width = rng.choice([1, 2, 4, 8])
    number = rng.choice(LIMITS) % 256**width
    at = rng.randrange(len(data))
    data[at : at + width] = number.to_bytes(width, rng.choice(["little", "big"]))


def cut_off(data, rng):
    del data[rng.randrange(len(data)) :]


def remove(data, rng):
    at = rng.randrange(len(data))
    del data[at : at + rng.choice([1, 2, 8, 64])]


def insert(data, rng):
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice([1, 2, 8, 64]))


def repeat(data, rng):
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.choice([1, 8, 64, len(data)])]


def swap(data, rng):
    size = rng.choice([1, 4, 16])
    a, b = rng.randrange(len(data)), rng.randrange(len(data))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


CHANGES = [flip_bits, set_bytes, set_number, cut_off, remove, insert, repeat, swap]


def mutant(original, rng):
    """Return a copy of some bytes with one to three changes."""
    data = bytearray(original)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if data:
            rng.choice(CHANGES)(data, rng)
    return bytes(data)


# ---- JSON --------------------------------------------------------------------------------

HOSTILE = [
    None, True, False, -1, 0, 1, 7, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 1e308, 0.5,
    float("nan"), float("inf"), "", "x", "²", "٣", "1" * 400, "F64", "float64", "GRU",
    "Sequential", "\ud800", "\0", [], {}, [0], [[]], {"class": "GRU"}, ["after", "keep"],
    [1, 2, 3], {"a": 1},
]  # fmt: skip


def places_in(value, place=()):
    """The paths to all values within each other in a JSON value."""
    yield place
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_in(item, (*place, key))


def changed(value, rng):
    """A copy of a JSON value in which one entry is another, gone, doubled or renamed."""
    value = json.loads(json.dumps(value))
    places = [place for place in places_in(value) if place]
    if not places:
        return rng.choice(HOSTILE)
    *above, key = rng.choice(places)
    parent = value
    for step in above:
        parent = parent[step]
    kind = rng.randrange(5)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[rng.choice(["x", "class", "config", "layers", "dtype", ""])] = parent.pop(key)
    elif kind == 2 and isinstance(parent, list):
        parent.append(parent[key])
    else:
        parent[key] = rng.choice(HOSTILE)
    return value
