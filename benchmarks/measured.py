"""Reads the files that ``python -m benchmarks --json`` has written."""

import json


class NotMeasured(LookupError):
    """The rows for a block are in none of the files."""


class Measured:
    """The rows of all files of results."""

    def __init__(self, paths):
        self.rows, self.machines = [], []
        seen = set()
        for path in paths:
            found = json.loads(path.read_text(encoding="utf-8"))
            for row in found["rows"]:
                key = tuple(map(str, (row[name] for name in ("kind", "cell", "call"))))
                key += row["dtype"], row["threads"]
                if key in seen:
                    raise ValueError(
                        f"{path}: another file also has {', '.join(map(str, key))}"
                    )
                seen.add(key)
                self.rows.append(row)
                self.machines.append(found["machine"])

    def of(self, *kinds, dtype="float32", several=False):
        """The rows of some kinds, with one thread or with several."""
        rows = [
            row
            for row in self.rows
            if row["kind"] in kinds
            and row["dtype"] == dtype
            and (row["threads"] > 1) == several
        ]
        if {row["kind"] for row in rows} != {*kinds}:
            raise NotMeasured(f"{', '.join(kinds)}, {dtype}, several threads: {several}")
        return rows

    def machine(self, kind):
        """The machine on which the first row of a kind was measured."""
        return self.machines[self.rows.index(self.of(kind)[0])]
