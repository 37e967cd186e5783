"""What people see of models, trainers, streams and histories: text, and HTML for notebooks.

The numbers are compared with counts by hand. The HTML is parsed, so text that is not escaped,
scripts and colours, which a dark theme could make unreadable, would be found.
"""

import locale
import re
import xml.etree.ElementTree as tree

import numpy as np
import pytest
from programs import run_program

import pygru
from pygru import (
    GRU,
    Activation,
    Callback,
    Dropout,
    EarlyStopping,
    Embedding,
    History,
    Last,
    Linear,
    Seq2Seq,
    Sequential,
    Trainer,
)
from pygru.shown import LEFT, RIGHT, html_table, text_table


def parsed(shown):
    """The HTML of an object as a tree; it has no scripts and sets no colours."""
    text = shown._repr_html_()
    root = tree.fromstring(text)
    for element in root.iter():
        assert element.tag in ("div", "b", "p", "table", "thead", "tbody", "tr", "th", "td")
        assert set(element.attrib) <= {"style"}
        assert re.fullmatch("(text-align:(left|right))?", element.get("style", ""))
    return root


def cells(root):
    """The texts of all cells, row by row."""
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def sequential():
    return Sequential(
        Embedding(7, 3), GRU(3, 4, 2, batch_first=True), Dropout(0.1), Last(), Linear(4, 2)
    )


# ---- summaries -------------------------------------------------------------------------------

# A layer of a GRU has three gates, each with weights for input and state and two biases.
FIRST, SECOND = 3 * 4 * (3 + 4 + 2), 3 * 4 * (4 + 4 + 2)


def test_a_summary_counts_what_each_layer_has():
    model = sequential()
    summary = model.summary()
    assert [part.parameter_count for part in summary.parts] == [21, FIRST + SECOND, 0, 0, 10]
    assert [part.output for part in summary.parts] == [
        "(B, T, 3)",
        "(B, T, 4)",
        "(B, T, 4)",
        "(B, 4)",
        "(B, 2)",
    ]
    assert summary.parameter_count == summary.trainable_count == 31 + FIRST + SECOND
    assert summary.nbytes == 4 * summary.parameter_count
    assert sum(values.size for values in model.state_dict().values()) == summary.parameter_count


TABLE = """\
Sequential: 259 parameters, 228 of them frozen, 1.0 kB

   layer                                           output     parameters  trainable
0  Embedding(num_embeddings=7, embedding_dim=3)    (B, T, 3)          21  yes
1  GRU(input_size=3, hidden_size=4, num_layers=2)  (B, T, 4)         228  no
2  Dropout()                                       (B, T, 4)           0
3  Last()                                          (B, 4)              0
4  Linear(in_features=4, out_features=2)           (B, 2)             10  yes"""


def test_the_text_of_a_summary():
    model = sequential()
    model.layers[1].trainable = False
    summary = model.summary()
    assert str(summary) == repr(summary) == TABLE
    assert (summary.parameter_count, summary.trainable_count) == (259, 31)
    model.layers[1].trainable = True
    assert str(summary) == TABLE  # of the model as it was
    assert "frozen" not in str(model.summary())


@pytest.mark.parametrize(
    ("layer", "output"),
    [
        (GRU(3, 4), "(T, B, 4)"),
        (GRU(3, 4, batch_first=True, bidirectional=True), "(B, T, 8)"),
        (Linear(3, 4), "(B, T, 4)"),
        (Last(), "(B, ?)"),
    ],
)
def test_a_layer_has_a_summary_of_its_own(layer, output):
    summary = layer.summary()
    (part,) = summary.parts
    assert (part.name, part.output) == ("", output)
    assert summary.parameter_count == layer.parameter_count
    assert summary.nbytes == layer.nbytes
    assert str(summary).splitlines()[2].startswith("layer")


def test_an_activation_shows_its_function():
    (part,) = Activation("gelu").summary().parts
    assert part.layer == "Activation(activation='gelu')"


def test_a_translator_lists_its_parts():
    model = Seq2Seq(5, 6, 3, 4, num_layers=2, dropout=0.1, seed=0)
    summary = model.summary()
    assert summary.parameter_count == model.parameter_count
    for part in summary.parts:
        values = [
            v for name, v in model.state_dict().items() if name.startswith(f"{part.name}.")
        ]
        assert part.parameter_count == sum(value.size for value in values)
    outputs = {part.name: part.output for part in summary.parts}
    assert outputs["encoder"] == "(B, S, 8)" and outputs["output"] == "(B, T, 6)"


