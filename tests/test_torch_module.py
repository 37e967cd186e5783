"""pygru.torch.GRU against torch.nn.GRU, which is the truth here.

These tests fail if a layer, a direction, an initial state or its gradient is mixed up or lost;
if packed sequences are not sorted back; if a call uses weights from before a change, however
the change was made; if dropout draws other numbers; or if something that pygru cannot do is
computed instead of refused.
"""

import copy
import io
import itertools
import pickle
import threading
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import (  # noqa: E402
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)
from torch_twins import assert_same, gradients, twins  # noqa: E402

import pygru  # noqa: E402
from pygru.runner import Runner  # noqa: E402
from pygru.torch import GRU, weights  # noqa: E402

T, B, I, H = 7, 4, 3, 5
OPTIONS = list(itertools.product((1, 2, 3), (False, True), (True, False), (False, True)))
TYPES = [torch.float32, torch.float64]


def data(*shape, dtype=torch.float32, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def states(module, batch=B):
    directions = 2 if module.bidirectional else 1
    dtype = module.weight_ih_l0.dtype
    return data(module.num_layers * directions, batch, module.hidden_size, dtype=dtype, seed=2)


# ---- numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("layers", "bidirectional", "bias", "batch_first"), OPTIONS)
def test_outputs_and_gradients(layers, bidirectional, bias, batch_first, dtype):
    theirs, ours = twins(I, H, layers, bias, batch_first, 0.0, bidirectional, dtype=dtype)
    x = data(T, B, I, dtype=dtype)
    for hx in (None, states(theirs, T if batch_first else B)):
        assert_same(gradients(theirs, x, hx), gradients(ours, x, hx))
    with torch.no_grad():
        assert_same(theirs(x), ours(x))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("layers", "bidirectional", "bias", "enforce"), OPTIONS[::3])
def test_packed_sequences(layers, bidirectional, bias, enforce, dtype):
    theirs, ours = twins(I, H, layers, bias, bidirectional=bidirectional, dtype=dtype)
    lengths = [7, 5, 5, 2, 1] if enforce else [2, 5, 1, 7, 5]
    x = data(T, len(lengths), I, dtype=dtype)

    def packed(module):
        def call(x, hx):
            return module(pack_padded_sequence(x, lengths, enforce_sorted=enforce), hx)

        return call

    for hx in (None, states(theirs, len(lengths))):
        expected = gradients(theirs, x, hx, packed(theirs))
        assert_same(expected, gradients(ours, x, hx, packed(ours)))


def test_packed_sequences_of_equal_lengths_and_of_one_sequence():
    theirs, ours = twins(I, H)
    for sequences in ([data(4, I), data(4, I, seed=3)], [data(6, I)]):
        packed = pack_sequence(sequences)
        assert_same(theirs(packed), ours(packed))
    output, lengths = pad_packed_sequence(ours(packed)[0])
    assert output.shape == (6, 1, H)
    assert lengths.tolist() == [6]


def test_more_sequences_than_a_chunk_and_more_units_than_a_vector():
    theirs, ours = twins(19, 37, 2, bidirectional=True, dtype=torch.float64)
    x = data(11, 70, 19, dtype=torch.float64)
    assert_same(gradients(theirs, x), gradients(ours, x))


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_without_a_batch_axis(batch_first):
    theirs, ours = twins(I, H, 2, batch_first=batch_first, bidirectional=True)
    x = data(T, I)
    for hx in (None, data(4, H)):
        assert_same(gradients(theirs, x, hx), gradients(ours, x, hx))


def test_no_sequences():
    theirs, ours = twins(I, H, 2, batch_first=True)
    x = data(0, T, I)
    assert_same(gradients(theirs, x), gradients(ours, x))


@pytest.mark.parametrize("dropout", [0.3, 1.0])
@pytest.mark.parametrize("packed", [False, True])
def test_dropout_draws_the_numbers_of_torch(dropout, packed):
    theirs, ours = twins(I, H, 3, dropout=dropout, bidirectional=True, dtype=torch.float64)
    x = data(T, 40, I, dtype=torch.float64)
    lengths = torch.randint(1, T + 1, (40,), generator=torch.Generator().manual_seed(3))
    lengths[7] = T
    results = []
    for module in (theirs, ours):
        call = module
        if packed:

            def call(x, hx, module=module):
                return module(pack_padded_sequence(x, lengths, enforce_sorted=False), hx)

        torch.manual_seed(5)
        results.append((gradients(module, x, call=call), torch.rand(3)))
    assert_same(*results)
    ours.eval()
    theirs.eval()
    assert_same(theirs(x), ours(x))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("packed", [False, True])
