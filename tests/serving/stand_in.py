"""A small model with the usual endpoints, and models of one endpoint."""

import keras
import tensorflow as tf

from kgen import serving

IMAGE_SHAPE = (9, 7, 1)
LATENT_DIM = 4


class StandIn:
    """Owns two networks and serves them as an autoencoder does."""

    def __init__(self, extra=None):
        keras.utils.set_random_seed(3)
        pixels = IMAGE_SHAPE[0] * IMAGE_SHAPE[1]
        self.encoder = keras.Sequential(
            [
                keras.Input(IMAGE_SHAPE),
                keras.layers.Flatten(),
                keras.layers.Dense(200, activation="relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(LATENT_DIM),
            ]
        )
        self.decoder = keras.Sequential(
            [
                keras.Input((LATENT_DIM,)),
                keras.layers.Dense(200, activation="relu"),
                keras.layers.Dense(pixels, activation="sigmoid"),
                keras.layers.Reshape(IMAGE_SHAPE),
            ]
        )
        self.extra = extra or {}

    def encode(self, images):
        return {"latents": tf.cast(self.encoder(images, training=False), tf.float32)}

    def decode(self, latents):
        return {"images": tf.cast(self.decoder(latents, training=False), tf.float32)}

    def sample(self, seed):
        latents = tf.map_fn(
            lambda row: tf.random.stateless_normal((LATENT_DIM,), row),
            seed,
            fn_output_signature=tf.float32,
        )
        return self.decode(latents)

    def sample_png(self, seed):
        return {"images_bytes": serving.encode_png(self.sample(seed)["images"])}

    def endpoints(self):
        seeds = [tf.TensorSpec((None, 2), tf.int32, name="seed")]
        return {
            "encode": (self.encode, [tf.TensorSpec((None, *IMAGE_SHAPE), name="images")]),
            "decode": (self.decode, [tf.TensorSpec((None, LATENT_DIM), name="latents")]),
            "sample": (self.sample, seeds),
            "sample_png": (self.sample_png, seeds),
        } | self.extra


class Endpoints:
    """A model made of given endpoints only."""

    def __init__(self, **endpoints):
        self.given = endpoints

    def endpoints(self):
        return self.given


def single(function, *specs):
    """A model of one endpoint; by default its input is x: float32[None, 3]."""
    specs = specs or (tf.TensorSpec((None, 3), tf.float32, name="x"),)
    return Endpoints(run=(function, list(specs)))
