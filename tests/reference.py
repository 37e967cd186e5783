"""A GRU written from the mathematics: NumPy, loops over sequences, time, layers, directions.

It shares no code with pygru and does not use it. Names and layouts of the parameters are those
of torch. Every array may be complex. No function here takes an absolute value or rounds, and
comparisons look at the real part, so an imaginary step of 1e-30 gives a derivative without
rounding error. At a kink it is that of the side on which the function is constant.

    r = sigma(W_r x + b_ir + U_r h + b_hr)
    z = sigma(W_z x + b_iz + U_z h + b_hz)
    n = tanh(W_n x + b_in + U_n (r h) + b_hn)        reset before the product
    n = tanh(W_n x + b_in + r (U_n h + b_hn))        reset after it
    h' = (1 - z) h + z n                             update replaces
    h' = z h + (1 - z) n                             update keeps

If there are gains g, W x is replaced by g (W x - mean) / sqrt(variance + eps) in every gate.
The products U h and U_n (r h) are replaced in the same way. Mean and variance are over the H
units of the gate.

Recurrent dropout replaces h by m * h in U h and in r h. With zoneout the new state is d h + (1
- d) h'. See :class:`Noise`. For other functions than tanh and sigma, a limit of their
arguments, and sequences that are read in reverse, see :class:`Style`.
"""

import hashlib
from typing import NamedTuple

import numpy as np

# The names of (reset, update), and the combination without a name.
VARIANTS = {
    "chung": ("before", "replace"),
    "cho": ("before", "keep"),
    "pytorch": ("after", "keep"),
    "unnamed": ("after", "replace"),
}


class Gates(NamedTuple):
    """The results of one layer and direction, (T, B, H) each; 0 after a sequence's end."""

    r: np.ndarray
    z: np.ndarray
    n: np.ndarray
    h: np.ndarray


class Noise(NamedTuple):
    """The masks of dropout and zoneout; all are None by default.

    recurrent (L*D, B, H) is m; zoneout (L*D, T, B, H), or a number, is d; dropout
    (L-1, T, B, D*H) multiplies the output of every layer but the last.
    """

    recurrent: np.ndarray | None = None
    zoneout: np.ndarray | float | None = None
    dropout: np.ndarray | None = None


NO_NOISE = Noise()


class Style(NamedTuple):
    """The functions of a cell, and the way in which all layers read a sequence.

    activation is the function of n, recurrent_activation that of r and z: a name or, for
    hard_sigmoid, also (name, alpha, beta). Their arguments are limited to [-clip, clip].
    """

    activation: str | tuple = "tanh"
    recurrent_activation: str | tuple = "sigmoid"
    clip: float | None = None
    reverse: bool = False


PLAIN = Style()


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def between(a, low, high):
    """The numbers themselves inside (low, high), constants outside."""
    return np.where(a.real <= low, low, np.where(a.real >= high, high, a))


FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda a: between(a, 0, np.inf),
    "linear": lambda a: a,
    "softsign": lambda a: a / (1 + np.where(a.real < 0, -a, a)),
    "hard_sigmoid": lambda a: between(0.2 * a + 0.5, 0, 1),
}


def function_of(given):
    """The function of a name, or of (name, alpha, beta)."""
    if isinstance(given, str):
        return FUNCTIONS[given]
    name, alpha, beta = given
    assert name == "hard_sigmoid"
    return lambda a: between(alpha * a + beta, 0, 1)


class Cell:
    """The equations of one layer and direction, for one sequence."""

    def __init__(self, parameters, name, reset, update, eps=1e-5, style=PLAIN):
        self.W = np.split(parameters[f"weight_ih_{name}"], 3)
        self.U = np.split(parameters[f"weight_hh_{name}"], 3)
        H = len(self.W[0])
        self.b_i = np.split(parameters.get(f"bias_ih_{name}", np.zeros(3 * H)), 3)
        self.b_h = np.split(parameters.get(f"bias_hh_{name}", np.zeros(3 * H)), 3)
        assert reset in ("before", "after") and update in ("replace", "keep")
        self.reset = reset
        self.update = update
        self.eps = eps
        self.function = function_of(style.activation)
        self.recurrent_function = function_of(style.recurrent_activation)
        self.clip = style.clip
        self.g_i = self.g_h = None
        if f"gain_ih_{name}" in parameters:
            self.g_i = np.split(parameters[f"gain_ih_{name}"], 3)
            self.g_h = np.split(parameters[f"gain_hh_{name}"], 3)

    def sums(self, gains, gate, v):
        """The products v of one gate (H), normalised if there are gains."""
        if gains is None:
            return v
        apart = v - v.mean()
        return gains[gate] * apart / np.sqrt((apart * apart).mean() + self.eps)

    def clipped(self, a):
        return a if self.clip is None else between(a, -self.clip, self.clip)

    def step(self, x, h, m=1):
        """From x (I) and h (H) to r, z, n and the new h, (H) each."""
        b_i, b_h = self.b_i, self.b_h
        h_in = m * h

        def from_x(gate):
            return self.sums(self.g_i, gate, self.W[gate] @ x)

        def from_h(gate, state):
            return self.sums(self.g_h, gate, self.U[gate] @ state)

        a_r = from_x(0) + b_i[0] + from_h(0, h_in) + b_h[0]
        a_z = from_x(1) + b_i[1] + from_h(1, h_in) + b_h[1]
        r = self.recurrent_function(self.clipped(a_r))
        z = self.recurrent_function(self.clipped(a_z))
        if self.reset == "before":
            a_n = from_x(2) + b_i[2] + from_h(2, r * h_in) + b_h[2]
        else:
            a_n = from_x(2) + b_i[2] + r * (from_h(2, h_in) + b_h[2])
        n = self.function(self.clipped(a_n))
        if self.update == "replace":
            return r, z, n, (1 - z) * h + z * n
        return r, z, n, z * h + (1 - z) * n


