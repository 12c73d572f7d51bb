"""What every distance accepts and refuses, seen at `frechet_distance` and `inception_score`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.evaluation import frechet_distance, nearest_neighbours
from kgen.evaluation.features import describe, feature_batches


def images(count=20, dim=3):
    return np.random.default_rng(0).uniform(size=(count, 1, dim, 1)).astype("float32")


def test_arrays_tensors_and_data_sets_give_the_same_features(pixels):
    x, extractor = images(300), pixels(3)
    batches = tf.data.Dataset.from_tensor_slices(x).batch(7)
    labelled = tf.data.Dataset.from_tensor_slices((x, np.arange(300))).batch(7)
    for form in (x, tf.constant(x), batches, labelled):
        features = list(feature_batches("real", form, extractor))
        assert len(features) > 1
        np.testing.assert_array_equal(np.concatenate(features), x.reshape(300, 3))


def test_the_extractor_runs_as_in_inference():
    inputs = keras.Input((1, 3, 1))
    outputs = keras.layers.Dropout(0.5)(keras.layers.Flatten()(inputs))
    (features,) = feature_batches("real", images(), keras.Model(inputs, outputs))
    np.testing.assert_array_equal(features, images().reshape(20, 3))


def test_an_extractor_of_any_size_and_half_precision():
    inputs = keras.Input((None, None, 1))
    outputs = keras.layers.GlobalAveragePooling2D(dtype="bfloat16")(inputs)
    (features,) = feature_batches("real", images(), keras.Model(inputs, outputs))
    assert features.dtype == np.float32
    # bfloat16 has 8 bits.
    np.testing.assert_allclose(features[:, 0], images().mean(axis=(1, 2, 3)), rtol=2e-2)


def test_the_protocol_names_the_extractor(pixels):
    extractor = pixels(3, name="retina")
    assert describe(extractor) == "'retina'"
    extractor.protocol = "after 1 layer"
    assert describe(extractor) == "'retina' (after 1 layer)"
    protocol = frechet_distance(images(), images(40), extractor)["protocol"]
    assert "'retina' (after 1 layer), 20 real and 40 generated images" in protocol


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x[:0], "empty"),
        (lambda x: tf.data.Dataset.from_tensor_slices(x[:0]).batch(2), "empty"),
        (lambda x: tf.data.Dataset.from_tensor_slices(x).batch(2).repeat(), "never ends"),
        (lambda x: x[..., 0], "Add the channel axis"),
        (lambda x: np.array(0.5), "Expected generated images of shape"),
        (lambda x: x[:, :, :2], "The generated images: Expected images of shape"),
        (lambda x: (255 * x).astype("uint8"), "uint8"),
        (lambda x: 2 * x - 1, r"The generated images: Expected pixels in \[0, 1\]"),
        (lambda x: np.where(x < 0.5, np.nan, x), "NaN"),
        (lambda x: list(x), "received list"),
    ],
)
def test_wrong_images(pixels, wrong, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(images(), wrong(images()), pixels(3))


def test_wrong_extractors():
    inputs = keras.Input((1, 3, 1))
    with pytest.raises(ValueError, match="must give vectors"):
        frechet_distance(images(), images(), keras.Model(inputs, inputs))
    with pytest.raises(ValueError, match="must be a keras.Model"):
        frechet_distance(images(), images(), np.mean)
    large = keras.layers.Rescaling(1e30)(keras.layers.Flatten()(inputs))
    too_large = keras.layers.Rescaling(1e30)(large)
    extractor = keras.Model(inputs, too_large, name="overflow")
    with pytest.raises(ValueError, match="'overflow' gave NaN or infinite features for 20 of 20"):
        frechet_distance(images(), images(), extractor)


def test_images_of_several_sizes():
    with pytest.raises(ValueError, match="same height"):
        nearest_neighbours(images(dim=3), images(dim=4))
