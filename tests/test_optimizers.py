"""Optimisers: their formulas in plain loops, weight decay without biases, whole steps."""

import copy
import pickle

import numpy as np
import pytest

import pygru
from pygru import GRU, SGD, Adam, AdamW, Embedding, Last, Linear, RMSprop, Sequential

OPTIMIZERS = [SGD, RMSprop, Adam, AdamW]


class OneParameter:
    """f(p) = p^2 / 2 with gradient p."""

    def __init__(self, p):
        self.p, self.g = np.array([p]), np.array([p])

    @property
    def flat_pairs(self):
        self.g[:] = self.p
        return [(self.p, self.g)]

    weight_slices = ([slice(0, 1)],)


# ---- the formulas, one parameter at a time ---------------------------------------------------


def plain_sgd(p, g, state, t, rate, momentum=0.0, nesterov=False, decay=0.0):
    g = g + decay * p
    state["v"] = momentum * state.get("v", 0.0) + g
    return p - rate * (g + momentum * state["v"] if nesterov else state["v"])


def plain_rmsprop(p, g, state, t, rate, alpha, eps, momentum=0.0, centered=False, decay=0.0):
    g = g + decay * p
    state["s"] = alpha * state.get("s", 0.0) + (1 - alpha) * g * g
    state["a"] = alpha * state.get("a", 0.0) + (1 - alpha) * g if centered else 0.0
    step = g / (np.sqrt(state["s"] - state["a"] ** 2) + eps)
    state["v"] = momentum * state.get("v", 0.0) + step
    return p - rate * state["v"]


def plain_adam(p, g, state, t, rate, betas, eps, decay=0.0, decoupled=False):
    if decoupled:
        p = p - rate * decay * p
    else:
        g = g + decay * p
    state["m"] = betas[0] * state.get("m", 0.0) + (1 - betas[0]) * g
    state["v"] = betas[1] * state.get("v", 0.0) + (1 - betas[1]) * g * g
    m, v = state["m"] / (1 - betas[0] ** t), state["v"] / (1 - betas[1] ** t)
    return p - rate * m / (np.sqrt(v) + eps)


CASES = [
    (SGD(0.1), plain_sgd, {}),
    (SGD(0.1, momentum=0.7), plain_sgd, {"momentum": 0.7}),
    (SGD(0.1, 0.7, nesterov=True), plain_sgd, {"momentum": 0.7, "nesterov": True}),
    (
        SGD(0.1, 0.7, nesterov=True, weight_decay=0.3),
        plain_sgd,
        {"momentum": 0.7, "nesterov": True, "decay": 0.3},
    ),
    (SGD(0.1, 0.7, weight_decay=0.3), plain_sgd, {"momentum": 0.7, "decay": 0.3}),
    (RMSprop(0.1, 0.8, 1e-3), plain_rmsprop, {"alpha": 0.8, "eps": 1e-3}),
    (
        RMSprop(0.1, 0.8, 1e-3, 0.6, centered=True, weight_decay=0.3),
        plain_rmsprop,
        {"alpha": 0.8, "eps": 1e-3, "momentum": 0.6, "centered": True, "decay": 0.3},
    ),
    (Adam(0.1, (0.8, 0.9), 1e-3), plain_adam, {"betas": (0.8, 0.9), "eps": 1e-3}),
    (
        Adam(0.1, (0.8, 0.9), 1e-3, weight_decay=0.3),
        plain_adam,
        {"betas": (0.8, 0.9), "eps": 1e-3, "decay": 0.3},
    ),
    (
        AdamW(0.1, (0.8, 0.9), 1e-3, weight_decay=0.3),
        plain_adam,
        {"betas": (0.8, 0.9), "eps": 1e-3, "decay": 0.3, "decoupled": True},
    ),
]


@pytest.mark.parametrize(("optimizer", "formula", "options"), CASES)
def test_steps_follow_the_formula(optimizer, formula, options):
    optimizer = copy.deepcopy(optimizer)
    model, state, p = OneParameter(1.0), {}, 1.0
    for t in range(1, 6):
        p = formula(p, p, state, t, 0.1, **options)
        optimizer.step(model)
        assert model.p[0] == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("optimizer", "formula", "options"), CASES)
