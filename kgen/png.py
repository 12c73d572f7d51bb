"""Images as PNG bytes, inside an endpoint."""

import tensorflow as tf


def encode_png(images: tf.Tensor) -> tf.Tensor:
    """Encodes images as PNG, so that a `*_bytes` output can be opened by a browser.

    A pixel x becomes the 8-bit level round(255 * clip(x, 0, 1)).

    Args:
        images: float32 `(batch, height, width, channels)` in [0, 1], with 1 (gray) or 3 (RGB)
            channels.

    Returns:
        string `(batch,)`: one PNG file an image. Name the output with the suffix `_bytes`: the REST
        interface then writes it as base64.

    Raises:
        ValueError: not rank 4, or neither 1 nor 3 channels.
    """
    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "PNG needs images of shape (batch, height, width, 1) for gray or "
            f"(batch, height, width, 3) for RGB, but received shape {images.shape}. A model of "
            "images with other channels has no PNG endpoint: serve its floats, or choose the "
            "channels to show before encoding."
        )
    levels = tf.round(tf.clip_by_value(tf.cast(images, tf.float32), 0.0, 1.0) * 255.0)
    return tf.io.encode_png(tf.cast(levels, tf.uint8))
