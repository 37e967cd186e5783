"""The training loop: shuffled mini-batches, gradients, clipping, steps, validation.

The loop goes from :class:`Position` to position, so that it can begin at any of them: that is
how training goes on from a checkpoint.
"""

import contextlib
import functools
import math
import time

import numpy as np

from pygru.checkpointing import check_memory
from pygru.core import threads
from pygru.core.validation import check_bool, check_int, check_number, type_name
from pygru.errors import DivergenceError
from pygru.train import checkpoints
from pygru.train.arguments import (
    batch_size_for,
    callbacks_of,
    check_model,
    check_windows,
    data_for,
    held_out_for,
    loss_of,
)
from pygru.train.batches import output_lengths, windows_of
from pygru.train.callbacks import ProgressBar
from pygru.train.evaluation import evaluate_loss, mean, mean_loss, predict_batches
from pygru.train.history import History
from pygru.train.optimizers import Adam, Optimizer, clip_grad_norm
from pygru.train.position import Bookmark, Event, Position


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
        function ``(prediction, target, *, mask) -> (value, gradient)``, such as
        ``functools.partial(losses.quantile, quantiles=[0.1, 0.5, 0.9])``. Losses of several
        batches are averaged by the ``weight`` of their values (see :class:`pygru.losses.Mean`),
        or by the number of predictions where a function returns a plain float.
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
    memory : {"gates", "outputs", "sqrt"}, int or str
        What the tape of every GRU keeps, or a budget for it, as for :meth:`GRU.forward`: less
        memory for more time, the same gradients. A :class:`Seq2Seq` has ``"gates"`` and
        ``"outputs"`` only.

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
        memory="gates",
    ):
        check_model(model)
        if clip_norm is not None and not check_number("clip_norm", clip_norm) > 0:
            raise ValueError(f"clip_norm must be > 0 or None, got {clip_norm}")
        threads.resolve(n_threads)
        check_memory(memory)
        model.check_memory(memory)
        optimizer = Adam() if optimizer is None else optimizer
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be a pygru optimizer, got {type_name(optimizer)}")
        self.model = model
        self.loss = loss_of(loss)
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.callbacks = callbacks_of(callbacks)
        self.generator = np.random.default_rng(seed)
        self.n_threads = n_threads
        self.memory = memory
        self.stop = False
        self.history = History()
        self._settings = None  # what of fit's arguments a position depends on
        self._resumed = None  # a checkpoint that the next fit goes on from
        self._raw = None  # the weights that are trained, while the model has others
        self._bookmark = self._new_bookmark(Position())

    def _new_bookmark(self, position):
        # Not a lambda: a copy of the trainer must ask the copy.
        chance = functools.partial(checkpoints.chance_of, self)
        return Bookmark(self.optimizer, chance, position)

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
        bptt_steps=None,
        shuffle=True,
        progress=None,
    ):
        """Train, and return what happened.

        After :meth:`resume` it goes on where the checkpoint was made.

        Parameters
        ----------
        X : array_like, list of array_like or mapping
            (N, T, ...) samples, or a list of N sequences (T_i, ...); for :class:`Seq2Seq`
            a mapping of ``"source"`` and ``"target"`` to such, and ``lengths`` too.
        y : array_like or list of array_like
            N targets. Where the model predicts every step (it has no :class:`Last`), (N, T,
            ...) or a list of (T_i, ...); steps past a sequence's end do not count.
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
        bptt_steps : int, optional
            Truncated backpropagation through time (Williams and Peng 1990): sequences are cut
            into windows of so many steps, with a step of the optimiser after each. The states
            of the GRUs go on from window to window, gradients do not. Needs a target for every
            step, and no bidirectional GRU.
        shuffle : bool
            Whether every epoch has an order of its own, drawn from ``seed``.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.

        Returns
        -------
        History
            Also of the epochs before a checkpoint that training went on from.

        Raises
        ------
        DivergenceError
            If a loss or a gradient is not finite; the weights are then the last ones that
            gave a finite loss.
        ValueError
            If the data do not fit together, are empty, or contain NaN or infinities.
        """
        data = data_for(self.model, X, y, lengths)
        held_out = held_out_for(self.model, validation)
        shuffle = check_bool("shuffle", shuffle)
        epochs = range(
            check_int("initial_epoch", initial_epoch, 0), check_int("epochs", epochs, 0)
        )
        batch_size = batch_size_for(batch_size, len(data))
        if bptt_steps is not None:
            bptt_steps = check_int("bptt_steps", bptt_steps, 1)
            check_windows(self.model)
            data.check_targets_per_step()
        settings = {
            "samples": len(data),
            "batch_size": batch_size,
            "bptt_steps": bptt_steps,
            "shuffle": shuffle,
            "data": data.fingerprint(),
        }
        position = self._begin(epochs.start, settings)
        callbacks = list(self.callbacks)
        if not any(isinstance(callback, ProgressBar) for callback in callbacks):
            callbacks.append(ProgressBar(None if progress is None else not progress))
        begun = []
        with self._threads():
            try:
                for callback in callbacks:
                    callback.on_fit_begin(self, range(position.epoch, epochs.stop))
                    begun.append(callback)
                self._give_states_back()
                position = self._tell(position, callbacks)
                while position.epoch < epochs.stop and not self.stop:
                    position = self._run_epoch(position, data, held_out, callbacks)
                    position = self._tell(position, callbacks)
            finally:
                self._end(begun)
        return self.history

    def _begin(self, first_epoch, settings):
        """Return where to begin: at the first epoch, or where the checkpoint was made."""
        if self._resumed is None:
            position, self.history, self.stop = Position(first_epoch), History(), False
        else:
            position, _ = self._bookmark.read()
            if self._raw is not None:  # a fit that failed before its first step
                _restore(self.model, self._raw)
            if position.order is not None:
                checkpoints.check_settings(self._settings, settings)
            elif position.epoch < first_epoch:
                position = position._replace(epoch=first_epoch)
        self._settings = settings
        self._raw = None
        self._bookmark = self._new_bookmark(position)
        return position

    def _give_states_back(self):
        """After a checkpoint: callbacks, which have begun afresh, are what they were."""
        if self._resumed is not None:
            for index, state in self._resumed.states_of(self.callbacks).items():
                self.callbacks[index].load_state_dict(state)
            self._resumed = None

    def _tell(self, position, callbacks):
        """Tell every callback of the position's event that does not know of it yet.

        A callback that fails has been told; one that is interrupted will be told again.
        """
        event = position.event
        if event is None:
            return position
        for index, callback in enumerate(callbacks):
            if index in event.told:
                continue
            try:
                event.told.add(index)
                getattr(callback, event.method)(self, *event.arguments)
            except KeyboardInterrupt:
                event.told.discard(index)
                raise
        position = position._replace(event=None)
        self._bookmark.move(position)
        return position

    def _end(self, callbacks):
        """Leave the model with the weights that callbacks want; remember those trained."""
        if self._raw is None:
            self._raw = _copies(self.model)
        average = self._average(callbacks)
        _restore(self.model, self._raw if average is None else average)
        for callback in callbacks:
            callback.on_fit_end(self)
        if all(
            np.array_equal(raw, values)
            for raw, (values, _) in zip(self._raw, self.model.flat_pairs, strict=True)
        ):
            self._raw = None

    @staticmethod
    def _average(callbacks):
        """The weights that a callback wants to be used in place of those trained, or None."""
        wanted = (callback.evaluation_weights() for callback in callbacks)
        return next((weights for weights in wanted if weights is not None), None)

    @contextlib.contextmanager
    def evaluation_weights(self):
        """Give the model, within a ``with`` block, the weights that validation uses.

        Those are the ones that are trained, unless a callback such as :class:`WeightAverage`
        has others. ``fit`` measures ``val_loss`` with them, and a callback that keeps or
        measures weights should do it within such a block.
        """
        average = self._average(self.callbacks) if self._raw is None else None
        if average is None:
            yield
            return
        self._raw = raw = _copies(self.model)
        try:
            _restore(self.model, average)
            yield
        finally:
            _restore(self.model, raw)
            self._raw = None

    # ---- checkpoints ------------------------------------------------------------------------

    def save_checkpoint(self, path):
        """Write all that training needs to go on as if it had never stopped, atomically.

        The file holds the weights, the optimiser's state, every random generator, the epoch
        with the order of its samples and the position in it, the history and the state of the
        callbacks. It may be made at any time: by a callback, after Ctrl-C has ended ``fit``,
        or after ``fit`` has returned. It is a model file too: :func:`pygru.load` gives the
        model, with the weights that it has now (during ``fit``, those of
        :meth:`evaluation_weights`).

        Parameters
        ----------
        path : path-like
            An existing file is replaced, and stays intact if saving fails.

        Raises
        ------
        TypeError
            If the model cannot be saved, a generator is not NumPy's default one, or the state
            of a callback is not made of JSON and arrays.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> from pygru import GRU, Last, Linear, Sequential, Trainer
        >>> X, y = np.ones((8, 5, 1)), np.ones((8, 1))
        >>> def trainer():
        ...     gru = GRU(1, 4, batch_first=True, seed=0)
        ...     return Trainer(Sequential(gru, Last(), Linear(4, 1, seed=0)), seed=0)
        >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
        >>> first = trainer()
        >>> history = first.fit(X, y, epochs=2, batch_size=4)
        >>> first.save_checkpoint(path)
        >>> second = trainer()
        >>> second.resume(path)
        >>> len(second.fit(X, y, epochs=5, batch_size=4))  # three more
        5
        """
        checkpoints.write(self, path)

    def resume(self, path):
        """Take over a checkpoint; ``fit`` with the same arguments then goes on from there.

        The weights after it are, bit for bit, those of training that never stopped. The
        trainer must have been made like the one that wrote the checkpoint, with the same kind
        of model and optimiser; a learning rate that is a number is taken from the checkpoint.
        Callbacks that have a state in it must be there; others may be added.

        Parameters
        ----------
        path : path-like
            As :meth:`save_checkpoint` has written it. Nothing in it is executed.

        Raises
        ------
        FormatError
            If the file is damaged or no checkpoint; nothing is changed then.
        ValueError
            If it belongs to another model, optimiser or other callbacks; the message names
            the first difference, and nothing is changed.
        OSError
            If the file cannot be read.
        """
        checkpoints.read(self, path).apply(self)

    @contextlib.contextmanager
    def _threads(self):
        """Give pygru this trainer's threads, and NumPy's products one, for a while."""
        with (
            threads.single_threaded_blas(),
            threads.num_threads(threads.resolve(self.n_threads)),
        ):
            yield

    def _run_epoch(self, position, data, held_out, callbacks):
        """Go from a position to the end of its epoch, and return the beginning of the next."""
        batch_size = self._settings["batch_size"]
        if position.order is None:
            self._bookmark.draw(position)
            order = np.arange(len(data))
            if self._settings["shuffle"]:
                order = self.generator.permutation(len(data))
            position = position._replace(order=order)
            self._bookmark.move(position)
        begin = time.perf_counter() - position.seconds
        safe = _copies(self.model)
        while position.batch * batch_size < len(data):
            first = position.batch * batch_size
            batch = data.take(position.order[first : first + batch_size])
            for window in windows_of(batch, self._settings["bptt_steps"], position.window):
                # What overflows is found by looking at the results, not by NumPy's warnings.
                with np.errstate(over="ignore", invalid="ignore"):
                    position = self._step(position, window, safe, begin)
                position = self._tell(position, callbacks)
        record = {
            "epoch": position.epoch,
            "loss": mean(position.total, position.weight),
            "learning_rate": self.optimizer.next_learning_rate,
            "seconds": time.perf_counter() - begin,
            "sequences": len(data),
        }
        if held_out is not None:
            with self.evaluation_weights():
                record["val_loss"] = mean_loss(self.model, self.loss, held_out, batch_size)
        self.history.append(record)
        position = Position(position.epoch + 1, event=Event("on_epoch_end", (record,), set()))
        self._bookmark.move(position)
        return position

    def _step(self, position, window, safe, begin):
        """Make one step; ``safe`` holds the weights that gave the last finite loss."""
        model, optimizer = self.model, self.optimizer
        self._bookmark.draw(position)
        model.zero_grad()
        prediction, states, tape = self._forward(window, position.states)
        value, gradient, weight = evaluate_loss(self.loss, prediction, window.y, window.lengths)
        if math.isfinite(value):
            model.backward(tape, gradient)
            value_of_norm = clip_grad_norm(model, self.clip_norm)
        if not math.isfinite(value) or not math.isfinite(value_of_norm):
            _restore(model, safe)
            what = (
                f"loss is {value}" if not math.isfinite(value) else "a gradient is not finite"
            )
            raise DivergenceError(
                f"{what} at epoch {position.epoch}, batch {position.batch}; weights kept from "
                "the last finite step; lower learning_rate or set clip_norm"
            )
        for (values, _), kept in zip(model.flat_pairs, safe, strict=True):
            kept[...] = values
        following = position._replace(
            batch=position.batch + window.is_last,
            window=0 if window.is_last else window.number + 1,
            states=None if window.is_last else states,
            total=position.total + value * weight,
            weight=position.weight + weight,
            seconds=time.perf_counter() - begin,
            event=Event("on_batch_end", (value, len(prediction)), set()),
        )
        self._bookmark.step_to(following)
        optimizer.step(model)
        self._bookmark.move(following)
        return following

    def _forward(self, window, states):
        """Return prediction, state of the model and tape of one window of a batch."""
        is_piece = states is not None or not window.is_last
        prediction, states, tape = self.model.run(
            window.X, states, lengths=window.lengths, memory=self.memory
        )
        if is_piece and prediction.shape[:2] != window.X.shape[:2]:
            raise ValueError("bptt_steps needs a model that predicts every step (without Last)")
        return prediction, states, tape

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
        data = data_for(self.model, X, y, lengths)
        batch_size = check_int("batch_size", batch_size, 1)
        with self._threads():
            return mean_loss(self.model, self.loss, data, batch_size)

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
        data = data_for(self.model, X, None, lengths)
        batch_size = check_int("batch_size", batch_size, 1)
        with self._threads():
            outputs = [
                (output, output_lengths(lengths))
                for output, _, lengths in predict_batches(self.model, data, batch_size)
            ]
        if any(output.ndim == 3 and lengths is not None for output, lengths in outputs):
            return [
                row[:length]
                for output, lengths in outputs
                for row, length in zip(output, lengths, strict=True)
            ]
        return np.concatenate([output for output, _ in outputs])


def _copies(model):
    return [values.copy() for values, _ in model.flat_pairs]


def _restore(model, weights):
    for (values, _), kept in zip(model.flat_pairs, weights, strict=True):
        values[...] = kept
