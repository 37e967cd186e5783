"""Learning rates that change with the number of the step.

A schedule is a function of the step number, which is counted from 0, and depends on nothing
else. So an optimiser can continue if it knows how many steps it has made. You can also give any
other function from int to float to an optimiser.

>>> import pygru
>>> optimizer = pygru.Adam(pygru.schedules.cosine(1e-3, total_steps=1000))
>>> optimizer
Adam(learning_rate=cosine(0.001, total_steps=1000, min_lr=0.0))
>>> optimizer.next_learning_rate
0.001
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pygru.core import validation
from pygru.core.pickled import CheckedState
from pygru.train.descriptions import describe_function


class Schedule(CheckedState):
    """A function of the step number; made by the functions of this module.

    Parameters
    ----------
    formula : callable
        ``formula(number, *arguments.values())`` is the rate of step ``number``.
    arguments : dict
        The arguments with which the schedule was made, by name.
    """

    has_stable_repr = True  # no address in it, also if an argument is a function

    def __init__(self, formula: Callable[..., float], arguments: Mapping[str, Any]):
        if not callable(formula):
            raise TypeError(f"formula must be a function, got {validation.type_name(formula)}")
        validation.check_mapping("arguments", arguments, "values")
        self._formula = formula
        self._arguments = dict(arguments)

    def _restore(self) -> None:
        """Let the function that makes such schedules check the arguments of a state."""
        for make, formula in MADE_BY.items():
            if formula is self._formula:
                found, made = self._arguments, make(**self._arguments)._arguments
                if list(found.items()) != list(made.items()):  # they are passed in this order
                    raise ValueError(f"the arguments must be {made}, got {found}")

    def __call__(self, step: int) -> float:
        """Return the learning rate of one step, counted from 0."""
        return self._formula(validation.check_count("step", step, 0), *self._arguments.values())

    def __repr__(self) -> str:
        values = {
            name: describe_function(value) if callable(value) else repr(value)
            for name, value in self._arguments.items()
        }
        first, *others = values.items()
        options = [first[1], *(f"{name}={value}" for name, value in others)]
        return f"{self._formula.__name__.lstrip('_')}({', '.join(options)})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Schedule)
            and self._formula is other._formula
            and self._arguments == other._arguments
        )

    def __hash__(self) -> int:
        return hash((self._formula, *self._arguments.values()))


def step(learning_rate: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """Multiply the rate by ``gamma`` after every ``step_size`` steps.

    Parameters
    ----------
    learning_rate : float
        The rate of the first steps.
    step_size : int
        Steps between two changes.
    gamma : float
        In [0, 1].

    Returns
    -------
    Schedule

    Examples
    --------
    >>> from pygru import schedules
    >>> rate = schedules.step(0.5, step_size=10, gamma=0.5)
    >>> [rate(9), rate(10), rate(20)]
    [0.5, 0.25, 0.125]
    """
    arguments = {
        "learning_rate": validation.check_positive("learning_rate", learning_rate),
        "step_size": validation.check_count("step_size", step_size, 1),
        "gamma": validation.check_fraction("gamma", gamma),
    }
    return Schedule(_step, arguments)


def _step(number: int, learning_rate: float, step_size: int, gamma: float) -> float:
    return learning_rate * gamma ** (number // step_size)


def cosine(learning_rate: float, total_steps: int, min_lr: float = 0.0) -> Schedule:
    """Let the rate fall along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).

    ``min_lr + (learning_rate - min_lr) * (1 + cos(pi * step / total_steps)) / 2``

    Parameters
    ----------
    learning_rate : float
        The rate of the first step.
    total_steps : int
        From this step on the rate is ``min_lr``.
    min_lr : float
        The last rate.

    Returns
    -------
    Schedule

    Examples
    --------
    >>> from pygru import schedules
    >>> rate = schedules.cosine(1.0, total_steps=100)
    >>> [round(rate(number), 3) for number in (0, 25, 50, 100, 1000)]
    [1.0, 0.854, 0.5, 0.0, 0.0]
    """
    arguments = {
        "learning_rate": validation.check_positive("learning_rate", learning_rate),
        "total_steps": validation.check_count("total_steps", total_steps, 1),
        "min_lr": validation.check_not_negative("min_lr", min_lr),
    }
    return Schedule(_cosine, arguments)


def _cosine(number: int, learning_rate: float, total_steps: int, min_lr: float) -> float:
    return _between(learning_rate, min_lr, min(number / total_steps, 1.0))


def _between(first: float, last: float, share: float) -> float:
    """Go from ``first`` at share 0 to ``last`` at share 1 along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def warmup(schedule: float | Callable[[int], float], warmup_steps: int) -> Schedule:
    """Let the rate rise linearly to the first rate of a schedule, and then follow it.

    The rate of step k < ``warmup_steps`` is (k + 1) / (warmup_steps + 1) of the schedule's
    first rate. The schedule counts its steps from the end of the rise.

    Parameters
    ----------
    schedule : float or callable
        The rate after the rise.
    warmup_steps : int
        Number of steps of the rise.

    Returns
    -------
    Schedule

    Examples
    --------
    >>> from pygru import schedules
    >>> rate = schedules.warmup(schedules.step(1.0, step_size=2), warmup_steps=3)
    >>> [rate(number) for number in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.1]
    """
    if not callable(schedule):
        schedule = validation.check_positive("schedule", schedule)
    arguments = {
        "schedule": schedule,
        "warmup_steps": validation.check_count("warmup_steps", warmup_steps, 0),
    }
    return Schedule(_warmup, arguments)


