"""Random resized crops against SciPy's interpolation, PyTorch's resizing and uniform laws."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, stats

from kgen.layers import RandomResizedCrop


def draw(*shape):
    return np.random.RandomState(0).rand(*shape).astype("float32")


def boxes(layer, height=40, width=30, count=2000):
    images = tf.zeros((count, height, width, 1))
    return layer.get_random_transformation(images, seed=1).numpy().astype(float).T


@pytest.mark.parametrize(("height", "width"), [(13, 9), (20, 21)])
def test_crops_are_scipys_linear_interpolation(height, width):
    images = draw(3, 12, 8, 2)
    crops = np.array([[1.3, 0.2, 9.1, 5.5], [0, 0, 12, 8], [6.5, 3, 5.5, 5]], "float32")
    received = RandomResizedCrop(height, width).transform_images(tf.constant(images), crops)
    for image, crop, result in zip(images, crops, received.numpy(), strict=True):
        top, left, h, w = crop
        rows = top + (np.arange(height) + 0.5) * h / height - 0.5
        columns = left + (np.arange(width) + 0.5) * w / width - 0.5
        grid = np.meshgrid(rows, columns, indexing="ij")
        for channel in range(2):
            expected = ndimage.map_coordinates(image[..., channel], grid, order=1, mode="nearest")
            # Places in float32: an error of 1e-6 pixels.
            np.testing.assert_allclose(result[..., channel], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(5, 3), (12, 8), (7, 16)])
def test_the_whole_image_is_resized_as_pytorch_does(size):
    torch = pytest.importorskip("torch")
    images = draw(2, 12, 8, 3)
    received = RandomResizedCrop(*size)(images, training=False)
    expected = torch.nn.functional.interpolate(
        torch.tensor(np.moveaxis(images, -1, 1)), size, mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(received, np.moveaxis(expected.numpy(), 1, -1), atol=1e-6)


def test_a_crop_of_everything_changes_nothing():
    images = draw(2, 7, 7, 3)
    layer = RandomResizedCrop(7, 7, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    np.testing.assert_allclose(layer(images), images, atol=1e-6)


def test_area_ratio_and_place_are_uniform():
    # Every draw fits: the longest side is (0.3 * 4 / 3 * 1200) ** 0.5 < 30.
    top, left, height, width = boxes(RandomResizedCrop(4, 4, scale=(0.1, 0.3)))
    uniform = {
        "area": (height * width / 1200 - 0.1) / 0.2,
        "ratio": (np.log(width / height) - np.log(3 / 4)) / np.log(16 / 9),
        "top": top / (40 - height),
        "left": left / (30 - width),
    }
    for name, values in uniform.items():
        assert stats.kstest(values, "uniform").pvalue > 1e-3, name


def test_crops_lie_inside_and_keep_the_ranges():
    top, left, height, width = boxes(RandomResizedCrop(4, 4))
    # Tolerances of float32.
    assert top.min() >= 0 and left.min() >= 0
    assert (top + height).max() <= 40 + 1e-4 and (left + width).max() <= 30 + 1e-4
    area, ratio = height * width / 1200, width / height
    assert 0.08 - 1e-6 <= area.min() < 0.1 and 0.8 < area.max() <= 1.0
    assert 0.75 - 1e-6 <= ratio.min() and ratio.max() <= 4 / 3 + 1e-6


def test_where_nothing_fits_the_largest_crop_is_taken():
    _, left, height, width = boxes(RandomResizedCrop(4, 4, scale=(1.0, 1.0)), 10, 100, 50)
    np.testing.assert_allclose(height, 10)
    np.testing.assert_allclose(width, 40 / 3, rtol=1e-6)
    assert left.min() < 20 and left.max() > 60


def test_config_round_trip():
    layer = RandomResizedCrop(4, 5, scale=(0.5, 1.0), seed=3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    images = draw(2, 6, 6, 1)
    np.testing.assert_array_equal(layer(images), again(images))
    assert layer.compute_output_shape((None, 6, 6, 1)) == (None, 4, 5, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(height=0), "height must be an integer of at least 1"),
        (dict(scale=(0.5, 1.5)), "at most 1, received"),
        (dict(scale=(0.0, 1.0)), "0 < low <= high"),
        (dict(scale=0.5), "0 < low <= high"),
        (dict(ratio=(2, 1)), "ratio must be"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**{"height": 4, "width": 4, **options})
