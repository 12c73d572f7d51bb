import itertools
import json
import os
import subprocess
import sys
import textwrap
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import callbacks
from tests.callbacks.models import classifier, fit


class _Interruption(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.current == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch


def _state(model, *more_optimizers):
    optimizers = (model.optimizer, *more_optimizers)
    variables = [v for optimizer in optimizers for v in optimizer.variables]
    return [variable.numpy() for variable in [*model.variables, *variables]]


@pytest.mark.parametrize(
    "kind",
    [{"eager": False}, {"built": False}, {"policy": "bfloat16"}],
    ids=["graph", "built by fit", "bfloat16 variables"],
)
def test_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, kind):
    whole, interrupted, resumed = (classifier(**kind) for _ in range(3))
    history = fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, callbacks.BackupAndRestore(tmp_path), _Interruption(3))
    resumed_history = fit(resumed, callbacks.BackupAndRestore(tmp_path))
    for expected, received in zip(_state(whole), _state(resumed), strict=True):
        # The same operations on the same numbers: equal bit by bit.
        np.testing.assert_array_equal(expected, received)
    assert resumed_history.epoch == history.epoch == list(range(6))
    assert resumed_history.history == history.history


def test_loss_scaling_resumes(tmp_path):
    def new():
        return classifier(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()))

    whole, part, resumed = new(), new(), new()
    fit(whole)
    fit(part, callbacks.BackupAndRestore(tmp_path), epochs=2)
    fit(resumed, callbacks.BackupAndRestore(tmp_path))
    for expected, received in zip(_state(whole), _state(resumed), strict=True):
        np.testing.assert_array_equal(expected, received)


class TwoPlayers(keras.Model):
    def __init__(self):
        super().__init__()
        self.generator = keras.layers.Dense(2)
        self.discriminator = keras.layers.Dense(3)
        self.generator.build((None, 4))
        self.discriminator.build((None, 2))
        self.built = True

    def compile(self, generator_optimizer, discriminator_optimizer):
        super().compile(optimizer=generator_optimizer, jit_compile=False, run_eagerly=True)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        generator_optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)

    def train_step(self, data):
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean(self.discriminator(self.generator(data[0])) ** 2)
        for part, optimizer in (
            (self.generator, self.generator_optimizer),
            (self.discriminator, self.discriminator_optimizer),
        ):
            weights = [variable.value for variable in part.trainable_variables]
            optimizer.apply(tape.gradient(loss, weights), part.trainable_variables)
        return {"loss": loss}


def test_both_optimizers_of_an_adversarial_model_resume(tmp_path):
    def new():
        keras.utils.set_random_seed(3)
        model = TwoPlayers()
        model.compile(
            generator_optimizer=keras.optimizers.Adam(0.01),
            discriminator_optimizer=keras.optimizers.RMSprop(0.01),
        )
        return model

    whole, part, resumed = new(), new(), new()
    fit(whole)
    fit(part, callbacks.BackupAndRestore(tmp_path), epochs=3)
    fit(resumed, callbacks.BackupAndRestore(tmp_path))
    assert int(resumed.discriminator_optimizer.iterations) == 6
    for expected, received in zip(
        _state(whole, whole.discriminator_optimizer),
        _state(resumed, resumed.discriminator_optimizer),
        strict=True,
    ):
        np.testing.assert_array_equal(expected, received)


def test_a_finished_run_trains_nothing_until_cleared(tmp_path):
    backup = callbacks.BackupAndRestore(tmp_path)
    model = classifier()
    fit(model, backup, epochs=2)
    before = _state(model)
    history = fit(model, backup, epochs=2)
    assert history.epoch == [0, 1]
    for old, new in zip(before, _state(model), strict=True):
        np.testing.assert_array_equal(old, new)

    assert fit(model, epochs=2).epoch == [0, 1], "a fit without the callback is not affected"
    assert len(fit(model, backup, epochs=3).history["loss"]) == 3
    backup.clear()
    assert not list(tmp_path.iterdir())
    assert fit(model, backup, epochs=1).epoch == [0]
    backup.clear()
    backup.clear()


def test_another_fingerprint_is_refused_and_named(tmp_path):
    first = json.dumps({"beta": 1.0, "epochs": 3, "seed": 0})
    fit(classifier(), callbacks.BackupAndRestore(tmp_path, fingerprint=first), epochs=1)
    second = json.dumps({"beta": 4.0, "epochs": 3, "width": 8})
    with pytest.raises(
        ValueError, match="beta was 1.0, now 4.0, seed was 0, now None, width was None"
    ):
        fit(classifier(), callbacks.BackupAndRestore(tmp_path, fingerprint=second))
    with pytest.raises(ValueError, match="its fingerprint is .*, now it is None"):
        fit(classifier(), callbacks.BackupAndRestore(tmp_path))
    again = callbacks.BackupAndRestore(tmp_path, fingerprint=first)
    assert fit(classifier(), again, epochs=2).epoch == [0, 1]


