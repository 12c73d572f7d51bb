"""WGAN-GP's residual networks: any shape, and the first blocks against a transcription."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kgen.layers import SpectralNormalization
from kgen.networks import residual_discriminator, residual_generator

SHAPES = [(5, 6, 1), (8, 8, 3), (7, 1, 2)]


def latents(count=4, dim=3):
    return np.random.RandomState(0).normal(size=(count, dim)).astype("float32")


def images(shape, count=4):
    return np.random.RandomState(0).uniform(size=(count, *shape)).astype("float32")


def of_kind(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ("shape", "normalization"), list(zip(SHAPES, ["batch", "layer", None], strict=True)), ids=str
)
def test_any_shape(shape, normalization, plain_model):
    generator = residual_generator(3, shape, filters=2, normalization=normalization)
    made = plain_model(generator, latents(), shape)
    assert 0 <= made.min() and made.max() <= 1
    discriminator = residual_discriminator(shape, 2, filters=2, normalization=normalization)
    plain_model(discriminator, images(shape), (2,))


@pytest.mark.parametrize(
    ("side", "levels", "critic_levels"), [(4, 1, 1), (8, 1, 1), (28, 3, 2), (32, 3, 2), (64, 4, 3)]
)
def test_levels_follow_the_image(side, levels, critic_levels):
    generator = residual_generator(3, (side, side, 1), filters=2)
    assert len(of_kind(generator, layers.UpSampling2D)) == 2 * levels
    discriminator = residual_discriminator((side, side, 1), filters=2)
    assert len(of_kind(discriminator, layers.AveragePooling2D)) == 2 * critic_levels
    # Two blocks that keep the size follow.
    assert len(of_kind(discriminator, layers.Add)) == critic_levels + 2


def test_the_papers_networks_for_cifar10():
    """Gulrajani et al. 2017, appendix: three blocks up from 4x4; two down and two on."""
    generator = residual_generator(128, (32, 32, 3))
    discriminator = residual_discriminator((32, 32, 3))
    dense = 128 * 2048 + 2048
    convolution, shortcut = 9 * 128 * 128 + 128, 128 * 128 + 128
    normalizations = 7 * 2 * 128
    # The convolution before a batch normalization needs no bias.
    block = 2 * convolution - 128 + shortcut
    expected = dense + 3 * block + normalizations + 9 * 128 * 3 + 3
    assert sum(int(np.prod(v.shape)) for v in generator.trainable_variables) == expected
    first = (9 * 3 * 128 + 128) + convolution + (3 * 128 + 128)
    expected = first + (2 * convolution + shortcut) + 2 * 2 * convolution + 129
    assert sum(int(np.prod(v.shape)) for v in discriminator.trainable_variables) == expected
    assert not of_kind(discriminator, layers.BatchNormalization)


def convolve(x, kernel, bias):
    """A convolution of size 3 or 1 that keeps the size, one entry of the window at a time."""
    reach = kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    rows, columns = x.shape[1:3]
    total = bias
    for row, column in np.ndindex(kernel.shape[:2]):
        total = total + padded[:, row : row + rows, column : column + columns] @ kernel[row, column]
    return total


def mean_pool(x):
    """The mean of 2x2 pixels, or of those that exist."""
    rows, columns = x.shape[1:3]
    pooled = np.zeros((len(x), -(-rows // 2), -(-columns // 2), x.shape[3]))
    for row, column in np.ndindex(pooled.shape[1:3]):
        window = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        pooled[:, row, column] = window.mean(axis=(1, 2))
    return pooled


def relu(x):
    return np.maximum(x, 0)


def creation(layer):
    """Keras numbers a kind's layers as they are made: conv2d, conv2d_1, ..."""
    digits = layer.name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def randomize(network):
    random = np.random.RandomState(3)
    network.set_weights([random.normal(size=w.shape) for w in network.get_weights()])


