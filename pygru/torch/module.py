"""The module ``pygru.torch.GRU``, a GRU of PyTorch that computes with pygru.

It is a ``torch.nn.RNNBase`` like ``torch.nn.GRU``: the constructor, the parameters and their
names, the initial values and what ``print`` shows are those of PyTorch. It is no subclass of
``torch.nn.GRU``, because ``torch.compile`` refuses to look into these.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter, RNNBase
from torch.nn.utils.rnn import PackedSequence

from pygru.torch import calls, ops
from pygru.torch.recorded import Recorded
from pygru.torch.weights import WeightCache, kind_of


class GRU(RNNBase):  # type: ignore[misc]
    """A ``torch.nn.GRU`` for the CPU that computes with pygru: the same numbers in less time.

    Parameters
    ----------
    input_size, hidden_size : int
        Features I of the input and H of the state.
    num_layers : int
        Layers L, one on top of the other.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether input and output are (batch, time, features) instead of (time, batch, features).
    dropout : float
        The share of the outputs between two layers that is dropped while the module is in
        training mode. It draws the same random numbers as ``torch.nn.GRU``.
    bidirectional : bool
        Whether a second direction reads the sequences from their ends (D = 2 directions).
    device : torch.device or str, optional
        Where the parameters are made. A call needs them on the CPU.
    dtype : torch.dtype, optional
        The type of the parameters. A call needs float32 or float64.

    Raises
    ------
    ValueError
        If a size is not positive, or for ``proj_size``, which only ``torch.nn.LSTM`` has.

    See Also
    --------
    pygru.torch.replace : Swap every ``torch.nn.GRU`` of a model.

    Notes
    -----
    The parameters, ``state_dict``, ``reset_parameters``, ``all_weights`` and the initial values
    are those of ``torch.nn.GRU``, so each loads the checkpoints of the other. The module is an
    instance of ``torch.nn.RNNBase``, and not of ``torch.nn.GRU``, because ``torch.compile``
    refuses to look into subclasses of the latter.

    A call uses at most as many threads as ``torch.get_num_threads()`` says, and at most as many
    as pygru's own settings allow.

    These are refused: gradients of gradients (``create_graph=True``), the transforms of
    ``torch.func``, TorchScript, devices other than the CPU, and types other than float32 and
    float64.

    Examples
    --------
    >>> import torch
    >>> from pygru.torch import GRU
    >>> gru = GRU(4, 8, num_layers=2, batch_first=True)
    >>> output, h_n = gru(torch.ones(32, 50, 4))
    >>> output.shape, h_n.shape
    (torch.Size([32, 50, 8]), torch.Size([2, 32, 8]))
    >>> output.sum().backward()
    >>> gru.weight_hh_l0.grad.shape
    torch.Size([24, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **unknown: Any,
    ) -> None:
        if "proj_size" in unknown:
            raise ValueError("proj_size is an argument of torch.nn.LSTM; a GRU has none")
        if unknown:
            raise TypeError(f"GRU() got an unexpected keyword argument {next(iter(unknown))!r}")
        if input_size == 0:  # PyTorch 2.4 takes it
            raise ValueError("input_size must be at least 1, got 0")
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self._cache = WeightCache()

    def flatten_parameters(self) -> None:
        """Do nothing: pygru has the weights in the order that it needs.

        ``torch.nn.GRU`` has a method of this name for GPUs, which models call.
        """

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        del state["_cache"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._cache = WeightCache()

    # ---- calls ---------------------------------------------------------------------------

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Compute the states of all steps.

        Parameters
        ----------
        input : Tensor or PackedSequence
            (T, B, I), (B, T, I) with ``batch_first``, one sequence (T, I), or packed sequences.
        hx : Tensor, optional
            The initial states (L*D, B, H), or (L*D, H) of one sequence; zeros by default.

        Returns
        -------
        output : Tensor or PackedSequence
            The states of the last layer at all steps, with D*H features, shaped like ``input``.
        h_n : Tensor
            (L*D, B, H), or (L*D, H) of one sequence: the last states of every layer.

        Raises
        ------
        NotImplementedError
            If a tensor is not on the CPU, or neither float32 nor float64.
        ValueError, RuntimeError
            If a shape or a type does not fit, as ``torch.nn.GRU`` raises them.
        """
        if isinstance(input, PackedSequence):
            return self._of_packed(input, hx)
        if input.dim() == 3:
            return self._run(input, hx, None, self.batch_first)
        if input.dim() != 2:
            raise ValueError(f"input must have 2 or 3 dimensions, got {input.dim()}")
        if hx is not None:
            if hx.dim() != 2:
                raise RuntimeError(f"hx must have 2 dimensions like the input, got {hx.dim()}")
            hx = hx.unsqueeze(1)
        output, h_n = self._run(input.unsqueeze(1), hx, None, False)
        return output.squeeze(1), h_n.squeeze(1)

    def _of_packed(
        self, input: PackedSequence, hx: Tensor | None
    ) -> tuple[PackedSequence, Tensor]:
        """Run packed sequences, which are sorted by length, unlike the states of the caller."""
        x, batch_sizes, order, original_order = input
        if hx is None:
            shape = (self._num_states(), int(batch_sizes[0]), self.hidden_size)
            hx = torch.zeros(shape, dtype=x.dtype, device=x.device)
        else:
            hx = self.permute_hidden(hx, order)
        output, h_n = self._run(x, hx, batch_sizes, False)
        packed = PackedSequence(output, batch_sizes, order, original_order)
        return packed, self.permute_hidden(h_n, original_order)

    def _run(
        self, x: Tensor, hx: Tensor | None, batch_sizes: Tensor | None, batch_first: bool
    ) -> tuple[Tensor, Tensor]:
        """Check the tensors of a call and compute; x is (T, B, I), (B, T, I) or packed."""
        weights = self._weights()
        self._check(x, hx, batch_sizes, batch_first, weights[0].dtype)
        mask = self._dropout_mask(x)
        keep = torch.is_grad_enabled() and (
            x.requires_grad
            or (hx is not None and hx.requires_grad)
            or any(weight.requires_grad for weight in weights)
        )
        if _needs_operator(x):
            output, h_n, _ = ops.gru(
                x,
                hx,
                weights,
                batch_sizes,
                mask,
                self.num_layers,
                self.bias,
                self.bidirectional,
                batch_first,
                self.dropout,
                keep,
                self._cache.number,
            )
            return output, h_n
        kind = kind_of(
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.bias,
            self.bidirectional,
            x.dtype,
        )
        snapshot = self._cache.snapshot(kind, weights)
        call = calls.prepare(kind, x.shape, batch_sizes, self.dropout, batch_first, keep)
        noise = calls.ordered_noise(call, mask)
        if keep:
            output, h_n = Recorded.apply(call, snapshot, noise, x, hx, *weights)
        else:
            output, h_n, _ = calls.forward(call, snapshot, noise, x, hx)
        return output, h_n

    def _weights(self) -> list[Tensor]:
        """Return the weights, which need not be parameters: think of ``weight_norm``."""
        own = self._parameters
        return [
            own[name] if name in own else getattr(self, name)
            for name in self._flat_weights_names
        ]

    def _num_states(self) -> int:
        layers: int = self.num_layers
        return 2 * layers if self.bidirectional else layers

    def _check(
        self,
        x: Tensor,
        hx: Tensor | None,
        batch_sizes: Tensor | None,
        batch_first: bool,
        dtype: Any,
    ) -> None:
        """Raise what ``torch.nn.GRU`` raises, and more where pygru can do less."""
        _refuse_unsupported("input", x)
        if x.dtype != dtype:
            raise ValueError(
                f"input is {x.dtype}, but the weights are {dtype}; convert the input with "
                f"input.to({dtype}), or the module with module.to({x.dtype})"
            )
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input must have input_size={self.input_size} features, got {x.shape[-1]}"
            )
        if batch_sizes is not None:
            B = hx.shape[1] if hx is not None and hx.dim() == 3 else -1
        else:
            B = x.shape[0 if batch_first else 1]
            if x.shape[1 if batch_first else 0] == 0:
                raise RuntimeError("input must have at least one step, got none")
        if hx is not None:
            _refuse_unsupported("hx", hx)
            expected = (self._num_states(), B, self.hidden_size)
            if hx.shape != expected:
                raise RuntimeError(f"hx must have the shape {expected}, got {tuple(hx.shape)}")
            if hx.dtype != dtype:
                raise RuntimeError(f"hx must be {dtype} like the input, got {hx.dtype}")

    def _dropout_mask(self, x: Tensor) -> Tensor | None:
        """Return which outputs between the layers are kept, (L-1, R, D*H), or None for all.

        Layer by layer, these are the random numbers that ``torch.nn.GRU`` draws.
        """
        if not self.training or self.dropout == 0 or self.num_layers == 1:
            return None
        width = 2 * self.hidden_size if self.bidirectional else self.hidden_size
        shape = (math.prod(x.shape[:-1]), width)
        if self.dropout == 1:
            return torch.zeros((self.num_layers - 1, *shape), dtype=torch.bool)
        layers = [
            torch.empty(shape, dtype=torch.bool).bernoulli_(1 - self.dropout)
            for _ in range(self.num_layers - 1)
        ]
        return torch.stack(layers)


def _refuse_unsupported(name: str, tensor: Tensor) -> None:
    if tensor.device.type != "cpu":
        raise NotImplementedError(
            f"{name} is on the device {tensor.device}, but pygru computes on the CPU; use "
            "torch.nn.GRU there, or move the tensors and the module with .cpu()"
        )
    if tensor.dtype != torch.float32 and tensor.dtype != torch.float64:
        raise NotImplementedError(
            f"{name} is {tensor.dtype}, but pygru computes in float32 or float64; convert it "
            "with .float(), outside of torch.autocast"
        )


# ---- what PyTorch does around a call -------------------------------------------------------

_PLAIN = (Tensor, Parameter)


def _needs_operator(x: Tensor) -> bool:
    """Whether a compiler or a mode records the operators of PyTorch.

    Otherwise the functions below the operator are called directly, which takes less time.
    """
    if torch.compiler.is_compiling():
        return True
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise NotImplementedError(
            "pygru.torch.GRU does not work inside the transforms of torch.func, such as grad "
            "and vmap; use torch.nn.GRU there"
        )
    if torch.jit.is_tracing():
        raise NotImplementedError(
            "pygru.torch.GRU does not work in TorchScript; use torch.compile, torch.export or "
            "torch.nn.GRU"
        )
    return type(x) not in _PLAIN or torch._C._len_torch_dispatch_stack() > 0
