"""The operators of pygru.torch: what compilers of PyTorch need of them, and compiled modules.

These tests fail if the shapes that the operators promise are not those that they return; if a
result depends on memory that nobody has set; if a compiled module breaks its graph, uses
weights from before a change, or computes something else than the module itself.
"""

import copy

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence  # noqa: E402
from torch_twins import assert_same, gradients, twins  # noqa: E402

from pygru.torch import GRU, ops  # noqa: E402

T, B, I, H = 7, 4, 3, 5


def data(*shape, dtype=torch.float32, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def arguments(options, *, packed=False, masked=False, keep=True, gradient=True):
    """The arguments of the operator for a module with these options."""
    module = GRU(I, H, **options, dtype=torch.float64).requires_grad_(gradient)
    layers, width = module.num_layers, H * (1 + module.bidirectional)
    x = data(T, B, I, dtype=torch.float64)
    hx = data(layers * (1 + module.bidirectional), B, H, dtype=torch.float64)
    batch_sizes = mask = None
    if packed:
        x, batch_sizes, *_ = pack_padded_sequence(x, [7, 5, 5, 1])
    if masked:
        shape = (layers - 1, x.shape[:-1].numel(), width)
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.6
    weights = list(module.parameters())
    x, hx = (tensor.requires_grad_(gradient) for tensor in (x, hx))
    return (
        x,
        hx,
        weights,
        batch_sizes,
        mask,
        layers,
        module.bias,
        module.bidirectional,
        False,
        0.4 if masked else 0.0,
        keep,
        0,
    )


CASES = {
    "one layer": {"options": {}},
    "two layers and directions": {"options": {"num_layers": 2, "bidirectional": True}},
    "no biases": {"options": {"bias": False}},
    "packed": {"options": {"bidirectional": True}, "packed": True},
    "dropout": {"options": {"num_layers": 3}, "masked": True},
    "packed with dropout": {"options": {"num_layers": 2}, "packed": True, "masked": True},
    "inference": {"options": {"num_layers": 2}, "keep": False, "gradient": False},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_opcheck(case):
    torch.library.opcheck(ops.gru, arguments(**case))


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES.values()][:-1], ids=[*CASES][:-1])
def test_gradcheck(case):
    x, hx, weights, *others = arguments(**case)

    def function(x, hx, *weights):
        return ops.gru(x, hx, list(weights), *others)[:2]

    assert torch.autograd.gradcheck(function, (x, hx, *weights))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_tape_has_the_promised_size_and_no_unset_value(case):
    given = arguments(**case)
    one, other = ops.gru(*given)[2], ops.gru(*given)[2]
    assert torch.equal(one, other)
    mode = torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        promised = ops.gru(*given)
    assert [result.shape for result in promised] == [result.shape for result in ops.gru(*given)]


def test_a_second_derivative_is_refused():
    x, *others = arguments({})
    (first,) = torch.autograd.grad(ops.gru(x, *others)[0].sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        first.sum().backward()


# ---- compiled modules --------------------------------------------------------------------

BACKENDS = ["eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_without_a_break(backend):
    theirs, ours = twins(I, H, 2, batch_first=True, bidirectional=True)
    compiled = torch.compile(ours, backend=backend, fullgraph=True)
    x, hx = data(B, T, I), data(4, B, H, seed=2)
    assert_same(gradients(theirs, x, hx), gradients(ours, x, hx, compiled))
    assert_same(gradients(theirs, x), gradients(ours, x, call=compiled))
    with torch.no_grad():
        assert_same(theirs(x), compiled(x))
    with torch.no_grad():
        theirs.weight_hh_l0 += 1
        ours.weight_hh_l0.data += 1
    assert_same(gradients(theirs, x, hx), gradients(ours, x, hx, compiled))


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_a_compiled_model_of_several_gru(backend):
    class Model(torch.nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.first, self.second = kind(I, H), kind(H, H)
            self.head = torch.nn.Linear(H, 1)

        def forward(self, x):
            y, h = self.first(x)
            return self.head(self.second(y.relu(), h)[0])

    theirs, ours = Model(torch.nn.GRU), Model(GRU)
    ours.load_state_dict(theirs.state_dict())
    compiled = torch.compile(ours, backend=backend, fullgraph=True)
    x = data(T, B, I)
    results = []
    for model, call in ((theirs, theirs), (ours, compiled)):
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = call(x).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        results.append(losses)
    assert_same(*results, precision=1e-5)


def test_compiled_for_any_number_of_steps_and_sequences():
    theirs, ours = twins(I, H)
    counts = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(ours, backend=counts, fullgraph=True, dynamic=True)
    for steps, sequences in ((8, 6), (9, 4), (2, 7)):
        x = data(steps, sequences, I)
        assert_same(theirs(x), compiled(x))
    assert counts.frame_count == 1


def test_compiled_with_dropout():
    theirs, ours = twins(I, H, 3, dropout=0.5, dtype=torch.float64)
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    x = data(T, B, I, dtype=torch.float64)
    results = []
    for module, call in ((theirs, theirs), (ours, compiled)):
        torch.manual_seed(3)
        results.append(gradients(module, x, call=call))
    assert_same(*results)


def test_a_copy_of_a_compiled_module_has_its_own_weights():
    _, ours = twins(I, H)
    x = data(T, B, I)
    compiled = torch.compile(ours, backend="eager", fullgraph=True)
    expected = compiled(x)
    other = copy.deepcopy(compiled)
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    assert_same(expected, compiled(x))
    assert not torch.equal(other(x)[0], expected[0])


@pytest.mark.slow
def test_exported():
    _, ours = twins(I, H, 2, bidirectional=True)
    x = data(T, B, I)
    sizes = {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}
    program = torch.export.export(ours, (x,), dynamic_shapes=({0: sizes[0], 1: sizes[1]},))
    for shape in ((T, B, I), (3, 6, I)):
        x = data(*shape)
        assert_same(ours(x), program.module()(x))
