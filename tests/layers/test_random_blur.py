"""The blur against SciPy's Gaussian filter."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kgen.layers import RandomBlur


def draw(*shape):
    return np.random.RandomState(0).rand(*shape).astype("float32")


def test_each_image_has_scipys_blur_of_its_own_width():
    images, sigmas = draw(3, 9, 7, 2), [0.1, 0.7, 2.0]
    layer = RandomBlur(radius=3)
    received = layer.transform_images(tf.constant(images), tf.constant(sigmas))
    for image, sigma, result in zip(images, sigmas, received.numpy(), strict=True):
        for channel in range(2):
            blurred, weight = (
                ndimage.gaussian_filter(plane, sigma, mode="constant", radius=3)
                for plane in (image[..., channel], np.ones((9, 7)))
            )
            np.testing.assert_allclose(result[..., channel], blurred / weight, atol=1e-6)


def test_widths_are_in_the_interval_and_differ():
    sigma = RandomBlur((0.5, 1.5)).get_random_transformation(tf.zeros((200, 4, 4, 1)), seed=1)
    assert 0.5 <= min(sigma) < 0.6 and 1.4 < max(sigma) <= 1.5


def test_config_round_trip():
    layer = RandomBlur((0.5, 1.0), 2, seed=3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    images = draw(2, 6, 6, 1)
    np.testing.assert_array_equal(layer(images), again(images))
    np.testing.assert_array_equal(layer(images, training=False), images)


@pytest.mark.parametrize("options", [dict(sigma=(2.0, 1.0)), dict(radius=0)])
def test_bad_arguments(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        RandomBlur(**options)