def test_whole_models_step_like_each_parameter(optimizer, formula, options, dtype):
    """Sizes that are no multiple of a vector; biases without decay, weights with it."""
    rng = np.random.default_rng(0)
    optimizer = copy.deepcopy(optimizer)
    model = Sequential(
        Embedding(5, 3, dtype=dtype, seed=0),
        GRU(3, 5, 2, batch_first=True, bidirectional=True, dtype=dtype, seed=1),
        Last(bidirectional=True),
        Linear(10, 2, dtype=dtype, seed=2),
    )
    expected = {name: view.astype(float) for name, view in model.parameters.items()}
    states = {name: {} for name in expected}
    for t in range(1, 4):
        for name, view in model.grads.items():
            view[...] = rng.standard_normal(view.shape)
            own = options | ({"decay": 0.0} if "bias" in name and "decay" in options else {})
            gradient = view.astype(float)
            expected[name] = formula(expected[name], gradient, states[name], t, 0.1, **own)
        optimizer.step(model)
    tolerance = {"rtol": 1e-12} if dtype == "float64" else {"rtol": 2e-5, "atol": 2e-6}
    for name, view in model.parameters.items():
        np.testing.assert_allclose(view, expected[name], **tolerance, err_msg=name)


def test_decay_spares_a_learned_initial_state():
    gru = GRU(2, 3, learn_h0=True, seed=0)
    gru.parameters["h0"] = np.ones((1, 3))
    before = gru.parameters["weight_hh_l0"].copy()
    AdamW(0.1, weight_decay=0.5).step(gru)
    assert (gru.parameters["h0"] == 1).all()
    assert (abs(gru.parameters["weight_hh_l0"]) < abs(before)).all()


@pytest.mark.parametrize("bias", [True, False])
def test_weight_slices_are_all_but_biases(bias):
    model = Sequential(GRU(2, 3, 2, bias, batch_first=True), Last(), Linear(3, 4, bias))
    slices = model.weight_slices
    for layer, places in zip(model.layers, slices, strict=True):
        marked = np.zeros(layer.flat_parameters.size)
        for place in places:
            marked[place] = 1
        layer.flat_parameters = marked
    for name, view in model.parameters.items():
        assert (view == (0 if "bias" in name else 1)).all(), name
    assert len(slices[0]) == (2 if bias else 1)  # neighbours are one slice


