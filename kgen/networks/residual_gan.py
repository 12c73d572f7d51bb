"""The residual generator and discriminator of WGAN-GP (Gulrajani et al. 2017)."""

import math

import keras
from keras import layers

from kgen import checks
from kgen.networks.convolutional import crop_to, halved_sizes
from kgen.networks.dcgan import num_levels_to
from kgen.networks.normalization import normalized, spectrally_normalized


def residual_generator(
    latent_dim,
    image_shape,
    *,
    filters=128,
    num_levels=None,
    normalization="batch",
    activation="relu",
):
    """A projection, then one residual block a level, each of which doubles the sides.

        h <- up(h) + conv(up(activation(normalize(conv(activation(normalize(h)))))))
        x = 1/2 (1 + tanh(conv(activation(normalize(h)))))

    `up` repeats pixels and crops to the level's size; a convolution of size 1 follows it in the
    shortcut. The paper's images are in [-1, 1]; these are in [0, 1].

    Args:
        latent_dim: int, size of the input vector; 128 in the paper.
        image_shape: `(height, width, channels)`, of any height and width.
        filters: int, channels of all blocks.
        num_levels: int, number of blocks. By default as many as it takes from a map of at most 4x4,
            at least one; the paper's three for 32x32.
        normalization: "batch", "layer" or None.
        activation: activation of the blocks.

    Returns:
        keras.Model from float32 `(batch, latent_dim)` to float32 `(batch, *image_shape)` in [0, 1].

    Raises:
        ValueError: for sizes below 1 or an unknown normalization.

    Reference:
        Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", appendix "Hyperparameters
        and architectures", CIFAR-10 ResNet.
    """
    *sides, channels = checks.image_shape(image_shape)
    checks.positive_integer("filters", filters)
    sizes = halved_sizes(sides, _num_levels(num_levels, 4, sides))
    inputs = keras.Input((checks.positive_integer("latent_dim", latent_dim),))
    x = layers.Dense(math.prod(sizes[-1]) * filters)(inputs)
    x = layers.Reshape((*sizes[-1], filters))(x)
    for size in sizes[-2::-1]:
        y = layers.Activation(activation)(normalized(x, normalization))
        y = _convolution(filters, use_bias=normalization != "batch")(y)
        y = layers.Activation(activation)(normalized(y, normalization))
        y = _convolution(filters)(_up(y, size))
        x = layers.Add()([layers.Conv2D(filters, 1)(_up(x, size)), y])
    x = layers.Activation(activation)(normalized(x, normalization))
    x = layers.Conv2D(channels, 3, padding="same", activation="tanh", dtype="float32")(x)
    outputs = layers.Rescaling(0.5, offset=0.5, dtype="float32")(x)
    return keras.Model(inputs, outputs, name="generator")


def residual_discriminator(
    image_shape,
    output_dim=1,
    *,
    filters=128,
    num_levels=None,
    num_blocks=2,
    normalization=None,
    activation="relu",
    spectral_normalization=False,
):
    """Residual blocks, `num_levels` of which halve the sides, then the mean over positions.

        h <- down(h) + down(conv(activation(normalize(conv(activation(normalize(h)))))))
        logits = dense(mean(activation(h)))

    `down` is the mean of 2x2 pixels, with a convolution of size 1 in the shortcut. The first block
    starts with its convolution: an activation would cut the image. The last blocks keep the size.

    Args:
        image_shape: `(height, width, channels)`; each level halves the sides, rounding up.
        output_dim: int, size of the output: 1 for a logit, more for features.
        filters: int, channels of all blocks.
        num_levels: int, blocks that halve the sides. By default as many as bring the image down to
            at most 8x8, at least one; the paper's two for 32x32.
        num_blocks: int >= 0, blocks after them.
        normalization: "batch", "layer" or None; batch normalization and gradient penalties exclude
            one another.
        activation: activation of the blocks.
        spectral_normalization: bool, whether every kernel is divided by its largest singular value.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to float32 `(batch, output_dim)`.

    Raises:
        ValueError: for sizes below 1 or an unknown normalization.

    Reference: as for `residual_generator`.
    """
    image_shape = checks.image_shape(image_shape)
    checks.positive_integer("output_dim", output_dim)
    checks.positive_integer("filters", filters)
    num_levels = _num_levels(num_levels, 8, image_shape[:2])
    num_blocks = checks.at_least("num_blocks", num_blocks, 0)

    def spectral(layer):
        return spectrally_normalized(layer, spectral_normalization)

    inputs = keras.Input(image_shape)
    x = layers.Rescaling(2.0, offset=-1.0)(inputs)
    for block in range(num_levels + num_blocks):
        is_first, halves = block == 0, block < num_levels
        y = x if is_first else layers.Activation(activation)(normalized(x, normalization))
        y = spectral(_convolution(filters, use_bias=normalization != "batch"))(y)
        y = layers.Activation(activation)(normalized(y, normalization))
        y = spectral(_convolution(filters))(y)
        if halves:
            # With padding the mean is over the pixels that exist.
            y = layers.AveragePooling2D(2, padding="same")(y)
            x = spectral(layers.Conv2D(filters, 1))(layers.AveragePooling2D(2, padding="same")(x))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(layers.Activation(activation)(x))
    outputs = spectral(layers.Dense(output_dim, dtype="float32"))(x)
    return keras.Model(inputs, outputs, name="discriminator")


def _num_levels(num_levels, side, sides):
    if num_levels is None:
        return max(1, num_levels_to(side, sides))
    return checks.positive_integer("num_levels", num_levels)


def _convolution(channels, use_bias=True):
    return layers.Conv2D(
        channels, 3, padding="same", use_bias=use_bias, kernel_initializer="he_uniform"
    )


def _up(x, size):
    return crop_to(layers.UpSampling2D(2)(x), size)
