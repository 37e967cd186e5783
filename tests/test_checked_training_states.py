"""Pickled states of trainers, callbacks, forecasters, estimators and results, as of layers.

A state that a run did not make is refused when it is read, with the name of the class, and no
object is made. The tests fail if a public class with a state has no such check.
"""

import copy
import importlib
import pickle
import pkgutil
import sys
import types

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn", minversion="1.6")
import pickled_objects
from pickled_objects import KINDS, Disguise, forecaster, trainer, using, without
from sklearn.exceptions import NotFittedError

import pygru
import pygru.sklearn
from pygru import losses, schedules
from pygru.core.pickled import CheckedState
from pygru.forecasting.network import ForecastNetwork

MAKERS = {
    **pickled_objects.CALLBACKS,
    **pickled_objects.TRAINING,
    **pickled_objects.FORECASTING,
    **pickled_objects.ESTIMATORS,
    **pickled_objects.RESULTS,
}


def pruning():
    optuna = pytest.importorskip("optuna")
    return pygru.OptunaPruning(optuna.trial.FixedTrial({}))


MAKERS["OptunaPruning"] = pruning


@pytest.fixture(scope="module")
def objects():
    """One object of each kind, made once; the tests take copies of their states."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = MAKERS[name]()
        return made[name]

    return get


def state_of(value):
    return copy.deepcopy(value.__reduce_ex__(4)[2])


def read(value, state):
    """An object of the class of ``value`` that is read from a pickle with this state."""
    if isinstance(value, losses.Mean):
        other = copy.copy(value)
        other.__setstate__(state)
        return other
    return pickle.loads(pickle.dumps(Disguise(type(value), state)))


def assert_refused(value, state):
    with pytest.raises(
        (ValueError, TypeError), match=f"no state of an? {type(value).__name__}"
    ):
        read(value, state)


# ---- every class -----------------------------------------------------------------------------


def recurrent():
    return pygru.GRU(3, 4, batch_first=True, seed=0)


NEVER_PICKLED = {
    "Stream": lambda: recurrent().stream(),
    "SequentialStream": lambda: pygru.Sequential(recurrent()).stream(),
    "Tape": lambda: recurrent().forward(pickled_objects.X)[2],
    "num_threads": lambda: pygru.num_threads(1),
}
# Public classes without an object in the tables, and why they need none.
NO_STATE = {
    "Layer": "a base class for users; the states of what derives from it are checked",
    "RecurrentLayer": "the same",
    "Callback": "the same",
    **dict.fromkeys(NEVER_PICKLED, "cannot be pickled"),
    "GRUTimeSeriesClassifier": "the base class of sktime or aeon; its estimator is checked",
    "GRUTimeSeriesRegressor": "the same",
    "torch.GRU": "torch.nn.Module reads its state; a call checks sizes and dtypes",
    "Replaced": "needs PyTorch; made by its constructor as every CheckedState is",
}


def public_classes():
    """Every class that a module of pygru names in ``__all__``, or that a function returns."""
    found = {"Schedule": schedules.Schedule, "Mean": losses.Mean}
    for module in pkgutil.walk_packages(pygru.__path__, "pygru."):
        if module.name.startswith(("pygru.tests", "pygru.__main__", "pygru.conformance.")):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ImportError:  # a package that is not installed
            continue
        for name in getattr(loaded, "__all__", ()):
            value = getattr(loaded, name)
            if isinstance(value, type):
                is_other = module.name == "pygru.torch" and name == "GRU"
                found["torch.GRU" if is_other else name] = value
    found |= {
        name: each for name in pygru.__all__ if isinstance(each := getattr(pygru, name), type)
    }
    found["LearningRates"] = importlib.import_module("pygru.train.lr_finder").LearningRates
    return found


def test_every_public_class_is_checked_or_has_no_state():
    known = {name.partition("-")[0] for name in (*KINDS, *MAKERS)}
    classes = public_classes()
    assert len(classes) > 60 and not known & NO_STATE.keys()
    for name, cls in classes.items():
        if issubclass(cls, (BaseException, tuple)):
            continue  # made of arguments: a state is no part of their pickles
        assert name in known or name in NO_STATE, f"{name}: is its pickled state checked?"
    for name in set(NO_STATE) & classes.keys():
        if NO_STATE[name] == "cannot be pickled":
            continue
        assert issubclass(classes[name], CheckedState) or "." in name or "GRUTime" in name


@pytest.mark.parametrize("name", NEVER_PICKLED)
def test_what_has_no_state_cannot_be_pickled(name):
    value = NEVER_PICKLED[name]()
    assert name in [each.__name__ for each in type(value).__mro__]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(value, protocol)


def plain(value):
    """What can be compared: arrays as bytes, and objects of pygru as their states."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return [(plain(name), plain(each)) for name, each in value.items()]
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return plain(value.get_state())
    if type(value).__module__.startswith("pygru.") and not callable(value):
        return type(value), plain(value.__reduce_ex__(4)[2])
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value))
    return type(value), repr(value).partition(" at 0x")[0]


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_is_read_as_it_was(name, objects):
    value = objects(name)
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), copy.copy(value)):
        assert type(other) is type(value)
        assert plain(other.__reduce_ex__(4)[2]) == plain(value.__reduce_ex__(4)[2])


