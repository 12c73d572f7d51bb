"""The verbs `encode` and `reconstruct`."""

import functools

import tensorflow as tf

from kgen import heads, specs
from kgen.endpoints import Endpoint
from kgen.seeds import fold_in
from kgen.verbs.conditioning import Conditioning


class Reconstruction(Conditioning):
    """Promise: `encode(x)` gives latents, `reconstruct(x)` is `decode(encode(x))`.

    A model defines `encode` and `decode`, and has `latent_spec` and `latent_name`, as
    `kgen.verbs.Decoding` brings them. Brings the endpoints `encode` and `reconstruct`.
    """

    def call(self, inputs, training=False):
        """The reconstructions: what `predict` gives."""
        x, *given = self._images_and_given(inputs)
        return self.reconstruct(x, **self._as_condition(given))

    def reconstruct(self, images, *, condition=None):
        """`decode(encode(images))`: float32, the shape of `images`."""
        given = {} if condition is None else {"condition": condition}
        return self.decode(self.encode(images, **given), **given)

    def _drawn(self, params, seeds):
        """A row of p(x|z) per row of a decoder's parameters and of `seeds`; of images the mean."""
        if self._is_pixels():
            return self._typical(self.likelihood(params))
        return self._draw_rows(tf.cast(params, tf.float32), seeds)

    @functools.cached_property
    def _draw_rows(self):
        spec = specs.x_and_y(self.data_spec)[0]

        def draw(row):
            # Not the noise of the latent, which was drawn from the seed itself.
            params, seed = row
            return self.likelihood(params[None]).sample(seed=fold_in(seed, 1))[0]

        def draw_rows(params, seeds):
            signature = tf.TensorSpec(spec.shape, tf.float32)
            return tf.map_fn(draw, (params, seeds), fn_output_signature=signature)

        return tf.function(draw_rows, autograph=False, reduce_retracing=True)

    def _is_pixels(self):
        return isinstance(specs.x_and_y(self.data_spec)[0], (specs.Images, specs.Clips))

    def _typical(self, distribution):
        """A likelihood's mean: what a Normal's has beyond [0, 1] is clipped from images."""
        values = heads.location(distribution)
        return tf.clip_by_value(values, 0.0, 1.0) if self._is_pixels() else values

    def _reconstruct_inputs(self):
        """What an example is reconstructed given, beside itself: name -> spec."""
        return self.condition_inputs

    def _reconstruct_rows(self, x, *rows):
        """`reconstruct` in an endpoint, `rows` in the order of `_reconstruct_inputs`."""
        return self.reconstruct(x, **self._as_condition(rows))

    def endpoints(self):
        """`encode` and `reconstruct`."""
        spec, latents = specs.x_and_y(self.data_spec)[0], self.latent_spec
        encode = Endpoint(
            lambda x, *rows: {
                self.latent_name: tf.cast(self.encode(x, **self._as_condition(rows)), latents.dtype)
            },
            {spec.noun: spec, **self.condition_inputs},
            {self.latent_name: latents},
        )
        reconstruct = Endpoint(
            lambda *rows: {spec.noun: tf.cast(self._reconstruct_rows(*rows), tf.float32)},
            {spec.noun: spec, **self._reconstruct_inputs()},
            {spec.noun: spec.of_means()},
        )
        return {"encode": encode, **super().endpoints(), "reconstruct": reconstruct}
