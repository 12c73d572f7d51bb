"""How far a reconstruction is from its example, unreduced: one value per example."""

import tensorflow as tf


def per_example(values):
    """Average over all axes but the first: float32 `(batch, ...)` to `(batch,)`."""
    values = tf.cast(values, tf.float32)
    return tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))


def absolute_error(images, reconstructions):
    """L(v) = `mean |v - D(v)|` over pixels and channels: float32 `(batch,)`."""
    difference = tf.cast(images, tf.float32) - tf.cast(reconstructions, tf.float32)
    return per_example(tf.abs(difference))


def squared_error(images, reconstructions):
    """`mean (v - decoder(encoder(v)))^2` over pixels and channels: float32 `(batch,)`."""
    difference = tf.cast(images, tf.float32) - tf.cast(reconstructions, tf.float32)
    return per_example(tf.square(difference))