class Foreign:
    """What no attribute can be."""


# Attributes that are checked when they are used, as the constructor leaves them unchecked, or
# that may be anything.
ANYTHING = {
    "Scaler": {"method", "center", "scale"},
    "QuantizationReport": {"output", "sequences", "steps", "nbytes_before", "nbytes"},
    "LearningRates": {"rates", "losses", "smoothed", "suggestion"},
    "FoundGRU": "all",
    "Case": "all",
    "Report": "all",
    "Trainer": {"comm"},
}
# Attributes that not every object has.
NOT_ALWAYS = {"_fixed", "model_"}  # an estimator without a model is not fitted


def attributes_of(objects, name):
    value = objects(name)
    is_estimator = name.partition("-")[0] in pickled_objects.ESTIMATORS
    return value, state_of(value), value.get_params() if is_estimator else {}


@pytest.mark.parametrize("name", MAKERS)
def test_every_missing_attribute_is_refused(name, objects):
    value, state, _ = attributes_of(objects, name)
    for key in state.keys() - NOT_ALWAYS:
        with pytest.raises((ValueError, TypeError), match=type(value).__name__):
            read(value, without(key)(state))
            pytest.fail(f"{key} may be missing")


@pytest.mark.parametrize("name", MAKERS)
def test_every_foreign_attribute_is_refused(name, objects):
    value, state, parameters = attributes_of(objects, name)
    # Parameters of estimators are checked in fit, as scikit-learn wants it.
    anything = ANYTHING.get(name.partition("-")[0], set(parameters))
    for key in state.keys() - (state.keys() if anything == "all" else anything):
        with pytest.raises((ValueError, TypeError), match=type(value).__name__):
            read(value, {**state, key: Foreign()})
            pytest.fail(f"{key} may be anything")


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "state", [[1, 2], "state", {3: 4}, {}, {"nobody": 1}, {"__class__": int}]
)
def test_what_is_no_state_is_refused(name, state, objects):
    if name == "Mean" and state == {"__class__": int}:
        pytest.skip("its weight is missing, as in the others")
    assert_refused(objects(name), state)


# ---- values of one class ---------------------------------------------------------------------


def inner(name, change):
    """Change an object within a state."""

    def changed(state):
        change(state[name])
        return state

    return changed


def setting(**values):
    """Set attributes of an object past its checks."""
    return lambda found: vars(found).update(values)


def page(**changes):
    def change(run):
        run._page = run._page._replace(position=run._page.position._replace(**changes))

    return inner("_state", change)


def series(**changes):
    """Change the first series of a panel."""
    return lambda panel: vars(panel.series[0]).update(changes)


