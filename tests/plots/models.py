"""A fake model whose latents can be read off its images."""

import numpy as np
import tensorflow as tf


class Linear:
    """Fake model: the image's first pixels are the latents, as 0.5 + z / 10."""

    def __init__(self, latent_dim, image_shape=(4, 5, 1)):
        self.latent_dim = latent_dim
        self.image_shape = image_shape

    def encode(self, images):
        flat = np.asarray(images).reshape(len(images), -1)
        return tf.constant(10 * (flat[:, : self.latent_dim] - 0.5))

    def decode(self, latents):
        images = np.zeros((len(latents), *self.image_shape), np.float32)
        images.reshape(len(latents), -1)[:, : self.latent_dim] = 0.5 + np.asarray(latents) / 10
        return tf.constant(images)

    def reconstruct(self, images):
        return 1 - np.asarray(images)

    def sample(self, num_samples, *, seed=None):
        generator = np.random.default_rng(seed)
        return generator.random((num_samples, *self.image_shape), dtype=np.float32)
