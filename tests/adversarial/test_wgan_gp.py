"""WGAN-GP in closed form on a linear critic, and the critics that it refuses."""

import keras
import numpy as np
import pytest
from adversarial.players import (
    SHAPE,
    constant_generator,
    dense_players,
    linear_discriminator,
    points,
    sgd,
)

import kgen
from kgen import losses, networks


def linear_game(a, b, **kwargs):
    return kgen.WGANGP(
        constant_generator(*b),
        linear_discriminator(*a),
        discriminator_steps=1,
        ema_decay=None,
        **kwargs,
    )


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("one_sided", [False, True], ids=["two_sided", "one_sided"])
def test_a_step_by_hand(jit_compile, one_sided):
    """D(x) = a.x has the slope |a| at every point between, whatever numbers XLA draws."""
    a, b, weight = np.array([0.3, -0.4]), np.array([1.0, 2.0]), 2.0
    penalty = (
        losses.penalties.one_sided_gradient_penalty
        if one_sided
        else losses.penalties.gradient_penalty
    )
    model = linear_game(a, b, penalty=penalty, penalty_weight=weight)
    model.compile(
        generator_optimizer=sgd(0.1), discriminator_optimizer=sgd(0.1), jit_compile=jit_compile
    )
    x = points(8)
    history = model.fit(x, batch_size=8, verbose=0).history
    excess = 0.0 if one_sided else np.linalg.norm(a) - 1
    assert one_sided or excess == pytest.approx(-0.5)
    distance = (x.mean(axis=0) - b) @ a
    assert history["gradient_penalty"][0] == pytest.approx(excess**2, rel=1e-5)
    assert history["wasserstein"][0] == pytest.approx(distance, rel=1e-5)
    expected = -distance + weight * excess**2
    assert history["discriminator_loss"][0] == pytest.approx(expected, rel=1e-5)
    a = a - 0.1 * (b - x.mean(axis=0) + weight * 2 * excess * a / np.linalg.norm(a))
    np.testing.assert_allclose(model.discriminator.get_weights()[0][:, 0], a, rtol=1e-5)
    np.testing.assert_allclose(model.generator.get_weights()[0], b + 0.1 * a, rtol=1e-5)


def test_the_distance_of_two_points():
    """max_a a d - lambda (|a| - 1)^2 is at a = 1 + d / (2 lambda): the penalty's slack."""
    distance, weight = 1.0, 10.0
    model = linear_game([0.2], [0.0], penalty_weight=weight)
    model.compile(generator_optimizer=sgd(0.0), discriminator_optimizer=sgd(0.02))
    x = np.full((60, 1), distance, "float32")
    model.fit(x, batch_size=1, verbose=0)
    results = model.evaluate(x, verbose=0, return_dict=True)
    slope = 1 + distance / (2 * weight)
    # Each step takes 40 % off the way that is left.
    assert results["wasserstein"] == pytest.approx(slope * distance, rel=1e-5)
    assert results["gradient_penalty"] == pytest.approx((slope - 1) ** 2, rel=1e-3)


def test_the_paper_defaults():
    model = kgen.WGANGP.for_images(SHAPE, latent_dim=2)
    assert (model.penalty_weight, model.discriminator_steps) == (10.0, 5)
    assert model.penalty is losses.penalties.gradient_penalty
    kinds = {type(layer).__name__ for layer in model.discriminator._flatten_layers()}
    assert "LayerNormalization" in kinds and "BatchNormalization" not in kinds


class Holder(keras.layers.Layer):
    """A layer of the user that keeps others in a list and a dict."""

    def __init__(self, *layers, **kwargs):
        super().__init__(**kwargs)
        self.parts = {"first": [layers[0]], "rest": list(layers[1:])}

    def call(self, inputs):
        for layer in (*self.parts["first"], *self.parts["rest"]):
            inputs = layer(inputs)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


class Subclassed(keras.layers.BatchNormalization):
    """The user's own."""


def batch_normalization():
    return keras.layers.BatchNormalization(name="hidden_one")


@pytest.mark.parametrize(
    "inner",
    [
        batch_normalization,
        lambda: Subclassed(name="hidden_one"),
        lambda: keras.Sequential([batch_normalization()]),
        lambda: keras.Sequential([keras.Sequential([keras.Input((3,)), batch_normalization()])]),
        lambda: Holder(keras.layers.Identity(), batch_normalization()),
        lambda: Holder(keras.Sequential([batch_normalization()])),
    ],
    ids=["direct", "subclass", "model", "model_in_model", "attribute", "model_in_attribute"],
)
def test_batch_normalization_is_refused(inner):
    layers = [keras.layers.Dense(3), inner(), keras.layers.Dense(1)]
    critic = keras.Sequential([keras.Input((2,)), *layers], name="mine")
    with pytest.raises(ValueError, match="'mine' has batch normalization .'hidden_one'"):
        kgen.WGANGP(dense_players()[0], critic)


def test_batch_normalization_in_a_wrapper_is_refused():
    layers = [
        keras.layers.Reshape((2, 1)),
        keras.layers.TimeDistributed(batch_normalization()),
        keras.layers.Flatten(),
        keras.layers.Dense(1),
    ]
    with pytest.raises(ValueError, match="has batch normalization .'hidden_one'"):
        kgen.WGANGP(dense_players()[0], keras.Sequential([keras.Input((2,)), *layers]))


def test_batch_normalization_in_the_generator_is_welcome():
    generator = networks.dense_generator(2, (2,), hidden_units=(3,), normalization="batch")
    kgen.WGANGP(generator, dense_players(normalization="layer")[1])


def test_bad_arguments():
    with pytest.raises(ValueError, match="penalty_weight must be at least 0"):
        kgen.WGANGP(*dense_players(), penalty_weight=-1)
    with pytest.raises(ValueError, match=r"gives images of shape \(2,\), but .* takes \(3,\)"):
        kgen.WGANGP(dense_players()[0], dense_players((3,))[1])
