"""Weights from PyTorch's own modules and files, and back, where PyTorch is installed.

The files of PyTorch are also read in ``test_torch_files.py``, which needs no PyTorch.
"""

import copy
import importlib
import pickle
import warnings

import numpy as np
import pytest

import pygru

torch = pytest.importorskip("torch")
nn = torch.nn

I, H = 4, 5
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


class Net(nn.Module):
    """A model with every kind of layer that pygru has, and some that it has not."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, I, padding_idx=0)
        self.rnn = nn.GRU(I, H, 2, bidirectional=True, batch_first=True, dropout=0.25)
        self.norm = nn.LayerNorm(2 * H, eps=1e-3)
        self.fc = nn.Linear(2 * H, 3)
        self.last = nn.Linear(3, 2, bias=False)
        self.cell = nn.GRUCell(I, H, bias=False)
        self.lstm = nn.LSTM(I, H)
        self.projected = nn.LSTM(I, H, proj_size=2)
        self.plain = nn.RNN(I, H)
        self.register_buffer("steps", torch.arange(3))

    def forward(self, x):
        h = self.norm(self.rnn(self.embedding(x))[0])
        return self.last(torch.relu(self.fc(h)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, 10, (3, 7))


LAYERS = [
    ("embedding", pygru.Embedding),
    "rnn",
    ("norm", pygru.LayerNorm(2 * H, eps=1e-3)),
    "fc",
    pygru.Activation("relu"),
    ("last", pygru.Linear),
]
WRAPPED = {
    "state dict": lambda net: net.state_dict(),
    "checkpoint": lambda net: {"model": net.state_dict(), "epoch": 3, "best": np.float64(1)},
    "Lightning": lambda net: {
        "state_dict": {f"model.{name}": tensor for name, tensor in net.state_dict().items()},
        "hyper_parameters": {"lr": 0.1},
    },
    "DataParallel": lambda net: {f"module.{n}": t for n, t in net.state_dict().items()},
    "module": lambda net: net,
    "list of modules": lambda net: [None, {"net": net}],
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_files_of_torch_save(wrapped, is_zip, protocol, net, tokens, tmp_path):
    path = tmp_path / "net.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(
            WRAPPED[wrapped](net),
            path,
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=is_zip,
        )
    model = pygru.from_torch(path, layers=LAYERS)
    with torch.inference_mode():
        expected = net(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(model(tokens), expected, rtol=0, atol=2e-6)
    gru = pygru.from_torch(path, "rnn")
    is_module = "module" in wrapped
    assert gru.batch_first == is_module and gru.dropout == (0.25 if is_module else 0)
    for name, parameter in net.rnn.named_parameters():
        np.testing.assert_array_equal(gru.parameters[name], parameter.detach())
    found = pygru.io.inspect(path)
    assert [each.name.rpartition(".")[2] for each in found] == ["rnn", "cell"]
    reasons = {name.rpartition(".")[2]: why for name, why in found.refused.items()}
    assert "an LSTM" in reasons["lstm"] and "plain RNN" in reasons["plain"]
    assert "'" in reasons["projected"] and "proj_size" in reasons["projected"]
    read = pygru.io.read_arrays(path)
    for name, tensor in net.state_dict().items():
        (same,) = (each for full, each in read.items() if f".{full}".endswith(f".{name}"))
        np.testing.assert_array_equal(same, tensor)


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_files_of_pickles_own(wrapped, protocol, net, tmp_path):
    """Some save with ``pickle`` instead of ``torch.save``."""
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(WRAPPED[wrapped](net), protocol))
    gru = pygru.from_torch(path, "rnn")
    for name, parameter in net.rnn.named_parameters():
        np.testing.assert_array_equal(gru.parameters[name], parameter.detach())
    assert gru.batch_first == ("module" in wrapped)


def test_a_whole_module_names_its_layers(net, tokens, tmp_path):
    """The classes in the file, or of the module, say what the parameters alone do not."""
    layers = ["embedding", "rnn", "norm", "fc", pygru.Activation("relu"), "last"]
    torch.save(net, tmp_path / "net.pt")
    with torch.inference_mode():
        expected = net(torch.from_numpy(tokens)).numpy()
    for source in (net, tmp_path / "net.pt"):
        model = pygru.from_torch(source, layers=layers)
        np.testing.assert_allclose(model(tokens), expected, rtol=0, atol=2e-6)
        assert model.layers[2].eps == 1e-3 and model.layers[0].padding_idx == 0


@pytest.mark.parametrize("make", ["script", "trace"])
def test_torchscript(make, net, tokens, tmp_path):
    path = str(tmp_path / "net.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if make == "script":
            compiled = torch.jit.script(net)
        else:
            compiled = torch.jit.trace(net, torch.from_numpy(tokens))
        compiled.save(path)
        torch.jit.freeze(torch.jit.script(net)).save(str(tmp_path / "frozen.pt"))
    with torch.inference_mode():
        expected = net(torch.from_numpy(tokens)).numpy()
    model = pygru.from_torch(path, layers=LAYERS)
    np.testing.assert_allclose(model(tokens), expected, rtol=0, atol=2e-6)
    with pytest.raises(pygru.FormatError, match="freeze"):
        pygru.from_torch(tmp_path / "frozen.pt")


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.GRU(I, H, batch_first=True)
        self.second = nn.GRU(I, H, 2, dropout=0.25)

    def forward(self, x):
        return self.first(x)[0] + self.second(x)[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("is_loaded", [False, True])
def test_scripted_modules_say_the_same_in_memory_and_in_a_file(is_loaded, tmp_path):
    script = torch.jit.script(Two().eval())
    path = str(tmp_path / "script.pt")
    script.save(path)
    for source in (path, torch.jit.load(path) if is_loaded else script):
        first, second = (pygru.from_torch(source, name) for name in ("first", "second"))
        assert (first.batch_first, first.variant.name) == (True, "pytorch")
        assert (second.batch_first, second.dropout) == (False, 0.25)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traced_modules_do_not_say_whether_they_are_batch_first(tmp_path):
    traced = torch.jit.trace(Two().eval(), torch.ones(2, 2, I))
    path = str(tmp_path / "traced.pt")
    traced.save(path)
    for source in (path, traced):
        with pytest.warns(pygru.DataWarning, match="first: TorchScript does not") as warned:
            pygru.from_torch(source, "first")
        assert warned[0].filename == __file__
        assert pygru.from_torch(source, "first", batch_first=True).batch_first


def test_tensors_of_every_kind(tmp_path):
    t = torch.arange(24.0).reshape(4, 6)
    path = tmp_path / "t.pt"
    readable = {
        "transposed": t.t(),
        "part": t[1:3, ::2],
        "repeated": t.expand(2, 4, 6),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3.5),
        "parameter": nn.Parameter(t),
        "complex": torch.tensor([1 + 2j]),
        "truth": torch.tensor([True, False]),
        **{
            name: torch.tensor([1, 2], dtype=getattr(torch, name))
            for name in ("float16", "float64", "int8", "uint8", "int16", "int32", "int64",
                         "uint16", "uint32", "uint64")
        },
    }  # fmt: skip
    others = {
        "conjugated": torch.tensor([1 + 2j]).conj(),
        "float8": torch.zeros(2).to(torch.float8_e4m3fn),
        "sparse": t.to_sparse(),
        "nothing": torch.zeros(2, device="meta"),
    }
    bfloat = torch.tensor([1.5, -3e38, 1e-40], dtype=torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others["quantised"] = torch.quantize_per_tensor(t, 1.0, 0, torch.qint8)
        torch.save({**readable, **others, "bfloat16": bfloat}, path)
    read = pygru.io.read_arrays(path)
    assert read.keys() == {*readable, "bfloat16"}
    for name, tensor in readable.items():
        expected = tensor.detach().numpy()
        assert read[name].dtype == expected.dtype
        np.testing.assert_array_equal(read[name], expected)
    np.testing.assert_array_equal(read["bfloat16"], bfloat.float().numpy())


# ---- modules and state dicts in memory ------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("layers", "options"),
    [
        (1, {}),
        (3, {"bidirectional": True, "batch_first": True, "dropout": 0.5}),
        (2, {"bias": False}),
    ],
)
def test_a_module_and_back(layers, options, dtype):
    torch.manual_seed(1)
    module = nn.GRU(I, H, layers, dtype=getattr(torch, dtype), **options).eval()
    gru = pygru.from_torch(module)
    assert (gru.num_layers, gru.dtype.name) == (layers, dtype)
    for option, value in options.items():
        assert getattr(gru, option) == value
    x = np.random.default_rng(0).normal(size=(3, 6, I)).astype(dtype)
    h0 = np.random.default_rng(1).normal(size=(gru.options.num_states, 6, H)).astype(dtype)
    if gru.batch_first:
        h0 = h0[:, :3]
    h0 = np.ascontiguousarray(h0)
    with torch.inference_mode():
        expected = [t.numpy() for t in module(torch.from_numpy(x), torch.from_numpy(h0))]
    for ours, theirs in zip(gru(x, h0), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE[dtype])
    back = pygru.to_torch(gru)
    assert type(back) is nn.GRU and not back.training
    assert back.state_dict().keys() == module.state_dict().keys()
    for name, tensor in module.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    assert (back.batch_first, back.dropout) == (module.batch_first, module.dropout)
    # A module and its state dict say the same, except for what is no weight.
    from_dict = pygru.from_torch(module.state_dict(), batch_first=gru.batch_first)
    np.testing.assert_array_equal(from_dict.flat_parameters, gru.flat_parameters)


def test_nothing_is_shared_with_the_module():
    module = nn.GRU(I, H)
    gru = pygru.from_torch(module)
    before = gru.flat_parameters.copy()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(gru.flat_parameters, before)
    back = pygru.to_torch(gru)
    gru.flat_parameters = np.zeros_like(before)
    assert any(parameter.any() for parameter in back.parameters())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_become_float32(dtype):
    module = nn.GRU(I, H).to(getattr(torch, dtype))
    gru = pygru.from_torch(module)
    assert gru.dtype == np.float32
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(gru.parameters[name], parameter.detach().float())


def test_a_cell():
    cell = nn.GRUCell(I, H)
    gru = pygru.from_torch(cell)
    x, h = np.ones((2, I), np.float32), np.ones((2, H), np.float32)
    with torch.inference_mode():
        expected = cell(torch.from_numpy(x), torch.from_numpy(h)).numpy()
    np.testing.assert_allclose(gru.step(x, h[None])[0], expected, rtol=0, atol=1e-6)


def test_frozen_modules_stay_frozen():
    module = nn.GRU(I, H).requires_grad_(False)
    gru = pygru.from_torch(module)
    assert not gru.trainable
    assert not any(parameter.requires_grad for parameter in pygru.to_torch(gru).parameters())
    assert all(
        parameter.requires_grad
        for parameter in pygru.to_torch(pygru.from_torch(nn.GRU(I, H))).parameters()
    )


def test_the_module_of_pygru_for_pytorch(tmp_path):
    module = importlib.import_module("pygru.torch").GRU(I, H, 2, batch_first=True)
    torch.save(module, tmp_path / "module.pt")
    for source in (module, tmp_path / "module.pt"):
        gru = pygru.from_torch(source)
        assert gru.batch_first and gru.variant.name == "pytorch"
        for name, parameter in module.named_parameters():
            np.testing.assert_array_equal(gru.parameters[name], parameter.detach())


class OtherGRU(nn.GRU):
    def forward(self, x):
        return super().forward(x)[0] * 2


class SameGRU(nn.GRU):
    pass


def test_a_subclass_with_code_of_its_own_is_asked_for():
    assert pygru.from_torch(SameGRU(I, H)).variant.name == "pytorch"
    with pytest.raises(ValueError, match="the module does not say which variant"):
        pygru.from_torch(OtherGRU(I, H))
    assert pygru.from_torch(OtherGRU(I, H), variant="pytorch").hidden_size == H
    module = nn.GRU(I, H)
    module.forward = lambda x: nn.GRU.forward(module, x)[0] * 2
    with pytest.raises(ValueError, match="the module does not say which variant"):
        pygru.from_torch(module)


def normalised(module, way):
    old, new = nn.utils, nn.utils.parametrizations
    prune = importlib.import_module("torch.nn.utils.prune")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "weight_norm": lambda: old.weight_norm(module, "weight_hh_l0"),
            "parametrizations.weight_norm": lambda: new.weight_norm(module, "weight_hh_l0"),
            "pruned": lambda: prune.random_unstructured(module, "weight_hh_l0", 0.5),
            "spectral_norm": lambda: old.spectral_norm(module, "weight_hh_l0"),
            "parametrizations.spectral_norm": lambda: new.spectral_norm(module, "weight_ih_l0"),
            "parametrizations.orthogonal": lambda: new.orthogonal(module, "weight_ih_l0"),
            "weight_norm over columns": lambda: old.weight_norm(module, "weight_hh_l0", dim=1),
        }[way]()


@pytest.mark.parametrize("way", ["weight_norm", "parametrizations.weight_norm", "pruned"])
def test_weights_that_are_computed_from_parts(way, tmp_path):
    torch.manual_seed(2)
    module = normalised(nn.GRU(I, H), way)
    with torch.no_grad():  # so that lengths and directions are no longer those at the start
        for parameter in module.parameters():
            parameter += 0.1
    x = np.random.default_rng(0).normal(size=(5, 2, I)).astype(np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x))[0].numpy()
    torch.save(module.state_dict(), tmp_path / "state.pt")
    sources = [module, module.state_dict(), tmp_path / "state.pt"]
    if way == "parametrizations.weight_norm":  # only the class tells what the parts are
        for source in sources[1:]:
            with pytest.raises(pygru.FormatError, match=r"another formula: .*remove_para"):
                pygru.from_torch(source)
        sources = sources[:1]
    for source in sources:
        gru = pygru.from_torch(source)
        np.testing.assert_allclose(gru(x)[0], expected, rtol=0, atol=1e-6)


class ExpTimes(nn.Module):
    """A parametrisation with the same parts as weight normalisation and another formula."""

    def forward(self, scale, weight):
        return torch.exp(scale) * weight

    def right_inverse(self, weight):
        return torch.ones(len(weight), 1), weight


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def test_parametrisations_of_others_are_no_weight_normalisation(tmp_path):
    parametrize = importlib.import_module("torch.nn.utils.parametrize")
    own, twice = nn.GRU(I, H), nn.GRU(I, H)
    parametrize.register_parametrization(own, "weight_hh_l0", ExpTimes())
    nn.utils.parametrizations.weight_norm(twice, "weight_hh_l0")
    parametrize.register_parametrization(twice, "weight_hh_l0", Doubled())
    for module, name in ((own, "ExpTimes"), (twice, "_WeightNorm, then .*Doubled")):
        model = nn.Sequential(module)
        with pytest.raises(pygru.FormatError, match=f"by .*{name}, whose formula pygru does"):
            pygru.from_torch(model)
        torch.save(model.state_dict(), tmp_path / "state.pt")
        with pytest.raises(pygru.FormatError, match="these names do not tell"):
            pygru.from_torch(tmp_path / "state.pt")
        # What the message says is a way out.
        x = torch.ones(5, 2, I)
        expected = module(x)[0].detach().numpy()
        parametrize.remove_parametrizations(module, "weight_hh_l0")
        torch.save(model.state_dict(), tmp_path / "state.pt")
        gru = pygru.from_torch(tmp_path / "state.pt")
        np.testing.assert_allclose(gru(x.numpy())[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "way",
    [
        "spectral_norm",
        "parametrizations.spectral_norm",
        "parametrizations.orthogonal",
        "weight_norm over columns",
    ],
)
def test_formulas_that_the_weights_do_not_hold(way):
    module = normalised(nn.GRU(I, H), way)
    for source in (module, module.state_dict()):
        with pytest.raises(pygru.FormatError, match=r"formula|rows \(dim=0\)"):
            pygru.from_torch(source)


def test_quantised_models_are_refused(net, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = copy.deepcopy(net)
        net.cell = nn.GRUCell(I, H)
        kinds = {nn.GRU, nn.GRUCell, nn.Linear}
        quantised = torch.ao.quantization.quantize_dynamic(net, kinds)
        torch.save(quantised.state_dict(), tmp_path / "state.pt")
        torch.save(quantised, tmp_path / "whole.pt")
    sources = [quantised, quantised.state_dict(), tmp_path / "state.pt", tmp_path / "whole.pt"]
    for source in sources:
        for prefix in ("rnn", "cell"):
            with pytest.raises(ValueError, match=f"'{prefix}' is not a GRU .*quantised"):
                pygru.from_torch(source, prefix)


def test_tensors_without_numbers_and_with_integers(tmp_path):
    """What is refused, and why, is the same in memory and in a file."""
    meta = nn.GRU(I, H, device="meta").state_dict()
    integers = {name: t.to(torch.int8) for name, t in nn.GRU(I, H).state_dict().items()}
    for state, message in (
        (meta, "'weight_ih_l0': it is a tensor of the device 'meta', where"),
        (integers, "'weight_ih_l0' holds numbers of int8, and a GRU needs floating-point"),
    ):
        torch.save(state, tmp_path / "state.pt")
        for source in (state, tmp_path / "state.pt"):
            with pytest.raises(pygru.FormatError, match=message):
                pygru.from_torch(source)


def test_tensors_in_memory_that_are_no_arrays_are_named():
    state = nn.GRU(I, H).state_dict()
    for other in (
        state["weight_hh_l0"].to_sparse(),
        state["weight_hh_l0"].to(torch.float8_e5m2),
    ):
        with pytest.raises(TypeError, match="'weight_hh_l0' cannot be an array of NumPy"):
            pygru.from_torch(state | {"weight_hh_l0": other})


def test_exported_programs_are_named(tmp_path):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(I, H)

        def forward(self, x):
            return self.gru(x)[0]

    path = tmp_path / "program.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(Last(), (torch.ones(5, 2, I),)), path)
    for call in (pygru.from_torch, pygru.io.inspect):
        with pytest.raises(pygru.FormatError, match=r"an exported program .*state_dict, "):
            call(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(torch.export.load(path).state_dict, tmp_path / "weights.pt")
    assert pygru.from_torch(tmp_path / "weights.pt").hidden_size == H


def test_files_without_check_sums(tmp_path):
    module = nn.GRU(I, H)
    before = torch.serialization.get_crc32_options()
    try:
        torch.serialization.set_crc32_options(False)
        torch.save(module.state_dict(), tmp_path / "state.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    gru = pygru.from_torch(tmp_path / "state.pt")
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(gru.parameters[name], parameter.detach())


@pytest.mark.parametrize("kind", [None, pygru.Embedding, pygru.Embedding(5, 3)])
def test_an_embedding_with_max_norm_is_refused(kind):
    module = nn.Sequential(nn.Embedding(5, 3, max_norm=1.0))
    with pytest.raises(ValueError, match=r"layers\[0\]: '0' has max_norm=1\.0, with which"):
        pygru.from_torch(module, layers=["0" if kind is None else ("0", kind)])


def test_what_is_neither_module_nor_mapping_nor_path():
    with pytest.raises(ValueError, match="learn_h0=True contradicts the weights"):
        pygru.from_torch(nn.GRU(I, H), learn_h0=True)
    for source in (3, None, np.ones(3), [nn.GRU(I, H)], nn.GRU):
        with pytest.raises(TypeError, match=r"source must be a path, a torch\.nn\.Module or a"):
            pygru.from_torch(source)
    with pytest.raises(TypeError, match="prefix must be a str or None"):
        pygru.from_torch(nn.GRU(I, H), 3)
    with pytest.raises(TypeError, match="unexpected key 'hidden'"):
        pygru.from_torch(nn.GRU(I, H), hidden=3)
    with pytest.raises(ValueError, match="hidden_size=3 contradicts the weights"):
        pygru.from_torch(nn.GRU(I, H), hidden_size=3)
    with pytest.raises(ValueError, match=r"variant='chung': .*no weights make the two equal"):
        pygru.from_torch(nn.GRU(I, H), variant="chung")


# ---- parts of a whole model -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (["x"], ValueError, r"layers\[0\]: no parameters begin with 'x'"),
        (["embedding"], ValueError, r"may be Embedding or a Linear .* pass \('embedding', pyg"),
        (["norm"], ValueError, r"may be LayerNorm or another .*, pygru\.LayerNorm"),
        (["lstm"], ValueError, r"layers\[0\]: 'lstm' is not a layer that pygru has: .*LSTM"),
        ([("fc", pygru.Embedding)], ValueError, "'fc' is not a Embedding of pygru"),
        ([("rnn", pygru.Linear)], ValueError, "'rnn' is not a Linear of pygru"),
        ([("fc", pygru.GRU)], ValueError, "'fc' is not a GRU of pygru"),
        ([("fc", pygru.Linear(3, 3))], ValueError, "must have shape"),
        ([("fc", 3)], TypeError, r"layers\[0\] must be a prefix, a pair"),
        ([("fc", dict)], TypeError, r"layers\[0\] must be a prefix, a pair"),
        ([None], TypeError, r"layers\[0\] must be a prefix, a pair"),
        ("rnn", TypeError, "layers must be a list, got str"),
        (["rnn", "rnn"], ValueError, "reads 4 features"),
    ],
)
def test_parts_that_are_something_else(layers, error, message, net):
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        pygru.from_torch(net.state_dict(), layers=layers)
    assert raised.type is error


def test_layers_of_the_caller_stay_as_they_are(net):
    own = pygru.LayerNorm(2 * H, eps=1e-3)
    model = pygru.from_torch(net.state_dict(), layers=["rnn", ("norm", own)])
    assert model.layers[1] is not own and (own.parameters["weight"] == 1).all()
    gru = pygru.GRU(I, H, 2, bidirectional=True, batch_first=True, dropout=0.1,
                    variant=pygru.Variant("after", "replace"))  # fmt: skip
    model = pygru.from_torch(net, layers=[("rnn", gru), pygru.Linear(2 * H, 1)])
    assert model.layers[0].dropout == 0.1
    x = np.ones((2, 3, I), np.float32)
    with torch.inference_mode():
        expected = net.rnn(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(model.layers[0](x)[0], expected, rtol=0, atol=2e-6)
    with pytest.raises(ValueError, match="no weights make the two equal"):
        cho = pygru.GRU(I, H, 2, bidirectional=True, batch_first=True, variant="cho")
        pygru.from_torch(net, layers=[("rnn", cho)])


def test_a_row_of_padding_that_is_not_zero_stays():
    """PyTorch returns it as it is; pygru would return zeros for a padding index."""
    module = nn.Sequential(nn.Embedding(5, 3, padding_idx=2))
    assert pygru.from_torch(module, layers=["0"]).layers[0].padding_idx == 2
    with torch.no_grad():
        module[0].weight[2] = 1
    model = pygru.from_torch(module, layers=["0"])
    np.testing.assert_array_equal(model([[2]])[0, 0], [1, 1, 1])


def test_dtype_and_batch_first_of_a_whole_model(net):
    model = pygru.from_torch(net, layers=["rnn", "norm", "fc"], dtype="float64")
    assert {layer.dtype for layer in model.layers} == {np.dtype("float64")}
    with pytest.raises(ValueError, match="batch_first must be True"):
        pygru.from_torch(net, layers=["rnn"], batch_first=False)
    with pytest.raises(TypeError, match="cannot both be given"):
        pygru.from_torch(net, "rnn", layers=["rnn"])


# ---- to PyTorch -----------------------------------------------------------------------------


def test_the_fourth_variant_has_its_update_negated():
    variant = pygru.Variant(reset="after", update="replace")
    gru = pygru.GRU(I, H, 2, variant=variant, dtype="float64", seed=0)
    module = pygru.to_torch(gru)
    x = np.random.default_rng(0).normal(size=(4, 2, I))
    with torch.inference_mode():
        expected = module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(gru(x)[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "cho"}, "applies the reset gate before"),
        ({"variant": "chung"}, "applies the reset gate before"),
        ({"layer_norm": True}, "no layer_norm=True"),
        ({"learn_h0": True}, r"no learn_h0=True; pass gru\.parameters"),
        ({"activation": "relu"}, "no activation='relu'"),
        (
            {"recurrent_activation": "hard_sigmoid"},
            r"no recurrent_activation=\('hard_sigmoid', 0\.2, 0\.5\)",
        ),
        ({"clip": 3.0}, "no clip=3"),
        ({"zoneout": 0.25}, "no zoneout=0.25: in inference each unit keeps"),
        ({"reverse": True}, r"no reverse=True; .*torch\.flip"),
        ({"bidirectional": True, "merge": "sum"}, "no merge='sum'; "),
    ],
)
def test_what_torch_nn_gru_cannot_compute(options, message):
    options = {"variant": "pytorch"} | options
    with pytest.raises(ValueError, match=message):
        pygru.to_torch(pygru.GRU(I, H, **options))


def test_what_acts_in_training_only_is_left_out_with_a_warning():
    gru = pygru.GRU(I, H, variant="pytorch", recurrent_dropout=0.25, seed=0)
    with pytest.warns(UserWarning, match=r"no recurrent_dropout=0\.25, .*has been left out"):
        module = pygru.to_torch(gru)
    x = np.random.default_rng(0).normal(size=(4, 2, I)).astype(np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(gru(x)[0], expected, rtol=0, atol=1e-6)


#: For each option another value than the default, with what it needs beside.
EVERY_OPTION = {
    "num_layers": {"num_layers": 2},
    "bias": {"bias": False},
    "batch_first": {"batch_first": True},
    "dropout": {"num_layers": 2, "dropout": 0.25},
    "bidirectional": {"bidirectional": True},
    "variant": {"variant": "cho"},
    "dtype": {"dtype": "float64"},
    "init": {"init": "keras"},
    "recurrent_dropout": {"recurrent_dropout": 0.25},
    "zoneout": {"zoneout": 0.25},
    "learn_h0": {"learn_h0": True},
    "layer_norm": {"layer_norm": True},
    "layer_norm_eps": {"layer_norm": True, "layer_norm_eps": 0.5},
    "zero_output_for_mask": {"zero_output_for_mask": True},
    "merge": {"bidirectional": True, "merge": "sum"},
    "activation": {"activation": "relu"},
    "recurrent_activation": {"recurrent_activation": "hard_sigmoid"},
    "clip": {"clip": 0.1},
    "reverse": {"reverse": True},
}


def test_every_option_is_known_to_the_test_below():
    """An option that is added later must be refused by to_torch, or change nothing."""
    options = pygru.GRU(I, H).options.get_config()
    assert {"input_size", "hidden_size", *EVERY_OPTION} == options.keys()


@pytest.mark.filterwarnings("ignore:torch.nn.GRU has no recurrent_dropout")
@pytest.mark.parametrize("option", EVERY_OPTION)
def test_to_torch_computes_the_same_or_refuses(option):
    gru = pygru.GRU(I, H, **({"variant": "pytorch", "seed": 0} | EVERY_OPTION[option]))
    if gru.learn_h0:
        gru.parameters["h0"][...] = 1
    try:
        module = pygru.to_torch(gru)
    except ValueError:
        return
    x = np.random.default_rng(0).normal(size=(4, 2, I)).astype(gru.dtype)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(gru(x)[0], expected, rtol=0, atol=1e-6)


def test_to_torch_takes_only_grus():
    for value in (pygru.Linear(2, 3), nn.GRU(I, H), None):
        with pytest.raises(TypeError, match=r"gru must be a pygru\.GRU"):
            pygru.to_torch(value)