def test_gradcheck(options, packed):
    module = GRU(2, 3, dtype=torch.float64, **options)
    names = [name for name, _ in module.named_parameters()]
    x = data(3, 2, 2, dtype=torch.float64).requires_grad_()
    hx = states(module, 2).requires_grad_()

    def function(x, hx, *weights):
        if packed:
            x = pack_padded_sequence(x, [1, 3], enforce_sorted=False)
        named = dict(zip(names, weights, strict=True))
        output, h_n = torch.func.functional_call(module, named, (x, hx))
        return (output.data if packed else output), h_n

    assert torch.autograd.gradcheck(function, (x, hx, *module.parameters()))


# ---- tensors in unusual forms ----------------------------------------------------------------


def test_inputs_of_any_layout():
    theirs, ours = twins(I, H, dtype=torch.float64)
    dense = data(T, B, I, dtype=torch.float64)
    hx = states(theirs)
    negated = torch.complex(dense, -dense).conj().imag  # PyTorch puts the negation off
    assert negated.is_neg()
    for x in (
        dense.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        dense[:, :1].expand(T, B, I),
        data(2 * T, B, 2 * I, dtype=torch.float64)[::2, :, ::2],
        negated,
    ):
        assert_same(theirs(x, hx), ours(x, hx))
    transposed = hx.transpose(0, 2).contiguous().transpose(0, 2)
    assert_same(theirs(dense, hx), ours(dense, transposed))


def test_a_gradient_that_is_one_number_for_all():
    theirs, ours = twins(I, H)
    results = []
    for module in (theirs, ours):
        x = data(T, B, I).requires_grad_()
        module(x)[0].sum().backward()  # the gradient of the output has strides of 0
        results.append((x.grad, [weight.grad for weight in module.parameters()]))
    assert_same(*results)


def test_the_tensors_are_neither_copied_nor_changed(monkeypatch):
    seen = {}
    for name in ("forward", "backward"):
        original = getattr(Runner, name)

        def spy(self, *arguments, name=name, original=original, **arrays):
            seen[name] = arrays
            return original(self, *arguments, **arrays)

        monkeypatch.setattr(Runner, name, spy)

    def address(array):
        return array.__array_interface__["data"][0]

    for batch_first in (False, True):
        module = GRU(I, H, batch_first=batch_first)
        x = data(T, B, I).requires_grad_()
        hx = states(module, T if batch_first else B)
        before = x.detach().clone(), hx.clone()
        output, h_n = module(x, hx)
        gradient = data(*output.shape)
        output.backward(gradient)
        assert address(seen["forward"]["x"]) == x.data_ptr()
        assert address(seen["forward"]["h0"]) == hx.data_ptr()
        assert address(seen["forward"]["y"]) == output.data_ptr()
        assert address(seen["forward"]["h_n"]) == h_n.data_ptr()
        assert address(seen["backward"]["d_y"]) == gradient.data_ptr()
        assert address(seen["backward"]["d_x"]) == x.grad.data_ptr()
        assert address(seen["backward"]["tape"]) == address(seen["forward"]["tape"])
        assert torch.equal(x.detach(), before[0])
        assert torch.equal(hx, before[1])


# ---- weights that change ---------------------------------------------------------------------


def by_an_optimizer(module):
    module(data(T, B, I))[0].sum().backward()
    torch.optim.SGD(module.parameters(), 0.1).step()


def in_place(module):
    with torch.no_grad():
        module.weight_hh_l0[2, 1] += 1


def behind_the_version_counter(module):
    module.weight_ih_l0.data[0, 0] = 3


def through_numpy(module):
    module.bias_hh_l0.detach().numpy()[-1] = 2


def by_new_memory(module):
    module.bias_ih_l0.data = data(3 * H, seed=8)


def by_another_parameter(module):
    module.weight_hh_l0 = torch.nn.Parameter(data(3 * H, H, seed=9))


