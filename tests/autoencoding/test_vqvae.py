"""The VQ-VAE's terms."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import heads, layers

SHAPE = (4, 6, 1)
NUM_CODES = 5


@pytest.fixture(scope="module")
def model():
    quantizer = layers.VectorQuantizer(NUM_CODES, 2, decay=0.0)
    encoder = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(2, 2, strides=2)])
    decoder = keras.Sequential(
        [keras.Input((2, 3, 2)), keras.layers.Conv2DTranspose(1, 2, strides=2)]
    )
    return kgen.VQVAE(encoder, decoder, quantizer, likelihood=heads.Normal(scale=0.5), beta=0.7)


def images():
    return np.random.RandomState(0).uniform(size=(3, *SHAPE)).astype("float32")


@pytest.mark.parametrize("training", [False, True])
def test_terms(model, training):
    x = images()
    latents, codebook = model.encoder(x).numpy(), model.quantizer.codebook.numpy()
    distances = np.sum((latents[..., None, :] - codebook) ** 2, axis=-1)
    codes = codebook[np.argmin(distances, axis=-1)]
    # With decay 0 a training call moves the codebook all the way: the terms are of the one before.
    terms = model.objective(x, training=training)
    made = model.decoder(codes).numpy()
    reconstruction = np.sum(
        0.5 * ((x - made) / 0.5) ** 2 + np.log(0.5 * np.sqrt(2 * np.pi)), axis=(1, 2, 3)
    )
    commitment = np.mean(np.min(distances, axis=-1), axis=(1, 2))
    np.testing.assert_allclose(terms["reconstruction"], reconstruction, rtol=1e-5)
    np.testing.assert_allclose(terms["commitment"], commitment, rtol=1e-4)
    np.testing.assert_allclose(terms["loss"], reconstruction + 0.7 * commitment, rtol=1e-5)
    # Of the batch, not of an image.
    use = (
        np.bincount(np.argmin(distances, axis=-1).ravel(), minlength=NUM_CODES)
        / distances[..., 0].size
    )
    entropy = -sum(share * np.log(share) for share in use if share)
    np.testing.assert_allclose(terms["perplexity"], np.exp(entropy), rtol=1e-5)
    assert terms["perplexity"].shape == ()


def test_perplexity(model):
    def perplexity(*indices):
        return float(model._perplexity(tf.constant(indices, tf.int32)))

    assert perplexity(2, 2, 2) == pytest.approx(1.0)
    assert perplexity(*range(NUM_CODES)) == pytest.approx(NUM_CODES)
    # Two codes, three to one: exp of their entropy.
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert perplexity(0, 0, 0, 4) == pytest.approx(np.exp(entropy))
    for seed in range(10):
        drawn = np.random.RandomState(seed).randint(NUM_CODES, size=8)
        assert 1.0 <= perplexity(*drawn) <= NUM_CODES + 1e-5


def test_verbs(model):
    x = images()
    codes = model.encode(x)
    assert codes.dtype == tf.int32 and codes.shape == (3, 2, 3)
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(codes))


def test_the_encoder_learns_through_the_quantizer(model):
    x = images()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.objective(x)["reconstruction"])
    gradients = tape.gradient(loss, [v.value for v in model.encoder.trainable_variables])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)
