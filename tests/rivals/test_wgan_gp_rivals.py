"""The rivals of kgen's WGAN-GP are the same function, given the same weights and noise."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from rivals.weights import as_torch, copy_weights, turn

import kgen
from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import keras_wgan_gp
from kgen.adversarial import penalties


@pytest.fixture(scope="module")
def wgan_gp():
    """The benchmark's model, its batch statistics and biases away from where they start."""
    (case,) = FAMILIES["wgan_gp"].values()
    generator, critic = case.kgen_networks
    model = kgen.WGANGP.for_images(
        (28, 28, 1),
        latent_dim=case.latent_dim,
        generator=generator,
        discriminator=critic,
        discriminator_steps=1,
    )
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        # Larger than the initial ones, so that the slope's norm is not next to 0.
        noise = draws.normal(size=variable.shape, scale=0.05)
        variable.assign_add(noise.astype(np.float32))
    return model


def noise_of(model, batch_size):
    """The latents and the share of the real images in x^ that a step of the model draws."""
    latents = model.latents(batch_size, model.noise_seed(True)).numpy()
    ones, zeros = (tf.fill((batch_size, 1, 1, 1), value) for value in (1.0, 0.0))
    mixing = penalties._between(ones, zeros, model.noise_seed(True, salt=1)).numpy()
    return latents, mixing


@pytest.mark.parametrize("slope_of", ["slope_by_autograd", "slope_by_func"])
def test_pytorch_wgan_gp_is_the_same_function_with_equal_weights(wgan_gp, slope_of):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_wgan_gp

    images = synthetic_images(6)
    latents, mixing = noise_of(wgan_gp, len(images))
    generator, critic = torch_wgan_gp.Generator(wgan_gp.latent_dim), torch_wgan_gp.Critic()
    copy_weights(wgan_gp.generator, generator)
    copy_weights(wgan_gp.discriminator, critic)
    turned = torch.from_numpy(turn(images).transpose(0, 3, 1, 2).copy())
    noise = torch.from_numpy(latents)

    # float32 sums of some thousand products, in another order.
    close = dict(rtol=1e-4, atol=1e-5)
    fake = turn(generator(noise).detach().numpy().transpose(0, 2, 3, 1))
    np.testing.assert_allclose(fake, wgan_gp.generator(latents, training=True), **close)
    values = critic(turned).detach().numpy()
    np.testing.assert_allclose(values, wgan_gp.discriminate(images), **close)

    slope_of = getattr(torch_wgan_gp, slope_of)
    critic_loss = torch_wgan_gp.critic_loss(
        slope_of, generator, critic, turned, noise, torch.from_numpy(mixing)
    )
    generator_loss = torch_wgan_gp.generator_loss(generator, critic, noise)
    for players, loss, objective in (
        ((wgan_gp.discriminator, critic), critic_loss, wgan_gp.discriminator_objective),
        ((wgan_gp.generator, generator), generator_loss, wgan_gp.generator_objective),
    ):
        ours, theirs = players
        with tf.GradientTape() as tape:
            expected = tf.reduce_mean(objective(images, training=True)["loss"])
        np.testing.assert_allclose(loss.item(), expected, **close)
        gradients = tape.gradient(expected, [v.value for v in ours.trainable_variables])
        received = torch.autograd.grad(loss, list(theirs.parameters()))
        for variable, gradient, other in zip(
            ours.trainable_variables, gradients, received, strict=True
        ):
            expected_gradient = as_torch(variable, gradient.numpy(), ours)
            # Float32 sums, relative to the largest of a tensor. The critic's last bias has none:
            # it cancels between real and fake.
            scale = np.abs(expected_gradient).max() or 1.0
            np.testing.assert_allclose(
                other.numpy() / scale, expected_gradient / scale, atol=1e-4, err_msg=variable.path
            )


def test_bare_keras_wgan_gp_has_the_losses_of_kgen(wgan_gp, monkeypatch):
    images = synthetic_images(6)
    latents, mixing = noise_of(wgan_gp, len(images))
    bare = keras_wgan_gp.WGANGP(wgan_gp.generator, wgan_gp.discriminator)
    # Updates that change nothing, so that both losses are those of the same weights.
    bare.compile(
        generator_optimizer=keras.optimizers.SGD(0.0),
        discriminator_optimizer=keras.optimizers.SGD(0.0),
        run_eagerly=True,
    )
    monkeypatch.setattr(keras.random, "normal", lambda *args, **kwargs: tf.constant(latents))
    monkeypatch.setattr(keras.random, "uniform", lambda *args, **kwargs: tf.constant(mixing))
    logs = bare.train_step(tf.constant(images))
    for name, objective in (
        ("critic_loss", wgan_gp.discriminator_objective),
        ("generator_loss", wgan_gp.generator_objective),
    ):
        expected = tf.reduce_mean(objective(images, training=True)["loss"])
        # The same operations; only the means are taken in another order.
        np.testing.assert_allclose(logs[name], expected, rtol=1e-5)
