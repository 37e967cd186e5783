"""pygru.torch.replace: which modules it swaps, what stays as it was, and what it reports.

These tests fail if a swapped model computes something else; if an optimiser, a hook, a shared
module or the mode of before is lost; or if a module that pygru cannot replace is swapped, or
left out without a word.
"""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch_twins import assert_same  # noqa: E402

from pygru.torch import GRU, replace  # noqa: E402


class Model(nn.Module):
    """Two GRUs, one of them used twice."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 3)
        self.encoder = nn.GRU(3, 4, 2, batch_first=True, bidirectional=True, dropout=0.5)
        self.decoders = nn.ModuleList([nn.GRU(8, 8, batch_first=True)])
        self.again = self.decoders[0]
        self.head = nn.Linear(8, 1)

    def forward(self, tokens):
        y, _ = self.encoder(self.embed(tokens))
        y, _ = self.decoders[0](y)
        return self.head(self.again(y)[0])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


TOKENS = torch.arange(18).reshape(3, 6) % 9


def test_a_whole_model(model):
    model.eval()
    expected, state = model(TOKENS), {n: w.clone() for n, w in model.state_dict().items()}
    report = replace(model)
    assert report.module is model
    assert report.swapped == ("encoder", "decoders.0")
    assert report.kept == {}
    assert type(model.encoder) is GRU
    assert model.again is model.decoders[0]
    assert not model.encoder.training
    assert_same(expected, model(TOKENS))
    assert_same([*state.values()], [*model.state_dict().values()])
    assert str(report).splitlines() == [
        "2 torch.nn.GRU swapped for pygru.torch.GRU",
        "  encoder",
        "  decoders.0",
    ]
    assert replace(model).swapped == ()


def test_training_goes_on_with_the_same_optimizer(model):
    other = Model()
    other.load_state_dict(model.state_dict())
    losses = []
    for each in (model, other):
        optimizer = torch.optim.Adam(each.parameters(), 0.05)
        losses.append([])
        for step in range(6):
            if each is other and step == 3:
                assert len(replace(each).swapped) == 2
            torch.manual_seed(step)  # of dropout
            optimizer.zero_grad()
            loss = each(TOKENS).square().mean()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.detach())
    assert_same(*losses, precision=1e-5)


def test_hooks_and_attributes_stay(model):
    seen = []
    handle = model.encoder.register_forward_hook(lambda module, *_: seen.append(type(module)))
    model.encoder.note = "mine"
    model.encoder.weight_hh_l0.requires_grad_(False)
    replace(model)
    model(TOKENS)
    assert seen == [GRU]
    assert model.encoder.note == "mine"
    assert not model.encoder.weight_hh_l0.requires_grad
    handle.remove()
    model(TOKENS)
    assert len(seen) == 1


def test_a_gru_itself():
    gru = nn.GRU(3, 4)
    x = torch.ones(5, 2, 3)
    expected = gru(x)
    report = replace(gru)
    assert report.module is gru
    assert report.swapped == ("",)
    assert "the module itself" in str(report)
    assert_same(expected, gru(x))


def test_what_is_kept_and_why():
    class Own(nn.GRU):
        """A subclass may have a forward of its own."""

    projected = nn.GRU(3, 4)
    projected.proj_size = 2
    model = nn.ModuleDict(
        {
            "cell": nn.GRUCell(3, 4),
            "own": Own(3, 4),
            "half_precision": nn.GRU(3, 4).half(),
            "on_meta": nn.GRU(3, 4, device="meta"),
            "projected": projected,
            "normed": nn.utils.parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0"),
            "lstm": nn.LSTM(3, 4),
        }
    )
    kinds = {name: type(module) for name, module in model.items()}
    report = replace(model)
    assert report.swapped == ()
    assert {name: type(module) for name, module in model.items()} == kinds
    expected = {
        "cell": "torch.nn.GRUCell",
        "own": "a subclass of torch.nn.GRU",
        "half_precision": "weight_ih_l0 is torch.float16",
        "on_meta": "weight_ih_l0 is on the device meta",
        "projected": "proj_size",
        "normed": "parametrised",
    }
    assert set(report.kept) == set(expected)
    for name, reason in expected.items():
        assert reason in report.kept[name]
        assert f"  {name}: " in repr(report)


@pytest.mark.filterwarnings("ignore")
def test_quantised_and_scripted_modules_are_kept():
    model = nn.ModuleDict({"gru": nn.GRU(3, 4)})
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.GRU})
    assert replace(quantised).kept == {"gru": "it is quantised"}
    scripted = nn.ModuleDict({"gru": torch.jit.script(nn.GRU(3, 4))})
    assert replace(scripted).kept == {"gru": "it is compiled by TorchScript"}


def test_no_module():
    with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module, got dict"):
        replace({})
