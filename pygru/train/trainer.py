"""The training loop: shuffled mini-batches, gradients, clipping, steps, validation."""

import contextlib
import math
import time
import warnings

import numpy as np

from pygru.core import threads, validation
from pygru.errors import DivergenceError
from pygru.gru import GRU
from pygru.nn.losses import LOSSES
from pygru.train.batches import Dataset, dataset_of, step_mask
from pygru.train.callbacks import ProgressBar
from pygru.train.history import History
from pygru.train.optimizers import Adam, clip_grad_norm


class Trainer:
    """Trains a model by mini-batch gradient descent.

    The same data, model and seed give the same weights, bit for bit, whatever the number of
    threads: work is cut by shape, and BLAS runs in one thread while ``fit`` works.

    Parameters
    ----------
    model : Sequential or GRU
        What to train; batch first.
    loss : str or callable
        ``"mse"``, ``"mae"``, ``"huber"``, ``"bce_with_logits"``, ``"cross_entropy"``, or a
        function ``(prediction, target, *, mask) -> (value, gradient)``.
    optimizer : Optimizer, optional
        ``Adam()`` by default.
    clip_norm : float, optional
        Largest joint norm of all gradients.
    callbacks : sequence of Callback
        Called between batches and epochs.
    seed : int, Generator or None
        Seed of the order of the samples.
    n_threads : int, optional
        As in :func:`pygru.set_num_threads`.

    Examples
    --------
    >>> import numpy as np
    >>> from pygru import GRU, Last, Linear, Sequential, Trainer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((64, 10, 1))
    >>> y = X.sum(axis=1)
    >>> model = Sequential(GRU(1, 8, batch_first=True, seed=0), Last(), Linear(8, 1, seed=1))
    >>> history = Trainer(model, loss="mse", seed=0).fit(X, y, epochs=5, batch_size=16)
    >>> history["loss"][-1] < history["loss"][0]
    True
    """

    def __init__(
        self,
        model,
        *,
        loss="mse",
        optimizer=None,
        clip_norm=None,
        callbacks=(),
        seed=None,
        n_threads=None,
    ):
        if not hasattr(model, "flat_pairs"):
            raise TypeError(f"model must be a pygru model, got {validation.type_name(model)}")
        if isinstance(model, GRU) and not model.batch_first:
            raise ValueError("model must be a GRU with batch_first=True")
        if isinstance(loss, str):
            loss = LOSSES[validation.check_choice("loss", loss, tuple(LOSSES))]
        elif not callable(loss):
            raise TypeError(
                f"loss must be a str or a function, got {validation.type_name(loss)}"
            )
        if clip_norm is not None and not validation.check_number("clip_norm", clip_norm) > 0:
            raise ValueError(f"clip_norm must be > 0 or None, got {clip_norm}")
        threads.resolve(n_threads)
        self.model = model
        self.loss = loss
        self.optimizer = Adam() if optimizer is None else optimizer
        self.clip_norm = clip_norm
        self.callbacks = list(callbacks)
        self.generator = np.random.default_rng(seed)
        self.n_threads = n_threads
        self.stop = False

    def fit(
        self,
        X,
        y,
        *,
        epochs,
        batch_size,
        lengths=None,
        validation=None,
        initial_epoch=0,
        progress=None,
    ):
        """Train, and return what happened.

        Parameters
        ----------
        X : array_like, list of array_like or mapping
            (N, T, ...) samples, or a list of N sequences (T_i, ...); for :class:`Seq2Seq`
            a mapping of ``"source"`` and ``"target"`` to such, and ``lengths`` too.
        y : array_like or list of array_like
            N targets. Where the model predicts every step of ragged sequences, (N, T, ...)
            or a list; steps past a sequence's end do not count.
        epochs : int
            Number of the epoch to stop before, counting from 0.
        batch_size : int
            Samples per step.
        lengths : array_like of int, optional
            (N,) the valid steps of each sample.
        validation : tuple, optional
            ``(X, y)`` or ``(X, y, lengths)`` to measure ``val_loss`` on after every epoch.
        initial_epoch : int
            Number of the first epoch.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.

        Returns
        -------
        History

        Raises
        ------
        DivergenceError
            If a loss or a gradient is not finite; the weights are then the last ones that
            gave a finite loss.
        ValueError
            If the data do not fit together, are empty, or contain NaN or infinities.
        """
        data = dataset_of(X, y, lengths)
        held_out = None if validation is None else dataset_of(*validation)
        epochs = range(_check("initial_epoch", initial_epoch, 0), _check("epochs", epochs, 0))
        batch_size = _clip_batch_size(batch_size, len(data))
        callbacks = [*self.callbacks, ProgressBar(None if progress is None else not progress)]
        history = History()
        self.stop = False
        with self._threads():
            try:
                for callback in callbacks:
                    callback.on_fit_begin(self, epochs)
                for epoch in epochs:
                    record = self._run_epoch(epoch, data, held_out, batch_size, callbacks)
                    history.append(record)
                    for callback in callbacks:
                        callback.on_epoch_end(self, record)
                    if self.stop:
                        break
            finally:
                for callback in callbacks:
                    callback.on_fit_end(self)
        return history

    @contextlib.contextmanager
    def _threads(self):
        """Give pygru this trainer's threads, and NumPy's products one, for a while."""
        with threads.blas_limit, threads.num_threads(threads.resolve(self.n_threads)):
            yield

    def _run_epoch(self, epoch, data, held_out, batch_size, callbacks):
        begin = time.perf_counter()
        order = self.generator.permutation(len(data))
        total = 0.0
        safe = [values.copy() for values, _ in self.model.flat_pairs]
        for number, first in enumerate(range(0, len(order), batch_size)):
            batch = order[first : first + batch_size]
            # What overflows is found by looking at the results, not by NumPy's warnings.
            with np.errstate(over="ignore", invalid="ignore"):
                loss = self._step(data.take(batch), safe, f"epoch {epoch}, batch {number}")
            total += loss * len(batch)
            for callback in callbacks:
                callback.on_batch_end(self, loss, len(batch))
        record = {
            "epoch": epoch,
            "loss": total / len(data),
            "seconds": time.perf_counter() - begin,
            "sequences": len(data),
        }
        if held_out is not None:
            record["val_loss"] = self._loss_of(held_out, batch_size)
        return record

    def _step(self, batch, safe, where):
        """Make one step; ``safe`` holds the weights that gave the last finite loss."""
        X, y, lengths = batch
        model = self.model
        model.zero_grad()
        prediction, tape = self._forward(X, lengths)
        value, gradient = self._evaluate_loss(prediction, y, lengths)
        if math.isfinite(value):
            model.backward(tape, gradient)
            value_of_norm = clip_grad_norm(model, self.clip_norm)
        if not math.isfinite(value) or not math.isfinite(value_of_norm):
            _restore(model, safe)
            what = (
                f"loss is {value}" if not math.isfinite(value) else "a gradient is not finite"
            )
            raise DivergenceError(
                f"{what} at {where}; weights kept from the last finite step; "
                "lower learning_rate or set clip_norm"
            )
        for (values, _), kept in zip(model.flat_pairs, safe, strict=True):
            kept[...] = values
        try:
            self.optimizer.step(model)
        except BaseException:  # Ctrl-C between two arrays: no half step remains
            _restore(model, safe)
            raise
        return value

    def _forward(self, X, lengths, training=True):
        if isinstance(self.model, GRU):
            output, _, tape = self.model.forward(X, lengths=lengths, training=training)
            return output, tape
        return self.model.forward(X, lengths=lengths, training=training)

    def _evaluate_loss(self, prediction, y, lengths):
        per_step = lengths is not None and prediction.ndim == 3
        return self.loss(prediction, y, mask=step_mask(y, lengths) if per_step else None)

    def _predict_batches(self, data, batch_size):
        """Yield (prediction, y, lengths) of consecutive batches, without dropout."""
        for first in range(0, len(data), batch_size):
            index = np.arange(first, min(first + batch_size, len(data)))
            X, y, lengths = data.take(index)
            prediction = self.model(X, lengths=lengths)
            if isinstance(self.model, GRU):
                prediction = prediction[0]
            yield prediction, y, lengths

    def _loss_of(self, data, batch_size):
        total = 0.0
        for prediction, y, lengths in self._predict_batches(data, batch_size):
            total += self._evaluate_loss(prediction, y, lengths)[0] * len(prediction)
        return total / len(data)

    def evaluate(self, X, y, *, lengths=None, batch_size=256):
        """Return the mean loss on data, without training.

        Parameters
        ----------
        X, y, lengths, batch_size
            As for :meth:`fit`.

        Returns
        -------
        float
        """
        data = dataset_of(X, y, lengths)
        with self._threads():
            return self._loss_of(data, _check("batch_size", batch_size, 1))

    def predict(self, X, *, lengths=None, batch_size=256):
        """Return the model's output for all samples, without dropout.

        Parameters
        ----------
        X, lengths, batch_size
            As for :meth:`fit`.

        Returns
        -------
        ndarray or list of ndarray
            One row per sample; a list if the outputs differ in length.
        """
        data = Dataset(X, np.zeros(len(X)), lengths)
        batch_size = _check("batch_size", batch_size, 1)
        with self._threads():
            outputs = list(self._predict_batches(data, batch_size))
        if any(output.ndim == 3 and lengths is not None for output, _, lengths in outputs):
            return [
                row[:length]
                for output, _, lengths in outputs
                for row, length in zip(output, lengths, strict=True)
            ]
        return np.concatenate([output for output, _, _ in outputs])


def _restore(model, weights):
    for (values, _), kept in zip(model.flat_pairs, weights, strict=True):
        values[...] = kept


def _check(name, value, minimum):
    return validation.check_int(name, value, minimum)


def _clip_batch_size(batch_size, samples):
    batch_size = _check("batch_size", batch_size, 1)
    if batch_size > samples:
        warnings.warn(
            f"Got batch_size={batch_size} larger than the sample size {samples}. "
            "It is going to be clipped.",
            UserWarning,
            stacklevel=3,
        )
        return samples
    return batch_size
