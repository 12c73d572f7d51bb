"""Fully connected encoders and decoders for images of any shape."""

import math

import keras
from keras import layers

from kgen import checks


def dense_encoder(image_shape, output_dim, *, hidden_units=(512, 256), activation="relu"):
    """A multilayer perceptron from images to vectors.

    Args:
        image_shape: `(height, width, channels)`.
        output_dim: int, size of the output, such as `posterior.params_size((latent_dim,))`.
        hidden_units: sizes of the hidden layers, first to last.
        activation: their activation.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to float32 `(batch, output_dim)`.
    """
    image_shape = checks.image_shape(image_shape)
    checks.positive_integer("output_dim", output_dim)
    inputs = keras.Input(image_shape)
    x = layers.Flatten()(inputs)
    for units in hidden_units:
        x = layers.Dense(units, activation=activation)(x)
    outputs = layers.Dense(output_dim, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="encoder")


def dense_decoder(latent_dim, output_shape, *, hidden_units=(256, 512), activation="relu"):
    """A multilayer perceptron from vectors to image-shaped parameters.

    Args:
        latent_dim: int, size of the input vector.
        output_shape: `(height, width, channels)`; its last axis is the likelihood's
            `params_size(image_shape)`.
        hidden_units: sizes of the hidden layers, first to last.
        activation: their activation.

    Returns:
        keras.Model from float32 `(batch, latent_dim)` to float32 `(batch, *output_shape)`.
    """
    output_shape = checks.image_shape(output_shape)
    inputs = keras.Input((checks.positive_integer("latent_dim", latent_dim),))
    x = inputs
    for units in hidden_units:
        x = layers.Dense(units, activation=activation)(x)
    x = layers.Dense(math.prod(output_shape), dtype="float32")(x)
    outputs = layers.Reshape(output_shape, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="decoder")


def dense_discriminator(input_dim, *, hidden_units=(256, 256), activation="leaky_relu"):
    """A multilayer perceptron from vectors to one logit.

    Args:
        input_dim: int, size of the input vector.
        hidden_units: sizes of the hidden layers.
        activation: their activation.

    Returns:
        keras.Model from float32 `(batch, input_dim)` to float32 logits `(batch, 1)`.
    """
    inputs = keras.Input((checks.positive_integer("input_dim", input_dim),))
    x = inputs
    for units in hidden_units:
        x = layers.Dense(units, activation=activation)(x)
    return keras.Model(inputs, layers.Dense(1, dtype="float32")(x), name="discriminator")
