"""An object of every class of pygru that has a state, and pickles of wrong states.

Some need scikit-learn or pandas, which are imported when such an object is made.
"""

import copy
import functools
import warnings

import numpy as np

import pygru
import pygru.data
from pygru import GRU, Adam, Linear, schedules


def used(optimizer):
    """An optimiser with states and a count."""
    linear = Linear(3, 2, seed=0)
    for _ in range(3):
        linear.flat_grads[...] = np.arange(linear.flat_grads.size)
        optimizer.step(linear)
    return optimizer


LAYERS = {
    "Activation": lambda: pygru.Activation("gelu"),
    "Attention": lambda: pygru.Attention(3, 4, seed=0),
    "Attention-dot": lambda: pygru.Attention(4, 4, score="dot"),
    "Attention-additive": lambda: pygru.Attention(3, 4, 5, score="additive", seed=0),
    "AttentionOverTime": lambda: pygru.AttentionOverTime(3, 5, dtype="float64", seed=0),
    "Dropout": lambda: pygru.Dropout(0.3, seed=0),
    "Embedding": lambda: pygru.Embedding(5, 3, padding_idx=1, mask_zero=True, seed=0),
    "Embedding-table": lambda: pygru.Embedding(2, 2, weight=np.eye(2), trainable=False),
    "FeatureScale": lambda: pygru.FeatureScale(3),
    "Last": lambda: pygru.Last(True, "sum"),
    "LayerNorm": lambda: pygru.LayerNorm(3, 1e-3, dtype="float64"),
    "Linear": lambda: Linear(3, 2, seed=0),
    "Linear-no-bias": lambda: Linear(3, 2, bias=False, dtype="float64", seed=0),
    "Masking": lambda: pygru.Masking(-1.0),
    "MaxOverTime": lambda: pygru.MaxOverTime(),
    "MeanOverTime": lambda: pygru.MeanOverTime(),
    "GRU": lambda: GRU(3, 4, seed=0),
    "QuantizedGRU": lambda: GRU(3, 4, seed=0).quantized(),
}
MODELS = {
    "Seq2Seq": lambda: pygru.Seq2Seq(5, 6, 2, 3, num_layers=2, dropout=0.5, seed=0),
    "Seq2Seq-additive": lambda: pygru.Seq2Seq(5, 6, 2, 3, score="additive", seed=0),
    "Sequential": lambda: pygru.Sequential(
        GRU(3, 4, batch_first=True), pygru.Dropout(), pygru.Last(), Linear(4, 1), seed=0
    ),
    "Sequential-quantized": lambda: pygru.Sequential(
        GRU(3, 4, batch_first=True), Linear(4, 4), seed=0
    ).quantized(data=np.ones((2, 3, 3), np.float32)),
    "Sequential-empty": lambda: pygru.Sequential(),
}
OPTIMIZERS = {
    "SGD": lambda: used(pygru.SGD(0.1, 0.9, nesterov=True)),
    "RMSprop": lambda: used(pygru.RMSprop(centered=True, weight_decay=0.1)),
    "Adam": lambda: used(Adam(1e-3, (0.8, 0.99))),
    "AdamW": lambda: used(pygru.AdamW(schedules.step(0.5, 10))),
    "Adam-unused": lambda: Adam(),
}
OPTIONS = {
    "GRUOptions": lambda: pygru.GRUOptions(3, 4, 2, bidirectional=True, clip=3.0),
    "Variant": lambda: pygru.Variant("after", "replace"),
}
KINDS = {**LAYERS, **MODELS, **OPTIMIZERS, **OPTIONS}


# ---- what training, forecasts and other calls return or keep --------------------------------

X = np.random.default_rng(0).standard_normal((12, 5, 3)).astype(np.float32)
Y = X.sum(axis=(1, 2))


def trainer(fits=1, **options):
    """A trainer that has trained for two epochs."""
    model = pygru.Sequential(
        GRU(3, 4, batch_first=True), pygru.Last(), pygru.Dropout(0.2), Linear(4, 1), seed=0
    )
    made = pygru.Trainer(model, **{"seed": 0, "metrics": ["mae"], **options})
    for _ in range(fits):
        made.fit(X, Y, epochs=2, batch_size=8, validation_split=0.25, progress=False)
    return made


def trained(callback):
    """The callback of a trainer that has trained."""
    return trainer(callbacks=[callback]).callbacks[0]


