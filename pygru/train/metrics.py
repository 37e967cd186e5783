"""Metrics: numbers such as the accuracy that a trainer reports beside the loss.

Here a user's argument ``metrics`` becomes a list of :class:`Metric`, and the metrics that work
without scikit-learn are defined. What they are computed from is collected in
:mod:`pygru.train.outputs`; scikit-learn's scorers are asked in :mod:`pygru.train.scorers`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pygru.core import validation
from pygru.train.descriptions import describe_function
from pygru.train.loss_kinds import Kind, has_parameter, kind_of
from pygru.train.outputs import Rows, labels_of
from pygru.typing import Floats

#: Names that an epoch has already.
TAKEN = ("epoch", "loss", "learning_rate", "seconds", "sequences")


class Metric(NamedTuple):
    """One metric of a trainer."""

    name: str
    compute: Callable[[Rows, Kind, NDArray[Any] | None], float]  # the last are the classes
    greater_is_better: bool | None  # None if nobody knows
    needs_outputs: bool = False  # whether the chosen classes are not enough


def metrics_of(metrics: Any, loss: Any) -> list[Metric]:
    """Return the metrics that a user asks for.

    Parameters
    ----------
    metrics : iterable of str or callable, or mapping of str to str or callable
    loss : callable
        The loss of the trainer, which says what a prediction is.

    Raises
    ------
    ImportError
        If a name needs scikit-learn, which is not installed.
    TypeError, ValueError
        If something is no metric, does not fit the loss, or has the name of another number.
    """
    if isinstance(metrics, (str, bytes)) or callable(metrics):
        raise TypeError(
            f"metrics must be a list of names or functions, got a single "
            f"{validation.type_name(metrics)}"
        )
    if isinstance(metrics, Mapping):
        given = list(metrics.items())
    elif isinstance(metrics, Iterable):
        given = [(_name_of(each, index), each) for index, each in enumerate(metrics)]
    else:
        raise TypeError(
            f"metrics must be a list of names or functions, got {validation.type_name(metrics)}"
        )
    found: list[Metric] = []
    for name, each in given:
        _check_name(name, [metric.name for metric in found])
        found.append(_metric(name, each, kind_of(loss)))
    return found


def check_metrics(metrics: Any) -> None:
    """Raise unless the metrics of a pickled trainer are what :func:`metrics_of` returns."""
    if not isinstance(metrics, (list, tuple)) or not all(
        isinstance(each, Metric)
        and isinstance(each.name, str)
        and callable(each.compute)
        and each.greater_is_better in (None, True, False)
        for each in metrics
    ):
        raise TypeError(f"metrics must be a list of Metrics, got {validation.shown(metrics)}")


def _name_of(metric: Any, index: int) -> str:
    if isinstance(metric, str):
        return metric
    while isinstance(metric, functools.partial):
        metric = metric.func
    name: str | None = getattr(metric, "__name__", None)
    if name is None or not name.isidentifier():  # a lambda, a scorer or another object
        raise ValueError(
            f"metrics[{index}] has no name of its own, got {describe_function(metric)}; pass a "
            "mapping of names to functions"
        )
    return name


def _check_name(name: Any, others: list[str]) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a metric must be a str, got {validation.type_name(name)}")
    if name in TAKEN or name.startswith("val_") or not name:
        raise ValueError(f"a metric cannot have the name {name!r}")
    if name in others:
        raise ValueError(f"metrics has the name {name!r} twice; pass a mapping to name them")


def _metric(name: str, metric: Any, kind: Kind) -> Metric:
    if isinstance(metric, str):
        known = BUILT_IN.get(metric)
        if known is None:
            return _scorer(name, metric, _scorer_of(metric))
        if kind not in known.kinds:
            raise ValueError(
                f"the metric {metric!r} does not fit the loss; it needs "
                f"{' or '.join(known.losses)}. For a loss of your own, or quantiles, pass a "
                "function (y_true, y_pred) -> float"
            )
        return Metric(name, known.compute, known.greater_is_better)
    if not callable(metric):
        raise TypeError(
            f"metrics: {name} must be a str or a function, got {validation.type_name(metric)}"
        )
    if _is_scorer(metric):
        return _scorer(name, metric, metric)
    compute = functools.partial(_call, name, metric, has_parameter(metric, "sample_weight"))
    return Metric(name, compute, None, needs_outputs=kind not in ("classes", "binary"))


def _call(
    name: str,
    metric: Callable[..., Any],
    takes_weights: bool,
    rows: Rows,
    kind: Kind,
    classes: NDArray[Any] | None,
) -> float:
    """Return what a function of the user's says."""
    true, predicted = labels_of(rows, kind, classes)
    options = {}
    if rows.weights is not None and takes_weights:
        options["sample_weight"] = rows.weights
    return checked(name, metric(true, predicted, **options))


