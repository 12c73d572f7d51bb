"""PixelRNN's network: a residual stack of two-dimensional LSTMs."""

import keras
from keras import layers

from kgen import checks
from kgen.layers import CausalConv2D, DiagonalBiLSTM, RowLSTM
from kgen.networks.conditional import condition_inputs, offset
from kgen.networks.pixelcnn import rounded_up

_LSTMS = {"row": RowLSTM, "diagonal": DiagonalBiLSTM}


def pixel_rnn(
    image_shape,
    params_size,
    *,
    kind="row",
    hidden_units=16,
    num_layers=7,
    output_units=None,
    channel_groups=1,
    condition=None,
):
    """A masked convolution, LSTM layers with residual connections, two masked 1 x 1 layers.

        x      = conv 7x7, mask A (image), of 2 h features
        x      = x + conv 1x1 (LSTM_h(x))                    num_layers times
        params = conv 1x1 (ReLU(conv 1x1 (ReLU(x))))         all 1x1 with mask B

    The parameters at a pixel depend on earlier pixels only and, with channel groups, those of a
    channel also on the channels before it. With `kind="row"` these are the pixels of a triangle
    above, wider with each layer; with `kind="diagonal"` all earlier pixels.

    For that, and against the paper, the network with diagonals adds a column of zeros on the right
    and crops it at the end. The first layer hides a pixel's value from its own features, so the
    right LSTM has it from those of the pixel's right neighbour. The last pixel of a row has none:
    without the column, most of the next row would never see it.

    Args:
        image_shape: `(height, width, channels)`.
        params_size: int, parameters a pixel: `likelihood.params_size(image_shape)`. With channel
            groups they are as many contiguous parts, those of R, then G, then B.
        kind: "row" (`RowLSTM` with windows of 3 columns) or "diagonal" (`DiagonalBiLSTM`).
        hidden_units: int, h. It is rounded up to a multiple of the groups, which share it equally.
        num_layers: int, LSTM layers.
        output_units: int, features of the first 1 x 1 layer, rounded likewise; 2 h by default.
        channel_groups: int, 1, or the number of channels to order them by masks: R, G, B. It is 1
            only for grey images and for a likelihood that couples the channels.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, or a tuple of them, whose embedding
            is added to the first convolution; None for a network without.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1], or from the list of it and the
        conditions, to float32 `(batch, height, width, params_size)`.

    Raises:
        ValueError: for an unknown kind, or sizes out of range or that do not fit.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", section 3.3, figure 5 and table
        1. For binarized MNIST it has 7 diagonal layers with h = 16, for CIFAR-10 12 with h = 128.
    """
    image_shape = checks.image_shape(image_shape)
    groups = channel_groups
    if groups not in (1, image_shape[-1]):
        raise ValueError(
            f"channel_groups must be 1 or the {image_shape[-1]} channels of the images, received "
            f"{channel_groups!r}."
        )
    if checks.positive_integer("params_size", params_size) % groups:
        raise ValueError(
            f"params_size must be a multiple of channel_groups={groups}, received {params_size}."
        )
    if kind not in _LSTMS:
        raise ValueError(f"Unknown kind '{kind}'. One of: {', '.join(_LSTMS)}.")
    checks.positive_integer("num_layers", num_layers)
    hidden_units = rounded_up("hidden_units", hidden_units, groups)
    output_units = rounded_up("output_units", output_units or 2 * hidden_units, groups)

    images, given = keras.Input(image_shape), condition_inputs(condition)
    x = layers.Rescaling(2.0, offset=-1.0)(images)
    if kind == "diagonal":
        x = layers.ZeroPadding2D(((0, 0), (0, 1)))(x)
    x = CausalConv2D(2 * hidden_units, 7, see_current=False, channel_groups=groups)(x)
    if given:
        x = layers.Add()([x, offset(given, condition, 2 * hidden_units)])
    for _ in range(num_layers):
        states = _LSTMS[kind](hidden_units, channel_groups=groups)(x)
        x = layers.Add()([x, CausalConv2D(2 * hidden_units, 1, channel_groups=groups)(states)])
    x = layers.ReLU()(x)
    x = layers.ReLU()(CausalConv2D(output_units, 1, channel_groups=groups)(x))
    if kind == "diagonal":
        x = layers.Cropping2D(((0, 0), (0, 1)))(x)
    head = dict(channel_groups=groups, dtype="float32", name="params")
    outputs = CausalConv2D(params_size, 1, **head)(x)
    inputs = [images, *given] if given else images
    return keras.Model(inputs, outputs, name="pixel_rnn")
