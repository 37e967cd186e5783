"""Layers of users: in Sequential, Trainer, model files and checkpoints, like pygru's own.

The layers here are written in NumPy, and nothing in the package knows them: a layer with
parameters, one with a generator, one that reads tokens, and an LSTM, whose state is a list.
"""

import json

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    Adam,
    Callback,
    FormatError,
    Last,
    Layer,
    Linear,
    RecurrentLayer,
    Sequential,
    Trainer,
)


class PReLU(Layer):
    """Negative numbers are multiplied by a learned slope."""

    def __init__(self, features, *, dtype="float64", seed=None):
        self._fix(features=features, dtype=np.dtype(dtype))
        self.create_parameters(seed)

    def get_config(self):
        return {"features": self.features, "dtype": self.dtype.name}

    @staticmethod
    def parameter_shapes(config):
        return {"slope": (config["features"],)}

    def initialize(self, generator):
        self.parameters["slope"] = generator.uniform(0.1, 0.4, self.features)

    def forward(self, x, *, lengths=None, training=True):
        return np.where(x > 0, x, x * self.parameters["slope"]), x

    def backward(self, tape, d_y):
        d_slope = np.where(tape > 0, 0, d_y * tape).reshape(-1, self.features).sum(axis=0)
        self.grads["slope"][...] += d_slope
        return np.where(tape > 0, d_y, d_y * self.parameters["slope"])


class Jitter(Layer):
    """Adds noise in training, from a generator of its own."""

    def __init__(self, seed=None):
        self.create_parameters(seed)

    def get_config(self):
        return {}

    def initialize(self, generator):
        self.generator = generator

    def forward(self, x, *, lengths=None, training=True):
        return (x + self.generator.normal(0, 0.1, x.shape) if training else x), None

    def backward(self, tape, d_y):
        return d_y


class OneHot(Layer):
    """Tokens as unit vectors."""

    reads = "tokens"

    def __init__(self, size):
        self.size = size
        self.create_parameters()

    def get_config(self):
        return {"size": self.size}

    def forward(self, x, *, lengths=None, training=True):
        return np.eye(self.size)[x], None

    def backward(self, tape, d_y):
        return None


