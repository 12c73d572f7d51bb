"""The network of PixelCNN."""

import keras
from keras import layers

from kgen import checks
from kgen.layers import CausalConv2D
from kgen.networks.conditional import condition_inputs, offset


def pixelcnn(
    image_shape,
    params_size,
    *,
    filters=64,
    num_blocks=7,
    head_filters=(64,),
    channel_groups=1,
    condition=None,
):
    """A causal network: masked 7 x 7 convolution, residual blocks, 1 x 1 convolutions.

        h = conv_A(7 x 7)(2x - 1)
        h <- h + conv(1 x 1)(relu(conv_B(3 x 3)(relu(conv(1 x 1)(relu(h))))))    in each block

    A block has half of `filters` inside. Each activation comes before its convolution.

    Args:
        image_shape: `(height, width, channels)`.
        params_size: int, outputs a pixel: the likelihood's `params_size(image_shape)`.
        filters: int, 2h of the paper, width of the residual stream, rounded up to a multiple of
            twice `channel_groups`.
        num_blocks: int >= 0, residual blocks; the paper has 7 for grey images, 15 for colour.
        head_filters: sizes of the 1 x 1 convolutions before the output, rounded up likewise; the
            paper has 1024 for colour images, 32 for grey ones.
        channel_groups: int, 1, or the number of channels to order them by masks: R, G, B, which
            share all sizes equally.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, or a tuple of them, whose embedding
            is added to the masked 3 x 3 convolution of each block and to the first convolution;
            None for a network without.

    Returns:
        keras.Model from float32 images `(batch, *image_shape)` in [0, 1], or from the list of them
        and the conditions, to `(batch, height, width, params_size)`, of which entry (r, c) depends
        on earlier pixels only, and on what is given.

    Raises:
        ValueError: for a size that does not fit.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", sections 3.3 to 3.5, table 1.
    """
    image_shape = checks.image_shape(image_shape)
    checks.at_least("num_blocks", num_blocks, 0)
    filters = rounded_up("filters", filters, 2 * channel_groups)
    head_filters = [rounded_up("each of head_filters", f, channel_groups) for f in head_filters]

    def convolution(filters, size, see_current=True):
        return CausalConv2D(filters, size, see_current=see_current, channel_groups=channel_groups)

    def relu(x):
        return layers.Activation("relu")(x)

    def shifted(x, size):
        return layers.Add()([x, offset(given, condition, size)]) if given else x

    images, given = keras.Input(image_shape, name="images"), condition_inputs(condition)
    x = layers.Rescaling(2.0, -1.0)(images)
    x = shifted(convolution(filters, 7, see_current=False)(x), filters)
    for _ in range(num_blocks):
        y = convolution(filters // 2, 1)(relu(x))
        y = shifted(convolution(filters // 2, 3)(relu(y)), filters // 2)
        y = convolution(filters, 1)(relu(y))
        x = layers.Add()([x, y])
    for size in head_filters:
        x = convolution(size, 1)(relu(x))
    outputs = convolution(params_size, 1)(relu(x))
    inputs = [images, *given] if given else images
    return keras.Model(inputs, outputs, name="pixelcnn")


def rounded_up(name, size, multiple):
    """The least multiple that is not below a size; channel groups share it equally."""
    return -(-checks.positive_integer(name, size) // multiple) * multiple
