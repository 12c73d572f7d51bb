"""The unrolled GAN against a PyTorch transcription, and next to stateful layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial.players import dense_players, points, record_latents, sgd, state

import kgen
from kgen import adversarial, networks


def torch_logits(torch, weights, x):
    kernel, bias, last_kernel, last_bias = weights
    return (torch.tanh(x @ kernel + bias) @ last_kernel + last_bias)[:, 0]


def torch_discriminator_loss(torch, weights, real, fake, penalty_weight):
    softplus = torch.nn.functional.softplus
    loss = softplus(-torch_logits(torch, weights, real)).mean()
    loss = loss + softplus(torch_logits(torch, weights, fake)).mean()
    if penalty_weight:
        x = real.clone().requires_grad_()
        logits = torch_logits(torch, weights, x)
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        loss = loss + penalty_weight * 0.5 * slope.pow(2).sum(1).mean()
    return loss


@pytest.mark.parametrize("penalty_weight", [0.0, 0.5])
def test_unrolled_step_is_pytorchs(penalty_weight):
    """One step of both players, the generator's through two steps of the discriminator."""
    torch = pytest.importorskip("torch")
    rate, x = 0.5, points()
    generator, discriminator = dense_players()
    model = kgen.GAN(
        generator,
        discriminator,
        unrolled_steps=2,
        penalty=adversarial.r1_penalty if penalty_weight else None,
        penalty_weight=penalty_weight,
    )
    model.compile(sgd(1.0), sgd(rate), run_eagerly=True)
    latents = record_latents(model)
    before = [[torch.tensor(w) for w in network.get_weights()] for network in model.layers]
    assert [network.name for network in model.layers] == ["generator", "discriminator"]
    generator_weights, weights = [[w.requires_grad_() for w in part] for part in before]
    model.fit(x, batch_size=16, verbose=0)
    assert len(latents) == 2 and np.abs(latents[0] - latents[1]).max() > 0

    def generate(z):
        kernel, bias, last_kernel, last_bias = generator_weights
        return torch.tanh(torch.tensor(z.numpy()) @ kernel + bias) @ last_kernel + last_bias

    real = torch.tensor(x)
    arguments = torch, weights, real, generate(latents[0]).detach(), penalty_weight
    gradients = torch.autograd.grad(torch_discriminator_loss(*arguments), weights)
    weights = [(w - rate * g).detach() for w, g in zip(weights, gradients, strict=True)]
    # float32 with sums in another order.
    for received, expected in zip(discriminator.get_weights(), weights, strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-5)

    def generator_gradients(num_steps, create_graph=True):
        fake, ahead = generate(latents[1]), [w.clone().requires_grad_() for w in weights]
        for _ in range(num_steps):
            loss = torch_discriminator_loss(torch, ahead, real, fake, penalty_weight)
            slopes = torch.autograd.grad(loss, ahead, create_graph=True)
            if not create_graph:
                slopes = [slope.detach() for slope in slopes]
            ahead = [w - rate * slope for w, slope in zip(ahead, slopes, strict=True)]
        loss = torch.nn.functional.softplus(-torch_logits(torch, ahead, fake)).mean()
        return [g.numpy() for g in torch.autograd.grad(loss, generator_weights)]

    received = [
        start.detach().numpy() - end
        for start, end in zip(generator_weights, generator.get_weights(), strict=True)
    ]
    for gradient, expected in zip(received, generator_gradients(2), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-5)
    # Neither no unrolling nor one without the second derivative would pass.
    for other in (generator_gradients(0), generator_gradients(2, create_graph=False)):
        assert max(np.abs(a - b).max() for a, b in zip(received, other, strict=True)) > 1e-3


def test_unrolling_with_spectral_normalization():
    """No state moves in the steps ahead, and every weight takes part in them."""
    generator, _ = dense_players()
    discriminator = networks.dense_discriminator(
        2, hidden_units=(4,), activation="tanh", spectral_normalization=True
    )
    model = kgen.GAN(generator, discriminator, unrolled_steps=1)
    rate = 0.5
    model.compile(sgd(0.0), sgd(rate), run_eagerly=True)
    x, fake = points(), points(seed=1) + 1
    before = state(discriminator)
    received = model._unrolled_logits(x, tf.constant(fake))
    for old, new in zip(before, state(discriminator), strict=True):
        np.testing.assert_array_equal(old, new)

    frozen = [variable.numpy() for variable in discriminator.non_trainable_variables]
    with tf.GradientTape() as tape:
        logits = [discriminator(batch, training=True) for batch in (x, fake)]
        for variable, value in zip(discriminator.non_trainable_variables, frozen, strict=True):
            variable.assign(value)
        # Both passes start from the same u when unrolled.
        logits[1] = discriminator(fake, training=True)
        loss = tf.reduce_mean(adversarial.non_saturating_discriminator_loss(*logits))
    gradients = tape.gradient(loss, discriminator.trainable_variables)
    for variable, value in zip(discriminator.non_trainable_variables, frozen, strict=True):
        variable.assign(value)
    for variable, gradient in zip(discriminator.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0
        variable.assign(variable - rate * gradient)
    expected = discriminator(fake, training=True)
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_unrolled_steps_use_the_rate_of_the_moment():
    generator, discriminator = dense_players()
    model = kgen.GAN(generator, discriminator, unrolled_steps=1)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.0])
    model.compile(sgd(), sgd(schedule))
    x, fake = points(), tf.constant(points(seed=1))
    ahead = model._unrolled_logits(x, fake)
    assert np.abs(ahead - discriminator(fake)).max() > 1e-3
    model.discriminator_optimizer.iterations.assign(5)
    np.testing.assert_allclose(model._unrolled_logits(x, fake), discriminator(fake), atol=1e-6)
