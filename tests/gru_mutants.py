"""Bugs for plain_gru.py, each under the name that pygru.conformance must find for it.

A bug is a list of changes of the text: old, new, old, new, and so on.
"""


def in_all(letters, first, second):
    """Exchange two gates where weights and biases are read."""
    changes = []
    for letter in letters:
        rest = f" = {letter}[:H]"
        old = f"{letter}_r, {letter}_z, {letter}_n{rest}"
        names = {"r": f"{letter}_r", "z": f"{letter}_z", "n": f"{letter}_n"}
        names[first], names[second] = names[second], names[first]
        changes += [old, f"{names['r']}, {names['z']}, {names['n']}{rest}"]
    return changes


U_OLD = 'U = case.parameters[f"weight_hh_{name}"]'
W_OLD = 'W = case.parameters[f"weight_ih_{name}"]'
B_OLD = 'b = case.parameters.get(f"bias_ih_{name}", nothing)'
C_OLD = 'c = case.parameters.get(f"bias_hh_{name}", nothing)'
H0_OLD = "    if h0 is None:\n"
FOUND = 'found = {"output": x, "h_n": h_n}'
STEPS = "steps = steps_read(case, b)\n"
CALL = "forward(case, weights, x[:, b], h0[i, b], steps)"
BACKWARDS = "steps = steps[::-1]"
AFTER = "n = np.tanh(W_n @ x[t] + b_n + r * (U_n @ h + c_n))"
BEFORE = "n = np.tanh(W_n @ x[t] + b_n + U_n @ (r * h) + c_n)"
OUTPUT = "output[:, b, d * H : (d + 1) * H] = states\n"
END = "end = len(case.x) if case.lengths is None else case.lengths[b]"
STEP = "for t in steps:\n"

FORWARD = {
    "gates-zrn": in_all("WUbc", "r", "z"),
    "gates-nzr": in_all("WUbc", "r", "n"),
    "gates-rnz": in_all("WUbc", "z", "n"),
    "gates-weight_hh": in_all("U", "r", "z"),
    "gates-bias": in_all("bc", "r", "z"),
    "reset": [
        'if case.reset == "after":\n            n =',
        'if case.reset != "after":\n            n =',
    ],
    "update": [
        'n if case.update == "keep" else',
        'n if case.update != "keep" else',
    ],
    "recurrent-transposed": [
        U_OLD,
        f"{U_OLD}\n    U = np.concatenate([block.T for block in np.split(U, 3)])",
    ],
    "recurrent-columns": [U_OLD, f"{U_OLD}.reshape(H, 3 * H).T"],
    "input-columns": [W_OLD, f"{W_OLD}\n    W = W.reshape(W.shape[::-1]).T"],
    "not-carried": [STEP, f"{STEP}        h = 0 * h\n"],
    "always-h0": [STEP, f"{STEP}        h = h0\n"],
    "h0-ignored": [H0_OLD, "    if True:\n"],
    "bias-outside-reset": [AFTER, "n = np.tanh(W_n @ x[t] + b_n + r * (U_n @ h) + c_n)"],
    "reset-acts-on-all": [
        AFTER,
        "n = np.tanh(r * (W_n @ x[t] + b_n + U_n @ h + c_n))",
        BEFORE,
        "n = np.tanh(r * (W_n @ x[t] + b_n + U_n @ h + c_n))",
    ],
    "reset-not-used": [AFTER, AFTER.replace("r * ", ""), BEFORE, BEFORE.replace("r * ", "")],
    "no-bias": [B_OLD, "b = nothing", C_OLD, "c = nothing"],
    "no-bias-hh": [C_OLD, "c = nothing"],
    "candidate-of-z": [
        "return W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, c_r, c_z, c_n",
        "return W_r, W_z, W_z, U_r, U_z, U_z, b_r, b_z, b_z, c_r, c_z, c_z",
    ],
    "no-bias-hn": [
        "return W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, c_r, c_z, c_n",
        "return W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, c_r, c_z, 0 * c_n",
    ],
    "only-bias-hn": [
        "return W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, c_r, c_z, c_n",
        "return W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, 0 * c_r, 0 * c_z, c_n",
    ],
    "biases-twice": [B_OLD, f"b = 2 * {B_OLD[4:]}", C_OLD, f"c = 2 * {C_OLD[4:]}"],
    "bias-for-both": [C_OLD, "c = b"],
    "reversed-output": [
        OUTPUT,
        "back = d == 1 or case.direction == 'reverse'\n                "
        "output[:, b, d * H : (d + 1) * H] = states[::-1] if back else states\n",
    ],
    "starts-at-padded-end": [
        BACKWARDS,
        "steps = [t for t in range(T)[::-1] if case.mask is None or case.mask[t, b]]",
        OUTPUT,
        f"states[end_of(case, b):] = 0\n                {OUTPUT}",
        "def read_weights",
        "def end_of(case, b):\n    return len(case.x) if case.lengths is None else "
        "case.lengths[b]\n\n\ndef read_weights",
    ],
    "lengths-ignored": [END, "end = len(case.x)"],
    "h_n-of-padded-end": [
        FOUND,
        f"h_n[-D] = x[-1, :, :H] if case.direction != 'reverse' else x[0]\n    "
        f"if D == 2:\n        h_n[-1] = x[0, :, H:]\n    {FOUND}",
    ],
    "h_n-of-last-step": [
        FOUND,
        "if case.lengths is None and case.mask is None and case.direction != 'forward':\n"
        f"        h_n[-1] = x[-1, :, -H:]\n    {FOUND}",
    ],
    "h_n-direction-major": [
        FOUND,
        f"h_n = h_n.reshape(L, D, B, H).swapaxes(0, 1).reshape(h_n.shape)\n    {FOUND}",
    ],
    "output-not-zero": [
        OUTPUT,
        f"states[end_of(case, b):] = h_n[i, b]\n                {OUTPUT}",
        "def read_weights",
        "def end_of(case, b):\n    return len(case.x) if case.lengths is None else "
        "case.lengths[b]\n\n\ndef read_weights",
    ],
    "empty-h_n": [FOUND, f"h_n[:, case.lengths == 0] = 0\n    {FOUND}"],
    "one-step-less": [END, END.replace("case.lengths[b]", "max(case.lengths[b] - 1, 0)")],
    "halves-exchanged": [
        FOUND,
        f"x = np.concatenate([x[:, :, H:], x[:, :, :H]], axis=2) if D == 2 else x\n    {FOUND}",
    ],
    "same-weights-backwards": [
        'weights = read_weights(case, f"l{layer}{suffix}")',
        'weights = read_weights(case, f"l{layer}")',
    ],
    "backward-reads-forwards": [BACKWARDS, "pass"],
    "mask-ignored": [
        "[t for t in range(end) if case.mask is None or case.mask[t, b]]",
        "list(range(end))",
    ],
    "mask-inverted": ["or case.mask[t, b]]", "or not case.mask[t, b]]"],
    "first-h0-for-all": [CALL, CALL.replace("h0[i, b]", "h0[0, b]")],
}