def _warmup(number: int, schedule: float | Callable[[int], float], warmup_steps: int) -> float:
    after = max(number - warmup_steps, 0)
    rate = schedule(after) if callable(schedule) else schedule
    return rate * min((number + 1) / (warmup_steps + 1), 1.0)


def one_cycle(
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    *,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Let the rate rise and fall once (Smith and Topin 2019, arXiv:1708.07120).

    The rates are those of PyTorch's ``OneCycleLR``; momentum does not change. The rate rises
    along half a cosine from ``max_lr / div_factor`` to ``max_lr``. Then it falls along another
    half cosine to ``max_lr / div_factor / final_div_factor``, the rate of step
    ``total_steps - 1``.

    Parameters
    ----------
    max_lr : float
        The largest rate.
    total_steps : int
        Steps of the whole cycle. After that the rate remains the last one.
    pct_start : float
        The part of the cycle, in (0, 1), in which the rate rises.
    div_factor, final_div_factor : float
        The largest rate divided by the first one, and the first rate divided by the last one.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If the rise or the fall is shorter than one step.

    Examples
    --------
    >>> from pygru import schedules
    >>> rate = schedules.one_cycle(1.0, total_steps=10)
    >>> [round(rate(number), 4) for number in (0, 1, 2, 9)]
    [0.04, 0.52, 1.0, 0.0]
    """
    arguments = {
        "max_lr": validation.check_positive("max_lr", max_lr),
        "total_steps": validation.check_count("total_steps", total_steps, 3),
        "pct_start": validation.check_fraction("pct_start", pct_start),
        "div_factor": validation.check_positive("div_factor", div_factor),
        "final_div_factor": validation.check_positive("final_div_factor", final_div_factor),
    }
    peak = arguments["pct_start"] * arguments["total_steps"] - 1
    if not 0 < peak < arguments["total_steps"] - 1:
        raise ValueError(
            f"pct_start must leave a step for the rise and one for the fall, got {pct_start} "
            f"of total_steps={total_steps}"
        )
    return Schedule(_one_cycle, arguments)


def _one_cycle(
    number: int,
    max_lr: float,
    total_steps: int,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
) -> float:
    first = max_lr / div_factor
    peak, end = pct_start * total_steps - 1, total_steps - 1
    if number <= peak:
        return _between(first, max_lr, number / peak)
    return _between(max_lr, first / final_div_factor, min((number - peak) / (end - peak), 1.0))


#: The formula of the schedules that each function makes.
MADE_BY: dict[Callable[..., Schedule], Callable[..., float]] = {
    step: _step,
    cosine: _cosine,
    warmup: _warmup,
    one_cycle: _one_cycle,
}
