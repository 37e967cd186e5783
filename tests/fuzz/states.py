"""States of pickles in which something is wrong: refused when they are read, or of use.

A state is a program's damage or mistake, not an attack: the bytes of a pickle are code, so they
are not tried. What was read must do what such objects do, or raise a documented exception; it
may not lack an attribute, or have one that nothing can use.
"""

import contextlib
import io
import json
import pickle
import warnings

import numpy as np
import pickled_objects
from pickled_objects import X, Y

import pygru
from fuzz.arguments import DOCUMENTED, VALUES
from fuzz.fuzzer import Fuzzer

MAKERS = {
    **pickled_objects.KINDS,
    **pickled_objects.CALLBACKS,
    **pickled_objects.TRAINING,
    **pickled_objects.FORECASTING,
    **pickled_objects.ESTIMATORS,
    **pickled_objects.RESULTS,
}
CALLED = pickled_objects.LAYERS | pickled_objects.MODELS
# Objects that are of no use before they are fitted, or with other data only.
NOT_YET = {"GRUForecaster-new", "GRUClassifier-new", "Scaler-new", "Trainer-classes"}
# Results whose attributes their constructors do not check.
UNCHECKED = {"QuantizationReport", "LearningRates", "FoundGRU", "Case", "Report"}


def state_of(value):
    """The state of an object of pygru that has one, else None."""
    if not type(value).__module__.startswith("pygru.") or isinstance(value, (type, tuple)):
        return None
    if callable(value) and not hasattr(value, "__dict__"):
        return None
    try:
        state = value.__reduce_ex__(4)[2]
    except (TypeError, IndexError):
        return None
    return state if isinstance(state, dict) else None


def places_in(value, place=()):
    """The paths to everything within each other in a state: names, keys and indices."""
    state = state_of(value)
    items = value if state is None else state
    if isinstance(items, dict):
        pairs = [(name, each) for name, each in items.items() if isinstance(name, str)]
    elif isinstance(items, (list, tuple)):
        pairs = list(enumerate(items))
    else:
        return
    for key, each in pairs:
        yield (*place, key)
        yield from places_in(each, (*place, key))


def changed(value, place, change):
    """A copy of a value in which the entry at a place is another or gone.

    Objects on the way are made of their own changed states, as unpickling makes them.
    """
    if not place:
        return change(value)
    key, *rest = place
    state = state_of(value)
    if state is not None:
        made = type(value).__new__(type(value))
        state = changed(state, place, change)
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            vars(made).update(state)
        return made
    items = dict(value) if isinstance(value, dict) else list(value)
    if rest or change is not None:
        items[key] = changed(items[key], rest, change)
    else:
        del items[key]
    if isinstance(value, tuple):
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return items


def use(name, value):
    """Do with an object what is usually done with one."""
    repr(value)
    pickle.dumps(value)
    if name in CALLED:
        tokens = np.array([[1, 0, 1], [1, 1, 0]])
        if name.startswith("Seq2Seq"):
            value.translate(tokens, max_length=3)
        elif name.startswith("Attention-") or name == "Attention":
            value(np.ones((2, 3, value.query_size)), np.ones((2, 5, value.key_size)))
        else:
            value(
                tokens if name.startswith("Embedding") else X[..., :2] if name == "Last" else X
            )
    elif isinstance(value, pygru.Trainer):
        value.fit(X, Y, epochs=3, validation=(X, Y), progress=False)
    elif isinstance(value, pygru.Callback):
        value.state_dict()
        if not hasattr(value, "path") and not hasattr(value, "log_dir"):  # writes no file
            trainer = pygru.Trainer(small(), metrics=["mae"], callbacks=[value])
            trainer.fit(X, Y, validation=(X, Y), progress=False)
    elif hasattr(value, "step") and hasattr(value, "learning_rate"):
        value.step(pygru.Linear(3, 2, seed=0))
    elif hasattr(value, "backtest"):
        value.predict(np.sin(np.arange(60) / 5))
    elif hasattr(value, "scores_by"):
        value.scores_by("step"), value.forecasts
    elif hasattr(value, "infer"):
        value.infer(np.zeros((2, value.shape.window, value.shape.features), np.float32))
    elif name.startswith("GRU") and hasattr(value, "get_params"):
        (value.transform if hasattr(value, "transform") else value.predict)(X)
    elif callable(value):
        value(7)
    elif hasattr(value, "transform"):
        value.transform(X)
    elif hasattr(value, "to_json"):
        value.to_json()


def small():
    return pygru.Sequential(pygru.GRU(3, 1, batch_first=True), pygru.Last(), seed=0)


class States(Fuzzer):
    """Wrong states of pickles: refused, or objects that can be used."""

    name = "states"
    cases = 1000
    memory = 2**26
    refusals = (TypeError, ValueError)
    suffix = ".json"

    def __init__(self):
        with quiet():
            self.objects = {name: make() for name, make in MAKERS.items()}
            for name in self.objects.keys() - NOT_YET:
                use(name, self.copy(name))
        self.places = {name: list(places_in(value)) for name, value in self.objects.items()}

    def copy(self, name):
        return pickle.loads(pickle.dumps(self.objects[name]))

    def case(self, rng):
        name = rng.choice(list(self.places))
        changes = []
        for _ in range(rng.choice([1, 1, 1, 2])):
            value = None if rng.randrange(5) == 0 else rng.choice(list(VALUES))
            changes.append([rng.choice(self.places[name]), value])
        return json.dumps({"object": name, "changes": changes}).encode()

    def run(self, case):
        case = json.loads(case)
        name = case["object"]
        value = self.copy(name)
        with quiet():
            for place, wrong in case["changes"]:
                change = None if wrong is None else lambda old, wrong=wrong: VALUES[wrong]
                try:
                    value = changed(value, place, change)
                except (KeyError, IndexError):  # the first change has taken the place away
                    if len(case["changes"]) == 1:
                        raise
                    return "no such place"
            if name.partition("-")[0] in UNCHECKED:
                return "made"
            with contextlib.suppress(*DOCUMENTED, pickle.PicklingError):  # of a lambda
                try:
                    use(name, value)
                except RuntimeError as error:
                    assert type(error) is RuntimeError, error  # of what is not fitted yet
        return "used"


@contextlib.contextmanager
def quiet():
    with (
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
