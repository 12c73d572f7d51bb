"""The convolutional generator and discriminator of DCGAN (Radford et al. 2016)."""

import math

import keras
from keras import layers

from kgen import checks
from kgen.networks.convolutional import crop_to, halved_sizes
from kgen.networks.normalization import normalized, spectrally_normalized


def dcgan_generator(
    latent_dim,
    image_shape,
    *,
    filters=None,
    kernel_size=5,
    normalization="batch",
    activation="relu",
):
    """A projection, then transposed convolutions of stride 2, each cropped to its size.

        h = activation(normalize(project(z)))
        h = activation(normalize(transposed_convolution(h)))        for each level but the last
        x = 1/2 (1 + tanh(transposed_convolution(h)))

    The paper's images are in [-1, 1]; these are in [0, 1]. Weights start from N(0, 0.02^2).

    Args:
        latent_dim: int, size of the input vector.
        image_shape: `(height, width, channels)`, of any height and width.
        filters: channels of the transposed convolutions' inputs, first to last; one level each. By
            default as many levels as bring the image down to at most 4x4, at least two, of 64
            channels at the last, doubled at each one before, up to 512.
        kernel_size: int, sides of the kernels. One that the stride divides makes no checkerboard.
        normalization: "batch", "layer" or None; never at the output.
        activation: activation of all layers but the last.

    Returns:
        keras.Model from float32 `(batch, latent_dim)` to float32 `(batch, *image_shape)` in [0, 1].

    Raises:
        ValueError: for sizes below 1 or an unknown normalization.

    Reference:
        Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional
        Generative Adversarial Networks", section 3.
    """
    *sides, channels = checks.image_shape(image_shape)
    filters = _filters(None, sides)[::-1] if filters is None else _filters(filters, sides)
    sizes = halved_sizes(sides, len(filters))
    use_bias = normalization != "batch"
    inputs = keras.Input((checks.positive_integer("latent_dim", latent_dim),))
    units = math.prod(sizes[-1]) * filters[0]
    x = layers.Dense(units, use_bias=use_bias, kernel_initializer=_initializer())(inputs)
    x = layers.Reshape((*sizes[-1], filters[0]))(x)
    for count, size in zip(filters[1:], sizes[-2:0:-1], strict=True):
        x = layers.Activation(activation)(normalized(x, normalization))
        x = crop_to(_up(count, kernel_size, use_bias=use_bias)(x), size)
    x = layers.Activation(activation)(normalized(x, normalization))
    x = _up(channels, kernel_size, activation="tanh", dtype="float32")(x)
    outputs = layers.Rescaling(0.5, offset=0.5, dtype="float32")(crop_to(x, sizes[0]))
    return keras.Model(inputs, outputs, name="generator")


def dcgan_discriminator(
    image_shape,
    output_dim=1,
    *,
    filters=None,
    kernel_size=5,
    normalization="batch",
    activation="leaky_relu",
    spectral_normalization=False,
):
    """Convolutions of stride 2, then one dense layer: no pooling, no hidden dense layer.

        h = activation(convolution(2 x - 1))
        h = activation(normalize(convolution(h)))                   for each further level
        logits = dense(flatten(h))

    Batch normalization ties an image's logit to the others of its batch: with a gradient penalty
    use "layer" or None, with spectral normalization None.

    Args:
        image_shape: `(height, width, channels)`; each level halves the sides, rounding up.
        output_dim: int, size of the output: 1 for a logit, more for features.
        filters: channels of the convolutions, first to last. By default the generator's, reversed.
        kernel_size: int, sides of the kernels.
        normalization: "batch", "layer" or None; never at the first convolution.
        activation: activation of the convolutions; "leaky_relu" has the paper's slope of 0.2.
        spectral_normalization: bool, whether every kernel is divided by its largest singular value.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to float32 `(batch, output_dim)`.

    Raises:
        ValueError: for sizes below 1 or an unknown normalization.

    Reference: as for `dcgan_generator`.
    """
    image_shape = checks.image_shape(image_shape)
    checks.positive_integer("output_dim", output_dim)
    inputs = keras.Input(image_shape)
    x = layers.Rescaling(2.0, offset=-1.0)(inputs)
    for level, count in enumerate(_filters(filters, image_shape[:2])):
        kind = normalization if level else None
        convolution = layers.Conv2D(
            count,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=kind != "batch",
            kernel_initializer=_initializer(),
        )
        x = normalized(spectrally_normalized(convolution, spectral_normalization)(x), kind)
        x = layers.Activation(activation)(x)
    dense = layers.Dense(output_dim, kernel_initializer=_initializer(), dtype="float32")
    outputs = spectrally_normalized(dense, spectral_normalization)(layers.Flatten()(x))
    return keras.Model(inputs, outputs, name="discriminator")


def num_levels_to(side, sides):
    """How many halvings, rounding up, bring the larger of `sides` down to at most `side`."""
    return max(0, math.ceil(math.log2(max(sides) / side)))


def doubling_filters(width, image_shape):
    """A discriminator's channels: `width`, doubled up to 8 times at each level down to 4x4.

    Args:
        width: int, channels at half the image's size.
        image_shape: `(height, width, ...)`.

    Returns:
        list of ints, at least two, none above 8 `width`; a generator takes them reversed.
    """
    checks.positive_integer("width", width)
    num_levels = max(2, num_levels_to(4, image_shape[:2]))
    return [width * 2 ** min(level, 3) for level in range(num_levels)]


def _filters(filters, sides):
    """The discriminator's channels: those given, or doubled at each level from 64."""
    if filters is None:
        return doubling_filters(64, sides)
    if not filters:
        raise ValueError("filters must have at least one level, received an empty one.")
    return [checks.positive_integer("each of filters", count) for count in filters]


def _up(channels, kernel_size, **kwargs):
    return layers.Conv2DTranspose(
        channels,
        kernel_size,
        strides=2,
        padding="same",
        kernel_initializer=_initializer(),
        **kwargs,
    )


def _initializer():
    return keras.initializers.RandomNormal(stddev=0.02)
