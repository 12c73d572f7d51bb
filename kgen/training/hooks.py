"""The callback by which `fit` calls the hooks of a model."""

import keras
import numpy as np

from kgen import layers
from kgen.epochs import set_epoch


class Hooks(keras.callbacks.Callback):
    """Calls the model's hooks, and tells the input pipelines which epoch begins."""

    async_safe = True  # Keras calls the batch's hook in a thread: no step waits for its logs.

    def __init__(self, batch, examples=None):
        super().__init__()
        self.batch, self.examples = batch, examples

    def on_epoch_begin(self, epoch, logs=None):
        """Tells the epoch to pipelines and model; the first time, calls `before_training`."""
        set_epoch(epoch)
        # Here and not when training begins: a backup is restored by then.
        if self.examples is not None:
            layers.adapt(self.model, self.examples)
        if self.batch is not None:
            self.model.start(self.batch)
        self.batch = self.examples = None
        self.model.before_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        """Makes floats of what several workers report."""
        _as_scalars(logs)

    def on_epoch_end(self, epoch, logs=None):
        """Calls `after_epoch`."""
        _as_scalars(logs)
        self.model.after_epoch(epoch)

    def on_train_end(self, logs=None):
        """Calls `after_training`."""
        self.model.after_training()


class History(keras.callbacks.History):
    """Keras' `History`, which also knows at which epochs each value was logged.

    Attributes:
        epochs_of: dict of name -> the epochs of its values in `history`, counted from 1.
    """

    def on_train_begin(self, logs=None):
        """Forgets the training before this one."""
        super().on_train_begin(logs)
        self.epochs_of = {}

    def on_epoch_end(self, epoch, logs=None):
        """Keeps what this epoch logged."""
        super().on_epoch_end(epoch, logs)
        for name in logs or {}:
            self.epochs_of.setdefault(name, []).append(epoch + 1)


def add_values(history, epoch, values):
    """Add the values of an epoch, counted from 0, to a `History` of kgen or Keras."""
    for name, value in values.items():
        history.history.setdefault(name, []).append(value)
        if isinstance(history, History):
            history.epochs_of.setdefault(name, []).append(epoch + 1)


class PlayersFollow(keras.callbacks.Callback):
    """Lets all players follow where a callback of Keras moves `model.optimizer`'s learning rate.

    `LearningRateScheduler` and `ReduceLROnPlateau` know one optimizer, the last player's. Here the
    others' rates change by the same factor, and the logs show the rate of each.
    """

    def on_train_begin(self, logs=None):
        """Keeps the rates that they begin with."""
        self.before = self._rates()

    def on_epoch_begin(self, epoch, logs=None):
        """Follows `LearningRateScheduler`."""
        self._follow()

    def on_epoch_end(self, epoch, logs=None):
        """Logs the rates of the epoch, then follows `ReduceLROnPlateau`."""
        rates = self._rates()
        if logs is not None:
            logs.update({f"{player}_learning_rate": rate for player, rate in self.before.items()})
        if rates != self.before:
            self._follow()

    def _rates(self):
        optimizers = {each: self.model.player_optimizer(each) for each in self.model.players}
        return {name: float(np.asarray(each.learning_rate)) for name, each in optimizers.items()}

    def _follow(self):
        *others, leader = self.model.players
        rates = self._rates()
        if rates[leader] == self.before[leader]:
            return
        factor = rates[leader] / self.before[leader] if self.before[leader] else 1.0
        for player in others:
            self.model.player_optimizer(player).learning_rate = factor * rates[player]
        self.before = self._rates()


def _as_scalars(logs):
    """Turn the one-entry arrays that several workers report into floats, for all callbacks."""
    for name, value in (logs or {}).items():
        if getattr(value, "shape", ()) == (1,):
            logs[name] = float(value[0])
