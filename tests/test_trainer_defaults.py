"""What ``Trainer.fit`` does if nothing is said, and numbers that are too large for it."""

import numpy as np
import pytest

from pygru import (
    GRU,
    Callback,
    Last,
    Linear,
    Sequential,
    Trainer,
    find_learning_rate,
    schedules,
)

HUGE = [2**53 + 1, 2**63, 10**30, 2**4095]


def trainer_of(*callbacks):
    model = Sequential(GRU(1, 3, batch_first=True, seed=0), Last(), Linear(3, 1, seed=0))
    return Trainer(model, callbacks=callbacks, seed=0)


class Sizes(Callback):
    def __init__(self):
        self.sizes = []

    def on_batch_end(self, trainer, loss, sequences):
        self.sizes.append(sequences)


@pytest.mark.parametrize(("samples", "sizes"), [(70, [32, 32, 6]), (32, [32]), (5, [5])])
def test_one_epoch_of_batches_of_32(samples, sizes):
    """As in Keras; fewer samples than that are one batch, without a warning."""
    seen = Sizes()
    X = np.ones((samples, 4, 1))
    history = trainer_of(seen).fit(X, X[:, 0])
    assert len(history) == 1 and seen.sizes == sizes


def test_the_default_is_the_same_training():
    X = np.random.default_rng(0).standard_normal((40, 4, 1))
    default, said = trainer_of(), trainer_of()
    default.fit(X, X[:, 0])
    said.fit(X, X[:, 0], epochs=1, batch_size=32)
    for name, view in said.model.parameters.items():
        np.testing.assert_array_equal(default.model.parameters[name], view)


@pytest.mark.parametrize("count", HUGE, ids=lambda n: f"{n.bit_length()} bits")
@pytest.mark.parametrize("name", ["epochs", "initial_epoch"])
def test_too_many_epochs_are_refused(name, count):
    X = np.ones((4, 3, 1))
    arguments = {"epochs": 1, name: count}
    with pytest.raises(ValueError, match=rf"{name} must be at most 2\*\*53, got"):
        trainer_of().fit(X, X[:, 0], **arguments)


def test_as_many_epochs_as_can_be_counted_until_a_callback_stops():
    class Stop(Callback):
        def on_epoch_end(self, trainer, record):
            trainer.stop = True

    X = np.ones((4, 3, 1))
    history = trainer_of(Stop()).fit(X, X[:, 0], epochs=2**53, progress=True)
    assert history["epoch"] == [0]


@pytest.mark.parametrize("count", HUGE, ids=lambda n: f"{n.bit_length()} bits")
@pytest.mark.parametrize(
    "call",
    [
        lambda n: schedules.cosine(0.1, total_steps=n),
        lambda n: schedules.one_cycle(0.1, total_steps=n),
        lambda n: schedules.step(0.1, step_size=n),
        lambda n: schedules.warmup(0.1, warmup_steps=n),
        lambda n: schedules.cosine(0.1, 5)(n),
        lambda n: schedules.step(0.1, 5)(n),
        lambda n: find_learning_rate(trainer_of(), np.ones((4, 3, 1)), np.ones(4), steps=n),
    ],
)
def test_too_many_steps_are_refused(call, count):
    with pytest.raises(ValueError, match=r"must be at most 2\*\*53, got"):
        call(count)
