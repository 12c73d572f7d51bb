"""The callback by which `fit` calls the hooks of a model."""

import keras

from kgen.epochs import set_epoch


class Hooks(keras.callbacks.Callback):
    """Calls the model's hooks, and tells the input pipelines which epoch begins."""

    async_safe = True  # Keras calls the batch's hook in a thread: no step waits for its logs.

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_epoch_begin(self, epoch, logs=None):
        """Tells the epoch to pipelines and model; the first time, calls `before_training`."""
        set_epoch(epoch)
        # Here and not when training begins: a backup is restored by then.
        if self.batch is not None:
            self.model.start(self.batch)
        self.batch = None
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


def _as_scalars(logs):
    """Turn the one-entry arrays that several workers report into floats, for all callbacks."""
    for name, value in (logs or {}).items():
        if getattr(value, "shape", ()) == (1,):
            logs[name] = float(value[0])
