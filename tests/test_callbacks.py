import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import callbacks, plots

IMAGES = np.random.default_rng(0).random((16, 4, 4, 1), dtype=np.float32)


class Autoencoder(keras.Model):
    """Plain Keras model with the verbs that pictures and embeddings use."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
        self.decoder = keras.Sequential(
            [keras.layers.Dense(16, "sigmoid"), keras.layers.Reshape((4, 4, 1))]
        )

    def call(self, images):
        return self.decoder(self.encoder(images))

    def encode(self, images):
        return self.encoder(images)

    def reconstruct(self, images):
        return self(images)


def _fit_autoencoder(*used, epochs=1):
    model = Autoencoder()
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(IMAGES, IMAGES, epochs=epochs, verbose=0, callbacks=list(used))
    return model


def _summaries(folder):
    found = []
    for path in sorted(folder.glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found.extend((event.step, value) for value in event.summary.value)
    return found


def _grid(model):
    return plots.reconstruction_grid(model, IMAGES[:4])


def test_pictures_are_written_while_fit_runs(tmp_path):
    logger = callbacks.PictureLogger(tmp_path, {"reconstructions": _grid}, every=2)
    model = _fit_autoencoder(logger, epochs=5)
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["reconstructions-0001.png", "reconstructions-0003.png"]
    summaries = _summaries(tmp_path)
    assert [(step, value.tag) for step, value in summaries] == [
        (1, "reconstructions"),
        (3, "reconstructions"),
    ]
    height, width = _grid(model).shape[:2]
    encoded = summaries[-1][1].tensor.string_val
    assert encoded[:2] == [str(width).encode(), str(height).encode()]
    assert tf.io.decode_png(encoded[2]).shape[:2] == (height, width)


@pytest.mark.parametrize(
    ("pictures", "every"), [({}, 1), ({"a/b": _grid}, 1), ({"a": None}, 1), ({"a": _grid}, 0)]
)
def test_picture_logger_checks_its_arguments(tmp_path, pictures, every):
    with pytest.raises(ValueError, match="Expected"):
        callbacks.PictureLogger(tmp_path, pictures, every=every)


def test_a_function_that_draws_no_picture_is_named(tmp_path):
    logger = callbacks.PictureLogger(tmp_path, {"broken": lambda model: np.zeros((4, 4))})
    with pytest.raises(ValueError, match="picture 'broken' to be uint8"):
        _fit_autoencoder(logger)


@pytest.mark.parametrize("labels", [None, np.arange(14), ["a\tb"] * 14])
def test_projector_plugin_reads_the_embeddings(tmp_path, labels):
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.projector import projector_plugin
    from werkzeug.test import Client

    images = np.zeros((14, 4, 6, 1), np.float32)
    images[5] = 1

    class Model(Autoencoder):
        def encode(self, images):
            # A spatial code: two by two, with one channel.
            return keras.ops.convert_to_tensor(images)[:, :2, :2]

    callback = callbacks.ProjectorLogger(tmp_path, images, labels)
    callback.set_model(Model())
    callback.on_train_end()

    plugin = projector_plugin.ProjectorPlugin(base_plugin.TBContext(logdir=str(tmp_path)))
    apps = plugin.get_plugin_apps()

    def get(route):
        response = Client(apps[route]).get("/?run=.&name=codes&num_rows=100")
        assert response.status_code == 200
        return response.get_data()

    embedding = json.loads(get("/info"))["embeddings"][0]
    assert embedding["tensorShape"] == [14, 4]
    assert embedding["sprite"]["singleImageDim"] == [6, 4]
    codes = np.frombuffer(get("/tensor"), np.float32).reshape(14, 4)
    np.testing.assert_array_equal(codes, images[:, :2, :2].reshape(14, 4))
    sprite = tf.io.decode_png(get("/sprite_image")).numpy()
    assert sprite.shape == (16, 24, 1)
    assert sprite.sum() == sprite[4:8, 6:12].sum() == 24 * 255, "image 5: second row, second column"
    if labels is not None:
        lines = get("/metadata").decode().splitlines()
        assert lines == [" ".join(str(label).split()) for label in labels]


def test_projector_checks_its_arguments(tmp_path):
    with pytest.raises(ValueError, match="one label an image"):
        callbacks.ProjectorLogger(tmp_path, IMAGES, [1])
    with pytest.raises(ValueError, match="Pass fewer images"):
        callbacks.ProjectorLogger(tmp_path, np.zeros((17, 2048, 1, 1), np.float32))


# BackupAndRestore.

X = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)
Y = np.random.default_rng(2).normal(size=(12, 2)).astype(np.float32)


class _Interruption(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.current == self.epoch:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch


def _classifier(*, built=True, optimizer=None, policy=None, eager=True):
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(8, "relu", dtype=policy),
        keras.layers.BatchNormalization(dtype=policy),
        # Its generator has a state, which Keras' weight files leave out.
        keras.layers.Dropout(0.5, dtype=policy),
        keras.layers.Dense(2, dtype=policy),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers] if built else layers)
    model.compile(
        optimizer or keras.optimizers.Adam(0.05), "mse", jit_compile=False, run_eagerly=eager
    )
    return model


def _fit(model, *used, epochs=6):
    # One full batch an epoch: the order of the data cannot matter.
    return model.fit(
        X, Y, batch_size=len(X), shuffle=False, epochs=epochs, verbose=0, callbacks=list(used)
    )


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
    whole, interrupted, resumed = (_classifier(**kind) for _ in range(3))
    history = _fit(whole)
    with pytest.raises(KeyboardInterrupt):
        _fit(interrupted, callbacks.BackupAndRestore(tmp_path), _Interruption(3))
    resumed_history = _fit(resumed, callbacks.BackupAndRestore(tmp_path))
    for expected, received in zip(_state(whole), _state(resumed), strict=True):
        # The same operations on the same numbers: equal bit by bit.
        np.testing.assert_array_equal(expected, received)
    assert resumed_history.epoch == history.epoch == list(range(6))
    assert resumed_history.history == history.history


def test_loss_scaling_resumes(tmp_path):
    def new():
        return _classifier(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()))

    whole, part, resumed = new(), new(), new()
    _fit(whole)
    _fit(part, callbacks.BackupAndRestore(tmp_path), epochs=2)
    _fit(resumed, callbacks.BackupAndRestore(tmp_path))
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
        model.compile(keras.optimizers.Adam(0.01), keras.optimizers.RMSprop(0.01))
        return model

    whole, part, resumed = new(), new(), new()
    _fit(whole)
    _fit(part, callbacks.BackupAndRestore(tmp_path), epochs=3)
    _fit(resumed, callbacks.BackupAndRestore(tmp_path))
    assert int(resumed.discriminator_optimizer.iterations) == 6
    for expected, received in zip(
        _state(whole, whole.discriminator_optimizer),
        _state(resumed, resumed.discriminator_optimizer),
        strict=True,
    ):
        np.testing.assert_array_equal(expected, received)


def test_a_finished_run_trains_nothing_until_cleared(tmp_path):
    backup = callbacks.BackupAndRestore(tmp_path)
    model = _classifier()
    _fit(model, backup, epochs=2)
    before = _state(model)
    history = _fit(model, backup, epochs=2)
    assert history.epoch == [0, 1]
    for old, new in zip(before, _state(model), strict=True):
        np.testing.assert_array_equal(old, new)

    assert _fit(model, epochs=2).epoch == [0, 1], "a fit without the callback is not affected"
    assert len(_fit(model, backup, epochs=3).history["loss"]) == 3
    backup.clear()
    assert not list(tmp_path.iterdir())
    assert _fit(model, backup, epochs=1).epoch == [0]
    backup.clear()
    backup.clear()


def test_another_fingerprint_is_refused_and_named(tmp_path):
    first = json.dumps({"beta": 1.0, "epochs": 3, "seed": 0})
    _fit(_classifier(), callbacks.BackupAndRestore(tmp_path, fingerprint=first), epochs=1)
    second = json.dumps({"beta": 4.0, "epochs": 3, "width": 8})
    with pytest.raises(
        ValueError, match="beta was 1.0, now 4.0, seed was 0, now None, width was None"
    ):
        _fit(_classifier(), callbacks.BackupAndRestore(tmp_path, fingerprint=second))
    with pytest.raises(ValueError, match="its fingerprint is .*, now it is None"):
        _fit(_classifier(), callbacks.BackupAndRestore(tmp_path))
    again = callbacks.BackupAndRestore(tmp_path, fingerprint=first)
    assert _fit(_classifier(), again, epochs=2).epoch == [0, 1]


def test_another_model_or_optimizer_is_refused_untouched(tmp_path):
    _fit(_classifier(), callbacks.BackupAndRestore(tmp_path), epochs=1)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    other.compile("adam", "mse")
    before = [v.numpy() for v in other.variables]
    with pytest.raises(ValueError, match="another model or optimizer"):
        _fit(other, callbacks.BackupAndRestore(tmp_path))
    for old, new in zip(before, other.variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    with pytest.raises(ValueError, match="another model or optimizer"):
        _fit(_classifier(optimizer="sgd"), callbacks.BackupAndRestore(tmp_path))


def test_a_damaged_backup_is_refused_by_name(tmp_path):
    backup = callbacks.BackupAndRestore(tmp_path)
    _fit(_classifier(), backup, epochs=1)
    whole = backup.path.read_bytes()
    with zipfile.ZipFile(backup.path) as archive:
        data_start = archive.getinfo("0.npy").header_offset + 200
    flipped = bytearray(whole)
    flipped[data_start] ^= 1
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2], whole[:-1], bytes(flipped)):
        backup.path.write_bytes(damaged)
        with pytest.raises(ValueError, match="training_state.zip cannot be read"):
            _fit(_classifier(), callbacks.BackupAndRestore(tmp_path))


def test_a_failed_save_keeps_the_last_backup(tmp_path, monkeypatch):
    backup = callbacks.BackupAndRestore(tmp_path)
    model = _classifier()
    _fit(model, backup, epochs=1)
    before = backup.path.read_bytes()
    calls = itertools.count()

    def full_disk(stream, array):
        if next(calls) == 3:
            raise OSError(28, "No space left on device")
        np.lib.format.write_array(stream, array)

    monkeypatch.setattr(callbacks, "_write_array", full_disk)
    with pytest.raises(OSError, match="No space left"):
        _fit(model, backup, epochs=2)
    assert backup.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [backup.path.name]


def test_a_folder_that_cannot_be_written_is_known_before_training(tmp_path):
    (tmp_path / "file").touch()
    model = _classifier()
    with pytest.raises(OSError, match="Choose a backup_dir that can be written"):
        _fit(model, callbacks.BackupAndRestore(tmp_path / "file" / "run"))
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
    kills = 6
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


# DivergenceGuard.


def _diverge(step, *, epochs=2, steps=8, verbose=0, validation_data=None):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    x = np.tile(X[:1], (steps, 1))
    y = np.tile(Y[:1], (steps, 1))
    if step is not None:
        y[step] = np.nan
    model.fit(
        *(x, y),
        batch_size=1,
        shuffle=False,
        epochs=epochs,
        verbose=verbose,
        validation_data=validation_data,
        callbacks=[callbacks.DivergenceGuard()],
    )


@pytest.mark.parametrize("step", [0, 3, 7])
def test_divergence_stops_with_step_and_terms(step):
    message = r"epoch 1, at or before step (\d+): loss = nan, mae = nan\. Lower the learning rate"
    with pytest.raises(FloatingPointError, match=message) as error:
        _diverge(step)
    assert int(re.search(message, str(error.value)).group(1)) >= step + 1


def test_a_healthy_run_passes():
    _diverge(None, validation_data=(X, Y))


def test_diverged_validation_is_named():
    with pytest.raises(FloatingPointError, match="epoch 1, at its end: val_loss = nan"):
        _diverge(None, validation_data=(X, np.full_like(Y, np.nan)))


def test_no_backup_of_a_diverged_epoch(tmp_path):
    model = _classifier()
    # The guard stands last: the order does not matter.
    used = [callbacks.BackupAndRestore(tmp_path), callbacks.DivergenceGuard()]
    _fit(model, *used, epochs=1)
    before = used[0].path.read_bytes()
    with pytest.raises(FloatingPointError, match="epoch 2"):
        model.fit(X, Y * np.nan, batch_size=12, epochs=3, verbose=0, callbacks=used)
    assert used[0].path.read_bytes() == before


@pytest.mark.parametrize("value", [1.0, np.ones(1), 3, "text", None])
def test_guard_accepts_what_is_finite_or_no_number(value):
    callbacks.DivergenceGuard().on_train_batch_end(0, {"loss": value})


@pytest.mark.parametrize("value", [float("inf"), np.full(1, np.nan)])
def test_guard_sees_scalars_and_arrays(value):
    with pytest.raises(FloatingPointError, match="step 5: loss"):
        callbacks.DivergenceGuard().on_train_batch_end(4, {"kl": 0.0, "loss": value})
