"""What happened during training, epoch by epoch."""

import json


class History:
    """The numbers of every epoch, in order.

    ``history["loss"]`` is the list of one number; ``history.records`` the list of epochs, each
    a dict with ``epoch``, ``loss``, ``seconds`` and, with validation data, ``val_loss``.

    Parameters
    ----------
    records : list of dict, optional
        Epochs to begin with.

    Examples
    --------
    >>> from pygru import History
    >>> history = History([{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0}])
    >>> history["loss"], len(history)
    ([2.0, 1.0], 2)
    """

    def __init__(self, records=()):
        self.records = [dict(record) for record in records]

    def append(self, record):
        """Add the numbers of one more epoch."""
        self.records.append(dict(record))

    def __getitem__(self, name):
        values = [record[name] for record in self.records if name in record]
        if not values:
            known = sorted({key for record in self.records for key in record})
            raise KeyError(f"history has no {name!r}; it has {', '.join(known) or 'no epochs'}")
        return values

    def __contains__(self, name):
        return any(name in record for record in self.records)

    def __len__(self):
        return len(self.records)

    def __repr__(self):
        last = "" if not self.records else f", last {self.records[-1]}"
        return f"History({len(self)} epochs{last})"

    def to_json(self):
        """Return the records as JSON text."""
        return json.dumps({"records": self.records}, indent=1)

    def plot(self, ax=None):
        """Draw training and validation loss over epochs.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from pygru.plot import plot_history

        return plot_history(self, ax)
