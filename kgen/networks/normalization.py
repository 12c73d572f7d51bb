"""The normalizations that the networks of a GAN choose from."""

from keras import layers

from kgen.layers import LayerNormalization, SpectralNormalization


def normalized(x, normalization):
    """Normalize a feature map or vector.

    Args:
        x: keras tensor `(batch, ..., channels)`.
        normalization: "batch"; "layer", over all axes of an example (Ba et al. 2016); or None.

    Returns:
        keras tensor of the same shape.

    Raises:
        ValueError: for another normalization.
    """
    if normalization is None:
        return x
    if normalization == "batch":
        # Samples use the running means of a generator that moves: they must keep up with it.
        # Synchronized, replicas take the means over the global batch, as one device does.
        return layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    if normalization == "layer":
        return LayerNormalization(axis=list(range(1, len(x.shape))))(x)
    raise ValueError(f"normalization must be 'batch', 'layer' or None, received {normalization!r}.")


def spectrally_normalized(layer, wanted=True):
    """The layer in a `kgen.layers.SpectralNormalization`, or as it is."""
    return SpectralNormalization(layer) if wanted else layer