NAN = float("nan")
WRONG = {
    "EarlyStopping": [
        using(patience=0),
        inner("_watched", setting(name="")),
        using(best="low"),
        using(best_epoch=-1),
        using(_since=1.5),
        using(_weights=[None]),
        using(_weights=[np.zeros(3, int)]),
        inner("_watched", setting(_sign=0.0)),
        inner("_watched", setting(mode="max")),
    ],
    "ReduceLROnPlateau": [
        using(factor=1.0),
        using(_progress=(1.0,)),
        using(_progress=[1.0, 0]),
    ],
    "WeightAverage": [using(decay=1.0), using(_averaged=([1], 0)), using(_averaged=(None, -1))],
    "ModelCheckpoint": [
        using(every=0),
        using(best=None),
        inner("_watched", setting(mode="best")),
    ],
    "CSVLogger": [using(path=3), using(_written=b"")],
    "ProgressBar": [using(disable=2)],
    "OptunaPruning": [using(_reported=-1), using(trial=None), using(_watched=None)],
    "History": [using(records=[1]), using(records=({},)), using(records=[[("a", 1)]])],
    "Schedule": [
        using(_formula="cosine"),
        using(_arguments={}),
        using(_arguments={"schedule": 0.1, "warmup_steps": -1}),
        using(_arguments={"warmup_steps": 7, "schedule": 0.1}),
        using(_arguments={"schedule": "x", "warmup_steps": 7}),
        inner("_arguments", lambda found: vars(found["schedule"]).clear()),
    ],
    "Trainer": [
        using(n_threads=0),
        using(clip_norm=-1.0),
        using(memory="all"),
        using(loss="huber loss"),
        using(callbacks=[3]),
        using(metrics=["mae"]),
        inner("metrics", lambda found: found.append(found[0]._replace(compute=None))),
        inner("_state", setting(model=3)),
        inner("_state", setting(optimizer=None)),
        inner("_state", setting(generator=0)),
        inner("_state", setting(history=[])),
        inner("_state", setting(stop=0)),
        inner("_state", setting(settings={"samples": 3})),
        inner("_state", setting(trained=[np.zeros(3)])),
        inner("_state", setting(waiting=[{}])),
        inner("_state", setting(begun=-1)),
        inner("_state", setting(frozen=[])),
        inner("_state", setting(classes="ab")),
        inner("_state", setting(_outputs=[1])),
        inner("_state", setting(_following=1)),
        inner("_state", setting(_page=None)),
        inner("_state", lambda run: vars(run).pop("history")),
        inner("_state", lambda run: vars(run.history).clear()),
        page(epoch=-1),
        page(batch=1),
        page(kept=5),
        page(total=NAN),
        page(order=np.array([0, 0])),
        page(event=3),
    ],
    "GRUForecaster": [
        using(horizon=3),
        using(horizon=0),
        using(season=1),
        using(variant="gru"),
        using(_settings=None),
        using(_fitted=None),
        inner("_settings", setting(epochs=7)),
        inner("_settings", lambda found: vars(found).pop("epochs")),
        inner("_fitted", lambda found: vars(found).clear()),
        inner("_fitted", setting(model=3)),
        inner("_fitted", setting(spreads={None: 1})),
        inner("_fitted", setting(spreads=[])),
        inner("_fitted", setting(ratio=np.zeros(2))),
        inner("_fitted", setting(ratio=np.array([NAN]))),
        inner("_fitted", setting(history=[])),
        inner("_fitted", setting(validation_size=-1)),
        inner("_fitted", lambda found: vars(found.task).update(window=0)),
        inner("_fitted", lambda found: vars(found.task).pop("season")),
        inner("_fitted", lambda found: vars(found.schema).update(targets=())),
        inner("_fitted", lambda found: vars(found.schema).pop("targets")),
        inner("_fitted", lambda found: vars(found.past).update(spread=np.zeros(1))),
        inner("_data", setting(series=())),
        inner("_data", lambda panel: vars(panel).clear()),
        inner("_data", lambda panel: vars(panel.series[0]).clear()),
        inner("_data", series(targets=np.zeros((60, 2)))),
        inner("_data", series(targets=np.zeros((50, 1)))),
        inner("_data", series(targets=None)),
        inner("_data", series(steps=None)),
        inner("_data", lambda panel: vars(panel.series[0].steps).update(step=0)),
    ],
    "ForecastNetwork": [
        using(config={}),
        using(parts={}),
        inner("config", lambda config: config.update(features=10**12)),
        inner("config", lambda config: config.update(hidden_size=4)),
        inner("config", lambda config: config.update(dropout=0.5)),
        inner("config", lambda config: config.update(bits=8)),
        inner("config", lambda config: config.update(nobody=8)),
        inner("parts", lambda parts: parts.update(gru=pygru.GRU(2, 3))),
        inner("parts", lambda parts: parts.update(gru=pygru.GRU(2, 4, batch_first=True))),
        inner("parts", lambda parts: parts.update(linear=pygru.Linear(3, 7))),
        inner("parts", lambda parts: parts.update(linear=None)),
    ],
    "Backtest": [
        using(_gap=-1),
        using(_gap=10**6),
        using(_actual=np.zeros((3, 2, 1))),
        using(_scale=np.zeros((2, 1))),
        using(_made={}),
        using(_quantiles=()),
        inner("_origins", lambda found: found.rows.__setitem__(0, -1)),
        inner("_origins", lambda found: found.series.__setitem__(0, 7)),
        inner("_made", lambda made: vars(made["GRU"]).clear()),
    ],
    "GRUClassifier": [
        using(n_iter_=-1),
        using(n_features_in_=None),
        using(_n_step_features=7),
        using(classes_=np.zeros(3)),
        using(classes_=[0, 1]),
        using(loss_curve_=["x"]),
        using(_random=np.random.default_rng(0)),
        using(validation_scores_=3),
        using(model_=None),
        inner("model_", lambda plain: plain.update(generators="[]")),
        inner("model_", lambda plain: plain.update(parameters={})),
        inner("model_", lambda plain: plain.update(description="{}")),
        inner("_optimizer", lambda plain: plain.update({"class": "Lion"})),
        inner("_optimizer", lambda plain: plain.update(config="{")),
        inner("_optimizer", lambda plain: plain["state"].update(steps=-1)),
    ],
    "GRURegressor": [
        using(_is_flat=None),
        using(n_outputs_=2),
        using(y_mean_=np.zeros(2)),
        using(y_scale_=np.zeros(1)),
        using(y_mean_=np.array([NAN])),
    ],
    "GRUTransformer": [using(_recurrent=0), using(_recurrent=9), using(_n_features_out=2)],
    "QuantizationReport": [using(cells=[])],
    "Summary": [
        using(parts=(1,)),
        lambda state: {**state, "parts": (state["parts"][0]._replace(layer=np.int8),)},
        using(parameter_count=1.5),
        using(name=None),
    ],
    "Mean": [using(weight="x"), using(weight=None)],
}


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name, wrong in WRONG.items() for number in range(len(wrong))],
)
def test_wrong_values_are_refused(name, number, objects):
    value = objects(name)
    state = WRONG[name][number](state_of(value))
    try:
        pickle.dumps(state)
    except (TypeError, AttributeError):  # not by pickle, so by hand
        with pytest.raises((ValueError, TypeError), match=type(value).__name__):
            type(value).__new__(type(value)).__setstate__(state)
        return
    with pytest.raises((ValueError, TypeError), match=r"no state of an? \w+: "):
        read(value, state)


