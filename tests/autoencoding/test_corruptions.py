"""What the corruptions do to pixels, by their statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.autoencoding import GaussianCorruption, MaskingCorruption, SaltAndPepperCorruption

IMAGES = np.random.RandomState(0).uniform(0.1, 0.9, size=(100, 10, 10, 3)).astype("float32")
SEED = (1, 2)
each = pytest.mark.parametrize(
    "corruption",
    [GaussianCorruption(0.2), MaskingCorruption(0.2), SaltAndPepperCorruption(0.2)],
    ids=lambda corruption: type(corruption).__name__,
)


def five_sigma(rate):
    return 5 * np.sqrt(rate * (1 - rate) / IMAGES.size)


@each
def test_function_of_the_seed(corruption):
    first = corruption(IMAGES, SEED)
    assert first.shape == IMAGES.shape and first.dtype == tf.float32
    assert 0.0 <= np.min(first) and np.max(first) <= 1.0
    np.testing.assert_array_equal(first, corruption(IMAGES, SEED))
    np.testing.assert_array_equal(first, tf.function(corruption)(IMAGES, tf.constant(SEED)))
    assert np.mean(first != corruption(IMAGES, (1, 3))) > 0.1
    # Every pixel, channel and image for itself.
    changed = first.numpy() != IMAGES
    for axis in range(4):
        assert np.any(np.diff(changed.astype(int), axis=axis)) or isinstance(
            corruption, GaussianCorruption
        )


@each
def test_saved_and_restored(corruption):
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(corruption)
    )
    assert type(restored) is type(corruption)
    np.testing.assert_array_equal(restored(IMAGES, SEED), corruption(IMAGES, SEED))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_masking(rate):
    corrupted = MaskingCorruption(rate)(IMAGES, SEED).numpy()
    masked = corrupted == 0.0
    np.testing.assert_array_equal(corrupted[~masked], IMAGES[~masked])
    assert abs(masked.mean() - rate) <= five_sigma(rate)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_salt_and_pepper(rate):
    corrupted = SaltAndPepperCorruption(rate)(IMAGES, SEED).numpy()
    pepper, salt = corrupted == 0.0, corrupted == 1.0
    kept = ~(pepper | salt)
    np.testing.assert_array_equal(corrupted[kept], IMAGES[kept])
    for part in (pepper, salt):
        assert abs(part.mean() - rate / 2) <= five_sigma(rate / 2)


def test_gaussian():
    grey = np.full_like(IMAGES, 0.5)
    noise = GaussianCorruption(0.05)(grey, SEED).numpy() - 0.5
    # The noise never reaches 0 or 1, ten standard deviations away.
    assert abs(noise.mean()) < 5 * 0.05 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(0.05, rel=5 / np.sqrt(2 * noise.size))
    np.testing.assert_array_equal(GaussianCorruption(0.0)(IMAGES, SEED), IMAGES)
    clipped = GaussianCorruption(10.0)(grey, SEED).numpy()
    assert np.mean((clipped == 0) | (clipped == 1)) > 0.9
