"""How training of the estimators goes and ends: stopping, solvers, warm starts, errors."""

import inspect

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sequence_estimators import LABELS, RAGGED, TOKENS, UP, VALUES, X3, N, classifier, regressor
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from pygru import Callback
from pygru.sklearn import GRUClassifier, GRURegressor, GRUTransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning"
)


def test_training_ends_when_nothing_improves_and_else_warns():
    model = classifier(max_iter=50, tol=10.0, n_iter_no_change=3).fit(RAGGED, LABELS)
    assert model.n_iter_ == len(model.loss_curve_) == 5  # the first one improves
    assert model.best_loss_ == min(model.loss_curve_)
    slower = classifier(
        max_iter=50, tol=10.0, n_iter_no_change=3, learning_rate="adaptive"
    ).fit(RAGGED, LABELS)
    assert slower.n_iter_ > 20
    with pytest.warns(ConvergenceWarning, match=r"maximum iterations \(2\) reached"):
        classifier(max_iter=2).fit(RAGGED, LABELS)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_early_stopping_keeps_the_best_weights(make):
    y = UP if make is classifier else VALUES
    model = make(
        max_iter=30, early_stopping=True, validation_fraction=0.25, n_iter_no_change=5
    ).fit(RAGGED, y)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    best = int(np.argmax(model.validation_scores_)) + 1
    shorter = make(
        max_iter=best, early_stopping=True, validation_fraction=0.25, n_iter_no_change=50
    ).fit(RAGGED, y)
    assert (shorter.predict(RAGGED) == model.predict(RAGGED)).all()


def test_early_stopping_divides_weights_and_classes():
    """A sample of weight 0 counts in neither part; both parts have all classes."""
    weights = np.arange(N) % 4
    options = {"early_stopping": True, "validation_fraction": 0.25, "max_iter": 4}
    first = regressor(**options).fit(RAGGED, VALUES, weights)
    second = regressor(**options).fit(RAGGED, np.where(weights == 0, 1e3, VALUES), weights)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_scores_ == second.validation_scores_
    with pytest.raises(ValueError, match="least populated class"):  # as in MLPClassifier
        classifier(**options).fit(RAGGED, np.arange(N) == 0)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_warm_start_goes_on_from_the_weights(make):
    y = UP if make is classifier else VALUES
    model = make(warm_start=True, max_iter=3).fit(RAGGED, y)
    before = model.loss_curve_[-1]
    kept = model.model_
    model.fit(RAGGED, y)
    assert model.model_ is kept and model.loss_curve_[-1] < before and model.n_iter_ == 3
    # As in MLPClassifier, the curve goes on.
    assert len(model.loss_curve_) == 6 and model.t_ == 6 * N
    assert model.best_loss_ == min(model.loss_curve_) and model.loss_ == model.loss_curve_[-1]


@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", "rmsprop"])
def test_solvers_and_options_of_the_model(solver):
    model = GRUClassifier(
        (6, 4),
        solver=solver,
        dropout=0.2,
        recurrent_dropout=0.1,
        variant="pytorch",
        alpha=1e-4,
        max_iter=25,
        learning_rate_init=0.05 if solver == "sgd" else 0.01,
        random_state=0,
    ).fit(RAGGED, LABELS)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    again = clone(model).fit(RAGGED, LABELS)
    assert (again.decision_function(RAGGED) == model.decision_function(RAGGED)).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes must be an int or a sequence"),
        ({"hidden_layer_sizes": 0}, "hidden_layer_sizes must be"),
        ({"pooling": "sum"}, "pooling must be one of 'last', 'mean', 'max', 'attention'"),
        ({"solver": "lbfgs"}, "solver must be one of"),
        ({"learning_rate": "optimal"}, "learning_rate must be one of"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"alpha": -1.0}, "alpha must be"),
        ({"tol": -1.0}, "tol must be"),
        ({"dropout": 1.5}, "dropout must be"),
        ({"early_stopping": True, "validation_fraction": 1.5}, "validation_fraction must be"),
        (
            {"early_stopping": True, "validation_fraction": 0.0},
            "cannot keep .*=0.0 of",
        ),
        (
            {"early_stopping": True, "validation_fraction": 0.01},
            "cannot keep .*=0.01 of",
        ),
        ({"embedding": "a"}, "embedding must be None, an int or"),
    ],
)
def test_wrong_parameters_are_named(options, text):
    X = TOKENS if "embedding" in options else RAGGED
    with pytest.raises(ValueError, match=text):
        classifier().set_params(**options).fit(X, LABELS)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_warm_start_with_early_stopping_never_gets_worse(make):
    """The weights from which the second fit begins are among those that it may keep."""
    y = UP if make is classifier else VALUES
    options = {"early_stopping": True, "validation_fraction": 0.25, "warm_start": True}
    model = make(max_iter=20, **options).fit(RAGGED, y)
    best, weights = model.best_validation_score_, [v.copy() for v, _ in model.model_.flat_pairs]
    model.set_params(solver="sgd", learning_rate_init=1e4, clip_norm=None, max_iter=2)
    model.fit(RAGGED, y)
    assert model.best_validation_score_ == best
    for before, (after, _) in zip(weights, model.model_.flat_pairs, strict=True):
        assert (before == after).all()
    assert len(model.validation_scores_) == 22 or model.n_iter_ < 20


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_attributes_are_those_of_mlp_classifier(early_stopping):
    """Those that say how training went, with the same types and lengths."""
    table = X3[:, :, 0]
    options = {"early_stopping": early_stopping, "max_iter": 4, "random_state": 0}
    theirs = MLPClassifier((4,), **options).fit(table, UP)
    ours = GRUClassifier((4,), **options).fit(table, UP)
    # What their layers are, and what a GRU does not have: its weights are in ``model_``.
    other = {"coefs_", "intercepts_", "n_layers_", "n_outputs_", "out_activation_"}
    public = {name for name in vars(theirs) if name.endswith("_") and name[0] != "_"}
    for name in public - other:
        expected, found = getattr(theirs, name), getattr(ours, name)
        if isinstance(expected, list):
            assert len(found) == len(expected), name
        elif name in ("n_iter_", "t_", "n_features_in_") or expected is None:
            assert found == expected, name
        else:
            assert np.shape(found) == np.shape(expected), name


