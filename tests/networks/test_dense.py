"""The dense generator and discriminator, for points and for images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.layers import SpectralNormalization
from kgen.networks import dense_discriminator, dense_generator

HIDDEN = dict(hidden_units=(5, 4))
SHAPES = [(2,), (1,), (3, 5, 2)]


def draw(*shape):
    return np.random.RandomState(0).uniform(size=(4, *shape)).astype("float32")


@pytest.mark.parametrize(
    ("shape", "normalization"), list(zip(SHAPES, ["batch", "layer", None], strict=True)), ids=str
)
def test_any_shape(shape, normalization, plain_model):
    options = dict(**HIDDEN, normalization=normalization)
    plain_model(dense_generator(3, shape, **options), draw(3), shape)
    plain_model(dense_discriminator(shape, 2, **options), draw(*shape), (2,))


def test_points_are_unbounded_and_images_are_not():
    points, images = dense_generator(3, (2,), **HIDDEN), dense_generator(3, (3, 5, 2), **HIDDEN)
    for network in (points, images):
        network.set_weights([100 * weight for weight in network.get_weights()])
    assert np.abs(points(draw(3))).max() > 10
    made = images(draw(3)).numpy()
    assert made.min() >= 0 and made.max() <= 1 and made.std() > 0.3


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


@pytest.mark.parametrize("shape", [(3,), (3, 5, 2)], ids=str)
def test_discriminator_is_a_perceptron(shape):
    network = dense_discriminator(shape, **HIDDEN)
    assert network.output_shape == (None, 1)
    first, a, second, b, third, c = [w.astype("float64") for w in network.get_weights()]
    x = draw(*shape).reshape(4, -1).astype("float64")
    x = 2 * x - 1 if len(shape) == 3 else x
    expected = leaky_relu(leaky_relu(x @ first + a) @ second + b) @ third + c
    # float32 against float64.
    np.testing.assert_allclose(network(draw(*shape)), expected, rtol=1e-4, atol=1e-5)


def test_an_int_is_a_vector():
    for size in (3, np.int64(3)):
        assert dense_discriminator(size).input_shape == (None, 3)


def test_spectral_normalization_wraps_every_kernel(plain_model):
    network = dense_discriminator(3, **HIDDEN, spectral_normalization=True)
    assert sum(isinstance(layer, SpectralNormalization) for layer in network.layers) == 3
    plain_model(network, draw(3), (1,))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    assert dense_generator(3, (2,), **HIDDEN)(draw(3)).dtype == tf.float32
    for spectral in (False, True):
        network = dense_discriminator((3, 5, 2), **HIDDEN, spectral_normalization=spectral)
        assert network(draw(3, 5, 2), training=True).dtype == tf.float32


def test_errors():
    with pytest.raises(ValueError, match=r"output_shape must be \(dim,\) .* received \(\)"):
        dense_generator(3, ())
    with pytest.raises(ValueError, match="each side of input_shape"):
        dense_discriminator((0,))
    with pytest.raises(ValueError, match="output_dim"):
        dense_discriminator(2, 0)
    with pytest.raises(ValueError, match="normalization must be"):
        dense_generator(3, (2,), normalization="group")