def test_another_model_or_optimizer_is_refused_untouched(tmp_path):
    fit(classifier(), callbacks.BackupAndRestore(tmp_path), epochs=1)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other.compile("adam", "mse")
    before = [v.numpy() for v in other.variables]
    with pytest.raises(ValueError, match="another model or optimizer"):
        fit(other, callbacks.BackupAndRestore(tmp_path))
    for old, new in zip(before, other.variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    with pytest.raises(ValueError, match="another model or optimizer"):
        fit(classifier(optimizer="sgd"), callbacks.BackupAndRestore(tmp_path))


def test_a_damaged_backup_is_refused_by_name(tmp_path):
    backup = callbacks.BackupAndRestore(tmp_path)
    fit(classifier(), backup, epochs=1)
    whole = backup.path.read_bytes()
    with zipfile.ZipFile(backup.path) as archive:
        data_start = archive.getinfo("0.npy").header_offset + 200
    flipped = bytearray(whole)
    flipped[data_start] ^= 1
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2], whole[:-1], bytes(flipped)):
        backup.path.write_bytes(damaged)
        with pytest.raises(ValueError, match="training_state.zip cannot be read"):
            fit(classifier(), callbacks.BackupAndRestore(tmp_path))


def test_a_failed_save_keeps_the_last_backup(tmp_path, monkeypatch):
    backup = callbacks.BackupAndRestore(tmp_path)
    model = classifier()
    fit(model, backup, epochs=1)
    before = backup.path.read_bytes()
    calls = itertools.count()

    def full_disk(stream, array):
        if next(calls) == 3:
            raise OSError(28, "No space left on device")
        np.lib.format.write_array(stream, array)

    monkeypatch.setattr(callbacks.backup, "_write_array", full_disk)
    with pytest.raises(OSError, match="No space left"):
        fit(model, backup, epochs=2)
    assert backup.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [backup.path.name]


def test_a_folder_that_cannot_be_written_is_known_before_training(tmp_path):
    (tmp_path / "file").touch()
    model = classifier()
    with pytest.raises(OSError, match="Choose a backup_dir that can be written"):
        fit(model, callbacks.BackupAndRestore(tmp_path / "file" / "run"))
    assert int(model.optimizer.iterations) == 0


_ENDLESS_RUN = """
    import json, os, pathlib, random, signal, sys, time, zipfile

    folder, kills = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    import keras, numpy as np
    from kgen import callbacks

    def train():
        model = keras.Sequential([keras.Input((512,)), keras.layers.Dense(512, use_bias=False)])
        model.layers[0].kernel.assign(np.zeros((512, 512)))
        loss = lambda y, p: keras.ops.sum(p, -1)
        # Each step takes 1 from every weight: weights, iterations and epoch have to agree.
        model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)
        x = np.ones((1, 512), np.float32)
        backup = callbacks.BackupAndRestore(folder)
        model.fit(x, x[:, :1], epochs=10**9, verbose=0, callbacks=[backup])

    path = folder / "training_state.zip"
    for kill in range(kills):
        written = path.stat().st_mtime_ns if path.exists() else 0
        child = os.fork()
        if child == 0:
            train()
        while not path.exists() or path.stat().st_mtime_ns == written:
            if os.waitpid(child, os.WNOHANG)[0]:
                sys.exit("the run ended by itself")
            time.sleep(0.001)
        time.sleep(random.Random(kill).uniform(0, 0.05))
        # Every second kill comes while a backup is being written.
        while kill % 2 and not list(folder.glob(".*.partial")):
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            epoch = json.loads(archive.read("state.json"))["epoch"]
        print(epoch, len(list(folder.glob(".*.partial"))), flush=True)
"""


def test_kills_at_any_moment_lose_no_epoch_and_repeat_none(tmp_path):
    kills = 4
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", textwrap.dedent(_ENDLESS_RUN), str(tmp_path), str(kills)]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    epochs, leftovers = np.loadtxt(result.stdout.splitlines(), dtype=int, unpack=True)
    assert len(epochs) == kills
    assert (np.diff(epochs) > 0).all(), "each run goes on from the last"
    assert leftovers.any(), "some kills hit a backup being written"

    model = keras.Sequential([keras.Input((512,)), keras.layers.Dense(512, use_bias=False)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    backup = callbacks.BackupAndRestore(tmp_path)
    backup.set_model(model)
    backup.on_train_begin()
    epoch = model._initial_epoch
    assert epoch == epochs[-1]
    assert int(model.optimizer.iterations) == epoch
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), -epoch)
    with zipfile.ZipFile(backup.path) as archive:
        history = json.loads(archive.read("state.json"))["history"]
    assert [record[0] for record in history] == list(range(epoch))
    assert [path.name for path in tmp_path.iterdir()] == [backup.path.name], "leftovers are removed"
