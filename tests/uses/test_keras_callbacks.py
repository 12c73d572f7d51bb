"""Callbacks of Keras on kgen's models: learning rates of all players, files."""

import keras
import numpy as np
import pytest
from keras import layers

import kgen

SHAPE = (4, 4, 1)


def dense(inputs, outputs, end=None):
    size = int(np.prod(outputs))
    parts = [keras.Input(inputs), layers.Flatten(), layers.Dense(size, activation=end)]
    return keras.Sequential([*parts, layers.Reshape(outputs)])


@pytest.fixture
def gan():
    model = kgen.GAN(dense((2,), SHAPE, "sigmoid"), dense(SHAPE, (1,)))
    model.compile(
        generator_optimizer=keras.optimizers.SGD(0.1),
        discriminator_optimizer=keras.optimizers.SGD(0.4),
    )
    return model


IMAGES = np.zeros((8, *SHAPE), np.float32)


def test_a_schedule_moves_every_player(gan):
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = gan.fit(IMAGES, epochs=3, callbacks=[schedule], verbose=0).history
    np.testing.assert_allclose(history["generator_learning_rate"], [0.05, 0.025, 0.0125])
    np.testing.assert_allclose(history["discriminator_learning_rate"], [0.2, 0.1, 0.05])


def test_a_plateau_moves_every_player(gan):
    plateau = keras.callbacks.ReduceLROnPlateau(
        "generator_loss", mode="min", factor=0.5, patience=1, min_delta=1e9
    )
    history = gan.fit(IMAGES, epochs=3, callbacks=plateau, verbose=0).history
    np.testing.assert_allclose(history["generator_learning_rate"], [0.1, 0.1, 0.05])
    np.testing.assert_allclose(history["discriminator_learning_rate"], [0.4, 0.4, 0.2])
    assert float(gan.discriminator_optimizer.learning_rate.numpy()) == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["model.h5"])
def test_hdf5_is_refused(gan, tmp_path, name):
    with pytest.raises(ValueError, match="ends in .keras"):
        gan.save(tmp_path / name)
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / name))
    with pytest.raises(ValueError, match="ends in .keras"):
        gan.fit(IMAGES, callbacks=[checkpoint], verbose=0)
    gan.save_weights(tmp_path / "model.weights.h5")
