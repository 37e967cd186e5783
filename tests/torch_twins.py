"""Twins for the tests of pygru.torch: torch.nn.GRU and pygru.torch.GRU with equal weights."""

import torch
from torch.nn.utils.rnn import PackedSequence

from pygru.torch import GRU

# The largest difference, relative to the largest value of a tensor but at least to 1.
PRECISION = {torch.float32: 1e-6, torch.float64: 1e-12}


def twins(*arguments, seed=0, **options):
    """Return both modules; pygru's has loaded PyTorch's state dict."""
    torch.manual_seed(seed)
    theirs = torch.nn.GRU(*arguments, **options)
    ours = GRU(*arguments, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def assert_same(theirs, ours, precision=None):
    """Raise unless two nested results are equal as far as their precision allows."""
    if isinstance(theirs, PackedSequence):
        assert isinstance(ours, PackedSequence)
        theirs, ours = tuple(theirs), tuple(ours)
    if isinstance(theirs, (tuple, list)):
        assert len(theirs) == len(ours)
        for one, other in zip(theirs, ours, strict=True):
            assert_same(one, other, precision)
        return
    assert (theirs is None) == (ours is None)
    if theirs is None:
        return
    assert theirs.shape == ours.shape
    assert theirs.dtype == ours.dtype
    if theirs.numel() and theirs.dtype.is_floating_point:
        limit = precision or PRECISION[theirs.dtype]
        difference = (theirs - ours).abs().max() / max(1, theirs.abs().max())
        assert difference <= limit, f"the difference is {difference}"
    else:
        assert torch.equal(theirs, ours)


def gradients(module, x, hx=None, call=None):
    """Return results and all gradients of a loss that gives every element a weight."""
    x = x.clone().requires_grad_()
    hx = None if hx is None else hx.clone().requires_grad_()
    module.zero_grad()
    output, h_n = (module if call is None else call)(x, hx)
    data = output.data if isinstance(output, PackedSequence) else output
    loss = (data * waves(data)).sum() + (h_n * waves(h_n) ** 2).sum()
    loss.backward()
    of_weights = [weight.grad for weight in module.parameters()]
    return output, h_n, x.grad, None if hx is None else hx.grad, of_weights


def waves(tensor):
    """Return fixed numbers of both signs in the shape of a tensor, all of them different."""
    return torch.sin(torch.arange(tensor.numel(), dtype=tensor.dtype)).reshape(tensor.shape)