# ---- what may be -----------------------------------------------------------------------------


def test_a_trainer_goes_on_with_the_same_bits():
    one = trainer(1, callbacks=[pygru.EarlyStopping(2), pygru.WeightAverage()], clip_norm=1.0)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        for each in (other, reference := copy.deepcopy(one)):
            each.fit(
                pickled_objects.X,
                pickled_objects.Y,
                epochs=3,
                validation_split=0.25,
                progress=False,
            )
        assert other.history["loss"] == reference.history["loss"]
        assert (
            other.model.state_dict()["3.weight"].tobytes()
            == reference.model.state_dict()["3.weight"].tobytes()
        )


class Remembers(pygru.Callback):
    """A callback of a user that refers to the trainer, and has more than its constructor."""

    def on_fit_begin(self, trainer, epochs):
        self.trainer, self.report = trainer, 3


class WithTrainer(pygru.Sequential):
    """A model of a user that refers to its own trainer."""

    def __init__(self, comm=None):
        super().__init__(pygru.GRU(3, 4, batch_first=True), pygru.Last(), pygru.Linear(4, 1))
        self.trainer = pygru.Trainer(self, metrics=["mae"], seed=0, comm=comm)


class SecondOfTwo:
    """What a trainer asks of a communicator while it does not train."""

    Allgather = Allgatherv = Alltoallv = lambda self, sent, received: None

    def Get_rank(self):
        return 1

    def Get_size(self):
        return 2


def test_objects_that_refer_to_one_another():
    one = trainer(1, callbacks=[Remembers()])
    for way in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        other = way(one)
        assert other.callbacks[0].trainer is other and other.callbacks[0].report == 3
        callback = way(one.callbacks[0])
        assert callback.trainer.callbacks[0] is callback
        callback.trainer.fit(pickled_objects.X, pickled_objects.Y, progress=False)
        model = way(WithTrainer())
        assert model.trainer.model is model
        model.trainer.fit(pickled_objects.X, pickled_objects.Y, progress=False)
        ranked = way(WithTrainer(SecondOfTwo())).trainer  # the model is read before
        for each in (ranked, way(ranked)):  # and after the trainer
            assert isinstance(each.comm, SecondOfTwo) and not each.is_main_process
        again = way(model.trainer)
        assert (
            again.model.trainer is again
            and again.history["mae"] == model.trainer.history["mae"]
        )


def test_layers_may_be_frozen_after_training_with_an_average():
    one = trainer(1, callbacks=[pygru.WeightAverage(0.5)])
    one.model.layers[0].trainable = False
    assert copy.deepcopy(one).model.frozen_parts == ("0",)


def test_other_generators_than_the_usual_one_are_copied():
    generator = np.random.Generator(np.random.MT19937(3))
    other = copy.deepcopy(trainer(1, seed=generator))
    assert other.generator.bit_generator.state["bit_generator"] == "MT19937"


