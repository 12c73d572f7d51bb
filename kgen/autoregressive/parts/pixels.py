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

    Such a model has `image_shape` and a `likelihood` on levels, and defines

        _params(images, given=(), training=False)
            the likelihood's parameters `(batch, height, width, params_size)`; `given` is a list of
            the condition's parts
        _fill(images, known, uniforms, temperature, *given)
            the images with the pixels that are not `known` drawn in order; it must run in a
            `tf.function` without autograph, under XLA and in a SavedModel
    """

    terms = ("loss", "bits_per_dim")

    @property
    def data_spec(self):
        """Images on the levels, or what else the likelihood is over, with any condition."""
        levels, shape = self.num_levels, self.image_shape
        spec = specs.of_shape(shape, num_levels=levels) if levels else self.likelihood.spec(shape)
        return self._with_condition(spec)

    # The objective.

    def objective(self, x, y=None, training=False):
        """`loss = -log p(x | y)` in nats per image, and the same in bits per dimension."""
        loss = -self._log_prob(self._checked_images(x), self._given_y(y), training)
        return {"loss": loss, "bits_per_dim": self._bits(loss)}

    def _log_prob(self, images, given=(), training=False):
        params = self._params(images, given, training)
        return self.likelihood(params).log_prob(tf.cast(images, tf.float32))

    def _bits(self, nats):
        return nats / (math.prod(self.image_shape) * math.log(2.0))

    # Verbs.

    def log_prob(self, images, *, condition=None):
        """`log p(x | y)`, exact.

        Args:
            images: float32 `(batch, height, width, channels)` on the levels k / (num_levels - 1).
            condition: one row per image where the model has a condition, else None.

        Returns:
            float32 `(batch,)`, nats per image.

        Raises:
            ValueError: for images of another shape or off the levels, or a condition out of range.
        """
        return self._score(images, *self._given(condition, tf.convert_to_tensor(images)))

    def bits_per_dim(self, images, *, condition=None):
        """`-log2 p(x | y) / (height * width * channels)`: float32 `(batch,)`; see `log_prob`."""
        return self._bits(-self.log_prob(images, condition=condition))

    def sample(self, num_samples, *, condition=None, temperature=1.0, seed=None, jit_compile=False):
        """Draw images pixel by pixel.

        Args:
            num_samples: int >= 1.
            condition: where the model has one: a value for all images or one for each, or None
                for all classes in turn.
            temperature: float > 0, or `(num_samples,)`. Logits are divided by it, scales
                multiplied; below 1 samples are more alike and more likely.
            seed: int, or None for a fresh one. Image i is a function of `(seed, i)`, its
                condition and temperature, in Python and from the served model.
            jit_compile: bool. XLA draws several times faster, after compiling once for each
                `num_samples`. It may round differently: then a number at the edge of two levels
                gives the other one, and the pixels behind it follow.

        Returns:
            float32 `(num_samples, height, width, channels)` on the levels.
        """
        seeds = seed_rows(seed, num_samples)
        if condition is None:
            condition = self.conditions_in_turn(num_samples)
        given = self._given(condition, num_samples)
        nothing = self._nothing_known(num_samples)
        return self._generate(*nothing, seeds, temperature, jit_compile, *given)

    def complete(
        self, images, *, mask, condition=None, temperature=1.0, seed=None, jit_compile=False
    ):
        """Keep the known pixels and draw the others in order.

        Each is drawn given the pixels before it, known or drawn. What is known further on does not
        reach back: the model gives no probability to the past given the future.

        Args:
            images: float32 `(batch, height, width, channels)`; read where the mask is True.
            mask: bool `(batch, height, width)` or `(height, width)`, True where a pixel is known.
            condition: as for `sample`.
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
        hidden = tf.zeros_like(images)
        images = self._checked_images(tf.where(self._over_channels(known), images, hidden))
        if condition is None:
            condition = self.conditions_in_turn(count)
        given = self._given(condition, count)
        seeds = seed_rows(seed, count)
        return self._generate(images, known, seeds, temperature, jit_compile, *given)

    def call(self, inputs, training=False):
        """`log p(x)`, or of `(images, condition)`: what `predict` gives."""
        return self._score(*self._images_and_given(inputs))

    def predict_step(self, data):
        """`log p(x | y)` of the images of `data`."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        # Not through `__call__`, which casts the images under mixed precision: levels would move.
        return self.call(x if y is None or self.condition is None else (x, y))

    # The sampler.

    def _sample_inputs(self):
        return {"temperature": specs.Values(), **self.condition_inputs}

    @property
    def _condition_signature(self):
        return [spec.tensor_spec(name) for name, spec in self.condition_inputs.items()]

    def _sample_rows(self, seeds, temperature, *given):
        return self._complete_rows(
            *self._nothing_known(tf.shape(seeds)[0]), seeds, temperature, *given
        )

    def _complete_rows(self, images, known, seeds, temperature, *given):
        # What is hidden may be anything.
        images = tf.where(self._over_channels(known), images, tf.zeros_like(images))
        given = self._given_rows(given)
        return self._serve(self._checked_images(images), known, seeds, temperature, *given)

    def endpoints(self):
        """`sample` (the default), `sample_png` for 1 or 3 channels, `complete`, `log_prob`,
        `bits_per_dim`; a conditional model takes its condition in each."""
        spec = specs.x_and_y(self.data_spec)[0]
        bits = Endpoint(
            lambda *rows: {"bits_per_dim": self._bits(-self._score(*rows))},
            {spec.noun: spec, **self.condition_inputs},
        )
        return {**super().endpoints(), "bits_per_dim": bits}

    def _score(self, images, *given):
        return self._log_prob(self._checked_images(images), self._given_rows(given))

    def _checked_images(self, images):
        if self.num_levels:
            return checks.level_tensor(images, self.image_shape, self.num_levels)
        images = tf.cast(tf.convert_to_tensor(images), tf.float32)
        if tf.executing_eagerly():
            specs.x_and_y(self.data_spec)[0].check(images)
        return images


def check_likelihood(likelihood):
    """Return `likelihood`, or raise ValueError if its pixels have no levels to draw from."""
    if not (hasattr(likelihood, "sample_from_uniforms") and hasattr(likelihood, "num_levels")):
        raise ValueError(
            "An autoregressive model needs a likelihood on levels, such as kgen.heads.Categorical, "
            f"DiscretizedLogisticMixture or Bernoulli; received {likelihood!r}."
        )
    return likelihood
