"""Compares outputs, so that no time of a wrong result is reported."""

import numpy as np

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


def dropped(functions, expected, tolerance):
    """Take out the functions whose output is not ``expected``, or that fail.

    Returns
    -------
    dict
        Name -> why it was taken out.
    """
    failed = {}
    for name, function in list(functions.items()):
        try:
            difference = float(np.abs(function() - expected).max())
        except Exception as error:  # of any library: its row would be missing, not all others
            failed[name] = f"{type(error).__name__}: {error}"
        else:
            if difference <= tolerance:
                continue
            failed[name] = f"its output differs from pygru's by {difference:.2g}"
        del functions[name]
    return failed