def test_what_layers_share_counts_once():
    linear = Linear(4, 4)
    gru = GRU(4, 4, batch_first=True)
    model = Sequential(linear, linear, gru, gru.replace(share_weights=True))
    summary = model.summary()
    assert [part.parameter_count for part in summary.parts] == [20, 0, 120, 0]
    assert [part.is_shared for part in summary.parts] == [False, True, False, True]
    assert summary.parameter_count == model.parameter_count == 140
    assert str(summary).count("shared") == 2


def test_a_summary_is_that_of_the_dtype():
    model = Sequential(GRU(1, 2, batch_first=True, dtype="float64"), Linear(2, 1))
    assert model.summary().nbytes == 8 * 3 * 2 * (1 + 2 + 2) + 4 * 3


def test_a_model_without_layers():
    assert Sequential().summary().parts == ()
    assert "0 parameters" in str(Sequential().summary())
    parsed(Sequential())


def test_a_summary_exposes_no_weights():
    """A GRU whose weights nobody can change keeps them packed; a summary must not end that."""
    gru = GRU(3, 4, batch_first=True)
    x = np.ones((2, 5, 3), np.float32)
    gru(x)
    summary = gru.summary()
    shown = str(summary), summary._repr_html_(), repr(gru.stream()), gru._repr_html_()
    assert all(shown) and gru._parameters_owner.lent == 0


class Scale(pygru.Layer):
    """A layer of a user that says nothing about sizes."""

    def __init__(self, features):
        self.features = features
        self.create_parameters()

    def get_config(self):
        return {"features": self.features}

    @staticmethod
    def parameter_shapes(config):
        return {"scale": (config["features"],)}


def test_a_layer_of_ones_own():
    model = Sequential(GRU(1, 3, batch_first=True), Scale(3))
    assert model.summary().parts[1][1:4] == ("Scale(features=3)", "(B, T, ?)", 3)
    assert Scale(3).summary().parts[0].parameter_count == 3


# ---- HTML ------------------------------------------------------------------------------------


def test_a_model_in_a_notebook():
    root = parsed(sequential())
    rows = cells(root)
    assert rows[0] == ["", "layer", "output", "parameters", "trainable"]
    assert rows[5] == ["4", "Linear(in_features=4, out_features=2)", "(B, 2)", "10", "yes"]
    assert "Sequential: 259 parameters" in root.find("p").text
    for model in (GRU(2, 3), Linear(2, 3), Last(), Seq2Seq(5, 5, 2, 3)):
        assert type(model).__name__ in parsed(model).find("p").text


EVIL = "<script>alert('&')</script>"


def test_names_of_users_are_escaped():
    layer = type(EVIL, (Scale,), {})(2)
    assert cells(parsed(Sequential(layer)))[1][1] == f"{EVIL}(features=2)"
    assert cells(parsed(History([{EVIL: 1.0}])))[0] == [EVIL]
    callback = type(EVIL, (Callback,), {})()
    assert [f"[{EVIL}]"] in [
        row[1:] for row in cells(parsed(Trainer(layer, callbacks=[callback])))
    ]
    assert tree.fromstring(html_table([EVIL], [], [LEFT])).find(".//th").text == EVIL


def test_a_trainer():
    model = Sequential(GRU(1, 2, batch_first=True, seed=0), Last(), Linear(2, 1, seed=0))
    trainer = Trainer(
        model, loss="mae", clip_norm=1.5, callbacks=[EarlyStopping(monitor="loss")]
    )
    trainer.fit(np.ones((4, 3, 1)), np.ones((4, 1)), epochs=2, batch_size=4, progress=False)
    assert repr(trainer) == (
        f"Trainer({model!r}, loss=mae, optimizer=Adam(learning_rate=0.001), clip_norm=1.5, "
        "callbacks=[EarlyStopping], epochs_trained=2)"
    )
    rows = cells(parsed(trainer))
    assert ["optimizer", "Adam(learning_rate=0.001)"] in rows and [
        "epochs_trained",
        "2",
    ] in rows
    assert any("Linear" in row[1] for row in rows)
    assert "clip_norm" not in repr(Trainer(model))


