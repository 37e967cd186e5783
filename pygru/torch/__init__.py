"""The GRU of pygru as a module of PyTorch, and its use in models that exist already.

``GRU`` has the interface of ``torch.nn.GRU``, and ``replace`` swaps the modules of a model.
``import pygru`` does not import this package, since it needs PyTorch. In this package ``torch``
is always the framework, because all imports are absolute.
"""

try:
    import torch  # noqa: F401 (looked at first, for a clear message)
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError(
        'pygru.torch needs PyTorch; install it with  pip install "pygru[torch]"'
    ) from None

from pygru.torch.module import GRU
from pygru.torch.replacing import Replaced, replace

__all__ = ["GRU", "Replaced", "replace"]
