"""The normalizations that the networks of a GAN choose from."""

from kgen.layers import BatchNormalization, LayerNormalization, SpectralNormalization


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
        # Its momentum of 0.9 lets the running means, which samples use, keep up with a generator.
        return BatchNormalization()(x)
    if normalization == "layer":
        return LayerNormalization(axis=list(range(1, len(x.shape))))(x)
    raise ValueError(f"normalization must be 'batch', 'layer' or None, received {normalization!r}.")


def spectrally_normalized(layer, wanted=True):
    """The layer in a `kgen.layers.SpectralNormalization`, or as it is."""
    return SpectralNormalization(layer) if wanted else layer
