"""Linear resampling along rows and columns, with weights of each image's own."""

import tensorflow as tf


def resample(images, row_weights, column_weights):
    """Weigh rows and columns of each image: `y = A x B'`, a product of matrices for each channel.

    For small images this is faster than `tf.image.crop_and_resize`, and it has no special case at
    the edges.

    Args:
        images: float `(batch, H, W, channels)`.
        row_weights: float32 `(batch, height, H)`, A.
        column_weights: float32 `(batch, width, W)`, B.

    Returns:
        float32 `(batch, height, width, channels)`.
    """
    before = tf.shape(images)
    channels = images.shape[-1] or before[3]
    height, width = tf.shape(row_weights)[1], tf.shape(column_weights)[1]
    columns = before[2] * channels
    result = tf.reshape(tf.cast(images, tf.float32), (before[0], before[1], columns))
    result = tf.matmul(row_weights, result)
    result = tf.reshape(result, (before[0] * height, before[2], channels))
    # Channels before columns, so that the second product is one of matrices too.
    result = tf.reshape(tf.transpose(result, (0, 2, 1)), (before[0], height * channels, before[2]))
    result = tf.matmul(result, column_weights, transpose_b=True)
    result = tf.transpose(tf.reshape(result, (before[0], height, channels, width)), (0, 1, 3, 2))
    size = row_weights.shape[1], column_weights.shape[1]
    return tf.ensure_shape(result, (images.shape[0], *size, images.shape[-1]))
