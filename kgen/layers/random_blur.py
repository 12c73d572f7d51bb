"""A Gaussian blur whose width differs from image to image."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.layers.resampling import resample


@keras.saving.register_keras_serializable(package="kgen")
class RandomBlur(keras.layers.Layer):
    """Blur each image by a Gaussian of its own standard deviation.

        y = A x A',   A[i, j] = exp(-(i - j)^2 / 2 s^2) / Z_i   if |i - j| <= radius,  else 0
        s ~ U(sigma)

    Z_i makes the weights of a pixel sum to 1, at the edge too: nothing outside the image is mixed
    in. Keras' RandomGaussianBlur draws one s for a whole batch, and of at most 1.

    Args:
        sigma: (low, high), pixels, 0 < low <= high.
        radius: int >= 1, pixels; a kernel is 2 radius + 1 wide.
        seed: int or None, for calls outside of `kgen.data`.

    Call: float `(batch, height, width, channels)` to the same shape. With `training=False` nothing
    changes.

    Raises:
        ValueError: for an empty interval or a radius below 1.

    Reference: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", appendix A.
    """

    # As Keras' own image layers have: `kgen.data` puts draws for each image in its place.
    backend = keras

    def __init__(self, sigma=(0.1, 2.0), radius=11, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.sigma = checks.positive_interval("sigma", sigma)
        self.radius = checks.positive_integer("radius", radius)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=True):
        """Blur a batch."""
        if not training:
            return images
        return self.transform_images(images, self.get_random_transformation(images))

    def get_random_transformation(self, images, training=True, seed=None):
        """Draw the standard deviations: float32 `(batch,)`, pixels."""
        batch = images.shape[0] or tf.shape(images)[0]
        seed = self.generator if seed is None else seed
        low, high = self.sigma
        return low + (high - low) * self.backend.random.uniform(
            (batch,), dtype="float32", seed=seed
        )

    def transform_images(self, images, transformation, training=True):
        """Blur the images by these standard deviations."""
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        rows, columns = (self._weights(transformation, size) for size in (height, width))
        blurred = tf.ensure_shape(resample(images, rows, columns), images.shape)
        return tf.cast(blurred, images.dtype)

    def _weights(self, sigma, size):
        place = tf.cast(tf.range(size), tf.float32)
        distance = place[:, None] - place
        weights = tf.exp(-0.5 * (distance / sigma[:, None, None]) ** 2)
        weights *= tf.cast(tf.abs(distance) <= self.radius, tf.float32)
        return weights / tf.reduce_sum(weights, axis=2, keepdims=True)

    def compute_output_shape(self, input_shape):
        """The shape of the images."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        names = ("sigma", "radius", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
