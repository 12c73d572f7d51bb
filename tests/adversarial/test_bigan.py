"""BiGAN against its paper's equations."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import networks
from kgen.adversarial.bigan import BiGAN
from kgen.losses import adversarial as losses
from kgen.networks.joint import joint_discriminator

SHAPE = (4, 5, 1)
IMAGES = tf.constant(np.random.RandomState(0).uniform(size=(6, *SHAPE)), tf.float32)
SMALL = dict(
    encoder=functools.partial(
        networks.dense_discriminator, hidden_units=(8,), normalization="batch"
    ),
    generator=functools.partial(networks.dense_generator, hidden_units=(8,), normalization="batch"),
    features=functools.partial(
        networks.dense_discriminator, hidden_units=(8,), normalization="batch"
    ),
    feature_dim=6,
)


def bigan(**kwargs):
    return BiGAN.for_images(SHAPE, latent_dim=2, **{**SMALL, **kwargs})


def pairs(model):
    """The logits of (x, E(x)) and (G(z), z) in float64."""
    latents = model.latents(len(IMAGES), model.noise_seed(False))
    real = model.discriminator([IMAGES, model.encoder(IMAGES, training=False)], training=False)
    fake = model.discriminator([model.generator(latents, training=False), latents], training=False)
    return real.numpy()[:, 0].astype("float64"), fake.numpy()[:, 0].astype("float64")


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_discriminator_maximizes_the_value():
    """Donahue et al. 2017, eq. 3: log D(x, E(x)) + log(1 - D(G(z), z))."""
    model = bigan()
    real, fake = pairs(model)
    terms = model.discriminator_objective(IMAGES)
    # float32 logarithms against float64, here and below.
    expected = -np.log(sigmoid(real)) - np.log(1 - sigmoid(fake))
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(terms["real_logits"], real, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(terms["fake_logits"], fake, rtol=1e-5, atol=1e-6)


def test_generator_and_encoder_want_the_pairs_exchanged():
    model = bigan()
    real, fake = pairs(model)
    expected = -np.log(sigmoid(fake)) - np.log(1 - sigmoid(real))
    terms = model.generator_objective(IMAGES)
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-5)


def test_another_loss():
    model = bigan(pair_loss=losses.least_squares_discriminator_loss)
    real, fake = pairs(model)
    expected = 0.5 * (fake - 1) ** 2 + 0.5 * real**2
    np.testing.assert_allclose(model.generator_objective(IMAGES)["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "objective, moves, stays",
    [
        ("discriminator_objective", ["discriminator"], ["generator", "encoder"]),
        ("generator_objective", ["generator", "encoder"], ["discriminator"]),
    ],
)
def test_an_objective_leaves_the_other_players_state(objective, moves, stays):
    """The moving means of batch normalization are state that no optimizer guards."""
    model = bigan()

    def state(players):
        return [v.numpy() for p in players for v in getattr(model, p).non_trainable_variables]

    before = state(moves), state(stays)
    getattr(model, objective)(IMAGES, training=True)
    assert all((old != new).any() for old, new in zip(before[0], state(moves), strict=True))
    for old, new in zip(before[1], state(stays), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("player", ["generator", "encoder"])
def test_both_learn_from_the_generators_step(player):
    model = bigan()
    owned = {id(variable) for variable in model.player_variables("generator")}
    variables = getattr(model, player).trainable_variables
    assert owned >= {id(variable) for variable in variables}
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.generator_objective(IMAGES, training=True)["loss"])
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_learns_an_inverse(tmp_path):
    """Points of N(0, I): pairs alone, without an error of reconstruction, teach E to invert G."""
    points = np.random.RandomState(0).normal(size=(2048, 2)).astype("float32")
    model = BiGAN.for_images(
        (2,),
        latent_dim=2,
        encoder=functools.partial(networks.dense_discriminator, hidden_units=()),
        generator=functools.partial(networks.dense_generator, hidden_units=()),
        features=functools.partial(networks.dense_discriminator, hidden_units=(32,)),
        feature_dim=32,
        ema_decay=0.9,
    )
    model.compile(keras.optimizers.Adam(3e-3, beta_1=0.5))

    def error():
        return float(tf.reduce_mean(tf.square(model.reconstruct(points) - points)))

    before = error()
    model.fit(points, batch_size=128, epochs=30, verbose=0)
    # The points' own variance is 1: that is the error of a reconstruction that ignores them.
    assert error() < 0.2 < before
    assert model.predict(points, verbose=0).shape == (2048,)

    model.save(tmp_path / "bigan.keras")
    restored = keras.saving.load_model(tmp_path / "bigan.keras")
    np.testing.assert_array_equal(restored.encode(points[:5]), model.encode(points[:5]))
    np.testing.assert_array_equal(restored.reconstruct(points[:5]), model.reconstruct(points[:5]))


def test_verbs():
    model = bigan()
    codes = model.encode(IMAGES)
    assert codes.shape == (6, 2) and codes.dtype == tf.float32
    array = model.discriminate(IMAGES.numpy())
    np.testing.assert_array_equal(array, model.discriminate(IMAGES))
    np.testing.assert_array_equal(model.reconstruct(IMAGES), model.decode(codes))
    np.testing.assert_array_equal(
        model.discriminate(IMAGES), model.discriminate(IMAGES, latents=codes)
    )
    assert (
        np.abs(model.discriminate(IMAGES) - model.discriminate(IMAGES, latents=codes + 1)).max() > 0
    )
    endpoints = model.endpoints()
    for name in ("encode", "reconstruct", "discriminate"):
        assert list(endpoints[name].inputs) == ["images"]


def test_errors():
    model = bigan()
    encoder, generator, discriminator = model.encoder, model.generator, model.discriminator
    with pytest.raises(ValueError, match=r"latents of shape \(3,\), but encoder .* gives \(2,\)"):
        BiGAN(encoder, networks.dense_generator(3, SHAPE), discriminator)
    with pytest.raises(ValueError, match="generator .* takes images of that shape"):
        BiGAN(encoder, networks.dense_generator(2, (3, 3, 1)), discriminator)
    with pytest.raises(ValueError, match=r"must take \[images, latents\]"):
        BiGAN(encoder, generator, networks.dense_discriminator(SHAPE))
    phi = networks.dense_discriminator(SHAPE, 4)
    with pytest.raises(ValueError, match=r"must take \[images, latents\] of shapes .* \(2,\)"):
        BiGAN(encoder, generator, joint_discriminator(phi, 3))
    with pytest.raises(ValueError, match="encoder must be a keras.Model"):
        BiGAN(None, generator, discriminator)
    with pytest.raises(ValueError, match="ema_decay"):
        bigan(ema_decay=2.0)
    model.compile()
    with pytest.raises(ValueError, match=r"Expected images of shape \(batch, 4, 5, 1\)"):
        model.fit(IMAGES.numpy()[:, :3], verbose=0)
