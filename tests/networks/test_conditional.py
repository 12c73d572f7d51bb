"""The conditional networks against their formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import specs
from kgen.networks import (
    conditioned,
    dcgan_discriminator,
    dcgan_generator,
    dense_generator,
    projection_discriminator,
)

SHAPE = (5, 6, 1)
SMALL = dict(filters=(3, 2), kernel_size=3)
LABELS = np.array([0, 2, 1, 2], "int32")
LATENTS = np.random.RandomState(0).normal(size=(4, 3)).astype("float32")
IMAGES = np.random.RandomState(0).uniform(size=(4, *SHAPE)).astype("float32")


def features(**options):
    return dcgan_discriminator(SHAPE, 7, **SMALL, **options)


def embedding(network):
    return next(part for part in network.layers if isinstance(part, keras.layers.Embedding))


def test_generator_is_a_plain_model(plain_model):
    network = conditioned(dcgan_generator(5, SHAPE, **SMALL), specs.Labels(3), (3,))
    assert network.input_shape == [(None, 3), (None,)]
    made = plain_model(network, [LATENTS, LABELS], SHAPE)
    assert 0 <= made.min() and made.max() <= 1


def test_generator_sees_latent_and_label():
    inner = dense_generator(5, (2,), hidden_units=(6,))
    network = conditioned(inner, specs.Labels(3), (3,))
    table = np.random.RandomState(1).normal(size=(3, 2)).astype("float32")
    embedding(network).set_weights([table])
    expected = inner(np.concatenate([LATENTS, table[LABELS]], axis=1))
    np.testing.assert_array_equal(network([LATENTS, LABELS]), expected)
    # The weights are the given generator's, and the table.
    mine = {id(variable) for variable in network.variables}
    assert mine >= {id(variable) for variable in inner.variables}
    assert len(mine) == len(inner.variables) + 1


@pytest.mark.parametrize("spectral", [False, True])
def test_discriminator_is_a_plain_model(spectral, plain_model):
    phi = features(normalization=None, spectral_normalization=spectral)
    network = projection_discriminator(phi, specs.Labels(3), spectral_normalization=spectral)
    assert network.input_shape == [(None, *SHAPE), (None,)]
    plain_model(network, [IMAGES, LABELS], (1,))


def test_discriminator_is_the_papers():
    """Miyato & Koyama 2018, eq. 3: y^T V phi(x) + psi(phi(x)), y one-hot, psi linear."""
    phi = features()
    network = projection_discriminator(phi, specs.Labels(3))
    random = np.random.RandomState(1)
    table = random.normal(size=(3, 7)).astype("float32")
    kernel, bias = random.normal(size=(7, 1)), random.normal(size=1)
    embedding(network).set_weights([table])
    network.get_layer("linear").set_weights([kernel, bias])
    vectors, one_hot = phi(IMAGES).numpy(), np.eye(3)[LABELS]
    for row, logit in enumerate(network([IMAGES, LABELS]).numpy()):
        expected = one_hot[row] @ table @ vectors[row] + vectors[row] @ kernel[:, 0] + bias
        np.testing.assert_allclose(logit, expected, rtol=1e-4, atol=1e-6)


def test_spectral_normalization_of_linear_map_and_table():
    """After many power iterations both matrices have the norm 1, which NumPy's SVD confirms."""
    phi = features(normalization=None)
    network = projection_discriminator(phi, specs.Labels(3), spectral_normalization=True)
    random = np.random.RandomState(1)
    table, kernel = random.normal(size=(3, 7)), random.normal(size=(7, 1))
    table_layer, linear = [
        layer for layer in network.layers if type(layer).__name__ == "SpectralNormalization"
    ]
    if table_layer.layer.name == "linear":
        table_layer, linear = linear, table_layer
    table_layer.layer.set_weights([table])
    linear.layer.set_weights([kernel, np.zeros(1)])
    power_iteration = tf.function(lambda: network([IMAGES, LABELS], training=True))
    for _ in range(100):
        power_iteration()
    table, kernel = table / np.linalg.norm(table, 2), kernel / np.linalg.norm(kernel, 2)
    vectors = phi(IMAGES).numpy()
    expected = (vectors @ kernel)[:, 0] + np.sum(table[LABELS] * vectors, axis=1)
    np.testing.assert_allclose(network([IMAGES, LABELS])[:, 0], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    generator = conditioned(dcgan_generator(5, SHAPE, **SMALL), specs.Labels(3), (3,))
    assert generator([LATENTS, LABELS]).dtype == tf.float32
    for spectral in (False, True):
        network = projection_discriminator(
            features(), specs.Labels(3), spectral_normalization=spectral
        )
        assert network([IMAGES, LABELS], training=True).dtype == tf.float32


def test_errors():
    generator = dcgan_generator(3, SHAPE, **SMALL)
    with pytest.raises(ValueError, match=r"shape \(3,\), expected .* with room for an embedding"):
        conditioned(generator, specs.Labels(3), (3,))
    with pytest.raises(ValueError, match="condition must be kgen.specs.Labels"):
        conditioned(generator, 3, (2,))
    with pytest.raises(ValueError, match="features must be a keras.Model"):
        projection_discriminator(None, specs.Labels(3))
    images_to_images = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(1, 1)])
    with pytest.raises(ValueError, match="must give vectors"):
        projection_discriminator(images_to_images, specs.Labels(3))
