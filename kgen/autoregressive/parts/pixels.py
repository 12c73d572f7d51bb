"""Models that give each pixel its probability, one after the other: objective and verbs."""

import math

import keras
import tensorflow as tf

from kgen import checks, specs
from kgen.autoregressive.parts.drawing import PixelDrawing
from kgen.endpoints import Endpoint
from kgen.seeds import seed_rows
from kgen.verbs import Completion, Density, Sampling


class PixelByPixel(PixelDrawing, Sampling, Completion, Density):
    """Mixin for models of `p(x) = prod_i p(x_i | x_1 .. x_{i-1})`, i in raster order.

    Such a model has `image_shape`, a `likelihood` on levels and `num_classes` (None, or how many
    labels it takes), and defines

        _params(images, labels=None, training=False)
            the likelihood's parameters `(batch, height, width, params_size)`
        _fill(images, known, uniforms, temperature, labels=None)
            the images with the pixels that are not `known` drawn in order; it must run in a
            `tf.function` without autograph, under XLA and in a SavedModel
    """

    terms = ("loss", "bits_per_dim")
    num_classes = None

    @property
    def data_spec(self):
        """Images on the levels, with labels where the model has `num_classes`."""
        images = specs.Images(self.image_shape, self.num_levels)
        return images if self.num_classes is None else (images, specs.Labels(self.num_classes))

    @property
    def predict_spec(self):
        """`predict` judges images, with their labels where there are any."""
        return self.data_spec

    # The objective.

    def objective(self, x, y=None, training=False):
        """`loss = -log p(x | y)` in nats per image, and the same in bits per dimension."""
        x, y = self._checked_images(x), self._checked_labels(y if self.num_classes else None)
        loss = -self._log_prob(x, y, training)
        return {"loss": loss, "bits_per_dim": self._bits(loss)}

    def _log_prob(self, images, labels=None, training=False):
        params = self._params(images, labels, training)
        return self.likelihood(params).log_prob(tf.cast(images, tf.float32))

    def _bits(self, nats):
        return nats / (math.prod(self.image_shape) * math.log(2.0))

    # Verbs.

    def log_prob(self, images, *, labels=None):
        """`log p(x | y)`, exact.

        Args:
            images: float32 `(batch, height, width, channels)` on the levels k / (num_levels - 1).
            labels: int32 `(batch,)` where the model has `num_classes`, else None.

        Returns:
            float32 `(batch,)`, nats per image.

        Raises:
            ValueError: for images of another shape or off the levels, or labels out of range.
        """
        images, labels = self._checked_images(images), self._checked_labels(labels)
        if labels is not None and not labels.shape.is_compatible_with(images.shape[:1]):
            raise ValueError(
                f"Expected one label per image, received {labels.shape[0]} labels for "
                f"{images.shape[0]} images."
            )
        return self._log_prob(images, labels)

    def bits_per_dim(self, images, *, labels=None):
        """`-log2 p(x | y) / (height * width * channels)`: float32 `(batch,)`; see `log_prob`."""
        return self._bits(-self.log_prob(images, labels=labels))

    def sample(self, num_samples, *, labels=None, temperature=1.0, seed=None, jit_compile=False):
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
                `num_samples`. It may round differently: then a number at the edge of two levels
                gives the other one, and the pixels behind it follow.

        Returns:
            float32 `(num_samples, height, width, channels)` on the levels.
        """
        seeds, labels = seed_rows(seed, num_samples), self._rows_of_labels(labels, num_samples)
        nothing = self._nothing_known(num_samples)
        return self._generate(*nothing, seeds, temperature, jit_compile, *labels)

    def complete(self, images, *, mask, labels=None, temperature=1.0, seed=None, jit_compile=False):
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
        images, known = self._checked_mask(images, mask)
        count = len(images)
        # What is hidden may be anything, NaN included.
        images = self._checked_images(tf.where(known[..., None], images, tf.zeros_like(images)))
        labels = self._rows_of_labels(labels, count)
        seeds = seed_rows(seed, count)
        return self._generate(images, known, seeds, temperature, jit_compile, *labels)

    def call(self, inputs, training=False):
        """`log p(x)`, or of `[images, labels]`: what `predict` gives."""
        return self._log_prob(*self._images_and_labels(inputs))

    def predict_step(self, data):
        """`log p(x | y)` of the images of `data`."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        inputs = x if y is None or self.num_classes is None else (x, y)
        # Not through `__call__`, which casts the images under mixed precision: levels would move.
        return self._score(*self._images_and_labels(inputs))

    def _images_and_labels(self, inputs):
        if self.num_classes is None:
            return inputs, None
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                f"{type(self).__name__} takes labels: pass [images, labels], or a data set of such "
                "pairs."
            )
        return inputs[0], tf.cast(inputs[1], tf.int32)

    # The sampler.

    def _labels_input(self):
        return {} if self.num_classes is None else {"labels": specs.Labels(self.num_classes)}

    def _density_inputs(self):
        return self._labels_input()

    def _sample_inputs(self):
        return {"temperature": specs.Values(), **self._labels_input()}

    @property
    def _condition_signature(self):
        return [spec.tensor_spec(name) for name, spec in self._labels_input().items()]

    def _sample_rows(self, seeds, temperature, *labels):
        return self._complete_rows(
            *self._nothing_known(tf.shape(seeds)[0]), seeds, temperature, *labels
        )

    def _complete_rows(self, images, known, seeds, temperature, *labels):
        # What is hidden may be anything.
        images = tf.where(known[..., None], images, tf.zeros_like(images))
        labels = [self._checked_labels(rows) for rows in labels]
        return self._serve(self._checked_images(images), known, seeds, temperature, *labels)

    def endpoints(self):
        """`sample` (the default), `sample_png` for 1 or 3 channels, `complete`, `log_prob`,
        `bits_per_dim`; a label-conditional model takes `labels` in each."""
        images = {"images": specs.Images(self.image_shape, self.num_levels)}
        bits = Endpoint(
            lambda *rows: {"bits_per_dim": self._bits(-self._score(*rows))},
            {**images, **self._labels_input()},
        )
        return {**super().endpoints(), "bits_per_dim": bits}

    def _score(self, images, labels=None):
        return self._log_prob(self._checked_images(images), self._checked_labels(labels))

    # Checks.

    def _checked_images(self, images):
        return checks.level_tensor(images, self.image_shape, self.num_levels)

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
        return checks.label_tensor(labels, self.num_classes)

    def _rows_of_labels(self, labels, count):
        if self.num_classes is not None and labels is None:
            labels = tf.range(count) % self.num_classes
        if labels is not None:
            labels = tf.convert_to_tensor(labels)
            if labels.shape.rank and labels.shape != (count,):
                raise ValueError(
                    f"Expected one label or {count} of them, one per image, received labels of "
                    f"shape {tuple(labels.shape)}."
                )
            labels = tf.broadcast_to(labels, (count,))
        labels = self._checked_labels(labels)
        return [] if labels is None else [labels]


def check_likelihood(likelihood):
    """Return `likelihood`, or raise ValueError if its pixels have no levels to draw from."""
    if not hasattr(likelihood, "sample_from_uniforms"):
        raise ValueError(
            "An autoregressive model needs a likelihood on levels, such as kgen.heads.Categorical, "
            f"DiscretizedLogisticMixture or Bernoulli; received {likelihood!r}."
        )
    return likelihood