class LSTM(RecurrentLayer):
    """A long short-term memory; the gates are i, f, g, o, the state is [h, c]."""

    def __init__(self, input_size, hidden_size, *, dtype="float64", seed=None):
        self.input_size, self.hidden_size, self.dtype = input_size, hidden_size, dtype
        self.create_parameters(seed)

    def get_config(self):
        sizes = {"input_size": self.input_size, "hidden_size": self.hidden_size}
        return {**sizes, "dtype": self.dtype}

    @staticmethod
    def parameter_shapes(config):
        I, H = config["input_size"], config["hidden_size"]
        return {"W": (4 * H, I), "U": (4 * H, H), "b": (4 * H,)}

    def initialize(self, generator):
        for name, values in self.parameters.items():
            self.parameters[name] = generator.uniform(-0.5, 0.5, values.shape)

    def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
        W, U, b = self.parameters.values()
        B, T, _ = x.shape
        valid = (
            np.arange(T)
            < (np.full(B, T) if lengths is None else np.asarray(lengths))[:, np.newaxis]
        )
        h, c = np.zeros((2, B, self.hidden_size)) if state is None else state
        y, steps = np.zeros((B, T, self.hidden_size)), []
        for t in range(T):
            use = valid[:, t, np.newaxis]
            a = np.where(use, x[:, t], 0) @ W.T + h @ U.T + b
            i, f, g, o = np.split(a, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            g = np.tanh(g)
            after = np.where(use, f * c + i * g, c)
            steps.append((h, c, after, i, f, g, o))
            h, c = np.where(use, o * np.tanh(after), h), after
            y[:, t] = np.where(use, h, 0)
        return y, [h, c], (x, valid, steps)

    def backward(self, tape, d_y):
        x, valid, steps = tape
        W, U, _ = self.parameters.values()
        d_x, d_h = np.zeros(x.shape), np.zeros((len(x), self.hidden_size))
        d_c, sums = d_h, {name: np.zeros(view.shape) for name, view in self.grads.items()}
        for t in reversed(range(len(steps))):
            use = valid[:, t, np.newaxis]
            h, c, after, i, f, g, o = steps[t]
            d = d_h + np.where(use, d_y[:, t], 0)
            d_after = d_c + d * o * (1 - np.tanh(after) ** 2)
            d_a = np.hstack(
                (
                    d_after * g * i * (1 - i),
                    d_after * c * f * (1 - f),
                    d_after * i * (1 - g * g),
                    d * np.tanh(after) * o * (1 - o),
                )
            )
            d_a = np.where(use, d_a, 0)
            sums["W"] += d_a.T @ np.where(use, x[:, t], 0)
            sums["U"] += d_a.T @ h
            sums["b"] += d_a.sum(axis=0)
            d_x[:, t] = d_a @ W
            d_c = np.where(use, d_after * f, d_c)
            d_h = np.where(use, d_a @ U, d_h)
        for name, gradient in sums.items():
            self.grads[name][...] += gradient
        return d_x


CLASSES = {"PReLU": PReLU, "Jitter": Jitter, "OneHot": OneHot, "LSTM": LSTM}


def model_of(seed=0):
    return Sequential(
        LSTM(2, 3),
        GRU(3, 4, batch_first=True, dtype="float64", recurrent_dropout=0.2),
        Jitter(),
        PReLU(4),
        Linear(4, 1, dtype="float64"),
        seed=seed,
    )


def data_of():
    rng = np.random.default_rng(3)
    X = [rng.standard_normal((size, 2)) for size in rng.integers(3, 12, 14)]
    return X, [x[:, :1].cumsum(axis=0) for x in X]


def flat(model):
    return np.concatenate([values for values, _ in model.flat_pairs])


# ---- gradients -----------------------------------------------------------------------------


def test_gradients_are_those_of_differences():
    """For all parameters and x, with different lengths, through Sequential's protocol."""
    rng = np.random.default_rng(0)
    model = Sequential(LSTM(2, 3), PReLU(3), LSTM(3, 2), Linear(2, 1, dtype="float64"), seed=1)
    x, lengths, weight = (
        rng.standard_normal((3, 5, 2)),
        np.array([5, 0, 3]),
        rng.random((3, 5, 1)),
    )

    def loss():
        return (model.forward(x, lengths=lengths)[0] * weight).sum()

    _, tape = model.forward(x, lengths=lengths)
    d_x = model.backward(tape, weight)
    arrays = [
        *((values, grads) for values, grads in model.flat_pairs),
        (x.reshape(-1), d_x.reshape(-1)),
    ]
    for values, gradient in arrays:
        for place in range(len(values)):
            kept, differences = values[place], []
            for step in (1e-6, -1e-6):
                values[place] = kept + step
                differences.append(loss())
            values[place] = kept
            assert gradient[place] == pytest.approx(
                (differences[0] - differences[1]) / 2e-6, abs=1e-7
            )


# ---- training ------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [None, 3])
def test_training_lowers_the_loss(steps):
    X, y = data_of()
    trainer = Trainer(model_of(), optimizer=Adam(0.02), seed=0)
    history = trainer.fit(X, y, epochs=15, batch_size=5, bptt_steps=steps, progress=False)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert trainer.predict(X)[2].shape == y[2].shape
    assert trainer.evaluate(X, y) < history["loss"][0]


def test_windows_are_pieces_of_the_whole():
    """The LSTM's state, two arrays, is passed on; a sequence that has ended keeps it."""
    rng = np.random.default_rng(0)
    model, x, lengths = (
        Sequential(LSTM(2, 3), seed=0),
        rng.standard_normal((3, 7, 2)),
        np.array([7, 2, 5]),
    )
    whole, _ = model.forward(x, lengths=lengths)
    first, states, _ = model.forward_from(None, x[:, :4], lengths=np.minimum(lengths, 4))
    kept = [part[1].copy() for part in states[0]]
    second, states, _ = model.forward_from(states, x[:, 4:], lengths=[3, 0, 1])
    np.testing.assert_allclose(np.hstack([first, second]), whole, rtol=1e-12)
    assert all(
        np.array_equal(part[1], before) for part, before in zip(states[0], kept, strict=True)
    )


@pytest.mark.parametrize(
    "make", [lambda: LSTM(2, 1, seed=0), lambda: Sequential(LSTM(2, 1), seed=0)]
)
def test_a_recurrent_layer_is_a_model_of_its_own(make):
    X, y = data_of()
    y = [np.tanh(target) for target in y]
    trainer = Trainer(make(), optimizer=Adam(0.02), seed=0)
    history = trainer.fit(X, y, epochs=5, batch_size=5, bptt_steps=4, progress=False)
    assert history["loss"][-1] < history["loss"][0]


def test_a_layer_can_read_tokens():
    model = Sequential(OneHot(3), GRU(3, 4, batch_first=True), Last(), Linear(4, 2), seed=0)
    X = [np.array([0, 1, 2]), np.array([2]), np.array([1, 1])]
    trainer = Trainer(model, loss="cross_entropy", seed=0)
    trainer.fit(X, [0, 1, 1], epochs=2, batch_size=2, progress=False)
    assert trainer.predict(X).shape == (3, 2)
    assert model([[0, 1], [2]]).shape == (2, 2)


def test_every_layer_reads_the_same_lengths():
    """Also if somebody writes to the array while the layers run."""
    lengths = np.array([3, 5])

    class Meddle(Jitter):
        def forward(self, x, *, lengths=None, training=True):
            outer[...] = 9
            return x, None

    outer = lengths
    model = Sequential(Meddle(), GRU(2, 3, batch_first=True), Last(), seed=0)
    x = np.ones((2, 5, 2))
    expected = Sequential(*model.layers[1:])(x, lengths=[3, 5])
    assert np.array_equal(model(x, lengths=lengths), expected)
    lengths[...] = 3, 5
    assert np.array_equal(model.forward(x, lengths=lengths)[0], expected)


def test_masked_lengths_are_refused():
    with pytest.raises(TypeError, match="lengths is a masked array"):
        Sequential(Last())(np.ones((2, 3, 1)), lengths=np.ma.array([1, 2], mask=[True, False]))


def test_last_follows_the_directions_of_an_own_layer():
    class Both(LSTM):
        bidirectional = True

    with pytest.raises(
        ValueError, match=r"layers\[1\] must be Last\(bidirectional=True\), like the Both"
    ):
        Sequential(Both(2, 4), Last())
    X, y = data_of()
    with pytest.raises(
        ValueError, match="bptt_steps needs layers that are not bidirectional, got Both"
    ):
        Trainer(Sequential(Both(2, 1))).fit(X, y, epochs=1, batch_size=2, bptt_steps=2)


def test_memory_is_what_every_recurrent_layer_has():
    gru = GRU(2, 3, batch_first=True)
    Trainer(Sequential(gru, PReLU(3)), memory="sqrt")
    with pytest.raises(ValueError, match="memory must be 'gates' for a LSTM"):
        Trainer(Sequential(gru, LSTM(3, 2)), memory="sqrt")
    with pytest.raises(ValueError, match="memory must be 'gates' for a PReLU"):
        Trainer(PReLU(3), memory="outputs")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Layer().run(1), r"Layer must define forward\(\)"),
        (lambda: Layer().backward(None, 1), r"Layer must define backward\(\)"),
        (lambda: RecurrentLayer().forward(1), r"RecurrentLayer must define run\(\)"),
        (lambda: Layer().create_parameters(), r"Layer must define get_config\(\)"),
    ],
)
def test_what_is_missing_is_named(make, message):
    with pytest.raises(NotImplementedError, match=message):
        make()


