"""A small encoder for self-supervised learning, and the heads behind it."""

import keras
from keras import layers

from kgen import checks
from kgen.layers import BatchNormalization


def contrastive_encoder(image_shape, output_dim=128, *, filters=(32, 64, 128), stem_strides=1):
    """A small residual encoder of images into vectors.

    A 3 x 3 convolution of stride `stem_strides`, then for each entry of `filters` a residual block
    of two 3 x 3 convolutions with batch normalization and ReLU, of stride 2 but the first; the
    global average; a linear layer where its size is not `output_dim`. The batch's statistics are
    those of all replicas.

    Args:
        image_shape: `(height, width, channels)`, any size.
        output_dim: int >= 1.
        filters: channels of the blocks.
        stem_strides: int >= 1; 2 is three times faster, on images of 28 pixels or more.

    Returns:
        keras.Model from float32 images `(batch, *image_shape)` in [0, 1] to `(batch, output_dim)`.

    Reference: He et al. 2016, "Deep Residual Learning for Image Recognition", in the small form of
    section 4.2.
    """
    image_shape = checks.image_shape(image_shape)
    checks.positive_integer("output_dim", output_dim)
    if not filters:
        raise ValueError("filters must have at least one entry, received none.")
    for size in filters:
        checks.positive_integer("each of filters", size)

    def convolution(x, size, kernel_size=3, strides=1):
        x = layers.Conv2D(size, kernel_size, strides, padding="same", use_bias=False)(x)
        return BatchNormalization()(x)

    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(2.0, -1.0)(images)
    x = layers.Activation("relu")(convolution(x, filters[0], strides=stem_strides))
    for index, size in enumerate(filters):
        strides = 1 if index == 0 else 2
        y = layers.Activation("relu")(convolution(x, size, strides=strides))
        y = convolution(y, size)
        if strides > 1 or x.shape[-1] != size:
            x = convolution(x, size, 1, strides)
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    if x.shape[-1] != output_dim:
        x = layers.Dense(output_dim, use_bias=False)(x)
    return keras.Model(images, x, name="encoder")


def projection_head(input_dim, hidden_units, output_dim, *, use_bias=True, normalize_output=False):
    """Dense layers with batch normalization, in whose output a loss compares images.

    Args:
        input_dim: int, size of the encoder's vectors.
        hidden_units: sizes of the hidden layers, each with batch normalization and ReLU.
        output_dim: int.
        use_bias: bool, whether the output has a bias; a loss of centered features never sees it.
        normalize_output: bool, batch normalization of the output too, without a scale and an
            offset, as SimSiam needs it.

    Returns:
        keras.Model from float32 `(batch, input_dim)` to `(batch, output_dim)`.

    Reference: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", section 4.2.
    """
    vectors = keras.Input((checks.positive_integer("input_dim", input_dim),), name="vectors")
    x = vectors
    for units in hidden_units:
        x = layers.Dense(units, use_bias=False)(x)
        x = layers.Activation("relu")(BatchNormalization()(x))
    outputs = layers.Dense(output_dim, use_bias=use_bias and not normalize_output)(x)
    if normalize_output:
        outputs = BatchNormalization(center=False, scale=False)(outputs)
    return keras.Model(vectors, outputs, name="projector")


def prediction_head(dim, hidden_units):
    """Predicts one view's projection from the other's: two dense layers with a bottleneck.

    Args:
        dim: int, size of the projections.
        hidden_units: int, size of the hidden layer, which has batch normalization and ReLU.

    Returns:
        keras.Model from float32 `(batch, dim)` to `(batch, dim)`.

    Reference: Chen & He 2021, "Exploring Simple Siamese Representation Learning", section 3.
    """
    vectors = keras.Input((checks.positive_integer("dim", dim),), name="projections")
    x = layers.Dense(hidden_units, use_bias=False)(vectors)
    x = layers.Activation("relu")(BatchNormalization()(x))
    return keras.Model(vectors, layers.Dense(dim)(x), name="predictor")
