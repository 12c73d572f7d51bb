import keras
import numpy as np
import pytest

from kgen.layers import RandomApply


def shifted(probability, count=2000):
    layer = RandomApply([keras.layers.Rescaling(2.0, offset=1.0)], probability, seed=1)
    return layer(np.zeros((count, 2, 2, 1), "float32")).numpy().reshape(count, 4)


def test_whole_images_are_changed_with_the_probability():
    values = shifted(0.8)
    assert set(np.unique(values)) == {0.0, 1.0}
    assert (values.min(axis=1) == values.max(axis=1)).all()
    # Five standard deviations of 2,000 draws.
    np.testing.assert_allclose(values.mean(), 0.8, atol=5 * 0.4 / 2000**0.5)


def test_never_and_always():
    assert shifted(0.0, 50).max() == 0.0 and shifted(1.0, 50).min() == 1.0


def test_config_round_trip_and_no_training():
    layer = RandomApply([keras.layers.Rescaling(2.0), keras.layers.Rescaling(3.0)], 0.5, seed=3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    images = np.random.RandomState(0).rand(20, 2, 2, 1).astype("float32")
    changed = layer(images).numpy()
    np.testing.assert_array_equal(changed, again(images))
    factors = np.unique(np.round(changed / images))
    np.testing.assert_array_equal(factors, [1, 6])
    np.testing.assert_array_equal(layer(images, training=False), images)


def test_bad_arguments():
    with pytest.raises(ValueError, match="probability must be"):
        RandomApply([], 1.5)
    with pytest.raises(ValueError, match="must keep the shape"):
        RandomApply([keras.layers.Resizing(3, 3)])(np.zeros((2, 4, 4, 1), "float32"))