@pytest.mark.parametrize("power_t", [0.5, 0.25])
def test_the_rate_falls_as_in_mlp_classifier(power_t):
    """scikit-learn's own optimiser says the rate of each epoch."""

    class Rates(Callback):
        def __init__(self):
            self.seen = []

        def on_batch_end(self, trainer, loss, sequences):
            self.seen.append(trainer.optimizer.next_learning_rate)

    rates = Rates()
    model = classifier(
        solver="sgd", learning_rate="invscaling", power_t=power_t, batch_size=N, max_iter=4
    ).fit(RAGGED, LABELS, callbacks=[rates])
    theirs = SGDOptimizer([], 0.02, lr_schedule="invscaling", power_t=power_t)
    for epoch, rate in enumerate(rates.seen):
        assert rate == pytest.approx(theirs.learning_rate, rel=1e-14)
        theirs.iteration_ends((epoch + 1) * N)
    assert len(rates.seen) == 4 and model.t_ == 4 * N
    steps = classifier(solver="sgd", learning_rate="invscaling", power_t=power_t, batch_size=N)
    rates.seen.clear()
    for _ in range(3):
        steps.partial_fit(RAGGED, LABELS, classes=np.unique(LABELS))
        rates.seen.append(steps._optimizer.next_learning_rate)
    for epoch, rate in enumerate(rates.seen):
        assert rate == pytest.approx(0.02 / ((epoch + 1) * N + 1) ** power_t)
    with pytest.raises(ValueError, match="power_t must be"):
        classifier(learning_rate="invscaling", power_t=-1.0).fit(RAGGED, LABELS)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_partial_fit_refuses_early_stopping(make):
    y = UP.astype(int)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        make(early_stopping=True).partial_fit(RAGGED, y)


class StopAfter(Callback):
    def __init__(self, epochs, error):
        self.epochs, self.error = epochs, error
        self.records = []

    def on_epoch_end(self, trainer, record):
        self.records.append(dict(record))
        if len(self.records) == self.epochs:
            raise self.error


def test_ctrl_c_keeps_the_best_weights_and_the_curves_so_far():
    options = {"early_stopping": True, "validation_fraction": 0.25, "max_iter": 30}
    stop = StopAfter(12, KeyboardInterrupt())
    model = classifier(**options)
    with pytest.raises(KeyboardInterrupt):
        model.fit(RAGGED, LABELS, callbacks=[stop])
    assert len(model.loss_curve_) == len(model.validation_scores_) == model.n_iter_ == 12
    assert [r["validation_score"] for r in stop.records] == model.validation_scores_
    best = int(np.argmax(model.validation_scores_)) + 1
    shorter = classifier(**options | {"max_iter": best}).fit(RAGGED, LABELS)
    assert (shorter.predict_proba(RAGGED) == model.predict_proba(RAGGED)).all()


def test_callbacks_that_are_none_are_named():
    with pytest.raises(TypeError, match=r"callbacks\[0\] must be a pygru.Callback, got int"):
        classifier().fit(RAGGED, LABELS, callbacks=[3])
    with pytest.raises(TypeError, match="callbacks must be a list of Callbacks"):
        classifier().fit(RAGGED, LABELS, callbacks=Callback())


def test_an_error_of_a_callback_leaves_the_estimator_as_it_was():
    model = classifier(warm_start=True).fit(RAGGED, LABELS)
    before = dict(vars(model), loss_curve_=list(model.loss_curve_))
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(RAGGED, LABELS, callbacks=[StopAfter(2, RuntimeError("enough"))])
    assert vars(model) == before


def test_constructors_are_real_signatures():
    """help(), clone and searches need every parameter by name, with its default."""
    for cls in (GRUClassifier, GRURegressor, GRUTransformer):
        parameters = inspect.signature(cls).parameters
        assert set(parameters) == set(cls().get_params())
        for name, parameter in parameters.items():
            assert parameter.default == cls().get_params()[name]
            assert f"\n{name} : " in inspect.getdoc(cls)
        assert "{parameters}" not in cls.__doc__
        with pytest.raises(TypeError, match="hidden_size"):
            cls(hidden_size=3)
    assert GRUClassifier.__doc__.count("\nclass_weight : ") == 1
    assert "\nclass_weight : " not in GRURegressor.__doc__
