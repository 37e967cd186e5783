"""Forward and backward for eager code: what the operators of ``ops.py`` do, with less work.

A call of an operator that records gradients takes about 100 microseconds, most of it for the
list of weights. This takes a tenth of it, and it keeps the plan and the packed weights of the
forward call for backward.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from pygru.noise import Noise
from pygru.torch import calls
from pygru.torch.ops import refuse_second
from pygru.torch.weights import Snapshot


def _tensor(array: NDArray[Any] | None) -> Tensor | None:
    return None if array is None else torch.from_numpy(array)


def _array(tensor: Tensor | None) -> NDArray[Any] | None:
    return None if tensor is None else tensor.numpy()


class Recorded(Function):  # type: ignore[misc]
    """A call with gradients. The weights are arguments so that autograd knows them."""

    @staticmethod
    def forward(
        ctx: Any,
        call: calls.Call,
        snapshot: Snapshot,
        noise: Noise | None,
        x: Tensor,
        hx: Tensor | None,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return output and h_n."""
        output, h_n, tape = calls.forward(call, snapshot, noise, x, hx)
        mask = None if noise is None else noise.dropout
        # PyTorch frees these after backward, also if somebody keeps the output. And it notices
        # weights that have changed.
        arrays = (tape, snapshot.flat, snapshot.packed, mask)
        ctx.save_for_backward(*map(_tensor, arrays), *weights)
        ctx.call, ctx.shape = call, x.shape
        ctx.set_materialize_grads(False)
        return output, h_n

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, d_h_n: Tensor | None) -> Any:
        """Return the gradients of x, hx and the weights."""
        tape, flat, packed, mask, *_ = ctx.saved_tensors
        *_, needs_d_x, needs_d_hx = ctx.needs_input_grad[:5]
        needs_d_weights = ctx.needs_input_grad[5:]
        call = ctx.call
        snapshot = Snapshot(call.kind, (), flat.numpy(), _array(packed))
        noise = None if mask is None else calls.noise_of(call, mask.numpy())
        gradients = calls.backward(
            call, snapshot, noise, tape, d_output, d_h_n, ctx.shape, needs_d_x
        )
        if torch.is_grad_enabled():  # create_graph=True
            gradients = OnlyOnce.apply(torch.empty(0, requires_grad=True), *gradients)
        d_x, d_hx, d_flat = gradients
        d_weights = call.kind.split(d_flat)
        pairs = zip(d_weights, needs_d_weights, strict=True)
        return (
            *(None, None, None),
            d_x if needs_d_x else None,
            d_hx if needs_d_hx else None,
            *(d_weight if needed else None for d_weight, needed in pairs),
        )


class OnlyOnce(Function):  # type: ignore[misc]
    """Gradients that cannot be differentiated again, although they depend on other tensors.

    The first argument requires a gradient, so that PyTorch calls ``backward``.
    """

    @staticmethod
    def forward(ctx: Any, differentiable: Tensor, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients."""
        return tuple(gradient.view_as(gradient) for gradient in gradients)

    backward = staticmethod(refuse_second)
