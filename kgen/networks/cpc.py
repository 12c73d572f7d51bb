"""The two networks of contrastive predictive coding."""

import keras
from keras import layers

from kgen import checks
from kgen.layers import RowConv2D


def patch_encoder(patch_shape, output_dim=128, *, filters=(32, 64)):
    """A small encoder of image patches into vectors, without batch normalization.

    A 3 x 3 convolution with ReLU for each entry of `filters`, of stride 2 but the first; a dense
    layer.

    Args:
        patch_shape: `(height, width, channels)`.
        output_dim: int >= 1.
        filters: channels of the convolutions.

    Returns:
        keras.Model from float32 patches `(batch, *patch_shape)` in [0, 1] to `(batch, output_dim)`.
    """
    patches = keras.Input(checks.image_shape(patch_shape), name="patches")
    x = layers.Rescaling(2.0, -1.0)(patches)
    for index, size in enumerate(filters):
        strides = 1 if index == 0 else 2
        x = layers.Conv2D(size, 3, strides, padding="same", activation="relu")(x)
    outputs = layers.Dense(checks.positive_integer("output_dim", output_dim))(layers.Flatten()(x))
    return keras.Model(patches, outputs, name="encoder")


def cpc_context(grid_shape, *, filters=None, num_layers=2):
    """The vertical stack of a PixelCNN over a grid of vectors: a row sees itself and those above.

    Residual layers `x + conv(relu(x))` of 3 columns and the rows r - 1 and r.

    Args:
        grid_shape: `(rows, columns, dim)`.
        filters: int, size of the context's vectors; `dim` by default.
        num_layers: int >= 1, how many rows above are seen.

    Returns:
        keras.Model from float32 `(batch, *grid_shape)` to `(batch, rows, columns, filters)`.

    Reference: van den Oord, Li & Vinyals 2018, "Representation Learning with Contrastive Predictive
    Coding", section 3.2: a PixelCNN-style network over the rows.
    """
    rows, columns, dim = checks.image_shape(grid_shape)
    filters = dim if filters is None else checks.positive_integer("filters", filters)
    vectors = keras.Input((rows, columns, dim), name="vectors")
    x = vectors if filters == dim else layers.Dense(filters)(vectors)
    for _ in range(checks.positive_integer("num_layers", num_layers)):
        x = layers.Add()([x, RowConv2D(filters, (2, 3))(layers.Activation("relu")(x))])
    return keras.Model(vectors, x, name="context")
