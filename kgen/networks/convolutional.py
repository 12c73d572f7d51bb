"""Strided convolutional encoders and decoders for images of any height, width and channels."""

import math

import keras
from keras import layers

from kgen import checks


def convolutional_encoder(image_shape, output_dim, *, filters=None, units=256, activation="relu"):
    """Convolutions of stride 2, then two dense layers.

    Args:
        image_shape: `(height, width, channels)`; each layer halves the sides, rounding up.
        output_dim: int, size of the output, such as `posterior.params_size((latent_dim,))`.
        filters: channels of the convolutions, first to last. By default as many as bring the image
            down to at most 8x8, at least two: 32, 64, and so on, up to 256.
        units: size of the dense layer before the output.
        activation: activation of all layers but the last.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to float32 `(batch, output_dim)`.
    """
    image_shape = checks.image_shape(image_shape)
    checks.positive_integer("output_dim", output_dim)
    filters = default_filters(image_shape) if filters is None else filters
    inputs = keras.Input(image_shape)
    x = inputs
    for channels in filters:
        x = layers.Conv2D(channels, 4, strides=2, padding="same", activation=activation)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(units, activation=activation)(x)
    outputs = layers.Dense(output_dim, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="encoder")


def convolutional_decoder(latent_dim, output_shape, *, filters=None, units=256, activation="relu"):
    """Two dense layers, then transposed convolutions of stride 2, each cropped to its size.

    Args:
        latent_dim: int, size of the input vector.
        output_shape: `(height, width, channels)`; its last axis is the likelihood's
            `params_size(image_shape)`.
        filters: channels of the transposed convolutions' inputs, first to last. By default those of
            `convolutional_encoder`, reversed.
        units: size of the first dense layer.
        activation: activation of all layers but the last.

    Returns:
        keras.Model from float32 `(batch, latent_dim)` to float32 `(batch, *output_shape)`.
    """
    *sides, output_channels = checks.image_shape(output_shape)
    filters = default_filters(sides)[::-1] if filters is None else filters
    inputs = keras.Input((checks.positive_integer("latent_dim", latent_dim),))
    sizes = halved_sizes(sides, len(filters))
    x = layers.Dense(units, activation=activation)(inputs)
    x = layers.Dense(math.prod(sizes[-1]) * filters[0], activation=activation)(x)
    x = layers.Reshape((*sizes[-1], filters[0]))(x)
    outputs = _transposed(x, sizes, [*filters[1:], output_channels], activation)
    return keras.Model(inputs, outputs, name="decoder")


def convolutional_feature_encoder(image_shape, output_dim, *, filters=(32, 64), activation="relu"):
    """Convolutions of stride 2, then one of size 1: a map of vectors, not one vector.

    Args:
        image_shape: `(height, width, channels)`; each layer halves the sides, rounding up.
        output_dim: int, channels of the output.
        filters: channels of the convolutions, first to last.
        activation: activation of all layers but the last.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` to float32 `(batch, rows, columns,
        output_dim)`.
    """
    inputs = keras.Input(checks.image_shape(image_shape))
    x = inputs
    for channels in filters:
        x = layers.Conv2D(channels, 4, strides=2, padding="same", activation=activation)(x)
    x = layers.Conv2D(filters[-1], 3, padding="same", activation=activation)(x)
    outputs = layers.Conv2D(output_dim, 1, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="encoder")


def convolutional_feature_decoder(input_dim, output_shape, *, filters=(64, 32), activation="relu"):
    """The mirror of `convolutional_feature_encoder`.

    Args:
        input_dim: int, channels of the input map.
        output_shape: `(height, width, channels)`.
        filters: channels, first to last.
        activation: activation of all layers but the last.

    Returns:
        keras.Model from float32 `(batch, rows, columns, input_dim)` to float32 `(batch,
        *output_shape)`.
    """
    *sides, output_channels = checks.image_shape(output_shape)
    sizes = halved_sizes(sides, len(filters))
    inputs = keras.Input((*sizes[-1], checks.positive_integer("input_dim", input_dim)))
    x = layers.Conv2D(filters[0], 3, padding="same", activation=activation)(inputs)
    outputs = _transposed(x, sizes, [*filters[1:], output_channels], activation)
    return keras.Model(inputs, outputs, name="decoder")


def default_filters(sides):
    """32 channels, doubled up to 256 at each halving of the sides down to 8, at least twice."""
    halvings = math.ceil(math.log2(max(sides[:2]) / 8))
    return [32 * 2 ** min(level, 3) for level in range(max(2, halvings))]


def _transposed(x, sizes, channels, activation):
    """Transposed convolutions of stride 2 up through `sizes`, each cropped to its size."""
    for count, size in zip(channels[:-1], sizes[-2:0:-1], strict=True):
        x = layers.Conv2DTranspose(count, 4, strides=2, padding="same", activation=activation)(x)
        x = crop_to(x, size)
    x = layers.Conv2DTranspose(
        channels[-1], 4, strides=2, padding="same", dtype="float32", name="params"
    )(x)
    return crop_to(x, sizes[0])


def halved_sizes(sides, times):
    """`[(height, width), ...]`: the sides, and after each of `times` halvings, rounded up."""
    return [tuple(math.ceil(side / 2**k) for side in sides) for k in range(times + 1)]


def crop_to(x, size):
    """Crop the bottom and right of a feature map to `(height, width)`, where it is larger."""
    rows, columns = (x.shape[axis + 1] - size[axis] for axis in range(2))
    if rows == columns == 0:
        return x
    return layers.Cropping2D(((0, rows), (0, columns)), dtype=x.dtype)(x)
