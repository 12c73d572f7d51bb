"""BEGAN against a slow transcription of Berthelot et al. 2017."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import SMALL
from replicas import two_replicas

from kgen import networks
from kgen.adversarial.began import BEGAN

SHAPE = (4, 5, 1)
IMAGES = np.random.RandomState(0).uniform(size=(6, *SHAPE)).astype("float32")


def generator(latent_dim, image_shape):
    return networks.dense_generator(latent_dim, image_shape, hidden_units=(8,))


def build(**kwargs):
    return BEGAN.for_images(SHAPE, latent_dim=2, generator=generator, **SMALL, **kwargs)


def error(model, images):
    """L(v) = |v - D(v)|, one image and one pixel at a time."""
    made = model.discriminator(images).numpy()
    return np.array(
        [
            np.mean([abs(float(a) - float(b)) for a, b in zip(v.flat, r.flat, strict=True)])
            for v, r in zip(np.asarray(images), made, strict=True)
        ]
    )


def fake_images(model, count, training):
    return model.generator(model.latents(count, model.noise_seed(training))).numpy()


def test_terms():
    model = build(diversity_ratio=0.7)
    model.fake_weight.assign(0.3)
    real = error(model, IMAGES)
    fake = error(model, fake_images(model, 6, False))
    terms = model.discriminator_objective(IMAGES)
    # Sums of float32 against float64.
    close = dict(rtol=1e-5)
    np.testing.assert_allclose(terms["loss"], real - 0.3 * fake, **close)
    np.testing.assert_allclose(terms["real_error"], real, **close)
    np.testing.assert_allclose(terms["fake_error"], fake, **close)
    measure = real.mean() + abs(0.7 * real.mean() - fake.mean())
    np.testing.assert_allclose(np.mean(terms["convergence"]), measure, **close)
    np.testing.assert_allclose(terms["fake_weight"], np.full(6, 0.3), **close)
    np.testing.assert_allclose(model.generator_objective(IMAGES)["loss"], fake, **close)
    assert float(model.fake_weight.numpy()) == np.float32(0.3), "an evaluation moves nothing"

    received = model.discriminate(IMAGES)
    assert received.dtype == tf.float32
    np.testing.assert_allclose(received, -real, **close)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), -real, **close)


def test_an_autoencoder_that_copies():
    """D(v) = v has no error; D(v) = v + 1/4 has 1/4 everywhere."""
    for shift in (0.0, 0.25):
        inputs = keras.Input(SHAPE)
        made = keras.layers.Rescaling(1.0, offset=shift)(inputs)
        model = BEGAN(generator(2, SHAPE), keras.Model(inputs, made), diversity_ratio=0.5)
        terms = model.discriminator_objective(IMAGES)
        # x + 1/4 - x rounds in float32.
        np.testing.assert_allclose(terms["real_error"], np.full(6, shift), atol=1e-7)
        np.testing.assert_allclose(terms["convergence"], np.full(6, 1.5 * shift), atol=1e-6)


@pytest.mark.parametrize(
    ("start", "gain", "ratio"),
    [(0.4, 0.1, 0.9), (0.4, 0.1, 0.0), (0.99, 10.0, 1.0), (0.01, 10.0, 0.0), (0.4, 0.0, 0.9)],
)
def test_the_controller(start, gain, ratio):
    model = build(proportional_gain=gain, diversity_ratio=ratio)
    # Dark images, which the autoencoder cannot make yet, and generated ones that it nearly copies.
    model.discriminator.set_weights([0.1 * w for w in model.discriminator.get_weights()])
    model.generator.set_weights([0.0 * w for w in model.generator.get_weights()])
    images = np.ones_like(IMAGES)
    expected = start
    model.fake_weight.assign(start)
    for _ in range(3):
        real = error(model, images).mean()
        fake = error(model, fake_images(model, 6, True)).mean()
        loss = model.discriminator_objective(images, training=True)["loss"]
        # The loss has the k from before the move.
        np.testing.assert_allclose(np.mean(loss), real - expected * fake, rtol=1e-5)
        expected = min(max(expected + gain * (ratio * real - fake), 0.0), 1.0)
        assert float(model.fake_weight.numpy()) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    ends = {0.9: start, 1.0: 1.0, 0.0: 0.0}
    if gain == 10.0:
        assert expected == ends[ratio]
    elif gain:
        assert (expected > start) == (ratio > 0.5)
    else:
        assert expected == start


def test_k_moves_once_a_discriminator_step_and_stays_float32():
    model = build(proportional_gain=0.1, diversity_ratio=1.0, discriminator_steps=2)
    seen = []
    move = model._imbalance

    def noted(*errors):
        seen.append(float(move(*errors)))
        return move(*errors)

    model._imbalance = noted
    model.compile(generator_optimizer="sgd", discriminator_optimizer="sgd", run_eagerly=True)
    # Far from what a new autoencoder makes, so that k rises.
    model.fit(np.ones_like(IMAGES), batch_size=6, verbose=0)
    assert len(seen) == 2
    expected = np.clip(np.clip(0.1 * seen[0], 0, 1) + 0.1 * seen[1], 0, 1)
    assert 0 < expected < 1
    assert float(model.fake_weight.numpy()) == pytest.approx(expected, rel=1e-5)

    keras.config.set_dtype_policy("mixed_bfloat16")
    half = build(proportional_gain=0.001)
    half.fake_weight.assign(0.5001)
    terms = half.discriminator_objective(IMAGES)
    assert {term.dtype for term in terms.values()} == {tf.float32}
    # bfloat16 would give 0.5.
    np.testing.assert_allclose(terms["fake_weight"], np.full(6, 0.5001), rtol=1e-6)


def test_players_own_their_weights():
    model = build()
    players = [*model.player_variables("generator"), *model.player_variables("discriminator")]
    assert {id(v) for v in players} == {id(v) for v in model.trainable_variables}
    assert len(players) == len(model.trainable_variables)
    before = model.generator.get_weights()
    model.compile(
        generator_optimizer="sgd",
        discriminator_optimizer=keras.optimizers.SGD(0.0),
        run_eagerly=True,
    )
    critic = model.discriminator.get_weights()
    model.fit(IMAGES, verbose=0)
    assert any(np.any(a != b) for a, b in zip(before, model.generator.get_weights(), strict=True))
    for a, b in zip(critic, model.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def without_noise(model):
    """The same latents for every row: which replica draws them cannot matter."""
    model.latents = lambda batch_size, seed: tf.fill((batch_size, model.latent_dim), 0.7)
    return model


def test_replicas_keep_one_k():
    """Batches of 4 + 3, 4 + 3 and 1 + 0 images, as one device."""

    def new():
        keras.utils.set_random_seed(0)
        model = without_noise(build(proportional_gain=0.2, diversity_ratio=1.0))
        model.compile(
            generator_optimizer=keras.optimizers.SGD(0.01),
            discriminator_optimizer=keras.optimizers.SGD(0.01),
        )
        return model

    images = np.random.RandomState(1).uniform(size=(15, *SHAPE)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices(images).batch(7)
    alone = new()
    with two_replicas().scope():
        together = new()
    histories = [model.fit(data, verbose=0).history for model in (alone, together)]
    assert 0.01 < float(alone.fake_weight.numpy()) < 1.0
    values = [float(value) for value in together.fake_weight.value.values]
    assert len(values) == 2 and values[0] == values[1]
    for mine, theirs in zip(alone.variables, together.variables, strict=True):
        # Sums of float32 in another order, over three steps.
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-5, err_msg=mine.path)
    for name, value in histories[0].items():
        np.testing.assert_allclose(histories[1][name], value, rtol=1e-4, err_msg=name)


def test_default_networks():
    model = BEGAN.for_images((5, 7, 3), latent_dim=4)
    assert model.discriminator.output_shape == (None, 5, 7, 3)
    assert model.sample(2, seed=0).shape == (2, 5, 7, 3)


def test_networks_that_do_not_fit():
    critic = networks.dense_discriminator(SHAPE, hidden_units=(3,))
    with pytest.raises(ValueError, match=r"gives outputs of shape \(1,\), expected \(4, 5, 1\)"):
        BEGAN(generator(2, SHAPE), critic)
    for wrong in (dict(diversity_ratio=1.5), dict(proportional_gain=-0.1)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            build(**wrong)
