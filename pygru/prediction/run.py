"""The loop of a prediction: read a chunk, compute it, write it, remember it."""

from __future__ import annotations

import contextlib
from typing import Any

from pygru.prediction.checksums import Checksums
from pygru.prediction.chunks import Size
from pygru.prediction.display import Display
from pygru.prediction.hashes import Fingerprint
from pygru.prediction.predictors import Predictor
from pygru.prediction.record import Record
from pygru.prediction.sinks import Outcome, Sink, outcome_of
from pygru.prediction.sources import Source


def run(
    predictor: Predictor,
    source: Source,
    sink: Sink,
    size: Size,
    record: Record | None,
    shown: bool | None,
) -> Any:
    """Go over all chunks that are not done; return the predictions if they are in memory.

    Parameters
    ----------
    predictor, source, sink
        The three parts of a run.
    size : Size
        Of a chunk.
    record : Record or None
        How far an earlier run was. It is renewed now and then, and after an error.
    shown : bool or None
        Whether progress is shown; None means not in worker processes.
    """
    if record is not None and record.done:
        record.check_output(sink.written(record.done), sink.where)
        sink.checksums = Checksums(record.done, record.checksum)
        if record.is_complete and record.is_alone:
            return None  # killed after the output had got its name
    first = 0 if record is None else record.done
    # How far it is, and what has been read until then: one object, which an interrupt cannot
    # leave half changed.
    position: tuple[int, Fingerprint] = first, {} if record is None else record.source
    outcome: Outcome | None = None

    def check() -> None:
        if record is not None:
            record.check_source(source.fingerprint())

    display = Display(source.count, first, shown)
    try:
        for chunk in source.chunks(first, size, check):
            predictions = None
            if outcome is None:
                if predictor.may_try:
                    sample = predictor(chunk.head())
                    if not chunk.size:
                        predictions = sample[:0]
                else:
                    predictions = predictor(chunk)
                    sample = predictions[:1]
                outcome = outcome_of(sample, predictor.has_steps, source.count, source.longest)
                sink.begin(outcome, first)
            if predictions is None:
                predictions = predictor(chunk)
            outcome.check(chunk, predictions)
            sink.write(chunk, predictions)
            position = chunk.end, {} if record is None else source.fingerprint()
            if record is not None and record.is_due:
                sink.flush(position[0])
                record.save(*position, sink.checksums.after(position[0]))
            display.update(chunk.end)
            del chunk, predictions  # before the next chunk is read
        if outcome is not None:
            sink.flush(position[0])
        if record is not None:
            record.save(*position, sink.checksums.after(position[0]), is_complete=True)
        return sink.finish()
    except BaseException:
        if record is not None and position[0] > record.done:
            with contextlib.suppress(OSError):  # such as that of a full disk, again
                sink.flush(position[0])
                record.save(*position, sink.checksums.after(position[0]))
        raise
    finally:
        display.close()
        sink.close()