@pytest.mark.parametrize(
    ("ours", "rival", "options"),
    [
        (SGD, "SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        (RMSprop, "RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
        (Adam, "Adam", {"weight_decay": 0.1}),
        (AdamW, "AdamW", {}),
    ],
)
def test_steps_agree_with_torch(ours, rival, options):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    gru = GRU(2, 3, bias=False, dtype="float64", seed=0)
    parameter = torch.tensor(gru.flat_parameters.copy(), requires_grad=True)
    rival, ours = (
        getattr(torch.optim, rival)([parameter], lr=0.01, **options),
        ours(0.01, **options),
    )
    for _ in range(20):
        gru.flat_grads[:] = rng.standard_normal(gru.flat_grads.size)
        parameter.grad = torch.tensor(gru.flat_grads.copy())
        rival.step()
        ours.step(gru)
    np.testing.assert_allclose(gru.flat_parameters, parameter.detach().numpy(), rtol=1e-12)


def test_clip_grad_norm():
    model = Sequential(GRU(2, 8, batch_first=True, seed=0), Last(), Linear(8, 1, seed=0))
    for _, gradients in model.flat_pairs:
        gradients[:] = 2.0
    count = sum(len(gradients) for _, gradients in model.flat_pairs)
    assert pygru.clip_grad_norm(model, 1e9) == pytest.approx(2 * np.sqrt(count))
    assert pygru.clip_grad_norm(model, 1.0) == pytest.approx(2 * np.sqrt(count))
    assert pygru.clip_grad_norm(model, None) == pytest.approx(1.0)


@pytest.mark.parametrize("model", [None, "gru", [GRU(1, 1, seed=0)], np.ones(3)])
def test_what_is_no_model_is_refused_by_name(model):
    message = f"model must be a GRU, another layer or a model, got {type(model).__name__}$"
    with pytest.raises(TypeError, match=message):
        pygru.clip_grad_norm(model, 1.0)
    optimizer = Adam(0.1)
    with pytest.raises(TypeError, match=message):
        optimizer.step(model)
    optimizer.step(GRU(1, 1, seed=0))  # the refused one has not become its model
    assert optimizer.steps == 1


# ---- state -----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_serves_one_model(optimizer):
    optimizer = optimizer()
    optimizer.step(Linear(2, 8))
    for other in (Linear(2, 9), Linear(2, 8)):  # also one with the same sizes
        before = other.flat_parameters.copy()
        with pytest.raises(ValueError, match="this optimizer belongs to another model"):
            optimizer.step(other)
        np.testing.assert_array_equal(other.flat_parameters, before)
    assert optimizer.steps == 1


@pytest.mark.parametrize("way", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_of_an_optimizer_serves_the_copy_of_its_model(way):
    model, optimizer = Linear(2, 8, seed=0), Adam(0.1)
    model.flat_grads[:] = 1
    optimizer.step(model)
    other, other_optimizer = way((model, optimizer))
    for pair in ((model, optimizer), (other, other_optimizer)):
        pair[1].step(pair[0])
    np.testing.assert_array_equal(other.flat_parameters, model.flat_parameters)
    assert other_optimizer.steps == 2


@pytest.mark.parametrize(("optimizer", "formula", "options"), CASES)
def test_a_restored_state_goes_on_with_the_same_bits(optimizer, formula, options):
    rng = np.random.default_rng(1)
    linear, optimizer = Linear(3, 4, seed=0), copy.deepcopy(optimizer)
    linear.flat_grads = rng.standard_normal(16)
    optimizer.step(linear)
    other = Linear(3, 4, seed=9)
    other.load_state_dict(linear.state_dict())
    other.flat_grads = linear.flat_grads
    restored = copy.deepcopy(optimizer)
    restored.__init__(learning_rate=0.5, **optimizer.get_config())
    restored.load_state_dict(optimizer.state_dict())
    assert restored.steps == 1
    for opt, model in ((optimizer, linear), (restored, other)):
        opt.step(model)
    assert np.array_equal(linear.flat_parameters, other.flat_parameters)


def test_a_state_is_a_copy():
    linear, optimizer = Linear(3, 4, seed=0), SGD()
    linear.flat_grads[:] = 1
    optimizer.step(linear)
    state = optimizer.state_dict()
    optimizer.step(linear)
    assert state["steps"] == 1
    assert state["states"][0][0].tolist() == [1.0] * 16


def test_a_step_that_cannot_be_made_changes_nothing():
    """The second flat array is read-only, so the first must not be updated either."""

    class Frozen:
        def __init__(self):
            self.arrays = [np.ones(5), np.ones(5)]
            self.arrays[1].flags.writeable = False

        @property
        def flat_pairs(self):
            return [(array, np.ones(5)) for array in self.arrays]

    model, optimizer = Frozen(), Adam()
    with pytest.raises((ValueError, BufferError)):
        optimizer.step(model)
    assert model.arrays[0].tolist() == [1.0] * 5
    assert optimizer.steps == 0


class Flat:
    """A model of one flat array, as far as optimisers look at it."""

    weight_slices = ((slice(1, 3),),)

    def __init__(self, values, gradients):
        self.flat_pairs = [(values, gradients)]


def laid_out(values, layout):
    """An array of these values that lies otherwise in memory, and the memory around it."""
    n = len(values)
    if layout == "strided":
        whole = np.full(3 * n, 9, values.dtype)
        array = whole[1::3]
    elif layout == "reversed":
        whole = np.full(n, 9, values.dtype)
        array = whole[::-1]
    elif layout == "swapped":
        whole = array = np.empty(n, values.dtype.newbyteorder())
    else:
        whole = np.zeros(values.nbytes + 1, np.uint8)
        array = whole[1:].view(values.dtype)
        assert not array.flags.aligned
    array[:] = values
    return array, whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["strided", "reversed", "swapped", "misaligned"])
@pytest.mark.parametrize("odd", ["values", "gradients", "both"])
@pytest.mark.parametrize(("optimizer", "formula", "options"), CASES)
def test_arrays_of_any_layout_give_the_same_bits(
    optimizer, formula, options, odd, layout, dtype
):
    rng = np.random.default_rng(0)
    values, gradients = rng.standard_normal((2, 7)).astype(dtype)
    plain, other = copy.deepcopy(optimizer), copy.deepcopy(optimizer)
    one = Flat(values.copy(), gradients.copy())
    pair = [
        laid_out(each, layout)[0] if odd in (name, "both") else each.copy()
        for name, each in (("values", values), ("gradients", gradients))
    ]
    two = Flat(*pair)
    for _ in range(3):
        plain.step(one)
        other.step(two)
    np.testing.assert_array_equal(pair[0], one.flat_pairs[0][0])
    np.testing.assert_array_equal(pair[1], gradients)
    assert other.steps == 3
    for found, expected in zip(other._states[0], plain._states[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_stands_between_strided_weights_is_left_alone():
    values, whole = laid_out(np.ones(5), "strided")
    SGD(0.5).step(Flat(values, np.ones(5)))
    assert values.tolist() == [0.5] * 5 and (np.delete(whole, np.s_[1::3]) == 9).all()


@pytest.mark.parametrize("layout", ["strided", "reversed", "swapped", "misaligned"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_state_of_any_layout_is_taken(layout, dtype):
    linear = Linear(3, 4, dtype=dtype, seed=0)
    linear.flat_grads[:] = 1
    plain = SGD(0.1, 0.9)
    plain.step(linear)
    state = plain.state_dict()
    state["states"] = [[laid_out(state["states"][0][0], layout)[0]]]
    other = SGD(0.5, 0.9)
    other.load_state_dict(state)
    twin = copy.deepcopy(linear)
    for optimizer, model in ((plain, linear), (other, twin)):
        optimizer.step(model)
    np.testing.assert_array_equal(linear.flat_parameters, twin.flat_parameters)


GOOD = {"steps": 1, "learning_rate": 0.5, "states": [[np.ones(16, np.float32)]]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"steps": 2**63},
            ValueError,
            r"steps must be at most 2\*\*53, got 9223372036854775808",
        ),
        ({"steps": 2**53 + 1}, ValueError, "steps must be at most"),
        ({"steps": -1}, ValueError, "steps must be >= 0, got -1"),
        ({"steps": 1.0}, TypeError, "steps must be an int, got float"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be a finite number > 0, got 0"),
        (
            {"learning_rate": None},
            ValueError,
            "learning_rate is a schedule in one and a number",
        ),
        (
            {"states": [[np.ones(16, int)]]},
            ValueError,
            r"states\[0\]\[0\] must have dtype float32 or float64, got int\d\d",
        ),
        ({"states": [[np.ones(16, "f2")]]}, ValueError, "float32 or float64, got float16"),
        (
            {"states": [[np.ones((4, 4))]]},
            ValueError,
            r"states\[0\]\[0\] must have one axis, got 2",
        ),
        ({"states": [[]]}, ValueError, r"a SGD keeps 1 states per array, got 0 in states\[0\]"),
        ({"states": [["a"]]}, TypeError, r"states\[0\]\[0\] must be numeric"),
    ],
)
def test_a_state_that_is_refused_changes_nothing(change, error, message):
    """Not even the rate, which used to be taken over before the count was looked at."""
    linear, optimizer = Linear(3, 4, seed=0), SGD(0.1, 0.9)
    linear.flat_grads[:] = 1
    optimizer.step(linear)
    before = str(optimizer.state_dict())
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(GOOD | change)
    assert str(optimizer.state_dict()) == before
    optimizer.step(linear)
    optimizer.load_state_dict(GOOD)
    assert (optimizer.steps, optimizer.learning_rate) == (1, 0.5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[np.ones(16)] * 2],
            "states of this optimizer are float64, the weights of the model f",
        ),
        ([[np.ones(17, "f4")] * 2], "belongs to another model"),
        ([[np.ones(16, "f4")] * 2] * 2, "belongs to another model"),
    ],
)
def test_a_state_of_another_model_is_refused_by_the_next_step(rows, message):
    linear, optimizer = Linear(3, 4, seed=0), Adam()
    before = linear.flat_parameters.copy()
    optimizer.load_state_dict({"steps": 1, "learning_rate": 0.1, "states": rows})
    with pytest.raises(ValueError, match=message):
        optimizer.step(linear)
    np.testing.assert_array_equal(linear.flat_parameters, before)
    assert optimizer.steps == 1