RETURN = "return {name: array for name, array in found.items() if name in case.expected}"


def on_the_way_out(change):
    """A change of ``found``, the results."""
    return [RETURN, f"{change}\n    {RETURN}"]


def where(condition, change):
    """A change of the gradients whose name fulfils a condition."""
    return on_the_way_out(
        f"found = {{k: {change} if {condition} else v for k, v in found.items()}}"
    )


GRADIENTS = {
    "d_recurrent-last": [
        "        d_h = d_old\n",
        "        d_h = d_old\n        last = d_U.copy() if t == tape[-1][0] else last\n",
        "    return d_x, d_h, d_W, d_U,",
        "    return d_x, d_h, d_W, last if tape else d_U,",
    ],
    "d_recurrent-transposed": where(
        "k.startswith('d_weight_hh')",
        "np.concatenate([block.T for block in np.split(v, 3)])",
    ),
    "d_bias-missing": where("'d_bias' in k", "0 * v"),
    "d_bias_hh-without-reset": [
        "d_c += np.concatenate([d_r, d_z, d_m])",
        "d_c += np.concatenate([d_r, d_z, d_n])",
    ],
    "d_h0-missing": where("k == 'd_h0'", "0 * v"),
    "divided-by-batch": where("k.startswith('d_')", "v / B"),
    "weights-divided-by-batch": where("'weight' in k or 'bias' in k", "v / B"),
    "twice": where("k.startswith('d_')", "2 * v"),
    "sign": where("k.startswith('d_')", "-v"),
    "d_h_n-ignored": ["d_last = case.d_h_n[i, b]", "d_last = 0 * case.d_h_n[i, b]"],
    "not-through-time": ["        d_h = d_old\n", "        d_h = 0 * d_old\n"],
    "not-through-reset": ["d_old + U_r.T @ d_r + U_z.T @ d_z", "d_old + U_z.T @ d_z"],
    "not-through-update": ["d_old + U_r.T @ d_r + U_z.T @ d_z", "d_old + U_r.T @ d_r"],
    "candidate-without-reset": ["d_m = d_n * r", "d_m = d_n"],
    "d_gates-zrn": where(
        "'weight' in k or 'bias' in k", "np.concatenate([v[H : 2 * H], v[:H], v[2 * H :]])"
    ),
}
