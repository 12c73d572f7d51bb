"""DCGAN's networks: any shape, the paper's guidelines, and what the options change."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kgen.layers import SpectralNormalization
from kgen.networks import dcgan_discriminator, dcgan_generator

SHAPES = [(5, 6, 1), (8, 8, 3), (7, 1, 2), (1, 1, 1)]
SMALL = dict(filters=(3, 2), kernel_size=3)


def latents(count=4, dim=3):
    return np.random.RandomState(0).normal(size=(count, dim)).astype("float32")


def images(shape, count=4):
    return np.random.RandomState(0).uniform(size=(count, *shape)).astype("float32")


def of_kind(network, kind):
    found = [layer for layer in network.layers if isinstance(layer, (kind, SpectralNormalization))]
    return [layer for layer in found if isinstance(getattr(layer, "layer", layer), kind)]


@pytest.mark.parametrize(
    ("shape", "normalization"),
    list(zip(SHAPES, ["batch", "layer", None, "batch"], strict=True)),
    ids=str,
)
def test_any_shape(shape, normalization, plain_model):
    generator = dcgan_generator(3, shape, **SMALL, normalization=normalization)
    made = plain_model(generator, latents(), shape)
    assert 0 <= made.min() and made.max() <= 1
    discriminator = dcgan_discriminator(shape, 2, **SMALL, normalization=normalization)
    plain_model(discriminator, images(shape), (2,))


@pytest.mark.parametrize(
    ("side", "channels"),
    [(5, [64, 128]), (8, [64, 128]), (28, [64, 128, 256]), (64, [64, 128, 256, 512])],
)
def test_levels_follow_the_image(side, channels):
    discriminator = dcgan_discriminator((side, side, 1))
    assert [layer.filters for layer in of_kind(discriminator, layers.Conv2D)] == channels
    generator = dcgan_generator(3, (side, side, 1))
    ups = of_kind(generator, layers.Conv2DTranspose)
    assert [layer.filters for layer in ups] == [*channels[-2::-1], 1]
    assert [layer.input.shape[-1] for layer in ups] == channels[::-1]


def test_guidelines_of_the_generator():
    """Radford et al. 2016, section 3."""
    network = dcgan_generator(3, (8, 8, 1))
    ups = of_kind(network, layers.Conv2DTranspose)
    assert all(layer.strides == (2, 2) for layer in ups)
    assert not of_kind(network, layers.UpSampling2D)
    # One dense layer: the projection.
    assert len(of_kind(network, layers.Dense)) == 1
    # Batch normalization after all layers but the last.
    assert len(of_kind(network, layers.BatchNormalization)) == len(ups)
    activations = [layer.activation for layer in of_kind(network, layers.Activation)]
    assert activations == [keras.activations.relu] * len(ups)
    assert [layer.activation for layer in ups][-1] is keras.activations.tanh


def test_guidelines_of_the_discriminator():
    network = dcgan_discriminator((8, 8, 1))
    convolutions = of_kind(network, layers.Conv2D)
    assert all(layer.strides == (2, 2) for layer in convolutions)
    assert not of_kind(network, layers.AveragePooling2D)
    assert [layer.units for layer in of_kind(network, layers.Dense)] == [1]
    # None at the first convolution.
    assert len(of_kind(network, layers.BatchNormalization)) == len(convolutions) - 1
    for layer in of_kind(network, layers.Activation):
        np.testing.assert_allclose(layer(tf.constant([-1.0, 2.0])), [-0.2, 2.0])


@pytest.mark.parametrize(
    "make",
    [lambda: dcgan_generator(16, (28, 28, 1)), lambda: dcgan_discriminator((28, 28, 1))],
    ids=["generator", "discriminator"],
)
def test_weights_start_from_the_papers_normal(make):
    network = make()
    kernels = [w for w in network.trainable_variables if w.name == "kernel"]
    drawn = np.concatenate([kernel.numpy().ravel() for kernel in kernels])
    assert len(kernels) == 4 and len(drawn) > 100_000
    # Over 100,000 draws: five standard errors of the mean, and of the deviation.
    assert abs(drawn.mean()) < 5 * 0.02 / np.sqrt(len(drawn))
    assert abs(drawn.std() - 0.02) < 5 * 0.02 / np.sqrt(2 * len(drawn))
    # A normal, not a truncated or uniform one: four standard deviations are passed.
    assert np.abs(drawn).max() > 0.08
    # No two layers draw alike.
    firsts = {float(kernel.numpy().ravel()[0]) for kernel in kernels}
    assert len(firsts) == len(kernels)


def test_output_of_the_generator_is_a_tanh_moved_to_pixels():
    network = dcgan_generator(3, (5, 6, 2), **SMALL)
    last = of_kind(network, layers.Conv2DTranspose)[-1]
    inner = keras.Model(network.input, last.output)
    tanh = inner(latents()).numpy()
    np.testing.assert_allclose(network(latents()), (tanh[:, :5, :6] + 1) / 2, atol=1e-6)


def test_discriminator_sees_pixels_in_minus_one_to_one():
    network = dcgan_discriminator((5, 6, 2), **SMALL)
    first = of_kind(network, layers.Conv2D)[0]
    seen = keras.Model(network.input, first.input)(images((5, 6, 2)))
    np.testing.assert_allclose(seen, 2 * images((5, 6, 2)) - 1, atol=1e-6)


def test_layer_normalization_is_over_all_axes_of_an_example():
    network = dcgan_discriminator((8, 8, 1), **SMALL, normalization="layer")
    (layer,) = of_kind(network, layers.LayerNormalization)
    x = np.random.RandomState(0).normal(3.0, 2.0, size=(2, 2, 2, 2)).astype("float32")
    axes = (1, 2, 3)
    expected = x - x.mean(axis=axes, keepdims=True)
    expected /= np.sqrt(x.var(axis=axes, keepdims=True) + layer.epsilon)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)
    # A row's logit does not depend on the batch.
    batch = images((8, 8, 1))
    np.testing.assert_allclose(
        network(batch, training=True)[:1], network(batch[:1], training=True), atol=1e-5
    )


def test_tanh_everywhere():
    for network in (
        dcgan_generator(3, (5, 6, 1), **SMALL, activation="tanh"),
        dcgan_discriminator((5, 6, 1), **SMALL, activation="tanh"),
    ):
        for layer in of_kind(network, layers.Activation):
            assert layer.activation is keras.activations.tanh


def test_spectral_normalization_wraps_every_kernel(plain_model):
    options = dict(normalization=None, spectral_normalization=True)
    network = dcgan_discriminator((5, 6, 1), **SMALL, **options)
    wrapped = [layer for layer in network.layers if isinstance(layer, SpectralNormalization)]
    assert len(wrapped) == 3
    before = [layer.u.numpy() for layer in wrapped]
    network(images((5, 6, 1)), training=True)
    assert all(np.any(old != layer.u.numpy()) for old, layer in zip(before, wrapped, strict=True))
    plain_model(network, images((5, 6, 1)), (1,))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    generator = dcgan_generator(3, (5, 6, 1), **SMALL)
    assert generator(latents()).dtype == tf.float32
    assert any(layer.compute_dtype != "float32" for layer in generator.layers)
    for options in ({}, dict(normalization="layer"), dict(spectral_normalization=True)):
        discriminator = dcgan_discriminator((5, 6, 1), **SMALL, **options)
        assert discriminator(images((5, 6, 1)), training=True).dtype == tf.float32
    assert {variable.dtype for variable in generator.variables} == {"float32"}


def test_errors():
    with pytest.raises(ValueError, match="normalization must be 'batch', 'layer' or None"):
        dcgan_generator(3, (8, 8, 1), normalization="instance")
    with pytest.raises(ValueError, match="latent_dim"):
        dcgan_generator(0, (8, 8, 1))
    with pytest.raises(ValueError, match="image_shape"):
        dcgan_discriminator((8, 8))
    with pytest.raises(ValueError, match="output_dim"):
        dcgan_discriminator((8, 8, 1), 0)
    with pytest.raises(ValueError, match="each of filters"):
        dcgan_discriminator((8, 8, 1), filters=(2, 0))
    with pytest.raises(ValueError, match="at least one level"):
        dcgan_generator(3, (8, 8, 1), filters=())
