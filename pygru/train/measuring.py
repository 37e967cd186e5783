"""Measures the loss and the metrics of a model on data, without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from pygru.train.batches import BatchStream
from pygru.train.datasets import Data
from pygru.train.evaluation import Loss, evaluate_loss, mean, predict_batches
from pygru.train.metrics import Metric
from pygru.train.outputs import Collector, Rows, joined
from pygru.train.ranks import Alone
from pygru.train.windows import Window


class Measure:
    """The loss and the metrics of a trainer.

    Parameters
    ----------
    loss : callable
    metrics : sequence of Metric
    classes : ndarray or None
        The labels of the model's outputs.
    team : Alone
        The ranks that measure together, each on its share of the data.

    Attributes
    ----------
    collector : Collector or None
        What makes rows for the metrics; None if there are none.
    """

    def __init__(
        self,
        loss: Loss,
        metrics: Sequence[Metric],
        classes: NDArray[Any] | None,
        team: Alone,
    ) -> None:
        self.loss = loss
        self.metrics = metrics
        self.classes = classes
        self.team = team
        self.collector: Collector | None = None
        if metrics:
            keeps_outputs = any(metric.needs_outputs for metric in metrics)
            self.collector = Collector(loss, keeps_outputs=keeps_outputs)

    def metrics_of(self, parts: Sequence[Rows]) -> dict[str, float]:
        """Return the metrics of all rows by name; NaN without any row."""
        if self.collector is None:
            return {}
        if not any(len(part.target) for part in parts):
            return {metric.name: float("nan") for metric in self.metrics}
        rows, values = joined(parts), {}
        for metric in self.metrics:
            try:
                values[metric.name] = metric.compute(rows, self.collector.kind, self.classes)
            except Exception as error:
                error.add_note(f"This happened in the metric {metric.name!r}.")
                raise
        return values

    def on(self, model: Any, data: Data | BatchStream, batch_size: int) -> dict[str, float]:
        """Return the mean loss and the metrics on data; NaN for metrics if nothing counts."""
        total = total_weight = 0.0
        parts: list[Rows] = []
        share, is_empty = self.team.share_of(data), True
        for prediction, batch, mask in predict_batches(
            model, share, batch_size, may_be_empty=self.team.size > 1
        ):
            is_empty = False
            y, lengths, weights = batch.y, batch.lengths, batch.weights
            if model.predicts_steps and Window(None, y, lengths, 0, True).is_empty:
                continue
            value, _, weight = evaluate_loss(self.loss, prediction, y, lengths, weights, mask)
            if weight > 0:
                total, total_weight = total + value * weight, total_weight + weight
            if self.collector is not None:
                parts.append(self.collector.rows(prediction, y, lengths, weights, mask))
        own = (total, total_weight, joined(parts) if parts else None, is_empty)
        totals, weights, rows, empty = zip(
            *self.team.gather(own, "the end of validation"), strict=True
        )
        if all(empty) and isinstance(data, BatchStream):
            raise data.no_batch(0)
        counted = [each for each in rows if each is not None and sum(weights) > 0]
        measured = self.metrics_of(counted)
        return {"loss": mean(sum(totals), sum(weights)), **measured}