def test_discriminator_is_the_papers():
    network = residual_discriminator((5, 6, 2), filters=3, num_levels=2, num_blocks=1)
    randomize(network)
    convolutions = [
        [w.numpy().astype("float64") for w in layer.weights]
        for layer in sorted(of_kind(network, layers.Conv2D), key=creation)
    ]
    dense = [w.numpy().astype("float64") for w in of_kind(network, layers.Dense)[0].weights]
    first, second, shortcut, third, fourth, other_shortcut, fifth, sixth = convolutions

    x = 2 * images((5, 6, 2)).astype("float64") - 1
    h = mean_pool(convolve(relu(convolve(x, *first)), *second)) + convolve(mean_pool(x), *shortcut)
    y = convolve(relu(convolve(relu(h), *third)), *fourth)
    h = mean_pool(y) + convolve(mean_pool(h), *other_shortcut)
    h = h + convolve(relu(convolve(relu(h), *fifth)), *sixth)
    expected = relu(h).mean(axis=(1, 2)) @ dense[0] + dense[1]
    # Six float32 convolutions of weights near 1.
    np.testing.assert_allclose(network(images((5, 6, 2))), expected, rtol=1e-4, atol=1e-3)


def test_generator_is_the_papers():
    network = residual_generator(3, (5, 6, 2), filters=3, num_levels=2, normalization=None)
    randomize(network)
    convolutions = [
        [w.numpy().astype("float64") for w in layer.weights]
        for layer in sorted(of_kind(network, layers.Conv2D), key=creation)
    ]
    kernel, bias = [w.numpy().astype("float64") for w in of_kind(network, layers.Dense)[0].weights]

    def up(h, rows, columns):
        return h.repeat(2, axis=1).repeat(2, axis=2)[:, :rows, :columns]

    h = (latents().astype("float64") @ kernel + bias).reshape(4, 2, 2, 3)
    for level, (rows, columns) in enumerate([(3, 3), (5, 6)]):
        first, second, shortcut = convolutions[3 * level : 3 * level + 3]
        y = up(relu(convolve(relu(h), *first)), rows, columns)
        h = convolve(up(h, rows, columns), *shortcut) + convolve(y, *second)
    # Small enough that the tanh is not saturated everywhere.
    scale = 0.01
    last = max(of_kind(network, layers.Conv2D), key=creation)
    last.set_weights([scale * weight for weight in last.get_weights()])
    expected = (1 + np.tanh(scale * convolve(relu(h), *convolutions[-1]))) / 2
    assert 0.05 < expected.std()
    np.testing.assert_allclose(network(latents()), expected, atol=1e-4)


def test_spectral_normalization_wraps_every_kernel(plain_model):
    network = residual_discriminator((5, 6, 1), filters=2, spectral_normalization=True)
    assert not [x for x in network.layers if isinstance(x, (layers.Conv2D, layers.Dense))]
    # Two convolutions a block, one shortcut, one dense layer.
    assert len(of_kind(network, SpectralNormalization)) == 2 * 3 + 1 + 1
    plain_model(network, images((5, 6, 1)), (1,))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    generator = residual_generator(3, (5, 6, 1), filters=2)
    assert generator(latents()).dtype == tf.float32
    for spectral in (False, True):
        network = residual_discriminator((5, 6, 1), filters=2, spectral_normalization=spectral)
        assert network(images((5, 6, 1)), training=True).dtype == tf.float32


def test_errors():
    with pytest.raises(ValueError, match="normalization must be"):
        residual_discriminator((8, 8, 1), normalization="group")
    with pytest.raises(ValueError, match="filters"):
        residual_generator(3, (8, 8, 1), filters=(8, 8))
    with pytest.raises(ValueError, match="num_levels"):
        residual_generator(3, (8, 8, 1), num_levels=0)
    with pytest.raises(ValueError, match="num_blocks"):
        residual_discriminator((8, 8, 1), num_blocks=-1)