# ---- files ---------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    model, path = model_of(), tmp_path / "model"
    pygru.save(model, path, {"note": 1})
    loaded = pygru.load(path, layers=CLASSES)
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    x = np.random.default_rng(0).standard_normal((2, 4, 2))
    assert np.array_equal(loaded(x), model(x))
    assert pygru.read_metadata(path) == {"note": 1}


def test_a_layer_alone_is_saved_and_loaded(tmp_path):
    pygru.save(PReLU(3, dtype="float32", seed=1), tmp_path / "model")
    loaded = pygru.load(tmp_path / "model", layers={"PReLU": PReLU})
    assert np.array_equal(
        loaded.flat_parameters, PReLU(3, dtype="float32", seed=1).flat_parameters
    )


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (None, FormatError, "it names the class 'LSTM', which is none of pygru's"),
        ({"PReLU": PReLU}, FormatError, "it names the class 'LSTM'"),
        ([LSTM], TypeError, "layers must be a mapping"),
        ({"LSTM": "LSTM"}, TypeError, r"layers\['LSTM'\] must be a class .* got str"),
        ({"LSTM": dict}, TypeError, r"layers\['LSTM'\] must be a class .* got <class 'dict'>"),
        ({"GRU": LSTM}, ValueError, "layers must not hold 'GRU', the name of a class of pygru"),
        ({**CLASSES, "LSTM": PReLU}, FormatError, "the configuration is not valid"),
    ],
)
def test_a_file_with_unknown_classes_is_refused(layers, error, message, tmp_path):
    pygru.save(model_of(), tmp_path / "model")
    with pytest.raises(error, match=message):
        pygru.load(tmp_path / "model", layers=layers)


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    class NoJson(PReLU):
        def get_config(self):
            return {"features": self.features, "when": {1, 2}}

    class NoSuchArgument(PReLU):
        def get_config(self):
            return {**super().get_config(), "units": 2}

    other = PReLU(2)
    other.__class__ = type(
        "Other", (PReLU,), {"parameter_shapes": staticmethod(lambda config: {})}
    )
    imposter = type("Linear", (PReLU,), {})(2)
    for layer, error, message in [
        (other, ValueError, "cannot save a Other: its parameters are"),
        (NoJson(2), TypeError, r"NoJson.get_config\(\) must return JSON"),
        (NoSuchArgument(2), ValueError, "cannot save a NoSuchArgument: .* argument 'units'"),
        (imposter, TypeError, "cannot save a Linear that is not pygru's"),
    ]:
        with pytest.raises(error, match=message):
            pygru.save(Sequential(layer), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_sizes_of_own_layers_need_not_be_whole_numbers(tmp_path):
    class Kernel(PReLU):
        def get_config(self):
            return {**super().get_config(), "kernel_size": [2, 3], "num_layers": 9}

        @classmethod
        def from_config(cls, config):
            assert config.pop("kernel_size") == [2, 3]
            assert config.pop("num_layers") == 9
            return cls(**config)

    pygru.save(Kernel(2), tmp_path / "model")
    assert pygru.load(tmp_path / "model", layers={"Kernel": Kernel}).features == 2


# ---- checkpoints ---------------------------------------------------------------------------


class Stop(Callback):
    def __init__(self, after, path):
        self.left, self.path = after, path

    def on_batch_end(self, trainer, loss, sequences):
        self.left -= 1
        if self.left == 0:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 4, 7])
