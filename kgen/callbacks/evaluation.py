"""Figures of the evaluation suite, while `fit` runs."""

import inspect
import numbers
import pathlib

import keras
import tensorflow as tf

from kgen import checks
from kgen.callbacks.chief import is_chief
from kgen.files import check_folder
from kgen.training.hooks import add_values


class EvaluationLogger(keras.callbacks.Callback):
    """Evaluates the model after every n-th epoch, and puts the values into the epoch's logs.

    Evaluated are epochs 0, `every`, 2 `every`, ... and the last one. Callbacks that stand after
    this one see the values: `ModelCheckpoint(monitor=name, mode="min")`, `CSVLogger`,
    `BackupAndRestore`, and `History` and the progress line, which Keras puts last. (Without `mode`
    Keras does not know which values are better, and says so.)

    The logs of the other epochs hold nothing of it. So the list of a value in `History` is shorter
    than that of the loss; its entries are those of the epochs above. `CSVLogger` writes NA there,
    with the columns of the first epoch that it sees, which for a resumed run may be one without
    values. `EarlyStopping` and `ReduceLROnPlateau` warn and skip the epoch. `ModelCheckpoint` with
    `save_best_only` warns and saves, over the best model: give it `every=1`.

    A callback that stands after this one may stop training at an epoch that was not evaluated. It
    is evaluated when training ends: the values go to `History` and to TensorBoard, but the logs of
    the epoch are closed.

    With several workers all of them evaluate, so that they see the same logs; only the first one
    writes. For runs that resume exactly, let `evaluate` draw with a fixed seed (`kgen.evaluation`
    does).

    Args:
        evaluate: Function that takes the model and returns a dict of name -> dict with the number
            `value`, such as `lambda model: {"fid": kgen.evaluation.frechet_distance(...)}`.
        every: Number of epochs from one evaluation to the next.
        log_dir: Folder of TensorBoard's events, or None for none. The scalar `<name>` has step =
            epoch, counted from 0.

    Raises:
        ValueError: If `evaluate` cannot be called or `every` is below 1. When training begins, if
            it does not take the model alone; it is not called then, since that may take long.
            While training, if it returns something else than named values, or a name that the logs
            hold already.
        OSError: When training begins, if `log_dir` cannot be written.
    """

    def __init__(self, evaluate, *, every=1, log_dir=None):
        super().__init__()
        if not callable(evaluate):
            raise ValueError(f"Expected evaluate to be a function. Received {evaluate!r}.")
        self.every = checks.positive_integer("every", every)
        self.evaluate = evaluate
        self.log_dir = None if log_dir is None else pathlib.Path(log_dir)
        self._writer = None
        self._skipped_epoch = None

    def on_train_begin(self, logs=None):
        """Forgets the training before this one, and looks whether `evaluate` takes a model."""
        self._skipped_epoch = None
        _check_takes_model(self.evaluate)
        if self.log_dir is not None and is_chief(self.model):
            check_folder(self.log_dir, "log_dir")

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates, where it is time, and adds the values to the logs."""
        is_last = epoch + 1 == (self.params or {}).get("epochs") or self.model.stop_training
        if epoch % self.every and not is_last:
            self._skipped_epoch = epoch
            return
        self._skipped_epoch = None
        values = self._values(epoch)
        if logs is None:
            return
        taken = sorted(set(values) & set(logs))
        if taken:
            raise ValueError(
                f"Expected evaluate to use names that the logs do not hold. Received {taken}, but "
                f"the logs hold {sorted(logs)}. Choose other names."
            )
        logs.update(values)

    def on_train_end(self, logs=None):
        """Evaluates where training stopped at an epoch that was not; closes the events."""
        if self._skipped_epoch is not None:
            values = self._values(self._skipped_epoch)
            add_values(self.model.history, self._skipped_epoch, values)
            self._skipped_epoch = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _values(self, epoch):
        values = _checked(self.evaluate(self.model))
        if self.log_dir is not None and is_chief(self.model):
            if self._writer is None:
                self._writer = tf.summary.create_file_writer(str(self.log_dir))
            with self._writer.as_default(step=epoch):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            self._writer.flush()
        return values


def _check_takes_model(evaluate):
    try:
        signature = inspect.signature(evaluate)
    except ValueError:
        return  # A function written in C may not tell.
    try:
        signature.bind("model")
    except TypeError as error:
        name = getattr(evaluate, "__name__", type(evaluate).__name__)
        raise ValueError(
            f"evaluate is called with the model alone, but {name}{signature} cannot be: {error}. "
            "Give the others beforehand, by functools.partial or a lambda."
        ) from None


def _checked(results):
    advice = "Return a dict of name -> dict with the number `value`."
    if not isinstance(results, dict):
        raise ValueError(f"Expected evaluate to return a dict. Received {results!r}. {advice}")
    for name, result in results.items():
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, numbers.Real):
            hint = " A single result needs a name around it." if name == "value" else ""
            raise ValueError(
                f"Expected evaluate to return a number as the `value` of {name!r}. Received "
                f"{result!r}. {advice}{hint}"
            )
    return {name: float(result["value"]) for name, result in results.items()}
