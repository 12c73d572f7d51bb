"""The adversarial autoencoder's terms."""

import numpy as np
import pytest
import scipy.special
from cases import SMALL

import kgen
from kgen import heads

SHAPE = (4, 5, 1)
IMAGES = np.random.RandomState(0).uniform(size=(3, *SHAPE)).astype("float32")


def build(**kwargs):
    return kgen.AdversarialAutoencoder.for_images(SHAPE, latent_dim=2, **SMALL, **kwargs)


def test_terms():
    model = build(adversarial_weight=3.0, likelihood=heads.Normal(scale=0.5))
    codes = model.encoder(IMAGES).numpy()
    logits = model.discriminator(codes).numpy()[:, 0]
    made = model.decoder(codes).numpy()
    error = np.sum((IMAGES - made) ** 2, axis=(1, 2, 3))
    reconstruction = error / (2 * 0.5**2) + 20 * np.log(0.5 * np.sqrt(2 * np.pi))
    adversarial = -np.log(scipy.special.expit(logits))
    terms = model.generator_objective(IMAGES)
    np.testing.assert_allclose(terms["reconstruction"], reconstruction, rtol=1e-5)
    np.testing.assert_allclose(terms["adversarial"], adversarial, rtol=1e-5)
    np.testing.assert_allclose(terms["loss"], reconstruction + 3 * adversarial, rtol=1e-5)

    latents = model.prior.distribution().sample(3, seed=model.noise_seed(False)).numpy()
    real_logits = model.discriminator(latents).numpy()[:, 0]
    expected = -np.log(scipy.special.expit(real_logits)) - np.log(scipy.special.expit(-logits))
    received = model.discriminator_objective(IMAGES)["loss"]
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_an_undecided_discriminator():
    model = build()
    model.discriminator.set_weights([0 * weight for weight in model.discriminator.get_weights()])
    model.compile(generator_optimizer="sgd", discriminator_optimizer="sgd", run_eagerly=True)
    results = model.evaluate(IMAGES, verbose=0, return_dict=True)
    assert results["discriminator_loss"] == pytest.approx(np.log(4), rel=1e-6)
    assert results["adversarial"] == pytest.approx(np.log(2), rel=1e-6)


def test_players_own_their_weights():
    model = build()
    players = [v for player in model.players for v in model.player_variables(player)]
    assert {id(v) for v in players} == {id(v) for v in model.trainable_variables}
    assert len(players) == len(model.trainable_variables)
