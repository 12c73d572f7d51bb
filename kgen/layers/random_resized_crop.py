"""The random resized crop of Inception and SimCLR, which Keras lacks."""

import math

import keras
import tensorflow as tf

from kgen import checks
from kgen.layers.resampling import resample

NUM_TRIES = 10


@keras.saving.register_keras_serializable(package="kgen")
class RandomResizedCrop(keras.layers.Layer):
    """Cut a random part out of each image and resize it, bilinearly.

        area = a H W,  a ~ U(scale);   log r ~ U(log ratio)
        w = sqrt(area r),  h = sqrt(area / r);   top ~ U(0, H - h),  left ~ U(0, W - w)

    Sizes that do not fit are drawn again, ten times at most; then the crop is the largest one of
    an allowed ratio. Sizes and places are real numbers, not rounded to pixels. With pixel j centred
    at j + 1/2, row i of the n of the result is

        sum_j A[i, j] x_j,   A[i, j] = max(0, 1 - |y_i - j - 1/2| / s) / Z_i
        y_i = top + (i + 1/2) h / n,   s = max(1, h / n)

    and columns alike. Z_i makes the weights sum to 1; s > 1 filters what a smaller result could
    not show. A crop of the whole image at its own size changes nothing.

    Args:
        height: int >= 1, rows of the result.
        width: int >= 1, columns of the result.
        scale: (low, high) in (0, 1], the part of the area.
        ratio: (low, high) > 0, width over height, in pixels.
        seed: int or None, for calls outside of `kgen.data`.

    Call: float `(batch, H, W, channels)` to `(batch, height, width, channels)`, of the layer's
    dtype. With `training=False` the whole image is resized.

    Raises:
        ValueError: for sizes below 1, or intervals that are empty or out of range.

    Reference: Szegedy et al. 2015, "Going Deeper with Convolutions", section 6; Chen et al. 2020,
    "A Simple Framework for Contrastive Learning of Visual Representations", appendix A.
    """

    # As Keras' own image layers have: `kgen.data` puts draws for each image in its place.
    backend = keras

    def __init__(
        self, height, width, *, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.height = checks.positive_integer("height", height)
        self.width = checks.positive_integer("width", width)
        self.scale = checks.positive_interval("scale", scale)
        if self.scale[1] > 1.0:
            raise ValueError(f"scale is a part of the area, at most 1, received {scale!r}.")
        self.ratio = checks.positive_interval("ratio", ratio)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=True):
        """Crop and resize a batch."""
        return self.transform_images(images, self.get_random_transformation(images, training))

    def get_random_transformation(self, images, training=True, seed=None):
        """Draw the crops: float32 `(batch, 4)`, their top, left, height and width in pixels."""
        batch = images.shape[0] or tf.shape(images)[0]
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        if not training:
            return tf.tile(tf.concat([[0.0, 0.0], size], axis=0)[None], (batch, 1))
        seed = self.generator if seed is None else seed
        uniform = self.backend.random.uniform
        extent = self._extent(uniform((batch, NUM_TRIES, 2), dtype="float32", seed=seed), size)
        corner = uniform((batch, 2), dtype="float32", seed=seed) * (size - extent)
        return tf.concat([corner, extent], axis=1)

    def transform_images(self, images, transformation, training=True):
        """Cut these crops out of the images."""
        top, left, height, width = tf.unstack(transformation, axis=1)
        rows = _weights(top, height, self.height, tf.shape(images)[1])
        columns = _weights(left, width, self.width, tf.shape(images)[2])
        return tf.cast(resample(images, rows, columns), self.compute_dtype)

    def _extent(self, tries, size):
        """Heights and widths of the crops, float32 `(batch, 2)`, in pixels."""
        low, high = self.scale
        area = size[0] * size[1] * (low + (high - low) * tries[..., 0])
        low, high = (math.log(bound) for bound in self.ratio)
        ratio = tf.exp(low + (high - low) * tries[..., 1])
        drawn = tf.sqrt(tf.stack([area / ratio, area * ratio], axis=-1))
        fits = tf.reduce_all(drawn <= size, axis=-1)
        chosen = tf.gather(drawn, tf.argmax(tf.cast(fits, tf.int32), axis=1), batch_dims=1)
        largest = tf.stack([size[1] / self.ratio[0], size[0] * self.ratio[1]])
        return tf.where(tf.reduce_any(fits, axis=1)[:, None], chosen, tf.minimum(size, largest))

    def compute_output_shape(self, input_shape):
        """`(batch, height, width, channels)`."""
        return input_shape[0], self.height, self.width, input_shape[-1]

    def get_config(self):
        """The constructor's arguments."""
        names = ("height", "width", "scale", "ratio", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _weights(first, extent, num_outputs, num_inputs):
    """The matrices A: float32 `(batch, num_outputs, num_inputs)`."""
    step = (extent / num_outputs)[:, None]
    places = first[:, None] + step * (tf.range(num_outputs, dtype=tf.float32) + 0.5)
    centres = tf.cast(tf.range(num_inputs), tf.float32) + 0.5
    distances = tf.abs(places[:, :, None] - centres) / tf.maximum(step, 1.0)[:, :, None]
    weights = tf.nn.relu(1.0 - distances)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)
