"""Images of which some pixels are not known: the likelihood of the others."""

import functools

import keras
import numpy as np
import pytest
from scipy import stats

import kgen
from kgen import heads, networks

SHAPE = (4, 4, 1)
DENSE = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(32,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(32,)),
)


def halves(count, seed):
    """All pixels of an image have one brightness, so that a few tell the others."""
    levels = np.random.RandomState(seed).uniform(0.1, 0.9, size=(count, 1, 1, 1))
    return np.broadcast_to(levels, (count, *SHAPE)).astype("float32")


def with_holes(images, seed, share=0.5):
    holes = np.random.RandomState(seed).uniform(size=images.shape) < share
    return np.where(holes, np.float32("nan"), images), holes


def test_the_density_of_what_is_known():
    images, holes = with_holes(halves(5, 0), 1)
    means = np.random.RandomState(2).uniform(size=(5, *SHAPE)).astype("float32")
    distribution = heads.Known(heads.Normal(scale=0.3))(means)
    each = stats.norm(means, 0.3).logpdf(np.nan_to_num(images))
    expected = np.where(holes, 0.0, each).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(distribution.log_prob(images), expected, rtol=1e-5)
    whole = heads.Normal(scale=0.3)(means).log_prob(halves(5, 0))
    np.testing.assert_allclose(distribution.log_prob(halves(5, 0)), whole, rtol=1e-5)


@pytest.mark.parametrize("system", [kgen.VAE, kgen.Autoencoder, kgen.AdversarialAutoencoder])
def test_missing_pixels_are_filled_in(system, tmp_path):
    """Trained on images of which half is missing; the means fill the holes of others."""
    likelihood = heads.Known(heads.Normal(scale=0.1))
    model = system.for_images(SHAPE, latent_dim=2, likelihood=likelihood, seed=0, **DENSE)
    model.compile(kgen.optimizers.Adam(5e-3))
    model.fit(with_holes(halves(1024, 0), 1)[0], batch_size=32, epochs=15, verbose=0)
    images = halves(200, 3)
    given, holes = with_holes(images, 4)
    filled = model.reconstruct(given).numpy()
    assert np.isfinite(filled).all()
    error = np.sqrt(np.mean((filled - images)[holes] ** 2))
    # That of the mean image is 0.23.
    assert error < 0.12
    assert np.isfinite(model.score(given).numpy()).all()
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(restored.reconstruct(given), filled, atol=1e-6)


def test_without_it_missing_pixels_are_refused():
    model = kgen.VAE.for_images(SHAPE, **DENSE)
    model.compile()
    images, _ = with_holes(halves(8, 0), 1)
    with pytest.raises(ValueError, match="The images hold NaN"):
        model.fit(images, verbose=0)
    with pytest.raises(ValueError, match="Known needs a head of independent pixels"):
        heads.Known(heads.DiscretizedLogisticMixture(4, 2))
