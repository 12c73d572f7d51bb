"""The GAN against its theory, and games in closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial.players import (
    SHAPE,
    constant_generator,
    dense_players,
    images,
    linear_discriminator,
    normalized_players,
    points,
    record_latents,
    sgd,
    state,
)

import kgen
from kgen import losses, networks, specs

WASSERSTEIN = dict(
    generator_loss=losses.adversarial.wasserstein_generator_loss,
    discriminator_loss=losses.adversarial.wasserstein_discriminator_loss,
)


def test_the_best_discriminator_of_two_normals():
    """D*(x) = p(x) / (p(x) + q(x)), and the game is worth -log 4 + 2 JSD(p, q)."""
    from scipy import integrate, stats

    data, made = stats.norm(0.5, 0.7), stats.norm(-0.5, 1.0)
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    generator.set_weights([np.array([[1.0]], "float32"), np.array([-0.5], "float32")])
    discriminator = networks.dense_discriminator(1, hidden_units=(16, 16), activation="tanh")
    model = kgen.GAN(generator, discriminator, ema_decay=None)
    count, batch_size = 600 * 4096, 4096
    rate = keras.optimizers.schedules.CosineDecay(0.02, count // batch_size)
    model.compile(generator_optimizer=sgd(0.0), discriminator_optimizer=keras.optimizers.Adam(rate))
    x = data.rvs(size=(count, 1), random_state=0).astype("float32")
    model.fit(x, batch_size=batch_size, verbose=0)
    np.testing.assert_array_equal(generator.get_weights()[1], [-0.5])

    grid = np.linspace(-3, 3, 121)
    p, q = data.pdf(grid), made.pdf(grid)
    massive = (p + q) / 2 > 0.05
    assert np.sum((p + q)[massive] / 2) * (grid[1] - grid[0]) > 0.9
    logits = model.predict(grid[:, None].astype("float32"), verbose=0)
    best = p / (p + q)
    # Twice what the finite training leaves, most of it at the grid's ends.
    assert np.abs(1 / (1 + np.exp(-logits)) - best)[massive].max() < 0.02

    def density(z):
        middle = (data.pdf(z) + made.pdf(z)) / 2
        return sum(f.pdf(z) * np.log(f.pdf(z) / middle) for f in (data, made)) / 2

    divergence, error = integrate.quad(density, -6, 6)
    assert error < 1e-6
    results = model.evaluate(x[:200_000], batch_size=20_000, verbose=0, return_dict=True)
    # The mean of 200,000 terms with a standard deviation of 1: 0.002, three times.
    expected = -np.log(4) + 2 * divergence
    assert -results["discriminator_loss"] == pytest.approx(expected, abs=0.007)
    assert abs(expected + np.log(4)) > 0.2


# The consensus term.


def bilinear_game(a, b, consensus_weight, rate):
    """D(x) = a x, G(z) = b: losses a b - a x and -a b."""
    model = kgen.GAN(
        constant_generator(b),
        linear_discriminator(a),
        consensus_weight=consensus_weight,
        ema_decay=None,
        **WASSERSTEIN,
    )
    model.compile(generator_optimizer=sgd(rate), discriminator_optimizer=sgd(rate))
    return model


def position(model):
    weights = model.discriminator.get_weights() + model.generator.get_weights()
    return np.concatenate([weight.ravel() for weight in weights])


@pytest.mark.parametrize("consensus_weight", [0.0, 0.7])
def test_consensus_in_closed_form(consensus_weight):
    """The field is (b - x, -a), half its square has the gradient (a, b - x)."""
    a, b, x, rate = 0.5, 2.0, 0.25, 0.1
    model = bilinear_game(a, b, consensus_weight, rate)
    history = model.fit(np.full((4, 1), x, "float32"), batch_size=4, verbose=0).history
    first = ((b - x) ** 2 + a**2) / 2
    expected = a * b - a * x + consensus_weight * first
    assert history["discriminator_loss"][0] == pytest.approx(expected)
    a -= rate * ((b - x) + consensus_weight * a)
    second = ((b - x) ** 2 + a**2) / 2
    assert history["generator_loss"][0] == pytest.approx(-a * b + consensus_weight * second)
    if consensus_weight:
        assert history["consensus"][0] == pytest.approx((first + second) / 2)
    b -= rate * (-a + consensus_weight * (b - x))
    np.testing.assert_allclose(position(model), [a, b], rtol=1e-5)
    # Evaluation reports the game alone.
    results = model.evaluate(np.full((4, 1), x, "float32"), verbose=0, return_dict=True)
    assert results["generator_loss"] == pytest.approx(-a * b, rel=1e-5)
    assert results["discriminator_loss"] == pytest.approx(a * b - a * x, rel=1e-5)
    if consensus_weight:
        assert results["consensus"] == pytest.approx(((b - x) ** 2 + a**2) / 2, rel=1e-5)


def test_the_dirac_gan_converges_by_consensus_only():
    """All data at 0: gradient descent circles the equilibrium (0, 0) and never gets there."""
    x = np.zeros((200, 1), "float32")
    distances = []
    for consensus_weight in (0.0, 1.0):
        model = bilinear_game(0.0, 1.0, consensus_weight, rate=0.1)
        model.fit(x, batch_size=1, verbose=0)
        distances.append(np.linalg.norm(position(model)))
    # Alternating steps of rate h keep a^2 + b^2 - h a b; with the term each step takes 10 % off.
    assert 0.9 < distances[0] < 1.1
    assert distances[1] < 1e-6


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_second_derivative_of_the_consensus(normalization):
    """The gradient against a difference quotient along itself, through the normalizations."""
    kwargs = dict(hidden_units=(4,), activation="tanh", normalization=normalization)
    model = kgen.GAN(
        networks.dense_generator(2, (2,), **kwargs),
        networks.dense_discriminator((2,), **kwargs),
        consensus_weight=1.0,
    )
    x, latents = points(), points(seed=1)
    weights = [
        v.value
        for v in model.player_variables("generator") + model.player_variables("discriminator")
    ]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = model._consensus(x, latents, training=True)
        zero = tf.UnconnectedGradients.ZERO
        return value, tape.gradient(value, weights, unconnected_gradients=zero)

    _, gradients = step()
    norm = float(tf.linalg.global_norm(gradients))
    assert norm > 1e-2
    moved, size = [], 1e-2 * min(1.0, 1.0 / norm)
    for step_size in (size, -2 * size):
        for variable, gradient in zip(weights, gradients, strict=True):
            variable.assign_add(step_size * gradient / norm)
        moved.append(float(step()[0]))
    # The quotient's own error is of the order of size^2; values of 1 round to 1e-7.
    assert (moved[0] - moved[1]) / (2 * size) == pytest.approx(norm, rel=1e-2)


# The two players.


def spectral_players():
    return normalized_players()[0], networks.dcgan_discriminator(
        SHAPE, filters=(2,), normalization=None, spectral_normalization=True
    )


MODELS = {
    "gan": lambda: kgen.GAN(*normalized_players()),
    "penalty": lambda: kgen.GAN(*normalized_players(), penalty=losses.penalties.r1_penalty),
    "spectral": lambda: kgen.GAN(*spectral_players(), penalty=losses.penalties.gradient_penalty),
    "unrolled": lambda: kgen.GAN(*normalized_players(), unrolled_steps=1),
    "consensus": lambda: kgen.GAN(*spectral_players(), consensus_weight=1.0),
    "wgan": lambda: kgen.WGAN(*normalized_players()),
    "wgan_gp": lambda: kgen.WGANGP(*spectral_players()),
    "conditional": lambda: kgen.ConditionalGAN(
        networks.conditioned(
            networks.dcgan_generator(4, SHAPE, filters=(3,)), specs.Labels(3), (2,)
        ),
        networks.projection_discriminator(
            networks.dcgan_discriminator(SHAPE, 4, filters=(2, 3)),
            specs.Labels(3),
            spectral_normalization=True,
        ),
        condition=specs.Labels(3),
    ),
}


@pytest.mark.filterwarnings("ignore:The discriminator .* has batch normalization")
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())
def test_an_objective_of_one_player_leaves_the_other_alone(build):
    """Moving means and the vectors of spectral normalization included."""
    model = build()
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    x, y = images(6), tf.constant([0, 1, 2, 0, 1, 2])
    own, other = model.discriminator, model.generator
    for objective in (model.discriminator_objective, model.generator_objective):
        before, others = state(own), state(other)
        objective(tf.constant(x), y, training=True)
        for old, new in zip(others, state(other), strict=True):
            np.testing.assert_array_equal(old, new)
        assert any((old != new).any() for old, new in zip(before, state(own), strict=True))
        before = state(own, other)
        objective(tf.constant(x), y, training=False)
        for old, new in zip(before, state(own, other), strict=True):
            np.testing.assert_array_equal(old, new)
        own, other = other, own


def test_a_rate_of_zero_stops_one_player():
    for index in (0, 1):
        model = kgen.GAN(*dense_players())
        rates = [0.1, 0.1]
        rates[index] = 0.0
        generator_rate, discriminator_rate = rates
        model.compile(
            generator_optimizer=sgd(generator_rate), discriminator_optimizer=sgd(discriminator_rate)
        )
        networks_by_index = [model.generator, model.discriminator]
        before = [state(network) for network in networks_by_index]
        model.fit(points(), batch_size=8, verbose=0)
        for number, network in enumerate(networks_by_index):
            changes = [(a != b).any() for a, b in zip(before[number], state(network), strict=True)]
            assert all(changes) if number != index else not any(changes)


def test_terms_are_those_of_the_networks():
    """Each term from the networks' outputs, slowly, with the penalty's weight."""
    model = kgen.GAN(*dense_players(), penalty=losses.penalties.r1_penalty, penalty_weight=3.0)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    latents = record_latents(model)
    x = tf.constant(points())
    terms = model.discriminator_objective(x)
    assert list(terms) == ["loss", "real_logits", "fake_logits", "penalty"]
    fake = model.generator(latents[0])
    real_logits, fake_logits = (model.discriminator(batch).numpy()[:, 0] for batch in (x, fake))
    np.testing.assert_allclose(terms["real_logits"], real_logits, atol=1e-6)
    np.testing.assert_allclose(terms["fake_logits"], fake_logits, atol=1e-6)
    np.testing.assert_allclose(model.discriminate(x), real_logits, atol=1e-6)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = model.discriminator(x)
    slope = tape.gradient(logits, x).numpy()
    expected = np.log1p(np.exp(-real_logits)) + np.log1p(np.exp(fake_logits))
    expected += 3.0 * 0.5 * np.sum(slope**2, axis=1)
    # float32 sums in another order.
    np.testing.assert_allclose(terms["penalty"], 0.5 * np.sum(slope**2, axis=1), rtol=1e-5)
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-5)
    # Evaluation draws the same latents for both players.
    terms = model.generator_objective(x)
    np.testing.assert_allclose(terms["loss"], np.log1p(np.exp(-fake_logits)), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        ({}, []),
        (dict(penalty=losses.penalties.r1_penalty), ["penalty"]),
        (dict(consensus_weight=1.0), ["consensus"]),
        (dict(unrolled_steps=1), []),
        (dict(penalty=losses.penalties.r1_penalty, consensus_weight=1.0), ["penalty", "consensus"]),
    ],
    ids=["plain", "penalty", "consensus", "unrolled", "both"],
)
def test_only_terms_of_the_game_are_reported(arguments, more, tmp_path):
    """No user without a penalty sees one that is always 0."""
    model = kgen.GAN(*dense_players(), **arguments)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    names = ["discriminator_loss", "generator_loss", "real_logits", "fake_logits", *more]
    assert model.metrics_names == names
    x = points()
    history = model.fit(x, validation_data=(x,), verbose=0).history
    assert set(history) == {prefix + name for prefix in ("", "val_") for name in names}
    assert all(value != 0 for values in history.values() for value in values)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").metrics_names == names
    # The other models of the process are not touched.
    plain = kgen.GAN(*dense_players())
    plain.compile("sgd")
    assert plain.metrics_names == names[:4]


# Bad input.


def test_bad_models():
    generator, discriminator = dense_players()
    labelled = networks.conditioned(
        networks.dense_generator(4, (2,), hidden_units=(3,)), specs.Labels(3), (2,)
    )
    image_input = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])

    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    subclassed = Subclassed()
    subclassed(np.zeros((1, 2), "float32"))
    for arguments, message in [
        ((generator, dense_players((3,))[1]), r"gives images of shape \(2,\), but .* takes \(3,\)"),
        ((labelled, discriminator), r"generator '.*' takes .*, expected x alone"),
        ((image_input, discriminator), r"must take latents \(batch, latent_dim\)"),
        ((generator, dense_players(output_dim=2)[1]), r"expected \(1,\): one logit per image"),
        ((lambda z: z, discriminator), "generator must be a keras.Model, received function"),
        ((generator, keras.Sequential([keras.layers.Dense(1)])), "has no variables yet"),
        ((subclassed, discriminator), "is a Subclassed, whose shapes are not known"),
    ]:
        with pytest.raises(ValueError, match=message):
            kgen.GAN(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(penalty_weight=-1.0), "penalty_weight must be at least 0"),
        (dict(consensus_weight=-0.1), "consensus_weight must be at least 0"),
        (dict(unrolled_steps=-1), "unrolled_steps must be an integer of at least 0"),
        (dict(unrolled_steps=1.5), "unrolled_steps must be an integer of at least 0"),
        (dict(unrolled_steps=1, consensus_weight=1.0), "unrolled_steps=0 or consensus_weight=0"),
        (dict(ema_decay=1.5), r"ema_decay must be in \[0, 1\]"),
        (dict(discriminator_steps=0), "discriminator_steps must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kgen.GAN(*dense_players(), **arguments)


def test_bad_data():
    model = kgen.GAN(*dense_players(SHAPE), discriminator_steps=4)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    bad = images(8)
    bad[5, 1, 2] = 1.5
    for x, message in [
        (bad, r"Expected pixels in \[0, 1\], received values from"),
        (
            images(6),
            "batch of 6 does not divide into 4 slices of equal size for discriminator_steps=4",
        ),
        (images(8)[..., 0], "Add the channel axis"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(x, verbose=0)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 3), "float32"), r"Expected points of shape \(batch, 2\), received \(4, 3\)"),
        (np.zeros((4, 2), "int64"), "Expected float32 points, received dtype int64"),
        (np.zeros((4, 2), "uint8"), "Expected float32 points, received dtype uint8"),
        (np.full((4, 2), np.inf, "float32"), "points hold infinite"),
        (np.full((4, 2), np.nan, "float32"), "points hold NaN: 4 of 4 points"),
        (np.zeros((0, 2), "float32"), "data set is empty"),
    ],
)
def test_bad_points(x, message):
    model = kgen.GAN(*dense_players())
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    with pytest.raises(ValueError, match=message):
        model.fit(x, verbose=0)


def test_points_of_any_range():
    model = kgen.GAN(*dense_players())
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    model.fit(100 * points(), verbose=0)


@keras.saving.register_keras_serializable(package="kgen_tests")
def no_number(discriminator, real, fake, *, seed):
    return tf.fill(tf.shape(real)[:1], np.nan)


def test_a_penalty_that_is_no_number_is_named():
    model = kgen.GAN(*dense_players(), penalty=no_number)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    with pytest.raises(FloatingPointError, match="discriminator_loss = nan.* penalty = nan"):
        model.fit(points(), verbose=0)


def test_a_consensus_that_is_no_number_is_named():
    """The square of a finite field overflows."""
    model = bilinear_game(1e25, 1.0, consensus_weight=1.0, rate=0.0)
    with pytest.raises(FloatingPointError, match="consensus = inf") as error:
        model.fit(np.zeros((4, 1), "float32"), verbose=0)
    assert "logits" not in str(error.value)


def test_a_loss_that_diverges_stops_with_step_and_term():
    model = kgen.GAN(*dense_players(), **WASSERSTEIN)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(1e38))
    with pytest.raises(FloatingPointError, match="epoch 1.*step [0-9]+.*_loss = (nan|-?inf)"):
        model.fit(points(64), batch_size=8, epochs=3, verbose=0)