def test_a_stream():
    gru = GRU(1, 2, seed=0)
    assert repr(gru.stream()) == f"Stream({gru!r})"
    assert repr(gru.stream(3)) == f"Stream({gru!r}, batch=3)"
    assert ["shape of the state", "(1, 3, 2)"] in cells(parsed(gru.stream(3)))


def test_estimators_keep_the_html_of_scikit_learn():
    pytest.importorskip("sklearn", minversion="1.6")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from pygru.sklearn import GRUClassifier

    if locale.getpreferredencoding(False).lower() not in ("utf-8", "utf8"):
        pytest.skip("scikit-learn reads its own style sheet in the encoding of the locale")
    classifier = GRUClassifier(8)
    for shown in (classifier, make_pipeline(FunctionTransformer(), classifier)):
        html = shown._repr_html_()
        assert "GRUClassifier" in html and "sk-" in html
    classifier.fit(np.zeros((4, 3, 1)), [0, 1, 0, 1])
    assert "GRUClassifier" in classifier._repr_html_()


def test_a_forecaster_and_its_backtest():
    pytest.importorskip("pandas")
    from pygru.forecasting import GRUForecaster

    forecaster = GRUForecaster(horizon=2, hidden_size=3, epochs=1, seed=0, progress=False)
    assert ["hidden_size", "3"] in cells(parsed(forecaster))
    forecaster.fit(np.sin(np.arange(60.0)))
    rows = cells(parsed(forecaster))
    assert ["hidden_size", "3"] in rows
    assert any("GRU(" in row[1] for row in rows)
    summary = forecaster.model_.summary()
    assert [part.name for part in summary.parts] == ["gru", "linear", "autoregression.0"]
    assert summary.parameter_count == forecaster.model_.parameter_count
    html = forecaster.backtest(np.sin(np.arange(80.0)), start=60)._repr_html_()
    assert "origins" in html and "MASE" in html and "<script" not in html


# ---- histories -------------------------------------------------------------------------------

RECORDS = [{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0, "val_loss": 0.123456}]


def test_a_history_by_names_and_by_epochs():
    history = History(RECORDS)
    assert history["loss"] == [2.0, 1.0] and history["val_loss"] == [0.123456]
    assert history[-1] == RECORDS[-1] and history[np.int64(0)] == RECORDS[0]
    assert history[:1] == RECORDS[:1]
    assert list(history) == RECORDS
    assert history.names == ["epoch", "loss", "val_loss"]
    with pytest.raises(
        KeyError, match="history has no 'accuracy'; it has epoch, loss, val_loss"
    ):
        history["accuracy"]
    with pytest.raises(IndexError):
        history[2]


def test_a_history_is_a_table():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(History(RECORDS))
    assert list(frame.columns) == ["epoch", "loss", "val_loss"]
    assert frame["loss"].tolist() == [2.0, 1.0]
    assert np.isnan(frame["val_loss"][0])
    assert pandas.DataFrame(History()).empty


def test_a_history_in_a_notebook():
    rows = cells(parsed(History(RECORDS)))
    assert rows == [["epoch", "loss", "val_loss"], ["0", "2", ""], ["1", "1", "0.1235"]]
    long = History([{"epoch": epoch, "loss": float(epoch)} for epoch in range(1000)])
    rows = cells(parsed(long))
    assert len(rows) == 22
    assert rows[1][0] == "0" and rows[11] == ["…", "…"] and rows[-1][0] == "999"
    parsed(History())


# ---- tables, and the names of the package ----------------------------------------------------


def test_columns_of_text():
    table = text_table(["a", "n"], [["long name", "1"], ["b", "1,000"]], [LEFT, RIGHT])
    assert table == "a              n\nlong name      1\nb          1,000"


def test_dir_shows_public_names_only(tmp_path):
    code = (
        "import pygru\n"
        "names = [name for name in dir(pygru) if not name.startswith('__')]\n"
        "assert sorted(pygru.__all__) == names, set(names) ^ set(pygru.__all__)\n"
        "assert '__version__' in dir(pygru)"
    )
    done = run_program(code, tmp_path)
    assert done.returncode == 0, done.stderr
