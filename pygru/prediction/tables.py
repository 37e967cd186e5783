"""Long tables, one row for each step: a DataFrame of pandas, or a Parquet file of any size.

The rows of a Parquet file are read in their order. All rows of a sequence must stand together,
and in the order of time. This is checked, from the id columns alone, before anything is
computed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
from collections.abc import Callable, Generator, Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pygru.data.identity import names_of
from pygru.data.long import from_long
from pygru.data.messages import cut, shown_names
from pygru.prediction.chunks import Chunk, Keys, Measured, Size, grouped
from pygru.prediction.hashes import Fingerprint
from pygru.prediction.hashes import text as hash_text
from pygru.prediction.rows import Rows

#: Rows that are read at a time.
ROWS = 16_384


def import_parquet(argument: str) -> tuple[Any, Any]:
    """Return the modules of pyarrow, or raise with the way to get them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "pyarrow":
            raise
        raise ImportError(
            f"{argument}: Parquet needs the package pyarrow; install it with  "
            'pip install "pygru[parquet]"'
        ) from None
    return pyarrow, pyarrow.parquet


class Frame(Rows):
    """The sequences of a DataFrame, which is in memory.

    Parameters
    ----------
    table : DataFrame
    id, time, values
        As for :func:`pygru.data.from_long`.
    """

    def __init__(self, table: Any, id: Any, time: Hashable, values: Any) -> None:
        columns = {"id": id, "time": time, "values": values, "step_label": time}
        read = from_long(table if len(table) else _row_of_zeros(table), **columns)
        self._first = read.X[0]
        found: Any = read if len(table) else ([], [], [])
        X, times, ids = found
        super().__init__(X, {})
        names = [str(name) for name in names_of("id", id)]
        each = [[id[i] for id in ids] for i in range(len(names))] if len(names) > 1 else [ids]
        self._ids = {name: _objects(column) for name, column in zip(names, each, strict=True)}
        self._times = None if time is None else (str(time), list(times))
        taken = {*names_of("id", id), time}
        others = [name for name in table.columns if name not in taken]
        self._columns = tuple(others if values is None else names_of("values", values))

    def _zeros(self) -> Any:
        return [np.zeros_like(self._first)]

    def _chunk(self, first: int, end: int) -> Chunk:
        keys = Keys(self._ids, self._times).part(first, end)
        return super()._chunk(first, end)._replace(keys=keys, columns=self._columns)


def _row_of_zeros(table: Any) -> Any:
    """A table of one row, with the columns and the index of a table without rows."""
    import pandas as pd

    names = table.index.names
    index = pd.MultiIndex.from_arrays([[0]] * len(names), names=names)
    return pd.DataFrame(0, index, table.columns)