def by_another_layout(module):
    module.weight_hh_l0.data = data(H, 3 * H, seed=9).T


def by_a_state_dict(module):
    state = {name: data(*w.shape, seed=5) for name, w in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


def by_weight_norm(module):
    torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    with torch.no_grad():
        module.parametrizations.weight_hh_l0.original0[1] *= 2


CHANGES = [
    by_an_optimizer,
    in_place,
    behind_the_version_counter,
    through_numpy,
    by_new_memory,
    by_another_parameter,
    by_another_layout,
    by_a_state_dict,
    by_weight_norm,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_no_call_uses_weights_from_before_a_change(change):
    theirs, ours = twins(I, H)
    x = data(T, B, I)
    before = ours(x)[0]
    assert_same(gradients(theirs, x), gradients(ours, x))
    change(theirs)
    change(ours)
    assert not torch.equal(ours(x)[0], before)
    assert_same(gradients(theirs, x), gradients(ours, x))


def test_weights_that_another_thread_writes_while_they_are_copied(monkeypatch):
    """They are written after they were compared, and later they are put back."""
    _, ours = twins(I, H)
    x = data(T, B, I)
    weight = ours.weight_hh_l0.data
    right, allocate = weight.clone(), weights.allocate

    def write_and_allocate(count, dtype, purpose):
        if purpose == "a copy of the weights":
            weight.mul_(2)
        return allocate(count, dtype, purpose)

    monkeypatch.setattr(weights, "allocate", write_and_allocate)
    ours(x)
    monkeypatch.undo()
    assert not torch.equal(weight, right)
    weight.copy_(right)
    assert torch.equal(ours(x)[0], twins(I, H)[1](x)[0])


def test_the_same_memory_in_another_order():
    theirs, ours = twins(3 * H, H)
    x = data(T, B, 3 * H)
    assert_same(theirs(x), ours(x))
    for module in (theirs, ours):
        module.weight_ih_l0.data = module.weight_ih_l0.data.T
    assert_same(gradients(theirs, x), gradients(ours, x))


def test_other_precision_and_back():
    theirs, ours = twins(I, H)
    for to in ("double", "float"):
        getattr(theirs, to)()
        getattr(ours, to)()
        x = data(T, B, I, dtype=theirs.weight_ih_l0.dtype)
        assert_same(gradients(theirs, x), gradients(ours, x))


def test_weights_given_for_one_call():
    theirs, ours = twins(I, H)
    x = data(T, B, I)
    other = {name: w.detach() * 0.5 for name, w in theirs.named_parameters()}
    assert_same(
        torch.func.functional_call(theirs, other, (x,)),
        torch.func.functional_call(ours, other, (x,)),
    )
    assert_same(theirs(x), ours(x))


def test_threads_with_different_weights_at_the_same_time():
    theirs, ours = twins(I, 16)
    x = data(30, 8, I)
    weights = [
        {name: w.detach() * factor for name, w in theirs.named_parameters()}
        for factor in (0.5, 1.0, 1.5)
    ]
    expected = [torch.func.functional_call(theirs, each, (x,)) for each in weights]
    copies = [copy.copy(ours) for _ in weights]
    for each in copies:  # one cache, as the replicas of torch.nn.DataParallel have
        each._cache = ours._cache
        each._parameters = {}
    errors = []

    def work(module, named, result):
        try:
            for name, weight in named.items():
                module._parameters[name] = weight
            for _ in range(50):
                assert_same(result, module(x))
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=arguments)
        for arguments in zip(copies, weights, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


# ---- autograd --------------------------------------------------------------------------


def test_some_weights_without_gradients():
    theirs, ours = twins(I, H, 2)
    for module in (theirs, ours):
        module.weight_hh_l0.requires_grad_(False)
        module.bias_ih_l1.requires_grad_(False)
    x = data(T, B, I)
    results = []
    for module in (theirs, ours):
        module(x)[0].sum().backward()  # x has no gradient either
        results.append([weight.grad for weight in module.parameters()])
    assert_same(*results)
    assert ours.weight_hh_l0.grad is None


def test_frozen_weights_and_inference():
    module = GRU(I, H).requires_grad_(False)
    x = data(T, B, I)
    assert not module(x)[0].requires_grad
    module.requires_grad_(True)
    assert module(x)[0].requires_grad
    with torch.no_grad():
        assert not module(x)[0].requires_grad
    with torch.inference_mode():
        assert module(x)[0].is_inference()


def test_gradients_of_the_last_states_alone():
    theirs, ours = twins(I, H, 2, bidirectional=True)
    results = []
    for module in (theirs, ours):
        x, hx = data(T, B, I).requires_grad_(), states(module).requires_grad_()
        module(x, hx)[1].square().sum().backward()
        results.append((x.grad, hx.grad, [weight.grad for weight in module.parameters()]))
    assert_same(*results)


def test_backward_twice():
    theirs, ours = twins(I, H)
    results = []
    for module in (theirs, ours):
        loss = module(data(T, B, I))[0].square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        results.append([weight.grad for weight in module.parameters()])
        with pytest.raises(RuntimeError, match="a second time"):
            loss.backward()
    assert_same(*results)


def test_results_that_are_kept_hold_neither_tapes_nor_weights():
    module = GRU(I, H, 2, dropout=0.5)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    kept, arrays = [], []
    for _ in range(3):
        output, _ = module(data(T, B, I))
        arrays.append(weakref.ref(module._cache._last.flat))
        kept.append(output)
        output.sum().backward()
        optimizer.step()
    module(data(T, B, I))
    assert all(array() is None for array in arrays)


def test_weights_that_change_between_forward_and_backward():
    module = GRU(I, H)
    loss = module(data(T, B, I))[0].sum()
    with torch.no_grad():
        module.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_input_may_change_between_forward_and_backward():
    module = GRU(I, H)
    results = []
    for changes in (False, True):
        module.zero_grad()
        x = data(T, B, I)
        output, _ = module(x)
        if changes:
            x.zero_()
            output.detach().zero_()
        output.backward(data(*output.shape))
        results.append([weight.grad for weight in module.parameters()])
    assert_same(*results)


@pytest.mark.parametrize("frozen", [False, True])
def test_second_derivatives_are_refused(frozen):
    module = GRU(I, H).requires_grad_(not frozen)
    x = data(T, B, I).requires_grad_()
    (first,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        first.sum().backward()


# The warning is of PyTorch 2.4, about itself.
@pytest.mark.filterwarnings("ignore:.*torch.cpu.amp.autocast:FutureWarning")
def test_checkpointing_recomputes():
    module = GRU(I, H)
    x = data(T, B, I)
    expected = gradients(module, x)

    def call(x, hx):
        return torch.utils.checkpoint.checkpoint(module, x, hx, use_reentrant=False)

    assert_same(expected, gradients(module, x, call=call))


# ---- the module ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"bidirectional": True}])
def test_it_is_built_like_torch_s(options):
    modules = []
    for kind in (torch.nn.GRU, GRU):
        torch.manual_seed(3)
        modules.append(kind(I, H, 2, dtype=torch.float64, **options))
    theirs, ours = modules
    assert repr(theirs) == repr(ours)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert_same(list(theirs.parameters()), list(ours.parameters()))
    assert_same(theirs.all_weights, ours.all_weights)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    for module in modules:
        torch.manual_seed(4)
        module.reset_parameters()
        module.flatten_parameters()
    assert_same(theirs.state_dict()["weight_hh_l1"], ours.state_dict()["weight_hh_l1"])
    assert isinstance(ours, torch.nn.RNNBase)


def by_pickle(module):
    return pickle.loads(pickle.dumps(module))


def by_torch_save(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle, by_torch_save])
def test_copies_are_independent(copied):
    module = GRU(I, H, 2, dropout=0.5).eval()
    x = data(T, B, I)
    expected = module(x)
    other = copied(module)
    assert type(other) is GRU
    assert not other.training
    assert_same(expected, other(x))
    with torch.no_grad():
        other.weight_hh_l0.zero_()
    assert_same(expected, module(x))
    assert not torch.equal(other(x)[0], expected[0])


def test_a_module_on_the_meta_device_gets_weights_later():
    theirs, _ = twins(I, H)
    ours = GRU(I, H, device="meta")
    ours.load_state_dict(theirs.state_dict(), assign=True)
    x = data(T, B, I)
    assert_same(theirs(x), ours(x))


def test_threads_of_torch_and_of_pygru(monkeypatch):
    used = []
    original = Runner.forward

    def spy(self, plan, sizes, n_threads, **arrays):
        used.append(n_threads)
        return original(self, plan, sizes, n_threads, **arrays)

    monkeypatch.setattr(Runner, "forward", spy)
    module, x = GRU(64, 64), data(20, 64, 64)
    before = torch.get_num_threads()
    try:
        for of_torch, of_pygru, expected in ((1, 4, 1), (4, 1, 1), (3, 4, 3), (4, 2, 2)):
            torch.set_num_threads(of_torch)
            with pygru.num_threads(of_pygru):
                module(x)
            assert used.pop() == expected
    finally:
        torch.set_num_threads(before)


# ---- what is refused -------------------------------------------------------------------------


BAD_CALLS = {
    "other type": lambda m: m(data(T, B, I, dtype=torch.float64)),
    "other features": lambda m: m(data(T, B, I + 1)),
    "one axis": lambda m: m(data(I)),
    "no step": lambda m: m(data(0, B, I)),
    "states of another batch": lambda m: m(data(T, B, I), data(1, B + 1, H)),
    "states of another size": lambda m: m(data(T, B, I), data(1, B, H + 1)),
    "states of more layers": lambda m: m(data(T, B, I), data(2, B, H)),
    "states without a batch": lambda m: m(data(T, B, I), data(1, H)),
    "states with a batch": lambda m: m(data(T, I), data(1, 1, H)),
    "states of another type": lambda m: m(data(T, B, I), data(1, B, H, dtype=torch.float64)),
    "packed states": lambda m: m(pack_sequence([data(T, I)]), data(1, 2, H)),
}


@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_calls_raise_what_torch_raises(call):
    theirs, ours = twins(I, H)
    with pytest.raises(Exception) as expected:
        call(theirs)
    with pytest.raises(expected.type, match=r"input|hx"):
        call(ours)


def test_other_devices_and_types():
    module = GRU(I, H)
    x = data(T, B, I)
    with pytest.raises(NotImplementedError, match="input is on the device meta, but pygru"):
        module(x.to("meta"))
    with pytest.raises(NotImplementedError, match="hx is on the device meta"):
        module(x, states(module).to("meta"))
    with pytest.raises(ValueError, match="weight_ih_l0 must be"):
        GRU(I, H, device="meta")(x)
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(NotImplementedError, match=f"input is {dtype}, but pygru computes"):
            GRU(I, H).to(dtype)(x.to(dtype))
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(NotImplementedError, match="auto"),
    ):
        module(torch.nn.Linear(I, I)(x))


def test_weights_of_wrong_shapes_are_not_read():
    module = GRU(I, H)
    module.weight_hh_l0.data = data(3 * H, H - 1)
    with pytest.raises(ValueError, match=r"weight_hh_l0 must have the shape \(15, 5\)"):
        module(data(T, B, I))


def test_other_arguments():
    with pytest.raises(ValueError, match="proj_size"):
        GRU(I, H, proj_size=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        GRU(I, H, size=2)
    with pytest.raises(ValueError, match="dropout"):
        GRU(I, H, dropout=2.0)
    with pytest.raises(ValueError, match="input_size"):
        GRU(0, H)


@pytest.mark.parametrize(
    "transform",
    [
        lambda module: torch.func.grad(lambda x: module(x)[0].sum())(data(T, B, I)),
        lambda module: torch.vmap(lambda x: module(x)[0])(data(2, T, B, I)),
    ],
)
def test_transforms_are_refused(transform):
    with pytest.raises(NotImplementedError, match=r"transforms of torch\.func"):
        transform(GRU(I, H))


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused():
    with pytest.raises(NotImplementedError, match="TorchScript"):
        torch.jit.trace(GRU(I, H), data(T, B, I))


def test_results_are_those_of_pygru():
    _, ours = twins(I, H, 2, bidirectional=True)
    gru = pygru.GRU(I, H, 2, bidirectional=True, variant="pytorch")
    gru.load_state_dict(ours.state_dict())
    x = data(T, B, I)
    for expected, result in zip(gru(x.numpy()), ours(x), strict=True):
        assert np.array_equal(expected, result.detach().numpy())
