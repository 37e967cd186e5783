"""The Trainer, with which users train, evaluate and predict, and save and resume training.

It checks its arguments and holds the parts of a training run. What it does without training is
in :mod:`pygru.train.trainer_base`, the training loop in :mod:`pygru.train.loop`, and the state
of the run in :mod:`pygru.train.state`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pygru.budget import check_memory
from pygru.core import threads
from pygru.core.atomic import commit
from pygru.core.pickled import CheckedState, naming, refuse
from pygru.core.validation import check_bool, check_count, check_int, type_name
from pygru.io.files import named_in_errors
from pygru.io.native import classes_of, describe
from pygru.nn.model import Model
from pygru.shown import html_properties
from pygru.train import checkpoint_file
from pygru.train.agreeing import (
    count_of,
    ends_of,
    refuse_other_trainers,
    take_over,
    warn_of_other_size,
)
from pygru.train.arguments import (
    callbacks_of,
    check_model,
    check_trainable,
    classes_of_columns,
    loss_of,
    optimizer_of,
)
from pygru.train.batches import BatchStream
from pygru.train.callbacks import Callback
from pygru.train.clipping import check_norm
from pygru.train.datasets import Data
from pygru.train.descriptions import (
    describe_function,
    properties_of,
    refuse_difference,
    refuse_frozen,
)
from pygru.train.evaluation import Loss
from pygru.train.history import History
from pygru.train.loop import TrainingLoop, average_of
from pygru.train.loss_kinds import check_takes_output_of
from pygru.train.metrics import check_metrics, metrics_of
from pygru.train.optimizer_base import Optimizer
from pygru.train.other_weights import OtherWeights
from pygru.train.progress import ProgressBar
from pygru.train.ranks import team_of
from pygru.train.restoring import check_pickled, restoring
from pygru.train.scan import Share
from pygru.train.state import TrainingState
from pygru.train.trainer_base import TrainerBase
from pygru.typing import Path, Seed


class Trainer(CheckedState, TrainerBase):
    """Trains a model by mini-batch gradient descent.

    The same data, model and seed give the same weights, bit for bit, for every number of
    threads. For this, work is divided by shape, and BLAS runs in one thread during ``fit``.

    Parameters
    ----------
    model : Sequential, GRU, Seq2Seq or Layer
        The model to train. Its arrays are batch first.
    loss : str or callable
        ``"mse"``, ``"mae"``, ``"huber"``, ``"bce_with_logits"``, ``"cross_entropy"``, or a
        function ``(prediction, target, *, mask) -> (value, gradient)``, such as
        ``functools.partial(losses.quantile, quantiles=[0.1, 0.5, 0.9])``. The losses of several
        batches are averaged with the ``weight`` of each value, see :class:`pygru.losses.Mean`.
        If a function returns a plain float, its weight is the number of predictions.
    optimizer : Optimizer or str, optional
        An optimiser, or the name of one with its default settings: ``"adam"``, ``"adamw"``,
        ``"sgd"`` or ``"rmsprop"``. The default is ``Adam()``.
    clip_norm : float, optional
        Largest joint norm of all gradients.
    callbacks : sequence of Callback
        Their methods are called between batches and epochs.
    seed : int, Generator or None
        Seed of the order of the samples.
    n_threads : int, optional
        As in :func:`pygru.set_num_threads`.
    metrics : iterable of str or callable, or mapping
        What is measured beside the loss: ``"accuracy"`` with the cross-entropy and with
        ``"bce_with_logits"``; ``"mae"``, ``"mse"``, ``"rmse"`` and ``"r2"`` with ``"mse"``,
        ``"mae"`` and ``"huber"``; the names of scikit-learn's scorers, such as ``"f1_macro"``
        or ``"roc_auc"``, and scorers themselves; or functions ``(y_true, y_pred) -> float``. A
        mapping gives them other names. See the notes.
    classes : array_like, optional
        The labels of the model's outputs, in their order, if the loss is the cross-entropy.
        Without them, ``fit`` learns the labels; see the attribute of this name.
    memory : {"gates", "outputs", "sqrt"}, int or str
        What the tape of every GRU keeps, or a budget for it, as for :meth:`GRU.forward`. Less
        memory takes more time and gives the same gradients. A :class:`Seq2Seq` has only
        ``"gates"`` and ``"outputs"``.
    comm : mpi4py.MPI.Comm, optional
        The communicator of the processes that train together, such as ``MPI.COMM_WORLD``. Each
        of them makes the same trainer and calls ``fit`` with the same arguments. See
        :doc:`/howto/many_machines`.

    Notes
    -----
    A metric is computed from all predictions at once: those of an epoch of training, as they
    were made before each step and with dropout, under its name; and those of the validation
    data, under its name with ``val_`` before it. Padding and ignored targets do not count, and
    each step of a sequence is one prediction if the model predicts every step. A function gets
    arrays of one row per prediction, without an axis for a single output: the labels, and the
    chosen labels with the cross-entropy or the chosen 0 and 1 with ``"bce_with_logits"``, or
    the outputs with other losses. If it has an argument ``sample_weight``, it gets the weights
    of the samples.

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

    _made_again = frozenset({"_team"})
    _changing = frozenset({"_state", "callbacks", "metrics"})

    def __init__(
        self,
        model: Model,
        *,
        loss: str | Loss = "mse",
        optimizer: str | Optimizer | None = None,
        clip_norm: float | None = None,
        callbacks: Iterable[Callback] = (),
        seed: Seed = None,
        n_threads: int | None = None,
        memory: int | str = "gates",
        metrics: Iterable[str | Callable[..., Any]] | Mapping[str, Any] = (),
        classes: ArrayLike | None = None,
        comm: Any = None,
    ) -> None:
        check_model(model)
        check_norm("clip_norm", clip_norm)
        threads.resolve(n_threads)
        check_memory(memory)
        model.check_memory(memory)
        optimizer = optimizer_of(optimizer)
        self.loss = loss_of(loss)
        check_takes_output_of(self.loss, model)
        self.metrics = metrics_of(metrics, self.loss)
        self.clip_norm = clip_norm
        self.callbacks = callbacks_of(callbacks)
        self.n_threads = n_threads
        self.memory = memory
        self.comm = comm
        self._team = team_of(comm)
        self._state = TrainingState(model, optimizer, np.random.default_rng(seed))
        self._state.classes = classes_of_columns(classes, model, self.loss)

    @classmethod
    def _arguments_in(cls, attributes: dict[str, Any]) -> dict[str, Any]:
        state = attributes.get("_state")
        if not isinstance(state, TrainingState):
            refuse(cls, f"_state must be a TrainingState, got {type_name(state)}")
        # The metrics and the classes have another form than the arguments.
        others = {name: value for name, value in attributes.items() if name != "metrics"}
        return {**others, "model": state.model, "optimizer": state.optimizer}

    def __setstate__(self, state: Any) -> None:
        run = state.get("_state") if isinstance(state, dict) else None
        model = run.model if isinstance(run, TrainingState) else None
        if isinstance(model, Model) and not vars(model):
            # The model refers to this trainer and is read after it, so it cannot be looked at.
            with naming(type(self)):
                team = team_of(state.get("comm"))
            vars(self).update(state, _team=team)
        else:
            super().__setstate__(state)

    def _restore(self) -> None:
        check_metrics(self.metrics)
        check_pickled(self._state)

    def __repr__(self) -> str:
        named = "".join(f", {name}={value}" for name, value in properties_of(self))
        return f"{type(self).__name__}({self.model!r}{named})"

    def _repr_html_(self) -> str:
        model = self.model._repr_html_()
        return html_properties(type(self).__name__, properties_of(self), model)

    # ---- what belongs to the state of the run ----------------------------------------------

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser; another one may be set between two calls of ``fit``."""
        return self._state.optimizer

    @optimizer.setter
    def optimizer(self, value: str | Optimizer) -> None:
        self._state.change_optimizer(optimizer_of(value))

    @property
    def generator(self) -> np.random.Generator:
        """The generator from which the order of the samples is drawn."""
        return self._state.generator

    @property
    def history(self) -> History:
        """The epochs that have ended."""
        return self._state.history

    @property
    def classes(self) -> NDArray[Any] | None:
        """The labels of the model's outputs, a copy; None if targets are their numbers.

        If the loss is the cross-entropy, the first ``fit`` learns them: texts and truth values
        always, integers if they are not in [0, outputs). Sorted labels belong to the outputs
        in their order.
        """
        classes = self._state.classes
        return None if classes is None else classes.copy()

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and shows progress: alone, or the first rank."""
        return self._team.is_main

    @property
    def stop(self) -> bool:
        """Whether training ends after the current epoch; callbacks set it."""
        return self._state.stop

    @stop.setter
    def stop(self, value: bool) -> None:
        self._state.stop = check_bool("stop", value)

    # ---- training --------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        lengths: ArrayLike | Mapping[str, Any] | None = None,
        sample_weight: Any = None,
        mask: Any = None,
        reset: Any = None,
        validation: Any = None,
        validation_split: float | None = None,
        initial_epoch: int = 0,
        bptt_steps: int | None = None,
        shuffle: bool = True,
        progress: bool | None = None,
    ) -> History:
        """Train the model, and return the history.

        After :meth:`resume`, training continues where the checkpoint was made.

        Parameters
        ----------
        X : array_like, list of array_like or mapping
            (N, T, ...) samples, or a list of N sequences (T_i, ...). For :class:`Seq2Seq` it is
            a mapping with ``"source"`` and ``"target"``, and so is ``lengths``. Arrays that are
            not in memory are read batch by batch: ``np.memmap``, and objects with a shape and a
            dtype like those of h5py. Or the batches themselves: an object that can be iterated
            again, or a function that returns an iterator; see the notes.
        y : array_like or list of array_like
            N targets; None if X gives batches. If the model predicts every step, which it does
            without a :class:`Last`, they are (N, T, ...) or a list of (T_i, ...), and steps
            after the end of a sequence do not count. If the model predicts a single number, y
            may lack the last axis of 1, except for quantiles. With ``"cross_entropy"`` they are
            numbers of outputs, or labels; see :attr:`classes`.
        epochs : int
            Training ends before the epoch with this number. Epochs are counted from 0. The
            default is a single epoch, as in Keras.
        batch_size : int, optional
            Samples per step, of all ranks together if there are several; by default 32, or all
            samples if there are fewer.
        lengths : array_like of int, optional
            (N,) the valid steps of each sample.
        sample_weight : array_like or list of array_like, optional
            (N,) how much each sample counts, numbers >= 0. If the model predicts every step,
            also (N, T) or a list of (T_i,), one weight per step; padding never counts. Each
            loss is then a weighted mean, and a sample of weight 0 is left out of it. A loss
            of your own needs an argument ``weights`` in the shape of the target.
        mask : array_like of bool or list of array_like, optional
            (N, T) which steps count; a list of (T_i,) if X is a list. What X holds at the other
            steps is not read. If the model predicts every step, they count neither in the loss
            nor in the metrics, and the same is true of steps that a :class:`Masking` or
            ``Embedding(mask_zero=True)`` leaves out.
        reset : array_like of bool or list of array_like, optional
            (N, T) before which steps the states of all GRUs begin anew, see
            :meth:`GRU.forward`.
        validation : tuple or callable or iterable, optional
            ``(X, y)``, or with more entries in the order ``(X, y, lengths, sample_weight, mask,
            reset)``, to measure ``val_loss`` on after every epoch; or batches as for X, a list
            of them or another source. A tuple is never read as batches.
        validation_split : float, optional
            In (0, 1): this share of the samples is kept for ``val_loss`` and not trained on.
            They are the last samples, so that the order of samples in time is kept.
        initial_epoch : int
            Number of the first epoch.
        bptt_steps : int, optional
            Truncated backpropagation through time (Williams and Peng 1990). Sequences are cut
            into windows of so many steps, with a step of the optimiser after each window. The
            states of the layers are carried from window to window, but gradients are not. This
            needs a target for every step, and layers of one direction.
        shuffle : bool
            Whether the samples get a new order in every epoch, drawn from ``seed``.
        progress : bool, optional
            Whether to show how far training is: a bar on a terminal or in a notebook, one
            line per epoch elsewhere. By default it is shown, but not by the workers of a
            parallel program; see :class:`ProgressBar`.

        Returns
        -------
        History
            It also contains the epochs before a checkpoint from which training resumed.

        Raises
        ------
        DivergenceError
            If a loss or a gradient is not finite; the weights are then the last ones that
            gave a finite loss.
        RankError, RuntimeError
            If another rank has failed, or if the ranks diverged: their weights or their
            programs are not the same.
        TypeError, ValueError
            If the data do not fit together or are empty; if X contains NaN, infinities,
            numbers beyond the range of the model's dtype, or tokens that the model does not
            have; if y contains what a loss of :mod:`pygru.losses` cannot learn. All data are
            checked before the first step, and the message names the place in them. Values
            after the end of a sequence may be anything.

        Notes
        -----
        Each batch of a user's own is a tuple ``(X, y)``, or one with more entries in the order
        ``(X, y, lengths, sample_weight, mask, reset)``. They are trained on in the order in
        which they come, and each is checked when its turn comes. A function with a parameter
        gets the number of the epoch, so that it can make another order in every epoch and the
        same order again after :meth:`resume`. Training that resumes within an epoch reads the
        batches before its position again, and raises if they are not the same.

        With a communicator, every rank calls ``fit`` with the same arguments, and reads and
        trains on its share of each batch. All ranks return the same history and have the same
        weights. Of batches of a user's own each rank makes its share; batches with the same
        number belong together, and a rank may have fewer or smaller ones than others. If one
        rank fails, ``fit`` raises on all of them, :class:`RankError` on those that have not
        failed themselves.

        A batch in which nothing counts makes no step, because momentum would change the
        weights without a gradient. There are two kinds: batches of empty sequences, if the
        model predicts every step, and batches of targets that the loss ignores.
        """
        # Whatever is wrong on one rank, such as an argument, has to end all of them.
        with (
            self._team.together(),
            threads.single_threaded_blas(),
            threads.num_threads(threads.resolve(self.n_threads)),
        ):
            first_epoch = check_count("initial_epoch", initial_epoch, 0)
            last_epoch = check_count("epochs", epochs, 0)
            shuffle = check_bool("shuffle", shuffle)
            if bptt_steps is not None:
                bptt_steps = check_int("bptt_steps", bptt_steps, 1)
            callbacks = list(self.callbacks)
            if not any(isinstance(callback, ProgressBar) for callback in callbacks):
                shown = None if progress is None else check_bool("progress", progress)
                callbacks.append(ProgressBar(None if shown is None else not shown))
            team = self._team
            share = Share(team.rank, team.size, partial(team.gather, topic="the data"))
            reader = self._reader(bptt_steps, share)
            data, held_out, sizes = reader.for_training(
                X,
                y,
                lengths,
                sample_weight,
                mask,
                reset,
                validation=validation,
                validation_split=validation_split,
                batch_size=batch_size,
            )
            if isinstance(data, BatchStream):
                data.check_epochs(last_epoch - first_epoch)
            settings = {"bptt_steps": bptt_steps, "shuffle": shuffle, **sizes}
            epochs_to_train = range(first_epoch, last_epoch)
            self._train(data, held_out, settings, reader.classes, callbacks, epochs_to_train)
        return self.history

    def _train(
        self,
        data: Data | BatchStream,
        held_out: Data | BatchStream | None,
        settings: dict[str, Any],
        classes: NDArray[Any] | None,
        callbacks: list[Callback],
        epochs: range,
    ) -> None:
        """Train on data that have been read; within ``together``, and with one BLAS thread."""
        state, team = self._state, self._team
        check_trainable(state)
        settings = settings | {"ranks": team.size}
        plan: dict[str, Any] = {
            "epochs": [epochs.start, epochs.stop],
            "validation": count_of(held_out),
            "ends": ends_of(data) if team.size > 1 else [],
            "validation ends": ends_of(held_out) if team.size > 1 else [],
        }
        refuse_other_trainers(team, self, {**settings, **plan})
        saved = state.settings if state.is_resumed else None
        position = state.begin(epochs.start, settings, classes)
        warn_of_other_size(team, saved)
        position = take_over(team, self, position)
        loop = TrainingLoop(self, state, data, held_out, callbacks, team)
        loop.run(position, epochs.stop)

    def evaluation_weights(self) -> OtherWeights:
        """Give the model the weights that validation uses, within a ``with`` block.

        These are the trained weights, unless a callback such as :class:`WeightAverage` has
        other ones. ``fit`` measures ``val_loss`` with them, and a callback that keeps or
        measures weights should do it within such a block.
        """
        weights = None
        if self._state.trained is None:  # else the model has other weights already
            # A callback that has not begun may have the average of another model.
            weights = average_of(self.callbacks[: self._state.begun])
        return OtherWeights(self._state, weights)

    # ---- checkpoints -----------------------------------------------------------------------

    @property
    def _setup(self) -> dict[str, Any]:
        """The settings that a trainer needs to continue from a checkpoint of this one."""
        clip_norm = None if self.clip_norm is None else float(self.clip_norm)
        return {
            "loss": describe_function(self.loss),
            "clip_norm": clip_norm,
            "metrics": [metric.name for metric in self.metrics],
        }

    def save_checkpoint(
        self,
        path: Path | bytes,
        *,
        callback_states: Mapping[Callback, dict[str, Any]] | None = None,
    ) -> None:
        """Write everything that training needs to continue as if it had never stopped.

        The file contains the weights, the optimiser's state, every random generator, the epoch
        with the order of its samples and the position in it, the history and the state of the
        callbacks. It may be made at any time: by a callback, after Ctrl-C has ended ``fit``,
        or after ``fit`` has returned. It is a model file too: :func:`pygru.load` gives the
        model, with the weights that it has now (during ``fit``, those of
        :meth:`evaluation_weights`). Of several ranks only the first one writes; the others
        return at once.

        Parameters
        ----------
        path : path-like
            An existing file is replaced, and stays intact if saving fails.
        callback_states : mapping of Callback to dict, optional
            States to write instead of the result of ``state_dict``. This is for a callback that
            saves a checkpoint and changes its own state only after that.

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
        if not self.is_main_process:
            return
        description = describe(self.model)
        with self.evaluation_weights():
            parameters = self.model.state_dict()
            plain = self._state.to_plain(self.callbacks, callback_states or {}, self._setup)
        checkpoint_file.write(path, description, parameters, plain)

    def resume(self, path: Path | bytes) -> None:
        """Restore a checkpoint; ``fit`` with the same arguments then continues from there.

        The weights after that are, bit for bit, those of training that never stopped. The
        trainer must have been made like the one that wrote the checkpoint, with the same kind
        of model and optimiser, the same loss and the same ``clip_norm``. With several ranks it
        is enough if the first one resumes; another number of ranks may continue, with a warning
        that the bits will differ. Functions of your own
        are compared by their names. If the learning rate is a number, it is taken from the
        checkpoint. The trainer needs all callbacks that have a state in the checkpoint; others
        may be added.

        Parameters
        ----------
        path : path-like
            A file that :meth:`save_checkpoint` has written. Nothing in it is executed.

        Raises
        ------
        FormatError
            If the file is damaged or not a checkpoint; nothing is changed then.
        ValueError
            If it belongs to another model, optimiser, loss or ``clip_norm``, or to other
            callbacks; the message names the first difference, and nothing is changed.
        OSError
            If the file cannot be read.
        """
        with named_in_errors(path):
            description, parameters, plain = checkpoint_file.read(path, classes_of(self.model))
            refuse_frozen(description, describe(self.model))
            refuse_difference("model", description, describe(self.model))
            commit(restoring(self._state, parameters, plain, self.callbacks, self._setup))
