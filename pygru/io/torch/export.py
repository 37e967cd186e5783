"""``pygru.to_torch``: a ``torch.nn.GRU`` with the weights of a GRU."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pygru.gru import GRU
from pygru.io.variants import check_gru, why_not, with_z_negated
from pygru.variant import VARIANTS

if TYPE_CHECKING:
    import torch

#: Options that ``torch.nn.GRU`` does not have, with the only value that it computes.
ONLY = {
    "layer_norm": False,
    "learn_h0": False,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "reverse": False,
    "merge": "concat",
    "clip": None,
    "zoneout": 0.0,
}
#: What to do instead, for those where something can be done.
INSTEAD = {
    "reverse": "; make one with reverse=False of the same weights, and reverse x and output "
    "along time yourself, as in torch.flip",
    "learn_h0": "; pass gru.parameters['h0'] as the h0 of each call of the module",
    "merge": "; make one with merge='concat' of the same weights, and merge the two halves of "
    "its output",
    "zoneout": ": in inference each unit keeps this share of its old state",
}


def to_torch(gru: GRU) -> torch.nn.GRU:
    """Return a ``torch.nn.GRU`` that computes what a GRU computes.

    Parameters
    ----------
    gru : GRU
        One that resets after the product: ``variant="pytorch"``, or one that replaces the old
        state instead of keeping it. The rows of its update gate are negated then, which is
        exact.

    Returns
    -------
    torch.nn.GRU
        With copies of the weights, in the same dtype, on the CPU and in evaluation mode. Its
        parameters require gradients if ``gru.trainable`` is true. ``dropout`` between layers is
        that of the GRU.

    Raises
    ------
    TypeError
        If ``gru`` is not a GRU.
    ValueError
        If ``torch.nn.GRU`` cannot compute the same: with the reset before the product, layer
        normalisation, other activations, a learned initial state, ``reverse``, ``clip``,
        ``zoneout``, or another ``merge``. The message names the option.
    ImportError
        If PyTorch is not installed.

    Warns
    -----
    UserWarning
        If the GRU has ``recurrent_dropout``, which ``torch.nn.GRU`` has not. It acts in
        training only, so it is left out, and results are the same.

    See Also
    --------
    from_torch : The other way.

    Notes
    -----
    ``zero_output_for_mask`` is left out too: it acts with a mask only, and ``torch.nn.GRU``
    takes none.

    Examples
    --------
    >>> import pygru
    >>> gru = pygru.GRU(3, 4, num_layers=2, variant="pytorch", seed=0)
    >>> module = pygru.to_torch(gru)  # doctest: +SKIP
    >>> module  # doctest: +SKIP
    GRU(3, 4, num_layers=2)
    """
    check_gru(gru)
    options = gru.options
    source, target = options.variant, VARIANTS["pytorch"]
    refusal = why_not(source, target, getattr(options, "recurrent_activation", None))
    for name, value in ONLY.items():
        given = getattr(options, name, value)
        if given != value:
            refusal = f"torch.nn.GRU has no {name}={given!r}{INSTEAD.get(name, '')}"
    if refusal:
        raise ValueError(refusal)
    arrays: dict[str, Any] = dict(gru.state_dict())
    if source.update != target.update:
        arrays = with_z_negated(arrays)
    try:
        import torch
    except ImportError:
        raise ImportError(
            "pygru.to_torch makes a module of PyTorch, which is not installed: run "
            "'pip install torch'"
        ) from None
    if options.recurrent_dropout:
        warnings.warn(
            f"torch.nn.GRU has no recurrent_dropout={options.recurrent_dropout!r}, which acts "
            "in training only; it has been left out",
            UserWarning,
            stacklevel=2,
        )
    module = torch.nn.GRU(
        options.input_size,
        options.hidden_size,
        options.num_layers,
        bias=options.bias,
        batch_first=options.batch_first,
        dropout=options.dropout if options.num_layers > 1 else 0.0,  # PyTorch warns of it
        bidirectional=options.bidirectional,
        dtype=getattr(torch, options.dtype.name),
        device="cpu",
    )
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    module.requires_grad_(gru.trainable)
    return module.eval()