def _objects(values: Any) -> NDArray[Any]:
    """An array of objects, also if they are sequences."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


class ParquetTable:
    """The sequences of a Parquet file.

    Parameters
    ----------
    path : str
    id, time, values
        As for :func:`pygru.data.from_long`.
    """

    remembers = False

    def __init__(self, path: str, id: Any, time: Hashable, values: Any) -> None:
        self._arrow, self._parquet = import_parquet("source")
        self._path = path
        if os.path.isdir(path):
            raise IsADirectoryError(
                errno.EISDIR, "source is a folder; pass each Parquet file in it", path
            )
        with self._damage_named("no Parquet file"), self._open() as file:
            self._schema = file.schema_arrow
            groups = range(file.num_row_groups)
            sizes = [file.metadata.row_group(i).num_rows for i in groups]
        self._group_ends = np.cumsum(sizes, dtype=np.int64)
        with self._damage_named():
            self._choose_columns(id, time, values)
            self._find_sequences()
        self.count: int | None = len(self._sizes)
        self.longest: int | None = int(self._sizes.max(initial=0))

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        # pyarrow does not close a file that it has opened itself when an error is raised.
        with self._arrow.OSFile(self._path) as file:
            yield self._parquet.ParquetFile(file, buffer_size=2**20)

    @contextlib.contextmanager
    def _damage_named(self, what: str = "damaged") -> Iterator[None]:
        """A block in which errors of pyarrow, and of text in the file, get the file's name."""
        try:
            yield
        except (MemoryError, self._arrow.ArrowCancelled):  # say nothing about the file
            raise
        except (
            self._arrow.ArrowException,
            OSError,
            UnicodeError,
            json.JSONDecodeError,  # of what pandas has written about its columns
        ) as error:
            if getattr(error, "errno", None) is not None:  # one of the system
                raise
            raise ValueError(f"source: {self._path} is {what}: {str(error)[:200]}") from error

    # ---- columns ---------------------------------------------------------------------------

    def _choose_columns(self, id: Any, time: Hashable, values: Any) -> None:
        self._ids = self._names("id", id)
        if not self._ids:
            raise ValueError(
                "id must name the column that says to which sequence a row belongs"
            )
        times = self._names("time", time)
        self._time = times[0] if times else None
        if self._time is not None:
            self._check_time(self._type("time", self._time))
        self._choose_values(values)

    def _names(self, argument: str, given: Any) -> list[str]:
        """The names that an argument gives, after checking that there are such columns."""
        names = names_of(argument, given)
        for name in names:
            if name not in self._schema.names:
                raise ValueError(
                    f"{argument}: {self._path} has no column {cut(name)}; its columns are "
                    f"{shown_names(self._schema.names)}"
                )
        return [str(name) for name in names]

    def _type(self, argument: str, name: str) -> Any:
        """The type of a column, which must be one of Arrow itself.

        The periods of pandas are not. To Arrow they are whole numbers until pandas has read or
        written any, and then a type of their own.
        """
        field = self._schema.field(name)
        named: bytes = (field.metadata or {}).get(b"ARROW:extension:name", b"")
        foreign = named.decode() or getattr(field.type, "extension_name", "")
        if foreign:
            raise TypeError(
                f"{argument}: column {cut(name)} of {self._path} holds {foreign}, which is no "
                "type of Arrow itself; read the file as a DataFrame"
            )
        return field.type

    def _check_time(self, kind: Any) -> None:
        """Raise unless a type has an order of time."""
        types = self._arrow.types
        if not (types.is_temporal(kind) or types.is_integer(kind) or types.is_floating(kind)):
            raise TypeError(
                f"time: column {cut(self._time)} of {self._path} holds {kind}; write it as "
                "timestamps or numbers, or read the file as a DataFrame"
            )

    def _choose_values(self, values: Any) -> None:
        """Choose the columns of numbers, and the dtype that holds all of them."""
        names = self._names("values", values)
        if values is None:
            taken = {*self._ids, self._time, *self._index()}
            names = [name for name in self._schema.names if name not in taken]
        if not names:
            raise ValueError("values must name at least one column of numbers")
        self._values = names
        self._is_single = not isinstance(values, (list, np.ndarray)) and names == [values]
        dtypes = [self._dtype(name) for name in names]
        self._dtype_of_all = np.result_type(*dtypes)

    def _index(self) -> list[str]:
        """The columns that were the index of a DataFrame: pandas does not count them either."""
        about = self._schema.pandas_metadata
        written = about.get("index_columns") if isinstance(about, dict) else None
        return [name for name in written or () if isinstance(name, str)]

    def _dtype(self, name: str) -> np.dtype[Any]:
        """The dtype of a column of numbers."""
        kind = self._type("values", name)
        types = self._arrow.types
        if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
            dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
            return dtype
        if types.is_decimal(kind):
            return np.dtype(np.float64)
        hint = f"pass time={cut(name)}, or " if types.is_temporal(kind) else ""
        raise TypeError(
            f"values: column {cut(name)} of {self._path} holds {kind}, not numbers; {hint}list "
            "the columns of numbers in values="
        )

    # ---- where the sequences are -----------------------------------------------------------

    def _find_sequences(self) -> None:
        """Find where each sequence begins, from the ids alone."""
        import pandas as pd

        starts: list[NDArray[Any]] = []
        hashes: list[NDArray[Any]] = []
        last: list[Any] | None = None
        row = 0
        for table in self._batches(self._ids, 0):
            columns = [self._id_column(name, table, row) for name in self._ids]
            changes = np.ones(len(table), bool)
            changes[1:] = False
            for column in columns:
                changes[1:] |= column[1:] != column[:-1]
            if last is not None:
                changes[0] = any(
                    c[0] != before for c, before in zip(columns, last, strict=True)
                )
            last = [column[-1] for column in columns]
            found = np.flatnonzero(changes)
            starts.append(found + row)
            frame = pd.DataFrame({i: c[found] for i, c in enumerate(columns)})
            hashes.append(pd.util.hash_pandas_object(frame, index=False).to_numpy())
            row += len(table)
        self._starts = np.concatenate([*starts, np.zeros(0, np.int64)])
        self._sizes = np.diff(self._starts, append=row)
        self._refuse_repeats(np.concatenate([*hashes, np.zeros(0, np.uint64)]))

    def _id_column(self, name: str, table: Any, row: int) -> NDArray[Any]:
        column = table.column(name)
        if column.null_count:
            at = row + int(np.argmax(column.is_null().to_numpy()))
            raise ValueError(f"source: the id column {cut(name)} is missing in row {at}")
        return _as_numpy(column)

    def _refuse_repeats(self, hashes: NDArray[Any]) -> None:
        """Raise if an id comes again after another one."""
        order = np.argsort(hashes, kind="stable")
        same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
        for place in same:
            rows = sorted(int(self._starts[order[place + i]]) for i in (0, 1))
            first, again = (self._id_at(row) for row in rows)
            if first == again:  # and not only their hashes
                named = cut(first[0]) if len(first) == 1 else cut(first)
                raise ValueError(
                    f"source: the rows of the id {named} do not stand together in "
                    f"{self._path}: one sequence begins in row {rows[0]}, and another in row "
                    f"{rows[1]}. Sort the file by the id, or read it as a DataFrame"
                )

    def _id_at(self, row: int) -> tuple[Any, ...]:
        table = next(self._batches(self._ids, row)).slice(0, 1).to_pydict()
        return tuple(table[name][0] for name in self._ids)

    # ---- reading ---------------------------------------------------------------------------

    def _batches(self, columns: list[str], row: int) -> Generator[Any, None, None]:
        """Yield tables of consecutive rows, the first one beginning with ``row``."""
        group = int(np.searchsorted(self._group_ends, row, "right"))
        skipped = row - (int(self._group_ends[group - 1]) if group else 0)
        with self._damage_named(), self._open() as file:
            for number in range(group, file.num_row_groups):
                # One by one: what has been read of a row group stays in memory until the last
                # of those that are read together is done.
                for batch in file.iter_batches(
                    ROWS, row_groups=[number], columns=columns, use_threads=False
                ):
                    if skipped >= len(batch):
                        skipped -= len(batch)
                        continue
                    yield self._arrow.Table.from_batches([batch]).slice(skipped)
                    skipped = 0

    def chunks(self, first: int, size: Size, check: Callable[[], None]) -> Iterator[Chunk]:
        """Yield chunks; a sequence may begin in one row group and end in another."""
        check()
        row_bytes = self._dtype_of_all.itemsize * len(self._values)
        sizes = self._sizes[first:].tolist()
        items = (Measured(steps, steps * row_bytes) for steps in sizes)
        if not self.count:
            tail = () if self._is_single else (len(self._values),)
            ids = Keys({name: _objects([]) for name in self._ids})
            keys = ids if self._time is None else ids._replace(times=(self._time, []))
            like = [np.zeros((1, *tail), self._dtype_of_all)]
            yield Chunk(0, [], {}, keys, like, tuple(self._values))
        if not sizes:
            return
        with contextlib.closing(self._batches(self._columns, int(self._starts[first]))) as read:
            reader = _Rows(read)
            for group in grouped(items, size):
                end = first + len(group)
                rows = int(self._sizes[first:end].sum())
                # The table has no name here, so that it is gone before the next one is read.
                with self._damage_named():
                    yield self._chunk(first, end, reader.take(rows))
                first = end

    @property
    def _columns(self) -> list[str]:
        return [*self._ids, *([self._time] if self._time else []), *self._values]

    def _chunk(self, first: int, end: int, table: Any) -> Chunk:
        begins = self._starts[first:end] - self._starts[first]
        row = int(self._starts[first])
        values = np.empty((len(table), len(self._values)), self._dtype_of_all)
        for i, name in enumerate(self._values):
            values[:, i] = self._numbers(name, table.column(name), row)
        if self._is_single:
            values = values[:, 0]
        ids = {name: table.column(name).take(begins).to_pylist() for name in self._ids}
        times = None
        if self._time is not None:
            stamps = self._stamps(table.column(self._time), begins, row)
            times = (self._time, np.split(stamps, begins[1:]))
        keys = Keys({name: _objects(each) for name, each in ids.items()}, times)
        return Chunk(first, np.split(values, begins[1:]), {}, keys, columns=tuple(self._values))

    def _numbers(self, name: str, column: Any, row: int) -> NDArray[Any]:
        if column.null_count and self._dtype_of_all.kind != "f":
            at = row + int(np.argmax(column.is_null().to_numpy()))
            raise ValueError(f"source: the column {cut(name)} is missing in row {at}")
        found: NDArray[Any] = column.to_numpy()
        return found

    def _stamps(self, column: Any, begins: NDArray[Any], row: int) -> NDArray[Any]:
        """The times of some rows, after checking that those of each sequence are in order."""
        assert self._time is not None
        what = f"time: column {cut(self._time)} of {self._path}"
        if column.null_count:
            at = row + int(np.argmax(column.is_null().to_numpy()))
            raise ValueError(f"{what} is missing in row {at}")
        stamps = _as_numpy(column)
        is_later = np.asarray(stamps[1:] > stamps[:-1], bool)
        is_later[begins[1:] - 1] = True  # another sequence begins
        wrong = np.flatnonzero(~is_later)
        if wrong.size:
            at = row + int(wrong[0]) + 1
            raise ValueError(
                f"{what} must be in order within each sequence, but row {at} is not later than "
                "the row before. Sort the file by id and time, or read it as a DataFrame"
            )
        return stamps

    def fingerprint(self) -> Fingerprint:
        """It is computed once."""
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> Fingerprint:
        """With a hash of the end of the file, which describes all columns."""
        lengths = hashlib.blake2b(np.ascontiguousarray(self._sizes).tobytes(), digest_size=16)
        found = hashlib.blake2b(digest_size=16)
        with open(self._path, "rb") as file:
            file.seek(-8, os.SEEK_END)
            size = int.from_bytes(file.read(4), "little")
            file.seek(-8 - size, os.SEEK_END)
            found.update(file.read(size))
        return {
            "number of sequences": str(self.count),
            "columns": repr((self._columns, self._is_single)),
            "lengths": hash_text(lengths),
            "values": hash_text(found),
        }


class _Rows:
    """Takes any number of rows at a time from tables that follow each other."""

    def __init__(self, tables: Iterator[Any]) -> None:
        self._tables = tables
        self._rest: Any = None

    def take(self, count: int) -> Any:
        """Return the next ``count`` rows as one table."""
        import pyarrow

        parts = []
        while count:
            table = next(self._tables) if self._rest is None else self._rest
            part = table.slice(0, count)
            self._rest = table.slice(len(part)) if len(part) < len(table) else None
            parts.append(part)
            count -= len(part)
        return pyarrow.concat_tables(parts)


def _as_numpy(column: Any) -> NDArray[Any]:
    """A column of ids or times; text as objects."""
    array: NDArray[Any] = column.to_pandas().to_numpy()
    return array
