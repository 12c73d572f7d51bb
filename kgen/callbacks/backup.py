"""Backups of a run, from which it resumes."""

import itertools
import json
import pathlib
import re
import zipfile

import keras
import numpy as np
import tensorflow as tf

from kgen.callbacks.chief import is_chief
from kgen.files import check_folder, replace_atomically
from kgen.training.hooks import add_values
from kgen.training.hyperparameters import hyperparameters


class BackupAndRestore(keras.callbacks.Callback):
    """Backs up a run after every epoch, and resumes it when `fit` is called again.

    Takes the place of `keras.callbacks.BackupAndRestore`, which asks for a model that is built
    even in a first run, sees no optimizer but `model.optimizer`, leaves out the random state of
    layers such as `Dropout`, and writes weights and epoch as two files, one after the other: a run
    killed in between repeats an epoch on weights that have already seen it.

    Here one file holds it all and takes the place of the last one in a single rename. A run that is
    killed at any moment, even while it writes, loses at most the epoch under way and repeats none.
    Restored are the model's variables (the state of its random generators among them), those of
    every optimizer that is an attribute of the model (learning rates too), its hyperparameters that
    may change, the number of the next epoch, and the `History` that `fit` returns. With `verbose`,
    `fit` says from where it resumes.

    A resumed run ends with the weights of an uninterrupted one if the data of epoch n depends on n
    and a seed alone, which `steps_per_epoch` ends: Keras then keeps one iterator over all epochs.
    Not covered is the state of other callbacks, such as the patience counted by `EarlyStopping` and
    `ReduceLROnPlateau`. Put this callback last in the list: what stands after it has not happened
    yet when the epoch counts as done.

    Weights that are not finite are not backed up: the last step of an epoch can spoil them, which
    the losses show only a step later. The backup of the epoch before stays.

    The file is kept when training ends, so that a run killed during its export need not train
    again; `fit` then trains nothing. Call `clear` once the results are safe. With several workers,
    `backup_dir` has to be a folder that all of them see; only the first one writes.

    Args:
        backup_dir: Folder of the backup, for this run alone.
        fingerprint: String that identifies what is trained, such as the configuration as JSON. A
            backup with another one is refused.

    Raises:
        ValueError: When training begins, if the backup cannot be read, has another fingerprint, or
            its variables are not those of the model.
        OSError: When training begins, if `backup_dir` cannot be written.
        FloatingPointError: When an epoch ends, if a variable holds NaN or an infinite value.
    """

    def __init__(self, backup_dir, *, fingerprint=None):
        super().__init__()
        self.backup_dir = pathlib.Path(backup_dir)
        self.fingerprint = fingerprint
        self._records = []
        self._history_is_due = False

    @property
    def path(self):
        """The backup's file, a ZIP archive of `state.json` and one `.npy` a variable."""
        return self.backup_dir / "training_state.zip"

    def clear(self):
        """Deletes the backup, so that the next `fit` starts from the beginning."""
        self.path.unlink(missing_ok=True)
        self._remove_leftovers()

    def on_train_begin(self, logs=None):
        """Restores the backup, if there is one."""
        self._records = []
        if is_chief(self.model):
            check_folder(self.backup_dir, "backup_dir")
            self._remove_leftovers()
        if self.path.exists():
            self._restore()
        self._history_is_due = bool(self._records)

    def on_epoch_begin(self, epoch, logs=None):
        """Gives the epochs before the interruption back to `model.history`."""
        # Keras has read it, and a later `fit` must not find it.
        self.model._initial_epoch = None
        self._extend_history()

    def on_epoch_end(self, epoch, logs=None):
        """Writes the backup."""
        logs = {name: np.asarray(value).tolist() for name, value in (logs or {}).items()}
        self._records.append([epoch, logs])
        self._save(epoch + 1)

    def on_train_end(self, logs=None):
        """Does the same if no epoch was left to train; the file stays."""
        self.on_epoch_begin(epoch=None)

    def _remove_leftovers(self):
        for path in self.backup_dir.glob(f".{self.path.name}.*.partial"):
            path.unlink(missing_ok=True)

    def _extend_history(self):
        # `History` forgets its epochs when training begins, after this callback's turn.
        for epoch, logs in self._records if self._history_is_due else ():
            self.model.history.epoch.append(epoch)
            add_values(self.model.history, epoch, logs)
        self._history_is_due = False

    def _save(self, epoch):
        variables = _state_variables(self.model)
        if not is_chief(self.model):
            for variable in variables:
                # Reading a variable can be a collective operation, which needs every worker.
                self._finite(variable, epoch)
            return
        state = {
            "epoch": epoch,
            "fingerprint": self.fingerprint,
            "history": self._records,
            "hyperparameters": hyperparameters(self.model),
            "build_config": self.model.get_build_config(),
            "variables": [_signature(variable) for variable in variables],
        }
        with replace_atomically(self.path) as stream, zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("state.json", json.dumps(state, default=str))
            for index, variable in enumerate(variables):
                with archive.open(f"{index}.npy", "w", force_zip64=True) as member:
                    _write_array(member, self._finite(variable, epoch))

    def _finite(self, variable, epoch):
        array = variable.numpy()
        if not tf.as_dtype(variable.dtype).is_floating or np.isfinite(array).all():
            return array
        kept = f" The backup of an earlier epoch stays: {self.path}." if self.path.exists() else ""
        raise FloatingPointError(
            f"Training diverged by the end of epoch {epoch}: the variable '{variable.path}' holds "
            f"values that are not finite.{kept} Lower the learning rate, or clip the gradients "
            "(clipnorm=1.0 in the optimizer)."
        )

    def _restore(self):
        try:
            with zipfile.ZipFile(self.path) as archive:
                damaged = archive.testzip()
                if damaged:
                    raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
                state = json.loads(archive.read("state.json"))
        except (zipfile.BadZipFile, KeyError, NotImplementedError, ValueError, EOFError) as error:
            message = f"The backup {self.path} cannot be read: {error}. Delete it to train anew."
            raise ValueError(message) from error
        self._check_fingerprint(state["fingerprint"])
        self._build(state["build_config"])
        variables = _state_variables(self.model)
        self._check_variables(state["variables"], [_signature(v) for v in variables])
        with zipfile.ZipFile(self.path) as archive:
            for index, variable in enumerate(variables):
                with archive.open(f"{index}.npy") as member:
                    variable.assign(_read_array(member, variable.dtype))
        for name, value in state.get("hyperparameters", {}).items():
            setattr(self.model, name, value)
        self._records = state["history"]
        self.model._initial_epoch = state["epoch"]
        if (self.params or {}).get("verbose"):
            print(f"Resuming after epoch {state['epoch']} from {self.path}.")

    def _build(self, build_config):
        model = self.model
        if not model.built and build_config:
            model.build_from_config(build_config)
        if model.optimizer is not None and not model.optimizer.built:
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)

    def _check_fingerprint(self, saved):
        if saved == self.fingerprint:
            return
        raise ValueError(
            f"The backup {self.path} is of another run: {_difference(saved, self.fingerprint)}. "
            "Continue with the same configuration, use another backup_dir, or delete the file to "
            "train from the beginning."
        )

    def _check_variables(self, saved, present):
        if saved == present:
            return
        pairs = itertools.zip_longest(saved, present)
        first, here = next(pair for pair in pairs if pair[0] != pair[1])
        raise ValueError(
            f"The backup {self.path} is of another model or optimizer: it has {len(saved)} "
            f"variables, the model and its optimizers have {len(present)}; the first that differs "
            f"is {first} there and {here} here. Build the model and every optimizer before `fit` "
            "as in the first run, or use another backup_dir."
        )


def _state_variables(model):
    variables = list(model.variables)
    for value in vars(model).values():
        if isinstance(value, keras.optimizers.Optimizer):
            variables.extend(value.variables)
    # `optimizer` and `generator_optimizer` may be one object.
    return list({id(variable): variable for variable in variables}.values())


def _signature(variable):
    # Only the last word of the path, such as "kernel": Keras numbers the names before it.
    kind = re.findall("[A-Za-z]+", variable.path)[-1]
    return [kind, list(variable.shape), variable.dtype]


def _write_array(stream, array):
    np.lib.format.write_array(stream, array, allow_pickle=False)


def _read_array(stream, dtype):
    array = np.lib.format.read_array(stream, allow_pickle=False)
    # NumPy's format has no name for bfloat16 and float8 and gives back their bytes.
    return array.view(tf.as_dtype(dtype).as_numpy_dtype) if array.dtype.kind == "V" else array


def _difference(saved, given):
    try:
        before, now = json.loads(saved), json.loads(given)
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    except (AttributeError, TypeError, ValueError):
        return f"its fingerprint is {saved!r}, now it is {given!r}"
    return ", ".join(f"{name} was {before.get(name)!r}, now {now.get(name)!r}" for name in names)
