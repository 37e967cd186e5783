"""predict: a model over data of any size, in bounded memory, continued after a kill."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from pygru.core import validation
from pygru.prediction import files, sources
from pygru.prediction.chunks import Size, check_chunk_size
from pygru.prediction.hashes import Fingerprint
from pygru.prediction.long_rows import InFrame
from pygru.prediction.npy_file import NpyFile
from pygru.prediction.parquet_file import ParquetFile
from pygru.prediction.predictors import OfModel, Predictor, predictor_of
from pygru.prediction.record import Record, folder_of
from pygru.prediction.run import run
from pygru.prediction.sinks import InMemory, IntoArray, Sink, ToFunction
from pygru.prediction.sources import Source
from pygru.prediction.zarr_file import ZarrFile
from pygru.train.stored import is_stored

#: What writes a file, by the ending of its name.
FILES: dict[str, Callable[[str], Sink]] = {
    ".npy": NpyFile,
    ".parquet": ParquetFile,
    ".zarr": ZarrFile,
}
#: The endings of the names of files with arrays that are read, and of those with long tables.
ARRAYS = (".npy", ".npz", ".zarr")
TABLES = (".parquet", ".pq")


def predict(
    model: Any,
    source: Any,
    *,
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    id: Any = None,
    time: Hashable = None,
    values: Any = None,
    name: str | None = None,
    method: str | None = None,
    chunk_size: int | str | None = None,
    out: Any = None,
    resume: bool = False,
    progress: bool | None = None,
    n_threads: int | None = None,
) -> Any:
    """Return or write what a model predicts for data of any size, in bounded memory.

    The sequences of ``source`` are read, computed and written chunk by chunk, in their order.
    The results have the same bits as one call on all of them; see the notes.

    Parameters
    ----------
    model : GRU, Sequential, Seq2Seq, Layer, Trainer, estimator or callable
        What predicts. Of pygru's models it is the output, as :meth:`Trainer.predict` returns
        it. An estimator is an object with the method ``method``, such as those of
        :mod:`pygru.sklearn` and pipelines with them. A function gets each chunk, an array or a
        list, and returns an array or a list with one entry for each sequence.
    source
        Where the sequences come from:

        * an array (N, T, ...), which may be an ``np.memmap``, or an object with a shape, a
          dtype and slices, such as a data set of h5py, an array of Zarr, Dask or xarray;
        * a list of sequences (T_i, ...); a mapping with ``"source"`` and ``"target"`` for a
          :class:`Seq2Seq`;
        * an iterator over sequences, or over chunks, which are taken as they are; or a function
          that returns one;
        * the path of an ``.npy``, ``.npz`` or ``.zarr``;
        * a long table, with one row for each step: a DataFrame, a table of pyarrow, or the path
          of a ``.parquet`` file. It needs ``id``. The rows of a sequence must stand together in
          the file.
    lengths, mask, reset : optional
        As for :meth:`Trainer.predict`, for all sequences of an array or a list.
    id, time, values : optional
        The columns of a long table, as for :func:`pygru.data.from_long`.
    name : str, optional
        Which array of an ``.npz`` file or a Zarr group to read. By default it is the only one,
        or the one called ``X``. The array ``lengths`` beside it gives the lengths, and
        ``row_size`` says that the sequences are stored one behind the other.
    method : str, optional
        What to call: of an estimator ``"predict"``, ``"predict_proba"``,
        ``"decision_function"`` or ``"transform"``, and of a trainer ``"predict"`` or
        ``"predict_classes"``. By default ``"predict"``, or ``"transform"`` where there is no
        such method.
    chunk_size : int or str, optional
        How many sequences a chunk has, or how much memory it may take, such as ``"256 MB"``;
        by default 32 MB.
    out : optional
        Where the predictions go:

        * None: they are returned;
        * an array of NumPy, mapped from a file or not, or of Zarr, (N, ...) of the right dtype;
          shorter sequences get zeros at their ends;
        * the path of an ``.npy`` file;
        * the path of a ``.zarr``: an array, or, if the predictions differ in length, a group
          of the arrays ``values`` and ``row_size``, which ``source`` may be in turn;
        * the path of a ``.parquet`` file: a long table of ids, times or steps, and predictions;
        * a function ``out(first, predictions)``, called for each chunk with the number of its
          first sequence.

        A file gets its name when it is complete, and replaces an older one.
    resume : bool
        Whether to continue a run that was interrupted or killed. It needs an ``out`` that is a
        path or an ``np.memmap``. Without an unfinished run, a new one begins.
    progress : bool, optional
        Whether to show how far it is. By default it is shown after a second, but not by the
        workers of a parallel program.
    n_threads : int, optional
        As in :func:`pygru.set_num_threads`.

    Returns
    -------
    ndarray, list of ndarray, DataFrame or ``out``
        The predictions if ``out`` is None: one row for each sequence, a list if they differ in
        length, and for a long table a DataFrame with ids, times or steps, and predictions. The
        argument ``out`` otherwise.

    Raises
    ------
    TypeError, ValueError
        If something does not fit together. Arguments, shapes and dtypes are checked before
        anything is computed, and values when their chunk is read; the message names the place.
    FileExistsError
        If ``out`` has an unfinished run, and ``resume`` is False; or if it is a folder that
        holds other things than predictions.
    ImportError
        If Zarr or pyarrow is needed and not installed.
    OSError
        If a file cannot be read or written. What is done can be resumed.

    Notes
    -----
    A sequence has the same bits in any batch, so the size of chunks does not change results.
    The exceptions are models with :class:`Attention`, the engine ``blas``, and functions of
    your own: their last bits may depend on the size of chunks.

    An unfinished run has a folder, ``<out>.unfinished``, with what has been written and a
    record of how far it is. The record is renewed every half second, and every hundredth of the
    time of a long run; so much is computed again after a kill. It holds fingerprints of the
    model and of the source (its shape and some of its sequences, or the end of a Parquet file).
    Another model or source is refused. Of a function only the name is known. The record also
    has a checksum of what has been written, which a run that goes on reads once: it is refused
    if something is missing or changed, such as a mapped array that was made anew.

    Examples
    --------
    >>> import numpy as np
    >>> import pygru
    >>> model = pygru.Sequential(pygru.GRU(3, 8, batch_first=True), pygru.Last(), seed=0)
    >>> np.save("sequences.npy", np.ones((1000, 20, 3), np.float32))
    >>> pygru.predict(model, "sequences.npy", out="states.npy", chunk_size=100)
    'states.npy'
    >>> np.load("states.npy", mmap_mode="r").shape
    (1000, 8)
    """
    resume = validation.check_bool("resume", resume)
    shown = None if progress is None else validation.check_bool("progress", progress)
    size = check_chunk_size(chunk_size)
    predictor = predictor_of(model, method, n_threads)
    size = size._replace(step_bytes=predictor.step_bytes)
    sink = sink_of(out, source, is_table=id is not None)
    told = {"lengths": lengths, "mask": mask, "reset": reset}
    given = {key: value for key, value in told.items() if value is not None}
    with contextlib.ExitStack() as opened:
        read: Source
        if id is None and time is None and values is None and not _needs_id(source, predictor):
            read = source_of(source, given, name, opened, tokens=predictor.reads_tokens)
        else:
            read = table_of(source, given, name, id, time, values)
        if sink.path is not None:
            _into_file(predictor, read, sink, sink.path, size, resume, shown)
            return out
        if resume:
            raise ValueError(
                "resume must be False, unless out is a path or an array that is mapped from a "
                f"file, got out of type {validation.type_name(out)}"
            )
        result = run(predictor, read, sink, size, None, shown)
        return result if out is None else out


def _into_file(
    predictor: Predictor,
    read: Source,
    sink: Sink,
    path: str,
    size: Size,
    resume: bool,
    shown: bool | None,
) -> None:
    """Predict into a file, with a record beside it that says how far it is."""
    from pygru import __version__

    settings: dict[str, Fingerprint] = {
        "version": {"version": __version__},
        "model": predictor.fingerprint(),
        "method": {"method": predictor.method},
        "output": {"kind": sink.kind},
    }
    record = Record(folder_of(path), settings)
    record.begin(resume)
    sink.folder = record.folder
    read.remembers = True
    try:
        run(predictor, read, sink, size, record, shown)
    except BaseException:
        if record.done:
            record.release()
        else:  # there is nothing to continue
            record.remove()
        raise
    record.remove()


def source_of(
    source: Any,
    told: Mapping[str, Any],
    name: str | None,
    opened: contextlib.ExitStack,
    *,
    tokens: bool,
) -> Source:
    """Return the source of whatever a user passes; ``opened`` closes what it opens."""
    path = files.path_of("source", source)
    if path is None:
        if name is not None:
            raise ValueError("name must be None, unless source is the path of several arrays")
        return sources.of_arrays(source, told, tokens)
    kind = os.path.splitext(path.rstrip("/" + os.sep))[1].lower()
    if kind == ".npy":
        if name is not None:
            raise ValueError(f"name must be None, because {path} holds one array")
        return sources.of_arrays(files.NpyRows(path), told, tokens)
    if kind == ".npz":
        found = files.open_npz(path, name)
        opened.callback(found.values.close)
        return sources.of_opened(found, told, tokens)
    if kind == ".zarr" or os.path.isdir(path):
        return sources.of_opened(files.open_zarr(path, name), told, tokens)
    endings = ", ".join((*ARRAYS, *TABLES))
    raise ValueError(f"source must be a path that ends with one of {endings}, got {path}")


def _needs_id(source: Any, predictor: Predictor) -> bool:
    """Whether a source can only be a long table.

    The rows of a DataFrame may also be the sequences, of tokens or for an estimator.
    """
    if _is_table(source):
        reads_steps = isinstance(predictor, OfModel) and not predictor.reads_tokens
        return reads_steps or not hasattr(source, "iloc")
    return _is_file_of_table(source)


def _is_table(source: Any) -> bool:
    """Whether a source is a table in memory: a DataFrame, or one of Arrow."""
    return hasattr(source, "columns") and (
        hasattr(source, "iloc") or hasattr(source, "to_pandas")
    )


def _is_file_of_table(source: Any) -> bool:
    return (files.path_of("source", source) or "").lower().endswith(TABLES)


def table_of(
    source: Any,
    told: Mapping[str, Any],
    name: str | None,
    id: Any,
    time: Hashable,
    values: Any,
) -> Source:
    """Return the source of a long table."""
    from pygru.prediction.tables import Frame, ParquetTable

    path = files.path_of("source", source)
    if not (_is_table(source) or _is_file_of_table(source)):
        argument = "id" if id is not None else "time" if time is not None else "values"
        raise ValueError(
            f"{argument} must be None, unless source is a DataFrame or a Parquet file, got "
            f"{path or validation.type_name(source)}"
        )
    if id is None:
        raise ValueError(
            "id must name the column that says to which sequence a row belongs, because source "
            f"is a long table, got {path or validation.type_name(source)}"
        )
    for key in [*told, *([] if name is None else ["name"])]:
        raise ValueError(f"{key} must be None for a long table")
    if path is None:
        frame = source if hasattr(source, "iloc") else source.to_pandas()
        return Frame(frame, id, time, values)
    return ParquetTable(path, id, time, values)


def sink_of(out: Any, source: Any, *, is_table: bool) -> Sink:
    """Return the sink of whatever a user passes."""
    if out is None:
        return InFrame() if is_table else InMemory()
    path = files.path_of("out", out)
    if path is not None:
        path = path.rstrip("/" + os.sep)
        kind = os.path.splitext(path)[1].lower()
        if kind not in FILES:
            raise ValueError(
                f"out must be a path that ends with {', '.join(FILES)}, got {path}"
            )
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "out: there is no such folder", folder)
        if os.path.isdir(path) != (kind == ".zarr") and os.path.exists(path):
            what = "a folder" if os.path.isdir(path) else "a file"
            raise FileExistsError(errno.EEXIST, f"out is {what}, which is not replaced", path)
        same = files.path_of("source", source)
        if same is not None and os.path.exists(path) and os.path.samefile(path, same):
            raise ValueError(f"out must be another file than source, got {path} for both")
        return FILES[kind](path)
    if isinstance(out, np.ndarray) or is_stored(out):
        return IntoArray(out, source)
    if callable(out):
        return ToFunction(out)
    raise TypeError(
        f"out must be an array, a path or a function, got {validation.type_name(out)}"
    )
