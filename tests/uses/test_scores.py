"""`score`: one number per example, for models with a likelihood, a bound, a code, a critic."""

import functools

import numpy as np
import pytest
from scipy import stats

import kgen
from kgen import heads, networks

SHAPE = (4, 4, 1)
DENSE = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(16,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(16,)),
)


def bars(count, seed):
    """Images of one bright row; the anomaly is a bright column."""
    random = np.random.RandomState(seed)
    images = random.uniform(0.0, 0.1, size=(count, *SHAPE))
    images[np.arange(count), random.randint(4, size=count)] += 0.8
    return images.astype("float32")


@pytest.fixture(scope="module")
def vae():
    model = kgen.VAE.for_images(SHAPE, latent_dim=2, likelihood=heads.Normal(scale=0.1), **DENSE)
    model.compile(kgen.optimizers.Adam(1e-2))
    model.fit(bars(512, 0), batch_size=32, epochs=20, verbose=0)
    return model


def test_of_a_vae_is_its_bound(vae):
    """The mean of many draws of the bound with as many samples, up to five standard errors."""
    images = bars(5, 1)
    draws = [
        vae.importance_weighted_bound(images, num_samples=vae.score_samples, seed=seed).numpy()
        for seed in range(60)
    ]
    spread = np.std(draws, axis=0)
    assert (np.abs(vae.score(images) - np.mean(draws, axis=0)) < 5 * spread).all()


def test_finds_what_training_never_saw(vae):
    normal, anomalies = bars(100, 2), np.swapaxes(bars(100, 3), 1, 2)
    scores = vae.score(np.concatenate([normal, anomalies])).numpy()
    assert (scores[:100] > scores[100:].max()).mean() > 0.95


def test_is_computed_in_chunks(vae):
    """Of 600 rows none depends on the chunk that it is in."""
    images = bars(600, 4)
    scores = vae.score(images).numpy()
    np.testing.assert_allclose(vae.score(images[250:260]), scores[250:260], rtol=1e-4, atol=1e-3)


def test_of_an_autoencoder_is_the_likelihood_of_its_reconstruction():
    model = kgen.Autoencoder.for_images(
        SHAPE, latent_dim=2, likelihood=heads.Normal(scale=0.5), **DENSE
    )
    images = bars(6, 0)
    means = model.decoder(model.encoder(images)).numpy()
    expected = stats.norm(means, 0.5).logpdf(images).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(model.score(images), expected, rtol=1e-4)
