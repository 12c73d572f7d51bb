"""Verbs and endpoints that follow from `encode`, `decode` and `sample_latents`."""

import tensorflow as tf

from kgen import checks
from kgen.heads.sampling import seed_rows
from kgen.serving.png import encode_png


class Reconstruction:
    """Mixin for models with `encode`, `decode`, `image_shape` and `latent_dim`."""

    def call(self, inputs, training=False):
        """The images' reconstructions: what `predict` gives."""
        return self.decode(self.encode(inputs))

    def reconstruct(self, images):
        """`decode(encode(images))`: float32, the shape of `images`, in [0, 1]."""
        return self.decode(self.encode(images))

    def interpolate(self, start, end, num_steps=8):
        """Decode the straight lines between the codes of two batches of images.

        Args:
            start: float32 images `(batch, height, width, channels)` in [0, 1].
            end: the same shape.
            num_steps: int >= 2, both ends included.

        Returns:
            float32 `(batch, num_steps, height, width, channels)` in [0, 1].
        """
        checks.at_least("num_steps", num_steps, 2)
        weight = tf.linspace(0.0, 1.0, num_steps)[None, :, None]
        first, last = self.encode(start)[:, None], self.encode(end)[:, None]
        latents = tf.reshape(first + weight * (last - first), (-1, self.latent_dim))
        return tf.reshape(self.decode(latents), (-1, num_steps, *self.image_shape))

    def endpoints(self):
        """The functions to serve, the default first: name -> (function, input signature)."""
        images = tf.TensorSpec((None, *self.image_shape), tf.float32, name="images")
        latents = tf.TensorSpec((None, self.latent_dim), tf.float32, name="latents")
        return {
            "encode": (lambda images: {"latents": _float(self.encode(images))}, [images]),
            "decode": (lambda latents: {"images": _float(self.decode(latents))}, [latents]),
            "reconstruct": (lambda images: {"images": _float(self.reconstruct(images))}, [images]),
        }


class LatentSampling(Reconstruction):
    """Mixin for those that also have `sample_latents(seeds)`, draws from the prior."""

    def sample(self, num_samples, seed=None):
        """Decode latents drawn from the prior.

        Args:
            num_samples: int >= 1.
            seed: int, or None for a fresh one. Image i is a function of `(seed, i)` alone, in
                Python and from the served model, where it is row `(seed, i)` of the input `seed`.

        Returns:
            float32 `(num_samples, height, width, channels)` in [0, 1]: the decoder's means.
        """
        checks.positive_integer("num_samples", num_samples)
        return self._sample_rows(seed_rows(seed, num_samples))

    def _sample_rows(self, seeds):
        return self.decode(self.sample_latents(seeds))

    def endpoints(self):
        """`sample`, `sample_png` for 1 or 3 channels, and those of `Reconstruction`."""
        seed = tf.TensorSpec((None, 2), tf.int32, name="seed")
        endpoints = {"sample": (lambda seed: {"images": _float(self._sample_rows(seed))}, [seed])}
        if self.image_shape[-1] in (1, 3):
            endpoints["sample_png"] = (
                lambda seed: {"png_bytes": encode_png(self._sample_rows(seed))},
                [seed],
            )
        return {**endpoints, **super().endpoints()}


def mean_image(likelihood):
    """A likelihood's mean as images: a Normal's can leave [0, 1], an image cannot."""
    return tf.clip_by_value(likelihood.mean(), 0.0, 1.0)


def _float(value):
    return tf.cast(value, tf.float32)
