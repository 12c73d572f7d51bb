"""The normalizations: batch statistics on one device and on two."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from replicas import two_replicas

from kgen.networks.normalization import normalized

X = np.random.RandomState(0).normal(2.0, 3.0, size=(6, 2, 3, 4)).astype("float32")


def network():
    inputs = keras.Input(X.shape[1:])
    return keras.Model(inputs, normalized(layers.Conv2D(5, 1)(inputs), "batch"))


def test_batch_normalization_on_one_device():
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, normalized(inputs, "batch"))
    mean, variance = X.mean(axis=(0, 1, 2)), X.var(axis=(0, 1, 2))
    expected = (X - mean) / np.sqrt(variance + 1e-3)
    for jit_compile in (False, True):
        step = tf.function(lambda: model(X, training=True), jit_compile=jit_compile)
        # The variance is a difference of float32 means of squares.
        np.testing.assert_allclose(step(), expected, atol=1e-5)
    moved = 1 - 0.9**2
    for received, batch, start in zip(
        model.non_trainable_variables, (mean, variance), (0, 1), strict=True
    ):
        np.testing.assert_allclose(received, start + moved * (batch - start), rtol=1e-5)


def test_two_replicas_take_the_global_batch():
    strategy = two_replicas()
    with strategy.scope():
        mirrored = network()
    single = network()
    single.set_weights(mirrored.get_weights())
    slope = np.random.RandomState(1).normal(size=(6, 2, 3, 5)).astype("float32")

    def step(model, rows):
        values = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            outputs = model(tf.gather(X, rows), training=True)
            loss = tf.reduce_sum(tf.sin(outputs) * tf.gather(slope, rows))
        return outputs, tape.gradient(loss, values)

    # Parts of two sizes.
    rows = [[0, 1, 2, 3], [4, 5]]
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group])
    )
    both = tf.function(lambda parts: strategy.run(step, args=(mirrored, parts)))
    outputs, gradients = both(parts)
    expected, expected_gradients = step(single, np.arange(6))
    received = np.concatenate(
        [part.numpy() for part in strategy.experimental_local_results(outputs)]
    )
    # float32 sums in another order.
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(gradients, expected_gradients, strict=True):
        total = sum(part.numpy() for part in strategy.experimental_local_results(mine))
        np.testing.assert_allclose(total, theirs, rtol=1e-3, atol=1e-4)
    for mine, theirs in zip(
        mirrored.non_trainable_variables, single.non_trainable_variables, strict=True
    ):
        for copy in mine.value.values:
            np.testing.assert_allclose(copy, theirs, rtol=1e-5, atol=1e-6)
