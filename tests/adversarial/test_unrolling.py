"""The unrolled GAN against a PyTorch transcription, and next to stateful layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial.players import dense_players, points, record_latents, sgd, state

import kgen
from kgen import losses, networks
from kgen.adversarial.parts.look_ahead import look_ahead

ADAM = dict(beta_1=0.5, beta_2=0.9, epsilon=1e-3)


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


def torch_descent(torch, rate):
    """`w <- w - rate g`; takes no notice of the moments."""
    return lambda weights, slopes, moments: (
        [w - rate * slope for w, slope in zip(weights, slopes, strict=True)],
        moments,
    )


def torch_adam(torch, rate):
    """Kingma & Ba 2015, in the form that ends section 2, as Keras has it."""

    def step(weights, slopes, moments):
        count = 1 if moments is None else moments[2] + 1
        if moments is None:
            moments = [[torch.zeros_like(w) for w in weights] for _ in range(2)]
        b1, b2 = ADAM["beta_1"], ADAM["beta_2"]
        m = [b1 * m + (1 - b1) * g for m, g in zip(moments[0], slopes, strict=True)]
        v = [b2 * v + (1 - b2) * g * g for v, g in zip(moments[1], slopes, strict=True)]
        scale = rate * (1 - b2**count) ** 0.5 / (1 - b1**count)
        weights = [
            w - scale * a / (b.sqrt() + ADAM["epsilon"])
            for w, a, b in zip(weights, m, v, strict=True)
        ]
        return weights, (m, v, count)

    return step


RULES = {
    "sgd": (torch_descent, 0.5, sgd),
    "adam": (torch_adam, 0.2, lambda rate: keras.optimizers.Adam(rate, **ADAM)),
}


@pytest.mark.parametrize("penalty_weight", [0.0, 0.5])
@pytest.mark.parametrize(("rule", "rate", "optimizer"), RULES.values(), ids=RULES.keys())
def test_unrolled_step_is_pytorchs(rule, rate, optimizer, penalty_weight):
    """One step of both players, the generator's through two steps of the discriminator."""
    torch = pytest.importorskip("torch")
    rule, x = rule(torch, rate), points()
    generator, discriminator = dense_players()
    model = kgen.GAN(
        generator,
        discriminator,
        unrolled_steps=2,
        penalty=losses.penalties.r1_penalty if penalty_weight else None,
        penalty_weight=penalty_weight,
    )
    model.compile(
        generator_optimizer=sgd(1.0), discriminator_optimizer=optimizer(rate), run_eagerly=True
    )
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
    weights, moments = rule([w.detach() for w in weights], gradients, None)
    # float32 with sums in another order.
    for received, expected in zip(discriminator.get_weights(), weights, strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-5)

    def generator_gradients(num_steps, create_graph=True):
        fake, ahead = generate(latents[1]), [w.clone().requires_grad_() for w in weights]
        later = moments
        for _ in range(num_steps):
            loss = torch_discriminator_loss(torch, ahead, real, fake, penalty_weight)
            slopes = torch.autograd.grad(loss, ahead, create_graph=True)
            if not create_graph:
                slopes = [slope.detach() for slope in slopes]
            ahead, later = rule(ahead, slopes, later)
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
    model.compile(generator_optimizer=sgd(0.0), discriminator_optimizer=sgd(rate), run_eagerly=True)
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
        loss = tf.reduce_mean(losses.adversarial.non_saturating_discriminator_loss(*logits))
    gradients = tape.gradient(loss, discriminator.trainable_variables)
    for variable, value in zip(discriminator.non_trainable_variables, frozen, strict=True):
        variable.assign(value)
    for variable, gradient in zip(discriminator.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0
        variable.assign(variable - rate * gradient)
    expected = discriminator(fake, training=True)
    np.testing.assert_allclose(received, expected, atol=1e-5)


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "clipped_sgd": lambda: keras.optimizers.SGD(0.1, clipnorm=0.2),
    "adam": lambda: keras.optimizers.Adam(0.1),
    "kgen_adam": lambda: kgen.optimizers.Adam(0.1),
    "clipped_adam": lambda: keras.optimizers.Adam(0.1, beta_1=0.0, clipvalue=0.1, epsilon=0.1),
    "globally_clipped_adam": lambda: keras.optimizers.Adam(0.1, global_clipnorm=0.3, epsilon=0.1),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.1), initial_scale=1.0
    ),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_the_steps_ahead_are_those_that_the_optimizer_then_takes(make):
    """Four steps that are looked at against four that Keras takes, after three to begin with."""
    variables = [keras.Variable(points(3, seed=seed)) for seed in range(2)]
    optimizer = make()
    optimizer.build(variables)

    def gradients_at(weights):
        first, second = weights
        return [4 * first**3 - tf.reverse(second, [0]), 4 * second**3 - first]

    def step():
        optimizer.apply(gradients_at([tf.convert_to_tensor(v) for v in variables]), variables)

    for _ in range(3):
        step()
    before = [variable.numpy() for variable in [*variables, *optimizer.variables]]
    ahead = look_ahead(optimizer, variables, gradients_at, 4)
    after = [variable.numpy() for variable in [*variables, *optimizer.variables]]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    for _ in range(4):
        step()
    for expected, received in zip(variables, ahead, strict=True):
        # The same steps, rounded otherwise, of a rate of 0.1.
        np.testing.assert_allclose(received, expected, atol=1e-5)
    for first, last in zip(before[:2], variables, strict=True):
        assert np.abs(first - last).max() > 1e-2


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_weights_without_a_gradient_stay_and_give_none(jit_compile):
    """Those of a dead ReLU: the root of a zero second moment has an infinite slope, under XLA."""
    variable = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([variable])

    @tf.function(jit_compile=jit_compile)
    def derivative(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            (ahead,) = look_ahead(optimizer, [variable], lambda weights: [x * weights[0]], 2)
        return ahead, tape.gradient(ahead, x)

    ahead, slopes = derivative(tf.constant([0.0, 3.0]))
    assert ahead[0] == 1.0 and ahead[1] < 2.0
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize(
    ("optimizer", "received"),
    [
        (keras.optimizers.RMSprop(), "RMSprop with another rule"),
        (keras.optimizers.SGD(0.1, momentum=0.9), "SGD with momentum=0.9"),
        (keras.optimizers.Adam(amsgrad=True), "Adam with amsgrad=True"),
        (keras.optimizers.AdamW(weight_decay=0.004), "AdamW with weight_decay=0.004"),
    ],
    ids=["rmsprop", "momentum", "amsgrad", "adamw"],
)
def test_other_rules_are_refused(optimizer, received):
    model = kgen.GAN(*dense_players(), unrolled_steps=1)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=optimizer)
    with pytest.raises(ValueError, match=f"whose rule is written out.*Received {received}"):
        model.fit(points(), verbose=0)


def test_unrolled_steps_use_the_rate_of_the_moment():
    generator, discriminator = dense_players()
    model = kgen.GAN(generator, discriminator, unrolled_steps=1)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.0])
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(schedule))
    x, fake = points(), tf.constant(points(seed=1))
    ahead = model._unrolled_logits(x, fake)
    assert np.abs(ahead - discriminator(fake)).max() > 1e-3
    model.discriminator_optimizer.iterations.assign(5)
    np.testing.assert_allclose(model._unrolled_logits(x, fake), discriminator(fake), atol=1e-6)
