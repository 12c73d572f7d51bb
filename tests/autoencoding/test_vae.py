"""The VAE on a linear-Gaussian model, where log p(x) and the true posterior are known."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import kgen
from kgen import heads

SHAPE = (2, 2, 1)
NOISE = 0.5
# Orthogonal columns: the true posterior is a product over the latent dimensions.
LOADINGS = np.array([[1.0, 0.5], [1.0, -0.5], [0.4, 1.0], [0.4, -1.0]])
OFFSET = np.array([0.1, 0.2, 0.3, 0.4])
MARGINAL = scipy.stats.multivariate_normal(OFFSET, LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(4))
POSTERIOR_VARIANCE = 1 / (1 + np.sum(LOADINGS**2, axis=0) / NOISE**2)
IMAGES = np.random.RandomState(0).uniform(size=(4, *SHAPE)).astype("float32")
LOG_EVIDENCE = MARGINAL.logpdf(IMAGES.reshape(4, -1))


def linear_vae(stretch=1.0, shift=0.0, **kwargs):
    """p(z) = N(0, I), p(x|z) = N(loadings z + offset, noise^2 I), with the true posterior.

    `stretch` multiplies its standard deviations, `shift` is added to its means.
    """
    encoder = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4, name="head")]
    )
    decoder = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(4, name="head"), keras.layers.Reshape(SHAPE)]
    )
    gain = LOADINGS * POSTERIOR_VARIANCE / NOISE**2
    raw_scale = np.log(np.expm1(stretch * np.sqrt(POSTERIOR_VARIANCE) - 1e-5))
    encoder.get_layer("head").set_weights(
        [np.hstack([gain, np.zeros((4, 2))]), np.concatenate([shift - OFFSET @ gain, raw_scale])]
    )
    decoder.get_layer("head").set_weights([LOADINGS.T, OFFSET])
    return kgen.VAE(encoder, decoder, likelihood=heads.Normal(scale=NOISE), **kwargs)


def gap(stretch, shift):
    """KL(q || true posterior): how far the ELBO lies below log p(x)."""
    ratio = np.full(2, stretch) ** 2
    return 0.5 * np.sum(ratio + shift**2 / POSTERIOR_VARIANCE - 1 - np.log(ratio))


def test_bounds_are_tight_at_the_true_posterior():
    """Every importance weight is p(x) itself, whatever the sample."""
    model = linear_vae()
    for num_samples in (1, 7):
        for seed in range(3):
            bound = model.importance_weighted_bound(IMAGES, num_samples=num_samples, seed=seed)
            # Float32 densities of the order of 10.
            np.testing.assert_allclose(bound, LOG_EVIDENCE, atol=1e-4)
    np.testing.assert_allclose(model.elbo(IMAGES, seed=0), LOG_EVIDENCE, atol=1e-4)


@pytest.mark.parametrize(("stretch", "shift"), [(1.5, 0.0), (0.7, 0.2), (1.0, -0.4)])
def test_elbo_lies_below_by_the_kl_to_the_true_posterior(stretch, shift):
    count = 4000
    x = np.repeat(IMAGES[:1], count, axis=0)
    model = linear_vae(stretch, shift)
    for draws in (model.elbo(x, seed=0).numpy(), model.objective(x)["elbo"].numpy()):
        error = draws.std() / np.sqrt(count)
        assert abs(draws.mean() - (LOG_EVIDENCE[0] - gap(stretch, shift))) < 5 * error


def test_more_samples_give_a_tighter_bound():
    """Burda et al. 2016, theorem 1."""
    count = 2000
    x = np.repeat(IMAGES[:1], count, axis=0)
    model = linear_vae(1.3, 0.3)
    means, errors = [], []
    for num_samples in (1, 5, 50):
        draws = model.importance_weighted_bound(x, num_samples=num_samples, seed=1).numpy()
        means.append(draws.mean())
        errors.append(draws.std() / np.sqrt(count))
    means, errors = np.append(means, LOG_EVIDENCE[0]), np.append(errors, 0.0)
    assert all(np.diff(means) > -5 * np.hypot(errors[:-1], errors[1:]))
    assert means[1] - means[0] > 5 * np.hypot(*errors[:2])
    assert abs(means[2] - means[3]) < 0.1 * gap(1.3, 0.3)


def test_terms():
    model = linear_vae(1.5, 0.3, beta=3.0)
    terms = model.objective(IMAGES)
    mean = model.encode(IMAGES).numpy()
    variance = 1.5**2 * POSTERIOR_VARIANCE
    kl = 0.5 * np.sum(variance + mean**2 - 1 - np.log(variance), axis=1)
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(terms["loss"], terms["reconstruction"] + 3 * kl, rtol=1e-4)
    np.testing.assert_allclose(terms["elbo"], -terms["reconstruction"] - kl, rtol=1e-4)


def test_reconstruction_term_on_average():
    """E_q[-log p(x|z)] of a linear decoder in closed form."""
    count = 4000
    model = linear_vae(1.5, 0.3)
    mean = model.encode(IMAGES[:1]).numpy()[0]
    residual = IMAGES[0].reshape(-1) - LOADINGS @ mean - OFFSET
    spread = np.sum(LOADINGS**2 * 1.5**2 * POSTERIOR_VARIANCE)
    expected = (residual @ residual + spread) / (2 * NOISE**2) + 2 * np.log(2 * np.pi * NOISE**2)
    draws = model.objective(np.repeat(IMAGES[:1], count, axis=0))["reconstruction"].numpy()
    assert abs(draws.mean() - expected) < 5 * draws.std() / np.sqrt(count)


def test_importance_weighted_objective():
    model = linear_vae(1.3, 0.3, num_importance_samples=6)
    terms = model.objective(IMAGES)
    bound = model.importance_weighted_bound(IMAGES, num_samples=6, seed=model.noise_seed(False))
    np.testing.assert_allclose(terms["loss"], -bound, rtol=1e-6)
    # The bound is at least the mean of its samples, for every draw (Jensen).
    assert np.all(-terms["loss"].numpy() >= terms["elbo"].numpy() - 1e-4)
    np.testing.assert_allclose(terms["elbo"], -terms["reconstruction"] - terms["kl"], rtol=1e-6)


@pytest.mark.parametrize("free_bits", [0.1, 0.5, 5.0])
def test_free_bits(free_bits):
    model = linear_vae(free_bits=free_bits, beta=2.0)
    terms = model.objective(IMAGES)
    mean = model.encode(IMAGES).numpy()
    variance = POSTERIOR_VARIANCE
    by_dim = 0.5 * (variance + mean**2 - 1 - np.log(variance))
    bounded = np.maximum(by_dim, free_bits).sum(axis=1)
    np.testing.assert_allclose(terms["loss"], terms["reconstruction"] + 2 * bounded, rtol=1e-4)
    # What is reported stays the true KL.
    np.testing.assert_allclose(terms["kl"], by_dim.sum(axis=1), rtol=1e-4)


def test_free_bits_cost_nothing_below_the_threshold():
    def gradient(**kwargs):
        model = linear_vae(**kwargs)
        with tf.GradientTape() as tape:
            terms = model.objective(IMAGES)
            value = tf.reduce_sum(terms["loss"] - terms["reconstruction"])
        return tape.gradient(value, model.encoder.trainable_variables[0].value)

    assert np.abs(gradient()).max() > 0
    np.testing.assert_allclose(gradient(free_bits=100.0), np.zeros((4, 4)), atol=1e-4)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [(0, [2.0] * 5), (1, [0, 2, 2, 2, 2]), (4, [0, 0.5, 1, 1.5, 2]), (10, [0, 0.2, 0.4, 0.6, 0.8])],
)
def test_kl_warmup(warmup, expected):
    model = linear_vae(kl_warmup_epochs=warmup, beta=2.0)
    for epoch, weight in enumerate(expected):
        model.before_epoch(epoch)
        terms = model.objective(IMAGES, training=True)
        loss = terms["reconstruction"] + weight * terms["kl"]
        np.testing.assert_allclose(terms["loss"], loss, rtol=1e-5)
        # Evaluation always has the full weight.
        terms = model.objective(IMAGES, training=False)
        loss = terms["reconstruction"] + 2.0 * terms["kl"]
        np.testing.assert_allclose(terms["loss"], loss, rtol=1e-5)


def test_kl_warmup_follows_the_epochs_of_fit():
    seen = []
    model = linear_vae(kl_warmup_epochs=4, beta=2.0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(model.kl_weight.numpy()))
    )
    model.fit(IMAGES, epochs=2, callbacks=[note], verbose=0)
    model.fit(IMAGES, epochs=6, initial_epoch=3, callbacks=note, verbose=0)
    assert seen == [0.0, 0.5, 1.5, 2.0, 2.0]


def test_training_finds_the_evidence():
    """From a wrong posterior, learning the encoder alone closes the gap."""
    model = linear_vae(1.5, 0.5)
    model.decoder.trainable = False
    decoder = [variable.numpy() for variable in model.decoder.variables]
    model.compile(keras.optimizers.Adam(0.02))
    # 150 steps, each with 16 copies of every image.
    data = tf.data.Dataset.from_tensors(np.repeat(IMAGES, 16, axis=0)).repeat(150)
    model.fit(data, verbose=0)
    evaluated = model.evaluate(data.take(10), verbose=0, return_dict=True)
    remaining = LOG_EVIDENCE.mean() - evaluated["elbo"]
    assert remaining < 0.1 * gap(1.5, 0.5)
    for before, after in zip(decoder, model.decoder.variables, strict=True):
        np.testing.assert_array_equal(before, after)


def test_verbs_of_a_linear_model():
    model = linear_vae()
    centred = IMAGES.reshape(4, -1) - OFFSET
    mean = centred @ (LOADINGS * POSTERIOR_VARIANCE / NOISE**2)
    np.testing.assert_allclose(model.encode(IMAGES), mean, atol=1e-5)
    made = np.clip(mean @ LOADINGS.T + OFFSET, 0, 1).reshape(IMAGES.shape)
    np.testing.assert_allclose(model.reconstruct(IMAGES), made, atol=1e-5)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), model.reconstruct(IMAGES))
