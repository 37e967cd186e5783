"""from_keras on layers in memory and on layouts of old versions, and to_keras.

The layers of the quick tests only look like those of Keras: they have its module, get_config
and get_weights. The equations beside them are those in Keras' documentation, written for NumPy.
The slow tests use Keras itself.
"""

import warnings

import numpy as np
import pytest
from hdf5_files import Writer, attribute, text_type

import pygru
from pygru import GRU, FormatError
from pygru.io.keras.grus import Version
from pygru.io.keras.reading import contents

I, H, T, B = 3, 4, 6, 2


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_gru(x, kernel, recurrent, bias=None, *, reset_after, gate=sigmoid, f=np.tanh):
    """All outputs of a GRU with Keras' equations; the gates are z, r, h."""
    h = np.zeros((x.shape[0], len(recurrent)))
    bias = np.zeros((2 if reset_after else 1, 3 * H)) if bias is None else np.atleast_2d(bias)
    outputs = []
    for x_t in x.swapaxes(0, 1):
        xz, xr, xh = np.split(x_t @ kernel + bias[0], 3, axis=-1)
        uz, ur, uh = np.split(recurrent, 3, axis=1)
        if reset_after:
            bz, br, bh = np.split(bias[1], 3)
            z, r = gate(xz + h @ uz + bz), gate(xr + h @ ur + br)
            hh = f(xh + r * (h @ uh + bh))
        else:
            z, r = gate(xz + h @ uz), gate(xr + h @ ur)
            hh = f(xh + (r * h) @ uh)
        h = z * h + (1 - z) * hh
        outputs.append(h)
    return np.stack(outputs, axis=1)


