"""Classes that derive from pygru's own and override a method: every way to run calls it.

A layer whose output is 5 larger must be that everywhere, and gradients that are twice as large
must move the weights twice as far. The plain layers give the numbers to compare with.
"""

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    SGD,
    Activation,
    AttentionOverTime,
    Dropout,
    Embedding,
    FeatureScale,
    Last,
    LayerNorm,
    Linear,
    Masking,
    MaxOverTime,
    MeanOverTime,
    RecurrentLayer,
    Seq2Seq,
    Sequential,
    Trainer,
)

B, T, F = 6, 5, 4
X = np.random.default_rng(0).standard_normal((B, T, F)).astype(np.float32)
TOKENS = np.random.default_rng(1).integers(1, 7, (B, T))
LENGTHS = np.array([5, 1, 3, 5, 2, 4])

ARGUMENTS = {
    Activation: ("tanh",),
    AttentionOverTime: (F,),
    Dropout: (0.5,),
    Embedding: (7, F),
    FeatureScale: (F,),
    GRU: (F, F),
    Last: (),
    LayerNorm: (F,),
    Linear: (F, F),
    Masking: (),
    MaxOverTime: (),
    MeanOverTime: (),
}
#: Those whose single steps do not follow from forward.
WITHOUT_STEPS = (GRU, Last, Masking, MaxOverTime, MeanOverTime, AttentionOverTime)
TRAINED = (AttentionOverTime, Embedding, FeatureScale, GRU, LayerNorm, Linear)

layers = pytest.mark.parametrize("base", ARGUMENTS, ids=lambda base: base.__name__)


def made(cls):
    base = next(base for base in cls.__mro__ if base in ARGUMENTS)
    options = {"batch_first": True, "seed": 3} if base is GRU else {}
    layer = cls(*ARGUMENTS[base], **options)
    if base is not GRU:
        layer.flat_parameters = np.random.default_rng(9).standard_normal(
            layer.flat_parameters.size
        )
    return layer


class Plus5:
    """A mixin: the output of forward is 5 larger, whatever else forward returns."""

    def forward(self, *args, **told):
        y, *others = super().forward(*args, **told)
        return y + 5, *others


class Twice:
    """A mixin: the gradients of the parameters are twice as large."""

    def backward(self, tape, d_y):
        before = self.flat_grads.copy()
        d_x = super().backward(tape, d_y)
        self.flat_grads += self.flat_grads - before
        return d_x


def derived(mixin, base):
    return type(f"{mixin.__name__}{base.__name__}", (mixin, base), {})


def input_of(base):
    return TOKENS if base is Embedding else X


def first(result):
    """The output, which a GRU returns together with its states."""
    return result[0] if isinstance(result, tuple) else result


@layers
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_an_overridden_forward_is_what_every_call_computes(base, lengths):
    x = input_of(base)
    layer = made(derived(Plus5, base))
    expected = first(made(base)(x, lengths=lengths)) + 5
    model = Sequential(layer)
    told = {"lengths": lengths}
    for output in (
        first(layer(x, **told)),
        layer.infer(x, **told),
        model(x, **told),
        model.forward(x, training=False, **told)[0],
    ):
        np.testing.assert_array_equal(output, expected)
    if lengths is None:
        trainer = Trainer(model, loss="mse")
        np.testing.assert_array_equal(trainer.predict(x), expected)
        loss = np.mean(np.square(expected, dtype=np.float64))
        assert trainer.evaluate(x, np.zeros_like(expected)) == pytest.approx(loss, rel=1e-5)


@layers
def test_a_stream_follows_forward_or_says_why_not(base):
    model = Sequential(made(derived(Plus5, base)))
    if base in WITHOUT_STEPS:
        with pytest.raises(ValueError, match=r"layers\[0\].*cannot run step by step"):
            model.stream()
        return
    x = input_of(base)
    stream = model.stream(batch=B)
    for t in range(T):
        np.testing.assert_array_equal(stream(x[:, t]), model(x)[:, t])


def test_a_class_may_say_what_a_single_step_is():
    class Passed(Plus5, Last):
        def begin_stream(self, batch):
            return lambda x_t: x_t + 5

    model = Sequential(made(Passed))
    np.testing.assert_array_equal(model.stream(B)(X[:, 0]), model(X[:, :1]))


