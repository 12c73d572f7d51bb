"""Residual encoders and decoders with pre-activation blocks (He et al. 2016)."""

import math

import keras
from keras import layers

from kgen import checks
from kgen.networks.convolutional import crop_to, default_filters, halved_sizes


def residual_encoder(
    image_shape, output_dim, *, filters=None, num_blocks=2, units=256, activation="swish"
):
    """Per level a strided convolution and `num_blocks` residual blocks, then two dense layers.

        h <- h + conv(activation(conv(activation(h))))

    Args:
        image_shape: `(height, width, channels)`; each level halves the sides, rounding up.
        output_dim: int, size of the output.
        filters: channels of the levels, first to last; by default those of `default_filters`.
        num_blocks: int, residual blocks a level.
        units: size of the dense layer before the output.
        activation: activation of the blocks.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to float32 `(batch, output_dim)`.

    Reference: He et al. 2016, "Identity Mappings in Deep Residual Networks", eq. 1 and fig. 1b.
    """
    image_shape = checks.image_shape(image_shape)
    checks.positive_integer("output_dim", output_dim)
    filters = default_filters(image_shape) if filters is None else filters
    inputs = keras.Input(image_shape)
    x = inputs
    for channels in filters:
        x = layers.Conv2D(channels, 4, strides=2, padding="same")(x)
        x = _blocks(x, num_blocks, activation)
    x = layers.Flatten()(layers.Activation(activation)(x))
    x = layers.Dense(units, activation=activation)(x)
    outputs = layers.Dense(output_dim, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="encoder")


def residual_decoder(
    latent_dim, output_shape, *, filters=None, num_blocks=2, units=256, activation="swish"
):
    """Two dense layers, then per level residual blocks and a transposed convolution of stride 2.

    Args:
        latent_dim: int, size of the input vector.
        output_shape: `(height, width, channels)`; its last axis is the likelihood's
            `params_size(image_shape)`.
        filters: channels of the levels, first to last.
        num_blocks: int, residual blocks a level.
        units: size of the first dense layer.
        activation: activation of the blocks.

    Returns:
        keras.Model from float32 `(batch, latent_dim)` to float32 `(batch, *output_shape)`.
    """
    *sides, output_channels = checks.image_shape(output_shape)
    inputs = keras.Input((checks.positive_integer("latent_dim", latent_dim),))
    filters = default_filters(sides)[::-1] if filters is None else filters
    sizes = halved_sizes(sides, len(filters))
    x = layers.Dense(units, activation=activation)(inputs)
    x = layers.Dense(math.prod(sizes[-1]) * filters[0])(x)
    x = layers.Reshape((*sizes[-1], filters[0]))(x)
    channels = [*filters[1:], filters[-1]]
    for count, size in zip(channels, sizes[-2::-1], strict=True):
        x = _blocks(x, num_blocks, activation)
        x = crop_to(layers.Conv2DTranspose(count, 4, strides=2, padding="same")(x), size)
    x = layers.Activation(activation)(x)
    outputs = layers.Conv2D(output_channels, 3, padding="same", dtype="float32", name="params")(x)
    return keras.Model(inputs, outputs, name="decoder")


def _blocks(x, num_blocks, activation):
    channels = x.shape[-1]
    for _ in range(num_blocks):
        y = layers.Conv2D(channels, 3, padding="same")(layers.Activation(activation)(x))
        y = layers.Conv2D(channels, 3, padding="same")(layers.Activation(activation)(y))
        x = layers.Add()([x, y])
    return x
