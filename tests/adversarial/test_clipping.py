"""Weights that are clipped after every update."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import two_replicas

from kgen import networks
from kgen.adversarial.parts.clipping import WeightClipping, constrain_weights


def test_clipping_follows_every_update():
    critic = networks.dense_discriminator(3, hidden_units=(4,))
    constraint = WeightClipping(0.05)
    constrain_weights(critic, constraint)
    optimizer = keras.optimizers.SGD(1.0)
    ones = [tf.ones(variable.shape) for variable in critic.trainable_variables]
    expected = [np.clip(v.numpy() - 1.0, -0.05, 0.05) for v in critic.trainable_variables]

    @tf.function
    def step():
        optimizer.apply(ones, critic.trainable_variables)

    step()
    assert len(critic.trainable_variables) == 4
    for variable, clipped in zip(critic.trainable_variables, expected, strict=True):
        # Biases, which start at 0, too.
        np.testing.assert_allclose(variable, clipped, atol=1e-7)
        assert np.abs(variable.numpy()).max() == pytest.approx(0.05)


def test_clipping_follows_a_scaled_update():
    critic = networks.dense_discriminator(3, hidden_units=(4,))
    constrain_weights(critic, WeightClipping(0.05))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=2.0)
    optimizer.build(critic.trainable_variables)
    optimizer.apply([2 * tf.ones(v.shape) for v in critic.trainable_variables])
    for variable in critic.trainable_variables:
        assert np.abs(variable.numpy()).max() == pytest.approx(0.05)


def test_clipping_on_two_replicas():
    strategy = two_replicas()
    with strategy.scope():
        critic = networks.dense_discriminator(3, hidden_units=())
        constrain_weights(critic, WeightClipping(0.05))
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(critic.trainable_variables)

    @tf.function
    def step():
        gradients = [tf.ones(v.shape) for v in critic.trainable_variables]
        optimizer.apply(gradients, critic.trainable_variables)

    strategy.run(step)
    for variable in critic.trainable_variables:
        np.testing.assert_allclose(variable, np.full(variable.shape, -0.05), atol=1e-7)


def test_constraints_are_set_anew_after_loading(tmp_path):
    critic = networks.dense_discriminator(3, hidden_units=(4,))
    constrain_weights(critic, WeightClipping(0.05))
    critic.save(tmp_path / "critic.keras")
    restored = keras.saving.load_model(tmp_path / "critic.keras")
    assert all(variable.constraint is None for variable in restored.trainable_variables)
    constrain_weights(critic, None)
    assert all(variable.constraint is None for variable in critic.trainable_variables)


def test_clipping_saves():
    config = keras.saving.serialize_keras_object(WeightClipping(0.02))
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is WeightClipping and copy.limit == 0.02
    np.testing.assert_allclose(copy(tf.constant([-1.0, 0.01, 1.0])), [-0.02, 0.01, 0.02])
    with pytest.raises(ValueError, match="limit"):
        WeightClipping(0.0)
    with pytest.raises(ValueError, match="keras.Model"):
        constrain_weights(None, copy)
