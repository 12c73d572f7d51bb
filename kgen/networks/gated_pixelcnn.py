"""The network of Gated PixelCNN."""

import keras
from keras import layers

from kgen import checks
from kgen.layers import CategoryEmbedding, CausalConv2D, GatedActivation, RowConv2D
from kgen.networks.conditional import condition_inputs, offset
from kgen.networks.pixelcnn import rounded_up


def gated_pixelcnn(
    image_shape,
    params_size,
    *,
    filters=64,
    num_layers=8,
    head_filters=(64,),
    condition=None,
    num_maps=None,
    channel_groups=1,
    embedding_dim=None,
):
    """A causal network of two stacks, without a blind spot.

        v' = conv(n x n, rows above)(v)
        h' = conv(1 x n, to the left)(h) + conv(1 x 1)(v')
        v <- gate(v' + V y)
        h <- h + conv(1 x 1)(gate(h' + H y)),        gate(a, b) = tanh(a) sigmoid(b)

    The vertical stack v sees all pixels of the rows above, the horizontal stack h those and the row
    to the left. n is 7 in the first layer, which has no sum, and 3 behind it. V y and H y are an
    embedding of the condition each, one per layer. Maps s, such as another network's features, are
    added in the same way: V * s and H * s are 1 x 1 convolutions.

    Args:
        image_shape: `(height, width, channels)`.
        params_size: int, outputs a pixel: the likelihood's `params_size(image_shape)`.
        filters: int, p of the paper, rounded up to a multiple of `channel_groups`.
        num_layers: int >= 1.
        head_filters: sizes of the 1 x 1 convolutions before the output, rounded up likewise.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, or a tuple of them; None for a
            network without.
        num_maps: int, channels of the maps s, or None for a network without them.
        channel_groups: int, 1, or the number of channels to order them by masks: R, G, B, which
            share all sizes equally.
        embedding_dim: int, where pixels are categories without an order, as many as
            `params_size`: the network reads a learned vector of this size for each. None for
            pixels that are intensities.

    Returns:
        keras.Model from float32 images `(batch, *image_shape)` in [0, 1], or from the list of them,
        the conditions and maps, float32 `(batch, height, width, num_maps)`, where there are any,
        to `(batch, height, width, params_size)`, of which entry (r, c) depends on earlier pixels
        only, and on what is given.

    Raises:
        ValueError: for a size that does not fit.

    Reference:
        van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", eq. 2-5 and
        figure 2.
    """
    image_shape = checks.image_shape(image_shape)
    filters = rounded_up("filters", filters, channel_groups)
    head_filters = [rounded_up("each of head_filters", f, channel_groups) for f in head_filters]
    checks.positive_integer("num_layers", num_layers)
    images = keras.Input(image_shape, name="images")
    given, maps = condition_inputs(condition), None
    inputs = [images, *given]
    if num_maps is not None:
        checks.positive_integer("num_maps", num_maps)
        maps = keras.Input((*image_shape[:2], num_maps), name="maps")
        inputs.append(maps)

    def pointwise(x, size):
        return CausalConv2D(size, 1, channel_groups=channel_groups)(x)

    def gate(x, groups):
        if given:
            x = layers.Add()([x, offset(given, condition, 2 * filters)])
        if maps is not None:
            x = layers.Add()([x, layers.Conv2D(2 * filters, 1, use_bias=False)(maps)])
        return GatedActivation(channel_groups=groups)(x)

    if embedding_dim is None:
        read = layers.Rescaling(2.0, -1.0)
    else:
        read = CategoryEmbedding(params_size, embedding_dim)
    vertical = horizontal = read(images)
    for index in range(num_layers):
        size, first = (7, True) if index == 0 else (3, False)
        rows = size // 2 if first else size // 2 + 1
        seen = RowConv2D(2 * filters, (rows, size), shift_down=first)(vertical)
        left = CausalConv2D(
            2 * filters, (1, size), see_current=not first, channel_groups=channel_groups
        )(horizontal)
        # What the rows above give is known to every channel group.
        left = layers.Add()([left, CausalConv2D(2 * filters, 1)(seen)])
        new = pointwise(gate(left, channel_groups), filters)
        horizontal = new if first else layers.Add()([horizontal, new])
        if index + 1 < num_layers:
            vertical = gate(seen, 1)
    x = horizontal
    for size in head_filters:
        x = pointwise(layers.Activation("relu")(x), size)
    outputs = pointwise(layers.Activation("relu")(x), params_size)
    inputs = inputs if len(inputs) > 1 else images
    return keras.Model(inputs, outputs, name="gated_pixelcnn")