def test_a_watched_metric_keeps_its_direction():
    """It is found when training begins, so a copy made within a training has it, too."""
    one = trainer(0, metrics={"score": "r2"}, callbacks=[pygru.EarlyStopping(monitor="score")])
    one.fit(pickled_objects.X, pickled_objects.Y, epochs=2, progress=False)
    stopping = copy.deepcopy(one.callbacks[0])
    assert stopping._watched.worst == -np.inf and stopping.best == one.callbacks[0].best


class Trial:
    """What OptunaPruning needs of a trial."""

    def report(self, value, step):
        """Take a number."""

    def should_prune(self):
        return False


def test_a_package_that_is_missing_is_an_import_error(monkeypatch):
    """The state is right, and can be read where the package is."""
    monkeypatch.setitem(sys.modules, "optuna", types.ModuleType("optuna"))
    text = pickle.dumps(pygru.OptunaPruning(Trial()))
    assert pickle.loads(text).monitor == "val_loss"
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="OptunaPruning needs the package optuna"):
        pickle.loads(text)


class Extends(ForecastNetwork):
    """A network of a user that adds to the state."""

    def __getstate__(self):
        return {**super().__getstate__(), "log": [1]}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.log = state["log"]


@pytest.mark.parametrize("name", ["ForecastNetwork", "ForecastNetwork-quantized", "Summary"])
def test_objects_keep_what_users_have_added(name, objects):
    value = copy.deepcopy(objects(name))
    value.note = [1]
    for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert other.note == [1] and pickle.loads(pickle.dumps(other)).note == [1]
    state = objects(name).__reduce_ex__(4)[2]
    own = {"own_attributes": {"__str__": 3}} if "config" in state else {"__str__": 3}
    assert_refused(value, {**state, **own})
    if "config" in state:
        assert list(state) == ["config", "parts"]
        assert copy.deepcopy(Extends(**state["config"])).log == [1]


WATCHING = {
    "EarlyStopping": lambda: pygru.EarlyStopping(9),
    "ReduceLROnPlateau": lambda: pygru.ReduceLROnPlateau(),
    "ModelCheckpoint": lambda: pygru.ModelCheckpoint("a.safetensors", save_best_only=True),
}


@pytest.mark.parametrize("name", WATCHING)
def test_another_number_may_be_watched(name, tmp_path, monkeypatch):
    """What is assigned is what is watched, and a copy watches the same."""
    monkeypatch.chdir(tmp_path)
    callback = WATCHING[name]()
    callback.monitor, callback.mode = "score", "max"
    with pytest.raises(TypeError, match="monitor must be the name of a number"):
        callback.monitor = 3
    with pytest.raises(ValueError, match="mode must be"):
        callback.mode = "best"
    one = trainer(0, metrics={"score": "r2"}, callbacks=[callback])
    one.fit(pickled_objects.X, pickled_objects.Y, epochs=3, progress=False)
    best = max(one.history["score"])
    assert best in (getattr(callback, "best", None), getattr(callback, "_progress", [0])[0])
    for other in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert (other.monitor, other.mode, other._watched.worst) == ("score", "max", -np.inf)
    older = {**state_of(callback), "monitor": "val_loss", "mode": "auto"}
    assert read(callback, older).monitor == "score"


def test_another_number_may_be_pruned_by(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", types.ModuleType("optuna"))
    callback = pygru.OptunaPruning(Trial())
    callback.monitor = "val_mae"
    assert copy.deepcopy(callback)._watched.name == callback.monitor == "val_mae"


def test_a_forecaster_forecasts_the_same():
    one = forecaster()
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one)), copy.copy(one)):
        assert other.predict().equals(one.predict())
        assert other.history_.records == one.history_.records


def test_an_estimator_without_its_model_is_not_fitted(objects):
    value = objects("GRUClassifier")
    with pytest.raises(NotFittedError):
        read(value, without("model_")(state_of(value))).predict(pickled_objects.X)


class Own(pygru.sklearn.GRUClassifier):
    """An estimator of a user."""


def test_an_estimator_that_refuses_a_state_keeps_its_own(objects):
    value = copy.copy(objects("GRUClassifier"))
    before = dict(vars(value))
    for wrong in ({}, {**state_of(value), "n_iter_": -1}):
        with pytest.raises(ValueError, match="no state of a GRUClassifier"):
            value.__setstate__(wrong)
        assert vars(value) == before and value.model_ is before["model_"]


def test_estimators_of_users():
    value = Own(hidden_layer_sizes=3)
    value.note = 3
    assert pickle.loads(pickle.dumps(value)).note == 3
    with pytest.raises(ValueError, match="no state of an Own: it has no alpha"):
        value.__setstate__(without("alpha")(state_of(value)))
