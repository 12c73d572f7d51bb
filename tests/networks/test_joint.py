"""The joint discriminator against its formula."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.networks import dcgan_discriminator
from kgen.networks.joint import joint_discriminator

SHAPE = (5, 6, 1)
LATENTS = np.random.RandomState(0).normal(size=(4, 3)).astype("float32")
IMAGES = np.random.RandomState(0).uniform(size=(4, *SHAPE)).astype("float32")


def features(**options):
    return dcgan_discriminator(SHAPE, 7, filters=(3, 2), kernel_size=3, **options)


@pytest.mark.parametrize("spectral", [False, True])
def test_is_a_plain_model(spectral, plain_model):
    network = joint_discriminator(features(), 3, spectral_normalization=spectral)
    assert network.input_shape == [(None, *SHAPE), (None, 3)]
    plain_model(network, [IMAGES, LATENTS], (1,))


def test_is_a_perceptron_on_features_and_latent():
    phi = features()
    network = joint_discriminator(phi, 3, hidden_units=(5,))
    random = np.random.RandomState(1)
    first, second = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    kernel, bias = random.normal(size=(10, 5)), random.normal(size=5)
    last_kernel, last_bias = random.normal(size=(5, 1)), random.normal(size=1)
    first.set_weights([kernel, bias])
    second.set_weights([last_kernel, last_bias])
    hidden = np.concatenate([phi(IMAGES), LATENTS], axis=1) @ kernel + bias
    expected = np.where(hidden > 0, hidden, 0.2 * hidden) @ last_kernel + last_bias
    # float32 against float64.
    np.testing.assert_allclose(network([IMAGES, LATENTS]), expected, rtol=1e-4, atol=1e-5)
    # The weights are the given network's, and the perceptron's.
    assert len(network.variables) == len(phi.variables) + 4


def test_spectral_normalization_is_of_the_perceptron():
    network = joint_discriminator(features(), 3, spectral_normalization=True)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds.count("SpectralNormalization") == 2 and "Dense" not in kinds


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    network = joint_discriminator(features(), 3)
    assert network([IMAGES, LATENTS], training=True).dtype == tf.float32


def test_errors():
    with pytest.raises(ValueError, match="features must be a keras.Model"):
        joint_discriminator(None, 3)
    with pytest.raises(ValueError, match="latent_dim"):
        joint_discriminator(features(), 0)
    with pytest.raises(ValueError, match="hidden_units"):
        joint_discriminator(features(), 3, hidden_units=(0,))
    images_to_images = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(1, 1)])
    with pytest.raises(ValueError, match="must give vectors"):
        joint_discriminator(images_to_images, 3)
