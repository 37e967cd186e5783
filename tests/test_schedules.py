"""Schedules: tables by hand, the rates of PyTorch, and an optimiser that follows a schedule."""

import copy
import functools
import math
import pickle

import numpy as np
import pytest

from pygru import SGD, Adam, Linear, schedules


def rates(schedule, count):
    return [schedule(number) for number in range(count)]


def test_step_by_hand():
    expected = [0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.02]
    assert rates(schedules.step(0.5, 3, gamma=0.2), 7) == pytest.approx(expected, rel=1e-14)


def test_cosine_by_hand():
    root = math.sqrt(2) / 2
    expected = [5, 3 + 2 * root, 3, 3 - 2 * root, 1, 1, 1]
    assert rates(schedules.cosine(5, 4, min_lr=1), 7) == pytest.approx(expected, rel=1e-14)


def test_warmup_by_hand():
    inner = schedules.step(0.8, 2, gamma=0.5)
    expected = [0.2, 0.4, 0.6, 0.8, 0.8, 0.4, 0.4, 0.2]
    assert rates(schedules.warmup(inner, 3), 8) == pytest.approx(expected, rel=1e-14)
    assert rates(schedules.warmup(0.3, 2), 4) == pytest.approx([0.1, 0.2, 0.3, 0.3], rel=1e-14)
    assert rates(schedules.warmup(inner, 0), 5) == rates(inner, 5)


def test_one_cycle_by_hand():
    """Rise over steps 0 to 2, fall over steps 2 to 9."""
    fall = [0.5 + 0.5 * math.cos(math.pi * k / 7) for k in range(8)]
    expected = [0.25, (0.25 + 1) / 2, *(0.05 + 0.95 * share for share in fall), 0.05, 0.05]
    schedule = schedules.one_cycle(1.0, 10, div_factor=4, final_div_factor=5)
    assert rates(schedule, 12) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", ["step", "cosine", "one_cycle"])
def test_rates_are_those_of_torch(name):
    lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    ours, theirs = {
        "step": (schedules.step(0.3, 4, 0.5), lambda o: lr_scheduler.StepLR(o, 4, 0.5)),
        "cosine": (
            schedules.cosine(0.3, 20, 0.01),
            lambda o: lr_scheduler.CosineAnnealingLR(o, 20, 0.01),
        ),
        "one_cycle": (
            schedules.one_cycle(0.3, 21, 0.37),
            lambda o: lr_scheduler.OneCycleLR(o, 0.3, 21, pct_start=0.37),
        ),
    }[name]
    scheduler, expected = theirs(optimizer), []
    for _ in range(20):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates(ours, 20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (schedules.step(0.5, 3), "step(0.5, step_size=3, gamma=0.1)"),
        (
            schedules.warmup(schedules.cosine(1, 9), 2),
            "warmup(cosine(1.0, total_steps=9, min_lr=0.0), warmup_steps=2)",
        ),
        (
            schedules.one_cycle(1, 10),
            "one_cycle(1.0, total_steps=10, pct_start=0.3, div_factor=25.0, "
            "final_div_factor=10000.0)",
        ),
    ],
)
def test_a_repr_says_how_to_make_it_and_copies_agree(schedule, text):
    assert repr(schedule) == text
    for other in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule)):
        assert other == schedule
        assert rates(other, 12) == rates(schedule, 12)
    assert schedule != schedules.step(0.5, 4)


def test_an_optimizer_follows_its_schedule():
    """Without momentum each step of SGD is the rate times the gradient."""
    linear = Linear(2, 3, bias=False, dtype="float64", seed=0)
    optimizer = SGD(schedules.warmup(schedules.cosine(0.4, 4), 2))
    for rate in rates(optimizer.learning_rate, 7):
        before = linear.flat_parameters.copy()
        linear.flat_grads[:] = 1.0
        assert optimizer.next_learning_rate == rate
        optimizer.step(linear)
        np.testing.assert_allclose(
            before - linear.flat_parameters, rate, rtol=1e-12, atol=1e-15
        )


def test_the_count_of_steps_is_all_that_a_schedule_needs():
    linear, optimizer = Linear(1, 1), Adam(schedules.cosine(0.4, 4))
    optimizer.step(linear)
    optimizer.step(linear)
    state = optimizer.state_dict()
    assert state["learning_rate"] is None
    restored = Adam(schedules.cosine(0.4, 4))
    restored.load_state_dict(state)
    assert restored.next_learning_rate == schedules.cosine(0.4, 4)(2)
    with pytest.raises(ValueError, match="a schedule in one and a number in the other"):
        Adam(0.1).load_state_dict(state)


def test_any_function_of_the_step_will_do():
    optimizer = SGD(lambda number: 1 / (1 + number))
    optimizer.step(Linear(1, 1))
    assert optimizer.next_learning_rate == 0.5
    bad = SGD(lambda number: -1.0)
    linear = Linear(1, 1, seed=0)
    before = linear.flat_parameters.copy()
    with pytest.raises(ValueError, match="learning_rate must be a finite number >= 0, got -1"):
        bad.step(linear)
    assert np.array_equal(linear.flat_parameters, before)
    assert bad.steps == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: schedules.step(0, 3), ValueError, "learning_rate must be a finite number > 0"),
        (lambda: schedules.step(1, 0), ValueError, "step_size must be >= 1, got 0"),
        (lambda: schedules.step(1, 3, 2.0), ValueError, r"gamma must be a number in \[0, 1\]"),
        (lambda: schedules.cosine(1, 2.5), TypeError, "total_steps must be an int"),
        (lambda: schedules.cosine(1, 5, -1), ValueError, "min_lr must be a finite number >= 0"),
        (lambda: schedules.warmup(-1, 5), ValueError, "schedule must be a finite number > 0"),
        (lambda: schedules.warmup(1, -1), ValueError, "warmup_steps must be >= 0, got -1"),
        (lambda: schedules.one_cycle(1, 10, 0.1), ValueError, "pct_start must leave a step"),
        (lambda: schedules.one_cycle(1, 10, 1.0), ValueError, "pct_start must leave a step"),
        (lambda: schedules.one_cycle(1, 10, div_factor=0), ValueError, "div_factor must be"),
        (lambda: schedules.step(1, 3)(-1), ValueError, "step must be >= 0, got -1"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_functions_in_a_text_have_names_and_no_addresses():
    def own(number):
        return 0.1

    class Rate:
        def __call__(self, number):
            return 0.1

        def method(self, number):
            return 0.1

    nested = schedules.warmup(schedules.warmup(own, 2), 3)
    assert repr(nested).startswith("warmup(warmup(test_functions_in")
    for rate in (own, Rate(), Rate().method, functools.partial(own, 3)):
        texts = [repr(schedules.warmup(rate, 2)), repr(Adam(rate))]
        assert all("0x" not in text for text in texts)
    assert repr(schedules.warmup(0.5, 2)) == "warmup(0.5, warmup_steps=2)"


def test_equal_schedules_have_equal_formulas_and_arguments():
    def one(number):
        return 0.1

    def other(number):
        return 0.2

    other.__qualname__ = one.__qualname__
    assert schedules.warmup(one, 2) == schedules.warmup(one, 2)
    assert hash(schedules.warmup(one, 2)) == hash(schedules.warmup(one, 2))
    assert schedules.warmup(one, 2) != schedules.warmup(other, 2)
    assert schedules.step(0.1, 2) != schedules.step(0.1, 3) != "step"
