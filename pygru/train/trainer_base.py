"""What a trainer does without training: it measures its model on data, and predicts.

:class:`pygru.Trainer` adds the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

from numpy.typing import ArrayLike, NDArray

from pygru.core import threads
from pygru.core.hints import NamedArguments
from pygru.core.validation import check_bool, check_int
from pygru.train.batches import BatchStream, gives_batches
from pygru.train.datasets import Data
from pygru.train.descriptions import describe_function
from pygru.train.evaluation import Loss
from pygru.train.loss_kinds import kind_of
from pygru.train.measuring import Measure
from pygru.train.metrics import Metric
from pygru.train.prediction import chosen_classes, outputs_of
from pygru.train.ranks import Alone
from pygru.train.reading import Reader
from pygru.train.scan import WHOLE, Share
from pygru.train.state import TrainingState
from pygru.typing import Floats


class TrainerBase(NamedArguments):
    """Base class of :class:`pygru.Trainer`: everything that changes no weight.

    Attributes
    ----------
    loss : callable
    metrics : sequence of Metric
    n_threads : int or None
    """

    loss: Loss
    metrics: Sequence[Metric]
    n_threads: int | None
    _state: TrainingState

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._state.model

    def _reader(self, bptt_steps: int | None = None, share: Share = WHOLE) -> Reader:
        classes = self._state.classes
        return Reader(self.model, self.loss, classes, bptt_steps, share)

    @overload
    def evaluate(
        self,
        X: Any,
        y: Any = None,
        *,
        lengths: ArrayLike | Mapping[str, Any] | None = None,
        sample_weight: Any = None,
        mask: Any = None,
        reset: Any = None,
        batch_size: int = 256,
        return_dict: Literal[False] = False,
    ) -> float: ...

    @overload
    def evaluate(
        self,
        X: Any,
        y: Any = None,
        *,
        lengths: ArrayLike | Mapping[str, Any] | None = None,
        sample_weight: Any = None,
        mask: Any = None,
        reset: Any = None,
        batch_size: int = 256,
        return_dict: Literal[True],
    ) -> dict[str, float]: ...

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        *,
        lengths: ArrayLike | Mapping[str, Any] | None = None,
        sample_weight: Any = None,
        mask: Any = None,
        reset: Any = None,
        batch_size: int = 256,
        return_dict: bool = False,
    ) -> float | dict[str, float]:
        """Return the mean loss on data, and the metrics if asked for, without training.

        Parameters
        ----------
        X, y, lengths, sample_weight, mask, reset, batch_size
            As for :meth:`fit`, but a rank with a communicator works alone here.
        return_dict : bool
            Whether to return the metrics too.

        Returns
        -------
        float or dict
            The loss; or with ``return_dict`` the ``"loss"`` and the metrics by name.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU, Last, Linear, Sequential, Trainer
        >>> X = np.zeros((4, 5, 1))
        >>> model = Sequential(GRU(1, 2, batch_first=True), Last(), Linear(2, 1), seed=0)
        >>> trainer = Trainer(model, metrics=["mae", "r2"])
        >>> list(trainer.evaluate(X, [1.0, 2.0, 3.0, 4.0], return_dict=True))
        ['loss', 'mae', 'r2']
        """
        return_dict = check_bool("return_dict", return_dict)
        batch_size = check_int("batch_size", batch_size, 1)
        n_threads = threads.resolve(self.n_threads)
        with threads.single_threaded_blas(), threads.num_threads(n_threads):
            data: Data | BatchStream
            if gives_batches(X, y):
                data = self._reader().stream(
                    X,
                    y=y,
                    lengths=lengths,
                    sample_weight=sample_weight,
                    mask=mask,
                    reset=reset,
                )
            else:
                data = self._reader().read(X, y, lengths, sample_weight, mask, reset)
            metrics = self.metrics if return_dict else []
            measure = Measure(self.loss, metrics, self._state.classes, Alone())
            measured = measure.on(self.model, data, batch_size)
        return measured if return_dict else measured["loss"]

    def predict(
        self,
        X: Any,
        *,
        lengths: ArrayLike | Mapping[str, Any] | None = None,
        mask: Any = None,
        reset: Any = None,
        batch_size: int = 256,
    ) -> Floats | list[Floats]:
        """Return the model's output for all samples, without dropout.

        :func:`pygru.predict` does the same for data larger than memory.

        Parameters
        ----------
        X, lengths, mask, reset, batch_size
            As for :meth:`fit`.

        Returns
        -------
        ndarray or list of ndarray
            One row per sample; a list if the outputs differ in length.
        """
        batch_size = check_int("batch_size", batch_size, 1)
        n_threads = threads.resolve(self.n_threads)
        with threads.single_threaded_blas(), threads.num_threads(n_threads):
            data = Reader(self.model, None).read(X, None, lengths, None, mask, reset)
            return outputs_of(self.model, data, batch_size)

    def predict_classes(
        self,
        X: Any,
        *,
        lengths: ArrayLike | Mapping[str, Any] | None = None,
        mask: Any = None,
        reset: Any = None,
        batch_size: int = 256,
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """Return the most probable class of each sample, or of each step.

        Parameters
        ----------
        X, lengths, mask, reset, batch_size
            As for :meth:`fit`.

        Returns
        -------
        ndarray or list of ndarray
            With the cross-entropy, the label of the largest output: one of :attr:`classes`, or
            the number of the output without them. With ``"bce_with_logits"``, 1 where an output
            is above 0, and 0 elsewhere; a single output has no axis of its own. A list if the
            samples differ in length and the model predicts every step.

        Raises
        ------
        ValueError
            If the loss is another one.

        Examples
        --------
        >>> import numpy as np
        >>> from pygru import GRU, Last, Linear, Sequential, Trainer
        >>> X = np.random.default_rng(0).standard_normal((40, 6, 1))
        >>> y = np.where(X.sum(axis=(1, 2)) > 0, "up", "down")
        >>> model = Sequential(GRU(1, 8, batch_first=True), Last(), Linear(8, 2), seed=0)
        >>> trainer = Trainer(model, loss="cross_entropy", seed=0)
        >>> history = trainer.fit(X, y)
        >>> trainer.classes.tolist(), trainer.predict_classes(X).shape
        (['down', 'up'], (40,))
        """
        kind = kind_of(self.loss)
        if kind not in ("classes", "binary"):
            raise ValueError(
                "predict_classes needs loss='cross_entropy' or 'bce_with_logits', got "
                f"{describe_function(self.loss)}"
            )
        batch_size = check_int("batch_size", batch_size, 1)
        n_threads = threads.resolve(self.n_threads)
        with threads.single_threaded_blas(), threads.num_threads(n_threads):
            data = Reader(self.model, None).read(X, None, lengths, None, mask, reset)
            classes = self._state.classes
            return outputs_of(
                self.model, data, batch_size, lambda p: chosen_classes(p, kind, classes)
            )
