"""Fully connected networks for vectors, signals, images and volumes of any shape."""

import math

import keras
import numpy as np
from keras import layers

from kgen import checks
from kgen.networks.normalization import normalized, spectrally_normalized


def dense_encoder(image_shape, output_dim, *, hidden_units=(512, 256), activation="relu"):
    """A multilayer perceptron from vectors, signals, images or volumes to vectors.

    Args:
        image_shape: shape of an example: `(height, width, channels)`, `(dim,)`, `(length,
            channels)` or `(depth, height, width, channels)`.
        output_dim: int, size of the output, such as `posterior.params_size((latent_dim,))`.
        hidden_units: sizes of the hidden layers, first to last.
        activation: their activation.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` to float32 `(batch, output_dim)`.
    """
    image_shape = _example_shape("image_shape", image_shape)
    checks.positive_integer("output_dim", output_dim)
    inputs = keras.Input(image_shape)
    x = layers.Flatten()(inputs)
    for units in hidden_units:
        x = layers.Dense(units, activation=activation)(x)
    outputs = layers.Dense(output_dim, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="encoder")


def dense_decoder(latent_dim, output_shape, *, hidden_units=(256, 512), activation="relu"):
    """A multilayer perceptron from vectors to parameters in the shape of examples.

    Args:
        latent_dim: int, size of the input vector.
        output_shape: that of an example, as for `dense_encoder`, with the likelihood's
            `params_size(image_shape)` as its last axis.
        hidden_units: sizes of the hidden layers, first to last.
        activation: their activation.

    Returns:
        keras.Model from float32 `(batch, latent_dim)` to float32 `(batch, *output_shape)`.
    """
    output_shape = _example_shape("output_shape", output_shape)
    inputs = keras.Input((checks.positive_integer("latent_dim", latent_dim),))
    x = inputs
    for units in hidden_units:
        x = layers.Dense(units, activation=activation)(x)
    x = layers.Dense(math.prod(output_shape), dtype="float32")(x)
    outputs = layers.Reshape(output_shape, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="decoder")


def dense_generator(
    latent_dim, output_shape, *, hidden_units=(256, 256), normalization=None, activation="relu"
):
    """A multilayer perceptron from latents to vectors, signals, images or volumes.

    Args:
        latent_dim: int, size of the input vector.
        output_shape: `(dim,)` or `(length, channels)` for vectors and signals, which are unbounded;
            `(height, width, channels)` or `(depth, height, width, channels)` for images and
            volumes, which a sigmoid keeps in [0, 1].
        hidden_units: sizes of the hidden layers, first to last.
        normalization: "batch", "layer" or None, of the hidden layers.
        activation: their activation.

    Returns:
        keras.Model from float32 `(batch, latent_dim)` to float32 `(batch, *output_shape)`.

    Raises:
        ValueError: for sizes below 1 or an unknown normalization.
    """
    output_shape = _example_shape("output_shape", output_shape)
    inputs = keras.Input((checks.positive_integer("latent_dim", latent_dim),))
    x = inputs
    for units in hidden_units:
        x = layers.Dense(units, use_bias=normalization != "batch")(x)
        x = layers.Activation(activation)(normalized(x, normalization))
    squash = "sigmoid" if len(output_shape) > 2 else None
    x = layers.Dense(math.prod(output_shape), activation=squash, dtype="float32")(x)
    outputs = layers.Reshape(output_shape, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="generator")


def dense_discriminator(
    input_shape,
    output_dim=1,
    *,
    hidden_units=(256, 256),
    normalization=None,
    activation="leaky_relu",
    spectral_normalization=False,
):
    """A multilayer perceptron from vectors, signals, images or volumes to one logit.

    Images and volumes are mapped to 2 x - 1 first; vectors and signals are taken as they are.

    Args:
        input_shape: int or `(dim,)` for vectors; `(length, channels)` for signals; `(height, width,
            channels)` or `(depth, height, width, channels)` for images and volumes in [0, 1].
        output_dim: int, size of the output: 1 for a logit, more for features.
        hidden_units: sizes of the hidden layers.
        normalization: "batch", "layer" or None, of the hidden layers.
        activation: their activation.
        spectral_normalization: bool, whether every kernel is divided by its largest singular value.

    Returns:
        keras.Model from float32 `(batch, *input_shape)` to float32 `(batch, output_dim)`.

    Raises:
        ValueError: for sizes below 1 or an unknown normalization.
    """
    if isinstance(input_shape, (int, np.integer)):
        input_shape = (input_shape,)
    input_shape = _example_shape("input_shape", input_shape)
    checks.positive_integer("output_dim", output_dim)
    inputs = keras.Input(input_shape)
    x = inputs
    if len(input_shape) > 2:
        x = layers.Rescaling(2.0, offset=-1.0)(x)
    if len(input_shape) > 1:
        x = layers.Flatten()(x)
    for units in hidden_units:
        dense = layers.Dense(units, use_bias=normalization != "batch")
        x = normalized(spectrally_normalized(dense, spectral_normalization)(x), normalization)
        x = layers.Activation(activation)(x)
    dense = layers.Dense(output_dim, dtype="float32")
    outputs = spectrally_normalized(dense, spectral_normalization)(x)
    return keras.Model(inputs, outputs, name="discriminator")


def _example_shape(name, shape):
    shape = tuple(shape)
    if not 1 <= len(shape) <= 4:
        raise ValueError(
            f"{name} must be (dim,) for vectors, (length, channels) for signals, (height, width, "
            f"channels) for images or (depth, height, width, channels) for volumes, received "
            f"{shape}."
        )
    return tuple(checks.positive_integer(f"each side of {name}", side) for side in shape)