def checked(name: str, value: Any) -> float:
    """Return the value of a metric as a float."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)):
        value = float(value)
    return validation.check_number(f"the metric {name}", value)


# ---- scikit-learn's ------------------------------------------------------------------------


def _is_scorer(metric: Any) -> bool:
    """Whether a function is called as ``(estimator, X, y)``, as scikit-learn's scorers are."""
    try:
        return next(iter(inspect.signature(metric).parameters), None) == "estimator"
    except (TypeError, ValueError):
        return False


def _scorer_of(name: str) -> Any:
    """The scorer of a name."""
    try:
        from sklearn.metrics import get_scorer, get_scorer_names
    except ImportError as error:
        raise ImportError(
            f"the metric {name!r} is none of pygru's own, {', '.join(BUILT_IN)}; those of "
            'scikit-learn need it, install it with  pip install "pygru[sklearn]"'
        ) from error
    names = get_scorer_names()
    if name not in names:
        raise ValueError(
            f"metrics must be among {', '.join(BUILT_IN)} or the names of scikit-learn's "
            f"scorers, got {validation.unexpected_key(name, [*BUILT_IN, *names])}"
        )
    return get_scorer(name)


def _scorer(name: str, given: Any, scorer: Any) -> Metric:
    # A larger score is better, by scikit-learn's rule, if it has the scorer's name.
    better = True if isinstance(given, str) else None
    return Metric(name, functools.partial(_ask, name, scorer), better, needs_outputs=True)


def _ask(name: str, scorer: Any, rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> float:
    """Return what a scorer says."""
    from pygru.train.scorers import score  # needs scikit-learn

    return checked(name, score(scorer, rows, kind, classes))


# ---- without scikit-learn ------------------------------------------------------------------


class _BuiltIn(NamedTuple):
    compute: Callable[[Rows, Kind, NDArray[Any] | None], float]
    kinds: tuple[Kind, ...]
    losses: tuple[str, ...]
    greater_is_better: bool


def _mean(values: NDArray[Any], weights: Floats | None) -> float:
    """The weighted mean over rows of values that are averaged over their columns."""
    per_row = values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)
    if not len(per_row) or (weights is not None and not weights.any()):
        return float("nan")
    return float(np.average(per_row, weights=weights))


def _accuracy(rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> float:
    true, predicted = labels_of(rows, kind, None)
    equal = true == predicted
    if kind == "binary" and true.size and not np.isin(true, (0, 1)).all():
        raise ValueError("the metric accuracy needs targets that are 0 or 1")
    if equal.ndim == 2:  # several targets of one sample: all of them must be right
        equal = equal.all(axis=1)
    return _mean(equal, rows.weights)


def _differences(rows: Rows) -> Floats:
    result: Floats = np.subtract(rows.output, rows.target, dtype=np.float64)
    return result


def _mae(rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> float:
    return _mean(np.abs(_differences(rows)), rows.weights)


def _mse(rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> float:
    return _mean(_differences(rows) ** 2, rows.weights)


def _rmse(rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> float:
    return float(np.sqrt(_mse(rows, kind, classes)))


def _r2(rows: Rows, kind: Kind, classes: NDArray[Any] | None) -> float:
    """The mean over outputs of ``1 - squares / squares of a constant``, as scikit-learn's."""
    target = rows.target.reshape(len(rows.target), -1).astype(np.float64)
    weights = np.ones(len(target)) if rows.weights is None else rows.weights
    if len(target) < 2 or not weights.any():
        return float("nan")
    errors = weights @ _differences(rows).reshape(target.shape) ** 2
    spread = weights @ (target - np.average(target, axis=0, weights=weights)) ** 2
    safe = np.where(spread > 0, spread, 1)
    scores = np.where(spread > 0, 1 - errors / safe, np.where(errors > 0, 0.0, 1.0))
    return float(scores.mean())


_CLASSES: tuple[Kind, ...] = ("classes", "binary")
_OF_CLASSES = "loss='cross_entropy'", "'bce_with_logits'"
_OF_VALUES = "loss='mse'", "'mae'", "'huber'"

BUILT_IN = {
    "accuracy": _BuiltIn(_accuracy, _CLASSES, _OF_CLASSES, True),
    "mae": _BuiltIn(_mae, ("values",), _OF_VALUES, False),
    "mse": _BuiltIn(_mse, ("values",), _OF_VALUES, False),
    "rmse": _BuiltIn(_rmse, ("values",), _OF_VALUES, False),
    "r2": _BuiltIn(_r2, ("values",), _OF_VALUES, True),
}
