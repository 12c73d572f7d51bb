"""Normalizations that a penalty, the consensus term and the steps ahead do not get on with."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial.players import SHAPE, dense_players, points

import kgen
from kgen import layers, losses, networks, specs


def critic(*layers):
    dense = keras.layers.Dense(6, activation="tanh")
    network = keras.Sequential(
        [keras.Input((2,)), dense, *layers, keras.layers.Dense(1)], name="critic"
    )
    draw = np.random.RandomState(0)
    for variable in network.trainable_variables:
        variable.assign(draw.normal(size=variable.shape))
    return network


SECOND_DERIVATIVES = {
    "layer": (lambda: keras.layers.LayerNormalization(name="n"), "kgen.layers.LayerNormalization"),
    "group": (lambda: keras.layers.GroupNormalization(2, name="n"), "kgen.layers.LayerNorm"),
    "batch": (lambda: keras.layers.BatchNormalization(name="n"), "synchronized=True"),
    "batch_synchronized": (lambda: keras.layers.BatchNormalization(synchronized=True), None),
    "kgen_layer": (layers.LayerNormalization, None),
    "rms": (keras.layers.RMSNormalization, None),
    "unit": (keras.layers.UnitNormalization, None),
}


@pytest.mark.filterwarnings("ignore:The discriminator .* has batch normalization")
@pytest.mark.parametrize(
    ("layer", "remedy"), SECOND_DERIVATIVES.values(), ids=SECOND_DERIVATIVES.keys()
)
def test_a_wrong_second_derivative_is_warned_of(layer, remedy):
    """Just those whose gradient's gradient is not its difference quotient."""
    network, x, direction = critic(layer()), tf.constant(points(6)), points(6, seed=1)

    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = tf.sin(network(x, training=True))
        return tf.reduce_sum(tf.square(tape.gradient(values, x)))

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = slope(x)
    received = np.sum(tape.gradient(value, x) * direction)
    size = 3e-3
    moved = [float(slope(x + sign * size * direction)) for sign in (1, -1)]
    quotient = (moved[0] - moved[1]) / (2 * size)
    # The quotient is off by up to 5e-4, from float32's rounding over its step; what is wrong is off
    # by 4e-2 and more.
    is_right = received == pytest.approx(quotient, rel=2e-3)
    assert is_right == (remedy is None)

    generator = dense_players()[0]
    for arguments in (
        dict(penalty=losses.penalties.gradient_penalty),
        dict(unrolled_steps=1),
        dict(consensus_weight=1.0),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kgen.GAN(generator, network, **arguments)
        messages = [str(item.message) for item in caught if "gradient of a" in str(item.message)]
        assert len(messages) == (remedy is not None)
        for message in messages:
            assert "'critic'" in message and "'n'" in message and f"Use {remedy}" in message
    # The plain game takes no second derivative.
    kgen.GAN(generator, network)


def test_the_consensus_differentiates_the_generator_too():
    kwargs = dict(hidden_units=(3,))
    generator = keras.Sequential(
        [keras.Input((2,)), keras.layers.LayerNormalization(), keras.layers.Dense(2)], name="mine"
    )
    discriminator = networks.dense_discriminator((2,), **kwargs)
    with pytest.warns(UserWarning, match="gradient of a gradient of 'mine'"):
        kgen.GAN(generator, discriminator, consensus_weight=1.0)
    # A penalty and the steps ahead do not.
    kgen.GAN(generator, discriminator, penalty=losses.penalties.gradient_penalty, unrolled_steps=1)


def test_batch_normalization_under_a_penalty_is_warned_of():
    message = r"has batch normalization .*normalization=\"layer\""
    for penalty in (losses.penalties.gradient_penalty, losses.penalties.r1_penalty):
        with pytest.warns(UserWarning, match=message) as caught:
            kgen.GAN.for_images(SHAPE, latent_dim=2, penalty=penalty)
        assert len(caught) == 1
    kgen.GAN.for_images(SHAPE, latent_dim=2)
    layer = functools.partial(networks.dcgan_discriminator, normalization="layer")
    kgen.GAN.for_images(
        SHAPE, latent_dim=2, penalty=losses.penalties.gradient_penalty, discriminator=layer
    )


def test_a_conditional_discriminator_is_looked_at_too():
    def build(normalization, **kwargs):
        generator = networks.dense_generator(4, (2,), hidden_units=())
        features = networks.dense_discriminator(
            2, 4, hidden_units=(5,), normalization=normalization
        )
        return kgen.ConditionalGAN(
            networks.conditioned(generator, specs.Labels(3), (2,)),
            networks.projection_discriminator(features, specs.Labels(3)),
            condition=specs.Labels(3),
            **kwargs,
        )

    with pytest.warns(UserWarning, match="has batch normalization"):
        build("batch", penalty=losses.penalties.gradient_penalty)
    build("batch")
    build("layer", penalty=losses.penalties.gradient_penalty)


@pytest.mark.parametrize(
    "layer", [keras.layers.LayerNormalization, lambda: keras.layers.GroupNormalization(3)]
)
def test_a_wasserstein_critic_is_looked_at_too(layer):
    layers = [keras.layers.Dense(3), keras.Sequential([layer()]), keras.layers.Dense(1)]
    network = keras.Sequential([keras.Input((2,)), *layers], name="mine")
    with pytest.warns(UserWarning, match="'mine', which Keras.*kgen.layers.LayerNormalization"):
        kgen.WGANGP(dense_players()[0], network)
