"""Predictions for data larger than memory: read, computed and written chunk by chunk.

:func:`pygru.predict` is in :mod:`.chunked`. It chooses three parts, and :mod:`.run` puts them
together: a source gives chunks (:mod:`.sources`), a predictor computes them
(:mod:`.predictors`), and a sink takes the results (:mod:`.sinks`). :mod:`.record` remembers how
far a run is.
"""