def forward(
    parameters,
    x,
    h0=None,
    lengths=None,
    *,
    num_layers=1,
    bidirectional=False,
    reset,
    update,
    noise=NO_NOISE,
    style=PLAIN,
):
    """Return output (T, B, D*H) and h_n (L*D, B, H) for x (T, B, I).

    Small results are remembered, because a test often has the same question for each engine.
    """
    arguments = (
        parameters, x, h0, lengths, num_layers, bidirectional, reset, update, noise, style
    )  # fmt: skip
    question = hashlib.sha256(b"".join(_parts(arguments))).digest()
    if question not in _ANSWERS:
        every, h_n = _run(*arguments)
        D = 2 if bidirectional else 1
        output = np.concatenate([cell.h for cell in every[-D:]], axis=2)
        if output.size > MOST_REMEMBERED:
            return output, h_n
        _ANSWERS[question] = output, h_n
    output, h_n = _ANSWERS[question]
    return output.copy(), h_n.copy()


MOST_REMEMBERED = 20_000  # numbers of an output
_ANSWERS = {}  # by question


def _parts(value):
    """The bytes of which a value consists: of equal values the same, and of others, others."""
    if isinstance(value, dict):
        value = tuple(value.items())
    if isinstance(value, np.ndarray):
        yield f"<{value.dtype.str}{value.shape}".encode()
        yield value.tobytes()
    elif isinstance(value, tuple | list):
        yield f"({len(value)}".encode()
        for part in value:
            yield from _parts(part)
    else:
        yield f"<{value!r}>".encode()


def gates(
    parameters,
    x,
    h0=None,
    lengths=None,
    *,
    num_layers=1,
    bidirectional=False,
    reset,
    update,
    style=PLAIN,
):
    """Return the Gates of every layer and direction, in the order of h_n."""
    return _run(
        parameters, x, h0, lengths, num_layers, bidirectional, reset, update, NO_NOISE, style
    )[0]


def _run(parameters, x, h0, lengths, num_layers, bidirectional, reset, update, noise, style):
    T, B = x.shape[:2]
    H = parameters["weight_hh_l0"].shape[1]
    suffixes = ("", "_reverse") if bidirectional else ("",)
    D = len(suffixes)
    if h0 is None:
        h0 = np.zeros((num_layers * D, B, H))
    if lengths is None:
        lengths = [T] * B
    dtype = np.result_type(np.float64, x, h0, *parameters.values())
    h_n = np.zeros((num_layers * D, B, H), dtype)
    every = []
    for layer in range(num_layers):
        for d, suffix in enumerate(suffixes):
            cell = Cell(parameters, f"l{layer}{suffix}", reset, update, style=style)
            index = layer * D + d
            forward_in_time = d == 0 and not style.reverse
            kept = np.zeros(()) if noise.zoneout is None else np.asarray(noise.zoneout)
            kept = np.broadcast_to(kept, (num_layers * D, T, B, H))[index]
            done = Gates(*(np.zeros((T, B, H), dtype) for _ in range(4)))
            for b in range(B):
                h = h0[index, b]
                m = 1 if noise.recurrent is None else noise.recurrent[index, b]
                valid = range(lengths[b])
                for t in valid if forward_in_time else reversed(valid):
                    r, z, n, h_next = cell.step(x[t, b], h, m)
                    h = kept[t, b] * h + (1 - kept[t, b]) * h_next
                    done.r[t, b], done.z[t, b], done.n[t, b], done.h[t, b] = r, z, n, h
                h_n[index, b] = h
            every.append(done)
        x = np.concatenate([cell.h for cell in every[-D:]], axis=2)
        if noise.dropout is not None and layer + 1 < num_layers:
            x = x * noise.dropout[layer]
    return every, h_n


def random_parameters(
    rng, input_size, hidden_size, num_layers=1, bidirectional=False, bias=True
):
    """Uniform parameters of such a size that gates do not come near 0 or 1."""
    H = hidden_size
    limit = 1.5 / np.sqrt(H)
    suffixes = ("", "_reverse") if bidirectional else ("",)
    parameters = {}
    for layer in range(num_layers):
        width = input_size if layer == 0 else len(suffixes) * H
        for suffix in suffixes:
            shapes = {"weight_ih": (3 * H, width), "weight_hh": (3 * H, H)}
            if bias:
                shapes |= {"bias_ih": (3 * H,), "bias_hh": (3 * H,)}
            for name, shape in shapes.items():
                parameters[f"{name}_l{layer}{suffix}"] = rng.uniform(-limit, limit, shape)
    return parameters
