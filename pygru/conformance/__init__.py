"""Is this GRU right? Cases with exact results, and a check that explains what is wrong.

The cases cover the four variants, layers, directions, biases, initial states, sequences of
different lengths, masks and activations, with outputs and all gradients in float64. They come
from an independent implementation, and are in one file that any language can read.
:func:`check` says which GRU a function computes, and explains a wrong one.

On the command line: ``python -m pygru.conformance --target module:function``.

>>> import pygru.conformance
>>> print(pygru.conformance.check("pygru", name="plain", variant="after-keep").explanation)
... # doctest: +NORMALIZE_WHITESPACE
reset after, update keeps, gates in the order r, z, n: this is torch.nn.GRU, cuDNN, Keras'
default, and ONNX with linear_before_reset=1; pygru's 'pytorch'
"""

from pygru.conformance.case import Case
from pygru.conformance.checking import check
from pygru.conformance.explaining import Finding
from pygru.conformance.named import TargetError
from pygru.conformance.report import CaseResult, Report
from pygru.conformance.vectors import cases

__all__ = ["Case", "CaseResult", "Finding", "Report", "TargetError", "cases", "check"]
