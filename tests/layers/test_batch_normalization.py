"""The fused kernels beside Keras' own operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.layers import BatchNormalization


def pair(shape, **kwargs):
    """Our layer and Keras', of equal weights."""
    ours = BatchNormalization(**kwargs)
    # Unsynchronized, Keras takes the variance about a mean that is held constant: its derivative's
    # derivative is wrong.
    theirs = keras.layers.BatchNormalization(momentum=0.9, synchronized=True, **kwargs)
    draws = np.random.default_rng(0)
    for layer in (ours, theirs):
        layer.build(shape)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        values = draws.uniform(0.5, 1.5, mine.shape)
        mine.assign(values)
        other.assign(values)
    return ours, theirs


def images(shape=(6, 5, 4, 3), dtype=np.float32):
    """Of another mean and spread in each channel."""
    values = np.random.default_rng(1).normal(size=shape)
    return tf.constant((values * [1.0, 2.0, 0.5] + [0.0, 3.0, -1.0]).astype(dtype))


@pytest.mark.parametrize(
    ("kwargs", "jit_compile"),
    [({}, False), (dict(scale=False, center=False), False), (dict(epsilon=0.1), True)],
    ids=str,
)
def test_outputs_statistics_and_gradients_are_those_of_keras(kwargs, jit_compile):
    x = images()
    weights = tf.constant(np.random.default_rng(2).normal(size=x.shape).astype(np.float32))
    found = []
    for layer in pair(x.shape, **kwargs):

        @tf.function(jit_compile=jit_compile)
        def step(x, layer=layer):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape(persistent=True) as tape:
                    tape.watch(x)
                    outputs = layer(x, training=True)
                    value = tf.reduce_sum(weights * tf.sin(outputs))
                slope = tape.gradient(value, x)
                of_weights = tape.gradient(value, layer.trainable_variables)
                penalty = tf.reduce_sum(tf.square(slope))
            return outputs, slope, *of_weights, outer.gradient(penalty, x)

        values = step(x)
        found.append([*values, *layer.non_trainable_variables, layer(x, training=False)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=5e-4, atol=5e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision(dtype):
    ours, theirs = pair((6, 5, 4, 3), dtype=f"mixed_{dtype}")
    x = images()
    found = [layer(x, training=True) for layer in (ours, theirs)]
    assert found[0].dtype == found[1].dtype == dtype
    np.testing.assert_allclose(*(tf.cast(f, tf.float32) for f in found), rtol=0.02, atol=0.02)
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        assert mine.dtype == "float32"
        np.testing.assert_allclose(mine, other, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("shape", [(8, 3), (8, 2, 3), (1, 1, 1, 3)])
def test_whatever_the_kernel_does_not_do_is_left_to_keras(shape):
    ours, theirs = pair(shape)
    x = images(shape)
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=1e-5)
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_frozen_layers_do_not_move():
    layer, _ = pair((6, 5, 4, 3))
    layer.trainable = False
    before = [variable.numpy() for variable in layer.variables]
    layer(images(), training=True)
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
