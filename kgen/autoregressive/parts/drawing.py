"""How models draw images pixel by pixel: noise from seeds, one graph for Python and the server."""

import functools

import tensorflow as tf


class PixelDrawing:
    """Mixin for models that draw pixel by pixel; `PixelByPixel` and `PixelVAE` build on it.

    Such a model has `image_shape`, a `likelihood` on levels, and defines

        _fill(images, known, uniforms, temperature, *conditions)
            the images with the pixels that are not `known` drawn in order; it must run in a
            `tf.function` without autograph, under XLA and in a SavedModel

    With `likelihood.noise_size(channels)` uniform numbers per pixel as the only noise, an image is
    a function of its seed, and of nothing that was computed beside it.
    """

    @property
    def num_levels(self):
        """How many values a pixel can take: k / (num_levels - 1)."""
        return self.likelihood.num_levels

    @property
    def _condition_signature(self):
        """What an image is drawn given, beside known pixels: specs with the batch first."""
        return []

    def _nothing_known(self, count):
        """Images and masks of `_fill` where all is to be drawn."""
        images = tf.zeros((count, *self.image_shape))
        return images, tf.zeros((count, *self._sides), tf.bool)

    @property
    def _sides(self):
        """The shape of a mask: without the channels, which a vector does not have."""
        return tuple(self.image_shape[:-1]) or tuple(self.image_shape)

    @property
    def _noise_shape(self):
        return *self._sides, self.likelihood.noise_size(self._num_channels)

    @property
    def _num_channels(self):
        return self.image_shape[-1] if len(self.image_shape) > 1 else 1

    def _over_channels(self, known):
        """A mask `(batch, *sides)` as one that broadcasts against examples."""
        return known[..., None] if len(self.image_shape) > 1 else known

    def _generate(self, images, known, seeds, temperature, jit_compile, *conditions):
        """`_fill` in Python, with the temperature checked."""
        temperature = tf.convert_to_tensor(temperature, tf.float32)
        if not bool(tf.reduce_all((temperature > 0) & tf.math.is_finite(temperature))):
            raise ValueError(f"temperature must be above 0, received {temperature.numpy()}.")
        if temperature.shape.rank and temperature.shape != (len(images),):
            raise ValueError(
                f"Expected one temperature or {len(images)} of them, one per image, received shape "
                f"{tuple(temperature.shape)}."
            )
        temperature = tf.broadcast_to(temperature, (len(images),))
        fill = self._filler_with_xla if jit_compile else self._filler
        # The noise without XLA, whose generators would give other numbers.
        return fill(images, known, self._noise(seeds), temperature, *conditions)

    def _serve(self, images, known, seeds, temperature, *conditions):
        """`_fill` in an endpoint."""
        # Without the values, as in `checks.label_tensor`.
        message = "temperature must be above 0 in each row of the batch."
        positive = tf.debugging.Assert(tf.reduce_all(temperature > 0), [message])
        with tf.control_dependencies([positive]):
            temperature = tf.identity(temperature)
        return self._filler(images, known, self._noise(seeds), temperature, *conditions)

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
        return [
            tf.TensorSpec((None, *self.image_shape), tf.float32),
            tf.TensorSpec((None, *self._sides), tf.bool),
            tf.TensorSpec((None, *self._noise_shape), tf.float32),
            tf.TensorSpec((None,), tf.float32),
            *self._condition_signature,
        ]

    @functools.cached_property
    def _noise(self):
        """Uniform numbers in (0, 1) for each row of seeds, int32 `(batch, 2)`."""
        shape = self._noise_shape

        def noise(seeds):
            uniforms = tf.map_fn(
                lambda seed: tf.random.stateless_uniform(shape, seed),
                seeds,
                fn_output_signature=tf.TensorSpec(shape, tf.float32),
            )
            # They are multiples of 2^-23, 0 among them: move them to the middle of their steps.
            return uniforms + 2.0**-24

        return tf.function(noise, input_signature=[tf.TensorSpec((None, 2), tf.int32)])
