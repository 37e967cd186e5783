"""Errors say what was meant: names of other libraries, misspelt ones, arrays of sequences."""

import copy
import importlib
import inspect
import pickle

import numpy as np
import pytest

import pygru
from pygru import (
    GRU,
    Activation,
    Adam,
    AttentionOverTime,
    Callback,
    Dropout,
    EarlyStopping,
    Embedding,
    GRUOptions,
    Last,
    Layer,
    LayerNorm,
    Linear,
    Seq2Seq,
    Sequential,
    Trainer,
)
from pygru.core.hints import HOMES, INSTEAD, SAME, NamedArguments


def model():
    return Sequential(GRU(2, 3, batch_first=True), Last(), Linear(3, 1))


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: GRU(4, hidden=8), "hidden_size"),
        (lambda: GRU(4, units=8), "hidden_size"),
        (lambda: GRU(4, hiden_size=8), "hidden_size"),
        (lambda: GRU(input_dim=4, hidden_size=8), "input_size"),
        (lambda: GRU(n_features=4, hidden_size=8), "input_size"),
        (lambda: GRU(4, 8, n_layers=2), "num_layers"),
        (lambda: GRU(4, 8, use_bias=False), "bias"),
        (lambda: GRU(4, 8, random_state=0), "seed"),
        (lambda: GRU(4, 8, bidirectonal=True), "bidirectional"),
        (lambda: GRU(4, 8, reset_after=True), "variant"),
        (lambda: GRUOptions(4, 8, n_layers=2), "num_layers"),
        (lambda: GRU.from_config({"input_size": 4, "units": 8}), "hidden_size"),
        (lambda: Linear(4, units=8), "out_features"),
        (lambda: Linear(input_size=4, out_features=8), "in_features"),
        (lambda: Linear(4, out_feature=8), "out_features"),
        (lambda: Embedding(input_dim=4, embedding_dim=8), "num_embeddings"),
        (lambda: Embedding(4, output_dim=8), "embedding_dim"),
        (lambda: Dropout(rate=0.5), "p"),
        (lambda: LayerNorm(normalized_shape=3), "features"),
        (lambda: LayerNorm(3, epsilon=1e-3), "eps"),
        (lambda: Activation(function="relu"), "activation"),
        (lambda: AttentionOverTime(in_features=3), "features"),
        (lambda: Seq2Seq(3, 3, 3, 3, n_layers=2), "num_layers"),
        (lambda: Adam(lr=0.1), "learning_rate"),
        (lambda: Adam(beta_1=0.8), "betas"),
        (lambda: EarlyStopping(restore_best_weights=True), "restore_best"),
        (lambda: Trainer(model(), criterion="mse"), "loss"),
        (lambda: Trainer(model(), random_state=0), "seed"),
        (lambda: pygru.data.Scaler(methd="standard"), "method"),
    ],
)
def test_the_name_that_was_meant(make, meant):
    with pytest.raises(TypeError, match=rf"got an unexpected .*\. Did you mean '{meant}'\?$"):
        make()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("hidden_size", "hidden_layer_sizes"),
        ("units", "hidden_layer_sizes"),
        ("seed", "random_state"),
        ("epochs", "max_iter"),
        ("lr", "learning_rate_init"),
        ("weight_decay", "alpha"),
        ("bidirectionnal", "bidirectional"),
    ],
)
def test_estimators_have_the_names_of_scikit_learn(given, meant):
    estimators = pytest.importorskip("pygru.sklearn")
    with pytest.raises(TypeError, match=rf"GRUClassifier\(\) .*\. Did you mean '{meant}'\?$"):
        estimators.GRUClassifier(**{given: 3})
    parameters = inspect.signature(estimators.GRUClassifier).parameters
    assert set(parameters) == set(estimators.GRUClassifier().get_params())


