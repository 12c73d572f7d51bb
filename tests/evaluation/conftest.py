import keras
import pytest


@pytest.fixture
def pixels():
    """A function that makes an extractor whose features are the pixels themselves."""

    def make(dim, name="pixels"):
        inputs = keras.Input((1, dim, 1))
        return keras.Model(inputs, keras.layers.Flatten()(inputs), name=name)

    return make


@pytest.fixture
def as_images():
    """A function that turns `(n, dim)` numbers in [0, 1] into images for `pixels`."""

    def make(features):
        return features.astype("float32")[:, None, :, None]

    return make
