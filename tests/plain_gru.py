"""A GRU with a hand-written backward pass, into which tests plant bugs; a conformance target.

It is written another way than pygru.conformance's own GRU: one sequence at a time, with
separate names for everything, and without options for mistakes. A bug is a change of this text,
in ``mutant``. It knows the four variants, layers, directions, biases, lengths, masks and h0.
"""

from pathlib import Path

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def steps_read(case, b):
    end = len(case.x) if case.lengths is None else case.lengths[b]
    return [t for t in range(end) if case.mask is None or case.mask[t, b]]


def read_weights(case, name):
    H = case.hidden_size
    nothing = np.zeros(3 * H)
    W = case.parameters[f"weight_ih_{name}"]
    U = case.parameters[f"weight_hh_{name}"]
    b = case.parameters.get(f"bias_ih_{name}", nothing)
    c = case.parameters.get(f"bias_hh_{name}", nothing)
    W_r, W_z, W_n = W[:H], W[H : 2 * H], W[2 * H :]
    U_r, U_z, U_n = U[:H], U[H : 2 * H], U[2 * H :]
    b_r, b_z, b_n = b[:H], b[H : 2 * H], b[2 * H :]
    c_r, c_z, c_n = c[:H], c[H : 2 * H], c[2 * H :]
    return W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, c_r, c_z, c_n


def forward(case, weights, x, h0, steps):
    """Read x (T, In) at some steps; return the states (T, H), the last one, and all steps."""
    W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, c_r, c_z, c_n = weights
    states = np.zeros((len(x), len(h0)))
    h = h0
    tape = []
    for t in steps:
        r = sigmoid(W_r @ x[t] + b_r + U_r @ h + c_r)
        z = sigmoid(W_z @ x[t] + b_z + U_z @ h + c_z)
        if case.reset == "after":
            n = np.tanh(W_n @ x[t] + b_n + r * (U_n @ h + c_n))
        else:
            n = np.tanh(W_n @ x[t] + b_n + U_n @ (r * h) + c_n)
        new = z * h + (1 - z) * n if case.update == "keep" else z * n + (1 - z) * h
        tape.append((t, h, r, z, n))
        h = new
        states[t] = h
    return states, h, tape


def backward(case, weights, x, tape, d_states, d_last):
    """Return the gradients of x, of the first state, and of W, U, b and c."""
    W_r, W_z, W_n, U_r, U_z, U_n, *_, c_n = weights
    H = len(d_last)
    d_x = np.zeros_like(x)
    d_W = np.zeros((3 * H, x.shape[1]))
    d_U = np.zeros((3 * H, H))
    d_b = np.zeros(3 * H)
    d_c = np.zeros(3 * H)
    d_h = d_last.copy()
    for t, h, r, z, n in reversed(tape):
        d_h = d_h + d_states[t]
        if case.update == "keep":
            d_z, d_n, d_old = d_h * (h - n), d_h * (1 - z), d_h * z
        else:
            d_z, d_n, d_old = d_h * (n - h), d_h * z, d_h * (1 - z)
        d_n = d_n * (1 - n * n)
        d_z = d_z * z * (1 - z)
        if case.reset == "after":
            d_r = d_n * (U_n @ h + c_n)
            d_m = d_n * r
            d_U[2 * H :] += np.outer(d_m, h)
            d_old = d_old + U_n.T @ d_m
        else:
            d_m = d_n
            d_U[2 * H :] += np.outer(d_m, r * h)
            d_r = (U_n.T @ d_m) * h
            d_old = d_old + (U_n.T @ d_m) * r
        d_r = d_r * r * (1 - r)
        d_U[:H] += np.outer(d_r, h)
        d_U[H : 2 * H] += np.outer(d_z, h)
        d_old = d_old + U_r.T @ d_r + U_z.T @ d_z
        d_W += np.outer(np.concatenate([d_r, d_z, d_n]), x[t])
        d_b += np.concatenate([d_r, d_z, d_n])
        d_c += np.concatenate([d_r, d_z, d_m])
        d_x[t] = W_r.T @ d_r + W_z.T @ d_z + W_n.T @ d_n
        d_h = d_old
    return d_x, d_h, d_W, d_U, d_b, d_c


def gru(case):
    """A target: see docs/conformance.md."""
    usual = (case.activation, case.recurrent_activation, case.clip) == ("tanh", "sigmoid", None)
    if not usual or case.masked_output == "state":
        raise NotImplementedError("this GRU has neither other activations nor this output")
    T, B, _ = case.x.shape
    D = len(case.directions)
    H = case.hidden_size
    L = case.num_layers
    h0 = case.h0
    if h0 is None:
        h0 = np.zeros((L * D, B, H))
    x = case.x
    h_n = np.zeros((L * D, B, H))
    done = []
    for layer in range(L):
        output = np.zeros((T, B, D * H))
        for d, suffix in enumerate(case.directions):
            weights = read_weights(case, f"l{layer}{suffix}")
            for b in range(B):
                steps = steps_read(case, b)
                if d == 1 or case.direction == "reverse":
                    steps = steps[::-1]
                i = layer * D + d
                states, h_n[i, b], tape = forward(case, weights, x[:, b], h0[i, b], steps)
                output[:, b, d * H : (d + 1) * H] = states
                done.append((layer, d, b, weights, x[:, b], tape))
        x = output
    found = {"output": x, "h_n": h_n}
    d_output = case.d_output
    d_h0 = np.zeros_like(h0)
    for layer in reversed(range(L)):
        d_x = 0
        for this_layer, d, b, weights, x_b, tape in done:
            if this_layer != layer:
                continue
            i, name = layer * D + d, f"l{layer}{case.directions[d]}"
            d_states = d_output[:, b, d * H : (d + 1) * H]
            d_last = case.d_h_n[i, b]
            grads = backward(case, weights, x_b, tape, d_states, d_last)
            d_x = d_x + np.stack([grads[0] * (k == b) for k in range(B)], axis=1)
            d_h0[i, b] = grads[1]
            kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            for kind, gradient in zip(kinds, grads[2:], strict=True):
                key = f"d_{kind}_{name}"
                found[key] = found.get(key, 0) + gradient
        d_output = d_x
    found |= {"d_x": d_output, "d_h0": d_h0}
    return {name: array for name, array in found.items() if name in case.expected}


SOURCE = Path(__file__).read_text(encoding="utf-8").partition("\nSOURCE = ")[0]


def mutant(*changes):
    """Return the target with pieces of its text replaced: (old, new, old, new, ...)."""
    text = SOURCE
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in plain_gru.py"
        text = text.replace(old, new)
    names = {}
    exec(compile(text, "mutant", "exec"), names)
    return names["gru"]
