"""A stop as soon as a loss is no longer finite."""

import math

import keras
import numpy as np


class DivergenceGuard(keras.callbacks.Callback):
    """Stops training with an error as soon as a logged value is not finite.

    `kgen` models put it into every `fit`. It looks at every batch, and no step waits for it: Keras
    calls it in a thread, a few steps later. The logs are running means over the epoch, so what was
    not finite once stays so; with `steps_per_execution` above 1 it shows at the end of an
    execution.

    An error in a training term comes before any callback's `on_epoch_end`, so no backup is written
    of that epoch. A term is computed before its step's update: weights that the last step of an
    epoch spoils are for `BackupAndRestore` to refuse. Validation terms are looked at when the epoch
    ends: for them, put this callback before `BackupAndRestore`.

    Raises:
        FloatingPointError: While training; names the epoch, the step and the terms.
    """

    # Keras' word for "may run in a thread". Without it every step waits for the step's logs: 5 % of
    # a dense VAE's step.
    async_safe = True

    def __init__(self):
        super().__init__()
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the training terms."""
        self._check(logs, f"at or before step {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the validation terms."""
        self._check(logs, "at its end")

    def _check(self, logs, place):
        bad = [f"{name} = {value}" for name, value in (logs or {}).items() if not _finite(value)]
        if bad:
            raise FloatingPointError(
                f"Training diverged in epoch {self._epoch + 1}, {place}: {', '.join(bad)}. "
                "Lower the learning rate, clip the gradients (clipnorm=1.0 in the optimizer), or "
                "check the data for NaN and for values outside the expected range."
            )


def _finite(value):
    if isinstance(value, float):
        # As Keras hands it over each step; the check by NumPy takes 2.7 us, this one 0.04.
        return math.isfinite(value)
    # Several workers log arrays of shape (1,).
    value = np.asarray(value)
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())
