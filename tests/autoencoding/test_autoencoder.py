"""The autoencoder's loss and the walkback chain."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import SMALL

import kgen
from kgen import heads
from kgen.autoencoding import MaskingCorruption

SHAPE = (4, 5, 1)
IMAGES = np.random.RandomState(0).uniform(size=(3, *SHAPE)).astype("float32")


def build(**kwargs):
    return kgen.Autoencoder.for_images(SHAPE, latent_dim=2, **SMALL, **kwargs)


def params(model, images):
    return model.decoder(model.encoder(images)).numpy()


def test_cross_entropy():
    model = build()
    p = 1 / (1 + np.exp(-params(model, IMAGES)))
    expected = -np.sum(IMAGES * np.log(p) + (1 - IMAGES) * np.log(1 - p), axis=(1, 2, 3))
    np.testing.assert_allclose(model.objective(IMAGES)["loss"], expected, rtol=1e-5)


def squared_error(model, images, target, scale):
    error = np.sum((target - params(model, images)) ** 2, axis=(1, 2, 3))
    return error / (2 * scale**2) + 20 * np.log(scale * np.sqrt(2 * np.pi))


def test_squared_error():
    model = build(likelihood=heads.Normal(scale=0.3))
    expected = squared_error(model, IMAGES, IMAGES, 0.3)
    np.testing.assert_allclose(model.objective(IMAGES)["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_denoising_loss_compares_with_the_clean_image(training):
    # Every pixel masked: the network sees black images only.
    model = build(corruption=MaskingCorruption(1.0), likelihood=heads.Normal(scale=0.3))
    expected = squared_error(model, np.zeros_like(IMAGES), IMAGES, 0.3)
    received = model.objective(IMAGES, training=training)["loss"]
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_walkback_loss():
    """Without corruption and almost without noise, the chain iterates the reconstruction."""
    scale = 1e-4
    model = build(
        corruption=MaskingCorruption(0.0), likelihood=heads.Normal(scale=scale), walkback_steps=3
    )
    state, expected = IMAGES, 0.0
    for _ in range(3):
        expected = expected + squared_error(model, state, IMAGES, scale) / 3
        state = params(model, state)
    # The samples of scale 1e-4 move the next reconstruction a little.
    np.testing.assert_allclose(model.objective(IMAGES)["loss"], expected, rtol=1e-3)


def test_walkback_loss_does_not_differentiate_through_the_chain():
    """Its gradient is the mean of one-step gradients from where the chain was."""
    scale = 1e-4
    model = build(
        corruption=MaskingCorruption(0.0), likelihood=heads.Normal(scale=scale), walkback_steps=2
    )
    variable = model.encoder.trainable_variables[0].value
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.objective(IMAGES)["loss"])
    received = tape.gradient(loss, variable)
    states = [IMAGES, params(model, IMAGES)]
    with tf.GradientTape() as tape:
        loss = 0.0
        for state in states:
            likelihood = model.likelihood(model.decoder(model.encoder(state)))
            loss -= tf.reduce_sum(likelihood.log_prob(IMAGES)) / 2
    expected = tape.gradient(loss, variable)
    np.testing.assert_allclose(received, expected, rtol=1e-2, atol=1e-3 * np.abs(expected).max())


def test_walkback_chain():
    model = build(corruption=MaskingCorruption(0.0), likelihood=heads.Normal(scale=1e-6))
    chain = model.walkback(IMAGES, num_steps=4, seed=0).numpy()
    assert chain.shape == (4, *IMAGES.shape)
    state = IMAGES
    for images in chain:
        state = params(model, state)
        np.testing.assert_allclose(images, np.clip(state, 0, 1), atol=1e-4)


def test_walkback_is_a_function_of_the_seed():
    model = build(corruption=MaskingCorruption(0.5))
    first = model.walkback(IMAGES, num_steps=3, seed=1)
    np.testing.assert_array_equal(first, model.walkback(IMAGES, num_steps=3, seed=1))
    assert np.any(first != model.walkback(IMAGES, num_steps=3, seed=2))
    # The first steps do not depend on how many follow.
    np.testing.assert_array_equal(first[:2], model.walkback(IMAGES, num_steps=2, seed=1))
    with pytest.raises(ValueError, match="num_steps must be an integer of at least 1"):
        model.walkback(IMAGES, num_steps=0)


def test_a_linear_autoencoder_learns_the_principal_subspace():
    """Baldi & Hornik 1989: the best linear reconstruction is the projection on it."""
    random = np.random.RandomState(0)
    plane = np.linalg.qr(random.normal(size=(6, 2)))[0]
    codes = random.normal(size=(64, 2)) * [0.6, 0.3]
    x = (codes @ plane.T).reshape(64, 2, 3, 1).astype("float32")
    encoder = keras.Sequential(
        [keras.Input((2, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(2, use_bias=False)]
    )
    decoder = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(6, use_bias=False), keras.layers.Reshape((2, 3, 1))]
    )
    model = kgen.Autoencoder(encoder, decoder, likelihood=heads.Normal(scale=1.0))
    # Not pixels, so `fit` would refuse them: the steps are taken by hand.
    model.compile(keras.optimizers.Adam(0.05))
    step = tf.function(model.train_step)
    for _ in range(300):
        step((x,))
    error = np.mean((params(model, x) - x) ** 2)
    assert error < 1e-4 * np.mean(x**2)