def test_options_and_parameters_are_found_by_other_names_too():
    gru = GRU(2, 3)
    with pytest.raises(TypeError, match="unexpected key 'units'; did you mean 'hidden_size'"):
        gru.replace(units=4)
    with pytest.raises(
        KeyError, match="unexpected key 'weight_hh'; did you mean 'weight_hh_l0'"
    ):
        gru.parameters["weight_hh"]
    with pytest.raises(TypeError, match="gru: unexpected key 'epsilon'; did you mean 'layer_n"):
        Seq2Seq(3, 3, 3, 3, gru={"epsilon": 1e-3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRU(4, 8, return_sequences=True), r"every step; put Last\(\) after it for"),
        (lambda: GRU(4, 8, return_state=True), "returns the output and the last states"),
        (
            lambda: Linear(4, 8, activation="relu"),
            r"after other layers put Activation\(\.\.\.\)",
        ),
        (lambda: GRU(4, 8, device="cuda"), "computes on the CPU"),
        (lambda: GRU(4, 8, n_threads=2), r"it is an argument of forward\(\)"),
        (lambda: Trainer(model(), epochs=3), r"it is an argument of fit\(\)"),
        (lambda: Trainer(model(), batch_size=3), r"it is an argument of fit\(\)"),
        (lambda: Trainer(model(), lr=0.1), r"as in optimizer=Adam\(0.01\)"),
        (lambda: Sequential(layers=[]), r"one by one, as in Sequential\(\*layers\)"),
        (lambda: Sequential([Last()]), r"got list; pass the layers one by one, as in Seq"),
        (lambda: Dropout(0.5, qqq=1), r"Dropout\(\) got .* 'qqq'; its arguments are p, seed"),
        (lambda: Last(3, 4, 5), "positional argument"),
    ],
)
def test_what_to_do_instead(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_every_name_in_the_tables_leads_to_an_argument_of_pygru():
    """So that a renamed argument is renamed there too."""
    names = {
        name for param in constructors() for name in inspect.signature(*param.values).parameters
    }
    names |= set(inspect.signature(Seq2Seq.translate).parameters)
    names |= {"hidden_layer_sizes", "random_state", "max_iter", "solver", "alpha"}  # estimators
    names |= {"n_iter_no_change", "learning_rate_init"}
    assert {same for others in SAME.values() for same in others} <= names
    assert all(text and not text.endswith(".") for text in INSTEAD.values())


# ---- what the hints must not change --------------------------------------------------------


def constructors():
    for name in pygru.__all__:
        cls = getattr(pygru, name)
        if inspect.isclass(cls) and issubclass(cls, NamedArguments):
            yield pytest.param(cls, id=name)


@pytest.mark.parametrize("cls", list(constructors()))
def test_the_signature_of_a_class_is_that_of_its_constructor(cls):
    parameters = []
    if cls.__init__ is not object.__init__:
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
    # Some versions of Python look at an inherited constructor in another way.
    for each in (cls, type("Derived", (cls,), {})):
        assert list(inspect.signature(each).parameters.values()) == parameters


def test_the_signature_of_a_layer_is_that_of_its_call():
    assert next(iter(inspect.signature(pygru.Linear(2, 1)).parameters)) == "x"


def test_all_constructors_of_users_give_hints():
    have = {param.id for param in constructors()}
    made_by_pygru = {"ConcatenatedWeights", "Gates", "History", "SequentialStream", "Stream"}
    made_by_pygru |= {"QuantizationReport", "Summary", "Tape", "Translation"}
    missing = {
        name
        for name in pygru.__all__
        if inspect.isclass(getattr(pygru, name))
        and not issubclass(getattr(pygru, name), BaseException)
    } - have
    assert missing <= made_by_pygru | {"Variant", "num_threads"}


def test_classes_of_users_have_their_own_arguments():
    class Scale(Layer):
        def __init__(self, factor, **more):
            self.factor, self.more = factor, more
            self.create_parameters()

        def get_config(self):
            return {"factor": self.factor}

    class Strict(Scale):
        def __init__(self, factor):
            super().__init__(factor)

    class Silent(Callback):
        pass

    assert Scale(2, hidden=3).more == {"hidden": 3}
    with pytest.raises(TypeError, match=r"Strict\(\) got .* 'facto'\. Did you mean 'factor'\?"):
        Strict(facto=2)
    Silent()
    for arguments in ((1,), (1, 2)):
        with pytest.raises(TypeError, match=r"Silent\(\) takes no arguments"):
            Silent(*arguments)
    with pytest.raises(TypeError, match=r"Silent\(\) takes no arguments"):
        Silent(factor=1)


def test_copies_and_pickles_are_made_as_before():
    for each in (GRU(2, 3), model(), Adam(0.1), GRUOptions(2, 3)):
        for made in (copy.copy(each), copy.deepcopy(each), pickle.loads(pickle.dumps(each))):
            assert repr(made) == repr(each)


def test_a_long_name_makes_a_short_message():
    with pytest.raises(TypeError) as caught:
        Linear(3, 4, **{"x" * 1_000_000: 1})
    assert len(str(caught.value)) < 400


# ---- arrays of sequences -------------------------------------------------------------------


def test_an_array_of_sequences_should_be_a_list():
    x = np.empty(2, object)
    x[:] = [np.ones((3, 2)), np.ones((4, 2))]
    hint = (
        r"x must be numeric, got dtype object, an array of sequences; pass a list, as in list"
    )
    for call in (GRU(2, 3, batch_first=True), model(), model().forward, Linear(2, 1)):
        with pytest.raises(TypeError, match=hint):
            call(x)
    model()(list(x))
    tokens = np.empty(2, object)
    tokens[:] = [[1, 2], [1]]
    with pytest.raises(TypeError, match=hint):
        Embedding(3, 2)(tokens)
    for other in (np.array(["a"]), np.array([None, 1.0]), np.array([], object)):
        with pytest.raises(TypeError, match=r"x must be numeric, got dtype [^,]*$"):
            Linear(1, 1)(other)


# ---- names of other modules ------------------------------------------------------------------


@pytest.mark.parametrize("name", HOMES)
def test_the_home_of_a_class_is_named(name):
    pytest.importorskip("sklearn" if "sklearn" in HOMES[name] else "pandas")
    with pytest.raises(AttributeError, match=rf"{name}'; import it from {HOMES[name]}$"):
        getattr(pygru, name)
    assert hasattr(importlib.import_module(HOMES[name]), name)
    assert not hasattr(pygru, name) and name not in dir(pygru)
    with pytest.raises(AttributeError, match=r"has no attribute 'unknown'$"):
        _ = pygru.unknown