@pytest.mark.parametrize(
    ("base", "after"),
    [*((base, ()) for base in TRAINED), (GRU, (Last(),))],
    ids=[*(base.__name__ for base in TRAINED), "GRU and Last"],
)
def test_fit_uses_an_overridden_backward(base, after):
    x, moved = input_of(base), []
    for cls in (base, derived(Twice, base)):
        layer = made(cls)
        model = Sequential(layer, *after)
        before = layer.flat_parameters.copy()
        trainer = Trainer(model, loss="mse", optimizer=SGD(0.1), clip_norm=None)
        trainer.fit(x, np.zeros_like(model(x)), epochs=1, batch_size=B)
        moved.append(layer.flat_parameters - before)
    assert np.any(moved[0])
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-4, atol=1e-6)


def test_a_gru_may_override_run():
    class Shifted(GRU):
        def run(self, *args, **told):
            y, h_n, tape = super().run(*args, **told)
            return y + 5, h_n, tape

    model = Sequential(made(Shifted), Last())
    np.testing.assert_array_equal(model(X), made(GRU)(X)[0][:, -1] + 5)
    np.testing.assert_array_equal(model(X), model.forward(X)[0])


def test_a_model_may_override_run():
    class Shifted(Sequential):
        def run(self, *args, **told):
            y, states, tape = super().run(*args, **told)
            return y + 5, states, tape

    mask = np.arange(T) < LENGTHS[:, np.newaxis]
    plain, model = Sequential(made(GRU)), Shifted(made(GRU))
    np.testing.assert_array_equal(model(X, mask=mask), plain(X, mask=mask) + 5)
    np.testing.assert_array_equal(Trainer(model, loss="mse").predict(X), plain(X) + 5)
    listed = [x[:n] for x, n in zip(X, LENGTHS, strict=True)]
    for y, expected in zip(model(listed), plain(listed), strict=True):
        np.testing.assert_array_equal(y, expected + 5)
    with pytest.raises(ValueError, match="Shifted overrides"):
        model.stream()
    with pytest.raises(TypeError, match=r"would not call run\(\) of a Shifted"):
        model.quantized()


def test_a_seq2seq_may_override_forward():
    def model(cls):
        return cls(7, 7, 3, 4, seed=0)

    pairs = {"source": TOKENS, "target": TOKENS}
    derived_model = model(derived(Plus5, Seq2Seq))
    expected = model(Seq2Seq)(pairs) + 5
    for call in (derived_model, derived_model.infer):
        np.testing.assert_array_equal(call(pairs), expected)


def test_weights_of_8_bits_are_refused_for_a_gru_that_computes_something_else():
    layer = made(derived(Plus5, GRU))
    message = r"a Plus5GRU has its own forward\(\), which a QuantizedGRU would not call"
    with pytest.raises(TypeError, match=message):
        layer.quantized()
    with pytest.raises(TypeError, match=rf"layers\[0\].*{message}"):
        Sequential(layer).quantized()
    with pytest.raises(ValueError, match="Plus5GRU overrides"):
        layer.stream()
    with pytest.raises(TypeError, match="out must be None for a Plus5GRU"):
        layer(X, out=np.empty((B, T, F), np.float32))


def test_a_class_that_overrides_nothing_keeps_the_faster_ways():
    class Named(GRU):
        """Only another name."""

    layer = made(Named)
    assert len(Sequential(layer, Last())._stages) == 1
    assert isinstance(layer.quantized(), pygru.QuantizedGRU)
    assert Named.accumulate is GRU.accumulate
    assert derived(Plus5, Linear).accumulate is Linear.accumulate
    assert derived(Twice, Linear).infer is Linear.infer


class Called:
    def __call__(self, *args, **told):
        return super().__call__(*args, **told)


class Sum(RecurrentLayer):
    def __init__(self):
        self.create_parameters()

    def get_config(self):
        return {}

    def run(self, x, state=None, *, lengths=None, training=True, memory="gates"):
        return x, None, None


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (made(derived(Called, GRU)), r"overrides __call__\(\).*override forward\(\) instead"),
        (made(derived(Called, Last)), r"overrides __call__\(\).*override forward\(\) instead"),
        (derived(Plus5, Sum)(), r"overrides forward\(\).*override run\(\) instead"),
    ],
    ids=["GRU", "Last", "RecurrentLayer"],
)
def test_what_no_model_calls_is_refused(layer, message):
    with pytest.raises(TypeError, match=rf"layers\[1\] is a \w+, which {message}"):
        Sequential(made(Linear), layer)
    with pytest.raises(TypeError, match=rf"model is a \w+, which {message}"):
        Trainer(layer, loss="mse")


@pytest.mark.parametrize("mixin", [Called, Plus5])
def test_a_trainer_refuses_a_model_whose_override_it_would_not_call(mixin):
    model = derived(mixin, Sequential)(made(Linear))
    with pytest.raises(TypeError, match=r"override run\(\) instead"):
        Trainer(model, loss="mse")