def test_resumed_training_has_the_same_bits(after, tmp_path):
    """Also in the middle of a batch, where checkpoints contain the states of the layers."""
    X, y = data_of()
    options = {"epochs": 3, "batch_size": 5, "bptt_steps": 4, "progress": False}
    whole = Trainer(model_of(), optimizer=Adam(0.02), seed=0)
    whole.fit(X, y, **options)
    stopped = Trainer(
        model_of(), optimizer=Adam(0.02), seed=0, callbacks=[Stop(after, tmp_path / "c")]
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, y, **options)
    resumed = Trainer(model_of(seed=5), optimizer=Adam(0.02), seed=6)
    resumed.resume(tmp_path / "c")
    resumed.fit(X, y, **options)
    assert np.array_equal(flat(resumed.model), flat(whole.model))


def test_no_gradient_for_the_layer_before_is_an_error():
    """A GRU would take None for zero, so nothing below the layer would be trained."""

    class Forgets(PReLU):
        def backward(self, tape, d_y):
            super().backward(tape, d_y)

    model = Sequential(GRU(2, 3, batch_first=True, dtype="float64"), Forgets(3), seed=0)
    y, tape = model.forward(np.ones((1, 4, 2)))
    with pytest.raises(TypeError, match=r"layers\[1\], a Forgets, must return the gradient"):
        model.backward(tape, y)
    assert not any(gradients.any() for _, gradients in model.flat_pairs)
    first = Sequential(Forgets(2), GRU(2, 3, batch_first=True, dtype="float64"), seed=0)
    y, tape = first.forward(-np.ones((1, 4, 2)))
    assert first.backward(tape, y) is None  # nothing needs the gradient of x
    assert all(gradients.any() for _, gradients in first.flat_pairs)


@pytest.mark.parametrize("result", [np.ones((2, 3, 2)), None, (1, 2, 3)])
def test_forward_that_returns_no_tape_is_an_error(result):
    """An array of two sequences could be unpacked as an output and a tape."""

    class Wrong(PReLU):
        def forward(self, x, *, lengths=None, training=True):
            return result

    message = r"Wrong\.forward\(\) must return a tuple \(output, tape\), got"
    with pytest.raises(TypeError, match=message):
        Sequential(Wrong(2)).forward(np.ones((2, 3, 2)))


def test_a_checkpoint_of_own_layers_is_a_model_file(tmp_path):
    trainer = Trainer(model_of(), seed=0)
    trainer.save_checkpoint(tmp_path / "c")
    assert np.array_equal(flat(pygru.load(tmp_path / "c", layers=CLASSES)), flat(trainer.model))
    other = Trainer(Sequential(LSTM(2, 3), seed=0))
    with pytest.raises((ValueError, FormatError)):
        other.resume(tmp_path / "c")


def test_the_file_holds_names_and_arguments_only(tmp_path):
    from pygru.io.native import describe

    text = json.dumps(describe(Sequential(PReLU(2), LSTM(2, 1))))
    assert json.loads(text) == {
        "class": "Sequential",
        "layers": [
            {"class": "PReLU", "config": {"features": 2, "dtype": "float64"}},
            {
                "class": "LSTM",
                "config": {"input_size": 2, "hidden_size": 1, "dtype": "float64"},
            },
        ],
    }