CALLBACKS = {
    "EarlyStopping": lambda: trained(pygru.EarlyStopping(3, min_delta=0.1)),
    "EarlyStopping-new": lambda: pygru.EarlyStopping(),
    "ReduceLROnPlateau": lambda: trained(pygru.ReduceLROnPlateau(0.5, monitor="val_mae")),
    "WeightAverage": lambda: trained(pygru.WeightAverage(0.9)),
    "ModelCheckpoint": lambda: pygru.ModelCheckpoint("{epoch}.safetensors"),
    "CSVLogger": lambda: pygru.CSVLogger("training.csv"),
    "TensorBoard": lambda: pygru.TensorBoard("logs"),
    "ProgressBar": lambda: pygru.ProgressBar(True),
}
TRAINING = {
    "Trainer": lambda: trainer(callbacks=[pygru.EarlyStopping(), pygru.WeightAverage()]),
    "Trainer-new": lambda: trainer(0),
    "Trainer-classes": lambda: trainer(
        0, loss="cross_entropy", metrics=[], classes=["no", "yes"], optimizer="sgd"
    ),
    "History": lambda: trainer().history,
    "LearningRates": lambda: pygru.find_learning_rate(trainer(0), X, Y, steps=4),
    "Schedule": lambda: schedules.warmup(schedules.one_cycle(0.1, 100), 7),
    "Schedule-step": lambda: schedules.step(0.1, 3),
    "Schedule-cosine": lambda: schedules.cosine(0.1, 30, 1e-4),
}


@functools.cache
def _fitted(quantiles):
    from pygru.forecasting import GRUForecaster

    options = {"hidden_size": 3, "window": 5, "epochs": 1, "progress": False}
    forecaster = GRUForecaster(horizon=2, quantiles=quantiles, **options)
    return forecaster.fit(np.sin(np.arange(60) / 5))


def forecaster(quantiles=(0.1, 0.9)):
    return copy.deepcopy(_fitted(quantiles))


def new_forecaster():
    from pygru.forecasting import GRUForecaster

    return GRUForecaster(horizon=3, learning_rate=schedules.cosine(0.1, 30))


FORECASTING = {
    "GRUForecaster": forecaster,
    "GRUForecaster-new": new_forecaster,
    "GRUForecaster-quantized": lambda: forecaster().quantized(),
    "ForecastNetwork": lambda: forecaster().model_,
    "ForecastNetwork-quantized": lambda: forecaster().model_.quantized(),
    "Backtest": lambda: forecaster().backtest(np.sin(np.arange(80) / 5)),
}


def estimator(name, fits=True):
    import pygru.sklearn

    options = {"hidden_layer_sizes": 3, "max_iter": 1, "random_state": 0}
    made = getattr(pygru.sklearn, f"GRU{name}")(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that training has not converged
        return made.fit(X, Y > 0) if fits else made


ESTIMATORS = {
    "GRUClassifier": lambda: estimator("Classifier"),
    "GRUClassifier-new": lambda: estimator("Classifier", fits=False),
    "GRURegressor": lambda: estimator("Regressor"),
    "GRUTransformer": lambda: estimator("Transformer"),
}


def conformance_report():
    import pygru.conformance

    return pygru.conformance.check("pygru", name="layers", variant="after-keep")


RESULTS = {
    "Scaler": lambda: pygru.data.Scaler("robust").fit(X),
    "Scaler-new": lambda: pygru.data.Scaler(),
    "QuantizationReport": lambda: GRU(3, 4, seed=0).quantized(data=X).report,
    "Summary": lambda: pygru.Seq2Seq(5, 6, 2, 3).summary(),
    "FoundGRU": lambda: pygru.io.FoundGRU("gru", "PyTorch", {"input_size": 2}),
    "Case": lambda: conformance_report().results[0].case,
    "Report": conformance_report,
    "Mean": lambda: pygru.losses.mse([1.0, 3.0], [0.0, 3.0], weights=[1.0, 3.0])[0],
}


# ---- wrong states ---------------------------------------------------------------------------


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def using(**changes):
    return lambda state: {**state, **changes}


EVERY = {
    "list": lambda state: [1, 2],
    "text": lambda state: "state",
    "keys": lambda state: {**state, 3: 4},
    "slots": lambda state: (state, [1]),
    "class": using(__class__=int),
    "fixed": using(_fixed=3),
}


class Disguise:
    """Pickled as an object of a class with a state."""

    def __init__(self, cls, state):
        self.cls, self.state = cls, state

    def __reduce__(self):
        return self.cls.__new__, (self.cls,), self.state
