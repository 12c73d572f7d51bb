"""The penalties against closed forms, and PyTorch for the gradient of a gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import networks
from kgen.losses import penalties

SEED = tf.constant([3, 5], tf.int32)
REAL, FAKE = np.random.RandomState(0).uniform(size=(2, 6, 4, 5, 1)).astype("float32")
SLOPE = np.random.RandomState(1).normal(size=(4, 5, 1)).astype("float32")
PENALTIES = [
    penalties.gradient_penalty,
    penalties.one_sided_gradient_penalty,
    penalties.r1_penalty,
    penalties.dragan_penalty,
]
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.__name__)


def linear(slope):
    return lambda images: tf.reduce_sum(images * slope, axis=(1, 2, 3))[:, None] + 2.0


@pytest.mark.parametrize("length", [0.0, 0.3, 1.0, 2.5])
def test_a_linear_critic(length):
    """D(x) = a.x + 2 has the slope |a| everywhere."""
    slope = SLOPE * length / np.linalg.norm(SLOPE)
    expected = {
        "gradient_penalty": (length - 1) ** 2,
        "one_sided_gradient_penalty": max(0, length - 1) ** 2,
        "r1_penalty": length**2 / 2,
        "dragan_penalty": (length - 1) ** 2,
    }
    for penalty in PENALTIES:
        received = penalty(linear(slope), REAL, FAKE, seed=SEED)
        assert received.dtype == tf.float32 and received.shape == (6,)
        # |a| = 1 leaves the rounding of a square root of a sum in float32, squared or not.
        np.testing.assert_allclose(
            received, np.full(6, expected[penalty.__name__]), rtol=1e-5, atol=1e-6
        )


def points(penalty, real=REAL, fake=FAKE, seed=SEED):
    """Where a penalty measures the slope."""
    seen = []

    def discriminator(images):
        seen.append(images.numpy())
        return tf.reduce_sum(images, axis=(1, 2, 3))[:, None]

    penalty(discriminator, real, fake, seed=seed)
    return seen[0]


@pytest.mark.parametrize(
    "penalty", [penalties.gradient_penalty, penalties.one_sided_gradient_penalty]
)
def test_epsilon_is_one_a_row(penalty):
    count = 2000
    real, fake = np.ones((count, 2, 3, 1), "float32"), np.zeros((count, 2, 3, 1), "float32")
    epsilon = points(penalty, real, fake)
    np.testing.assert_array_equal(epsilon, np.broadcast_to(epsilon[:, :1, :1], epsilon.shape))
    rows = np.sort(epsilon[:, 0, 0, 0])
    assert len(np.unique(rows)) > 0.99 * count
    # The Kolmogorov-Smirnov distance of 2,000 uniform draws is below 0.0437 in 999 of 1,000 cases.
    assert np.abs(rows - (np.arange(count) + 0.5) / count).max() < 0.0437
    # Real has the weight eps.
    mixed = points(penalty, real=3 * real, fake=fake - 1)
    np.testing.assert_allclose(mixed, 4 * epsilon - 1, atol=1e-5)
    np.testing.assert_array_equal(points(penalty, real, fake), epsilon)
    assert np.abs(points(penalty, real, fake, seed=SEED + 1) - epsilon).max() > 0.1


def test_r1_looks_at_the_real_images():
    np.testing.assert_array_equal(points(penalties.r1_penalty), REAL)
    np.testing.assert_array_equal(points(penalties.r1_penalty, fake=None, seed=None), REAL)


def test_dragan_looks_beside_the_real_images():
    real = np.random.RandomState(0).normal(0.5, 0.2, size=(500, 8, 8, 1)).astype("float32")
    noise = (points(penalties.dragan_penalty, real, None) - real) / (0.5 * real.std())
    # float32 differences of numbers near 1, over a half of 0.2.
    assert noise.min() > -1e-5 and noise.max() < 1 + 1e-5
    row_scale = noise.max(axis=(1, 2, 3))
    # The largest of 64 uniforms is near alpha, which is uniform over the rows.
    assert 0.4 < row_scale.mean() < 0.6 and row_scale.min() < 0.1 and row_scale.max() > 0.9
    # Within a row the noise is uniform from 0: its mean is half its scale.
    assert np.mean(noise.mean(axis=(1, 2, 3)) / row_scale) == pytest.approx(0.51, abs=0.02)
    # E[alpha u] = 1/4.
    assert noise.mean() == pytest.approx(0.25, abs=0.03)


def test_a_map_of_patches_counts_as_its_mean():
    """Four patches, each half of what D is: the slope of the mean."""

    def patches(images):
        return tf.reshape(linear(2 * SLOPE)(images), (-1, 1, 1, 1)) * tf.ones((1, 2, 2, 1)) / 2

    received = penalties.r1_penalty(patches, REAL)
    np.testing.assert_allclose(received, np.full(6, np.sum(SLOPE**2) / 2), rtol=1e-5)


@pytest.mark.parametrize("constant", ["no weights in use", "zero weights"])
@every_penalty
def test_a_constant_critic_has_a_finite_gradient(penalty, constant):
    critic = networks.dense_discriminator((4, 5, 1), hidden_units=(3,))
    if constant == "zero weights":
        critic.set_weights([0 * weight for weight in critic.get_weights()])
        discriminator = critic
    else:
        discriminator = lambda images: 0.0 * critic(images)  # noqa: E731
    with tf.GradientTape() as tape:
        values = penalty(discriminator, REAL, FAKE, seed=SEED)
    variables = [variable.value for variable in critic.trainable_variables]
    gradients = tape.gradient(values, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    expected = 1.0 if "gradient" in penalty.__name__ or "dragan" in penalty.__name__ else 0.0
    expected = 0.0 if "one_sided" in penalty.__name__ else expected
    np.testing.assert_array_equal(values, np.full(6, expected))


def test_a_critic_that_ignores_its_input():
    np.testing.assert_array_equal(
        penalties.gradient_penalty(lambda x: tf.zeros((6, 1)), REAL, FAKE, seed=SEED), np.ones(6)
    )


@every_penalty
def test_gradient_of_the_penalty_is_pytorchs(penalty):
    """The second derivative, eager, in a graph and under XLA, against PyTorch's double backward."""
    torch = pytest.importorskip("torch")
    critic = networks.dense_discriminator((4, 5, 1), hidden_units=(7,), activation="tanh")
    # Slopes on both sides of 1.
    critic.set_weights([2 * weight for weight in critic.get_weights()])

    def step(real, fake, seed):
        seen = []

        def discriminator(images):
            seen.append(images)
            return critic(images)

        with tf.GradientTape() as tape:
            values = penalty(discriminator, real, fake, seed=seed)
        return seen[0], values, tape.gradient(values, critic.trainable_variables[:3])

    arguments = tf.constant(REAL), tf.constant(FAKE), SEED
    # XLA draws other numbers from a seed, so each run says where it looked.
    for run in (step, tf.function(step), tf.function(step, jit_compile=True)):
        images, values, gradients = run(*arguments)
        weights = [torch.tensor(w, requires_grad=True) for w in critic.get_weights()]
        x = torch.tensor(images.numpy().reshape(6, -1), requires_grad=True)
        hidden = torch.tanh((2 * x - 1) @ weights[0] + weights[1])
        logits = hidden @ weights[2] + weights[3]
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        norm = slope.pow(2).sum(1).sqrt()
        expected = {
            "gradient_penalty": (norm - 1) ** 2,
            "one_sided_gradient_penalty": torch.relu(norm - 1) ** 2,
            "r1_penalty": norm**2 / 2,
            "dragan_penalty": (norm - 1) ** 2,
        }[penalty.__name__]
        assert float(expected.detach().min()) > 0
        # float32 with sums in another order.
        np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-4, atol=1e-6)
        theirs = torch.autograd.grad(expected.sum(), weights[:3])
        for received, gradient in zip(gradients, theirs, strict=True):
            np.testing.assert_allclose(received, gradient.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize(
    "critic",
    [
        lambda: networks.dcgan_discriminator(
            (4, 5, 1), filters=(2, 3), normalization="layer", activation="tanh"
        ),
        lambda: networks.residual_discriminator(
            (4, 5, 1), filters=3, num_blocks=1, normalization="layer", activation="tanh"
        ),
        lambda: networks.residual_discriminator(
            (4, 5, 1), filters=3, num_blocks=0, spectral_normalization=True, activation="tanh"
        ),
    ],
    ids=["dcgan", "residual", "spectral"],
)
def test_second_derivatives_of_the_networks(critic, jit_compile):
    """The gradient against a difference quotient along itself.

    The critics are smooth: the slope of one with ReLUs jumps as its weights move.
    """
    critic = critic()
    for variable in critic.trainable_variables:
        # Weights of N(0, 0.02^2) have second derivatives near 0.
        noise = np.random.RandomState(len(variable.path)).normal(size=variable.shape)
        variable.assign(variable + 0.3 * noise)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            values = penalties.gradient_penalty(
                lambda images: critic(images, training=True), REAL, FAKE, seed=SEED
            )
            loss = tf.reduce_mean(values)
        variables = [variable.value for variable in critic.trainable_variables]
        return loss, tape.gradient(
            loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    for _ in range(20):
        # Power iterations settle.
        loss, gradients = step()
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    norm = float(tf.linalg.global_norm(gradients))
    assert norm > 0.1
    moved = []
    size = 1e-3
    for step_size in (size, -2 * size):
        for variable, gradient in zip(critic.trainable_variables, gradients, strict=True):
            variable.assign_add(step_size * gradient / norm)
        moved.append(float(step()[0]))
    # Losses near 1 with a rounding of 1e-7, over a difference of 2e-3.
    assert (moved[0] - moved[1]) / (2 * size) == pytest.approx(norm, rel=2e-3)


@every_penalty
def test_saves_by_name(penalty):
    config = keras.saving.serialize_keras_object(penalty)
    assert keras.saving.deserialize_keras_object(config) is penalty
