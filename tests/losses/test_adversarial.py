"""The losses against slow transcriptions of their papers, in float64 and one example at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.losses import adversarial as losses

REAL, FAKE = np.random.RandomState(0).normal(scale=2, size=(2, 7, 1)).astype("float32")


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.float64(logit)))


# The losses as the papers write them, D being a probability in the first two, a number in the rest.
DISCRIMINATOR = {
    "minimax": lambda real, fake: -(np.log(sigmoid(real)) + np.log(1 - sigmoid(fake))),
    "non_saturating": lambda real, fake: -(np.log(sigmoid(real)) + np.log(1 - sigmoid(fake))),
    "least_squares": lambda real, fake: (real - 1) ** 2 / 2 + (fake - 0) ** 2 / 2,
    "hinge": lambda real, fake: -(min(0, -1 + real) + min(0, -1 - fake)),
    "wasserstein": lambda real, fake: -(real - fake),
}
GENERATOR = {
    "minimax": lambda fake: np.log(1 - sigmoid(fake)),
    "non_saturating": lambda fake: -np.log(sigmoid(fake)),
    "least_squares": lambda fake: (fake - 1) ** 2 / 2,
    "hinge": lambda fake: -fake,
    "wasserstein": lambda fake: -fake,
}
every_loss = pytest.mark.parametrize("name", DISCRIMINATOR)


def pair(name):
    return (
        getattr(losses, f"{name}_discriminator_loss"),
        getattr(losses, f"{name}_generator_loss"),
    )


@every_loss
def test_papers_equations(name):
    discriminator_loss, generator_loss = pair(name)
    expected = [
        DISCRIMINATOR[name](float(real), float(fake))
        for real, fake in zip(REAL[:, 0], FAKE[:, 0], strict=True)
    ]
    received = discriminator_loss(REAL, FAKE)
    assert received.dtype == tf.float32 and received.shape == (7,)
    # float32 against float64; the atol is for differences near 0.
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    expected = [GENERATOR[name](float(fake)) for fake in FAKE[:, 0]]
    received = generator_loss(FAKE)
    assert received.dtype == tf.float32 and received.shape == (7,)
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_vectors_of_logits(name):
    discriminator_loss, generator_loss = pair(name)
    np.testing.assert_array_equal(
        discriminator_loss(REAL[:, 0], FAKE), discriminator_loss(REAL, FAKE)
    )
    np.testing.assert_array_equal(generator_loss(FAKE[:, 0]), generator_loss(FAKE))


@every_loss
def test_patches_are_judged_one_by_one(name):
    """The mean over patches of the loss, not the loss of the mean patch."""
    discriminator_loss, generator_loss = pair(name)
    real, fake = np.random.RandomState(1).normal(size=(2, 3, 2, 4, 1)).astype("float32")
    expected, expected_generator = np.zeros(3), np.zeros(3)
    for image, row, column in np.ndindex(3, 2, 4):
        patch = float(real[image, row, column, 0]), float(fake[image, row, column, 0])
        expected[image] += DISCRIMINATOR[name](*patch) / 8
        expected_generator[image] += GENERATOR[name](patch[1]) / 8
    np.testing.assert_allclose(discriminator_loss(real, fake), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(generator_loss(fake), expected_generator, rtol=1e-5, atol=1e-6)


@every_loss
def test_half_precision_logits_are_computed_in_float32(name):
    discriminator_loss, generator_loss = pair(name)
    real, fake = tf.cast(REAL, tf.float16), tf.cast(FAKE, tf.float16)
    exact = [tf.cast(logits, tf.float32) for logits in (real, fake)]
    np.testing.assert_array_equal(discriminator_loss(real, fake), discriminator_loss(*exact))
    np.testing.assert_array_equal(generator_loss(fake), generator_loss(exact[1]))


@every_loss
def test_saves_by_name(name):
    for loss in pair(name):
        config = keras.saving.serialize_keras_object(loss)
        assert config["config"] == f"kgen>{loss.__name__}"
        assert keras.saving.deserialize_keras_object(config) is loss


def test_known_values():
    undecided = tf.zeros((1, 1))
    # Goodfellow et al. 2014, theorem 1: -log 4 at the equilibrium, with its sign turned.
    for discriminator_loss in (
        losses.minimax_discriminator_loss,
        losses.non_saturating_discriminator_loss,
    ):
        received = discriminator_loss(undecided, undecided)
        np.testing.assert_allclose(received, [np.log(4)], rtol=1e-6)
    np.testing.assert_allclose(losses.minimax_generator_loss(undecided), [-np.log(2)], rtol=1e-6)
    received = losses.non_saturating_generator_loss(undecided)
    np.testing.assert_allclose(received, [np.log(2)], rtol=1e-6)
    half = tf.fill((1, 1), 0.5)
    np.testing.assert_allclose(losses.least_squares_discriminator_loss(half, half), [0.25])
    # Outside the margin the hinge asks for nothing.
    np.testing.assert_array_equal(
        losses.hinge_discriminator_loss(tf.constant([[1.5]]), tf.constant([[-1.5]])), [0.0]
    )
    np.testing.assert_array_equal(losses.hinge_discriminator_loss(undecided, undecided), [2.0])


def test_a_sure_discriminator():
    """No overflow; the saturating loss loses its slope, the other keeps it."""
    sure = tf.constant([[-1000.0]])
    for loss in (losses.minimax_discriminator_loss, losses.non_saturating_discriminator_loss):
        np.testing.assert_array_equal(loss(-sure, sure), [0.0])
        np.testing.assert_array_equal(loss(sure, -sure), [2000.0])
    for loss, value, slope in [
        (losses.minimax_generator_loss, 0.0, 0.0),
        (losses.non_saturating_generator_loss, 1000.0, -1.0),
    ]:
        with tf.GradientTape() as tape:
            tape.watch(sure)
            received = loss(sure)
        np.testing.assert_array_equal(received, [value])
        np.testing.assert_array_equal(tape.gradient(received, sure), [[slope]])
