"""Players of a few weights, whose steps can be computed by hand."""

import keras
import numpy as np
import tensorflow as tf

from kgen import networks

SHAPE = (5, 6, 1)


class Constant(keras.layers.Layer):
    """Gives one learned vector for every row: G(z) = b."""

    def __init__(self, value, **kwargs):
        super().__init__(**kwargs)
        self.value = list(value)

    def build(self, input_shape):
        initializer = keras.initializers.Constant(np.array(self.value, "float32"))
        self.b = self.add_weight(shape=(len(self.value),), initializer=initializer, name="b")

    def call(self, inputs):
        return tf.zeros_like(inputs[:, :1]) + self.b


def constant_generator(*value):
    return keras.Sequential([keras.Input((1,)), Constant(value)])


def linear_discriminator(*slope, use_bias=False):
    """D(x) = a.x, or a.x + c with c = 0 at first."""
    initializer = keras.initializers.Constant(np.array(slope, "float32")[:, None])
    dense = keras.layers.Dense(1, use_bias=use_bias, kernel_initializer=initializer)
    return keras.Sequential([keras.Input((len(slope),)), dense])


def dense_players(output_shape=(2,), latent_dim=2, **kwargs):
    """A small generator and discriminator of points or images."""
    return (
        networks.dense_generator(latent_dim, output_shape, hidden_units=(5,), activation="tanh"),
        networks.dense_discriminator(output_shape, hidden_units=(4,), activation="tanh", **kwargs),
    )


def normalized_players():
    """A DCGAN's generator and discriminator, both with batch normalization."""
    return (
        networks.dcgan_generator(2, SHAPE, filters=(3,)),
        networks.dcgan_discriminator(SHAPE, filters=(2, 3)),
    )


def points(count=16, dim=2, seed=0):
    return np.random.RandomState(seed).normal(size=(count, dim)).astype("float32")


def images(count=16, seed=0):
    return np.random.RandomState(seed).uniform(size=(count, *SHAPE)).astype("float32")


def sgd(learning_rate=0.1):
    return keras.optimizers.SGD(learning_rate)


def state(*networks):
    return [variable.numpy() for network in networks for variable in network.variables]


def record_latents(model):
    """The latents of every step, in their order; for models that run eagerly."""
    drawn, draw = [], model.latents

    def latents(batch_size, seed):
        drawn.append(draw(batch_size, seed))
        return drawn[-1]

    model.latents = latents
    return drawn
