"""The network of PixelCNN++."""

import keras
from keras import layers

from kgen import checks
from kgen.layers import (
    CausalConv2D,
    ConcatELU,
    DepthToSpace,
    GatedActivation,
    OnesChannel,
    RowConv2D,
)
from kgen.networks.conditional import condition_inputs, offset


def pixelcnn_plus_plus(
    image_shape,
    params_size,
    *,
    filters=64,
    num_blocks=2,
    num_scales=None,
    dropout=0.0,
    condition=None,
):
    """A causal U-net of two streams: whole rows above (u), and those with the row to the left (l).

        block(x, a):  x + gate(conv(dropout(f(conv(f(x)) + conv(1 x 1)(f(a))))) + W y)
        f(x) = elu([x, -x]),    gate(a, b) = a sigmoid(b)

    On the way down each scale has `num_blocks` blocks of each stream and halves the maps behind
    them. On the way up each scale has as many, above the smallest one more, and each takes what its
    counterpart on the way down gave as `a`. In l, `a` holds u's map too. The convolutions are 2 x 3
    in u and 2 x 2, ending at the pixel, in l.

    Args:
        image_shape: `(height, width, channels)`.
        params_size: int, outputs a pixel: the likelihood's `params_size(image_shape)`.
        filters: int, channels of a stream; 160 in the paper.
        num_blocks: int >= 1; 5 in the paper.
        num_scales: int >= 1, or None for up to 3, as many as height and width can be halved for.
        dropout: float in [0, 1), inside the blocks; 0.5 in the paper. Keras keeps the random state
            of its layer out of `.keras` files; `kgen.callbacks.BackupAndRestore` restores it.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, or a tuple of them; None for a
            network without.

    Returns:
        keras.Model from float32 images `(batch, *image_shape)` in [0, 1], or from the list of them
        and the conditions to `(batch, height, width, params_size)`, of which entry
        (r, c) depends on earlier pixels only. The channels of a pixel do not see one another: the
        likelihood couples them.

    Raises:
        ValueError: for sizes that `num_scales` does not divide.

    Maps grow by transposed convolutions of 2 x 2 in both streams; the paper's are 2 x 3 in u.

    Reference:
        Salimans et al. 2017, "PixelCNN++", sections 2.3 to 2.5 and figure 2.
    """
    image_shape = checks.image_shape(image_shape)
    checks.positive_integer("filters", filters)
    checks.positive_integer("num_blocks", num_blocks)
    if not 0.0 <= checks.at_least("dropout", dropout, 0.0) < 1.0:
        raise ValueError(f"dropout must be in [0, 1), received {dropout!r}.")
    num_scales = _num_scales(image_shape, num_scales)
    images = keras.Input(image_shape, name="images")
    given = condition_inputs(condition)
    inputs = [images, *given] if given else images

    def rows(size, **kwargs):
        return RowConv2D(size, (2, 3), **kwargs)

    def pixels(size, **kwargs):
        return CausalConv2D(size, (2, 2), centered=False, **kwargs)

    def block(x, convolution, *others):
        y = convolution(filters)(ConcatELU()(x))
        if others:
            other = others[0] if len(others) == 1 else layers.Concatenate()(list(others))
            y = layers.Add()([y, CausalConv2D(filters, 1)(ConcatELU()(other))])
        y = ConcatELU()(y)
        if dropout:
            y = layers.Dropout(dropout)(y)
        y = convolution(2 * filters)(y)
        if given:
            y = layers.Add()([y, offset(given, condition, 2 * filters)])
        return layers.Add()([x, GatedActivation("linear")(y)])

    def larger(x):
        return DepthToSpace()(CausalConv2D(4 * filters, 1)(x))

    x = OnesChannel()(layers.Rescaling(2.0, -1.0)(images))
    above = rows(filters, shift_down=True)(x)
    left = layers.Add()(
        [
            RowConv2D(filters, (1, 3), shift_down=True)(x),
            pixels(filters, see_current=False)(x),
        ]
    )
    seen = [(above, left)]
    for scale in range(num_scales):
        for _ in range(num_blocks):
            above = block(above, rows)
            left = block(left, pixels, above)
            seen.append((above, left))
        if scale + 1 < num_scales:
            above, left = rows(filters, strides=2)(above), pixels(filters, strides=2)(left)
            seen.append((above, left))
    above, left = seen.pop()
    for scale in range(num_scales):
        for _ in range(num_blocks + int(scale > 0)):
            above_before, left_before = seen.pop()
            above = block(above, rows, above_before)
            left = block(left, pixels, above, left_before)
        if scale + 1 < num_scales:
            above, left = larger(above), larger(left)
    outputs = CausalConv2D(params_size, 1)(layers.Activation("elu")(left))
    return keras.Model(inputs, outputs, name="pixelcnn_plus_plus")


def _num_scales(image_shape, num_scales):
    """How many scales the image has, checked."""
    halvings = 0
    while not (image_shape[0] | image_shape[1]) & ((2 << halvings) - 1):
        halvings += 1
    if num_scales is None:
        return min(3, halvings + 1)
    if checks.positive_integer("num_scales", num_scales) > halvings + 1:
        raise ValueError(
            f"Images of {image_shape[0]} x {image_shape[1]} can be halved {halvings} times, which "
            f"gives {halvings + 1} scales; received num_scales={num_scales}."
        )
    return num_scales
