"""The GRU behind the conformance vectors, written from the equations. It does not use pygru.

Every array may have more axes in front, and may be complex. So one run on an array of inputs,
each with an imaginary step of 1e-30 in another element, gives all derivatives without rounding
error (complex step). Comparisons look at real parts only.

    r = f(W_r x + b_ir + U_r h + b_hr)
    z = f(W_z x + b_iz + U_z h + b_hz)
    n = g(W_n x + b_in + U_n (r h) + b_hn)        reset before the product
    n = g(W_n x + b_in + r (U_n h + b_hn))        reset after it
    h' = (1 - z) h + z n                          update replaces
    h' = z h + (1 - z) n                          update keeps

f is the recurrent activation and g the activation. With clip c, their arguments are limited to
[-c, c]. One sequence is read at a time, and only the steps that count.
"""

import numpy as np

STEP = 1e-30


def chosen(condition, yes, no):
    return np.where(condition, yes, no)


FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: chosen(a.real > 0, a, 0),
    "linear": lambda a: a,
    "softsign": lambda a: a / (1 + chosen(a.real < 0, -a, a)),
}


def function_of(name):
    """The function of an activation: a name, or ("hard_sigmoid", alpha, beta)."""
    if isinstance(name, str):
        return FUNCTIONS[name]
    _, alpha, beta = name

    def hard_sigmoid(a):
        line = alpha * a + beta
        return chosen(line.real < 0, 0, chosen(line.real > 1, 1, line))

    return hard_sigmoid


def times(matrix, vector):
    """The product over the last axes: (..., M, N) and (..., N) give (..., M)."""
    return (matrix * vector[..., None, :]).sum(-1)


def step(case, weights, x, h, arguments):
    """One step of one sequence. ``arguments`` collects what the activations are applied to."""
    W, U, b_i, b_h = weights
    f, g = function_of(case["recurrent_activation"]), function_of(case["activation"])

    def apply(function, a):
        arguments.append(a)
        if case["clip"] is not None:
            a = chosen(abs(a.real) > case["clip"], np.sign(a.real) * case["clip"], a)
        return function(a)

    r = apply(f, times(W[0], x) + b_i[0] + times(U[0], h) + b_h[0])
    z = apply(f, times(W[1], x) + b_i[1] + times(U[1], h) + b_h[1])
    if case["reset"] == "before":
        n = apply(g, times(W[2], x) + b_i[2] + times(U[2], r * h) + b_h[2])
    else:
        n = apply(g, times(W[2], x) + b_i[2] + r * (times(U[2], h) + b_h[2]))
    return (1 - z) * h + z * n if case["update"] == "replace" else z * h + (1 - z) * n


def weights_of(arrays, suffix):
    """The blocks of r, z and n of one layer and direction; missing biases are zeros."""
    W = np.split(arrays[f"weight_ih_{suffix}"], 3, axis=-2)
    U = np.split(arrays[f"weight_hh_{suffix}"], 3, axis=-2)
    none = np.zeros(U[0].shape[-1] * 3)
    b_i = np.split(arrays.get(f"bias_ih_{suffix}", none), 3, axis=-1)
    b_h = np.split(arrays.get(f"bias_hh_{suffix}", none), 3, axis=-1)
    return W, U, b_i, b_h


def counted_steps(case, T, b):
    """The steps of sequence b that are read."""
    length = T if case["lengths"] is None else case["lengths"][b]
    return [t for t in range(length) if case["mask"] is None or case["mask"][t][b]]


def forward(case, arrays, arguments=None):
    """Return output (..., T, B, D*H) and h_n (..., L*D, B, H)."""
    arguments = [] if arguments is None else arguments
    x = arrays["x"]
    T, B = x.shape[-3:-1]
    H = arrays["weight_hh_l0"].shape[-1]
    suffixes = ["", "_reverse"] if case["direction"] == "both" else [""]
    D = len(suffixes)
    zeros = np.zeros((*x.shape[:-3], H), x.dtype)
    h_n = []
    for layer in range(case["num_layers"]):
        outputs = []
        for d, suffix in enumerate(suffixes):
            weights = weights_of(arrays, f"l{layer}{suffix}")
            rows, last = [], []
            for b in range(B):
                h = arrays["h0"][..., layer * D + d, b, :] if "h0" in arrays else zeros
                states = [zeros] * T
                read = counted_steps(case, T, b)
                backwards = suffix == "_reverse" or case["direction"] == "reverse"
                order = reversed(range(T)) if backwards else range(T)
                for t in order:
                    if t in read:
                        h = step(case, weights, x[..., t, b, :], h, arguments)
                        states[t] = h
                    elif case["mask"] is not None and case["masked_output"] == "state":
                        states[t] = h
                rows.append(np.stack(np.broadcast_arrays(*states), axis=-2))
                last.append(h)
            outputs.append(np.stack(np.broadcast_arrays(*rows), axis=-2))
            h_n.append(np.stack(np.broadcast_arrays(*last), axis=-2))
        x = np.concatenate(np.broadcast_arrays(*outputs), axis=-1)
    return x, np.stack(np.broadcast_arrays(*h_n), axis=-3)


def gradients(case, arrays, d_output, d_h_n):
    """The gradient of sum(d_output * output) + sum(d_h_n * h_n) by every array."""
    sizes = [array.size for array in arrays.values()]
    moved, start = {}, 0
    for name, array in arrays.items():
        many = np.tile(array.astype(complex), (sum(sizes), *[1] * array.ndim))
        flat = many.reshape(sum(sizes), -1)
        each = np.arange(array.size)
        flat[start + each, each] += 1j * STEP
        moved[name], start = flat.reshape(many.shape), start + array.size
    output, h_n = forward(case, moved)
    loss = (d_output * output).sum((-3, -2, -1)) + (d_h_n * h_n).sum((-3, -2, -1))
    parts = np.split(loss.imag / STEP, np.cumsum(sizes)[:-1])
    return {
        f"d_{name}": part.reshape(array.shape)
        for (name, array), part in zip(arrays.items(), parts, strict=True)
    }