def weights(seed=0, bias=2):
    """Weights of a layer, with a bias of one or two rows, or none."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((I, 3 * H)), rng.standard_normal((H, 3 * H))]
    if bias:
        arrays.append(rng.standard_normal((2, 3 * H) if bias == 2 else 3 * H))
    return arrays


def x_of(seed=1):
    return np.random.default_rng(seed).standard_normal((B, T, I))


CONFIG = {
    "name": "gru_7",
    "units": H,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "reset_after": True,
}


def fake(kind, config, arrays, module="keras.src.layers.rnn.gru", **attributes):
    """An object that has what from_keras uses of a layer of Keras."""

    class Base:
        def get_config(self):
            return config

        def get_weights(self):
            return arrays

    layer = type(kind, (Base,), {"__module__": module})()
    vars(layer).update(name=config.get("name", "layer"), built=True, **attributes)
    return layer


# ---- layers in memory --------------------------------------------------------------------


@pytest.mark.parametrize("module", ["keras.src.x", "tf_keras.x", "tensorflow.python.keras.x"])
@pytest.mark.parametrize("reset_after", [False, True])
def test_a_layer(reset_after, module):
    arrays = weights(bias=2 if reset_after else 1)
    layer = fake("GRU", {**CONFIG, "reset_after": reset_after}, arrays, module)
    gru = pygru.from_keras(layer)
    assert gru.batch_first
    assert gru.dtype == np.float64
    expected = keras_gru(x_of(), *arrays, reset_after=reset_after)
    np.testing.assert_allclose(gru(x_of())[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["GRU", "Bidirectional", "RNN"])
def test_a_class_of_the_users_is_not_taken_for_that_of_keras(kind):
    """It has the weights of a GRU, and may compute something else."""
    layer = fake(kind, CONFIG, weights())
    own = type(kind, (type(layer),), {"__module__": "mine"})()
    vars(own).update(vars(layer))
    with pytest.raises(FormatError, match=rf"'gru_7': class {kind} \(not of Keras\)"):
        pygru.from_keras(own)


def test_a_class_of_the_users_that_is_made_from_a_gru_is_refused_by_name():
    layer = fake("GRU", CONFIG, weights())
    own = type("Scaled", (type(layer),), {"__module__": "mine"})()
    vars(own).update(vars(layer))
    with pytest.raises(
        FormatError, match=r"'gru_7': class Scaled \(not of Keras\), whose code"
    ):
        pygru.from_keras(own)


def test_a_cell_of_the_users_is_not_taken_for_that_of_keras():
    cell = {"module": "mine", "class_name": "GRUCell", "config": CONFIG}
    layer = fake("RNN", {"name": "rnn", "cell": cell}, weights())
    with pytest.raises(FormatError, match=r"a cell of class GRUCell \(not of Keras\)"):
        pygru.from_keras(layer)


@pytest.mark.parametrize("kind", ["GRUCell", "RNN"])
def test_a_cell_and_an_rnn_of_it(kind):
    cell = {"class_name": "GRUCell", "config": {**CONFIG, "name": "cell"}}
    config = CONFIG if kind == "GRUCell" else {"name": "rnn", "cell": cell}
    arrays = weights()
    gru = pygru.from_keras(fake(kind, config, arrays))
    expected = keras_gru(x_of(), *arrays, reset_after=True)
    np.testing.assert_allclose(gru(x_of())[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
def test_a_bidirectional_layer(merge):
    both = weights(0), weights(1)
    parts = {
        name: fake("GRU", CONFIG, arrays)
        for name, arrays in zip(("forward_layer", "backward_layer"), both, strict=True)
    }
    inner = {"class_name": "GRU", "config": {**CONFIG, "return_sequences": True}}
    config = {"name": "bi", "layer": inner, "merge_mode": merge}
    gru = pygru.from_keras(fake("Bidirectional", config, [*both[0], *both[1]], **parts))
    x = x_of()
    forward = keras_gru(x, *both[0], reset_after=True)
    backward = keras_gru(x[:, ::-1], *both[1], reset_after=True)[:, ::-1]
    expected = {
        "concat": np.concatenate([forward, backward], axis=-1),
        "sum": forward + backward,
        "mul": forward * backward,
        "ave": (forward + backward) / 2,
    }
    np.testing.assert_allclose(gru(x)[0], expected[merge], rtol=0, atol=1e-14)


def test_a_layer_that_reads_backwards():
    arrays = weights()
    gru = pygru.from_keras(fake("GRU", {**CONFIG, "go_backwards": True}, arrays))
    in_order_of_reading = keras_gru(x_of()[:, ::-1], *arrays, reset_after=True)
    output, h_n = gru(x_of())
    np.testing.assert_allclose(output[:, ::-1], in_order_of_reading, rtol=0, atol=1e-14)
    np.testing.assert_allclose(h_n[0], in_order_of_reading[:, -1], rtol=0, atol=1e-14)


def test_a_stack_of_cells():
    first, second = weights(0), weights(1)
    second[0] = np.random.default_rng(2).standard_normal((H, 3 * H))
    cells = [{"class_name": "GRUCell", "config": CONFIG}] * 2
    stack = {"class_name": "StackedRNNCells", "config": {"cells": cells}}
    gru = pygru.from_keras(fake("RNN", {"name": "rnn", "cell": stack}, first + second))
    below = keras_gru(x_of(), *first, reset_after=True)
    expected = keras_gru(below, *second, reset_after=True)
    np.testing.assert_allclose(gru(x_of())[0], expected, rtol=0, atol=1e-14)
    wide = [{"class_name": "GRUCell", "config": {**CONFIG, "units": n}} for n in (H, H + 1)]
    stack = {"class_name": "StackedRNNCells", "config": {"cells": wide}}
    with pytest.raises(FormatError, match="cells with different units"):
        pygru.from_keras(fake("RNN", {"name": "rnn", "cell": stack}, first + second))


@pytest.mark.parametrize(
    ("kind", "reason"), [("LSTM", "an LSTM"), ("SimpleRNN", "a plain RNN"), ("Own", "no GRU")]
)
def test_other_layers_are_refused_by_name(kind, reason):
    with pytest.raises(FormatError, match=reason):
        pygru.from_keras(fake(kind, {"name": "x"}, weights()))


def test_a_gru_for_each_step_of_another_axis_is_refused_with_a_reason():
    layer = fake("TimeDistributed", {"name": "each", "layer": {"class_name": "GRU"}}, weights())
    with pytest.raises(FormatError, match="'each': a TimeDistributed of a GRU, which runs"):
        pygru.from_keras(layer)


CALL = {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}]}


@pytest.mark.parametrize(
    ("calls", "outputs", "reason"),
    [
        ([CALL, CALL], 1, "the layer 'gru_7' is called 2 times"),
        ([CALL | {"kwargs": {"initial_state": CALL["args"]}}], 1, "called with initial_state="),
        ([CALL | {"args": CALL["args"] * 2}], 1, "the layer 'gru_7' has 2 inputs"),
        ([CALL], 2, "'model' has 2 outputs"),
        ([CALL], 1, None),
    ],
)
def test_a_single_gru_that_a_model_does_not_simply_call(calls, outputs, reason):
    entries = [
        {"class_name": "InputLayer", "config": {"name": "x"}, "inbound_nodes": []},
        {"class_name": "GRU", "config": CONFIG, "inbound_nodes": calls},
    ]
    ends = [["gru_7", 0, index] for index in range(outputs)]
    config = {"name": "model", "layers": entries, "output_layers": ends}
    gru = fake("GRU", CONFIG, weights())
    model = fake("Functional", config, [], layers=[gru])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert isinstance(pygru.from_keras(model), GRU)
    texts = [str(each.message) for each in caught]
    if reason is None:
        assert not texts
    else:
        (text,) = texts
        assert text.startswith("the Keras Functional: only the GRU 'gru_7' is taken because ")
        assert reason in text


def test_a_layer_without_weights_is_told_so():
    layer = fake("GRU", CONFIG, [])
    layer.built = False
    with pytest.raises(ValueError, match="'gru_7' has no weights yet; call it once"):
        pygru.from_keras(layer)


def test_the_weights_are_copies():
    arrays = [np.ones_like(each) for each in weights()]
    gru = pygru.from_keras(fake("GRU", CONFIG, arrays))
    before = gru.flat_parameters.copy()
    for array in arrays:
        array[...] = 7
    assert np.array_equal(gru.flat_parameters, before)


# ---- versions ----------------------------------------------------------------------------


def test_versions():
    assert [Version(text).major for text in ("3.3.3", "2.2.4-tf", "1.0", "", None, "x")] == [
        3, 2, 1, None, None, None,
    ]  # fmt: skip
    zeros = {text: Version(text).forces_zero_output for text in ("2.3.1", "2.2.4-tf", "2.4.0")}
    assert zeros == {"2.3.1": False, "2.2.4-tf": True, "2.4.0": True}


def listed(names):
    """The message of an attribute with texts."""
    size = max(map(len, names))
    data = b"".join(name.encode().ljust(size, b"\0") for name in names)
    return names, text_type(size), (len(names),), data


def weights_file(layer, named, split=1):
    """An HDF5 file of weights as Keras 1 and 2 write it; lists may be split into parts."""
    writer = Writer()
    links = {name: writer.array(np.asarray(array)) for name, array in named.items()}
    tree = {}
    for name, address in links.items():
        *above, last = name.split("/")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = address

    def group(tree, messages=()):
        inside = {
            name: group(below) if isinstance(below, dict) else below
            for name, below in sorted(tree.items())
        }
        return writer.group(inside, messages)

    def attributes(name, values):
        _, *rest = listed(values)
        if split == 1:
            return [attribute(name, *rest)]
        pieces = [values[index::split] for index in range(split)]
        return [
            attribute(f"{name}{index}", *listed(values[begin : begin + len(pieces[0])])[1:])
            for index, begin in enumerate(range(0, len(values), len(pieces[0])))
        ]

    inner = group(tree, attributes("weight_names", list(named)))
    version = attribute("keras_version", text_type(5), (), b"2.1.6")
    layers = attributes("layer_names", [layer])
    return writer.file(writer.group({layer: inner}, [*layers, version]))


@pytest.mark.parametrize("split", [1, 2, 3])
@pytest.mark.parametrize("form", ["gru_7/{}:0", "gru_7/{}", "gru_7/gru_cell_3/{}:0"])
def test_names_of_keras_2(form, split):
    named = dict(
        zip(map(form.format, ("kernel", "recurrent_kernel", "bias")), weights(), strict=True)
    )
    (found,) = contents(weights_file("gru_7", named, split)).grus
    assert (found.name, found.variant.name) == ("gru_7", "pytorch")
    gru = found.build(recurrent_activation="sigmoid")
    expected = keras_gru(x_of(), *weights(), reset_after=True)
    np.testing.assert_allclose(gru(x_of())[0], expected, rtol=0, atol=2e-5)


def test_the_nine_arrays_of_keras_1():
    kernel, recurrent, bias = weights(bias=1)
    named = {}
    for gate, *parts in zip(
        "zrh", *(np.split(each, 3, axis=-1) for each in (kernel, recurrent, bias)), strict=True
    ):
        named |= {f"gru_7_{kind}_{gate}": part for kind, part in zip("WUb", parts, strict=True)}
    (found,) = contents(weights_file("gru_7", named)).grus
    assert found.variant.name == "cho"
    gru = found.build(recurrent_activation="sigmoid")
    expected = keras_gru(x_of(), kernel, recurrent, bias, reset_after=False)
    np.testing.assert_allclose(gru(x_of())[0], expected, rtol=0, atol=2e-5)


def numbered_file(tree):
    """A file of weights as Keras 3 writes it: (name of the layer, its arrays) at each path."""
    writer = Writer()

    def group(tree):
        inside = {}
        for key, below in sorted(tree.items()):
            if isinstance(below, dict):
                inside[key] = group(below)
                continue
            name, arrays = below
            links = {str(n): writer.array(np.asarray(a)) for n, a in enumerate(arrays)}
            said = [attribute("name", text_type(len(name)), (), name.encode())] if name else []
            inside[key] = writer.group(links, said)
        return writer.group(inside)

    return writer.file(group(tree))


def gru_group(name, seed=0):
    """A GRU in such a file."""
    return {"cell": {"vars": (name and "gru_cell", weights(seed))}, "vars": (name, [])}


def test_a_model_around_a_single_gru_is_no_second_gru():
    model = {"layers": {"gru": gru_group("gru_7")}, "vars": ("sequential_4", [])}
    found = contents(numbered_file(model))
    assert [each.name for each in found.grus] == ["gru_7"]
    assert not found.refused


def test_hard_sigmoid_is_asked_for_if_the_version_is_unknown(tmp_path):
    """Keras 2.15 and the first ones of Keras 3 write such files, without names."""
    path = tmp_path / "model.weights.h5"
    path.write_bytes(numbered_file({"layers": {"gru": gru_group("")}, "vars": ("", [])}))
    question = (
        r"pass activation=\('hard_sigmoid', 1 / 6, 0.5\) for Keras 3, or activation=\('har"
    )
    with pytest.raises(ValueError, match=question):
        pygru.from_keras(path, activation="hard_sigmoid", recurrent_activation="sigmoid")
    with pytest.raises(ValueError, match="its version; pass recurrent_activation="):
        pygru.from_keras(path, recurrent_activation="hard_sigmoid")
    new = ("hard_sigmoid", 1 / 6, 0.5)
    assert pygru.from_keras(path, recurrent_activation=new).recurrent_activation == new


def test_weights_beside_a_cell_are_those_of_other_layers():
    kernel, bias = np.ones((H, 2)), np.ones(2)
    cell = {"vars": ("gru_cell", weights())}
    model = {"cell": cell, "dense": {"vars": ("dense", [kernel, bias])}, "vars": ("own", [])}
    (found,) = contents(numbered_file(model)).grus
    assert found.name == "own"
    assert found.arrays["weight_hh_l0"].shape == (3 * H, H)


def test_layers_of_one_name_are_called_by_their_paths(tmp_path):
    grus = {"gru": gru_group("g", 0), "gru_1": gru_group("g", 1), "gru_2": gru_group("h", 2)}
    path = tmp_path / "model.weights.h5"
    path.write_bytes(numbered_file({"grus": grus, "vars": ("sub", [])}))
    options = {"recurrent_activation": "sigmoid"}
    with pytest.raises(ValueError, match=r"one of 'grus/gru', 'grus/gru_1', 'h'"):
        pygru.from_keras(path, "g", **options)
    for name, seed in (("grus/gru", 0), ("grus/gru_1", 1), ("h", 2)):
        output = pygru.from_keras(path, name, **options)(x_of())[0]
        expected = keras_gru(x_of(), *weights(seed), reset_after=True)
        np.testing.assert_allclose(output, expected, rtol=0, atol=2e-5)


def test_layers_in_memory_of_one_name_are_told_apart_by_the_caller():
    model = fake("Own", {"name": "own"}, [], "keras.src.models")
    model.layers = [fake("GRU", CONFIG, weights(seed)) for seed in (0, 1)]
    with pytest.raises(ValueError, match=r"2 layers named 'gru_7'; pass one of these layers"):
        pygru.from_keras(model, "gru_7")


def to_cudnn(kernel, recurrent, bias):
    """Weights as a CuDNNGRU stores them, by the layout of cuDNN: matrices of (H, I) and (H, H).

    Each gate's matrix is W with ``W x``, row after row, put into an array of the other shape.
    """
    split = np.split(kernel, 3, axis=1), np.split(recurrent, 3, axis=1)
    of_x = [np.ascontiguousarray(gate.T).ravel().reshape(I, H) for gate in split[0]]
    of_h = [np.ascontiguousarray(gate.T).ravel().reshape(H, H) for gate in split[1]]
    return [np.hstack(of_x), np.hstack(of_h), bias.ravel()]


def test_a_cudnn_gru():
    arrays = weights()
    config = {"name": "cu_dnngru", "units": H}
    gru = pygru.from_keras(fake("CuDNNGRU", config, to_cudnn(*arrays)))
    assert gru.variant.name == "pytorch"
    expected = keras_gru(x_of(), *arrays, reset_after=True)
    np.testing.assert_allclose(gru(x_of())[0], expected, rtol=0, atol=1e-14)


# ---- to_keras ----------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("variant", ["chung", "cho", "pytorch", pygru.Variant("after")])
def test_to_keras_computes_the_same(variant, bidirectional, bias):
    options = {"bias": bias, "bidirectional": bidirectional, "variant": variant}
    gru = GRU(I, H, batch_first=True, dtype="float64", seed=5, **options)
    arrays = pygru.to_keras(gru)
    each = 3 if bias else 2
    assert len(arrays) == each * (2 if bidirectional else 1)
    after = gru.variant.reset == "after"
    x = x_of()
    outputs = [keras_gru(x, *arrays[:each], reset_after=after)]
    if bidirectional:
        back = keras_gru(x[:, ::-1], *arrays[each:], reset_after=after)
        outputs.append(back[:, ::-1])
    expected = np.concatenate(outputs, axis=-1)
    np.testing.assert_allclose(gru(x)[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("variant", ["cho", "pytorch", "chung"])
@pytest.mark.parametrize("layers", [1, 2])
def test_round_trips_are_exact(variant, layers):
    gru = GRU(I, H, layers, batch_first=True, variant=variant, seed=3)
    if variant != "pytorch":  # their two biases are added, so that one of them is 0
        for name in gru.parameters:
            if name.startswith("bias_hh"):
                gru.parameters[name] = np.zeros(3 * H)
    after = variant == "pytorch"
    cell = {"class_name": "GRUCell", "config": {**CONFIG, "reset_after": after}}
    layer = fake("RNN", {"name": "rnn", "cell": [cell] * layers}, pygru.to_keras(gru))
    again = pygru.from_keras(layer, variant=variant)
    assert again.options == gru.options
    assert np.array_equal(again.flat_parameters, gru.flat_parameters)


def test_to_keras_returns_copies():
    gru = GRU(I, H, variant="pytorch", seed=0)
    before = gru.flat_parameters.copy()
    for array in pygru.to_keras(gru):
        array[...] = 7
    assert np.array_equal(gru.flat_parameters, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_norm": True}, "cannot have layer_norm=True"),
        ({"learn_h0": True}, "cannot have learn_h0=True"),
        ({"clip": 3.0}, "cannot have clip=3.0"),
        ({"zoneout": 0.25}, "cannot have zoneout=0.25: in inference each unit keeps"),
        ({"num_layers": 2, "bidirectional": True}, "no single layer of Keras"),
        ({"recurrent_activation": "relu"}, "no weights make the two equal"),
    ],
)
def test_what_keras_does_not_have_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pygru.to_keras(GRU(I, H, **options))
    with pytest.raises(TypeError, match=r"gru must be a pygru.GRU, got Linear"):
        pygru.to_keras(pygru.Linear(2, 3))


# ---- Keras itself ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def numbers(value):
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["chung", "cho", "pytorch"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_keras_computes_the_same_with_the_weights_of_to_keras(keras, variant, bidirectional):
    gru = GRU(I, H, batch_first=True, variant=variant, bidirectional=bidirectional, seed=2)
    after = variant == "pytorch"
    layer = keras.layers.GRU(H, reset_after=after, return_sequences=True)
    if bidirectional:
        layer = keras.layers.Bidirectional(layer)
    layer.build((None, None, I))
    layer.set_weights(pygru.to_keras(gru))
    x = x_of().astype(np.float32)
    np.testing.assert_allclose(numbers(layer(x)), gru(x)[0], rtol=0, atol=5e-7)
    again = pygru.from_keras(layer)
    for mine, theirs in zip(pygru.to_keras(again), layer.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def models(keras):
    """Models of every kind of layer, by name."""
    layers = keras.layers
    sequential = lambda *each: keras.Sequential([layers.Input((None, I)), *each])  # noqa: E731
    gru = lambda units=H, **kw: layers.GRU(units, return_sequences=True, **kw)  # noqa: E731
    yield (
        "mask",
        sequential(
            layers.Masking(0.5),
            layers.Bidirectional(gru()),
            gru(2),
            layers.GRU(3),
            layers.Dense(2),
        ),
    )
    yield "hard", sequential(gru(recurrent_activation="hard_sigmoid"), layers.Dense(1))
    yield "back", sequential(layers.GRU(H, go_backwards=True), layers.Dense(2, "gelu"))
    yield "cell", sequential(layers.RNN(layers.GRUCell(H)), layers.Dense(2, "softmax"))
    yield (
        "cells",
        sequential(
            layers.RNN([layers.GRUCell(H), layers.GRUCell(H)], return_sequences=True),
            layers.LayerNormalization(),
        ),
    )
    for merge in ("sum", "mul", "ave", "concat"):
        yield (
            merge,
            sequential(
                layers.Bidirectional(gru(), merge_mode=merge),
                layers.Bidirectional(layers.GRU(2), merge_mode=merge),
                layers.Dense(1),
            ),
        )
    yield (
        "norm",
        sequential(
            layers.BatchNormalization(), gru(), layers.GlobalMaxPooling1D(), layers.Dense(2)
        ),
    )
    inner = keras.Sequential([layers.Input((None, I)), gru(name="deep"), layers.Dense(I)])
    yield "inner", sequential(inner, layers.Dropout(0.5), gru(reset_after=False), gru(1))
    yield (
        "distributed",
        sequential(gru(), layers.TimeDistributed(layers.Dense(2, "relu")), layers.Softmax()),
    )


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_masks_of_functional_models(keras, tmp_path, ending):
    """New versions of Keras write down the operations that make a mask."""
    layers = keras.layers
    x = layers.Input((None, I))
    y = layers.GRU(2, return_sequences=True)(layers.Masking(0.5)(x))
    masked = keras.Model(x, layers.Dense(1)(layers.GlobalAveragePooling1D()(y)))
    t = layers.Input((None,))
    y = layers.Bidirectional(layers.GRU(2))(layers.Embedding(5, I, mask_zero=True)(t))
    tokens = keras.Model(t, layers.Dense(1)(y))
    values = x_of().astype(np.float32)
    values[0, 2:4] = 0.5
    for model, given in ((masked, values), (tokens, np.array([[1, 0, 2, 0], [3, 4, 0, 1]]))):
        path = tmp_path / f"model{ending}"
        model.save(path)
        found = pygru.from_keras(path)
        np.testing.assert_allclose(found(given), numbers(model(given)), rtol=0, atol=1e-6)
    y = layers.GRU(2)(x, mask=layers.Lambda(lambda z: z[:, :, 0] > 0)(x))
    other = keras.Model(x, layers.Dense(1)(y))
    other.save(tmp_path / f"other{ending}")
    with pytest.warns(UserWarning, match="is called with mask="):
        pygru.from_keras(tmp_path / f"other{ending}")


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".keras", ".h5", None])
def test_models_of_keras(keras, tmp_path, ending):
    rng = np.random.default_rng(0)
    x = x_of().astype(np.float32)
    x[0, 2:4] = x[1, :1] = 0.5
    for name, model in models(keras):
        model.set_weights(
            [rng.uniform(0.3, 1.5, weight.shape) for weight in model.get_weights()]
            if name == "norm"
            else [rng.standard_normal(weight.shape) for weight in model.get_weights()]
        )
        source = model
        if ending:
            source = tmp_path / f"{name}{ending}"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.save(source)
        mine = pygru.from_keras(source)
        assert isinstance(mine, pygru.Sequential), name
        np.testing.assert_allclose(mine(x), numbers(model(x)), rtol=1e-5, atol=2e-6)


@pytest.mark.slow
def test_weights_of_a_class_of_the_users(keras, tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.GRU(H, name="the_gru")
            self.second = keras.layers.Dense(2)

        def call(self, x):
            return self.second(self.first(x))

    model = Own()
    x = x_of().astype(np.float32)
    model(x)
    model.save(tmp_path / "own.keras")
    # Files of Keras 3.3 name a layer by its attribute.
    message = "only the GRU '(the_gru|first)' is taken because the layers of"
    with pytest.warns(UserWarning, match=message):
        gru = pygru.from_keras(tmp_path / "own.keras", recurrent_activation="sigmoid")
    np.testing.assert_allclose(gru(x)[1][0], numbers(model.first(x)), rtol=0, atol=5e-7)
    with pytest.warns(UserWarning, match="without 'dense"):
        assert pygru.from_keras(model).hidden_size == H
