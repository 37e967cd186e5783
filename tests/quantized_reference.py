"""GRUs with weights of 8 bits, written from the definition in NumPy.

It shares no code with pygru. Weights w of a row become integers q = rint(w / s) with s = max
|w| / 127, once. The input and the state of each sequence become such integers at every step: q
= rint(a * (127 / max |a|)) with the scale max |a| / 127. A product of a row is the exact sum of
the products of integers. This sum, as a float32, times the product of both scales is added to a
float32 number, with one rounding where ``fused`` and with two otherwise. All of this is
computed here as it is defined, so it has the same bits. The gates and what follows are computed
in float64.

A cell is a dict of arrays: for "ih" and "hh" the integers ``q_ih`` and scales ``s_ih``, and the
vectors ``b_ih``, with layer normalisation ``g_ih``.
"""

import numpy as np

F = np.float32
TINY = np.finfo(F).tiny


def integers_of_rows(values, reciprocal):
    """Integers (rows, K) and scales (rows,) of float32 rows; int64, so that sums are exact."""
    values = np.asarray(values, F)
    integers, scales = np.zeros(values.shape, np.int64), np.zeros(len(values), F)
    for row, of_row in enumerate(values):
        if not np.isfinite(of_row).all():
            scales[row] = np.nan
            continue
        largest = np.abs(of_row).max()
        scale = largest / F(127)
        with np.errstate(over="ignore", divide="ignore"):
            factor = F(127) / largest
        if scale < TINY or not np.isfinite(factor):
            continue
        exact = of_row * factor if reciprocal else of_row / scale
        integers[row] = np.clip(np.rint(exact), -127, 127)
        scales[row] = scale
    return integers, scales


def cell_of(parameters, name="l0"):
    """The cell of a GRU's float32 parameters."""
    cell = {}
    for side in ("ih", "hh"):
        weights = parameters[f"weight_{side}_{name}"]
        cell[f"q_{side}"], cell[f"s_{side}"] = integers_of_rows(weights, False)
        zeros = np.zeros(len(weights), F)
        cell[f"b_{side}"] = np.asarray(parameters.get(f"bias_{side}_{name}", zeros), F)
        cell[f"g_{side}"] = parameters.get(f"gain_{side}_{name}")
    return cell


def add_product(sums, q_weights, s_weights, values, fused):
    """sums (B, rows) + W a for a (B, K), as float32."""
    q_values, s_values = integers_of_rows(values, True)
    exact = q_values @ q_weights.T
    scales = s_values[:, np.newaxis] * s_weights  # float32
    product = exact.astype(F).astype(np.float64) * scales.astype(np.float64)  # exact
    if not fused:
        product = product.astype(F).astype(np.float64)
    return (sums.astype(np.float64) + product).astype(F)


FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "linear": lambda a: a,
    "softsign": lambda a: a / (1 + np.abs(a)),
    "hard_sigmoid": lambda a: np.clip(0.2 * a + 0.5, 0, 1),
}


def step(
    cell,
    x,
    h,
    *,
    reset="before",
    update="replace",
    activation="tanh",
    recurrent_activation="sigmoid",
    clip=np.inf,
    eps=1e-5,
    kept=0.0,
    fused=True,
):
    """The state (B, H) after h, for x (B, I), both float32."""
    H = h.shape[1]
    rows = {"r": slice(0, H), "z": slice(H, 2 * H), "n": slice(2 * H, 3 * H)}

    def product(side, gate, values, start):
        """start + the product of one gate, which is normalised first if there are gains."""
        q, s = cell[f"q_{side}"][rows[gate]], cell[f"s_{side}"][rows[gate]]
        if cell[f"g_{side}"] is None:
            return add_product(start, q, s, values, fused)
        v = add_product(np.zeros((len(h), H), F), q, s, values, fused).astype(np.float64)
        v -= v.mean(axis=1, keepdims=True)
        v /= np.sqrt((v * v).mean(axis=1, keepdims=True) + eps)
        return (start + cell[f"g_{side}"][rows[gate]] * v).astype(F)

    def biases(side, gate):
        return np.broadcast_to(cell[f"b_{side}"][rows[gate]], h.shape)

    def gate_of(name):
        a = product("ih", name, x, biases("ih", name) + biases("hh", name))
        a = product("hh", name, h, a).astype(np.float64)
        return FUNCTIONS[recurrent_activation](np.clip(a, -clip, clip))

    r, z = gate_of("r"), gate_of("z")
    if reset == "before":
        a = product("ih", "n", x, biases("ih", "n") + biases("hh", "n"))
        a = product("hh", "n", (r * h).astype(F), a).astype(np.float64)
    else:
        a = product("ih", "n", x, biases("ih", "n")).astype(np.float64)
        a += r * product("hh", "n", h, biases("hh", "n"))
    n = FUNCTIONS[activation](np.clip(a, -clip, clip))
    new = (1 - z) * h + z * n if update == "replace" else z * h + (1 - z) * n
    return (kept * h + (1 - kept) * new).astype(F)


def run(cell, x, h0=None, **options):
    """The states (T, B, H) after each step of x (T, B, I)."""
    h = np.zeros((x.shape[1], cell["q_hh"].shape[1]), F) if h0 is None else h0
    states = []
    for x_t in np.asarray(x, F):
        h = step(cell, x_t, h, **options)
        states.append(h)
    return np.array(states)
