"""Verbs and endpoints of models that give each pixel its probability, one after the other."""

import functools
import math

import keras
import tensorflow as tf

from kgen import checks
from kgen.heads.sampling import seed_rows
from kgen.serving.png import encode_png


class PixelByPixel:
    """Mixin for models of `p(x) = prod_i p(x_i | x_1 .. x_{i-1})`, i in raster order.

    Such a model has `image_shape`, a `likelihood` on levels and `num_classes` (None, or how many
    labels it takes), and defines

        _params(images, labels=None, training=False)
            the likelihood's parameters `(batch, height, width, params_size)`
        _fill(images, known, uniforms, temperature, labels=None)
            the images with the pixels that are not `known` drawn in order; it must run in a
            `tf.function` without autograph, under XLA and in a SavedModel

    With `likelihood.noise_size(channels)` uniform numbers a pixel as the only noise, an image is a
    function of its seed, and of nothing that was computed beside it.
    """

    terms = ("loss", "bits_per_dim")
    num_classes = None

    @property
    def num_levels(self):
        """How many values a pixel can take: k / (num_levels - 1)."""
        return self.likelihood.num_levels

    # The objective.

    def objective(self, x, y=None, training=False):
        """`loss = -log p(x | y)` in nats an image, and the same in bits a dimension."""
        loss = -self._log_prob(x, y if self.num_classes else None, training)
        return {"loss": loss, "bits_per_dim": self._bits(loss)}

    def _log_prob(self, images, labels=None, training=False):
        params = self._params(images, labels, training)
        return self.likelihood(params).log_prob(tf.cast(images, tf.float32))

    def _bits(self, nats):
        return nats / (math.prod(self.image_shape) * math.log(2.0))

    # Verbs.

    def log_prob(self, images, labels=None):
        """`log p(x | y)`, exact.

        Args:
            images: float32 `(batch, height, width, channels)` on the levels k / (num_levels - 1).
            labels: int32 `(batch,)` where the model has `num_classes`, else None.

        Returns:
            float32 `(batch,)`, nats an image.

        Raises:
            ValueError: for images of another shape or off the levels, or labels out of range.
        """
        images, labels = self._checked_images(images), self._checked_labels(labels)
        if labels is not None and not labels.shape.is_compatible_with(images.shape[:1]):
            raise ValueError(
                f"Expected one label an image, received {labels.shape[0]} labels for "
                f"{images.shape[0]} images."
            )
        return self._log_prob(images, labels)

    def bits_per_dim(self, images, labels=None):
        """`-log2 p(x | y) / (height * width * channels)`: float32 `(batch,)`; see `log_prob`."""
        return self._bits(-self.log_prob(images, labels))

    def sample(self, num_samples, labels=None, *, temperature=1.0, seed=None, jit_compile=False):
        """Draw images pixel by pixel.

        Args:
            num_samples: int >= 1.
            labels: where the model has `num_classes`: int, or ints `(num_samples,)`, or None for
                all classes in turn.
            temperature: float > 0, or `(num_samples,)`. Logits are divided by it, scales
                multiplied; below 1 samples are more alike and more likely.
            seed: int, or None for a fresh one. Image i is a function of `(seed, i)`, its label and
                temperature, in Python and from the served model.
            jit_compile: bool. XLA draws several times faster, after compiling once for each
                `num_samples`.

        Returns:
            float32 `(num_samples, height, width, channels)` on the levels.
        """
        seeds = seed_rows(seed, num_samples)
        images = tf.zeros((num_samples, *self.image_shape))
        known = tf.zeros((num_samples, *self.image_shape[:2]), tf.bool)
        labels = self._rows_of_labels(labels, num_samples)
        return self._generate(images, known, seeds, temperature, labels, jit_compile)

    def complete(self, images, mask, labels=None, *, temperature=1.0, seed=None, jit_compile=False):
        """Keep the known pixels and draw the others in order.

        Each is drawn given the pixels before it, known or drawn. What is known further on does not
        reach back: the model gives no probability to the past given the future.

        Args:
            images: float32 `(batch, height, width, channels)`; read where the mask is True.
            mask: bool `(batch, height, width)` or `(height, width)`, True where a pixel is known.
            labels: as for `sample`.
            temperature: as for `sample`.
            seed: as for `sample`.
            jit_compile: as for `sample`.

        Returns:
            float32, the shape of `images`.

        Raises:
            ValueError: for a mask of another shape or dtype, or known pixels off the levels.
        """
        mask = tf.convert_to_tensor(mask)
        size = self.image_shape[:2]
        if mask.dtype != tf.bool or tuple(mask.shape[-2:]) != size or mask.shape.rank not in (2, 3):
            raise ValueError(
                f"Expected a bool mask of shape {size} or (batch, {size[0]}, {size[1]}), True "
                f"where a pixel is known; received shape {tuple(mask.shape)} and dtype "
                f"{mask.dtype.name}."
            )
        images = tf.convert_to_tensor(images)
        checks.images(tf.zeros_like(images), self.image_shape)
        if mask.shape.rank == 3 and mask.shape[0] != images.shape[0]:
            raise ValueError(
                f"Received {mask.shape[0]} masks for {images.shape[0]} images: one each, or one of "
                f"shape {size} for all."
            )
        count = len(images)
        known = tf.broadcast_to(mask, (count, *size))
        # What is hidden may be anything, NaN included.
        images = self._checked_images(tf.where(known[..., None], images, tf.zeros_like(images)))
        labels = self._rows_of_labels(labels, count)
        return self._generate(
            images, known, seed_rows(seed, count), temperature, labels, jit_compile
        )

    def call(self, inputs, training=False):
        """`log p(x)`, or of `[images, labels]`: what `predict` gives."""
        if self.num_classes is None:
            return self._log_prob(inputs)
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                f"{type(self).__name__} takes labels: pass [images, labels], or a data set of such "
                "pairs."
            )
        return self._log_prob(inputs[0], tf.cast(inputs[1], tf.int32))

    def predict_step(self, data):
        """`log p(x | y)` of the images of `data`."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(x if y is None or self.num_classes is None else (x, y), training=False)

    # The sampler.

    def _generate(self, images, known, seeds, temperature, labels, jit_compile):
        temperature = tf.convert_to_tensor(temperature, tf.float32)
        if not bool(tf.reduce_all((temperature > 0) & tf.math.is_finite(temperature))):
            raise ValueError(f"temperature must be above 0, received {temperature.numpy()}.")
        if temperature.shape.rank and temperature.shape != (len(images),):
            raise ValueError(
                f"Expected one temperature or {len(images)} of them, one an image, received shape "
                f"{tuple(temperature.shape)}."
            )
        temperature = tf.broadcast_to(temperature, (len(images),))
        fill = self._filler_with_xla if jit_compile else self._filler
        labels = [] if labels is None else [labels]
        # The noise without XLA, whose generators would give other numbers.
        return fill(images, known, self._noise(seeds), temperature, *labels)

    @functools.cached_property
    def _filler(self):
        return tf.function(self._fill, input_signature=self._fill_signature, autograph=False)

    @functools.cached_property
    def _filler_with_xla(self):
        return tf.function(
            self._fill,
            input_signature=self._fill_signature,
            autograph=False,
            jit_compile=True,
        )

    @property
    def _fill_signature(self):
        size, channels = self.image_shape[:2], self.image_shape[-1]
        signature = [
            tf.TensorSpec((None, *self.image_shape), tf.float32),
            tf.TensorSpec((None, *size), tf.bool),
            tf.TensorSpec((None, *size, self.likelihood.noise_size(channels)), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        ]
        return signature + [tf.TensorSpec((None,), tf.int32)] * (self.num_classes is not None)

    @functools.cached_property
    def _noise(self):
        """Uniform numbers in (0, 1) for each row of seeds, int32 `(batch, 2)`."""
        shape = (*self.image_shape[:2], self.likelihood.noise_size(self.image_shape[-1]))

        def noise(seeds):
            uniforms = tf.map_fn(
                lambda seed: tf.random.stateless_uniform(shape, seed),
                seeds,
                fn_output_signature=tf.TensorSpec(shape, tf.float32),
            )
            # They are multiples of 2^-23, 0 among them: move them to the middle of their steps.
            return uniforms + 2.0**-24

        return tf.function(noise, input_signature=[tf.TensorSpec((None, 2), tf.int32)])

    def _serve(self, images, known, seed, temperature, *labels):
        positive = tf.debugging.assert_positive(temperature, "temperature must be above 0.")
        with tf.control_dependencies([positive] if positive is not None else []):
            temperature = tf.identity(temperature)
        return self._filler(images, known, self._noise(seed), temperature, *labels)

    def endpoints(self):
        """`sample` (the default), `sample_png` for 1 or 3 channels, `complete`, `log_prob`,
        `bits_per_dim`; a model of labels takes `labels` in each. `mask` is 1 for a known pixel.
        """
        seed = tf.TensorSpec((None, 2), tf.int32, name="seed")
        temperature = tf.TensorSpec((None,), tf.float32, name="temperature")
        images = tf.TensorSpec((None, *self.image_shape), tf.float32, name="images")
        mask = tf.TensorSpec((None, *self.image_shape[:2]), tf.int32, name="mask")
        labels = [] if self.num_classes is None else [tf.TensorSpec((None,), tf.int32, "labels")]

        def sample(seed, temperature, *labels):
            nothing = tf.zeros((tf.shape(seed)[0], *self.image_shape))
            return self._serve(nothing, nothing[..., 0] > 0, seed, temperature, *labels)

        endpoints = {
            "sample": (lambda *rows: {"images": sample(*rows)}, [seed, temperature, *labels])
        }
        if self.image_shape[-1] in (1, 3):
            endpoints["sample_png"] = (
                lambda *rows: {"png_bytes": encode_png(sample(*rows))},
                [seed, temperature, *labels],
            )
        return {
            **endpoints,
            "complete": (
                lambda images, mask, *rows: {"images": self._serve(images, mask > 0, *rows)},
                [images, mask, seed, temperature, *labels],
            ),
            "log_prob": (lambda *rows: {"log_prob": self._log_prob(*rows)}, [images, *labels]),
            "bits_per_dim": (
                lambda *rows: {"bits_per_dim": self._bits(-self._log_prob(*rows))},
                [images, *labels],
            ),
        }

    # Checks.

    def _checked_images(self, images):
        images = tf.convert_to_tensor(images)
        if tf.executing_eagerly():
            checks.images(images, self.image_shape)
            checks.levels(images, self.num_levels)
        return tf.cast(images, tf.float32)

    def _checked_labels(self, labels):
        if self.num_classes is None:
            if labels is not None:
                raise ValueError(f"{type(self).__name__} was built without labels, received some.")
            return None
        if labels is None:
            raise ValueError(
                f"{type(self).__name__} was built with labels: pass int32 labels (batch,) in "
                f"0 .. {self.num_classes - 1}."
            )
        if tf.executing_eagerly():
            checks.labels(labels, self.num_classes)
        return tf.cast(labels, tf.int32)

    def _rows_of_labels(self, labels, count):
        if self.num_classes is not None and labels is None:
            labels = tf.range(count) % self.num_classes
        if labels is not None:
            labels = tf.convert_to_tensor(labels)
            if labels.shape.rank and labels.shape != (count,):
                raise ValueError(
                    f"Expected one label or {count} of them, one an image, received labels of "
                    f"shape {tuple(labels.shape)}."
                )
            labels = tf.broadcast_to(labels, (count,))
        return self._checked_labels(labels)


def check_likelihood(likelihood):
    """Return `likelihood`, or raise ValueError if its pixels have no levels to draw from."""
    if not hasattr(likelihood, "sample_from_uniforms"):
        raise ValueError(
            "An autoregressive model needs a likelihood on levels, such as kgen.heads.Categorical, "
            f"DiscretizedLogisticMixture or Bernoulli; received {likelihood!r}."
        )
    return likelihood