def test_states_of_one_row_are_alike():
    state = {"steps": 1, "learning_rate": 0.1, "states": [[np.ones(3), np.ones(4)]]}
    with pytest.raises(
        ValueError, match=r"states\[0\]\[1\] must be like states\[0\]\[0\], of sh"
    ):
        Adam().load_state_dict(state)


def test_gradients_of_another_dtype_are_refused():
    model = Flat(np.ones(4, np.float32), np.ones(4))
    with pytest.raises(
        ValueError, match=r"the gradients must have shape .* dtype float32 like"
    ):
        SGD().step(model)
    assert model.flat_pairs[0][0].tolist() == [1] * 4


@pytest.mark.parametrize("layout", ["strided", "reversed", "swapped", "misaligned"])
def test_gradients_of_any_layout_are_clipped(layout):
    gradients, _ = laid_out(np.full(4, 2.0), layout)
    assert pygru.clip_grad_norm(Flat(np.ones(4), gradients), 1.0) == pytest.approx(4)
    assert gradients.tolist() == [0.5] * 4


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_b76_learning_rate(bad, optimizer):
    with pytest.raises(ValueError, match="learning_rate must be a finite number > 0, got"):
        optimizer(learning_rate=bad)
    with pytest.raises(TypeError, match="learning_rate must be a float, got str"):
        optimizer(learning_rate="0.1")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SGD(nesterov=True), "nesterov=True needs momentum > 0"),
        (lambda: SGD(momentum=1.1), r"momentum must be a number in \[0, 1\]"),
        (lambda: Adam(betas=(0.9, 1.0)), r"betas must be two numbers in \[0, 1\)"),
        (lambda: RMSprop(alpha=1.0), r"alpha must be a number in \[0, 1\)"),
        (lambda: RMSprop(eps=0), "eps must be a finite number > 0"),
        (lambda: AdamW(weight_decay=-1), "weight_decay must be a finite number >= 0, got -1"),
    ],
)
def test_settings_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()
