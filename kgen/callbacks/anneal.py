"""A callback that moves a model's hyperparameter along a schedule."""

import keras

from kgen.training.hyperparameters import hyperparameters


class Anneal(keras.callbacks.Callback):
    """Sets `model.<attribute> = schedule(step)` before each step, and logs its value.

        ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 5000, end_learning_rate=1.0)
        vae.fit(images, epochs=30, callbacks=[kgen.callbacks.Anneal("beta", ramp)])

    The step is `model.steps`, which counts on through several `fit`s and in a resumed run. With
    `steps_per_execution=k` the value moves at each k-th step. `History` has the value with which
    an epoch ended under the attribute's name.

    Args:
        attribute: str, a number of the model that may change while it trains, such as "beta",
            "temperature", "penalty_weight", "ema_decay".
        schedule: function of the step, an int from 0, to a number; a Keras
            `LearningRateSchedule`, or any other.

    Raises:
        ValueError: when training begins, if the model has no such number.
    """

    def __init__(self, attribute, schedule):
        super().__init__()
        if not callable(schedule):
            raise ValueError(f"schedule must be a function of the step, received {schedule!r}.")
        self.attribute, self.schedule = attribute, schedule

    def on_train_begin(self, logs=None):
        """Refuses what the model cannot change."""
        known = [name for name, value in hyperparameters(self.model).items() if value is not None]
        if self.attribute not in known:
            some = f"One of: {', '.join(known)}." if known else "It has none."
            raise ValueError(
                f"{type(self.model).__name__} has no number '{self.attribute}' that may change "
                f"while it trains. {some}"
            )

    def on_epoch_begin(self, epoch, logs=None):
        """Reads the step once: a resumed run goes on from its own."""
        self._first = int(self.model.steps.numpy())

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the value of the step."""
        setattr(self.model, self.attribute, float(self.schedule(self._first + batch)))

    def on_epoch_end(self, epoch, logs=None):
        """Logs the value."""
        if logs is not None:
            logs[self.attribute] = getattr(self.model, self.attribute)
